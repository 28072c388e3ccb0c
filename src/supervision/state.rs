//! [`State`]: what a service may be, and [`Input`]: what may change that. Only
//! [`super::service::Service::step`] takes the one from the other.

use std::sync::Arc;

use super::activation::Trigger;
use super::condition::Looked;
use super::hooks::Over;
use super::service_life::Life;
use super::times::Waited;
use super::unit::{Millis, Unit};
use super::why::{Because, Why};
use super::{Event, Moment, Role};

/// The state, with the data that only it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not running, and nobody wants it to; or about to start, when somebody does.
    Down {
        /// Why it is down.
        why: Why,
    },
    /// Wanted up, and waits for a unit it needs.
    Blocked,
    /// About to start: whether its conditions hold is looked at.
    Looking {
        /// The number of the look; the answer to an older one means nothing.
        number: u64,
    },
    /// Wanted up, and sits out its back-off.
    Waiting {
        /// When the back-off is over.
        until: Moment,
        /// How the last run ended.
        why: Why,
    },
    /// A hook runs alone in a leaf of its own: a `start_pre` command, or a `start_post` command of
    /// a oneshot whose work is done.
    Preparing {
        /// The leaf; its first process is the hook.
        life: Life,
        /// Which hook. After a supervisor's death it may be the first process that is to be born
        /// again, once the leaf is empty.
        role: Role,
        /// When it has taken too long; `None` waits for ever.
        give_up: Option<Moment>,
    },
    /// Its first process was asked for; it is not up yet.
    Starting {
        /// The start.
        life: Life,
        /// When it has taken too long; `None` waits for ever.
        give_up: Option<Moment>,
    },
    /// It is what its type calls up, and a `start_post` command runs in its leaf.
    Finishing {
        /// The start; its control command is the hook.
        life: Life,
        /// The place of the hook in the list.
        index: usize,
        /// When the hook has taken too long; `None` waits for ever.
        give_up: Option<Moment>,
    },
    /// Doing its work.
    Up {
        /// The start.
        life: Life,
    },
    /// Up, and reading its configuration again.
    Reloading {
        /// The start.
        life: Life,
        /// When it has taken too long.
        give_up: Moment,
    },
    /// Asked to end.
    Stopping {
        /// The start.
        life: Life,
        /// Why it is ended.
        because: Because,
        /// When the grace period is over.
        kill_at: Moment,
    },
    /// Killed, not empty yet.
    Killing {
        /// The start.
        life: Life,
        /// Why it is ended.
        because: Because,
        /// When people are told that something stays.
        report_at: Moment,
        /// The pause before that report; each is twice the one before.
        pause: Millis,
    },
    /// It is over, and a `stop_post` command runs alone in a leaf of its own.
    Clearing {
        /// The leaf; its first process is the hook.
        life: Life,
        /// The place of the hook in the list.
        index: usize,
        /// How the service ended.
        over: Box<Over>,
        /// When it has taken too long and is killed, or was killed and people are told that
        /// something stays; `None` waits for ever.
        kill_at: Option<Moment>,
        /// The pause before people are told again, once it was killed.
        killed: Option<Millis>,
    },
    /// A oneshot that ended with 0 and remains.
    Done,
    /// Given up on.
    Failed {
        /// How the last run ended.
        why: Why,
    },
}

/// What may change a service's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Dependencies allow it: start now.
    Begin,
    /// This does not allow it: wait.
    Block(Waited),
    /// The answer to a look at its conditions, with the look's number.
    Looked(u64, Looked),
    /// It shall not start now, for this reason.
    Rest(Why),
    /// End, for this reason.
    End(Because),
    /// Kill what lives, for this reason, without asking.
    Kill(Because),
    /// Read the configuration again.
    Reload,
    /// What it waits for has come.
    Trigger(Trigger),
    /// What it is to wait for cannot be watched, for this reason.
    CannotArm(String),
    /// Try again to watch it.
    Rearm,
    /// Follow another unit from now on; these keys of the unit that the files hold count from the
    /// next start.
    Follow {
        /// What counts now.
        unit: Arc<Unit>,
        /// Keys that count later.
        older: Vec<String>,
    },
    /// News from the world about this life.
    World(Event),
    /// A deadline may be over.
    Tick,
}

impl Input {
    /// Whether this is the answer of the check of this number.
    pub(super) fn answers(&self, number: u32) -> bool {
        matches!(self, Self::World(Event::Checked { number: of, .. }) if *of == number)
    }
}
