//! The exhaustive walk: every order of world events, for every type, against the invariants.
//!
//! A [`World`] holds a real [`Supervisor`] with one unit and a model of that unit's leaf: which
//! processes live, which deaths have not been told yet. A move is anything that may happen next: a
//! person's order, a fork, a death, the telling of a death, a look at the level, a time-out, a
//! failing spawn, a changed unit file, a restart of the supervisor itself. The walk takes every enabled move from every
//! world, up to a depth. In each world:
//!
//! - nothing was spawned over living processes, and no leaf with processes was given back;
//! - no service is at rest over living processes;
//! - if from here on the world behaves (deaths are told, the killed die, time passes), the service
//!   comes to rest in what is wanted of it, and never waits for ever;
//! - a socket is open before a service begins, watched while its unit is armed and at rest, and
//!   closed when nobody wants it; a connection that waits is never left alone, and nothing spins.
//!
//! A walk is worth what it catches: plant a bug in the rules, see the trail, take the bug out again.

#![allow(clippy::print_stdout)] // How many worlds were tried is worth telling.

use std::collections::HashMap;

use super::Want;
use super::record::Record;
use super::rig::{at_a_path, on_demand, timed, unit, with_condition, with_hooks};
use super::service::{Service, State};
use super::status::HealthWord;
use super::unit::{KillMode, Kind, Limits, Ready, Reload, Restart, RestartPolicy, Stop, Unit};
use super::walk_world::{MOVES, Move, World};
use super::why::Exit;

impl World {
    /// From here on the world behaves: what was killed dies, deaths are told, time passes. The
    /// service must come to rest in what is wanted of it.
    fn behave(&mut self) -> Result<(), String> {
        (self.spawns_fail, self.cannot_listen) = (false, false);
        if self.held {
            self.take(Move::ToggleHold)?;
        }
        for _ in 0..40 {
            while self.take(Move::Execute)? {}
            self.take(Move::Accept)?;
            if self.killed {
                for member in self.members.drain(..) {
                    self.dead.push((member.pid, Exit::Signal { number: 9, core: false }));
                }
            }
            while self.take(Move::TellDeath)? {}
            if self.members.is_empty() {
                self.take(Move::TellEmpty)?;
            }
            let moved = self.take(Move::AnswerLook(true))? | self.make_ready()?;
            let moved = self.stay_well()? || moved;
            if self.is_as_wanted() {
                return Ok(());
            }
            if !moved {
                self.take(Move::TimePasses)?;
            }
        }
        let service = self.supervisor.service("web").unwrap();
        Err(format!("waits for ever: wanted {:?}, state {:?}", self.want(), service.state()))
    }

    /// The service does what a good one of its type does to become up.
    fn make_ready(&mut self) -> Result<bool, String> {
        let service = self.supervisor.service("web").unwrap();
        let hook = match service.state() {
            State::Preparing { .. } | State::Clearing { .. } => true,
            State::Finishing { .. } => self.hook_runs(),
            _ => false,
        };
        if hook {
            // One that was only just spawned must not run out of its time.
            while self.take(Move::Execute)? {}
            return self.hook_exits(0);
        }
        if !matches!(service.state(), State::Starting { .. }) {
            return Ok(false);
        }
        if let Kind::Oneshot { .. } = self.unit.kind {
            return self.take(Move::FirstExits(0));
        }
        match self.unit.ready() {
            Ready::Notify => self.take(Move::SayReady),
            Ready::Fork => {
                self.take(Move::Fork)?;
                self.take(Move::FirstExits(0))
            }
            Ready::Fd(_) | Ready::Log(_) => self.take(Move::BecomeReady),
            Ready::Exec | Ready::Polled(_) => Ok(false),
        }
    }

    /// The checks of a good service pass, and it says that it is well.
    fn stay_well(&mut self) -> Result<bool, String> {
        self.take(Move::KeepAlive)?;
        self.take(Move::CheckEnds(true))
    }

    fn is_as_wanted(&self) -> bool {
        let service = self.supervisor.service("web").unwrap();
        match (self.want(), service.state()) {
            (Want::Down | Want::Armed, State::Down { .. } | State::Failed { .. })
            | (Want::Up, State::Done) => true,
            (Want::Up, State::Up { .. }) => {
                // One that nobody looks after any more would never be unwell.
                let is_cared_for = self.unit.health.is_some() || self.unit.watchdog.is_some();
                let well = is_cared_for.then_some(HealthWord::Healthy);
                !self.members.is_empty() && service.health() == well
            }
            _ => false,
        }
    }

