//! [`Supervisor`]: all services. Routes events, lets dependencies speak, drains to rest.

use std::collections::BTreeSet;
use std::sync::Arc;

use thin_vec::ThinVec;

use super::activation::Guard;
use super::condition::Looked;
use super::name::UnitName;
use super::service::{Input, Service, State};
use super::slots::Slots;
use super::status::StateWord;
use super::times::{Origin, Waited};
use super::turns::Turns;
use super::unit::Unit;
use super::wants::{Needed, is_executed};
use super::why::{Because, Obstacle};
use super::{Action, Event, Moment, Order, Refusal, Want};

/// A service and what only the supervisor of all knows about it.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) service: Service,
    /// The unit from the next start on.
    pub(super) next: Option<Arc<Unit>>,
    /// The unit's file is gone.
    pub(super) gone: bool,
    /// It is blocked, and waiting will not help.
    pub(super) stuck: bool,
    /// Why it is wanted down, when it is, and nobody asked for that.
    pub(super) because: Option<Box<Because>>,
    /// Those that name this unit in `depends_on` or `after`.
    pub(super) dependents: ThinVec<UnitName>,
    /// Those that cannot live beside this unit, by its own word or by theirs.
    pub(super) rivals: ThinVec<UnitName>,
    /// What the loop was last asked to do about its triggers; `None` before that.
    pub(super) asked: Option<Guard>,
    /// What the loop has done about them.
    pub(super) guarded: Guard,
    pub(super) deadline: Option<Moment>,
}

impl Slot {
    pub(super) fn name(&self) -> &UnitName {
        &self.service.unit().name
    }

    /// The unit from the next start on.
    pub(super) fn newest(&self) -> &Arc<Unit> {
        self.next.as_ref().unwrap_or(self.service.unit())
    }
}

/// All services. Feed it events, then take its actions.
#[derive(Debug, Clone, Default)]
pub struct Supervisor {
    pub(super) slots: Slots,
    deadlines: BTreeSet<(Moment, UnitName)>,
    /// Services whose wants or surroundings have changed.
    pub(super) restless: BTreeSet<UnitName>,
    pub(super) actions: Vec<Action>,
    pub(super) going_down: bool,
    pub(super) turns: Turns,
}

impl Supervisor {
    /// Takes an order for one unit.
    ///
    /// # Errors
    /// [`Refusal`] says why the order makes no sense now; then nothing was changed.
    pub fn ask(&mut self, order: Order, name: &str, now: Moment) -> Result<(), Refusal> {
        let slot = self.slots.get(name).ok_or(Refusal::NoSuchUnit)?;
        let name = slot.name().clone();
        match order {
            Order::Start | Order::Restart if self.going_down => return Err(Refusal::GoingDown),
            Order::Start => {
                // A start while it is ending means: up again afterwards. One in the back-off means:
                // not later, now.
                if matches!(
                    slot.service.word(),
                    StateWord::Stopping | StateWord::Killing | StateWord::Waiting
                ) {
                    self.apply(&name, Input::End(Because::Restart), now);
                }
                self.want_up(&name, Origin::Asked, Needed::Missing, now);
            }
            Order::Restart => {
                if !matches!(slot.service.word(), StateWord::Down | StateWord::Blocked) {
                    self.apply(&name, Input::End(Because::Restart), now);
                }
                self.want_up(&name, Origin::Asked, Needed::Missing, now);
            }
            Order::Stop => self.want_down(&name, &Because::Asked, now),
            Order::Reload => {
                reload_is_possible(&slot.service)?;
                self.apply(&name, Input::Reload, now);
            }
        }
        self.settle(now);
        Ok(())
    }

    /// Wants everything down, and starts nothing any more.
    pub fn go_down(&mut self, now: Moment) {
        self.going_down = true;
        for slot in self.slots.values_mut() {
            slot.service.go_down();
            slot.because = Some(Box::new(Because::Shutdown));
            self.restless.insert(slot.name().clone());
        }
        self.settle(now);
    }

    /// Kills whatever still lives on the way down: the time for all of it is over, and nobody
    /// waits for anybody any more.
    pub fn kill_all(&mut self, now: Moment) {
        let names: BTreeSet<UnitName> = self.slots.names().cloned().collect();
        for name in names {
            self.apply(&name, Input::Kill(Because::OutOfTime), now);
        }
        self.settle(now);
    }

