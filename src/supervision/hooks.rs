//! Hooks: the commands of a unit that run before and after its service, and what they are told.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::unit::{Millis, Unit};
use super::why::{Because, Exit, SignalName, Why};
use super::{Moment, Role};

/// The hooks of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    /// Before the first process, each in a leaf of its own.
    pub start_pre: Vec<Hook>,
    /// Once the service is up as its type says, in its leaf; for a oneshot when its work is done.
    pub start_post: Vec<Hook>,
    /// Once the leaf is empty, whatever the end was, each in a leaf of its own.
    pub stop_post: Vec<Hook>,
}

impl Hooks {
    /// Whether any run before the service counts as up.
    #[must_use]
    pub fn has_before_up(&self) -> bool {
        !self.start_pre.is_empty() || !self.start_post.is_empty()
    }

    /// Whether any has a leaf of its own, and so the number of one.
    #[must_use]
    pub fn take_numbers(&self) -> bool {
        !self.start_pre.is_empty() || !self.stop_post.is_empty()
    }
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The program and its arguments, never empty.
    pub command: Vec<String>,
    /// How long it may take; `None` waits for ever.
    pub timeout: Option<Millis>,
    /// Whether its failure is only told.
    pub ignore_failure: bool,
}

/// How a hook failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookFailure {
    /// It ended so.
    Exit(Exit),
    /// It was not over in this time.
    Timeout(Millis),
}

impl fmt::Display for HookFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(exit) => write!(f, "{exit}"),
            Self::Timeout(limit) => write!(f, "not over within {}", super::why::Span(*limit)),
        }
    }
}

/// How a service ended whose `stop_post` commands run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// Why it is over.
    pub why: Why,
    /// When it had become up, if it had.
    pub up_since: Option<Moment>,
    /// How the process ended that decides.
    pub exit: Exit,
}

impl Over {
    /// What a `stop_post` command finds in its environment, in systemd's words (systemd.exec(5)).
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![("SERVICE_RESULT", self.result().to_owned())];
        match self.exit {
            Exit::Code(code) => {
                all.push(("EXIT_CODE", "exited".into()));
                all.push(("EXIT_STATUS", code.to_string()));
            }
            Exit::Signal { number, core } => {
                let word = if core { "dumped" } else { "killed" };
                all.push(("EXIT_CODE", word.into()));
                let name = SignalName(number).to_string();
                all.push(("EXIT_STATUS", name.trim_start_matches("SIG").to_owned()));
            }
            Exit::Unknown => {}
        }
        all
    }

    fn result(&self) -> &'static str {
        let of_exit = |exit| match exit {
            Exit::Code(0) => "success",
            Exit::Code(_) | Exit::Unknown => "exit-code",
            Exit::Signal { core: true, .. } => "core-dump",
            Exit::Signal { core: false, .. } => "signal",
        };
        match &self.why {
            Why::Ended(Because::FirstEnded(exit)) | Why::Exited(exit) => of_exit(*exit),
            Why::Ended(Because::HookFailed { how, .. }) => match how {
                HookFailure::Exit(exit) => of_exit(*exit),
                HookFailure::Timeout(_) => "timeout",
            },
            Why::Ended(Because::StartTimeout(_) | Because::NotReady { .. }) => "timeout",
            // systemd has no word for a health check, and this one is nearest.
            Why::Ended(Because::Watchdog { .. } | Because::Unhealthy { .. }) => "watchdog",
            Why::Ended(Because::CannotStart { .. }) => "resources",
            Why::NothingLeft => "protocol",
            Why::Ended(
                Because::Asked
                | Because::Restart
                | Because::Needs(_)
                | Because::Conflicts(_)
                | Because::UnitGone
                | Because::Shutdown
                | Because::OutOfTime
                | Because::Completed
                | Because::SaidStopping,
            )
            | Why::NotStarted
            | Why::NotEnabled
            | Why::Completed
            | Why::Skipped(_)
            | Why::Unmet(_)
            | Why::GaveUp { .. } => "success",
        }
    }
}

/// The step of a start or an end that a supervisor was at, for the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A `start_pre` command.
    StartPre(usize),
    /// The hooks before it are over, and the first process was not born yet.
    First,
    /// A `start_post` command beside its service.
    StartPost(usize),
    /// A `start_post` command of a oneshot whose work is done.
    AfterWork(usize),
    /// The `stop_command` of a oneshot that was done, in a leaf of its own, which was not born yet.
    Stop,
    /// A `stop_post` command.
    StopPost {
        /// Its number.
        index: usize,
        /// How the service ended.
        over: Over,
    },
}

/// The hook that a process was spawned for, if it was for one; a changed unit may not have it.
#[must_use]
pub fn of_role(unit: &Unit, role: Role) -> Option<&Hook> {
    let hooks = &unit.hooks;
    match role {
        Role::Pre(index) => hooks.start_pre.get(index),
        Role::Post(index) => hooks.start_post.get(index),
        Role::StopPost(index) => hooks.stop_post.get(index),
        Role::First | Role::Stop | Role::Reload => None,
    }
}

/// The hook in words: `start_pre: /usr/sbin/nginx -t`.
#[must_use]
pub fn words(unit: &Unit, role: Role) -> String {
    let command = of_role(unit, role).map_or(String::new(), |hook| hook.command.join(" "));
    format!("{}: {command}", key(role))
}

/// Which of how many it is: `start_pre 1 of 2`.
#[must_use]
pub fn place(unit: &Unit, role: Role) -> String {
    let (index, count) = match role {
        Role::Pre(index) => (index, unit.hooks.start_pre.len()),
        Role::Post(index) => (index, unit.hooks.start_post.len()),
        Role::StopPost(index) => (index, unit.hooks.stop_post.len()),
        Role::First | Role::Stop | Role::Reload => return String::new(),
    };
    format!("{} {} of {count}", key(role), index + 1)
}

const fn key(role: Role) -> &'static str {
    match role {
        Role::First => "command",
        Role::Stop => "stop_command",
        Role::Reload => "reload_command",
        Role::Pre(_) => "start_pre",
        Role::Post(_) => "start_post",
        Role::StopPost(_) => "stop_post",
    }
}
