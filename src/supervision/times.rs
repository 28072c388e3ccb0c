//! When the last start of a service was due, began and came up, what it waited for, and who wanted it.

use serde::{Deserialize, Serialize};

use super::Moment;
use super::service::{Service, State};
use super::status::StateWord;
use super::why::Why;

/// The moments of one start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// When it was wanted: by a person, by the boot, or because the run before it had ended.
    pub due: Moment,
    /// When its back-off was over; the same as `due` where there was none.
    pub free: Moment,
    /// When its first process was asked for.
    pub began: Moment,
    /// When it was up, done or completed, if it came to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<Moment>,
    /// What it waited for last, between `free` and `began`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<Waited>,
}

/// What a blocked service waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waited {
    /// Another unit.
    Unit(String),
    /// Its turn, because so many are starting already.
    Turn,
}

/// Who wanted a service up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Its unit is enabled.
    Enabled,
    /// A person gave an order.
    Asked,
    /// A unit that needs it.
    Needed(String),
    /// A connection, a timer or a path, in words.
    Triggered(String),
}

/// A start that waits, before it has begun.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pending {
    /// When it was due, if that was before it was blocked.
    due: Option<Moment>,
    waits_for: Option<Waited>,
}

impl Service {
    /// The moments of the last start.
    pub fn times(&self) -> Option<&Times> {
        self.times.as_deref()
    }

    /// Who wanted it up last.
    pub const fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// What triggered it last, in words, if that is why it is wanted.
    pub fn triggered_by(&self) -> Option<String> {
        match &self.origin {
            Some(Origin::Triggered(by)) => Some(by.clone()),
            Some(Origin::Enabled | Origin::Asked | Origin::Needed(_)) | None => None,
        }
    }

    /// Notes who wants it up.
    pub fn set_origin(&mut self, origin: Origin) {
        self.origin = Some(origin);
    }

    /// Forgets all of this, on which no decision rests: so two worlds of a walk are the same.
    #[cfg(test)]
    pub fn without_history(&self) -> Self {
        Self { times: None, origin: None, pending: None, ..self.clone() }
    }

    /// A start begins from this state.
    pub(super) fn note_begin(&mut self, from: &State, now: Moment) {
        let pending = self.pending.take().map(|pending| *pending).unwrap_or_default();
        let (due, free) = match from {
            State::Waiting { .. } => (self.since, now),
            State::Blocked | State::Looking { .. } => {
                (pending.due.unwrap_or(self.since), self.since)
            }
            State::Down { .. }
            | State::Preparing { .. }
            | State::Starting { .. }
            | State::Finishing { .. }
            | State::Up { .. }
            | State::Reloading { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Clearing { .. }
            | State::Done
            | State::Failed { .. } => (now, now),
        };
        let waited_for = pending.waits_for;
        self.times = Some(Box::new(Times { due, free, began: now, up: None, waited_for }));
    }

    /// A start is held up in this state.
    pub(super) fn note_block(&mut self, from: &State, waits_for: Waited) {
        let pending = self.pending.get_or_insert_default();
        match from {
            State::Waiting { .. } => pending.due = Some(self.since),
            State::Blocked | State::Looking { .. } => {}
            State::Down { .. }
            | State::Preparing { .. }
            | State::Starting { .. }
            | State::Finishing { .. }
            | State::Up { .. }
            | State::Reloading { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Clearing { .. }
            | State::Done
            | State::Failed { .. } => pending.due = None,
        }
        pending.waits_for = Some(waits_for);
    }

    /// The state has changed from this one.
    pub(super) fn note_change(&mut self, from: StateWord, now: Moment) {
        let has_come = match &self.state {
            State::Up { .. }
            | State::Reloading { .. }
            | State::Done
            | State::Down { why: Why::Completed } => true,
            State::Down { .. }
            | State::Blocked
            | State::Looking { .. }
            | State::Waiting { .. }
            | State::Preparing { .. }
            | State::Starting { .. }
            | State::Finishing { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Clearing { .. }
            | State::Failed { .. } => false,
        };
        // A oneshot that leaves something behind is done once that is ended.
        let was_starting = matches!(from, StateWord::Starting | StateWord::Stopping);
        if let Some(times) = self.times.as_mut().filter(|_| was_starting && has_come) {
            times.up.get_or_insert(now);
        }
    }
}
