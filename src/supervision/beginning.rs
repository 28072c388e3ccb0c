//! What a supervisor begins with: what an earlier one has left, and what is enabled.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::name::UnitName;
use super::record::Record;
use super::service::{Input, Service, State};
use super::service_activation::is_triggered;
use super::supervisor::{Slot, Supervisor};
use super::wants::Needed;
use super::why::{Because, Why};
use super::{Moment, Want};

impl Supervisor {
    /// Takes over what an earlier supervisor left of a unit that is loaded. Nothing is done about
    /// it before all are taken over and [`Supervisor::go_on`] is called: whom a service must wait for
    /// is not known earlier.
    pub fn adopt(&mut self, name: &str, record: &Record, populated: bool, now: Moment) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        let name = slot.name().clone();
        slot.service.adopt(record, populated, now, &mut self.actions);
        // One that was starting already takes no turn: it may have given its own back before.
        self.keep_deadline(&name);
        self.wake_around(&name);
    }

    /// No start of this unit gets a number up to `number`.
    pub fn skip_starts(&mut self, name: &str, number: u64) {
        if let Some(slot) = self.slots.get_mut(name) {
            slot.service.skip_starts(number);
        }
    }

    /// Wants every one of `names` up that is enabled and was never started, with what it needs, or
    /// armed where something starts it. Of those that conflict the first by name is wanted, and none
    /// that conflicts with one that is wanted already.
    pub fn start_enabled(&mut self, names: &[UnitName], now: Moment) {
        self.begin_enabled(names, Needed::Missing, now);
        self.settle(now);
    }

    /// Goes on where the supervisor before was, and wants up or armed what is enabled and was never
    /// started, as [`Supervisor::start_enabled`] does. Whoever is blocked by one that has failed, was
    /// stopped or skipped, stays so: nothing has happened that would be a reason to try that again.
    pub fn go_on(&mut self, names: &[UnitName], now: Moment) {
        let is_left = |service: &Service| service.want() == Want::Up && service.life().is_none();
        let left = self.slots.values().filter(|slot| !self.going_down && is_left(&slot.service));
        let left: Vec<_> = left.map(|slot| Arc::clone(slot.newest())).collect();
        self.begin_enabled(names, Needed::NeverStarted, now);
        for unit in left {
            self.want_needs(&unit, Needed::NeverStarted);
        }
        self.settle(now);
    }

    fn begin_enabled(&mut self, names: &[UnitName], needed: Needed, now: Moment) {
        let is_fresh = |slot: &Slot| {
            let goes_on = needed == Needed::NeverStarted && slot.service.want() != Want::Down;
            let state = slot.service.state();
            matches!(state, State::Down { why: Why::NotStarted })
                && !goes_on
                && slot.service.unit().enabled
        };
        // What something starts is armed first: then it is there for those that need it, or is
        // wanted up by them, whatever it is called.
        let names: BTreeSet<(bool, &UnitName)> = names
            .iter()
            .filter_map(|name| Some((!is_triggered(self.slots.get(name)?.newest()), name)))
            .collect();
        for (_, name) in names {
            if self.going_down || !self.slots.get(name).is_some_and(is_fresh) {
                continue;
            }
            match self.beaten_by(name) {
                Some(rival) => {
                    let why = Why::Ended(Because::Conflicts(rival.to_string()));
                    self.apply(name, Input::Rest(why), now);
                }
                None => self.want_begun(name, needed, now),
            }
        }
    }
}
