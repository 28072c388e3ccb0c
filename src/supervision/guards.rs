//! Who is guarded how: keeps the loop's [`Guard`] of each unit at its level, and takes what
//! triggers.

use std::sync::Arc;

use super::activation::{Activation, Guard, Trigger};
use super::name::UnitName;
use super::service::{Input, Service, State};
use super::service_activation::is_triggered;
use super::supervisor::{Slot, Supervisor};
use super::times::Origin;
use super::unit::Unit;
use super::wants::Needed;
use super::why::Why;
use super::{Action, Moment, Want};

impl Slot {
    /// Whether whoever connects finds its socket, so that those that need it may begin.
    pub(super) fn listens(&self) -> bool {
        let activation = self.service.unit().activation.as_deref();
        let is_open = match self.guarded {
            Guard::Held | Guard::Watched => self.asked == Some(self.guarded),
            Guard::Off => false,
        };
        is_open
            && activation.is_some_and(Activation::listens_on_demand)
            && self.service.want() != Want::Down
    }

    /// Whether it is armed, and its socket is what it waits for.
    pub(super) fn waits_for_connections(&self) -> bool {
        let activation = self.service.unit().activation.as_deref();
        self.service.want() == Want::Armed && activation.is_some_and(Activation::listens_on_demand)
    }

    /// Whether its socket is about to be opened.
    pub(super) fn will_listen(&self) -> bool {
        self.waits_for_connections() && self.asked != Some(self.guarded)
    }
}

impl Supervisor {
    /// What a unit waits for has come: `by` says what, in words.
    pub fn trigger(&mut self, name: &str, trigger: Trigger, by: &str, now: Moment) {
        let Some(slot) = self.slots.get(name) else { return };
        if slot.service.want() != Want::Armed || slot.gone {
            return;
        }
        let (name, unit) = (slot.service.unit().name.clone(), Arc::clone(slot.newest()));
        let mut wanted = self.want_needs(&unit, Needed::Missing);
        wanted.insert(name.clone());
        self.stop_rivals(&wanted, now);
        if let Some(slot) = self.slots.get_mut(&name) {
            slot.service.set_origin(Origin::Triggered(by.to_owned()));
        }
        self.apply(&name, Input::Trigger(trigger), now);
        self.wake_around(&name);
        self.settle(now);
    }

    /// The loop has done what an [`Action::Guard`] asked for.
    pub fn guarded(&mut self, name: &UnitName, guard: Guard, now: Moment) {
        if let Some(slot) = self.slots.get_mut(name)
            && std::mem::replace(&mut slot.guarded, guard) != guard
        {
            self.wake_around(name);
            self.settle(now);
        }
    }

    /// The loop cannot watch what this unit waits for.
    pub fn cannot_arm(&mut self, name: &UnitName, reason: String, now: Moment) {
        self.apply(name, Input::CannotArm(reason), now);
        self.wake_around(name);
        self.settle(now);
    }

    /// Asks the loop for another guard where the level has changed.
    pub(super) fn keep_guard(&mut self, name: &UnitName) {
        let Some(slot) = self.slots.get_mut(name) else { return };
        let guard = slot.service.guard();
        if slot.asked == Some(guard) || (guard == Guard::Off && slot.asked.is_none()) {
            return;
        }
        slot.asked = Some(guard);
        let unit = Arc::clone(slot.service.unit());
        self.actions.push(Action::Guard { unit, guard });
    }

    /// A service follows another unit. What is wanted of one at rest changes where one of the two is
    /// triggered and the other is not.
    pub(super) fn follow(
        &mut self,
        name: &UnitName,
        unit: Arc<Unit>,
        older: Vec<String>,
        now: Moment,
    ) {
        let Some(slot) = self.slots.get_mut(name) else { return };
        let old = Arc::clone(slot.service.unit());
        if old.activation != unit.activation {
            let was_on = slot.asked.is_some_and(|asked| asked != Guard::Off);
            slot.asked = slot.asked.map(|_| Guard::Off).filter(|_| unit.activation.is_some());
            slot.guarded = Guard::Off;
            if was_on && unit.activation.is_none() {
                self.actions.push(Action::Guard { unit: Arc::clone(&old), guard: Guard::Off });
            }
        }
        let (before, after, enabled) = (is_triggered(&old), is_triggered(&unit), unit.enabled);
        self.apply(name, Input::Follow { unit, older }, now);
        let Some(slot) = self.slots.get(name) else { return };
        let service = &slot.service;
        let want = match (before, after, service.want()) {
            (true, false, Want::Armed) if enabled => Want::Up,
            (true, false, Want::Armed) => Want::Down,
            (false, true, Want::Down) if enabled && is_unhurt(service) => Want::Armed,
            (_, _, want) => want,
        };
        if want == Want::Up && service.want() != Want::Up {
            self.want_up(name, Origin::Enabled, Needed::Missing, now);
        } else if want != service.want() {
            self.set_want(name, want, None);
        }
    }

    /// Wants a unit that is enabled up, or armed where something starts it.
    pub(super) fn want_begun(&mut self, name: &UnitName, needed: Needed, now: Moment) {
        let Some(slot) = self.slots.get(name) else { return };
        match is_triggered(slot.newest()) {
            true => self.set_want(name, Want::Armed, None),
            false => self.want_up(name, Origin::Enabled, needed, now),
        }
    }
}

/// Whether it is down because it has done its work, or had none yet.
fn is_unhurt(service: &Service) -> bool {
    match service.state() {
        State::Down { why: Why::NotStarted | Why::Completed | Why::Skipped(_) } => true,
        State::Down { why: Why::Exited(exit) } => exit.is_success(),
        State::Down { .. }
        | State::Blocked
        | State::Looking { .. }
        | State::Waiting { .. }
        | State::Preparing { .. }
        | State::Starting { .. }
        | State::Finishing { .. }
        | State::Up { .. }
        | State::Reloading { .. }
        | State::Stopping { .. }
        | State::Killing { .. }
        | State::Clearing { .. }
        | State::Done
        | State::Failed { .. } => false,
    }
}
