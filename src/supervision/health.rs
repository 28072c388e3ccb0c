//! [`Watch`]: how a start is looked after. While it starts, the checks that find out whether it is
//! ready; once it is up, its health check and its watchdog. Part of a [`super::service_life::Life`].
//!
//! A check is asked for by [`Action::Check`] and answered by [`super::Event::Checked`], once. There
//! is never more than one of a start: one that takes too long is ended and waited for.
//!
//! A deadline that is seen much too late says nothing of the service: this process was stopped, or
//! the machine. Then the same time is given once more.

use std::sync::Arc;

use super::record::{KeptHealth, Record};
use super::status::HealthWord;
use super::unit::{HealthCheck, Millis, OnFailure, Ready, Unit};
use super::why::{Because, Span};
use super::{Action, Moment, Notice, Purpose, WatchdogNews};

/// A deadline that is seen later than this was missed by the supervisor and not by the service, in
/// milliseconds.
const HELD_UP: Millis = 1_000;
/// How long after its time a keep-alive is still waited for, in milliseconds: it may be in the
/// queue of the notify socket behind many others.
const LAST_CALL: Millis = 250;
/// The longest reason that is kept of a failed check, in bytes: a record has no room for more.
const LONGEST_REASON: usize = 300;

/// The check that is made next, or now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// There is nothing to be checked.
    Rest,
    /// One is due then.
    Due(Moment),
    /// One is on its way.
    Running {
        /// When it has taken too long.
        give_up: Moment,
    },
    /// It took too long and is being ended; the next one waits for its end, and meanwhile this
    /// counts as failures.
    Ending {
        /// When the next one would have been due.
        again: Moment,
    },
}

/// What the checks of a unit's `healthcheck` have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Health {
    word: HealthWord,
    /// Failures in a row that count.
    failures: u32,
    /// Until the first success one failure counts in each interval, from here on.
    counts_from: Moment,
}

/// When the next keep-alive is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// It is not late yet.
    Ticking(Moment),
    /// It is late; if it does not come by then it was missed.
    LastCall(Moment),
    /// It was missed, and people were told; it is waited for.
    Missed(Alarm),
    /// The service has switched the clock off.
    Off,
}

/// What the watchdog has to complain about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alarm {
    /// No keep-alive came in time.
    Silence,
    /// The service has asked for it.
    Triggered,
}

/// A unit's `watchdog` in this start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Watchdog {
    limit: Millis,
    clock: Clock,
}

/// How one start is looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    purpose: Purpose,
    round: Round,
    /// Of the last check.
    number: u32,
    health: Option<Health>,
    watchdog: Option<Watchdog>,
    /// Why the last check failed, in words; empty after a success.
    reason: String,
}

/// What an answer or the time means for the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Nothing.
    None,
    /// It is ready.
    Ready,
    /// It must end.
    Ill(Because),
}

impl Watch {
    /// For one whose readiness has to be asked for; others need none.
    pub fn of_start(unit: &Unit, now: Moment) -> Option<Box<Self>> {
        let Ready::Polled(_) = unit.ready() else { return None };
        let round = Round::Due(now);
        Some(Box::new(Self { round, ..Self::idle(Purpose::Ready) }))
    }

    /// For one that is up since `up_since`, with what an earlier supervisor knew of it. Clocks start
    /// anew: nobody has listened meanwhile.
    pub fn of_up(
        unit: &Unit,
        up_since: Moment,
        record: Option<&Record>,
        now: Moment,
    ) -> Option<Box<Self>> {
        let mut watch = Self::idle(Purpose::Health);
        if let Some(check) = &unit.health {
            let counts_from = up_since.saturating_add(check.start_period);
            let fresh = Health { word: HealthWord::Starting, failures: 0, counts_from };
            let kept = record.and_then(|record| record.health.as_ref());
            let health = kept.map_or(fresh, |kept| Health {
                word: kept.word,
                failures: kept.failures,
                counts_from: counts_from.max(now),
            });
            watch.reason = kept.map(|kept| kept.reason.clone()).unwrap_or_default();
            // The first answer is what dependents wait for.
            let pause = if record.is_none() { 0 } else { pause(check, health.word) };
            watch.round = Round::Due(now.saturating_add(pause));
            watch.health = Some(health);
        }
        if let Some(unit) = unit.watchdog {
            let limit = record.and_then(|record| record.watchdog).unwrap_or(unit.limit);
            watch.watchdog = Some(Watchdog { limit, clock: Clock::of(limit, now) });
        }
        let is_needed = watch.health.is_some() || watch.watchdog.is_some();
        is_needed.then(|| Box::new(watch))
    }

    fn idle(purpose: Purpose) -> Self {
        let (health, watchdog, reason) = (None, None, String::new());
        Self { purpose, round: Round::Rest, number: 0, health, watchdog, reason }
    }

