//! The rules. Pure: events and `now` go in, actions come out; no system call, clock or log.
//!
//! # A service's life
//!
//! ```text
//!            Begin               exec / exit 0 / READY=1
//!   down ────────────► starting ────────────────────────► up ◄──► reloading
//!    ▲ ▲ \                │  first process fails,          │
//!    │ │  blocked         │  time-out, order               │ order, failure
//!    │ │                  ▼                                ▼
//!    │ └───────────── stopping ──── grace is over ────► killing
//!    │   leaf empty       │                                │
//!    └────────────────────┴───── leaf empty ───────────────┘
//!          └─► waiting (back-off) ─► starting      └─► done, failed
//! ```
//!
//! A service is alive while its leaf is populated (law 1). The states `starting`, `up`,
//! `reloading`, `stopping` and `killing` own a [`service_life::Life`]: one start, one leaf. They are
//! left for a state of rest only when the leaf is known to be empty, and nothing is ever started
//! from any other state than one of rest. So nothing starts over living processes, and nothing
//! rests over them. The walk in `walk.rs` tries every order of events against that.
//!
//! # Hooks and conditions
//!
//! A start is a row of steps: the look at the conditions (`blocked`), each `start_pre` command, the
//! first process, each `start_post` command (all `starting`). An end may have steps after the empty
//! leaf: each `stop_post` command (`stopping`). A hook that does not run beside a living service has
//! a leaf and a number of its own, so a step never begins over what another has left.
//!
//! # Who decides, in this order
//!
//! 1. The leaf: what lives is not started again and not called down.
//! 2. The system going down: then nothing starts.
//! 3. What a person wants: [`Want`], changed by [`Order`]s only, and by an end that is final.
//! 4. What dependencies allow: `blocked` until they do; a stop waits for those that depend on it.
//!    Then its turn, where only so many may be starting at once (`turns.rs`).
//! 5. The unit's restart policy, and its limit.
//! 6. The back-off's time.
//!
//! # Levels, not edges
//!
//! "The leaf is empty" and "the process exited" arrive in any order, or twice, or once for both.
//! Each event names the start it belongs to; an event of an older start changes nothing. An
//! [`Event::Exited`] carries whether the leaf was still populated when it was read, so that one
//! event may serve for both.

pub mod activation;
#[cfg(test)]
mod activation_tests;
pub mod argv;
mod beginning;
pub mod calendar;
pub mod condition;
#[cfg(test)]
mod conflict_tests;
pub mod conflicts;
pub mod diff;
mod diff_activation;
pub mod graph;
mod guards;
pub mod health;
#[cfg(test)]
mod health_tests;
#[cfg(test)]
mod hook_tests;
pub mod hooks;
#[cfg(test)]
mod life_tests;
pub mod load;
pub mod main_process;
pub mod name;
#[cfg(test)]
mod needs_walk;
#[cfg(test)]
mod needs_world;
pub mod nodes;
#[cfg(test)]
mod order_tests;
pub mod outcome;
pub mod plan;
#[cfg(test)]
mod plan_tests;
pub mod record;
#[cfg(test)]
mod rig;
pub mod service;
mod service_activation;
mod service_end;
mod service_follow;
mod service_hooks;
pub mod service_life;
mod service_record;
mod service_time;
mod service_world;
mod slots;
pub mod socket_conflicts;
pub mod state;
pub mod status;
pub mod supervisor;
pub mod timers;
pub mod times;
#[cfg(test)]
mod times_tests;
mod turns;
pub mod unit;
#[cfg(test)]
mod walk;
#[cfg(test)]
mod walk_care;
#[cfg(test)]
mod walk_perform;
#[cfg(test)]
mod walk_world;
mod wants;
pub mod why;

use std::sync::Arc;

use activation::Guard;
use name::UnitName;
use status::{HealthWord, StateWord};
use unit::{Millis, Unit};
use why::Exit;

