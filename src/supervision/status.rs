//! What outsiders may see, and the state words: the same in code, `slc`, README, journal, tests.
//!
//! Plain data that travels over the control socket; `org.treeward.Supervisor.varlink` describes
//! the same types and a test holds the two against each other.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateWord {
    /// Not running, and nobody wants it to.
    Down,
    /// Wanted up, and waits for a unit it needs.
    Blocked,
    /// Wanted up, and sits out its back-off before the next start.
    Waiting,
    /// Its processes exist, and it is not up yet.
    Starting,
    /// Doing its work.
    Up,
    /// Up, and reading its configuration again.
    Reloading,
    /// Asked to end; its processes may take their grace period.
    Stopping,
    /// The whole tree was killed; the leaf is not empty yet.
    Killing,
    /// A oneshot that ended with 0 and remains.
    Done,
    /// Given up on; `why` tells the reason.
    Failed,
}

impl StateWord {
    /// Every word, in the order of the README.
    pub const ALL: [Self; 10] = [
        Self::Down,
        Self::Blocked,
        Self::Waiting,
        Self::Starting,
        Self::Up,
        Self::Reloading,
        Self::Stopping,
        Self::Killing,
        Self::Done,
        Self::Failed,
    ];

    /// The word itself.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Blocked => "blocked",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Reloading => "reloading",
            Self::Stopping => "stopping",
            Self::Killing => "killing",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Whether processes of the service exist in this state.
    #[must_use]
    pub const fn is_alive(self) -> bool {
        match self {
            Self::Starting | Self::Up | Self::Reloading | Self::Stopping | Self::Killing => true,
            Self::Down | Self::Blocked | Self::Waiting | Self::Done | Self::Failed => false,
        }
    }
}

impl fmt::Display for StateWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The words for a service's health, which stand beside the state of one that is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthWord {
    /// No check has passed yet.
    Starting,
    /// The last checks that count did not fail.
    Healthy,
    /// Too many checks in a row have failed, or a keep-alive was missed.
    Unhealthy,
}

impl HealthWord {
    /// The word itself.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for HealthWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One service in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The unit's name.
    pub name: String,
    /// The unit's description; empty when it has none.
    pub description: String,
    /// The state.
    pub state: StateWord,
    /// The word for its health, while it is up and has a healthcheck or a watchdog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthWord>,
    /// When the state was entered: milliseconds since the Unix epoch.
    pub since: u64,
    /// Whether the service is wanted up.
    pub wanted: bool,
    /// Why it is in this state, in words; empty when there is nothing to say.
    pub why: String,
    /// The main process, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main_pid: Option<u32>,
    /// Restarts since a person last asked for a start.
    pub restarts: u32,
}

/// A unit file that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The unit's name, or the file's when that is no name.
    pub name: String,
    /// The whole diagnostic, several lines: file, line, column, excerpt, what was expected.
    pub text: String,
}

/// A unit that is not to be, though a file of an earlier directory or a template says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// The unit's name.
    pub name: String,
    /// The link to `/dev/null` in its place.
    pub link: String,
}

/// All that is known of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The line that `list` shows.
    pub summary: Summary,
    /// The unit file.
    pub source: String,
    /// The drop-ins that were merged into it, in the order in which they count.
    #[serde(default)]
    pub drop_ins: Vec<String>,
    /// What triggered it last, in words, if that is why it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triggered_by: Option<String>,
    /// The type's word: auto, simple, forking, oneshot, notify.
    pub kind: String,
    /// The number of the last start; 0 before the first.
    pub start: u64,
    /// Whether `start_pre` and `stop_post` commands take such numbers, too, so that it is no count
    /// of starts.
    #[serde(default)]
    pub hooks_are_numbered: bool,
    /// The first process of this start while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_pid: Option<u32>,
    /// Absolute path of the leaf while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// What the service says of itself by `STATUS=`; empty when nothing.
    pub status_text: String,
    /// Failed checks in a row, and what the last one said; empty while they pass.
    #[serde(default)]
    pub health_text: String,
    /// How the last process that mattered ended; empty before that.
    pub last_exit: String,
    /// Proof of the last stop: how many processes, how long until empty; empty before that.
    pub last_stop: String,
    /// Names of units it waits for while it is blocked.
    pub waiting_for: Vec<String>,
    /// Keys of the unit file that changed since this start, and count from the next one on.
    #[serde(default)]
    pub older_keys: Vec<String>,
    /// Limits that the unit asks for and this system cannot hold, in words.
    pub missing_limits: Vec<String>,
    /// What was found wrong about its unit when the unit files were read: whole diagnostics.
    #[serde(default)]
    pub findings: Vec<String>,
    /// CPU time of the unit in microseconds, over all its starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_usec: Option<u64>,
    /// Memory of the unit in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Number of processes in the leaf.
    pub processes: u64,
    /// The processes, parents before children, at most [`MAX_TREE`].
    pub tree: Vec<ProcessStatus>,
    /// The log file.
    pub log: String,
}

/// The most processes that one status answer describes; the rest is only counted, so that a
/// fork bomb cannot make the supervisor read `/proc` for ever.
pub const MAX_TREE: usize = 512;

/// One process of a service's tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Its id as the supervisor sees it.
    pub pid: u32,
    /// Its id in a pid namespace of its own, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner_pid: Option<u32>,
    /// Its parent's id.
    pub parent: u32,
    /// How deep it stands below a process whose parent is outside the leaf: 0 and up.
    pub depth: u32,
    /// Milliseconds since it was started.
    pub age: u64,
    /// The kernel's state letter: R S D Z T t I.
    pub state: String,
    /// The command line, or the name in brackets where there is none. Not cleaned: it may hold
    /// control characters.
    pub command: String,
    /// Whether its parent died and the supervisor (or an init) became its parent.
    pub adopted: bool,
    /// Whether it is the main process.
    pub main: bool,
    /// What it waits for in the kernel, only for state D and t; else empty.
    pub wait_channel: String,
}

/// A socket of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketStatus {
    /// The unit.
    pub unit: String,
    /// Its name in the unit.
    pub name: String,
    /// Where it listens, and for what, in words.
    pub address: String,
    /// Whether it is open.
    pub open: bool,
    /// Whether the next connection starts the unit.
    pub watched: bool,
    /// The unit's state.
    pub state: StateWord,
}

/// One timer of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerStatus {
    /// The unit.
    pub unit: String,
    /// The timer, as it is written.
    pub timer: String,
    /// When it is due next, in milliseconds since the Unix epoch; absent when it is not armed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// When the unit was last started, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// How the last run ended; empty when it has not, or is not known.
    pub result: String,
    /// The unit's state.
    pub state: StateWord,
}

/// One path that starts a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStatus {
    /// The unit.
    pub unit: String,
    /// The path.
    pub path: String,
    /// What about it: exists, changed, modified or directory_not_empty.
    pub condition: String,
    /// Whether it is looked at.
    pub watched: bool,
    /// The unit's state.
    pub state: StateWord,
}

/// What became of an order for one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The unit.
    pub unit: String,
    /// Whether the order was carried out.
    pub done: bool,
    /// The state now.
    pub state: StateWord,
    /// One line for people: what happened, or why not.
    pub message: String,
}

/// A change of state, as `watch` streams it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The unit.
    pub unit: String,
    /// The start it belongs to.
    pub start: u64,
    /// The state before.
    pub from: StateWord,
    /// The state now.
    pub to: StateWord,
    /// Why, in words.
    pub why: String,
    /// When: milliseconds since the Unix epoch.
    pub at: u64,
}
