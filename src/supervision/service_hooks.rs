//! The steps of a start and of an end that are not the service itself: conditions and hooks.
//!
//! A hook whose end nobody saw, because the supervisor was killed meanwhile, is run again once its
//! leaf is empty: it may run twice, and never twice at the same time.

use std::sync::Arc;

use super::condition::Looked;
use super::health::Watch;
use super::hooks::{self, Hook, HookFailure, Over};
use super::service::{STUCK_AFTER, Service, State};
use super::service_life::{Control, First, Life};
use super::service_world::Then;
use super::unit::{Kind, Millis};
use super::why::{Because, Exit, Why};
use super::{Action, Event, Moment, Role, Want};

/// What news means for a leaf that holds a hook alone.
enum Leaf {
    /// Nothing.
    Stays,
    /// The hook has ended, and left others behind.
    LeftBehind,
    /// It is empty.
    Empty,
}

/// What the end of a hook means.
enum Came {
    /// The next step.
    Well,
    /// It is run again: nobody saw how it ended.
    Unseen,
    /// A failure that counts.
    Failed(Because),
}

impl Service {
    pub(super) fn look_at_conditions(&mut self, out: &mut Vec<Action>) -> State {
        self.looks += 1;
        out.push(Action::Look { unit: Arc::clone(&self.unit), number: self.looks });
        State::Looking { number: self.looks }
    }

    pub(super) fn looked(
        &mut self,
        state: State,
        number: u64,
        looked: Looked,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        if state != (State::Looking { number }) {
            return state;
        }
        match looked {
            Looked::Met => self.begin_steps(&state, now, out),
            Looked::Skip(what) => {
                let why = Why::Skipped(what);
                (self.want, self.ran_for) = (self.want_at_rest(&why), Some(0));
                State::Down { why }
            }
            Looked::Fail(what) => {
                let why = Why::Unmet(what);
                (self.want, self.ran_for) = (self.want_at_rest(&why), Some(0));
                State::Failed { why }
            }
        }
    }

