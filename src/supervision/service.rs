//! [`Service`]: one service's life as an enum of states, and the one function that changes it.

use std::sync::Arc;

use super::activation::Trigger;
use super::record::Others;
use super::service_life::{Life, Main};
use super::status::StateWord;
use super::unit::{Millis, Reload, Unit};
use super::why::{Because, Exit, Why};
use super::{Action, Event, Moment, Pid, Role, Want, Who};

/// How long a killed leaf may stay populated before people are told, in milliseconds; the pause
/// doubles each time.
pub(super) const STUCK_AFTER: Millis = 2_000;
/// How long a reload may take, in milliseconds.
pub(super) const RELOAD_TIMEOUT: Millis = 90_000;

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
    /// Wanted up, and sits out its back-off.
    Waiting {
        /// When the back-off is over.
        until: Moment,
        /// How the last run ended.
        why: Why,
    },
    /// Its first process was asked for; it is not up yet.
    Starting {
        /// The start.
        life: Life,
        /// When it has taken too long; `None` waits for ever.
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
    /// Dependencies do not allow it: wait.
    Block,
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

/// One service.
#[derive(Debug, Clone)]
pub struct Service {
    pub(super) unit: Arc<Unit>,
    pub(super) want: Want,
    /// What was wanted before the whole system began to go down, once it does.
    pub(super) want_before_shutdown: Option<Want>,
    pub(super) state: State,
    pub(super) since: Moment,
    pub(super) starts: u64,
    pub(super) restarts: u32,
    pub(super) attempts: u32,
    pub(super) last_exit: Option<Exit>,
    /// How long the last run was up, or worked; `None` before the first was over.
    pub(super) ran_for: Option<Millis>,
    /// When the last start began, in this boot.
    pub(super) began: Option<Moment>,
    /// Keys of the unit that changed since this start, and count from the next one on.
    pub(super) older: Vec<String>,
    /// What another build has kept about this start.
    pub(super) others: Option<Box<Others>>,
}

impl Service {
    /// A service that was never started.
    pub fn new(unit: Arc<Unit>, now: Moment) -> Self {
        let why = if unit.enabled { Why::NotStarted } else { Why::NotEnabled };
        Self {
            unit,
            want: Want::Down,
            want_before_shutdown: None,
            state: State::Down { why },
            since: now,
            starts: 0,
            restarts: 0,
            attempts: 0,
            last_exit: None,
            ran_for: None,
            began: None,
            older: Vec::new(),
            others: None,
        }
    }

    /// The unit it follows.
    pub const fn unit(&self) -> &Arc<Unit> {
        &self.unit
    }

    /// Keys of its unit file that changed since this start, and count from the next one on. After
    /// another supervisor has taken the service over, those that it was told of.
    pub fn older_keys(&self) -> &[String] {
        &self.older
    }

    /// What is wanted.
    pub const fn want(&self) -> Want {
        self.want
    }

    /// Wants something else. A person's start forgets the restarts before it.
    pub const fn set_want(&mut self, want: Want) {
        self.want = want;
        self.attempts = 0;
        self.restarts = 0;
    }

    /// Wants it down because everything goes down. A supervisor that is killed on the way leaves
    /// to the next what was wanted before.
    pub const fn go_down(&mut self) {
        if self.want_before_shutdown.is_none() {
            self.want_before_shutdown = Some(self.want);
        }
        self.set_want(Want::Down);
    }

    /// The state.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// When the state was entered.
    pub const fn since(&self) -> Moment {
        self.since
    }

    /// The number of the last start; 0 before the first.
    pub const fn starts(&self) -> u64 {
        self.starts
    }

    /// No start has a number up to this one: a leaf of that number may still exist.
    pub fn skip_starts(&mut self, number: u64) {
        self.starts = self.starts.max(number);
    }

    /// Restarts since a person last asked for a start.
    pub const fn restarts(&self) -> u32 {
        self.restarts
    }

    /// When the last start began, in this boot.
    pub const fn began(&self) -> Option<Moment> {
        self.began
    }

    /// How the last process that mattered ended.
    pub const fn last_exit(&self) -> Option<Exit> {
        self.last_exit
    }

    /// The state's word.
    pub const fn word(&self) -> StateWord {
        match self.state {
            State::Down { .. } => StateWord::Down,
            State::Blocked => StateWord::Blocked,
            State::Waiting { .. } => StateWord::Waiting,
            State::Starting { .. } => StateWord::Starting,
            State::Up { .. } => StateWord::Up,
            State::Reloading { .. } => StateWord::Reloading,
            State::Stopping { .. } => StateWord::Stopping,
            State::Killing { .. } => StateWord::Killing,
            State::Done => StateWord::Done,
            State::Failed { .. } => StateWord::Failed,
        }
    }

    /// The start that lives, if one does.
    pub const fn life(&self) -> Option<&Life> {
        match &self.state {
            State::Starting { life, .. }
            | State::Up { life }
            | State::Reloading { life, .. }
            | State::Stopping { life, .. }
            | State::Killing { life, .. } => Some(life),
            State::Down { .. }
            | State::Blocked
            | State::Waiting { .. }
            | State::Done
            | State::Failed { .. } => None,
        }
    }

    /// Whether it is ending for this reason.
    pub fn is_ending_because(&self, reason: &Because) -> bool {
        match &self.state {
            State::Stopping { because, .. } | State::Killing { because, .. } => because == reason,
            State::Down { .. }
            | State::Blocked
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Up { .. }
            | State::Reloading { .. }
            | State::Done
            | State::Failed { .. } => false,
        }
    }

    /// The main process, where it is known.
    pub fn main_pid(&self) -> Option<Pid> {
        self.life().and_then(|life| life.main_pid(self.unit.kind))
    }

    /// Why it is in this state, in words; empty when there is nothing to say.
    pub fn why(&self) -> String {
        match &self.state {
            State::Down { why } | State::Failed { why } => why.to_string(),
            State::Waiting { why, .. } => format!("{why}; will restart"),
            State::Stopping { because, .. } | State::Killing { because, .. } => because.to_string(),
            State::Up { life } | State::Reloading { life, .. } => match life.main {
                Main::Gone(exit) => format!("main process ended: {exit}; others live on"),
                Main::Unknown | Main::Guessed(_) | Main::Told(_) => String::new(),
            },
            State::Blocked | State::Starting { .. } | State::Done => String::new(),
        }
    }

    /// The one function that changes the state. Says so by [`Action::Changed`] and keeps it by
    /// [`Action::Save`], which comes before what is done to a leaf that is there already: a
    /// supervisor that is killed in between must not leave a half-ended service that nobody ends.
    pub fn step(&mut self, input: Input, now: Moment, out: &mut Vec<Action>) {
        let from = self.word();
        let record = self.record();
        let lived = self.life().is_some();
        let first = out.len();
        let state = std::mem::replace(&mut self.state, State::Blocked);
        self.state = match input {
            Input::Begin => self.begin(state, now, out),
            Input::Block => block(state),
            Input::End(because) => self.end(state, because, now, out),
            Input::Kill(because) => self.kill_at_once(state, because, now, out),
            Input::Reload => self.reload(state, now, out),
            Input::Trigger(trigger) => self.trigger(state, trigger, now),
            Input::CannotArm(reason) => self.cannot_arm(state, reason, now),
            Input::Rearm => self.rearm(state),
            Input::Follow { unit, older } => self.follow(state, unit, older, now, out),
            Input::World(event) => self.world(state, event, now, out),
            Input::Tick => self.tick(state, now, out),
        };
        let to = self.word();
        if from != to {
            self.since = now;
            let name = self.unit.name.clone();
            out.push(Action::Changed { name, start: self.starts, from, to, why: self.why() });
        }
        let after = self.record();
        if record != after {
            let place = if lived && self.life().is_some() { first } else { out.len() };
            let save = Action::Save { name: self.unit.name.clone(), record: after };
            out.insert(place, save);
        }
    }

    fn begin(&mut self, state: State, now: Moment, out: &mut Vec<Action>) -> State {
        match state {
            State::Down { .. }
            | State::Blocked
            | State::Waiting { .. }
            | State::Done
            | State::Failed { .. } => {}
            // Law 1: nothing starts over living processes.
            alive @ (State::Starting { .. }
            | State::Up { .. }
            | State::Reloading { .. }
            | State::Stopping { .. }
            | State::Killing { .. }) => return alive,
        }
        // Every attempt since a person's order is a restart, also one that was blocked in between.
        self.restarts = self.restarts.saturating_add(u32::from(self.attempts > 0));
        self.starts += 1;
        self.others = None;
        self.began = Some(now);
        self.older = Vec::new();
        out.push(Action::Spawn {
            unit: Arc::clone(&self.unit),
            start: self.starts,
            role: Role::First,
        });
        let give_up = self.unit.start_timeout.map(|limit| now + limit);
        State::Starting { life: Life::new(self.starts), give_up }
    }

    fn reload(&self, state: State, now: Moment, out: &mut Vec<Action>) -> State {
        let State::Up { mut life } = state else {
            return state;
        };
        life.reload_failed = None;
        match (&self.unit.reload, life.main_pid(self.unit.kind)) {
            (Some(Reload::Command(_)), _) => {
                self.spawn_control(&mut life, Role::Reload, out);
                State::Reloading { life, give_up: now + RELOAD_TIMEOUT }
            }
            (Some(Reload::Signal(signal)), Some(main)) => {
                let (name, start) = (self.unit.name.clone(), life.start);
                out.push(Action::Signal { name, start, who: Who::One(main), signal: *signal });
                State::Up { life }
            }
            (Some(Reload::Signal(_)), None) | (None, _) => State::Up { life },
        }
    }
}

fn block(state: State) -> State {
    match state {
        State::Down { .. }
        | State::Blocked
        | State::Waiting { .. }
        | State::Done
        | State::Failed { .. } => State::Blocked,
        alive @ (State::Starting { .. }
        | State::Up { .. }
        | State::Reloading { .. }
        | State::Stopping { .. }
        | State::Killing { .. }) => alive,
    }
}
