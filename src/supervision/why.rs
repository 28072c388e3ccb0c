//! How processes end, and why a service is in its state: what `slc` prints behind the state word.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::hooks::HookFailure;
use super::name::UnitName;
use super::times::Waited;
use super::unit::{Millis, OnFailure};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// By exit(2).
    Code(i32),
    /// By a signal.
    Signal {
        /// Its number.
        number: i32,
        /// Whether a core was dumped.
        core: bool,
    },
    /// Nobody could tell: somebody else buried it.
    Unknown,
}

impl Exit {
    /// Whether this is a success. Only exit status 0 is; an unknown end is not.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal { number, core } => {
                write!(f, "{}", SignalName(number))?;
                if core { f.write_str(" (core dumped)") } else { Ok(()) }
            }
            Self::Unknown => f.write_str("exit status unknown"),
        }
    }
}

/// A signal's number, shown by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalName(pub i32);

/// The names of signals 1 to 31 on every architecture that Treeward is built for (signal(7)).
pub const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = usize::try_from(self.0 - 1).ok().and_then(|index| SIGNALS.get(index));
        match name {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// Why a living service is being ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Because {
    /// A person asked for a stop.
    Asked,
    /// A person asked for a restart, or for a start while it was ending.
    Restart,
    /// A unit that it needs is stopped.
    Needs(String),
    /// A unit was started that it cannot live beside.
    Conflicts(String),
    /// Its unit is not among the files any more.
    UnitGone,
    /// The system goes down.
    Shutdown,
    /// The system goes down, and the time for that is over: no command runs any more.
    OutOfTime,
    /// Its first process failed, or ended where that is the end.
    FirstEnded(Exit),
    /// It did not come up in time.
    StartTimeout(Millis),
    /// It was not ready in time.
    NotReady {
        /// The time, in milliseconds.
        limit: Millis,
        /// What was waited for, in words.
        waited: String,
    },
    /// Its health check has failed.
    Unhealthy {
        /// How often, and why the last time.
        why: String,
        /// What is done about it: restart or stop.
        then: OnFailure,
    },
    /// It did not say in time that it is well, or said that it is not.
    Watchdog {
        /// Which, in words.
        why: String,
        /// What is done about it: restart or stop.
        then: OnFailure,
    },
    /// Its program could not be started.
    CannotStart {
        /// In words.
        reason: String,
        /// Whether a later try may go better.
        passing: bool,
    },
    /// A command before or after its first process failed.
    HookFailed {
        /// Which, in words: `start_pre: /usr/sbin/nginx -t`.
        hook: String,
        /// How.
        how: HookFailure,
    },
    /// The oneshot has done its work; what it left behind is ended.
    Completed,
    /// The service said `STOPPING=1`.
    SaidStopping,
}

impl Because {
    /// Whether a person (or the shutdown) wants this end, so that no restart policy is asked.
    #[must_use]
    pub const fn is_wanted(&self) -> bool {
        match self {
            Self::Asked
            | Self::Restart
            | Self::Needs(_)
            | Self::Conflicts(_)
            | Self::UnitGone
            | Self::Shutdown
            | Self::OutOfTime => true,
            Self::FirstEnded(_)
            | Self::StartTimeout(_)
            | Self::NotReady { .. }
            | Self::Unhealthy { .. }
            | Self::Watchdog { .. }
            | Self::CannotStart { .. }
            | Self::HookFailed { .. }
            | Self::Completed
            | Self::SaidStopping => false,
        }
    }

    /// Whether no restart policy is asked because the unit says so: it stays `failed`.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::CannotStart { passing: false, .. }
                | Self::Unhealthy { then: OnFailure::Stop, .. }
                | Self::Watchdog { then: OnFailure::Stop, .. }
        )
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("asked to stop"),
            Self::Restart => f.write_str("asked to restart"),
            Self::Needs(unit) => write!(f, "needs {unit}, which is stopped"),
            Self::Conflicts(unit) => write!(f, "conflicts with {unit}, which was started"),
            Self::UnitGone => f.write_str("its unit is gone"),
            Self::Shutdown => f.write_str("the system goes down"),
            Self::OutOfTime => f.write_str("the system goes down, and the time for that is over"),
            Self::FirstEnded(exit) => write!(f, "first process: {exit}"),
            Self::StartTimeout(limit) => {
                write!(f, "not up within {}", Span(*limit))
            }
            Self::NotReady { limit, waited } => {
                write!(f, "not ready within {}: {waited}", Span(*limit))
            }
            Self::Unhealthy { why, .. } => write!(f, "unhealthy: {why}"),
            Self::Watchdog { why, .. } => write!(f, "watchdog: {why}"),
            Self::CannotStart { reason, .. } => write!(f, "cannot start: {reason}"),
            Self::HookFailed { hook, how } => write!(f, "{hook}: {how}"),
            Self::Completed => f.write_str("work done"),
            Self::SaidStopping => f.write_str("said that it is stopping"),
        }
    }
}

