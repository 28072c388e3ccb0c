//! What reading the unit files again would do to each unit, and why; and doing it. The plan that is
//! shown is the plan that is carried out: there is no second decision.
//!
//! A plan is sound or it is not: where one unit is wrong nothing is done at all. At the beginning of
//! a supervisor that is different, because there a wrong unit must not keep the others down: see
//! [`Supervisor::load`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::conflicts::{self, Clash};
use super::diff::{self, KeyChange, When};
use super::graph::{self, Cycle};
use super::name::UnitName;
use super::service::State;
use super::socket_conflicts::{self, Conflict};
use super::status::Problem;
use super::supervisor::{Slot, Supervisor};
use super::unit::Unit;
use super::wants::Needed;
use super::why::{Because, Why};
use super::{Moment, Order, Want};

/// What a reload is to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wish {
    /// Only these units; every one when none is named.
    pub only: Vec<String>,
    /// Whether what counts from the next start on is a reason to restart a service that lives.
    pub restart: bool,
}

impl Wish {
    fn takes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

/// What was found when the unit files were read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The units that can be used.
    pub units: Vec<Arc<Unit>>,
    /// The files that cannot.
    pub bad: Vec<Problem>,
    /// Units that are not loaded, and that are remembered to be at rest: they are not started.
    pub at_rest: Vec<String>,
}

/// What is done to one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// It is taken, and started.
    Start,
    /// It is taken, and not started.
    Add,
    /// It is stopped, with what needs it, and forgotten.
    Stop,
    /// It is at rest, and forgotten.
    Remove,
    /// It is changed in place.
    Change,
    /// It is changed, and restarted so that all of it counts.
    Restart,
    /// Nothing: it runs an older unit until its next start, as was said before.
    Keep,
}

impl Deed {
    /// Every word, in the order of the interface.
    pub const ALL: [Self; 7] =
        [Self::Start, Self::Add, Self::Stop, Self::Remove, Self::Change, Self::Restart, Self::Keep];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Add => "add",
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::Change => "change",
            Self::Restart => "restart",
            Self::Keep => "keep",
        }
    }
}

/// What a reload does to one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The unit.
    pub unit: String,
    /// What is done to it.
    pub deed: Deed,
    /// Why, in words.
    pub why: String,
    /// The keys that differ from what counts now.
    pub keys: Vec<KeyChange>,
}

/// What a reload does, or why it does nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// One for each unit that is not as it was, by name.
    pub steps: Vec<Step>,
    /// What is wrong. While there is anything, nothing is done.
    pub faults: Vec<Fault>,
}

/// Something that is wrong with a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The unit's name, or the file's when that is no name.
    pub name: String,
    /// What is wrong, in words.
    pub text: String,
    /// Where a unit says so, if one does and the words do not tell that yet.
    pub said: Option<Said>,
}

/// A part of what a unit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The unit.
    pub unit: Arc<Unit>,
    /// The first of these keys that its files write.
    pub keys: &'static [&'static str],
    /// A piece of the value.
    pub part: String,
}

impl Said {
    fn new(unit: &Arc<Unit>, keys: &'static [&'static str], part: &impl ToString) -> Self {
        Self { unit: Arc::clone(unit), keys, part: part.to_string() }
    }

    /// How the first unit of a circle comes to wait for the next.
    #[must_use]
    pub fn of_circle(first: &Arc<Unit>, cycle: &Cycle) -> Self {
        let (keys, next) = cycle.said_by(first);
        Self::new(first, keys, next)
    }
}

impl Fault {
    fn of(said: Said, text: String) -> Self {
        Self { name: said.unit.name.to_string(), text, said: Some(said) }
    }

    /// A circle, which is wrong with all of its units; where the first says so counts for all.
    #[must_use]
    pub fn of_circle(cycle: &Cycle, said: &Said, text: &str) -> Vec<Self> {
        let of_one = |name: &UnitName| Self {
            name: name.to_string(),
            text: text.to_owned(),
            said: Some(said.clone()),
        };
        cycle.0.iter().map(of_one).collect()
    }
}

impl From<&Problem> for Fault {
    fn from(problem: &Problem) -> Self {
        Self { name: problem.name.clone(), text: problem.text.clone(), said: None }
    }
}

