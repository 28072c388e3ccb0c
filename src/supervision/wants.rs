//! What is wanted of whom because of whom, and who keeps whom from it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::graph;
use super::name::UnitName;
use super::service::{Input, Service, State};
use super::service_life::First;
use super::status::{HealthWord, StateWord};
use super::supervisor::Supervisor;
use super::times::Origin;
use super::unit::{Condition, Need, Unit};
use super::why::{Because, Obstacle, Why};
use super::{Action, Moment, Want};

/// One to be wanted up, in which condition somebody else needs it, and who wants it.
type Wanted = (UnitName, Option<Condition>, Origin);

/// Which of those that a service needs are wanted up with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    /// All that are not there: it was asked for, or begins.
    Missing,
    /// Of these the ones that were never started: another supervisor has wanted them before, and
    /// what came of it is known.
    NeverStarted,
}

impl Supervisor {
    /// What keeps a service from starting, first what waiting will not help.
    #[must_use]
    pub fn obstacles(&self, name: &str) -> Vec<Obstacle> {
        let Some(slot) = self.slots.get(name) else {
            return Vec::new();
        };
        let unit = slot.service.unit();
        let needs = unit.needs.iter().filter_map(|need| self.obstacle(need));
        let after = unit.after.iter().filter(|name| self.is_on_its_way(name));
        let after = after.cloned().map(Obstacle::NotYet);
        let mut all: Vec<Obstacle> = needs.chain(after).chain(self.rivals_there(slot)).collect();
        all.sort_by_key(|obstacle| !obstacle.is_for_good());
        if all.is_empty() && slot.service.life().is_none() && self.turns.holds(unit) {
            all.push(Obstacle::Turn);
        }
        all
    }

    fn obstacle(&self, need: &Need) -> Option<Obstacle> {
        let never = |what| need.required.then(|| Obstacle::Never(need.unit.clone(), what));
        let Some(slot) = self.slots.get(&need.unit).filter(|slot| !slot.gone) else {
            return never("is not loaded");
        };
        let service = &slot.service;
        let wait = Some(Obstacle::NotYet(need.unit.clone()));
        // A connection waits in the socket's queue until the service is up.
        if slot.listens() && need.condition != Condition::ServiceCompletedSuccessfully {
            return None;
        }
        match (service.state(), need.condition) {
            (state, condition) if has_completed(state, Some(condition)) => None,
            (State::Up { .. } | State::Reloading { .. }, Condition::ServiceStarted) => None,
            (State::Up { .. } | State::Reloading { .. }, Condition::ServiceHealthy)
                if !matches!(
                    service.health(),
                    Some(HealthWord::Starting | HealthWord::Unhealthy)
                ) =>
            {
                None
            }
            (State::Starting { .. }, Condition::ServiceStarted) if is_executed(service) => None,
            (State::Finishing { .. }, Condition::ServiceStarted) => None,
            // One that need not run here holds nobody up, as with systemd; but it did no work.
            (
                State::Down { why: Why::Skipped(_) },
                Condition::ServiceStarted | Condition::ServiceHealthy,
            ) if service.want() != Want::Up => None,
            (State::Down { why: Why::Skipped(_) }, _) if service.want() != Want::Up => {
                never("was skipped")
            }
            // An optional one that already failed once holds nobody up.
            (State::Waiting { .. }, _) if !need.required => None,
            (State::Down { .. } | State::Failed { .. }, _) if slot.will_listen() => wait,
            (State::Waiting { .. }, _) if service.want() == Want::Armed => wait,
            (State::Failed { .. }, _) if service.want() != Want::Up => never("failed"),
            (State::Down { .. }, _) if service.want() != Want::Up => never("is down"),
            (State::Blocked, _) if slot.stuck => never("is blocked"),
            _ => wait,
        }
    }

    /// Whether one that goes first is about to start, or starting.
    fn is_on_its_way(&self, name: &UnitName) -> bool {
        self.slots.get(name).is_some_and(|slot| {
            slot.service.want() == Want::Up
                && match slot.service.state() {
                    State::Down { .. }
                    | State::Failed { .. }
                    | State::Looking { .. }
                    | State::Preparing { .. }
                    | State::Starting { .. }
                    | State::Finishing { .. }
                    | State::Stopping { .. }
                    | State::Killing { .. }
                    | State::Clearing { .. } => true,
                    State::Blocked => !slot.stuck,
                    State::Waiting { .. }
                    | State::Up { .. }
                    | State::Reloading { .. }
                    | State::Done => false,
                }
        })
    }

    /// Notes whether one that is blocked will stay so; those behind it must know.
    pub(super) fn set_stuck(&mut self, name: &UnitName, stuck: bool) {
        if let Some(slot) = self.slots.get_mut(name)
            && slot.stuck != stuck
        {
            slot.stuck = stuck;
            self.wake_around(name);
        }
    }

    /// Has the service, those behind it and those before it looked at again.
    pub(super) fn wake_around(&mut self, name: &UnitName) {
        let Some(slot) = self.slots.get(name) else {
            return;
        };
        self.restless.insert(name.clone());
        self.restless.extend(slot.dependents.iter().cloned());
        self.restless.extend(slot.rivals.iter().cloned());
        // Those it goes after may wait for its end before they stop.
        self.restless.extend(graph::before(slot.service.unit()).cloned());
    }

    /// Has what a changed unit needs brought up, where it waits for that.
    pub(super) fn want_new_needs(&mut self, name: &str, now: Moment) {
        let Some(slot) = self.slots.get(name) else {
            return;
        };
        let service = &slot.service;
        if service.want() != Want::Up || service.life().is_some() {
            return;
        }
        let unit = Arc::clone(service.unit());
        let wanted = self.want_needs(&unit, Needed::Missing);
        self.stop_rivals(&wanted, now);
    }

