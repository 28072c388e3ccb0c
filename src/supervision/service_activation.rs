//! What triggers do to a service, and what is wanted of it when a run is over.

use super::activation::{Activation, Guard, Trigger};
use super::service::{Service, State};
use super::unit::{RestartPolicy, Unit};
use super::why::{Because, Why};
use super::{Moment, Want};

impl Service {
    /// What the loop must do about the triggers.
    pub fn guard(&self) -> Guard {
        if self.unit.activation.is_none() {
            return Guard::Off;
        }
        match (self.want, &self.state) {
            (Want::Armed, State::Down { .. } | State::Failed { .. }) => Guard::Watched,
            (Want::Up, _)
            | (
                _,
                State::Preparing { .. }
                | State::Starting { .. }
                | State::Finishing { .. }
                | State::Up { .. }
                | State::Reloading { .. }
                | State::Stopping { .. }
                | State::Killing { .. }
                | State::Clearing { .. },
            ) => Guard::Held,
            // An armed one in its back-off could not be watched.
            (
                Want::Armed,
                State::Blocked | State::Looking { .. } | State::Waiting { .. } | State::Done,
            )
            | (
                Want::Down,
                State::Down { .. }
                | State::Blocked
                | State::Looking { .. }
                | State::Waiting { .. }
                | State::Done
                | State::Failed { .. },
            ) => Guard::Off,
        }
    }

    /// What it waited for has come. The supervisor lets it begin when its needs allow that. One
    /// whose last run was no healthy one, and that would be started again at once because nothing
    /// has changed, gets the pause and the limit of a restart: nothing may spin.
    pub(super) fn trigger(&mut self, state: State, trigger: Trigger, now: Moment) -> State {
        let why = match state {
            State::Down { why } | State::Failed { why } if self.want == Want::Armed => why,
            other @ (State::Down { .. }
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
            | State::Failed { .. }) => return other,
        };
        self.want = Want::Up;
        let was_short = self.ran_for.is_some_and(|ran| ran < self.unit.restart.healthy_after);
        match trigger {
            Trigger::Standing if was_short => {
                let state = self.again(why, now);
                if matches!(state, State::Failed { .. }) {
                    self.want = Want::Down;
                }
                state
            }
            Trigger::Fresh | Trigger::Standing => {
                self.attempts = 0;
                State::Down { why }
            }
        }
    }

    /// What it is to wait for cannot be watched: that is tried again as a start would be.
    pub(super) fn cannot_arm(&mut self, state: State, reason: String, now: Moment) -> State {
        match state {
            State::Down { .. } | State::Failed { .. } if self.want == Want::Armed => {}
            other => return other,
        }
        let why = Why::Ended(Because::CannotStart { reason, passing: true });
        if self.unit.restart.policy == RestartPolicy::No {
            self.want = Want::Down;
            return State::Failed { why };
        }
        let state = self.again(why, now);
        if matches!(state, State::Failed { .. }) {
            self.want = Want::Down;
        }
        state
    }

    /// The pause after [`Self::cannot_arm`] is over.
    pub(super) fn rearm(&self, state: State) -> State {
        match state {
            State::Waiting { why, .. } if self.want == Want::Armed => State::Down { why },
            other => other,
        }
    }

    /// What is wanted of it now that nothing starts it again by itself.
    pub(super) fn want_at_rest(&self, why: &Why) -> Want {
        let listens = self.unit.activation.as_deref().is_some_and(Activation::listens_on_demand);
        match why.is_failure() {
            _ if !is_triggered(&self.unit) => Want::Down,
            // The connection still waits, and would start it again at once.
            true if listens => Want::Down,
            true | false => Want::Armed,
        }
    }
}

/// Whether something starts this unit.
pub(super) fn is_triggered(unit: &Unit) -> bool {
    unit.activation.as_deref().is_some_and(Activation::is_triggered)
}
