//! What can be asked of the supervisor, and what it answers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::power::Power;
use crate::supervision::nodes::Node;
use crate::supervision::plan::{Step, Wish};
use crate::supervision::status::{
    Change, Mask, Outcome, PathStatus, Problem, SocketStatus, Status, Summary, TimerStatus,
};

/// What a client asks for. `GetInfo` and `GetInterfaceDescription` are missing: the server
/// answers them itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Every service in a line. Answer: [`Reply::List`].
    List,
    /// All that is known of these units, or of every unit when none is named. Answer:
    /// [`Reply::Status`].
    Status {
        /// Names as the client wrote them: not checked yet.
        units: Vec<String>,
    },
    /// What starts units besides people and a boot. Answer: [`Reply::Activations`].
    Activations,
    /// Start, stop, restart or reload. Answer: [`Reply::Outcomes`].
    Order {
        /// Which of them.
        verb: Verb,
        /// Names as the client wrote them: not checked yet.
        units: Vec<String>,
        /// Whether the answer waits until each unit has come to rest; true unless said otherwise.
        wait: bool,
    },
    /// Send a signal. Answer: [`Reply::Signalled`].
    Kill {
        /// The name as the client wrote it: not checked yet.
        unit: String,
        /// The signal's number; SIGTERM unless said otherwise. Not checked yet.
        signal: i32,
        /// To which processes; all of them unless said otherwise.
        who: Who,
    },
    /// Read the unit files again and do what has changed, or nothing where one is wrong. Answer:
    /// [`Reply::Planned`].
    ReadUnits(Wish),
    /// What [`Request::ReadUnits`] would do. Answer: [`Reply::Planned`].
    Plan(Wish),
    /// All units, with what binds them and when they started. Answer: [`Reply::Web`].
    Graph,
    /// Every change of state from now on. Answers: [`Reply::Changed`], again and again.
    Watch,
    /// Who answers. Answer: [`Reply::Version`].
    Version,
    /// End the machine, where an init waits for that. Answer: [`Reply::Nothing`], before it begins.
    Power(Power),
    /// Become another supervisor's program. The connection ends without an answer when it is done.
    Upgrade {
        /// The program's path; the supervisor's own when absent.
        program: Option<String>,
    },
}

impl Request {
    /// Whether it changes something, so that only those with [`Access::Control`] may ask it.
    ///
    /// [`Access::Control`]: super::listener::Access::Control
    #[must_use]
    pub const fn changes(&self) -> bool {
        match self {
            Self::Order { .. }
            | Self::Kill { .. }
            | Self::ReadUnits(_)
            | Self::Power(_)
            | Self::Upgrade { .. } => true,
            Self::List
            | Self::Status { .. }
            | Self::Plan(_)
            | Self::Activations
            | Self::Graph
            | Self::Watch
            | Self::Version => false,
        }
    }
}

/// The four orders that take units and whether to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Bring them up.
    Start,
    /// Bring them down.
    Stop,
    /// Bring them down, then up.
    Restart,
    /// Let them read their configuration again.
    Reload,
}

/// Which processes of a unit get a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Every process of the leaf.
    All,
    /// The main process.
    Main,
    /// One process, which must be in the leaf.
    Pid(u32),
}

impl Who {
    /// Takes `all`, `main` or a process id above 0.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "all" => Some(Self::All),
            "main" => Some(Self::Main),
            number => number.parse().ok().filter(|pid| *pid > 0).map(Self::Pid),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Main => f.write_str("main"),
            Self::Pid(pid) => write!(f, "{pid}"),
        }
    }
}

/// What the supervisor answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// To [`Request::List`].
    List(Listing),
    /// To [`Request::Status`].
    Status(Statuses),
    /// To [`Request::Activations`].
    Activations(Activations),
    /// To [`Request::Order`].
    Outcomes(Outcomes),
    /// To [`Request::Kill`].
    Signalled(Signalled),
    /// To [`Request::ReadUnits`] and [`Request::Plan`].
    Planned(Planned),
    /// To [`Request::Graph`].
    Web(Web),
    /// To [`Request::Watch`], once for each change.
    Changed(Changed),
    /// To [`Request::Version`].
    Version(Versioned),
    /// To what has nothing more to say than that it was done.
    Nothing(Nothing),
}

/// An answer that says only that it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// Every service, and every unit file that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// One for each loaded unit.
    pub services: Vec<Summary>,
    /// One for each unit file that could not be used.
    pub problems: Vec<Problem>,
    /// What was found wrong about units that are loaded, when the unit files were read.
    #[serde(default)]
    pub findings: Vec<Problem>,
    /// One for each unit that is not to be.
    #[serde(default)]
    pub masked: Vec<Mask>,
    /// What concerns all of them, such as that the supervisor goes down; may be empty.
    #[serde(default)]
    pub notice: String,
}

/// All that is known of some services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statuses {
    /// In the order in which they were asked for.
    pub services: Vec<Status>,
}

