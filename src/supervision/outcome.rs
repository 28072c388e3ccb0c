//! When an order is carried out, and what to tell the person who gave it.

use super::service::{Service, State};
use super::why::{Obstacle, Why};
use super::{Order, Want};

/// Judges an order by the state now. `None`: not decided yet. Otherwise whether it was carried
/// out, and one line for people.
#[must_use]
pub fn judge(order: Order, service: &Service, obstacles: &[Obstacle]) -> Option<(bool, String)> {
    match order {
        Order::Start | Order::Restart => judge_start(service, obstacles),
        // It was stopped, or will be; but somebody else has asked for a start since, and whoever
        // waited for it to be down would wait for as long as it lives.
        Order::Stop if service.want() != Want::Down => {
            Some((false, "somebody else has asked for a start since".to_owned()))
        }
        Order::Stop => service.life().is_none().then(|| (true, "stopped".to_owned())),
        Order::Reload => match service.state() {
            State::Reloading { .. } => None,
            State::Up { life } => Some(match &life.words().reload_failed {
                Some(why) => (false, format!("the reload failed: {why}")),
                None => (true, "reloaded".to_owned()),
            }),
            _ => Some((false, format!("{} while reloading: {}", service.word(), service.why()))),
        },
    }
}

fn judge_start(service: &Service, obstacles: &[Obstacle]) -> Option<(bool, String)> {
    match service.state() {
        State::Up { .. } | State::Reloading { .. } => Some((true, "up".to_owned())),
        State::Done => Some((true, "done".to_owned())),
        State::Down { why: Why::Completed } => Some((true, "completed".to_owned())),
        // Nothing has gone wrong: the unit says itself that it need not run here.
        State::Down { why: why @ Why::Skipped(_) } => Some((true, why.to_string())),
        State::Down { why } | State::Failed { why } => Some((false, why.to_string())),
        State::Waiting { .. } => Some((false, service.why())),
        State::Blocked => match obstacles.first() {
            Some(never) if never.is_for_good() => Some((false, never.to_string())),
            Some(_) | None => None,
        },
        State::Looking { .. }
        | State::Preparing { .. }
        | State::Starting { .. }
        | State::Finishing { .. }
        | State::Stopping { .. }
        | State::Killing { .. }
        | State::Clearing { .. } => None,
    }
}
