//! What one supervisor leaves of a service, and how the next one takes it over.

use super::record::Record;
use super::service::{Input, Service, State};
use super::service_life::{Control, First, Life, Main, SETTLED_AFTER};
use super::status::StateWord;
use super::unit::{Kind, Limits};
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
        self.older.clone_from(&record.older);
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
        self.state = match word {
            // Nobody will tell again that the program was executed; or, where the first process
            // is not known, that it forked.
            StateWord::Starting if matches!(self.unit.kind, Kind::Auto | Kind::Simple) => {
                State::Up { life: life() }
            }
            StateWord::Starting if self.unit.kind == Kind::Forking && record.first.is_none() => {
                State::Up { life: life() }
            }
            StateWord::Starting => State::Starting { life: life(), give_up: record.deadline },
            StateWord::Up | StateWord::Reloading => State::Up { life: life() },
            // The leaf is killed again: a kill that was cut short must not leave anything.
            StateWord::Stopping | StateWord::Killing => {
                let mut life = life();
                life.control = record.control.map_or(Control::None, Control::Running);
                if populated && word == StateWord::Stopping {
                    self.stop_again(&mut life, record, out);
                }
                State::Stopping { life, because, kill_at: record.deadline.unwrap_or(now) }
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
            life.up_since = Some(record.since);
        }
        if !self.word().is_alive() {
            return;
        }
        if !populated {
            self.step(Input::World(Event::Emptied), now, out);
            return;
        }
        if record.first.is_none() && self.ends_with_first(word) {
            self.step(Input::End(Because::FirstEnded(Exit::Unknown)), now, out);
        }
    }

    /// Does again what the earlier supervisor may have been killed before, as it kept the state
    /// first. A second stop signal does no harm.
    fn stop_again(&self, life: &mut Life, record: &Record, out: &mut Vec<Action>) {
        if record.control_due && self.unit.stop.command.is_some() {
            self.spawn_control(life, Role::Stop, out);
        } else if record.control.is_none() {
            self.send_stop_signal(life, self.who_is_stopped(life), out);
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
                (State::Stopping { .. }, Some(Control::Running(pid))) => Some(pid),
                _ => None,
            },
            control_due: match (&self.state, life.map(|life| life.control)) {
                (State::Stopping { .. }, Some(control)) => control == Control::Asked,
                _ => false,
            },
            deadline: match &self.state {
                State::Starting { give_up, .. } => *give_up,
                State::Stopping { kill_at, .. } => Some(*kill_at),
                State::Waiting { until, .. } => Some(*until),
                _ => None,
            },
            because,
            why,
            restarts: self.restarts,
            attempts: self.attempts,
            limited: self.starts > 0 && self.unit.limits != Limits::default(),
            older: self.older.clone(),
            others: self.others.as_deref().cloned().unwrap_or_default(),
        }
    }
}
