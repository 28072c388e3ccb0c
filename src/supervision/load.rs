//! Taking units: all good ones of the directory when a supervisor begins, and each that a plan
//! (`plan.rs`) takes later.

use std::collections::BTreeSet;
use std::sync::Arc;

use thin_vec::ThinVec;

use super::activation::Guard;
use super::conflicts::{self, Clash};
use super::graph::{self, Cycle, Waiting};
use super::name::UnitName;
use super::plan::Said;
use super::service::Service;
use super::socket_conflicts::{self, Conflict};
use super::supervisor::{Slot, Supervisor};
use super::unit::Unit;
use super::{Moment, diff, plan};

/// Units that were not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refused {
    /// Those on circles, and where the first of each says so.
    pub cycles: Vec<(Cycle, Said)>,
    /// Those that depend on what cannot live together.
    pub clashes: Vec<Clash>,
    /// Those that want an address that is another's.
    pub conflicts: Vec<Conflict>,
}

impl Supervisor {
    /// Takes the units of the directory as they are when a supervisor begins: the good ones, in
    /// whatever company. None is started by this. One that was loaded and is not among them stays
    /// until it is at rest. Gives what was not taken: circles, those that depend on what cannot live
    /// together, and all but one of those that want the same address.
    pub fn load(&mut self, units: Vec<Unit>, now: Moment) -> Refused {
        let mut refused = Refused::default();
        let there: BTreeSet<UnitName> = units.iter().map(|unit| unit.name.clone()).collect();
        let (units, clashes) = conflicts::without_clashes(units);
        refused.clashes = clashes;
        let units = self.without_circles(units, &mut refused.cycles);
        for unit in self.without_conflicts(units, &mut refused.conflicts) {
            self.take(Arc::new(unit), now);
        }
        for slot in self.slots.values_mut() {
            slot.gone |= !there.contains(slot.name());
        }
        self.link();
        self.restless.extend(self.slots.names().cloned());
        self.settle(now);
        refused
    }

    /// Refuses units whose address another has. Whoever was loaded with it before keeps it; among
    /// new ones the first by name gets it.
    fn without_conflicts(&self, mut units: Vec<Unit>, conflicts: &mut Vec<Conflict>) -> Vec<Unit> {
        let found =
            socket_conflicts::among(units.iter().collect(), &|unit| self.has_its_sockets(unit));
        units.retain(|unit| found.iter().all(|conflict| conflict.unit != unit.name));
        conflicts.extend(found);
        units
    }

    /// Takes units beside those that there are, which stay as they are. New ones are not started by
    /// this. Gives the names of those that were taken, and the circles whose units were not.
    pub fn add(&mut self, mut units: Vec<Unit>, now: Moment) -> (Vec<UnitName>, Vec<Cycle>) {
        let mut cycles = Vec::new();
        units.retain(|unit| !self.slots.contains(&unit.name));
        let others = self.slots.values().filter(|slot| !slot.gone).map(|slot| slot.newest());
        let others: Vec<Arc<Unit>> = others.map(Arc::clone).collect();
        loop {
            let all: Vec<&Unit> = units.iter().chain(others.iter().map(Arc::as_ref)).collect();
            let mut found = graph::cycles(&all);
            let count = units.len();
            units.retain(|unit| found.iter().all(|cycle| !cycle.0.contains(&unit.name)));
            if units.len() == count {
                break;
            }
            cycles.append(&mut found);
        }
        let names: Vec<UnitName> = units.iter().map(|unit| unit.name.clone()).collect();
        for unit in units {
            self.take(Arc::new(unit), now);
        }
        self.link();
        self.restless.extend(names.iter().cloned());
        self.settle(now);
        (names, cycles)
    }

    /// Refuses units on a circle. One that was loaded before stays as it was, so that another
    /// circle may come of the old and the new.
    fn without_circles(&self, mut units: Vec<Unit>, cycles: &mut Vec<(Cycle, Said)>) -> Vec<Unit> {
        let mut kept: Vec<Arc<Unit>> = Vec::new();
        loop {
            let all: Vec<&Unit> = units.iter().chain(kept.iter().map(Arc::as_ref)).collect();
            let found = graph::cycles(&all);
            let refused: BTreeSet<UnitName> =
                found.iter().flat_map(|cycle| cycle.0.iter().cloned()).collect();
            for cycle in found {
                let first = all.iter().find(|unit| cycle.0.first() == Some(&unit.name));
                let said = first.map(|unit| Said::of_circle(&Arc::new(Unit::clone(unit)), &cycle));
                cycles.extend(said.map(|said| (cycle, said)));
            }
            let count = units.len();
            units.retain(|unit| !refused.contains(&unit.name));
            if units.len() == count {
                return units;
            }
            let olds = refused.iter().filter_map(|name| self.slots.get(name));
            kept.extend(olds.map(|slot| Arc::clone(slot.newest())));
        }
    }

    /// Notes for each unit who goes after it, also for units that are gone and live on, unless they
    /// make a circle with the others.
    pub(super) fn link(&mut self) {
        let mut all: Vec<Waiting> = self.slots.values().map(|slot| slot.waiting()).collect();
        if !graph::cycles_among(&all).is_empty() {
            all = self.slots.values().filter(|it| !it.gone).map(|it| it.waiting()).collect();
        }
        let edges = edges(&all);
        for slot in self.slots.values_mut() {
            slot.dependents.clear();
        }
        for (to, from) in edges {
            if let Some(slot) = self.slots.get_mut(&to) {
                slot.dependents.push(from);
            }
        }
        self.link_rivals();
    }

    /// Takes one unit. What a service that lives can follow at once it follows.
    pub(super) fn take(&mut self, unit: Arc<Unit>, now: Moment) {
        let name = unit.name.clone();
        let Some(slot) = self.slots.get_mut(&name) else {
            let slot = Slot {
                service: Service::new(unit, now),
                next: None,
                gone: false,
                stuck: false,
                because: None,
                dependents: ThinVec::new(),
                rivals: ThinVec::new(),
                asked: None,
                guarded: Guard::Off,
                deadline: None,
            };
            self.slots.insert(slot);
            return;
        };
        slot.gone = false;
        if **slot.newest() == *unit {
            return;
        }
        let keys = diff::diff(slot.service.unit(), &unit);
        let older = plan::older_keys(slot, &keys);
        let lives = slot.service.life().is_some();
        let followed =
            if lives { diff::in_place(slot.service.unit(), &unit) } else { Unit::clone(&unit) };
        slot.next = (followed != *unit).then_some(unit);
        self.follow(&name, Arc::new(followed), older, now);
    }
}

impl Slot {
    /// The units that go before this one.
    fn waiting(&self) -> Waiting<'_> {
        let unit = self.newest();
        (&unit.name, graph::before(unit).collect())
    }
}

/// Who goes before whom.
fn edges(units: &[Waiting]) -> Vec<(UnitName, UnitName)> {
    let pairs = units.iter().flat_map(|(name, before)| before.iter().map(move |to| (*to, *name)));
    let mut edges: Vec<_> = pairs.map(|(to, from)| (to.clone(), from.clone())).collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}
