//! [`Service`]: one service's life as an enum of states, and the one function that changes it.

use std::sync::Arc;

use thin_vec::ThinVec;

use super::health;
use super::hooks;
use super::record::Others;
use super::service_activation::is_triggered;
use super::service_life::{First, Life, Main};
use super::status::{HealthWord, StateWord};
use super::times::{Origin, Pending, Times};
use super::unit::{Kind, Millis, Ready, Reload, Unit};
use super::why::{Because, Exit, Why};
use super::{Action, Moment, Pid, Role, Want, Who};

pub use super::state::{Input, State};

/// How long a killed leaf may stay populated before people are told, in milliseconds; the pause
/// doubles each time.
pub(super) const STUCK_AFTER: Millis = 2_000;
/// How long a reload may take, in milliseconds.
pub(super) const RELOAD_TIMEOUT: Millis = 90_000;

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
    pub(super) older: ThinVec<String>,
    /// How many looks at its conditions were asked for.
    pub(super) looks: u64,
    pub(super) times: Option<Box<Times>>,
    pub(super) pending: Option<Box<Pending>>,
    pub(super) origin: Option<Origin>,
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
            older: ThinVec::new(),
            looks: 0,
            times: None,
            pending: None,
            origin: None,
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
            State::Blocked | State::Looking { .. } => StateWord::Blocked,
            State::Waiting { .. } => StateWord::Waiting,
            State::Preparing { .. } | State::Starting { .. } | State::Finishing { .. } => {
                StateWord::Starting
            }
            State::Up { .. } => StateWord::Up,
            State::Reloading { .. } => StateWord::Reloading,
            State::Stopping { .. } | State::Clearing { .. } => StateWord::Stopping,
            State::Killing { .. } => StateWord::Killing,
            State::Done => StateWord::Done,
            State::Failed { .. } => StateWord::Failed,
        }
    }

    /// The start that lives, if one does.
    pub const fn life(&self) -> Option<&Life> {
        match &self.state {
            State::Preparing { life, .. }
            | State::Starting { life, .. }
            | State::Finishing { life, .. }
            | State::Up { life }
            | State::Reloading { life, .. }
            | State::Stopping { life, .. }
            | State::Killing { life, .. }
            | State::Clearing { life, .. } => Some(life),
            State::Down { .. }
            | State::Blocked
            | State::Looking { .. }
            | State::Waiting { .. }
            | State::Done
            | State::Failed { .. } => None,
        }
    }

    /// Whether it is ending for this reason.
    pub fn is_ending_because(&self, reason: &Because) -> bool {
        match &self.state {
            State::Stopping { because, .. } | State::Killing { because, .. } => because == reason,
            State::Clearing { over, .. } => {
                matches!(&over.why, Why::Ended(because) if because == reason)
            }
            State::Down { .. }
            | State::Blocked
            | State::Looking { .. }
            | State::Waiting { .. }
            | State::Preparing { .. }
            | State::Starting { .. }
            | State::Finishing { .. }
            | State::Up { .. }
            | State::Reloading { .. }
            | State::Done
            | State::Failed { .. } => false,
        }
    }

    /// The main process, where it is known.
    pub fn main_pid(&self) -> Option<Pid> {
        match &self.state {
            // A hook is not the service.
            State::Preparing { .. } | State::Clearing { .. } => None,
            _ => self.life().and_then(|life| life.main_pid(self.unit.kind)),
        }
    }

    /// The word for its health, while it is up and something tells.
    pub fn health(&self) -> Option<HealthWord> {
        match &self.state {
            State::Up { life } | State::Reloading { life, .. } => life.watch.as_ref()?.word(),
            State::Down { .. }
            | State::Blocked
            | State::Waiting { .. }
            | State::Looking { .. }
            | State::Preparing { .. }
            | State::Starting { .. }
            | State::Finishing { .. }
            | State::Clearing { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Done
            | State::Failed { .. } => None,
        }
    }

    /// Why its last check failed, or what else is wrong with its health; empty when nothing is.
    pub fn ailment(&self) -> String {
        let watch = self.life().and_then(|life| life.watch.as_ref());
        watch.map_or_else(String::new, |watch| watch.reason())
    }

    /// Whether this is what makes it up.
    pub(super) fn is_up_by(&self, ready: &Ready) -> bool {
        !matches!(self.unit.kind, Kind::Oneshot { .. }) && self.unit.ready() == ready
    }

    /// Whether it came up at `now` by nothing but executing its program. A record that says
    /// `starting` says the same of such a start: see [`Service::adopt`].
    #[must_use]
    pub fn has_just_executed(&self, now: Moment) -> bool {
        let is_new = matches!(&self.state, State::Up { life } if life.up_since == Some(now));
        is_new && self.is_up_by(&Ready::Exec) && !self.unit.starts_in_steps()
    }

    /// What a service waits for that was executed and is not up, in words; empty when that is not
    /// a thing of its own.
    pub(super) fn waited_for(&self, life: &Life) -> String {
        let reason = life.watch.as_ref().map(|watch| watch.reason());
        let reason = reason.filter(|reason| !reason.is_empty());
        match life.first {
            First::Running(_) | First::Ended(_) => {
                reason.unwrap_or_else(|| health::waited_for(&self.unit))
            }
            First::None | First::Executing(_) => String::new(),
        }
    }

    /// Why it is in this state, in words; empty when there is nothing to say.
    pub fn why(&self) -> String {
        match &self.state {
            State::Down { why } | State::Failed { why } => why.to_string(),
            State::Waiting { why, .. } => format!("{why}; will restart"),
            State::Stopping { because, .. } | State::Killing { because, .. } => because.to_string(),
            State::Up { .. } | State::Reloading { .. }
                if self.health() == Some(HealthWord::Unhealthy) =>
            {
                format!("unhealthy: {}", self.ailment())
            }
            State::Up { life } | State::Reloading { life, .. } => match life.main {
                Main::Gone(exit) => format!("main process ended: {exit}; others live on"),
                Main::Unknown | Main::Guessed(_) | Main::Told(_) => String::new(),
            },
            State::Looking { .. } => "its conditions are looked at".to_owned(),
            State::Preparing { role, .. } => hooks::place(&self.unit, *role),
            State::Finishing { index, .. } => hooks::place(&self.unit, Role::Post(*index)),
            State::Clearing { index, over, .. } => {
                format!("{}, {}", over.why, hooks::place(&self.unit, Role::StopPost(*index)))
            }
            State::Starting { life, .. } => self.waited_for(life),
            State::Blocked | State::Done => String::new(),
        }
    }

    /// The one function that changes the state. Says so by [`Action::Changed`] and keeps it by
    /// [`Action::Save`], which comes before what is done to a leaf that is there already: a
    /// supervisor that is killed in between must not leave a half-ended service that nobody ends.
    pub fn step(&mut self, input: Input, now: Moment, out: &mut Vec<Action>) {
        let from = self.word();
        let record = self.record();
        let lived = self.life().is_some();
        let health = self.health();
        let check = self.check().filter(|(_, number)| !input.answers(*number));
        let first = out.len();
        let state = std::mem::replace(&mut self.state, State::Blocked);
        self.state = match input {
            Input::Begin => self.begin(state, now, out),
            Input::Block(waits_for) => {
                self.note_block(&state, waits_for);
                block(state)
            }
            Input::Looked(number, looked) => self.looked(state, number, looked, now, out),
            Input::Rest(why) => Self::stay_down(state, why),
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
            self.note_change(from, now);
            self.since = now;
            let name = self.unit.name.clone();
            out.push(Action::Changed { name, start: self.starts, from, to, why: self.why() });
        }
        self.tell_health(health, out);
        self.end_check(check, out);
        if record != self.record() {
            let place = if lived && self.life().is_some() { first } else { out.len() };
            out.insert(place, Action::Save { name: self.unit.name.clone() });
        }
    }

    /// Says so when the word for the health of a service that is up has changed.
    fn tell_health(&self, before: Option<HealthWord>, out: &mut Vec<Action>) {
        let (name, start) = (self.unit.name.clone(), self.starts);
        if let (Some(before), Some(word)) = (before, self.health())
            && before != word
        {
            out.push(Action::Health { name, start, word, why: self.ailment() });
        }
    }

    /// The check that is on its way, and of which start.
    fn check(&self) -> Option<(u64, u32)> {
        let life = self.life()?;
        Some((life.start, life.watch.as_ref()?.running()?))
    }

    /// Ends a check that nobody waits for any more.
    fn end_check(&mut self, before: Option<(u64, u32)>, out: &mut Vec<Action>) {
        if let State::Stopping { life, .. } | State::Killing { life, .. } = &mut self.state {
            life.watch = None;
        }
        if let Some((start, number)) = before
            && self.life().is_none_or(|life| life.watch.is_none())
        {
            out.push(Action::EndCheck { name: self.unit.name.clone(), start, number });
        }
    }

    fn begin(&mut self, state: State, now: Moment, out: &mut Vec<Action>) -> State {
        match &state {
            State::Down { .. }
            | State::Blocked
            | State::Waiting { .. }
            | State::Done
            | State::Failed { .. } => {}
            // Law 1: nothing starts over living processes.
            State::Looking { .. }
            | State::Preparing { .. }
            | State::Starting { .. }
            | State::Finishing { .. }
            | State::Up { .. }
            | State::Reloading { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Clearing { .. } => return state,
        }
        // A restart after its own end asks nothing again; but what stands may have started one again
        // that was skipped.
        let asks = self.attempts == 0 || is_triggered(&self.unit);
        if !self.unit.conditions.is_empty() && asks {
            return self.look_at_conditions(out);
        }
        self.begin_steps(&state, now, out)
    }

    /// The first step of a start, from this state.
    pub(super) fn begin_steps(
        &mut self,
        from: &State,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        self.note_begin(from, now);
        // Every attempt since a person's order is a restart, also one that was blocked in between.
        self.restarts = self.restarts.saturating_add(u32::from(self.attempts > 0));
        self.others = None;
        self.began = Some(now);
        self.older = ThinVec::new();
        self.prepare(Role::Pre(0), now, out)
    }

    /// Begins a start of this number, in a fresh leaf.
    pub(super) fn spawn_alone(&mut self, role: Role, out: &mut Vec<Action>) -> Life {
        self.starts += 1;
        out.push(Action::Spawn { unit: Arc::clone(&self.unit), start: self.starts, role });
        Life::new(self.starts)
    }

    fn reload(&self, state: State, now: Moment, out: &mut Vec<Action>) -> State {
        let State::Up { mut life } = state else {
            return state;
        };
        life.forget_reload();
        match (self.unit.reload.as_deref(), life.main_pid(self.unit.kind)) {
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
        | State::Looking { .. }
        | State::Waiting { .. }
        | State::Done
        | State::Failed { .. } => State::Blocked,
        busy @ (State::Preparing { .. }
        | State::Starting { .. }
        | State::Finishing { .. }
        | State::Up { .. }
        | State::Reloading { .. }
        | State::Stopping { .. }
        | State::Killing { .. }
        | State::Clearing { .. }) => busy,
    }
}