    /// The word for its health; `None` where nothing tells.
    pub const fn word(&self) -> Option<HealthWord> {
        match (&self.watchdog, &self.health) {
            (Some(Watchdog { clock: Clock::Missed(_), .. }), _) => Some(HealthWord::Unhealthy),
            (_, Some(health)) => Some(health.word),
            (Some(_), None) => Some(HealthWord::Healthy),
            (None, None) => None,
        }
    }

    /// Why the last check failed; empty when it did not.
    pub fn reason(&self) -> String {
        match &self.watchdog {
            Some(Watchdog { clock: Clock::Missed(alarm), limit }) => alarm.words(*limit),
            _ => self.reason.clone(),
        }
    }

    /// Failed checks in a row.
    pub fn failures(&self) -> u32 {
        self.health.map_or(0, |health| health.failures)
    }

    /// What the next supervisor must know of the checks.
    pub fn kept(&self) -> Option<Box<KeptHealth>> {
        let Health { word, failures, .. } = self.health?;
        Some(Box::new(KeptHealth { word, failures, reason: self.reason.clone() }))
    }

    /// What the next supervisor must know of the watchdog: a limit that is not the unit's.
    pub fn kept_limit(&self, unit: &Unit) -> Option<Millis> {
        let limit = self.watchdog?.limit;
        (unit.watchdog?.limit != limit).then_some(limit)
    }

    /// The number of the check that is on its way.
    pub const fn running(&self) -> Option<u32> {
        match self.round {
            Round::Running { .. } | Round::Ending { .. } => Some(self.number),
            Round::Rest | Round::Due(_) => None,
        }
    }

    /// When [`Watch::tick`] will do something.
    pub fn deadline(&self) -> Option<Moment> {
        let check = match self.round {
            Round::Rest => None,
            Round::Due(at) | Round::Running { give_up: at } | Round::Ending { again: at } => {
                Some(at)
            }
        };
        let clock = self.watchdog.and_then(|watchdog| match watchdog.clock {
            Clock::Ticking(at) | Clock::LastCall(at) => Some(at),
            Clock::Missed(_) | Clock::Off => None,
        });
        check.into_iter().chain(clock).min()
    }

    /// Does what is due.
    pub fn tick(
        &mut self,
        unit: &Arc<Unit>,
        start: u64,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> Finding {
        if let Some(because) = self.tick_clock(unit, now) {
            return Finding::Ill(because);
        }
        let (timeout, interval) = self.times(unit);
        match self.round {
            Round::Due(at) if at <= now => {
                self.number = self.number.wrapping_add(1);
                self.round = Round::Running { give_up: now.saturating_add(timeout) };
                let (unit, purpose, number) = (Arc::clone(unit), self.purpose, self.number);
                out.push(Action::Check { unit, start, purpose, number });
                Finding::None
            }
            Round::Running { give_up } if now >= give_up.saturating_add(HELD_UP) => {
                self.round = Round::Running { give_up: now.saturating_add(timeout) };
                Finding::None
            }
            Round::Running { give_up } if give_up <= now => {
                let (name, number) = (unit.name.clone(), self.number);
                out.push(Action::EndCheck { name, start, number });
                self.round = Round::Ending { again: now.saturating_add(interval) };
                self.failed(unit, format!("no answer within {}", Span(timeout)), now)
            }
            Round::Ending { again } if now >= again.saturating_add(HELD_UP) => {
                self.round = Round::Ending { again: now.saturating_add(interval) };
                Finding::None
            }
            Round::Ending { again } if again <= now => {
                self.round = Round::Ending { again: now.saturating_add(interval) };
                self.failed(unit, "the last check was killed and does not end".into(), now)
            }
            Round::Rest | Round::Due(_) | Round::Running { .. } | Round::Ending { .. } => {
                Finding::None
            }
        }
    }

    /// How long a check may take, and the pause between two.
    fn times(&self, unit: &Unit) -> (Millis, Millis) {
        match (self.purpose, unit.ready(), &unit.health, self.health) {
            (Purpose::Ready, Ready::Polled(polled), ..) => (polled.timeout, polled.interval),
            (Purpose::Health, _, Some(check), Some(health)) => {
                (check.timeout, pause(check, health.word))
            }
            // No check is due without one of these.
            (Purpose::Ready | Purpose::Health, ..) => (0, Millis::MAX / 2),
        }
    }

    /// Takes the answer of a check. That of another one is old.
    pub fn checked(
        &mut self,
        unit: &Unit,
        number: u32,
        result: &Result<(), String>,
        now: Moment,
    ) -> Finding {
        if self.running() != Some(number) {
            return Finding::None;
        }
        let ended = self.round;
        let (_, interval) = self.times(unit);
        self.round = Round::Due(now.saturating_add(interval));
        match (ended, result, self.purpose) {
            // Its failure was counted when its time was over.
            (Round::Ending { again }, ..) => {
                self.round = Round::Due(again);
                Finding::None
            }
            (_, Ok(()), Purpose::Ready) => {
                self.round = Round::Rest;
                Finding::Ready
            }
            (_, Ok(()), Purpose::Health) => {
                self.passed(unit, now);
                Finding::None
            }
            (_, Err(reason), Purpose::Ready | Purpose::Health) => {
                self.failed(unit, reason.clone(), now)
            }
        }
    }

    fn passed(&mut self, unit: &Unit, now: Moment) {
        self.reason = String::new();
        if let (Some(health), Some(check)) = (&mut self.health, &unit.health) {
            (health.word, health.failures) = (HealthWord::Healthy, 0);
            self.round = Round::Due(now.saturating_add(check.interval));
        }
    }

    fn failed(&mut self, unit: &Unit, mut reason: String, now: Moment) -> Finding {
        let cut =
            (0..=LONGEST_REASON.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at));
        reason.truncate(cut.unwrap_or(0));
        self.reason = reason;
        let (Some(health), Some(check)) = (&mut self.health, &unit.health) else {
            return Finding::None;
        };
        match health.word {
            HealthWord::Starting => {
                if now < health.counts_from.saturating_add(check.interval) {
                    return Finding::None;
                }
                health.counts_from = now;
            }
            HealthWord::Healthy | HealthWord::Unhealthy => {}
        }
        health.failures = health.failures.saturating_add(1);
        if health.failures < check.retries {
            return Finding::None;
        }
        health.word = HealthWord::Unhealthy;
        let times = match health.failures {
            1 => "a check failed".to_owned(),
            count => format!("{count} checks in a row failed"),
        };
        let why = format!("{times}: {}", self.reason);
        match check.on_failure {
            OnFailure::Notify => Finding::None,
            then @ (OnFailure::Restart | OnFailure::Stop) => {
                Finding::Ill(Because::Unhealthy { why, then })
            }
        }
    }

