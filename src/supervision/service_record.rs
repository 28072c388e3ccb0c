//! What one supervisor leaves of a service, and how the next one takes it over.

use super::health::Watch;
use super::hooks::Step;
use super::record::Record;
use super::service::{Input, STUCK_AFTER, Service, State};
use super::service_activation::is_triggered;
use super::service_life::{Control, First, Life, Main, SETTLED_AFTER};
use super::status::StateWord;
use super::unit::{Kind, Limits, Ready};
use super::why::{Because, Exit, Why};
use super::{Action, Event, Moment, Role, Want};

impl Service {
    /// Takes over what an earlier supervisor left: a living start when `populated`, a state of
    /// rest otherwise. The record names only processes that are still there. A start that ended
    /// while nobody looked is over now, and its restart policy is asked.
    pub fn adopt(&mut self, record: &Record, populated: bool, now: Moment, out: &mut Vec<Action>) {
        self.starts = self.starts.max(record.start);
        self.restarts = record.restarts;
        self.attempts = record.attempts;
        self.older = record.older.as_slice().into();
        self.times.clone_from(&record.times);
        self.origin.clone_from(&record.origin);
        self.others = (!record.others.is_empty()).then(|| Box::new(record.others.clone()));
        self.want = match record.wanted {
            true => Want::Up,
            false if record.armed && populated => Want::Up,
            false if record.armed => Want::Armed,
            false => Want::Down,
        };
        self.since = record.since.min(now);
        self.began = record.began;
        let because = record.because.clone().unwrap_or(Because::Asked);
        let life = || {
            let mut life = Life::new(record.start);
            life.first = record.first.map_or(First::Ended(Exit::Unknown), First::Running);
            life.main = record.main.map_or(Main::Unknown, Main::Guessed);
            // The earlier supervisor may have been killed before it looked again.
            if record.main.is_none() || now.saturating_sub(record.since) < SETTLED_AFTER {
                life.look_soon(now);
            }
            life
        };
        // The leaf decides, whatever a record says that its owner may have written (`delegate`).
        let word = match record.state {
            rest if populated && !rest.is_alive() => StateWord::Up,
            word => word,
        };
        let has_command = record.control_due && self.unit.stop.command.is_some();
        let is_to_come = |step: &Step| *step != Step::Stop || has_command;
        let step = record.step.clone().filter(|it| word == record.state && is_to_come(it));
        self.state = match word {
            StateWord::Starting | StateWord::Stopping if let Some(step) = step.clone() => {
                self.adopt_step(*step, life(), record, populated, now, out)
            }
            // Nobody will tell again that the program was executed; or, where the first process
            // is not known, that it forked.
            StateWord::Starting
                if self.is_up_by(&Ready::Exec)
                    || (self.is_up_by(&Ready::Fork) && record.first.is_none()) =>
            {
                if populated {
                    self.finish_start(life(), 0, now, out)
                } else {
                    State::Up { life: life() }
                }
            }
            StateWord::Starting => {
                let mut life = life();
                life.watch = Watch::of_start(&self.unit, now);
                State::Starting { life, give_up: record.deadline }
            }
            StateWord::Up | StateWord::Reloading => State::Up { life: life() },
            // The leaf is killed again: a kill that was cut short must not leave anything.
            StateWord::Stopping | StateWord::Killing => {
                let mut life = life();
                life.control = record.control.map_or(Control::None, Control::Running);
                if populated && word == StateWord::Stopping {
                    self.stop_again(&mut life, record, &because, out);
                }
                let kill_at = self.kill_at(&life, record, now);
                State::Stopping { life, because, kill_at }
            }
            StateWord::Waiting => State::Waiting {
                until: record.deadline.unwrap_or(now),
                why: record.why.clone().unwrap_or(Why::NotStarted),
            },
            StateWord::Done => State::Done,
            StateWord::Failed => {
                State::Failed { why: record.why.clone().unwrap_or(Why::NotStarted) }
            }
            StateWord::Down | StateWord::Blocked => {
                State::Down { why: record.why.clone().unwrap_or(Why::NotStarted) }
            }
        };
        if let State::Up { life } = &mut self.state {
            // A reload has its own time, so the state may be younger than the service.
            let up = record.times.as_ref().and_then(|times| times.up).filter(|up| *up <= now);
            life.up_since = Some(up.unwrap_or(record.since));
            // Of one that came up while nobody looked it is known by now.
            self.times.iter_mut().for_each(|times| _ = times.up.get_or_insert(now));
            life.watch = Watch::of_up(&self.unit, record.since, Some(record), now);
        }
        if !self.word().is_alive() {
            return;
        }
        if !populated {
            self.step(Input::World(Event::Emptied), now, out);
            return;
        }
        if record.first.is_none() && step.is_none() && self.ends_with_first(word) {
            self.step(Input::End(Because::FirstEnded(Exit::Unknown)), now, out);
        }
    }

