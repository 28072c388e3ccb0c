//! What a changed unit does to a service at once: limits, deadlines that run, a back-off.

use std::sync::Arc;

use super::service::{Service, State};
use super::unit::{Millis, Unit};
use super::why::Why;
use super::{Action, Moment};

impl Service {
    /// Follows another unit. What runs by the old one's times is measured anew by the new one's.
    pub(super) fn follow(
        &mut self,
        state: State,
        unit: Arc<Unit>,
        older: Vec<String>,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        self.older = older.into();
        let old = std::mem::replace(&mut self.unit, Arc::clone(&unit));
        // A unit that was never started has no cgroup; its first start will set them.
        if old.limits != unit.limits && self.starts > 0 {
            out.push(Action::SetLimits { unit: Arc::clone(&unit) });
        }
        match state {
            State::Starting { life, give_up } => {
                let give_up = match (old.start_timeout, unit.start_timeout, give_up) {
                    (_, None, _) => None,
                    (Some(old), Some(new), Some(at)) => Some(moved(at, old, new)),
                    (_, Some(new), _) => Some(self.since + new),
                };
                State::Starting { life, give_up }
            }
            State::Stopping { life, because, kill_at } => {
                let kill_at = moved(kill_at, old.stop.grace, unit.stop.grace);
                State::Stopping { life, because, kill_at }
            }
            State::Waiting { until, why } if old.restart != unit.restart => {
                self.wait_anew(until, why, now)
            }
            State::Down { why: Why::NotStarted | Why::NotEnabled } => {
                let why = if unit.enabled { Why::NotStarted } else { Why::NotEnabled };
                State::Down { why }
            }
            same @ (State::Down { .. }
            | State::Blocked
            | State::Looking { .. }
            | State::Waiting { .. }
            | State::Preparing { .. }
            | State::Finishing { .. }
            | State::Clearing { .. }
            | State::Up { .. }
            | State::Reloading { .. }
            | State::Killing { .. }
            | State::Done
            | State::Failed { .. }) => same,
        }
    }

    /// Asks the new policy about the back-off that runs. A shorter pause counts from when this one
    /// began; a longer one does not hold up what was promised for sooner than now.
    fn wait_anew(&mut self, until: Moment, why: Why, now: Moment) -> State {
        let restart = &self.unit.restart;
        if !restart.is_due(&why) {
            return self.rest(why);
        }
        if until <= now {
            return State::Waiting { until, why };
        }
        let pause = restart.pause(self.attempts.saturating_sub(1));
        State::Waiting { until: self.since + pause, why }
    }
}

/// A deadline that was set by the old time-out, by the new one; what prolonged it still does.
const fn moved(at: Moment, old: Millis, new: Millis) -> Moment {
    at.saturating_add(new).saturating_sub(old)
}