    /// What tells two worlds apart, without the trail.
    fn key(&self) -> String {
        let state = (
            (&self.members, &self.dead, self.spawns_fail, self.killed, self.start, self.now),
            (&self.passed, self.look, self.owed, &self.unit.command, &self.care),
            (self.pending, self.guard, self.cannot_listen, self.begun),
            (&self.queue, self.held),
        );
        let service = self.supervisor.service("web").map(Service::without_history);
        let saved = self.saved.as_ref().map(Record::without_history);
        format!("{service:?} {state:?} {saved:?}")
    }
}

/// Walks every sequence of at most `depth` moves. Gives the number of worlds.
pub(super) fn walk(unit: &Unit, other: Option<Unit>, depth: usize) -> usize {
    walk_from(World { other, ..World::new(unit.clone()) }, depth)
}

fn walk_from(first: World, depth: usize) -> usize {
    let kind = first.unit.kind;
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut open = vec![(first, depth)];
    let mut worlds = 0;
    while let Some((world, left)) = open.pop() {
        for step in MOVES {
            let mut next = world.clone();
            match next.take(step) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(broken) => panic!("{kind:?}: {broken}\n{:#?}", next.trail),
            }
            let before = seen.entry(next.key()).or_insert(0);
            if *before >= left {
                continue;
            }
            let first_time = *before == 0;
            *before = left;
            worlds += 1;
            if first_time {
                let mut end = next.clone();
                if let Err(broken) = end.behave() {
                    panic!("{kind:?}: {broken}\n{:#?}\nthen {:?}", next.trail, end.trail);
                }
            }
            if left > 1 {
                open.push((next, left - 1));
            }
        }
    }
    worlds
}

fn walk_kind(kind: Kind) {
    let plain = Unit { kind, ..unit() };
    // A oneshot that is always started again never rests.
    let policy = match kind {
        Kind::Oneshot { .. } => RestartPolicy::OnFailure,
        _ => RestartPolicy::Always,
    };
    let with_commands = Unit {
        stop: Stop { command: Some(vec!["/bin/stop".into()]), ..Stop::clone(&plain.stop) }.into(),
        reload: Some(Reload::Command(vec!["/bin/reload".into()]).into()),
        restart: Restart { policy, max_attempts: 0, ..*plain.restart }.into(),
        ..plain.clone()
    };
    // The same, changed in all that may change in place, and in what counts at a start.
    let changed = Unit {
        command: vec!["/bin/other".into()].into(),
        start_timeout: Some(1_000),
        limits: Limits { pids: Some(7), ..Limits::default() }.into(),
        stop: Stop { grace: 1_000, kill_mode: KillMode::Mixed, ..Stop::clone(&with_commands.stop) }
            .into(),
        restart: Restart { delay: 100, policy: RestartPolicy::No, ..*plain.restart }.into(),
        ..with_commands.clone()
    };
    let worlds =
        walk(&plain, None, 9) + walk(&with_commands, None, 8) + walk(&plain, Some(changed), 7);
    assert!(worlds > 10_000, "only {worlds} worlds were tried");
    println!("{kind:?}: {worlds} worlds");
}

/// One hook of each kind, and a condition: the same promises, and those of the hooks.
fn walk_hooks(kind: Kind, depth: usize) {
    let unit = with_hooks(Unit { kind, ..unit() }, 1, 1, 1);
    let asks = with_condition(with_hooks(Unit { kind, ..super::rig::unit() }, 2, 0, 1));
    let other =
        Unit { command: vec!["/bin/other".into()].into(), start_timeout: None, ..unit.clone() };
    let worlds = walk(&unit, Some(other), depth) + walk(&asks, None, depth);
    assert!(worlds > 10_000, "only {worlds} worlds were tried");
    println!("{kind:?} with hooks: {worlds} worlds");
}

#[test]
fn every_order_of_events_keeps_the_promises_of_hooks() {
    walk_hooks(Kind::Auto, 8);
}

