//! What is wanted of whom because of whom, and who keeps whom from it.

use super::Want;
use super::name::UnitName;
use super::service::State;
use super::service_life::{First, Life};
use super::status::StateWord;
use super::supervisor::Supervisor;
use super::unit::{Condition, Need};
use super::why::{Because, Obstacle, Why};

impl Supervisor {
    /// What keeps a service from starting, first what waiting will not help.
    #[must_use]
    pub fn obstacles(&self, name: &str) -> Vec<Obstacle> {
        let Some(slot) = self.slots.get(name) else {
            return Vec::new();
        };
        let unit = slot.service.unit();
        let needs = unit.needs.iter().filter_map(|need| self.obstacle(need));
        let after = unit.after.iter().filter(|name| {
            let word = self.slots.get(*name).map(|slot| slot.service.word());
            matches!(word, Some(StateWord::Blocked | StateWord::Starting))
        });
        let mut all: Vec<Obstacle> = needs.chain(after.cloned().map(Obstacle::NotYet)).collect();
        all.sort_by_key(|obstacle| matches!(obstacle, Obstacle::NotYet(_)));
        all
    }

    fn obstacle(&self, need: &Need) -> Option<Obstacle> {
        let never = |what| need.required.then(|| Obstacle::Never(need.unit.clone(), what));
        let Some(slot) = self.slots.get(&need.unit).filter(|slot| !slot.gone) else {
            return never("is not loaded");
        };
        let service = &slot.service;
        let wait = Some(Obstacle::NotYet(need.unit.clone()));
        match (service.state(), need.condition) {
            (State::Done, _) | (State::Down { why: Why::Completed }, _) => None,
            (State::Down { why: Why::Exited(exit) }, Condition::ServiceCompletedSuccessfully)
                if exit.is_success() =>
            {
                None
            }
            (
                State::Up { .. } | State::Reloading { .. },
                Condition::ServiceStarted | Condition::ServiceHealthy,
            ) => None,
            (State::Starting { life, .. }, Condition::ServiceStarted) if is_executed(life) => None,
            // An optional one that already failed once holds nobody up.
            (State::Waiting { .. }, _) if !need.required => None,
            (State::Failed { .. }, _) if service.want() == Want::Down => never("failed"),
            (State::Down { .. }, _) if service.want() == Want::Down => never("is down"),
            _ => wait,
        }
    }

    pub(super) fn want_up(&mut self, name: &UnitName) {
        let mut open = vec![name.clone()];
        let mut first = true;
        while let Some(name) = open.pop() {
            let Some(slot) = self.slots.get_mut(&name) else {
                continue;
            };
            let done =
                matches!(slot.service.state(), State::Done | State::Down { why: Why::Completed });
            // What a person named is started in any case; what it needs, only if it is not there.
            if first || (slot.service.want() == Want::Down && !done) {
                slot.service.set_want(Want::Up);
                open.extend(slot.service.unit().needs.iter().map(|need| need.unit.clone()));
                self.restless.insert(name);
            }
            first = false;
        }
    }

    pub(super) fn want_down(&mut self, name: &UnitName, because: &Because) {
        let mut open = vec![(name.clone(), because.clone())];
        while let Some((name, because)) = open.pop() {
            let Some(slot) = self.slots.get_mut(&name) else {
                continue;
            };
            let asked = because == Because::Asked;
            if slot.service.want() == Want::Down && !asked {
                continue;
            }
            slot.service.set_want(Want::Down);
            slot.because = because;
            let dependents = slot.dependents.clone();
            self.restless.insert(name.clone());
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
        slot.dependents
            .iter()
            .filter_map(|other| self.slots.get(other))
            .any(|other| other.service.life().is_some() && other.service.want() == Want::Down)
    }
}

const fn is_executed(life: &Life) -> bool {
    matches!(life.first, First::Running(_) | First::Ended(_))
}