    /// Whether no service has processes.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.slots.values().all(|slot| slot.service.life().is_none())
    }

    /// Takes news about one start. News about another start than the one that lives is old.
    pub fn handle(&mut self, name: &str, start: u64, event: Event, now: Moment) {
        let Some(slot) = self.slots.get(name) else {
            return;
        };
        let name = slot.name().clone();
        if slot.service.life().is_some_and(|life| life.start == start) {
            self.apply(&name, Input::World(event), now);
            self.settle(now);
        }
    }

    /// Takes the answer to an [`Action::Look`]. What it needs may have gone meanwhile: then it waits
    /// for that, and is looked at again.
    pub fn looked(&mut self, name: &str, number: u64, looked: Looked, now: Moment) {
        let Some(slot) = self.slots.get(name) else {
            return;
        };
        let name = slot.name().clone();
        let obstacles = self.obstacles(name.as_str());
        let input = match obstacles.first().filter(|_| looked == Looked::Met) {
            None => Input::Looked(number, looked),
            Some(obstacle) => Input::Block(obstacle.waited()),
        };
        self.note_waits(&name, input == Input::Block(Waited::Turn));
        self.apply(&name, input, now);
        self.restless.insert(name);
        self.settle(now);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Moment) {
        while let Some((at, name)) = self.deadlines.first().cloned() {
            if at > now {
                break;
            }
            self.apply(&name, Input::Tick, now);
            self.restless.insert(name);
            self.settle(now);
        }
        self.tick_turns(now);
    }

    /// When [`Supervisor::tick`] will do something.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        let first = self.deadlines.first().map(|(at, _)| *at);
        first.into_iter().chain(self.turns.deadline()).min()
    }

    /// What the loop must do, in this order. Empties the list.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// One service.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.slots.get(name).map(|slot| &slot.service)
    }

    /// The unit that a service follows from its next start on.
    #[must_use]
    pub fn newest_unit(&self, name: &str) -> Option<&Arc<Unit>> {
        self.slots.get(name).map(|slot| slot.newest())
    }

    /// Those that name this unit in `depends_on` or `after`.
    #[must_use]
    pub fn dependents(&self, name: &str) -> Option<Vec<UnitName>> {
        self.slots.get(name).map(|slot| slot.dependents.to_vec())
    }

    /// Whether another unit waits for this one.
    #[must_use]
    pub fn has_dependents(&self, name: &str) -> bool {
        self.slots.get(name).is_some_and(|slot| !slot.dependents.is_empty())
    }

    /// Every service, by name.
    pub fn services(&self) -> impl Iterator<Item = (&UnitName, &Service)> {
        self.slots.iter().map(|(name, slot)| (name, &slot.service))
    }

    /// The only way to a service's `step`: keeps the deadlines, and wakes the neighbours.
    pub(super) fn apply(&mut self, name: &UnitName, input: Input, now: Moment) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        // All that others look at: `service_started` is met before the state changes, and
        // `service_healthy` may be met long after.
        let seen = |service: &Service| (service.word(), is_executed(service), service.health());
        let before = seen(&slot.service);
        slot.service.step(input, now, &mut self.actions);
        let after = seen(&slot.service);
        let changed = before != after;
        self.keep_deadline(name);
        match (before.0, after.0) {
            (from, to) if from == to => {}
            (_, StateWord::Starting) => {
                self.note_starting(name, true, now);
                self.note_waits(name, false);
            }
            (_, to) => {
                self.note_starting(name, false, now);
                if to != StateWord::Blocked {
                    self.note_waits(name, false);
                }
            }
        }
        if changed {
            self.wake_around(name);
        }
    }

    pub(super) fn keep_deadline(&mut self, name: &UnitName) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        let deadline = slot.service.deadline();
        if slot.deadline == deadline {
            return;
        }
        if let Some(old) = slot.deadline {
            self.deadlines.remove(&(old, name.clone()));
        }
        if let Some(new) = deadline {
            self.deadlines.insert((new, name.clone()));
        }
        slot.deadline = deadline;
    }

    pub(super) fn settle(&mut self, now: Moment) {
        while let Some(name) = self.restless.pop_first() {
            self.drive(&name, now);
        }
    }

    /// Brings one service a step nearer to what is wanted, if its surroundings allow it.
    fn drive(&mut self, name: &UnitName, now: Moment) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        if slot.service.life().is_none() {
            let next = slot.next.take();
            let gone = slot.gone;
            if let Some(unit) = next {
                self.follow(name, unit, Vec::new(), now);
            }
            if gone && !self.undo_gone(name, now) {
                return;
            }
        }
        self.keep_guard(name);
        let Some(slot) = self.slots.get(name) else {
            return;
        };
        let because = slot.because.as_deref().cloned().unwrap_or(Because::Asked);
        match (slot.service.want(), slot.service.state()) {
            (Want::Up | Want::Armed, State::Waiting { until, .. }) if *until > now => {}
            (Want::Armed, State::Waiting { .. }) => self.apply(name, Input::Rearm, now),
            (
                Want::Up,
                State::Down { .. } | State::Blocked | State::Waiting { .. } | State::Failed { .. },
            ) => {
                let obstacles = self.obstacles(name.as_str());
                let stuck = obstacles.iter().any(Obstacle::is_for_good);
                self.set_stuck(name, stuck);
                let input = match obstacles.first() {
                    None => Input::Begin,
                    Some(obstacle) => Input::Block(obstacle.waited()),
                };
                self.note_waits(name, input == Input::Block(Waited::Turn));
                self.apply(name, input, now);
            }
            (Want::Down, State::Blocked | State::Looking { .. } | State::Waiting { .. }) => {
                self.apply(name, Input::End(because), now);
            }
            (
                Want::Down,
                State::Preparing { .. }
                | State::Starting { .. }
                | State::Finishing { .. }
                | State::Up { .. }
                | State::Reloading { .. }
                | State::Done,
            ) if !self.is_held_up_by_dependents(name) => {
                self.apply(name, Input::End(because), now);
            }
            (
                Want::Up,
                State::Looking { .. }
                | State::Preparing { .. }
                | State::Starting { .. }
                | State::Finishing { .. }
                | State::Up { .. }
                | State::Reloading { .. }
                | State::Stopping { .. }
                | State::Killing { .. }
                | State::Clearing { .. }
                | State::Done,
            )
            | (
                Want::Armed,
                State::Down { .. }
                | State::Blocked
                | State::Looking { .. }
                | State::Preparing { .. }
                | State::Starting { .. }
                | State::Finishing { .. }
                | State::Up { .. }
                | State::Reloading { .. }
                | State::Stopping { .. }
                | State::Killing { .. }
                | State::Clearing { .. }
                | State::Done
                | State::Failed { .. },
            )
            | (
                Want::Down,
                State::Down { .. }
                | State::Failed { .. }
                | State::Preparing { .. }
                | State::Starting { .. }
                | State::Finishing { .. }
                | State::Up { .. }
                | State::Reloading { .. }
                | State::Stopping { .. }
                | State::Killing { .. }
                | State::Clearing { .. }
                | State::Done,
            ) => {}
        }
    }

    /// Forgets a service at rest whose unit is gone. Gives whether there is still something to
    /// do: a oneshot that is done is undone first.
    fn undo_gone(&mut self, name: &UnitName, now: Moment) -> bool {
        let Some(slot) = self.slots.get_mut(name) else {
            return false;
        };
        let service = &mut slot.service;
        service.set_want(Want::Down);
        slot.because = Some(Box::new(Because::UnitGone));
        let unit = service.unit();
        let has_to_undo = unit.stop.command.is_some() || !unit.hooks.stop_post.is_empty();
        if *service.state() == State::Done && has_to_undo {
            return true;
        }
        self.apply(name, Input::End(Because::UnitGone), now);
        self.keep_guard(name);
        self.slots.remove(name);
        // A record would count for a later unit of this name.
        self.actions.retain(|it| !matches!(it, Action::Save { name: of } if of == name));
        false
    }
}

fn reload_is_possible(service: &Service) -> Result<(), Refusal> {
    use super::unit::Reload;
    match (service.state(), service.unit().reload.as_deref()) {
        // Said before all else, for scripts tell what does not run from what cannot be done.
        (_, _) if service.life().is_none() => Err(Refusal::NotRunning),
        (_, None) => Err(Refusal::NoReload),
        (State::Up { .. }, Some(Reload::Signal(_))) if service.main_pid().is_none() => {
            Err(Refusal::NoMain)
        }
        (State::Up { .. }, Some(_)) => Ok(()),
        (_, Some(_)) => Err(Refusal::NotUp(service.word())),
    }
}
