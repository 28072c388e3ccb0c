//! How a living service is ended: command, signal, kill.

use std::sync::Arc;

use super::hooks::Over;
use super::service::{STUCK_AFTER, Service, State};
use super::service_life::{Control, First, Life};
use super::unit::KillMode;
use super::why::{Because, Exit, Why};
use super::{Action, Moment, Role, Who};

/// SIGABRT's number, the same on every Linux (signal(7)).
const SIGABRT: i32 = 6;

impl Service {
    /// Ends what lives: the stop command where a person asked and the service was up, then the
    /// signal, then after the grace period the kill.
    pub(super) fn end(
        &mut self,
        state: State,
        because: Because,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        let grace = self.unit.stop.grace;
        match state {
            State::Preparing { life, .. }
            | State::Starting { life, .. }
            | State::Finishing { life, .. } => self.signal(life, because, now, out),
            State::Up { mut life } | State::Reloading { mut life, .. } => {
                if self.unit.stop.command.is_none() || !because.is_wanted() {
                    return self.signal(life, because, now, out);
                }
                self.spawn_control(&mut life, Role::Stop, out);
                State::Stopping { life, because, kill_at: now + grace }
            }
            // The newer reason counts, the older deadline stays.
            State::Stopping { life, kill_at, .. } => State::Stopping { life, because, kill_at },
            State::Killing { life, report_at, pause, .. } => {
                State::Killing { life, because, report_at, pause }
            }
            State::Clearing { life, index, mut over, kill_at, killed } => {
                if because.is_wanted() {
                    over.why = Why::Ended(because);
                }
                State::Clearing { life, index, over, kill_at, killed }
            }
            State::Done if self.unit.stop.command.is_some() => {
                self.starts += 1;
                let mut life = Life::new(self.starts);
                self.spawn_control(&mut life, Role::Stop, out);
                State::Stopping { life, because, kill_at: now + grace }
            }
            State::Done => {
                let over = Over { why: Why::Ended(because), up_since: None, exit: Exit::Code(0) };
                self.clear(over, 0, now, out)
            }
            State::Down { .. }
            | State::Blocked
            | State::Looking { .. }
            | State::Waiting { .. }
            | State::Failed { .. } => State::Down { why: Why::Ended(because) },
        }
    }

    /// Whether a process of this start that was asked for is not to be born any more: an end has
    /// overtaken it. What was asked for first and alone is still born, because its end is waited for.
    pub fn has_overtaken(&self, start: u64, role: Role) -> bool {
        let Some(life) = self.life().filter(|life| life.start == start) else {
            return true;
        };
        let is_due = match role {
            Role::First | Role::Pre(_) | Role::StopPost(_) => true,
            Role::Stop => {
                matches!(self.state, State::Stopping { .. }) && life.control != Control::None
            }
            Role::Reload => matches!(self.state, State::Reloading { .. }),
            Role::Post(_) => matches!(self.state, State::Finishing { .. }),
        };
        life.first != First::None && !is_due
    }

    pub(super) fn spawn_control(&self, life: &mut Life, role: Role, out: &mut Vec<Action>) {
        life.control = Control::Asked;
        out.push(Action::Spawn { unit: Arc::clone(&self.unit), start: life.start, role });
    }

    pub(super) fn signal(
        &self,
        mut life: Life,
        because: Because,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        let who = self.who_is_stopped(&life);
        life.control = Control::None;
        self.send_stop_signal(&life, who, &because, out);
        State::Stopping { life, because, kill_at: now + self.unit.stop.grace }
    }

    /// Who gets the stop signal.
    pub(super) fn who_is_stopped(&self, life: &Life) -> Who {
        match (self.unit.stop.kill_mode, life.main_pid(self.unit.kind)) {
            (KillMode::Mixed, Some(main)) => Who::One(main),
            (KillMode::Mixed, None) | (KillMode::ControlGroup, _) => Who::All,
        }
    }

    /// A service that hangs is to leave a core behind, if it can.
    pub(super) fn send_stop_signal(
        &self,
        life: &Life,
        who: Who,
        because: &Because,
        out: &mut Vec<Action>,
    ) {
        let signal = match because {
            Because::Watchdog { .. } => SIGABRT,
            _ => self.unit.stop.signal,
        };
        let (name, start) = (self.unit.name.clone(), life.start);
        out.push(Action::Signal { name, start, who, signal });
    }

    /// Kills what lives; the time for asking is over.
    pub(super) fn kill_at_once(
        &self,
        state: State,
        because: Because,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        match state {
            State::Preparing { life, .. }
            | State::Starting { life, .. }
            | State::Finishing { life, .. }
            | State::Up { life }
            | State::Reloading { life, .. }
            | State::Stopping { life, .. }
            | State::Killing { life, .. }
            | State::Clearing { life, .. } => self.kill(life, because, now, out),
            State::Blocked | State::Looking { .. } | State::Waiting { .. } | State::Done => {
                State::Down { why: Why::Ended(because) }
            }
            rest @ (State::Down { .. } | State::Failed { .. }) => rest,
        }
    }

    pub(super) fn kill(
        &self,
        life: Life,
        because: Because,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        out.push(Action::KillTree { name: self.unit.name.clone(), start: life.start });
        State::Killing { life, because, report_at: now + STUCK_AFTER, pause: STUCK_AFTER }
    }
}
