//! What the walk knows of checks and watchdogs, and the walks of units that have them. In each world:
//!
//! - a service has one check at a time, and none when it is not being looked after;
//! - it is ended for its health only after as many failures in a row as its unit allows, and for its
//!   watchdog only when nothing was heard for as long as its unit allows, by a supervisor that was
//!   there all the time;
//! - a supervisor that was stopped for long blames nobody for it.

#![allow(clippy::print_stdout)] // How many worlds were tried is worth telling.

use super::rig::{unit, with_hooks};
use super::service::State;
use super::status::StateWord;
use super::unit::{
    HealthCheck, Kind, OnFailure, Polled, Probe, Ready, Restart, RestartPolicy, Unit, Watchdog,
};
use super::walk::walk;
use super::walk_world::{Move, World};
use super::{Event, Moment, Notice, Purpose, WatchdogNews};

/// What was seen of checks and keep-alives.
#[derive(Debug, Clone, Default)]
pub struct Care {
    check: Option<Check>,
    /// Failures of the health check in a row, and those that a hanging check may stand for.
    failures: u32,
    /// Since when nothing was heard by a supervisor that listened.
    wound: Moment,
    triggered: bool,
    lost: bool,
}

/// The check that is on its way.
#[derive(Debug, Clone, Copy)]
struct Check {
    start: u64,
    number: u32,
    purpose: Purpose,
    ended: bool,
}

impl Care {
    /// The next supervisor sweeps away what checks the one before has left.
    pub fn supervisor_restarts(&mut self, now: Moment) {
        self.check = None;
        self.wound = now;
    }

    pub fn check_begins(
        &mut self,
        start: u64,
        number: u32,
        purpose: Purpose,
    ) -> Result<(), String> {
        // That of an older start may still be on its way to its end.
        if self.check.is_some_and(|check| check.start == start) {
            return Err("two checks at a time".into());
        }
        self.check = Some(Check { start, number, purpose, ended: false });
        Ok(())
    }

    pub fn check_is_ended(&mut self, start: u64, number: u32) {
        if let Some(check) = &mut self.check
            && check.start == start
            && check.number == number
            && !check.ended
        {
            check.ended = true;
            self.failures += u32::from(check.purpose == Purpose::Health);
        }
    }

    /// Time may pass over a check that hangs.
    pub fn time_passes(&mut self) {
        let hangs = self.check.is_some_and(|check| check.ended);
        self.failures += u32::from(hangs);
    }
}

