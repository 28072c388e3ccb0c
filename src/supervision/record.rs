//! [`Record`]: what the next supervisor must know about a service, kept on its leaf.

use serde::{Deserialize, Serialize};

use super::status::StateWord;
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
    /// What another build knows about this start, and gets back when its turn comes again.
    #[serde(flatten)]
    pub others: Others,
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