/// A point in time: milliseconds of the monotonic clock.
pub type Moment = Millis;

/// A process id as the supervisor sees it.
pub type Pid = u32;

/// What is wanted of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// It shall run.
    Up,
    /// It shall not.
    Down,
    /// It shall run when what it waits for has come.
    Armed,
}

/// What a process was spawned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The unit's command: the first process.
    First,
    /// The unit's `stop_command`.
    Stop,
    /// The unit's `reload_command`.
    Reload,
    /// A `start_pre` command, by its place in the list.
    Pre(usize),
    /// A `start_post` command, by its place in the list.
    Post(usize),
    /// A `stop_post` command, by its place in the list.
    StopPost(usize),
}

/// What a check is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The unit's `ready`: whether it is up.
    Ready,
    /// The unit's `healthcheck`.
    Health,
}

/// News from the world about one start of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The process exists, in the leaf.
    Spawned {
        /// What for.
        role: Role,
        /// Its id.
        pid: Pid,
    },
    /// Its program was executed.
    Executed {
        /// What for.
        role: Role,
    },
    /// It could not be spawned, or not execute its program.
    SpawnFailed {
        /// What for.
        role: Role,
        /// In words: the stage and the kernel's reason.
        reason: String,
        /// Whether a later try may go better (no memory, too many processes).
        passing: bool,
    },
    /// A process of the leaf ended.
    Exited {
        /// Which.
        pid: Pid,
        /// How.
        exit: Exit,
        /// Whether the leaf was still populated when this was read.
        populated: bool,
    },
    /// The leaf was read and is empty.
    Emptied,
    /// A process of the leaf sent a message (sd_notify(3)).
    Notified(Notice),
    /// An [`Action::FindMain`] came back.
    MainFound {
        /// The main process, or `None` when it is ambiguous.
        main: Option<Pid>,
        /// Whether a PID file in good order named it, so that there is no need to look again.
        certain: bool,
    },
    /// What the unit's `ready` waits for has come: the newline on its descriptor, or the line of
    /// its output.
    BecameReady,
    /// An [`Action::Check`] is over; it is answered once, also when it was ended.
    Checked {
        /// The number that the action gave it.
        number: u32,
        /// Whether it has passed; if not, why, in words.
        result: Result<(), String>,
    },
}

/// What a service says of itself. The sender was accepted because it is in the leaf.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notice {
    /// `READY=1`.
    pub ready: bool,
    /// `RELOADING=1`.
    pub reloading: bool,
    /// `STOPPING=1`.
    pub stopping: bool,
    /// `STATUS=`.
    pub status: Option<String>,
    /// `MAINPID=`, already found to be in the leaf.
    pub main: Option<Pid>,
    /// `EXTEND_TIMEOUT_USEC=`, in milliseconds.
    pub extend: Option<Millis>,
    /// `WATCHDOG=`.
    pub watchdog: Option<WatchdogNews>,
    /// `WATCHDOG_USEC=`, in milliseconds; 0 switches the watchdog off.
    pub watchdog_limit: Option<Millis>,
}

/// What a service tells its watchdog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchdogNews {
    /// `WATCHDOG=1`: it is well.
    Alive,
    /// `WATCHDOG=trigger`: it is not.
    Trigger,
}

/// Who gets a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Every process of the leaf.
    All,
    /// One process, if it still is in the leaf.
    One(Pid),
}