    /// Takes over a step. What is left of a hook of its own leaf whose process is not there, or not
    /// known, is ended, and then the hook is run again.
    fn adopt_step(
        &self,
        step: Step,
        service: Life,
        record: &Record,
        populated: bool,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        let give_up = record.deadline;
        let mut life = Life::new(record.start);
        life.first = record.first.map_or(First::Ended(Exit::Unknown), First::Running);
        let is_killed = !matches!(step, Step::StartPost(_) | Step::Stop);
        let left_over = populated && record.first.is_none();
        if left_over && is_killed {
            out.push(Action::KillTree { name: self.unit.name.clone(), start: life.start });
        }
        let give_up = if left_over { Some(now + STUCK_AFTER) } else { give_up };
        match step {
            Step::StartPre(index) => State::Preparing { life, role: Role::Pre(index), give_up },
            Step::AfterWork(index) => State::Preparing { life, role: Role::Post(index), give_up },
            Step::First => State::Preparing { life, role: Role::First, give_up },
            Step::StartPost(index) => {
                let mut life = service;
                match record.control {
                    Some(pid) => {
                        life.control = Control::Running(pid);
                        State::Finishing { life, index, give_up: record.deadline }
                    }
                    None if populated => self.finish_start(life, index, now, out),
                    None => State::Finishing { life, index, give_up: record.deadline },
                }
            }
            Step::Stop => {
                let mut life = Life::new(record.start);
                self.spawn_control(&mut life, Role::Stop, out);
                let because = record.because.clone().unwrap_or(Because::Asked);
                let kill_at = self.kill_at(&life, record, now);
                State::Stopping { life, because, kill_at }
            }
            Step::StopPost { index, over } => {
                let killed = left_over.then_some(STUCK_AFTER);
                State::Clearing { life, index, over: Box::new(over), kill_at: give_up, killed }
            }
        }
    }

    /// Does again what the earlier supervisor may have been killed before, as it kept the state
    /// first. A second stop signal does no harm.
    fn stop_again(
        &self,
        life: &mut Life,
        record: &Record,
        because: &Because,
        out: &mut Vec<Action>,
    ) {
        if record.control_due && self.unit.stop.command.is_some() {
            self.spawn_control(life, Role::Stop, out);
        } else if record.control.is_none() {
            self.send_stop_signal(life, self.who_is_stopped(life), because, out);
        }
    }

    /// A stop that was begun has the rest of its time; a stop command that comes only now has its own.
    fn kill_at(&self, life: &Life, record: &Record, now: Moment) -> Moment {
        match life.control {
            Control::Asked => now + self.unit.stop.grace,
            Control::None | Control::Running(_) => record.deadline.unwrap_or(now),
        }
    }

    /// Whether a first process that is not there any more is the end of a start in this state.
    fn ends_with_first(&self, word: StateWord) -> bool {
        match self.unit.kind {
            Kind::Simple => matches!(word, StateWord::Up | StateWord::Reloading),
            Kind::Oneshot { .. } => word == StateWord::Starting,
            Kind::Auto | Kind::Forking | Kind::Notify => false,
        }
    }

