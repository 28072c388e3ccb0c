//! What the passing of time does to a service.

use super::health::Finding;
use super::service::{RELOAD_TIMEOUT, Service, State};
use super::service_life::{Control, Life};
use super::why::{Because, Span};
use super::{Action, Moment, Role, Who};

/// SIGKILL's number, the same on every Linux (signal(7)).
const SIGKILL: i32 = 9;

impl Service {
    /// When a [`super::service::Input::Tick`] will do something.
    pub fn deadline(&self) -> Option<Moment> {
        let earlier = |a: Option<Moment>, b: Option<Moment>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let of = |life: &Life| {
            let watch = life.watch.as_ref().and_then(|watch| watch.deadline());
            earlier(life.look_at(), watch)
        };
        match &self.state {
            State::Down { .. }
            | State::Blocked
            | State::Looking { .. }
            | State::Done
            | State::Failed { .. } => None,
            State::Waiting { until, .. } => Some(*until),
            State::Preparing { give_up, .. } => *give_up,
            State::Starting { life, give_up } | State::Finishing { life, give_up, .. } => {
                earlier(*give_up, of(life))
            }
            State::Clearing { kill_at, .. } => *kill_at,
            State::Up { life } => of(life),
            State::Reloading { life, give_up } => earlier(Some(*give_up), of(life)),
            State::Stopping { kill_at, .. } => Some(*kill_at),
            State::Killing { report_at, .. } => Some(*report_at),
        }
    }

    pub(super) fn tick(&mut self, state: State, now: Moment, out: &mut Vec<Action>) -> State {
        match state {
            State::Starting { life, give_up: Some(at) } if at <= now => {
                let because = self.late(&life);
                self.signal(life, because, now, out)
            }
            State::Preparing { life, role, give_up: Some(at) } if at <= now => {
                let because = self.hook_timeout(role);
                self.signal(life, because, now, out)
            }
            State::Finishing { life, index, give_up: Some(at) } if at <= now => {
                let because = self.hook_timeout(Role::Post(index));
                self.signal(life, because, now, out)
            }
            State::Clearing { life, index, over, kill_at: Some(at), killed } if at <= now => {
                self.clear_by_force(life, index, over, killed, now, out)
            }
            State::Reloading { mut life, give_up } if give_up <= now => {
                if let Control::Running(pid) = life.control {
                    let (name, start) = (self.unit.name.clone(), life.start);
                    let (who, signal) = (Who::One(pid), SIGKILL);
                    out.push(Action::Signal { name, start, who, signal });
                }
                life.control = Control::None;
                life.say().reload_failed =
                    Some(format!("not over within {}", Span(RELOAD_TIMEOUT)));
                State::Up { life }
            }
            State::Stopping { life, because, kill_at } if kill_at <= now => {
                if life.control == Control::None {
                    self.kill(life, because, now, out)
                } else {
                    // The stop command overran: its processes get the signal with the others.
                    self.signal(life, because, now, out)
                }
            }
            State::Killing { life, because, report_at, pause } if report_at <= now => {
                let (name, start) = (self.unit.name.clone(), life.start);
                out.push(Action::KillTree { name: name.clone(), start });
                out.push(Action::ReportStuck { name, start });
                State::Killing { life, because, report_at: now + pause * 2, pause: pause * 2 }
            }
            State::Starting { mut life, give_up } => match self.look_after(&mut life, now, out) {
                Some(because) => self.signal(life, because, now, out),
                None => State::Starting { life, give_up },
            },
            State::Finishing { mut life, index, give_up } => {
                match self.look_after(&mut life, now, out) {
                    Some(because) => self.signal(life, because, now, out),
                    None => State::Finishing { life, index, give_up },
                }
            }
            State::Up { mut life } => match self.look_after(&mut life, now, out) {
                Some(because) => self.signal(life, because, now, out),
                None => State::Up { life },
            },
            State::Reloading { mut life, give_up } => match self.look_after(&mut life, now, out) {
                Some(because) => self.signal(life, because, now, out),
                None => State::Reloading { life, give_up },
            },
            // The supervisor decides about a pause that is over: dependencies have a say.
            rest @ (State::Waiting { .. }
            | State::Preparing { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Clearing { .. }
            | State::Down { .. }
            | State::Blocked
            | State::Looking { .. }
            | State::Done
            | State::Failed { .. }) => rest,
        }
    }

    /// Why one that has taken too long to start is ended.
    fn late(&self, life: &Life) -> Because {
        let limit = self.unit.start_timeout.unwrap_or(0);
        match self.waited_for(life) {
            waited if waited.is_empty() => Because::StartTimeout(limit),
            waited => Because::NotReady { limit, waited },
        }
    }

    /// Looks for the main process, and makes the checks that are due. Gives why it must end, if it
    /// must.
    fn look_after(&self, life: &mut Life, now: Moment, out: &mut Vec<Action>) -> Option<Because> {
        if life.take_look(now) {
            out.push(Action::FindMain { name: self.unit.name.clone(), start: life.start });
        }
        match life.watch.as_mut()?.tick(&self.unit, life.start, now, out) {
            Finding::Ill(because) => Some(because),
            // Only an answer makes it ready.
            Finding::None | Finding::Ready => None,
        }
    }
}