    /// Changes what is wanted, and keeps it for the next supervisor where no change of state will.
    pub(super) fn set_want(&mut self, name: &UnitName, want: Want, origin: Option<Origin>) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        let service = &mut slot.service;
        let before = service.record();
        service.set_want(want);
        origin.into_iter().for_each(|origin| service.set_origin(origin));
        let changed = service.record() != before;
        // One at rest that is to run changes its state at once, unless it waits for that already.
        let waits = matches!(service.word(), StateWord::Done | StateWord::Blocked);
        let stays = want != Want::Up || service.life().is_some() || waits;
        if stays && changed {
            self.actions.push(Action::Save { name: name.clone() });
        }
        self.wake_around(name);
    }

    /// Wants it up, with what it needs, and down what cannot live beside any of them. What a person
    /// named is started in any case; what it needs, only if it is not there.
    pub(super) fn want_up(&mut self, name: &UnitName, origin: Origin, needed: Needed, now: Moment) {
        let wanted = self.want_all(vec![(name.clone(), None, origin)], true, needed);
        self.stop_rivals(&wanted, now);
    }

    /// Wants up what this unit needs and is not there. Gives who is wanted now; their rivals are the
    /// caller's to stop.
    pub(super) fn want_needs(&mut self, unit: &Unit, needed: Needed) -> BTreeSet<UnitName> {
        let by = || Origin::Needed(unit.name.to_string());
        let needs = unit.needs.iter().map(|need| (need.unit.clone(), Some(need.condition), by()));
        self.want_all(needs.collect(), false, needed)
    }

    /// The first is started in any case where `first` says so. Gives who is wanted now.
    fn want_all(
        &mut self,
        mut open: Vec<Wanted>,
        mut first: bool,
        needed: Needed,
    ) -> BTreeSet<UnitName> {
        let mut wanted = BTreeSet::new();
        while let Some((name, condition, origin)) = open.pop() {
            let Some(slot) = self.slots.get(&name) else {
                continue;
            };
            let is_there = slot.service.want() == Want::Up
                || (slot.waits_for_connections()
                    && condition != Some(Condition::ServiceCompletedSuccessfully))
                || has_completed(slot.service.state(), condition);
            let is_left = needed == Needed::NeverStarted && !is_untried(slot.service.state());
            if first || !(is_there || is_left) {
                let needs = slot.service.unit().needs.iter();
                let by = || Origin::Needed(name.to_string());
                open.extend(needs.map(|need| (need.unit.clone(), Some(need.condition), by())));
                self.set_want(&name, Want::Up, Some(origin));
                wanted.insert(name);
            }
            first = false;
        }
        wanted
    }

    pub(super) fn want_down(&mut self, name: &UnitName, because: &Because, now: Moment) {
        let mut open = vec![(name.clone(), because.clone())];
        let mut seen = BTreeSet::new();
        while let Some((name, because)) = open.pop() {
            let Some(slot) = self.slots.get_mut(&name).filter(|_| seen.insert(name.clone())) else {
                continue;
            };
            let dependents = slot.dependents.clone();
            // One that is down already may stand between: those behind it are stopped all the same.
            if slot.service.want() != Want::Down || because == Because::Asked {
                slot.because = (because != Because::Asked).then(|| Box::new(because.clone()));
                // One that waits for what starts it is at rest, and must say why it does so no more.
                let ends_now = slot.service.is_ending_because(&Because::Restart)
                    || slot.service.want() == Want::Armed;
                self.set_want(&name, Want::Down, None);
                if ends_now {
                    self.apply(&name, Input::End(because), now);
                }
            }
            for other in dependents {
                let needs_it = self.slots.get(&other).is_some_and(|slot| {
                    slot.service.unit().needs.iter().any(|need| need.required && need.unit == name)
                });
                if needs_it {
                    open.push((other, Because::Needs(name.to_string())));
                }
            }
        }
    }

    /// Whether others that go after it have yet to end before it may.
    pub(super) fn is_held_up_by_dependents(&self, name: &UnitName) -> bool {
        let Some(slot) = self.slots.get(name) else {
            return false;
        };
        slot.dependents.iter().filter_map(|other| self.slots.get(other)).any(|other| {
            // One that is done may have a stop command to run.
            let is_there = other.service.life().is_some() || *other.service.state() == State::Done;
            is_there && other.service.want() == Want::Down
        })
    }
}

/// Whether its work is done; `condition` is what somebody else needs of it.
fn has_completed(state: &State, condition: Option<Condition>) -> bool {
    match state {
        State::Done | State::Down { why: Why::Completed } => true,
        State::Down { why: Why::Exited(exit) } => {
            exit.is_success() && condition == Some(Condition::ServiceCompletedSuccessfully)
        }
        State::Down { .. }
        | State::Blocked
        | State::Looking { .. }
        | State::Waiting { .. }
        | State::Preparing { .. }
        | State::Starting { .. }
        | State::Finishing { .. }
        | State::Clearing { .. }
        | State::Up { .. }
        | State::Reloading { .. }
        | State::Stopping { .. }
        | State::Killing { .. }
        | State::Failed { .. } => false,
    }
}

/// Whether it rests because nobody has wanted anything of it so far.
const fn is_untried(state: &State) -> bool {
    matches!(state, State::Down { why: Why::NotStarted | Why::NotEnabled })
}

/// Whether the program of the start that lives was executed.
pub(super) fn is_executed(service: &Service) -> bool {
    service.life().is_some_and(|life| matches!(life.first, First::Running(_) | First::Ended(_)))
}