    /// What the next supervisor must know.
    pub fn record(&self) -> Record {
        let life = self.life();
        let because = match &self.state {
            State::Stopping { because, .. } | State::Killing { because, .. } => {
                Some(because.clone())
            }
            _ => None,
        };
        let why = match &self.state {
            State::Down { why } | State::Failed { why } | State::Waiting { why, .. } => {
                Some(why.clone())
            }
            _ => None,
        };
        Record {
            start: self.starts,
            state: self.word(),
            since: self.since,
            wanted: self.want_before_shutdown.unwrap_or(self.want) == Want::Up,
            armed: self.want_before_shutdown.unwrap_or(self.want) == Want::Armed,
            began: self.began,
            first: life.and_then(Life::first_pid),
            main: self.main_pid(),
            control: match (&self.state, life.map(|life| life.control)) {
                (State::Stopping { .. } | State::Finishing { .. }, Some(Control::Running(pid))) => {
                    Some(pid)
                }
                _ => None,
            },
            control_due: match (&self.state, life.map(|life| life.control)) {
                (State::Stopping { .. } | State::Finishing { .. }, Some(control)) => {
                    control == Control::Asked
                }
                _ => false,
            },
            step: self.step_to_keep().map(Box::new),
            deadline: match &self.state {
                State::Starting { give_up, .. }
                | State::Preparing { give_up, .. }
                | State::Finishing { give_up, .. } => *give_up,
                State::Clearing { kill_at, .. } => *kill_at,
                State::Stopping { kill_at, .. } => Some(*kill_at),
                State::Waiting { until, .. } => Some(*until),
                _ => None,
            },
            because,
            why,
            restarts: self.restarts,
            attempts: self.attempts,
            limited: self.starts > 0 && *self.unit.limits != Limits::default(),
            older: self.older.to_vec(),
            times: self.times.clone(),
            origin: self.origin.clone(),
            health: life.and_then(|life| life.watch.as_ref()?.kept()),
            watchdog: life.and_then(|life| life.watch.as_ref()?.kept_limit(&self.unit)),
            others: self.others.as_deref().cloned().unwrap_or_default(),
        }
    }

    /// Whether the next supervisor must be told of it. One that was never started has no cgroup, and
    /// nothing to be remembered, unless it was decided that it does not start, or it is to start and
    /// its unit alone does not say so; `is_known` is whether a record says something of it already.
    pub fn is_to_be_known(&self, is_known: bool) -> bool {
        let decided = matches!(
            &self.state,
            State::Failed { .. }
                | State::Down {
                    why: Why::Skipped(_)
                        | Why::Ended(Because::Conflicts(_) | Because::Asked | Because::Needs(_))
                }
        );
        let of_unit = match (self.unit.enabled, is_triggered(&self.unit)) {
            (false, _) => Want::Down,
            (true, false) => Want::Up,
            (true, true) => Want::Armed,
        };
        let is_wanted = self.want != Want::Down && (is_known || self.want != of_unit);
        self.starts > 0 || decided || is_wanted
    }

    fn step_to_keep(&self) -> Option<Step> {
        match &self.state {
            State::Preparing { role: Role::Pre(index), .. } => Some(Step::StartPre(*index)),
            State::Preparing { role: Role::Post(index), .. } => Some(Step::AfterWork(*index)),
            State::Preparing { .. } => Some(Step::First),
            State::Starting { life, .. }
                if life.first == First::None && self.unit.starts_in_steps() =>
            {
                Some(Step::First)
            }
            State::Finishing { index, .. } => Some(Step::StartPost(*index)),
            State::Stopping { life, .. }
                if life.first == First::None && life.control == Control::Asked =>
            {
                Some(Step::Stop)
            }
            State::Clearing { index, over, .. } => {
                Some(Step::StopPost { index: *index, over: (**over).clone() })
            }
            _ => None,
        }
    }
}