impl Plan {
    /// Whether it may be carried out.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// The units as they would be.
type Future<'a> = BTreeMap<&'a str, &'a Arc<Unit>>;

impl Supervisor {
    /// What it would do to take what was found. Changes nothing.
    #[must_use]
    pub fn plan(&self, found: &Found, wish: &Wish) -> Plan {
        let Found { units, bad, at_rest } = found;
        let of_files = by_name(units);
        let is_bad = |name: &str| bad.iter().any(|problem| problem.name == name);
        // A bad file leaves the unit as it was; so does not being named.
        let keeps = |name: &str| !wish.takes(name) || is_bad(name);
        let olds = self.slots.values().filter(|slot| !slot.gone && keeps(slot.name().as_str()));
        let mut future: Future = olds.map(|slot| (slot.name().as_str(), slot.newest())).collect();
        future.extend(of_files.iter().filter(|(name, _)| wish.takes(name)));
        let bad = bad.iter().filter(|problem| wish.takes(&problem.name)).map(Fault::from);
        let faults = bad
            .chain(circles(&future, wish))
            .chain(clashes(&future, wish))
            .chain(missing(&future, &of_files, wish))
            .chain(self.conflicts(&future, wish))
            .collect();

        let names: BTreeSet<&str> =
            self.slots.names().map(UnitName::as_str).chain(of_files.keys().copied()).collect();
        let names = names.into_iter().filter(|name| wish.takes(name) && !is_bad(name));
        let steps = names.filter_map(|name| {
            let slot = self.slots.get(name);
            match (slot, of_files.get(name).copied()) {
                (None, Some(unit)) => Some(fresh(unit, at_rest)),
                (Some(slot), None) => Some(gone(name, slot)),
                (Some(slot), Some(unit)) => changed(slot, unit, wish),
                (None, None) => None,
            }
        });
        Plan { steps: steps.collect(), faults }
    }

    /// Units that would want the same address, where one that is wished for is among them.
    fn conflicts(&self, future: &Future, wish: &Wish) -> Vec<Fault> {
        let units = future.values().map(|unit| &***unit).collect();
        let found = socket_conflicts::among(units, &|unit| self.has_its_sockets(unit));
        let concerns =
            |it: &Conflict| wish.takes(it.unit.as_str()) || wish.takes(it.other.0.as_str());
        let fault = |it: &Conflict| {
            let unit = future.get(it.unit.as_str())?;
            Some(Fault::of(Said::new(unit, &["sockets"], &it.key), it.explain()))
        };
        found.iter().filter(|it| concerns(it)).filter_map(fault).collect()
    }

    /// Does what a sound plan says, except for starting what is new: those are given, because
    /// somebody may remember what an earlier supervisor knew of them. `units` are those that the
    /// plan was made of.
    pub fn carry_out(&mut self, plan: &Plan, units: &[Arc<Unit>], now: Moment) -> Vec<UnitName> {
        let mut of_files = by_name(units);
        let (mut fresh, mut back, mut going) = (Vec::new(), Vec::new(), Vec::new());
        for step in &plan.steps {
            let unit = of_files.remove(step.unit.as_str());
            match (step.deed, unit) {
                (Deed::Start | Deed::Add, Some(unit)) => {
                    let is_back = self.slots.get(&unit.name).is_some_and(|slot| slot.gone);
                    self.take(Arc::clone(unit), now);
                    let list = if is_back { &mut back } else { &mut fresh };
                    list.push(unit.name.clone());
                }
                (Deed::Change | Deed::Restart | Deed::Keep, Some(unit)) => {
                    self.take(Arc::clone(unit), now);
                }
                (Deed::Stop | Deed::Remove, _) => going.extend(self.let_go(&step.unit)),
                // The plan was made of other units; what it does not know stays.
                (Deed::Start | Deed::Add | Deed::Change | Deed::Restart | Deed::Keep, None) => {}
            }
        }
        self.link();
        for name in back {
            // As at boot: one that comes back ends nobody.
            if self.beaten_by(&name).is_none() {
                self.want_begun(&name, Needed::Missing, now);
            }
        }
        for name in going {
            self.want_down(&name, &Because::UnitGone, now);
        }
        for step in plan.steps.iter().filter(|step| step.deed == Deed::Change) {
            self.want_new_needs(&step.unit, now);
        }
        self.restless.extend(self.slots.names().cloned());
        self.settle(now);
        for step in plan.steps.iter().filter(|step| step.deed == Deed::Restart) {
            // It cannot be refused unless everything goes down, and then it does not matter.
            let _ = self.ask(Order::Restart, &step.unit, now);
        }
        fresh
    }

    fn let_go(&mut self, name: &str) -> Option<UnitName> {
        let slot = self.slots.get_mut(name)?;
        slot.gone = true;
        Some(slot.service.unit().name.clone())
    }
}

fn by_name(units: &[Arc<Unit>]) -> Future<'_> {
    units.iter().map(|unit| (unit.name.as_str(), unit)).collect()
}

fn fresh(unit: &Unit, at_rest: &[String]) -> Step {
    let name = unit.name.to_string();
    let (deed, why) = match unit.enabled {
        true if at_rest.contains(&name) => (Deed::Add, "new, and it was at rest before"),
        true => (Deed::Start, "new, and enabled"),
        false => (Deed::Add, "new, and not enabled"),
    };
    Step { unit: name, deed, why: why.to_owned(), keys: Vec::new() }
}

