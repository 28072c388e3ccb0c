//! Taking the units of the directory: at the beginning and whenever they have changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Moment;
use super::graph::{self, Cycle};
use super::name::UnitName;
use super::service::Service;
use super::supervisor::{Slot, Supervisor};
use super::unit::Unit;
use super::why::Because;

/// What a change of the unit directory did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// New units.
    pub added: Vec<UnitName>,
    /// Units that differ from before; living services keep the old one until they are at rest.
    pub changed: Vec<UnitName>,
    /// Units that are gone; living services stay until they are at rest.
    pub removed: Vec<UnitName>,
    /// Circles; their units were not taken.
    pub cycles: Vec<Cycle>,
}

impl Supervisor {
    /// Takes the units of the directory as they are now. New ones are not started by this.
    pub fn load(&mut self, units: Vec<Unit>, now: Moment) -> Loaded {
        let cycles = graph::cycles(&units);
        let refused: BTreeSet<UnitName> =
            cycles.iter().flat_map(|cycle| cycle.0.iter().cloned()).collect();
        let mut loaded = Loaded { cycles, ..Loaded::default() };
        let mut before: BTreeSet<UnitName> = self.slots.keys().cloned().collect();
        for slot in self.slots.values_mut() {
            slot.dependents.clear();
        }
        let mut edges = Vec::new();
        for unit in units {
            before.remove(&unit.name);
            if refused.contains(&unit.name) {
                continue;
            }
            edges.extend(graph::before(&unit).map(|to| (to.clone(), unit.name.clone())));
            self.take(Arc::new(unit), now, &mut loaded);
        }
        for (to, from) in edges {
            if let Some(slot) = self.slots.get_mut(&to) {
                slot.dependents.push(from);
            }
        }
        for name in before {
            if let Some(slot) = self.slots.get_mut(&name) {
                slot.gone = true;
                loaded.removed.push(name);
            }
        }
        self.restless.extend(self.slots.keys().cloned());
        self.settle(now);
        loaded
    }

    fn take(&mut self, unit: Arc<Unit>, now: Moment, loaded: &mut Loaded) {
        let name = unit.name.clone();
        let Some(slot) = self.slots.get_mut(&name) else {
            let slot = Slot {
                service: Service::new(unit, now),
                next: None,
                gone: false,
                because: Because::Asked,
                dependents: Vec::new(),
                deadline: None,
            };
            self.slots.insert(name.clone(), slot);
            loaded.added.push(name);
            return;
        };
        slot.gone = false;
        let current = slot.next.as_ref().unwrap_or(slot.service.unit());
        if **current != *unit {
            slot.next = Some(unit);
            loaded.changed.push(name);
        }
    }
}