/// Why a service is at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// It was never started.
    NotStarted,
    /// Its unit says that it is not started by itself.
    NotEnabled,
    /// It was ended on purpose.
    Ended(Because),
    /// It ended by itself.
    Exited(Exit),
    /// The command exited with 0 and left nothing running, where something should be.
    NothingLeft,
    /// The oneshot did its work.
    Completed,
    /// A condition did not hold when it was about to start: this one.
    Skipped(String),
    /// A condition that is required did not hold: this one.
    Unmet(String),
    /// Too many restarts without a healthy run.
    GaveUp {
        /// So many.
        attempts: u32,
        /// How the last run ended.
        last: Box<Why>,
    },
}

impl Why {
    /// Whether this is a failure, which `on-failure` answers.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        match self {
            Self::NotStarted | Self::NotEnabled | Self::Completed | Self::Skipped(_) => false,
            Self::Ended(because) => match because {
                Because::FirstEnded(exit) => !exit.is_success(),
                Because::StartTimeout(_)
                | Because::NotReady { .. }
                | Because::Unhealthy { .. }
                | Because::Watchdog { .. }
                | Because::CannotStart { .. }
                | Because::HookFailed { .. } => true,
                Because::Asked
                | Because::Restart
                | Because::Needs(_)
                | Because::Conflicts(_)
                | Because::UnitGone
                | Because::Shutdown
                | Because::OutOfTime
                | Because::Completed
                | Because::SaidStopping => false,
            },
            Self::Exited(exit) => !exit.is_success(),
            Self::NothingLeft | Self::Unmet(_) | Self::GaveUp { .. } => true,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.write_str("not started yet"),
            Self::NotEnabled => f.write_str("not enabled"),
            Self::Ended(because) => write!(f, "{because}"),
            Self::Exited(exit) => write!(f, "{exit}"),
            Self::NothingLeft => f.write_str("exited with 0 and left no process running"),
            Self::Completed => f.write_str("completed"),
            Self::Skipped(what) => write!(f, "skipped because {what}"),
            Self::Unmet(what) => write!(f, "a required condition is not met: {what}"),
            Self::GaveUp { attempts, last } => {
                let restarts = if *attempts == 1 { "restart" } else { "restarts" };
                write!(f, "{last}; given up after {attempts} {restarts} without a healthy run")
            }
        }
    }
}

/// A span of time in milliseconds, shown shortly: `250 ms`, `1.5 s`, `2 min`.
#[derive(Debug, Clone, Copy)]
pub struct Span(pub Millis);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms @ 0..1_000 => write!(f, "{ms} ms"),
            ms @ 1_000..120_000 if ms % 1_000 == 0 => write!(f, "{} s", ms / 1_000),
            ms @ 1_000..120_000 => write!(f, "{}.{} s", ms / 1_000, ms % 1_000 / 100),
            ms => write!(f, "{} min", ms / 60_000),
        }
    }
}

/// Why a unit it needs keeps another from starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// It is on its way; waiting will help.
    NotYet(UnitName),
    /// It will not get there unless somebody does something.
    Never(UnitName, &'static str),
    /// It cannot live beside this one, and is on its way down.
    Ending(UnitName),
    /// It cannot live beside this one, and is wanted up.
    Beside(UnitName),
    /// So many are starting that it must wait for its turn.
    Turn,
}

impl Obstacle {
    /// The other unit, where one is in the way.
    #[must_use]
    pub const fn unit(&self) -> Option<&UnitName> {
        match self {
            Self::NotYet(unit) | Self::Never(unit, _) | Self::Ending(unit) | Self::Beside(unit) => {
                Some(unit)
            }
            Self::Turn => None,
        }
    }

    /// What is waited for because of it.
    pub(super) fn waited(&self) -> Waited {
        self.unit().map_or(Waited::Turn, |unit| Waited::Unit(unit.to_string()))
    }

    /// Whether waiting will not help.
    #[must_use]
    pub const fn is_for_good(&self) -> bool {
        match self {
            Self::NotYet(_) | Self::Ending(_) | Self::Turn => false,
            Self::Never(..) | Self::Beside(_) => true,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet(unit) => write!(f, "waits for {unit}"),
            Self::Turn => f.write_str("waits for its turn: as many as may be are starting"),
            Self::Never(unit, what) => write!(f, "needs {unit}, which {what}"),
            Self::Ending(unit) => write!(f, "waits for the end of {unit}: they conflict"),
            Self::Beside(unit) => write!(f, "conflicts with {unit}, which is wanted up"),
        }
    }
}
