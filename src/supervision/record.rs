//! [`Record`]: what the next supervisor must know about a service, kept on its leaf.

use serde::{Deserialize, Serialize};

use super::hooks::Step;
use super::status::{HealthWord, StateWord};
use super::times::{Origin, Times};
use super::unit::Millis;
use super::why::{Because, Why};
use super::{Moment, Pid};

/// What is kept on the leaf while a start lives, and in the run directory while it rests.
/// Unknown fields are kept and missing ones have defaults, so that two builds understand each
/// other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The start's number.
    pub start: u64,
    /// The state.
    pub state: StateWord,
    /// When the state was entered, on the monotonic clock of this boot.
    #[serde(default)]
    pub since: Moment,
    /// Whether the service is wanted up.
    #[serde(default = "yes")]
    pub wanted: bool,
    /// Whether it waits for what starts it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub armed: bool,
    /// When the last start began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Moment>,
    /// The first process, if it was alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Pid>,
    /// The main process, if it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main: Option<Pid>,
    /// The stop command, if it was running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Pid>,
    /// Whether the stop command was about to be run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub control_due: bool,
    /// The step of a start or an end that it was at, where there are hooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Box<Step>>,
    /// When the start or the stop runs out of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Moment>,
    /// Why it is being ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
    /// Why it is at rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
    /// Restarts since a person last asked for a start.
    #[serde(default)]
    pub restarts: u32,
    /// Restarts in a row without a healthy run.
    #[serde(default)]
    pub attempts: u32,
    /// Whether the unit's cgroup was given limits: one that the unit has no more must be taken off.
    #[serde(default, skip_serializing_if = "is_false")]
    pub limited: bool,
    /// Keys of the unit file that changed since this start, and count from the next one on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub older: Vec<String>,
    /// When this start was due, began and came up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<Box<Times>>,
    /// Who wanted it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What its checks have shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Box<KeptHealth>>,
    /// The watchdog's limit in milliseconds, if the service has changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<Millis>,
    /// What another build knows about this start, and gets back when its turn comes again.
    #[serde(flatten)]
    pub others: Others,
}

#[cfg(test)]
impl Record {
    /// Forgets what no decision rests on: see [`super::service::Service::without_history`].
    pub fn without_history(&self) -> Self {
        Self { times: None, origin: None, ..self.clone() }
    }
}

/// What the next supervisor must know of a unit's checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptHealth {
    /// The word.
    pub word: HealthWord,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// Why the last one failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Fields that this build does not know.
pub type Others = serde_json::Map<String, serde_json::Value>;

const fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}
