//! [`Unit`]: what the operator wants, already valid. Only `unit_file` makes one from text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thin_vec::ThinVec;

use super::activation::Activation;
use super::argv::Argv;
use super::condition::Entry;
use super::hooks::Hooks;
use super::name::UnitName;

/// A span of time in milliseconds.
pub type Millis = u64;

/// What the operator wrote about one service, checked and complete. Small, because there may be
/// ten thousand: a part that most units say nothing about is one that they share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The file's name without its ending.
    pub name: UnitName,
    /// The file it was read from.
    pub source: Box<Path>,
    /// The drop-ins that were merged into it, in the order in which they count. Mostly none.
    pub drop_ins: ThinVec<PathBuf>,
    /// One line for people; empty when the unit has none.
    pub description: Box<str>,
    /// How the service tells that it is up.
    pub kind: Kind,
    /// What makes it up, where that is not what its type says.
    pub ready: Option<Box<Ready>>,
    /// How it is found out whether a service that is up does its work, if that is.
    pub health: Option<Box<HealthCheck>>,
    /// How often the service must say that it is well, if it must.
    pub watchdog: Option<Watchdog>,
    /// The program and its arguments.
    pub command: Argv,
    /// How the service is stopped.
    pub stop: Arc<Stop>,
    /// How the service is told to read its configuration again, if it can be.
    pub reload: Option<Box<Reload>>,
    /// What happens when the service ends unasked.
    pub restart: Arc<Restart>,
    /// How long a start may take; `None` waits for ever.
    pub start_timeout: Option<Millis>,
    /// What must be there before this unit starts.
    pub needs: ThinVec<Need>,
    /// Units that go first when both are to start, and last when both are to stop.
    pub after: ThinVec<UnitName>,
    /// Units that cannot live beside this one, in whichever of the two it is written.
    pub conflicts: ThinVec<UnitName>,
    /// What must hold when this unit is about to start.
    pub conditions: ThinVec<Entry>,
    /// Commands before and after the service. Shared, because most units have none.
    pub hooks: Arc<Hooks>,
    /// Where the daemon writes its main process id; a hint, never a fact.
    pub pid_file: Option<Box<Path>>,
    /// Whether the unit starts when the supervisor starts, or waits then for what starts it.
    pub enabled: bool,
    /// What starts it, and the sockets that it is given. Shared and rare.
    pub activation: Option<Arc<Activation>>,
    /// Everything the forked child sets up before it executes the command.
    pub process: Arc<Process>,
    /// What the unit's cgroup may use.
    pub limits: Arc<Limits>,
    /// Whether the leaf is the service's own, to make cgroups in and to hand controllers down.
    pub delegate: bool,
}

/// When a service counts as up, and when its first process decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Up once the program was executed; alive while any process of its leaf lives.
    Auto,
    /// Up once executed; over when the first process ends.
    Simple,
    /// Up when the first process exits with 0 and leaves others behind.
    Forking,
    /// Up (as `done`) when the first process exits with 0.
    Oneshot {
        /// Whether it then stays `done` until it is stopped.
        remain_after_exit: bool,
    },
    /// Up when a process of the leaf says `READY=1` (sd_notify(3)).
    Notify,
}

impl Kind {
    /// The word used in unit files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Simple => "simple",
            Self::Forking => "forking",
            Self::Oneshot { .. } => "oneshot",
            Self::Notify => "notify",
        }
    }
}

impl Unit {
    /// What makes it up. For a oneshot, which is done when its first process is, it says nothing.
    #[must_use]
    pub const fn ready(&self) -> &Ready {
        match (&self.ready, self.kind) {
            (Some(ready), _) => ready,
            (None, Kind::Auto | Kind::Simple | Kind::Oneshot { .. }) => &Ready::Exec,
            (None, Kind::Forking) => &Ready::Fork,
            (None, Kind::Notify) => &Ready::Notify,
        }
    }

    /// Whether there is more to a start than that the program is executed.
    #[must_use]
    pub fn starts_in_steps(&self) -> bool {
        let is_oneshot = matches!(self.kind, Kind::Oneshot { .. });
        is_oneshot || *self.ready() != Ready::Exec || self.hooks.has_before_up()
    }
}

/// What makes a service up. Its type says when it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// Its program was executed.
    Exec,
    /// Its first process exited with 0 and left others behind.
    Fork,
    /// A process of the leaf said `READY=1` (sd_notify(3)).
    Notify,
    /// A newline on the descriptor of this number (s6's protocol).
    Fd(u32),
    /// A line of its output that this regular expression matches.
    Log(String),
    /// A check passed that is made again and again.
    Polled(Box<Polled>),
}

/// A check that is made until it passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// What is looked at.
    pub probe: Probe,
    /// The pause between two checks; never 0.
    pub interval: Millis,
    /// How long one may take; never 0.
    pub timeout: Millis,
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The unit's `pid_file`: it names a process of the leaf.
    PidFile,
    /// A command, run beside the leaf with the unit's user and environment: it exits with 0.
    Command(Vec<String>),
    /// Somebody accepts connections there.
    Tcp(Address),
    /// A GET there is answered by a status of 200 to 399.
    Http(Http),
}

/// An address to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The IP address, without brackets.
    pub ip: String,
    /// The port.
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { ip, port } = self;
        if ip.contains(':') { write!(f, "[{ip}]:{port}") } else { write!(f, "{ip}:{port}") }
    }
}

