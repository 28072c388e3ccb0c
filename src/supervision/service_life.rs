//! [`Life`]: one start, from the first process to the empty leaf. Owned by the living states.

use super::health::Watch;
use super::unit::{Kind, Millis};
use super::why::Exit;
use super::{Moment, Notice, Pid};

/// How long after the last death in a leaf the look for the main process waits, and how long each
/// further look waits, in milliseconds. A double fork settles within 130 µs; a PID file may take
/// seconds. After the last look nobody looks again, so that an idle service wakes nobody.
const LOOKS: [Millis; 7] = [20, 80, 250, 500, 1_000, 2_000, 4_000];

/// After so many milliseconds the looks are over, and a guess that was kept is settled.
pub(super) const SETTLED_AFTER: Millis = 8_000;

/// The first process of a leaf: the one the supervisor spawned, which a hook is in its own leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// Not spawned yet, or this life never has one (a `stop_command` after `done`).
    None,
    /// Spawned, and not yet known to have executed its program.
    Executing(Pid),
    /// Running its program.
    Running(Pid),
    /// Buried.
    Ended(Exit),
}

/// The main process: a hint for people, never what decides whether the service lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Main {
    /// Not known, or ambiguous.
    Unknown,
    /// A settled look at the leaf found it.
    Guessed(Pid),
    /// The service said so, or a PID file in order.
    Told(Pid),
    /// It was known, and ended so.
    Gone(Exit),
}

/// A `stop_command` or `reload_command` while it runs, or a `start_post` command beside its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// None runs.
    None,
    /// Asked for, not spawned yet.
    Asked,
    /// Running.
    Running(Pid),
}

/// What there is to say about a start in words; of most there is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// What the service says of itself.
    pub status_text: String,
    /// Why the last reload failed, if it did.
    pub reload_failed: Option<String>,
    /// Why the hook of this leaf failed, where that is known before its end.
    pub hook_failed: Option<String>,
}

impl Words {
    const NONE: Self = Self { status_text: String::new(), reload_failed: None, hook_failed: None };
}

/// One start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Its number, which is its leaf's name.
    pub start: u64,
    /// The process that was spawned first.
    pub first: First,
    /// The main process.
    pub main: Main,
    /// A command beside the service.
    pub control: Control,
    /// When it became up, if it did.
    pub up_since: Option<Moment>,
    /// What there is to say about it in words.
    words: Option<Box<Words>>,
    /// How the last process of the leaf ended that was seen to end.
    pub last_exit: Option<Exit>,
    /// How it is looked after, where the unit asks for that.
    pub watch: Option<Box<Watch>>,
    look_at: Option<Moment>,
    looks: u8,
}

impl Life {
    /// A start that has no process yet.
    pub const fn new(start: u64) -> Self {
        Self {
            start,
            first: First::None,
            main: Main::Unknown,
            control: Control::None,
            up_since: None,
            words: None,
            last_exit: None,
            watch: None,
            look_at: None,
            looks: 0,
        }
    }

    /// What there is to say about it in words.
    pub const fn words(&self) -> &Words {
        match &self.words {
            Some(words) => words,
            None => const { &Words::NONE },
        }
    }

    /// The same, to say more.
    pub fn say(&mut self) -> &mut Words {
        self.words.get_or_insert_default()
    }

    /// A reload begins, and the one before it means nothing any more.
    pub fn forget_reload(&mut self) {
        if let Some(words) = &mut self.words {
            words.reload_failed = None;
        }
    }

    /// The first process while it lives.
    pub const fn first_pid(&self) -> Option<Pid> {
        match self.first {
            First::Executing(pid) | First::Running(pid) => Some(pid),
            First::None | First::Ended(_) => None,
        }
    }

    /// The main process, where it is known. The first process counts as long as it lives, unless
    /// its type says that it will not stay.
    pub const fn main_pid(&self, kind: Kind) -> Option<Pid> {
        match (self.main, kind) {
            (Main::Guessed(pid) | Main::Told(pid), _) => Some(pid),
            (Main::Gone(_), _) | (Main::Unknown, Kind::Forking) => None,
            (Main::Unknown, Kind::Auto | Kind::Simple | Kind::Oneshot { .. } | Kind::Notify) => {
                self.first_pid()
            }
        }
    }