/// What the loop must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a process in the leaf of this start, which is made where there is none yet.
    Spawn {
        /// The unit as it is for this start.
        unit: Arc<Unit>,
        /// The start.
        start: u64,
        /// What for.
        role: Role,
    },
    /// Send a signal to processes of the leaf.
    Signal {
        /// The unit.
        name: UnitName,
        /// The start.
        start: u64,
        /// To whom.
        who: Who,
        /// Its number.
        signal: i32,
    },
    /// Kill the whole leaf.
    KillTree {
        /// The unit.
        name: UnitName,
        /// The start.
        start: u64,
    },
    /// The leaf was killed some time ago and is not empty: tell people what is left.
    ReportStuck {
        /// The unit.
        name: UnitName,
        /// The start.
        start: u64,
    },
    /// Look for the main process and answer with [`Event::MainFound`].
    FindMain {
        /// The unit.
        name: UnitName,
        /// The start.
        start: u64,
    },
    /// Look whether the unit's conditions hold, and answer by
    /// [`supervisor::Supervisor::looked`] with the same number.
    Look {
        /// The unit as it is for this start.
        unit: Arc<Unit>,
        /// The number of the look.
        number: u64,
    },
    /// Tell people that something failed which changes nothing.
    Report {
        /// The unit.
        name: UnitName,
        /// What failed, in words.
        text: String,
    },
    /// Say how much processor time this start has used, by [`supervisor::Supervisor::weighed`]:
    /// others wait for their turn to start, and one that only waits must not take one.
    Weigh {
        /// The unit.
        name: UnitName,
        /// The start.
        start: u64,
    },
    /// The leaf is empty and not needed any more.
    RemoveLeaf {
        /// The unit.
        name: UnitName,
        /// The start.
        start: u64,
    },
    /// Open or close the sockets of this unit, and watch what it waits for or leave it alone. Answer
    /// by [`supervisor::Supervisor::guarded`] or [`supervisor::Supervisor::cannot_arm`].
    Guard {
        /// The unit as it is now.
        unit: Arc<Unit>,
        /// What must be.
        guard: Guard,
    },
    /// What the unit's cgroup may use has changed: set it, also for what lives there.
    SetLimits {
        /// The unit as it is now.
        unit: Arc<Unit>,
    },
    /// Keep the record of this service, as it is then, where the next supervisor will find it.
    Save {
        /// The unit.
        name: UnitName,
    },
    /// Make a check, outside of the leaf, and answer with [`Event::Checked`].
    Check {
        /// The unit, which says how.
        unit: Arc<Unit>,
        /// The start.
        start: u64,
        /// What for.
        purpose: Purpose,
        /// Which one.
        number: u32,
    },
    /// End a check with all of its processes: it takes too long, or nobody waits for it any more.
    EndCheck {
        /// The unit.
        name: UnitName,
        /// The start.
        start: u64,
        /// Which one.
        number: u32,
    },
    /// The word for the health has changed: for the log.
    Health {
        /// The unit.
        name: UnitName,
        /// The start.
        start: u64,
        /// The word now.
        word: HealthWord,
        /// Why, in words; empty when it is well.
        why: String,
    },
    /// The state has changed: for the log and for those who watch.
    Changed {
        /// The unit.
        name: UnitName,
        /// The start.
        start: u64,
        /// The state before.
        from: StateWord,
        /// The state now.
        to: StateWord,
        /// Why, in words.
        why: String,
    },
}

/// What a person asks for one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Bring it up, with what it needs.
    Start,
    /// Bring it down, after those that need it.
    Stop,
    /// Bring it down and up again.
    Restart,
    /// Have it read its configuration again.
    Reload,
}

impl Order {
    /// The word that it is given by.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
        }
    }
}

/// Why an order is refused, worded for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such unit.
    #[error("no such unit")]
    NoSuchUnit,
    /// Nothing starts any more.
    #[error("the system is going down")]
    GoingDown,
    /// The order needs processes.
    #[error("it is not running")]
    NotRunning,
    /// A reload needs a service that is up.
    #[error("it is {0}, and only a service that is up can reload")]
    NotUp(StateWord),
    /// The unit does not say how to reload.
    #[error("its unit has neither reload_command nor reload_signal")]
    NoReload,
    /// A signal for the main process, and none is known.
    #[error("no main process is known; name a process id, or all")]
    NoMain,
}
