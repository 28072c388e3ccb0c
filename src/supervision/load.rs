//! Taking the units of the directory: at the beginning and whenever they have changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Moment;
use super::activation::Guard;
use super::graph::{self, Cycle, Waiting};
use super::name::UnitName;
use super::service::Service;
use super::socket_conflicts::Conflict;
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
    /// Units that want an address that is another's; they were not taken.
    pub conflicts: Vec<Conflict>,
}

impl Supervisor {
    /// Takes the units of the directory as they are now. New ones are not started by this.
    pub fn load(&mut self, units: Vec<Unit>, now: Moment) -> Loaded {
        let mut loaded = Loaded::default();
        let there: BTreeSet<UnitName> = units.iter().map(|unit| unit.name.clone()).collect();
        let units = self.without_circles(units, &mut loaded.cycles);
        for unit in self.without_conflicts(units, &mut loaded.conflicts) {
            self.take(Arc::new(unit), now, &mut loaded);
        }
        for (name, slot) in &mut self.slots {
            if !there.contains(name) {
                slot.gone = true;
                loaded.removed.push(name.clone());
            }
        }
        self.link();
        self.restless.extend(self.slots.keys().cloned());
        self.settle(now);
        loaded
    }

    /// Refuses units on a circle. One that was loaded before stays as it was, so that another
    /// circle may come of the old and the new.
    fn without_circles(&self, mut units: Vec<Unit>, cycles: &mut Vec<Cycle>) -> Vec<Unit> {
        let mut kept: Vec<Arc<Unit>> = Vec::new();
        loop {
            let all: Vec<&Unit> = units.iter().chain(kept.iter().map(Arc::as_ref)).collect();
            let found = graph::cycles(&all);
            let refused: BTreeSet<UnitName> =
                found.iter().flat_map(|cycle| cycle.0.iter().cloned()).collect();
            cycles.extend(found);
            let count = units.len();
            units.retain(|unit| !refused.contains(&unit.name));
            if units.len() == count {
                return units;
            }
            let olds = refused.iter().filter_map(|name| self.slots.get(name));
            kept.extend(olds.map(|slot| Arc::clone(slot.newest())));
        }
    }

    /// Notes for each unit who goes after it. Services that live stop in the order of the unit
    /// that they were started with as well, unless old and new orders make a circle.
    fn link(&mut self) {
        let with_old: Vec<Waiting> = self.slots.values().map(|slot| slot.waiting()).collect();
        let edges = if graph::cycles_among(&with_old).is_empty() {
            edges(&with_old)
        } else {
            let newest = self.slots.values().filter(|slot| !slot.gone).map(|slot| slot.newest());
            let newest: Vec<Waiting> =
                newest.map(|unit| (&unit.name, graph::before(unit).collect())).collect();
            edges(&newest)
        };
        for slot in self.slots.values_mut() {
            slot.dependents.clear();
        }
        for (to, from) in edges {
            if let Some(slot) = self.slots.get_mut(&to) {
                slot.dependents.push(from);
            }
        }
    }

    fn take(&mut self, unit: Arc<Unit>, now: Moment, loaded: &mut Loaded) {
        let name = unit.name.clone();
        let Some(slot) = self.slots.get_mut(&name) else {
            let slot = Slot {
                service: Service::new(unit, now),
                next: None,
                gone: false,
                stuck: false,
                because: Because::Asked,
                dependents: Vec::new(),
                asked: None,
                guarded: Guard::Off,
                deadline: None,
            };
            self.slots.insert(name.clone(), Box::new(slot));
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

impl Slot {
    /// The units that go before this one by its newest unit, and by the one it was started with.
    fn waiting(&self) -> Waiting<'_> {
        let (newest, current) = (self.newest(), self.service.unit());
        let mut before: Vec<&UnitName> = graph::before(newest).collect();
        if !Arc::ptr_eq(newest, current) {
            before.extend(graph::before(current));
        }
        (&newest.name, before)
    }
}

/// Who goes before whom.
fn edges(units: &[Waiting]) -> BTreeSet<(UnitName, UnitName)> {
    let pairs = units.iter().flat_map(|(name, before)| before.iter().map(move |to| (*to, *name)));
    pairs.map(|(to, from)| (to.clone(), from.clone())).collect()
}