/// A page to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Whom to connect to.
    pub address: Address,
    /// The host as the URL has it, with its port where that is written.
    pub host: String,
    /// The path, with the query.
    pub path: String,
}

/// How it is found out whether a service that is up does its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is looked at.
    pub probe: Probe,
    /// The pause between two checks; never 0.
    pub interval: Millis,
    /// How long one may take; never 0.
    pub timeout: Millis,
    /// So many failures in a row make it unhealthy; never 0.
    pub retries: u32,
    /// Failures do not count for so long after it came up.
    pub start_period: Millis,
    /// The pause between two checks until the first has passed; never 0.
    pub start_interval: Millis,
    /// What is done when it is unhealthy.
    pub on_failure: OnFailure,
}

/// How often a service must say that it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watchdog {
    /// The longest time between two keep-alives; never 0.
    pub limit: Millis,
    /// What is done when one is missed.
    pub on_failure: OnFailure,
}

/// What is done about a service that is unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// It is ended as a failure, and its restart policy is asked.
    Restart,
    /// It is ended and stays `failed`.
    Stop,
    /// It is shown and logged, and nothing else.
    Notify,
}

/// How a service is stopped: command, then signal, then after the grace period the whole tree is
/// killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Run in the leaf before the signal is sent.
    pub command: Option<Vec<String>>,
    /// The signal's number, SIGTERM unless the unit says otherwise.
    pub signal: i32,
    /// How long the processes may take before they are killed.
    pub grace: Millis,
    /// Who gets the signal.
    pub kill_mode: KillMode,
}

/// How a unit is stopped that says nothing about it: SIGTERM for every process, and ten seconds.
impl Default for Stop {
    fn default() -> Self {
        const TERM: i32 = 15;
        let kill_mode = KillMode::ControlGroup;
        Self { command: None, signal: TERM, grace: 10_000, kill_mode }
    }
}

/// Who gets the stop signal. The kill after the grace period always takes the whole tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillMode {
    /// Every process of the leaf (`control-group`, the default).
    ControlGroup,
    /// The main process where it is known, otherwise every process (`mixed`).
    Mixed,
}

/// How a service is told to read its configuration again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// A signal to the main process.
    Signal(i32),
    /// A command run in the leaf.
    Command(Vec<String>),
}

/// What happens when a service ends unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// In which cases it is started again.
    pub policy: RestartPolicy,
    /// The first pause; it doubles with each restart that follows.
    pub delay: Millis,
    /// The longest pause.
    pub max_delay: Millis,
    /// After so many restarts without a healthy run the service is `failed`; 0 means no limit.
    pub max_attempts: u32,
    /// A run at least this long is healthy: it resets the pause and the count.
    pub healthy_after: Millis,
}

/// What a unit that says nothing about it does, unless it is a oneshot.
impl Default for Restart {
    fn default() -> Self {
        Self {
            policy: RestartPolicy::OnFailure,
            delay: 1_000,
            max_delay: 60_000,
            max_attempts: 10,
            healthy_after: 10_000,
        }
    }
}

/// In which cases a service that ended unasked is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Never.
    No,
    /// When it ended with a non-zero exit status, by a signal, or did not come up in time.
    OnFailure,
    /// Whenever it ended.
    Always,
}

/// One unit that must have reached a condition before another starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The unit that is needed.
    pub unit: UnitName,
    /// What it must have reached.
    pub condition: Condition,
    /// Whether its absence or failure holds the other up.
    pub required: bool,
}

/// What a needed unit must have reached, in Compose's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Its program runs, or it is done.
    ServiceStarted,
    /// It is up, as its type says, or done. The short form of `depends_on` means this.
    ServiceHealthy,
    /// It ended with exit status 0.
    ServiceCompletedSuccessfully,
}

/// Everything the forked child sets up before it executes the command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Process {
    /// Names and values from `environment`; they win over `env_files`.
    pub environment: Vec<(String, String)>,
    /// Files of `NAME=value` lines, read anew at every start.
    pub env_files: Vec<EnvFile>,
    /// The working directory; `/` when absent.
    pub working_dir: Option<PathBuf>,
    /// User name or number.
    pub user: Option<String>,
    /// Group name or number; the user's own group when absent.
    pub group: Option<String>,
    /// File mode creation mask; 0o022 when absent.
    pub umask: Option<u32>,
    /// Resource limits.
    pub ulimits: Vec<Ulimit>,
    /// Scheduling priority, -20 to 19.
    pub nice: Option<i32>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Where standard input comes from.
    pub stdin: Stdin,
}

/// A file of environment variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether a missing file fails the start.
    pub required: bool,
}

/// One resource limit (setrlimit(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// The kernel's number of the resource, `RLIMIT_*`.
    pub resource: u32,
    /// The soft limit; `u64::MAX` is unlimited.
    pub soft: u64,
    /// The hard limit; `u64::MAX` is unlimited.
    pub hard: u64,
}

/// Where a service's standard input comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Stdin {
    /// `/dev/null`.
    #[default]
    Null,
    /// A terminal, which becomes the controlling terminal and takes output too. For gettys.
    Tty(PathBuf),
}

/// What the unit's cgroup may use. Each needs a controller; a missing one is reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of memory (`memory.max`).
    pub memory_bytes: Option<u64>,
    /// Processes and threads (`pids.max`).
    pub pids: Option<u64>,
    /// Thousandths of one CPU (`cpu.max`).
    pub milli_cpus: Option<u64>,
}