    fn tick_clock(&mut self, unit: &Unit, now: Moment) -> Option<Because> {
        let Watchdog { limit, clock } = self.watchdog.as_mut()?;
        match *clock {
            Clock::Ticking(at) | Clock::LastCall(at) if now >= at.saturating_add(HELD_UP) => {
                *clock = Clock::of(*limit, now);
                None
            }
            Clock::Ticking(at) if at <= now => {
                *clock = Clock::LastCall(now.saturating_add(LAST_CALL));
                None
            }
            Clock::LastCall(at) if at <= now => {
                *clock = Clock::Missed(Alarm::Silence);
                bark(unit, Alarm::Silence.words(*limit))
            }
            Clock::Ticking(_) | Clock::LastCall(_) | Clock::Missed(_) | Clock::Off => None,
        }
    }

    /// Takes what the service says to its watchdog.
    pub fn heard(&mut self, unit: &Unit, notice: &Notice, now: Moment) -> Finding {
        let Some(watchdog) = &mut self.watchdog else { return Finding::None };
        if let Some(limit) = notice.watchdog_limit {
            watchdog.limit = limit;
            watchdog.clock = Clock::of(limit, now);
        }
        let because = match (notice.watchdog, watchdog.clock) {
            (None | Some(WatchdogNews::Alive), Clock::Off) | (None, _) => None,
            (Some(WatchdogNews::Alive), _) => {
                watchdog.clock = Clock::of(watchdog.limit, now);
                None
            }
            (Some(WatchdogNews::Trigger), _) => {
                watchdog.clock = Clock::Missed(Alarm::Triggered);
                bark(unit, Alarm::Triggered.words(watchdog.limit))
            }
        };
        because.map_or(Finding::None, Finding::Ill)
    }
}

impl Clock {
    /// Wound up now. A limit of 0 switches it off.
    const fn of(limit: Millis, now: Moment) -> Self {
        if limit == 0 { Self::Off } else { Self::Ticking(now.saturating_add(limit)) }
    }
}

/// What the unit wants done about a missed keep-alive.
fn bark(unit: &Unit, why: String) -> Option<Because> {
    match unit.watchdog?.on_failure {
        OnFailure::Notify => None,
        then @ (OnFailure::Restart | OnFailure::Stop) => Some(Because::Watchdog { why, then }),
    }
}

impl Alarm {
    fn words(self, limit: Millis) -> String {
        match self {
            Self::Silence => format!("no keep-alive for {}", Span(limit)),
            Self::Triggered => "the service said WATCHDOG=trigger".into(),
        }
    }
}

/// The pause before the next check. Until the first success it is looked at more often.
fn pause(check: &HealthCheck, word: HealthWord) -> Millis {
    match word {
        HealthWord::Starting => check.interval.min(check.start_interval),
        HealthWord::Healthy | HealthWord::Unhealthy => check.interval,
    }
}

/// What is waited for before the service is up, in words; empty where that takes no time.
pub fn waited_for(unit: &Unit) -> String {
    match unit.ready() {
        Ready::Exec => String::new(),
        Ready::Fork => "its first process has not ended".into(),
        Ready::Notify => "no READY=1 came".into(),
        Ready::Fd(number) => format!("no newline came on descriptor {number}"),
        Ready::Log(pattern) => format!("no line of its output matches {pattern:?}"),
        Ready::Polled(_) => "its first check is not over".into(),
    }
}