    /// One that is down stays so, for this reason.
    pub(super) fn stay_down(state: State, why: Why) -> State {
        match state {
            State::Down { .. } => State::Down { why },
            other @ (State::Blocked
            | State::Looking { .. }
            | State::Waiting { .. }
            | State::Failed { .. }
            | State::Preparing { .. }
            | State::Starting { .. }
            | State::Finishing { .. }
            | State::Up { .. }
            | State::Reloading { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Clearing { .. }
            | State::Done) => other,
        }
    }

    fn deadline_of(&self, role: Role, now: Moment) -> Option<Moment> {
        let hook = hooks::of_role(&self.unit, role);
        hook.and_then(|hook| hook.timeout).map(|limit| now + limit)
    }

    /// The next step of a start, in a fresh leaf: this hook, or what comes after the last of its
    /// kind.
    pub(super) fn prepare(&mut self, role: Role, now: Moment, out: &mut Vec<Action>) -> State {
        match role {
            Role::Post(index) => self.after_work(index, now, out),
            Role::Pre(_) if hooks::of_role(&self.unit, role).is_some() => {
                let life = self.spawn_alone(role, out);
                State::Preparing { life, role, give_up: self.deadline_of(role, now) }
            }
            Role::Pre(_) | Role::First | Role::Stop | Role::Reload | Role::StopPost(_) => {
                let life = self.spawn_alone(Role::First, out);
                let give_up = self.unit.start_timeout.map(|limit| now + limit);
                State::Starting { life, give_up }
            }
        }
    }

    /// A oneshot has done its work: its `start_post` commands from this one on, then its end.
    pub(super) fn after_work(&mut self, index: usize, now: Moment, out: &mut Vec<Action>) -> State {
        let role = Role::Post(index);
        if hooks::of_role(&self.unit, role).is_some() && self.want != Want::Down {
            let life = self.spawn_alone(role, out);
            return State::Preparing { life, role, give_up: self.deadline_of(role, now) };
        }
        let over = Over { why: Why::Completed, up_since: None, exit: Exit::Code(0) };
        self.clear(over, 0, now, out)
    }

    /// The service is up as its type says: its `start_post` commands from this one on, then it is
    /// up.
    pub(super) fn finish_start(
        &self,
        mut life: Life,
        index: usize,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        let role = Role::Post(index);
        life.watch = None;
        if hooks::of_role(&self.unit, role).is_none() {
            life.up_since = Some(now);
            life.watch = Watch::of_up(&self.unit, now, None, now);
            return State::Up { life };
        }
        self.spawn_control(&mut life, role, out);
        State::Finishing { life, index, give_up: self.deadline_of(role, now) }
    }

    /// The service is over: its `stop_post` commands from this one on, then it rests.
    pub(super) fn clear(
        &mut self,
        over: Over,
        index: usize,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        let role = Role::StopPost(index);
        let stays_done = over.why == Why::Completed && self.remains() && self.want != Want::Down;
        let no_time = over.why == Why::Ended(Because::OutOfTime);
        if stays_done || no_time || hooks::of_role(&self.unit, role).is_none() {
            return self.come_to_rest(over, now);
        }
        let life = self.spawn_alone(role, out);
        let kill_at = self.deadline_of(role, now);
        State::Clearing { life, index, over: Box::new(over), kill_at, killed: None }
    }

    pub(super) fn preparing(
        &mut self,
        mut life: Life,
        role: Role,
        give_up: Option<Moment>,
        event: Event,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        if let Event::SpawnFailed { reason, passing, .. } = &event {
            life.say().hook_failed = Some(reason.clone());
            if !self.is_ignored(role) {
                let reason = format!("{}: {reason}", hooks::words(&self.unit, role));
                let because = Because::CannotStart { reason, passing: *passing };
                return match life.first {
                    First::None => self.over(life, Some(because), now, out),
                    First::Executing(_) | First::Running(_) | First::Ended(_) => {
                        self.kill(life, because, now, out)
                    }
                };
            }
        }
        match self.note_hook(&mut life, &event, now) {
            Leaf::Stays => State::Preparing { life, role, give_up },
            Leaf::Empty => self.prepared(life, role, now, out),
            // What it left behind may not meet the next step. The leaf is not used again, so it may
            // be killed.
            Leaf::LeftBehind => {
                self.kill_left_over(&life, out);
                State::Preparing { life, role, give_up: Some(now + STUCK_AFTER) }
            }
        }
    }

    /// A hook of a start is over, and its leaf is empty.
    fn prepared(&mut self, life: Life, role: Role, now: Moment, out: &mut Vec<Action>) -> State {
        self.remove_leaf(&life, out);
        let exit = end_of(&life);
        let came = self.judge_hook(role, exit, life.words().hook_failed.clone(), out);
        if self.want == Want::Down {
            // Those behind it have yet to end before it may be asked to; but nothing begins here.
            let is_shutdown = self.want_before_shutdown.is_some();
            let because = if is_shutdown { Because::Shutdown } else { Because::Asked };
            let over = Over { why: Why::Ended(because), up_since: None, exit };
            return self.clear(over, 0, now, out);
        }
        match (came, role) {
            (Came::Unseen, _) => self.prepare(role, now, out),
            (Came::Well, Role::Pre(index)) => self.prepare(Role::Pre(index + 1), now, out),
            (Came::Well, Role::Post(index)) => self.after_work(index + 1, now, out),
            (Came::Well, Role::First | Role::Stop | Role::Reload | Role::StopPost(_)) => {
                self.prepare(Role::First, now, out)
            }
            (Came::Failed(because), _) => {
                self.last_exit = Some(exit);
                let over = Over { why: Why::Ended(because), up_since: None, exit };
                self.clear(over, 0, now, out)
            }
        }
    }

    pub(super) fn finishing(
        &mut self,
        mut life: Life,
        index: usize,
        give_up: Option<Moment>,
        event: Event,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        let role = Role::Post(index);
        let control = life.control;
        let then = self.note(&mut life, &event, now);
        let came = match &event {
            Event::Exited { pid, exit, .. } if control == Control::Running(*pid) => {
                Some(self.judge_hook(role, *exit, None, out))
            }
            Event::SpawnFailed { role: Role::Post(_), reason, passing } => {
                life.control = Control::None;
                Some(if self.is_ignored(role) {
                    self.report(role, reason, out);
                    Came::Well
                } else {
                    let reason = format!("{}: {reason}", hooks::words(&self.unit, role));
                    Came::Failed(Because::CannotStart { reason, passing: *passing })
                })
            }
            Event::Notified(notice) if notice.stopping => {
                let kill_at = now + self.unit.stop.grace;
                return State::Stopping { life, because: Because::SaidStopping, kill_at };
            }
            Event::Exited { .. }
            | Event::SpawnFailed { .. }
            | Event::Spawned { .. }
            | Event::Executed { .. }
            | Event::Emptied
            | Event::Notified(_)
            | Event::BecameReady
            | Event::Checked { .. }
            | Event::MainFound { .. } => None,
        };
        match (then, came) {
            (Then::Over, Some(Came::Failed(because))) => self.over(life, Some(because), now, out),
            // A oneshot's helpers went before its last command was over.
            (Then::Over, came) if matches!(self.unit.kind, Kind::Oneshot { .. }) => {
                self.remove_leaf(&life, out);
                self.last_exit = Some(life.verdict(self.unit.kind));
                let next = index + usize::from(matches!(came, Some(Came::Well)));
                self.after_work(next, now, out)
            }
            (Then::Over, _) => self.over(life, None, now, out),
            (Then::End(because), _) | (_, Some(Came::Failed(because))) => {
                self.signal(life, because, now, out)
            }
            (Then::Stay | Then::Up, Some(Came::Well)) => {
                self.finish_start(life, index + 1, now, out)
            }
            (Then::Stay | Then::Up, Some(Came::Unseen)) => self.finish_start(life, index, now, out),
            (Then::Stay | Then::Up, None) => State::Finishing { life, index, give_up },
        }
    }

    #[allow(clippy::too_many_arguments, reason = "all that the state holds, and the event")]
    pub(super) fn clearing(
        &mut self,
        mut life: Life,
        index: usize,
        over: Box<Over>,
        (kill_at, killed): (Option<Moment>, Option<Millis>),
        event: Event,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        let role = Role::StopPost(index);
        if let Event::SpawnFailed { reason, .. } = &event {
            life.say().hook_failed = Some(reason.clone());
        }
        match self.note_hook(&mut life, &event, now) {
            Leaf::Stays => State::Clearing { life, index, over, kill_at, killed },
            Leaf::LeftBehind => {
                self.kill_left_over(&life, out);
                let (kill_at, killed) = (Some(now + STUCK_AFTER), Some(STUCK_AFTER));
                State::Clearing { life, index, over, kill_at, killed }
            }
            Leaf::Empty => {
                self.remove_leaf(&life, out);
                // The verdict is the service's own, whatever came of this.
                match self.judge_hook(role, end_of(&life), life.words().hook_failed.clone(), out) {
                    Came::Unseen => self.clear(*over, index, now, out),
                    Came::Well | Came::Failed(_) => self.clear(*over, index + 1, now, out),
                }
            }
        }
    }

    /// A `stop_post` command has taken too long, or stays though it was killed.
    pub(super) fn clear_by_force(
        &self,
        mut life: Life,
        index: usize,
        over: Box<Over>,
        killed: Option<Millis>,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        self.kill_left_over(&life, out);
        let pause = match killed {
            None => {
                let limit = hooks::of_role(&self.unit, Role::StopPost(index));
                let limit = limit.and_then(|hook| hook.timeout).unwrap_or(0);
                life.say().hook_failed = Some(HookFailure::Timeout(limit).to_string());
                STUCK_AFTER
            }
            Some(pause) => {
                let (name, start) = (self.unit.name.clone(), life.start);
                out.push(Action::ReportStuck { name, start });
                pause * 2
            }
        };
        State::Clearing { life, index, over, kill_at: Some(now + pause), killed: Some(pause) }
    }

    /// Why a hook is ended that has taken too long.
    pub(super) fn hook_timeout(&self, role: Role) -> Because {
        let limit = hooks::of_role(&self.unit, role).and_then(|hook| hook.timeout).unwrap_or(0);
        let hook = hooks::words(&self.unit, role);
        Because::HookFailed { hook, how: HookFailure::Timeout(limit) }
    }

    /// Takes news about a leaf that holds a hook alone.
    fn note_hook(&self, life: &mut Life, event: &Event, now: Moment) -> Leaf {
        let hook = life.first_pid();
        match event {
            // A hook says nothing about the service.
            Event::Notified(_)
            | Event::MainFound { .. }
            | Event::BecameReady
            | Event::Checked { .. } => Leaf::Stays,
            Event::Spawned { .. }
            | Event::Executed { .. }
            | Event::SpawnFailed { .. }
            | Event::Exited { .. }
            | Event::Emptied => match (self.note(life, event, now), event) {
                (Then::Over, _) => Leaf::Empty,
                (Then::Stay | Then::Up | Then::End(_), Event::Exited { pid, .. })
                    if hook == Some(*pid) =>
                {
                    Leaf::LeftBehind
                }
                (Then::Stay | Then::Up | Then::End(_), _) => Leaf::Stays,
            },
        }
    }

    fn is_ignored(&self, role: Role) -> bool {
        hooks::of_role(&self.unit, role).is_some_and(|hook| hook.ignore_failure)
    }

    /// What the end of a hook means; `known` is why it failed, where that was known before.
    fn judge_hook(
        &self,
        role: Role,
        exit: Exit,
        known: Option<String>,
        out: &mut Vec<Action>,
    ) -> Came {
        let is_ignored =
            hooks::of_role(&self.unit, role).is_none_or(|hook: &Hook| hook.ignore_failure);
        match (exit, known) {
            (Exit::Code(0), None) => Came::Well,
            (Exit::Unknown, None) => Came::Unseen,
            (exit, known) if is_ignored || matches!(role, Role::StopPost(_)) => {
                self.report(role, &known.unwrap_or_else(|| exit.to_string()), out);
                Came::Well
            }
            (exit, _) => {
                let hook = hooks::words(&self.unit, role);
                Came::Failed(Because::HookFailed { hook, how: HookFailure::Exit(exit) })
            }
        }
    }

    fn report(&self, role: Role, reason: &str, out: &mut Vec<Action>) {
        let text = format!("{}: {reason}", hooks::words(&self.unit, role));
        out.push(Action::Report { name: self.unit.name.clone(), text });
    }

    fn remove_leaf(&self, life: &Life, out: &mut Vec<Action>) {
        out.push(Action::RemoveLeaf { name: self.unit.name.clone(), start: life.start });
    }

    fn kill_left_over(&self, life: &Life, out: &mut Vec<Action>) {
        out.push(Action::KillTree { name: self.unit.name.clone(), start: life.start });
    }
}

/// How the hook of this leaf ended, as far as anybody saw.
const fn end_of(life: &Life) -> Exit {
    match life.first {
        First::Ended(exit) => exit,
        First::None | First::Executing(_) | First::Running(_) => Exit::Unknown,
    }
}