    /// Whether another process than the first was told to be the main one and lives.
    pub const fn has_told_main(&self) -> bool {
        matches!(self.main, Main::Told(_))
    }

    /// How this life ended, when its leaf is empty: the main process decides if it was known,
    /// then the last process that was seen to end.
    pub fn verdict(&self, kind: Kind) -> Exit {
        let first = match self.first {
            First::Ended(exit) => Some(exit),
            First::None | First::Executing(_) | First::Running(_) => None,
        };
        let decisive = match kind {
            Kind::Simple | Kind::Oneshot { .. } => first,
            Kind::Auto | Kind::Forking | Kind::Notify => match self.main {
                Main::Gone(exit) => Some(exit),
                Main::Unknown | Main::Guessed(_) | Main::Told(_) => None,
            },
        };
        decisive.or(self.last_exit).unwrap_or(Exit::Unknown)
    }

    /// Takes note of a process's end that is not the first's.
    pub fn note_exit(&mut self, pid: Pid, exit: Exit, wants_pid_file: bool, now: Moment) {
        self.last_exit = Some(exit);
        match self.main {
            // A guessed main process that leaves with 0 was a step of the fork: look again. So may one
            // be whose end nobody saw, as long as the guess was not settled.
            Main::Guessed(main)
                if main == pid
                    && (exit.is_success() || exit == Exit::Unknown && self.look_at.is_some()) =>
            {
                self.main = Main::Unknown;
                self.look_soon(now);
            }
            Main::Guessed(main) | Main::Told(main) if main == pid => {
                self.main = Main::Gone(exit);
                self.look_at = None;
                // A daemon that replaces itself has written its successor's number.
                if wants_pid_file {
                    self.look_soon(now);
                }
            }
            // A death shows that the leaf was not settled when the last look was taken.
            Main::Guessed(_) if self.looks > 0 && self.look_at.is_some() => self.look_soon(now),
            Main::Unknown if self.look_at.is_some() => self.look_soon(now),
            Main::Unknown | Main::Guessed(_) | Main::Told(_) | Main::Gone(_) => {}
        }
    }

    /// Plans a look for the main process after the leaf has been quiet for a moment.
    pub const fn look_soon(&mut self, now: Moment) {
        self.looks = 0;
        self.look_at = Some(now + LOOKS[0]);
    }

    /// When the next look for the main process is due.
    pub const fn look_at(&self) -> Option<Moment> {
        self.look_at
    }

    /// Whether a look is due; if so the next one is planned.
    pub fn take_look(&mut self, now: Moment) -> bool {
        if self.look_at.is_none_or(|at| at > now) {
            return false;
        }
        self.looks += 1;
        self.look_at = LOOKS.get(usize::from(self.looks)).map(|pause| now + pause);
        true
    }

    /// Takes the answer to a look. A guess that holds for two looks is settled.
    pub fn main_found(&mut self, found: Option<Pid>, certain: bool, wants_pid_file: bool) {
        match (self.main, found) {
            (Main::Told(_), _) => self.look_at = None,
            (_, Some(pid)) if certain => {
                self.main = Main::Told(pid);
                self.look_at = None;
            }
            // Only the PID file names a successor, not a guess.
            (Main::Gone(_), _) => {
                if !wants_pid_file {
                    self.look_at = None;
                }
            }
            (Main::Guessed(before), Some(pid)) if before == pid => {
                if !wants_pid_file {
                    self.look_at = None;
                }
            }
            (Main::Unknown | Main::Guessed(_), Some(pid)) => self.main = Main::Guessed(pid),
            (Main::Unknown | Main::Guessed(_), None) => self.main = Main::Unknown,
        }
    }

    /// Takes what the service says of itself, apart from changes of state.
    pub fn note(&mut self, notice: &Notice) {
        if let Some(text) = &notice.status {
            self.say().status_text.clone_from(text);
        }
        if let Some(pid) = notice.main {
            self.main = Main::Told(pid);
            self.look_at = None;
        }
    }
}