#[test]
fn every_order_of_events_keeps_the_promises_of_hooks_of_simple() {
    walk_hooks(Kind::Simple, 8);
}

#[test]
fn every_order_of_events_keeps_the_promises_of_hooks_of_notify() {
    walk_hooks(Kind::Notify, 8);
}

#[test]
fn every_order_of_events_keeps_the_promises_of_hooks_of_oneshots() {
    walk_hooks(Kind::Oneshot { remain_after_exit: false }, 8);
    walk_hooks(Kind::Oneshot { remain_after_exit: true }, 8);
}

#[test]
fn every_order_of_events_keeps_the_promises_of_auto() {
    walk_kind(Kind::Auto);
}

#[test]
fn every_order_of_events_keeps_the_promises_of_simple() {
    walk_kind(Kind::Simple);
}

#[test]
fn every_order_of_events_keeps_the_promises_of_forking() {
    walk_kind(Kind::Forking);
}

#[test]
fn every_order_of_events_keeps_the_promises_of_oneshot() {
    walk_kind(Kind::Oneshot { remain_after_exit: false });
}

#[test]
fn every_order_of_events_keeps_the_promises_of_oneshot_that_remains() {
    walk_kind(Kind::Oneshot { remain_after_exit: true });
}

#[test]
fn every_order_of_events_keeps_the_promises_of_notify() {
    walk_kind(Kind::Notify);
}

/// Where so much is to be started that what is asked for is done later, and news comes first.
#[test]
fn every_order_of_events_keeps_the_promises_where_what_is_asked_for_waits() {
    let oneshot = |remain_after_exit| Kind::Oneshot { remain_after_exit };
    for kind in [Kind::Auto, Kind::Notify, oneshot(false), oneshot(true)] {
        let plain = Unit { kind, ..unit() };
        let stop = Stop { command: Some(vec!["/bin/stop".into()]), ..Stop::clone(&plain.stop) };
        let commands = Unit {
            stop: stop.into(),
            reload: Some(Reload::Command(vec!["/bin/reload".into()]).into()),
            ..plain.clone()
        };
        for unit in [commands, with_hooks(plain, 1, 1, 1)] {
            let worlds = walk_from(World { is_crowded: true, ..World::new(unit) }, 7);
            assert!(worlds > 10_000, "only {worlds} worlds were tried");
            println!("{kind:?}, crowded: {worlds} worlds");
        }
    }
}

/// With a socket that starts it: the walk is less deep, because there are more moves.
fn walk_on_demand(kind: Kind, policy: RestartPolicy) {
    walk_triggered(on_demand(Unit { kind, ..unit() }), policy);
}

fn walk_triggered(unit: Unit, policy: RestartPolicy) {
    let kind = unit.kind;
    let unit = Unit { restart: Restart { policy, ..*unit.restart }.into(), ..unit };
    let other = Unit { command: vec!["/bin/other".into()].into(), ..unit.clone() };
    let worlds = walk(&unit, None, 8) + walk(&unit, Some(other), 6);
    assert!(worlds > 10_000, "only {worlds} worlds were tried");
    println!("{kind:?}, triggered: {worlds} worlds");
}

#[test]
fn every_order_of_events_and_connections_keeps_the_promises() {
    walk_on_demand(Kind::Auto, RestartPolicy::OnFailure);
}

#[test]
fn every_order_of_events_and_connections_keeps_the_promises_without_restarts() {
    walk_on_demand(Kind::Simple, RestartPolicy::No);
}

#[test]
fn every_order_of_events_and_connections_keeps_the_promises_with_all_restarts() {
    walk_on_demand(Kind::Notify, RestartPolicy::Always);
}

#[test]
fn every_order_of_events_and_times_keeps_the_promises_of_a_timer() {
    let kind = Kind::Oneshot { remain_after_exit: false };
    for policy in [RestartPolicy::No, RestartPolicy::OnFailure] {
        walk_triggered(timed(Unit { kind, ..unit() }), policy);
    }
}

#[test]
fn every_order_of_events_and_files_keeps_the_promises_of_a_path() {
    let kind = Kind::Oneshot { remain_after_exit: false };
    walk_triggered(at_a_path(Unit { kind, ..unit() }), RestartPolicy::No);
    walk_triggered(at_a_path(unit()), RestartPolicy::OnFailure);
}
