//! Units that cannot live beside each other: who ends whom, who waits for whose end, and sets of
//! units in which that cannot come out right.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Moment;
use super::Want;
use super::name::UnitName;
use super::service::State;
use super::service_activation::is_triggered;
use super::supervisor::{Slot, Supervisor};
use super::unit::Unit;
use super::why::{Because, Obstacle};

/// A unit that depends on what cannot live together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The unit.
    pub unit: UnitName,
    /// The two that conflict; one may be the unit itself.
    pub rivals: (UnitName, UnitName),
}

impl Clash {
    /// What is wrong with it, and what to do.
    #[must_use]
    pub fn explain(&self) -> String {
        format!("{self}: it can never start; take one of the two away")
    }
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, other) = (&self.rivals.0, &self.rivals.1);
        let needed = match &self.unit {
            unit if unit == one => other,
            unit if unit == other => one,
            unit => return write!(f, "{unit} depends on {one} and {other}, which conflict"),
        };
        write!(f, "{} conflicts with {needed}, which it depends on", self.unit)
    }
}

impl Supervisor {
    /// Notes for each unit who cannot live beside it, by the newest units and by those that live.
    pub(super) fn link_rivals(&mut self) {
        let mut pairs: BTreeSet<(UnitName, UnitName)> = BTreeSet::new();
        for slot in self.slots.values() {
            let name = slot.name();
            let others = slot.newest().conflicts.iter().chain(&slot.service.unit().conflicts);
            for other in others.filter(|other| *other != name) {
                pairs.insert((name.clone(), other.clone()));
                pairs.insert((other.clone(), name.clone()));
            }
        }
        for slot in self.slots.values_mut() {
            slot.rivals.clear();
        }
        for (name, other) in pairs {
            if let Some(slot) = self.slots.get_mut(&name) {
                slot.rivals.push(other);
            }
        }
    }

    /// The rivals that keep this one from starting: those that are there.
    pub(super) fn rivals_there<'a>(
        &'a self,
        slot: &'a Slot,
    ) -> impl Iterator<Item = Obstacle> + 'a {
        slot.rivals.iter().filter_map(|name| {
            let rival = &self.slots.get(name)?.service;
            // One that is done has something to undo.
            let is_there = rival.life().is_some() || *rival.state() == State::Done;
            is_there.then(|| match rival.want() {
                Want::Up => Obstacle::Beside(name.clone()),
                Want::Down | Want::Armed => Obstacle::Ending(name.clone()),
            })
        })
    }

    /// Wants down what cannot live beside these, but for themselves. One that only waits for what
    /// starts it is not there.
    pub(super) fn stop_rivals(&mut self, wanted: &BTreeSet<UnitName>, now: Moment) {
        for name in wanted {
            let Some(slot) = self.slots.get(name) else { continue };
            let is_there = |rival: &&UnitName| {
                let service = self.slots.get(*rival).map(|slot| &slot.service);
                service.is_some_and(|it| it.want() != Want::Armed || it.life().is_some())
            };
            let rivals = slot.rivals.iter().filter(|rival| !wanted.contains(*rival));
            let rivals = rivals.filter(is_there);
            for rival in rivals.cloned().collect::<Vec<_>>() {
                self.want_down(&rival, &Because::Conflicts(name.to_string()), now);
            }
        }
    }

    /// A unit that is wanted already and cannot live beside this one, or beside what this one
    /// needs. One that something starts ends nobody before that.
    pub(super) fn beaten_by(&self, name: &UnitName) -> Option<UnitName> {
        if self.slots.get(name).is_some_and(|slot| is_triggered(slot.newest())) {
            return None;
        }
        let mut seen = BTreeSet::new();
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            let Some(slot) = self.slots.get(name).filter(|_| seen.insert(name)) else { continue };
            let wanted = |rival: &&UnitName| {
                self.slots.get(*rival).is_some_and(|slot| slot.service.want() == Want::Up)
            };
            if let Some(rival) = slot.rivals.iter().find(wanted) {
                return Some(rival.clone());
            }
            open.extend(slot.service.unit().needs.iter().map(|need| &need.unit));
        }
        None
    }
}

/// The units of a set that depend on what cannot live together, by name.
#[must_use]
pub fn clashes<U: Borrow<Unit>>(units: &[U]) -> Vec<Clash> {
    let units = || units.iter().map(Borrow::borrow);
    if units().all(|unit| unit.conflicts.is_empty()) {
        return Vec::new();
    }
    let mut needed_by: BTreeMap<&UnitName, Vec<&UnitName>> = BTreeMap::new();
    for unit in units() {
        for need in &unit.needs {
            needed_by.entry(&need.unit).or_default().push(&unit.name);
        }
    }
    // Everybody who comes with this one, itself included.
    let with = |name: &UnitName| {
        let mut all = BTreeSet::new();
        let mut open = vec![name.clone()];
        while let Some(name) = open.pop() {
            let by = needed_by.get(&name).into_iter().flatten();
            open.extend(by.filter(|by| !all.contains(**by)).map(|by| (*by).clone()));
            all.insert(name);
        }
        all
    };
    let mut found: BTreeMap<UnitName, Clash> = BTreeMap::new();
    for unit in units() {
        let of_it = with(&unit.name);
        for other in &unit.conflicts {
            for both in with(other).intersection(&of_it) {
                let rivals = (unit.name.clone(), other.clone());
                let clash = Clash { unit: both.clone(), rivals };
                found.entry(both.clone()).or_insert(clash);
            }
        }
    }
    found.into_values().collect()
}

/// The units that do not clash, and what is wrong with the others.
pub(super) fn without_clashes(mut units: Vec<Unit>) -> (Vec<Unit>, Vec<Clash>) {
    let clashes = clashes(&units);
    if !clashes.is_empty() {
        units.retain(|unit| clashes.iter().all(|clash| clash.unit != unit.name));
    }
    (units, clashes)
}
