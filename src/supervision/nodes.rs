//! All units at once, with what binds them and when they started: what questions about a boot are
//! answered from. Plain data that travels over the control socket.

use serde::{Deserialize, Serialize};

use super::Want;
use super::service::{Service, State};
use super::status::StateWord;
use super::times::{Origin, Waited};
use super::unit::{Condition, Need};
use super::why::{Because, Obstacle, Why};

/// One entry of `depends_on`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The unit that is needed.
    pub unit: String,
    /// What it must have reached, in the words of unit files.
    pub condition: String,
    /// Whether it is needed in any case.
    pub required: bool,
}

/// What holds a start up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The unit that it waits for; absent when it waits for its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// In words.
    pub text: String,
    /// Whether waiting will not help.
    pub hopeless: bool,
}

/// One unit. Moments are milliseconds of the monotonic clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// The type's word.
    pub kind: String,
    /// The state.
    pub state: StateWord,
    /// When the state was entered.
    pub since: u64,
    /// Why it is in this state, in words; empty when there is nothing to say.
    pub why: String,
    /// The unit because of which it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because_of: Option<String>,
    /// Whether it is wanted up.
    pub wanted: bool,
    /// Who wanted it up last: `enabled`, `order`, `triggered` or `needed`; absent when nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The unit that it was wanted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed_by: Option<String>,
    /// What triggered it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triggered_by: Option<String>,
    /// The last order for it that this supervisor was given, and by whom; empty when none.
    pub last_order: String,
    /// Whether it starts by itself.
    pub enabled: bool,
    /// `depends_on`.
    pub needs: Vec<Edge>,
    /// `after`.
    pub after: Vec<String>,
    /// What holds its start up while it is blocked.
    pub held_by: Vec<Hold>,
    /// The number of the last start.
    pub start: u64,
    /// Restarts since a person last asked for a start.
    pub restarts: u32,
    /// How the last process that mattered ended; empty before that.
    pub last_exit: String,
    /// When it does something by itself next: a back-off or a time-out ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// When the last start was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<u64>,
    /// When its back-off was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
    /// When its first process was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<u64>,
    /// When it was up, done or completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<u64>,
    /// The unit that the last start waited for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<String>,
    /// Whether it waited last for its turn.
    pub waited_turn: bool,
}

impl Node {
    /// What the rules know of a service. `why`, `last_order` and `last_exit` are for those to fill in
    /// who know more.
    #[must_use]
    pub fn of(service: &Service, obstacles: &[Obstacle]) -> Self {
        let unit = service.unit();
        let times = service.times();
        let blocked = service.word() == StateWord::Blocked;
        let (origin, needed_by) = match service.origin() {
            None => (None, None),
            Some(Origin::Enabled) => (Some("enabled"), None),
            Some(Origin::Asked) => (Some("order"), None),
            Some(Origin::Triggered(_)) => (Some("triggered"), None),
            Some(Origin::Needed(by)) => (Some("needed"), Some(by.clone())),
        };
        let waited_for = times.and_then(|times| times.waited_for.as_ref());
        Self {
            name: unit.name.to_string(),
            description: unit.description.to_string(),
            kind: unit.kind.word().to_owned(),
            state: service.word(),
            since: service.since(),
            why: service.why(),
            because_of: because_of(service.state()),
            wanted: service.want() == Want::Up,
            origin: origin.map(str::to_owned),
            needed_by,
            triggered_by: service.triggered_by(),
            last_order: String::new(),
            enabled: unit.enabled,
            needs: unit.needs.iter().map(Edge::of).collect(),
            after: unit.after.iter().map(ToString::to_string).collect(),
            held_by: obstacles.iter().filter(|_| blocked).map(Hold::of).collect(),
            start: service.starts(),
            restarts: service.restarts(),
            last_exit: service.last_exit().map(|exit| exit.to_string()).unwrap_or_default(),
            next: service.deadline(),
            due: times.map(|times| times.due),
            free: times.map(|times| times.free),
            began: times.map(|times| times.began),
            up: times.and_then(|times| times.up),
            waited_for: match waited_for {
                Some(Waited::Unit(unit)) => Some(unit.clone()),
                Some(Waited::Turn) | None => None,
            },
            waited_turn: waited_for == Some(&Waited::Turn),
        }
    }
}

impl Edge {
    fn of(need: &Need) -> Self {
        let condition = match need.condition {
            Condition::ServiceStarted => "service_started",
            Condition::ServiceHealthy => "service_healthy",
            Condition::ServiceCompletedSuccessfully => "service_completed_successfully",
        };
        let (unit, condition) = (need.unit.to_string(), condition.to_owned());
        Self { unit, condition, required: need.required }
    }
}

impl Hold {
    fn of(obstacle: &Obstacle) -> Self {
        let unit = obstacle.unit().map(ToString::to_string);
        Self { unit, text: obstacle.to_string(), hopeless: obstacle.is_for_good() }
    }
}

fn because_of(state: &State) -> Option<String> {
    match state {
        State::Down { why: Why::Ended(Because::Needs(unit)) }
        | State::Stopping { because: Because::Needs(unit), .. }
        | State::Killing { because: Because::Needs(unit), .. } => Some(unit.clone()),
        State::Down { .. }
        | State::Blocked
        | State::Looking { .. }
        | State::Waiting { .. }
        | State::Preparing { .. }
        | State::Starting { .. }
        | State::Finishing { .. }
        | State::Up { .. }
        | State::Reloading { .. }
        | State::Stopping { .. }
        | State::Killing { .. }
        | State::Clearing { .. }
        | State::Done
        | State::Failed { .. } => None,
    }
}