impl World {
    /// Takes one of the moves that checks and watchdogs bring along.
    pub fn take_care(&mut self, step: Move) -> Result<bool, String> {
        let lives = !self.members.is_empty();
        match step {
            Move::TimeIsLost => {
                if !self.is_looked_at() {
                    return Ok(false);
                }
                let Some(deadline) = self.supervisor.deadline() else { return Ok(false) };
                self.now = self.now.max(deadline) + 10_000;
                (self.care.lost, self.care.wound) = (true, self.now);
                self.supervisor.tick(self.now);
                let performed = self.perform();
                self.care.lost = false;
                performed?;
            }
            Move::BecomeReady => {
                if !lives || !matches!(self.unit.ready(), Ready::Fd(_) | Ready::Log(_)) {
                    return Ok(false);
                }
                self.tell(self.start, Event::BecameReady)?;
            }
            Move::CheckEnds(passes) => {
                let Some(check) = self.care.check.take() else { return Ok(false) };
                // What was killed has not passed; it may have failed a moment before.
                let passes = passes && !check.ended;
                let is_current = check.start == self.start && self.is_looked_at();
                match (passes, check.purpose, check.ended) {
                    (true, ..) if is_current => self.care.failures = 0,
                    (false, Purpose::Health, false) if is_current => self.care.failures += 1,
                    _ => {}
                }
                let result = if passes { Ok(()) } else { Err("exit status 1".to_owned()) };
                self.tell(check.start, Event::Checked { number: check.number, result })?;
            }
            Move::KeepAlive | Move::Trigger => {
                if !lives || self.unit.watchdog.is_none() {
                    return Ok(false);
                }
                let news = match step {
                    Move::Trigger => WatchdogNews::Trigger,
                    _ => WatchdogNews::Alive,
                };
                self.care.wound = self.now;
                self.care.triggered = step == Move::Trigger;
                let notice = Notice { watchdog: Some(news), ..Notice::default() };
                let told = self.tell(self.start, Event::Notified(notice));
                self.care.triggered = false;
                told?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether the service is in a state in which it is looked after.
    pub fn is_looked_at(&self) -> bool {
        let service = self.supervisor.service("web").unwrap();
        let watched = service.life().is_some_and(|life| life.watch.is_some());
        match service.state() {
            State::Starting { .. } | State::Up { .. } | State::Reloading { .. } => watched,
            _ => false,
        }
    }

    /// Nothing is checked that is not looked after.
    pub fn check_care(&self) -> Result<(), String> {
        let service = self.supervisor.service("web").unwrap();
        match self.care.check {
            Some(check) if !check.ended && !self.is_looked_at() => {
                Err(format!("a check runs on while it is {}", service.word()))
            }
            _ => Ok(()),
        }
    }

    /// Judges a change of state by what was seen.
    pub fn care_changed(&mut self, to: StateWord, why: &str) -> Result<(), String> {
        match to {
            StateWord::Up => (self.care.failures, self.care.wound) = (0, self.now),
            StateWord::Stopping if why.starts_with("unhealthy") => {
                let retries = self.unit.health.as_ref().map_or(u32::MAX, |check| check.retries);
                if self.care.failures < retries || self.care.lost {
                    return Err(format!("ended after {} failures: {why}", self.care.failures));
                }
            }
            StateWord::Stopping if why.starts_with("watchdog") => {
                let limit = self.unit.watchdog.map_or(Moment::MAX, |watchdog| watchdog.limit);
                let silent = self.now - self.care.wound;
                if !self.care.triggered && (silent < limit || self.care.lost) {
                    return Err(format!("ended after {silent} ms of silence: {why}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn check(on_failure: OnFailure) -> Option<Box<HealthCheck>> {
    Some(Box::new(HealthCheck {
        probe: Probe::Command(vec!["/bin/check".into()]),
        interval: 1_000,
        timeout: 500,
        retries: 2,
        start_period: 0,
        start_interval: 200,
        on_failure,
    }))
}

const fn watchdog(on_failure: OnFailure) -> Option<Watchdog> {
    Some(Watchdog { limit: 2_000, on_failure })
}

fn polled() -> Option<Ready> {
    let probe = Probe::Command(vec!["/bin/check".into()]);
    Some(Ready::Polled(Box::new(Polled { probe, interval: 300, timeout: 400 })))
}

fn walk_well(unit: &Unit, depth: usize) {
    let worlds = walk(unit, None, depth);
    println!("{worlds} worlds");
    assert!(worlds > 5_000, "only {worlds} worlds were tried");
}

#[test]
fn every_order_of_events_keeps_the_promises_of_a_health_check() {
    let unit = Unit { health: check(OnFailure::Restart), ..unit() };
    walk_well(&unit, 8);
}

#[test]
fn every_order_of_events_keeps_the_promises_of_a_watchdog() {
    let unit = Unit { kind: Kind::Notify, watchdog: watchdog(OnFailure::Restart), ..unit() };
    walk_well(&unit, 7);
}

#[test]
fn every_order_of_events_keeps_the_promises_of_a_check_for_readiness() {
    let restart =
        Restart { policy: RestartPolicy::Always, max_attempts: 0, ..*unit().restart }.into();
    let ready = polled();
    let unit =
        Unit { ready: ready.map(Box::new), health: check(OnFailure::Stop), restart, ..unit() };
    walk_well(&unit, 8);
}

#[test]
fn every_order_of_events_keeps_the_promises_of_who_is_only_told() {
    let (health, watchdog) = (check(OnFailure::Notify), watchdog(OnFailure::Notify));
    walk_well(&Unit { health, watchdog, ..unit() }, 7);
}

#[test]
fn every_order_of_events_keeps_the_promises_of_a_written_readiness() {
    let unit = Unit { kind: Kind::Simple, ready: Some(Ready::Fd(3).into()), ..unit() };
    walk_well(&unit, 8);
    let unit = Unit { kind: Kind::Forking, ready: Some(Ready::Log("up".into()).into()), ..unit };
    walk_well(&unit, 8);
}

/// An end for its health is cleared up after like every other.
#[test]
fn every_order_of_events_keeps_the_promises_of_a_health_check_before_a_hook() {
    let health = check(OnFailure::Restart);
    walk_well(&with_hooks(Unit { health, ..unit() }, 0, 0, 1), 8);
}

#[test]
fn every_order_of_events_keeps_the_promises_of_hooks_around_a_check_for_readiness() {
    let (ready, health) = (polled().map(Box::new), check(OnFailure::Stop));
    walk_well(&with_hooks(Unit { kind: Kind::Simple, ready, health, ..unit() }, 1, 1, 1), 9);
}