/// What starts units besides people and a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activations {
    /// Every socket of a unit.
    pub sockets: Vec<SocketStatus>,
    /// Every timer.
    pub timers: Vec<TimerStatus>,
    /// Every path.
    pub paths: Vec<PathStatus>,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// One for each unit named.
    pub outcomes: Vec<Outcome>,
}

/// What became of a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signalled {
    /// How many processes got it.
    pub signalled: u64,
}

/// What reading the unit files again does, or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Whether it was done.
    pub done: bool,
    /// One for each unit that is not as it was.
    pub steps: Vec<Step>,
    /// What is wrong. While there is anything, nothing is done.
    pub problems: Vec<Problem>,
}

/// All units, with what binds them and when they started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Web {
    /// Now, on the monotonic clock of all moments in this answer, in milliseconds.
    pub now: u64,
    /// The same moment: milliseconds since the Unix epoch.
    pub wall: u64,
    /// One for each loaded unit, by name.
    pub units: Vec<Node>,
}

/// One change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The change.
    pub change: Change,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned {
    /// Who answers, and where it works.
    pub version: Version,
}

/// Who answers, and where it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The version of service-launcher.
    pub version: String,
    /// Its process id as it sees itself.
    pub pid: u32,
    /// The kernel's release.
    pub kernel: String,
    /// The cgroup below which `services/` is.
    pub cgroup_root: String,
    /// Where the unit files are.
    pub units: String,
    /// Where FIFOs and the control socket are.
    pub run_dir: String,
    /// Where the log files are.
    pub log_dir: String,
    /// How processes are started: the fast way into a leaf or the fall-back, in words.
    pub spawning: String,
    /// The cgroup controllers that can hold limits.
    pub controllers: Vec<String>,
}

/// Why a request was not carried out. The first six are Varlink's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", content = "parameters")]
pub enum Failure {
    /// There is no such interface.
    #[serde(rename = "org.varlink.service.InterfaceNotFound")]
    #[error("the supervisor has no interface {interface}")]
    InterfaceNotFound {
        /// The name asked for.
        interface: String,
    },
    /// The interface has no such method.
    #[serde(rename = "org.varlink.service.MethodNotFound")]
    #[error("the supervisor does not know the method {method}")]
    MethodNotFound {
        /// The name asked for.
        method: String,
    },
    /// The method exists, and this supervisor cannot do it.
    #[serde(rename = "org.varlink.service.MethodNotImplemented")]
    #[error("this supervisor cannot do {method}")]
    MethodNotImplemented {
        /// The method.
        method: String,
    },
    /// A parameter is missing or has the wrong type.
    #[serde(rename = "org.varlink.service.InvalidParameter")]
    #[error("the parameter '{parameter}' is missing or makes no sense")]
    InvalidParameter {
        /// The parameter's name.
        parameter: String,
    },
    /// The caller may not ask this.
    #[serde(rename = "org.varlink.service.PermissionDenied")]
    #[error("permission denied: only root and the supervisor's own user may do this")]
    PermissionDenied {},
    /// The method streams, and was called without `more`.
    #[serde(rename = "org.varlink.service.ExpectedMore")]
    #[error("this method streams its answers: call it with \"more\"")]
    ExpectedMore {},
    /// No unit of that name is loaded.
    #[serde(rename = "org.treeward.Supervisor.NoSuchUnit")]
    #[error("no such unit: {unit}")]
    NoSuchUnit {
        /// The name asked for.
        unit: String,
        /// Names that come near.
        similar: Vec<String>,
    },
    /// The unit has no processes.
    #[serde(rename = "org.treeward.Supervisor.NotRunning")]
    #[error("{unit} is not running")]
    NotRunning {
        /// The unit.
        unit: String,
    },
    /// The order makes no sense now.
    #[serde(rename = "org.treeward.Supervisor.Refused")]
    #[error("{unit}: {reason}")]
    Refused {
        /// The unit.
        unit: String,
        /// Why, in words.
        reason: String,
    },
    /// The machine is not to be ended, or not in this way.
    #[serde(rename = "org.treeward.Supervisor.NoPower")]
    #[error("the machine goes on: {reason}")]
    NoPower {
        /// Why not.
        reason: String,
    },
    /// The supervisor cannot become that program.
    #[serde(rename = "org.treeward.Supervisor.NoUpgrade")]
    #[error("the supervisor stays what it is: {program}: {reason}")]
    NoUpgrade {
        /// The program.
        program: String,
        /// Why not.
        reason: String,
    },
    /// What arrived is not a message.
    #[serde(rename = "org.treeward.Supervisor.BadMessage")]
    #[error("the supervisor did not understand the message: {reason}")]
    BadMessage {
        /// What is wrong with it.
        reason: String,
    },
    /// Too many connections are open; this one is closed.
    #[serde(rename = "org.treeward.Supervisor.Busy")]
    #[error("the supervisor has {connections} connections open and takes no more now")]
    Busy {
        /// How many are open.
        connections: u64,
    },
}