fn gone(name: &str, slot: &Slot) -> Step {
    let deed = if is_there(slot) { Deed::Stop } else { Deed::Remove };
    Step { unit: name.to_owned(), deed, why: "its file is gone".to_owned(), keys: Vec::new() }
}

/// Whether a service whose file is gone has anything to be ended.
fn is_there(slot: &Slot) -> bool {
    let service = &slot.service;
    service.want() == Want::Up || service.life().is_some() || *service.state() == State::Done
}

/// What is done to one that is loaded and has a file; `None` when it is as it was.
fn changed(slot: &Slot, unit: &Arc<Unit>, wish: &Wish) -> Option<Step> {
    let service = &slot.service;
    let keys = diff::diff(service.unit(), unit);
    let older = older_keys(slot, &keys);
    let never_started =
        matches!(service.state(), State::Down { why: Why::NotStarted | Why::NotEnabled });
    let is_new = **slot.newest() != **unit || slot.gone;
    let (deed, why) = if slot.gone && service.want() == Want::Down && unit.enabled {
        (Deed::Start, "its file is back, and it is enabled".to_owned())
    } else if never_started && unit.enabled && !service.unit().enabled {
        (Deed::Start, "enabled now".to_owned())
    } else if wish.restart && !older.is_empty() {
        (Deed::Restart, format!("{} {} at a start", older.join(", "), verb(&older, "count")))
    } else if !older.is_empty() {
        (if is_new { Deed::Change } else { Deed::Keep }, runs_older(&older))
    } else if is_new {
        (Deed::Change, "its file has changed".to_owned())
    } else {
        return None;
    };
    Some(Step { unit: unit.name.to_string(), deed, why, keys })
}

/// "runs an older unit: command changes at the next start"
#[must_use]
pub fn runs_older(keys: &[String]) -> String {
    let verb = verb(keys, "change");
    format!("runs an older unit: {} {verb} at the next start", keys.join(", "))
}

fn verb(keys: &[String], verb: &str) -> String {
    if keys.len() == 1 { format!("{verb}s") } else { verb.to_owned() }
}

/// The keys that count from the next start of a service that lives: those of this difference, and
/// those that an earlier supervisor knew of.
pub(super) fn older_keys(slot: &Slot, keys: &[KeyChange]) -> Vec<String> {
    if slot.service.life().is_none() {
        return Vec::new();
    }
    let now = keys.iter().filter(|change| change.when == When::NextStart);
    let mut older: Vec<String> = now.map(|change| change.key.clone()).collect();
    // What this supervisor knows better it knows by the difference.
    if slot.next.is_none() {
        let before = slot.service.older_keys();
        older.extend(before.iter().filter(|key| !older.contains(key)).cloned().collect::<Vec<_>>());
    }
    older
}

/// Units that would wait for each other, where one that is wished for is among them. That one tells
/// of it, for all of them.
fn circles(future: &Future, wish: &Wish) -> Vec<Fault> {
    let units: Vec<&Unit> = future.values().map(|unit| &***unit).collect();
    let mut faults = Vec::new();
    for mut cycle in graph::cycles(&units) {
        let Some(first) = cycle.0.iter().position(|name| wish.takes(name.as_str())) else {
            continue;
        };
        cycle.0.rotate_left(first);
        let Some(unit) = cycle.0.first().and_then(|name| future.get(name.as_str())) else {
            continue;
        };
        let text = format!("{cycle}: {}", Cycle::MEANING);
        faults.extend(Fault::of_circle(&cycle, &Said::of_circle(unit, &cycle), &text));
    }
    faults
}

/// Units that would depend on what cannot live together.
fn clashes(future: &Future, wish: &Wish) -> Vec<Fault> {
    let units: Vec<&Unit> = future.values().map(|unit| &***unit).collect();
    let clashes = conflicts::clashes(&units).into_iter();
    let clashes = clashes.filter(|clash| {
        let names = [&clash.unit, &clash.rivals.0, &clash.rivals.1];
        names.iter().any(|name| wish.takes(name.as_str()))
    });
    let of_unit =
        |clash: Clash| Fault { name: clash.unit.to_string(), text: clash.explain(), said: None };
    clashes.map(of_unit).collect()
}

/// Units that need one that would not be there.
fn missing(future: &Future, of_files: &Future, wish: &Wish) -> Vec<Fault> {
    let mut faults = Vec::new();
    for unit in future.values() {
        for need in unit.needs.iter().filter(|need| need.required) {
            let (name, other) = (&unit.name, need.unit.as_str());
            if future.contains_key(other) || !(wish.takes(name.as_str()) || wish.takes(other)) {
                continue;
            }
            let what = if of_files.contains_key(other) {
                "which is not taken by this reload: name it, too"
            } else {
                "and there would be no such unit; write one, take the need away, or give it \
                 \"required: false\""
            };
            let text = format!("{name} needs {other}, {what}");
            faults.push(Fault::of(Said::new(unit, &["depends_on"], &other), text));
        }
    }
    faults
}
