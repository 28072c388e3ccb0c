//! The walk over three units that need each other: every order of orders and news, to a depth.
//!
//! Each unit is one process here, or none; what a single leaf may do is the matter of `walk.rs`.
//! In each world:
//!
//! - nothing began before what its unit asks of the others had come about;
//! - nobody was asked to end while another that goes after it, and is to end too, still lived;
//! - no more than may be are starting at once, as far as they do not only wait;
//! - a unit that is blocked for good says so;
//! - if from here on the world behaves, everybody comes to rest in what is wanted, or is blocked
//!   by something that waiting will not help;
//! - and if the system goes down, everybody ends, and nothing starts any more.

#![allow(clippy::print_stdout)] // How many worlds were tried is worth telling.

use std::collections::HashMap;

use super::activation::Guard;
use super::needs_world::{Move, World, moves};
use super::record::Record;
use super::rig::{
    after, against, named, need, needing, on_demand, with_condition, with_hooks, with_stop_command,
};
use super::service::State;
use super::status::StateWord;
use super::unit::{Condition, HealthCheck, Kind, OnFailure, Probe, Restart, RestartPolicy, Unit};
use super::why::Obstacle;
use super::{Role, Want};

impl World {
    /// From here on the world behaves: programs run, get ready, end when asked to.
    fn behave(&mut self) -> Result<(), String> {
        for _ in 0..40 {
            let mut moved = false;
            for at in 0..3 {
                let name = self.name(at);
                moved |= self.take(Move::Look(true, at))?;
                moved |= self.take(Move::Execute(at))?;
                let service = self.supervisor.service(&name).unwrap();
                let is_starting = service.word() == StateWord::Starting;
                let completes = matches!(self.units[at].kind, Kind::Oneshot { .. });
                if is_starting && !completes {
                    moved |= self.take(Move::SayReady(at))?;
                }
                moved |= self.take(Move::CheckEnds(true, at))?;
                // All that ends by itself, and soon.
                let undoes = self.alive.get(&name).is_some_and(|it| it.role != Role::First);
                let asked = self.alive.get(&name).is_some_and(|alive| alive.asked);
                if asked || undoes || (is_starting && completes) {
                    moved |= self.take(Move::Exit(0, at))?;
                }
            }
            if !moved && self.is_as_wanted() {
                return Ok(());
            }
            if !moved {
                self.take(Move::TimePasses)?;
            }
        }
        let states: Vec<_> = self.supervisor.services().map(|(name, s)| (name, s.word())).collect();
        Err(format!("waits for ever: wanted {:?}, states {states:?}", self.wants()))
    }

    fn is_as_wanted(&self) -> bool {
        self.supervisor.services().all(|(name, service)| match (service.want(), service.state()) {
            (Want::Down | Want::Armed, State::Down { .. } | State::Failed { .. })
            | (Want::Up, State::Up { .. } | State::Done) => true,
            (Want::Up, State::Blocked) => {
                let obstacles = self.supervisor.obstacles(name.as_str());
                obstacles.iter().any(Obstacle::is_for_good)
                    || obstacles.iter().all(|it| self.needs_an_end(it, name.as_str()))
            }
            _ => false,
        })
    }

    /// Whether it waits for the end of one that is up and may run as long as it likes.
    fn needs_an_end(&self, obstacle: &Obstacle, name: &str) -> bool {
        let Obstacle::NotYet(other) = obstacle else { return false };
        let unit = self.supervisor.service(name).unwrap().unit();
        let until_its_end = unit.needs.iter().any(|need| {
            need.unit == *other && need.condition == Condition::ServiceCompletedSuccessfully
        });
        until_its_end && self.alive.contains_key(other.as_str())
    }

    fn shut_down(&mut self) -> Result<(), String> {
        self.take(Move::GoDown)?;
        self.behave()?;
        let closed = self.guards.values().all(|guard| *guard == Guard::Off);
        if self.supervisor.is_at_rest() && self.alive.is_empty() && closed {
            return Ok(());
        }
        Err("the system went down, and something lives".into())
    }

    /// What tells two worlds apart, without the trail. A deadline counts as a distance.
    fn key(&self) -> String {
        let services = self.supervisor.services();
        let services: Vec<_> = services.map(|(_, service)| service.without_history()).collect();
        let saved: Vec<_> = self.saved.values().map(Record::without_history).collect();
        let (turns, Self { alive, checks, guards, now, .. }) = (self.supervisor.turns(), self);
        format!("{services:?} {alive:?} {saved:?} {checks:?} {guards:?} {now} {turns:?}")
    }
}

/// Walks every sequence of at most `depth` moves. Gives the number of worlds.
fn walk(world: World, depth: usize) -> usize {
    let moves = moves();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut open = vec![(world, depth)];
    let mut worlds = 0;
    while let Some((world, left)) = open.pop() {
        for step in &moves {
            let mut next = world.clone();
            match next.take(*step) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(broken) => panic!("{broken}\n{:?}", next.trail),
            }
            let before = seen.entry(next.key()).or_insert(0);
            if *before >= left {
                continue;
            }
            let first_time = std::mem::replace(before, left) == 0;
            worlds += 1;
            if first_time {
                let (mut end, mut down) = (next.clone(), next.clone());
                if let Err(broken) = end.behave() {
                    panic!("{broken}\n{:?}\nthen {:?}", next.trail, end.trail);
                }
                if let Err(broken) = down.shut_down() {
                    panic!("{broken}\n{:?}\nthen {:?}", next.trail, down.trail);
                }
            }
            if left > 1 {
                open.push((next, left - 1));
            }
        }
    }
    worlds
}

fn walk_well(units: [Unit; 3], depth: usize) {
    let worlds = walk(World::new(units.to_vec(), 0, false), depth)
        + walk(World::new(units.to_vec(), 0, true), depth - 1);
    println!("{worlds} worlds");
    assert!(worlds > 1_000, "only {worlds} worlds were tried");
}

/// Deep enough for two orders, a restart of the supervisor, a death and its back-off.
const DEPTH: usize = 6;

fn needing_by(condition: Condition, required: bool) -> Unit {
    Unit { needs: [need("b", condition, required)].into(), ..named("a") }
}

#[test]
fn a_needs_b_and_c_goes_after_b() {
    let units = [needing(named("a"), &["b"]), named("b"), after(named("c"), &["b"])];
    walk_well(units, DEPTH);
}

#[test]
fn names_in_the_other_order_change_nothing() {
    let units = [after(named("a"), &["b"]), named("b"), needing(named("c"), &["a"])];
    walk_well(units, DEPTH);
}

#[test]
fn a_needs_a_started_b_that_tells_when_it_is_ready() {
    let b = Unit { kind: Kind::Notify, ..named("b") };
    let units = [needing_by(Condition::ServiceStarted, true), b, needing(named("c"), &["b"])];
    walk_well(units, DEPTH);
}

#[test]
fn a_and_b_conflict_and_c_needs_a() {
    let units = [named("a"), against(named("b"), &["a"]), needing(named("c"), &["a"])];
    walk_well(units, DEPTH);
}

#[test]
fn a_conflicts_with_a_oneshot_that_remains_and_with_what_needs_it() {
    let kind = Kind::Oneshot { remain_after_exit: true };
    let b = with_hooks(Unit { kind, ..named("b") }, 0, 0, 1);
    walk_well([against(named("a"), &["b", "c"]), b, needing(named("c"), &["b"])], DEPTH);
}

#[test]
fn a_needs_b_which_has_hooks_and_a_condition() {
    let b = with_condition(with_hooks(named("b"), 1, 0, 1));
    let a = needing_by(Condition::ServiceStarted, true);
    walk_well([a, b, needing(named("c"), &["b"])], DEPTH);
}

#[test]
fn a_needs_the_work_of_b_which_may_be_skipped() {
    let kind = Kind::Oneshot { remain_after_exit: false };
    let b = with_condition(Unit { kind, ..named("b") });
    let a = needing_by(Condition::ServiceCompletedSuccessfully, true);
    walk_well([a, b, needing(named("c"), &["b"])], DEPTH);
}

#[test]
fn a_needs_a_oneshot_that_needs_c() {
    let kind = Kind::Oneshot { remain_after_exit: false };
    let b = Unit { kind, ..needing(named("b"), &["c"]) };
    let a = needing_by(Condition::ServiceCompletedSuccessfully, true);
    walk_well([a, b, named("c")], DEPTH);
}

#[test]
fn a_needs_a_oneshot_that_remains_and_is_undone() {
    let kind = Kind::Oneshot { remain_after_exit: true };
    let b = with_stop_command(Unit { kind, ..needing(named("b"), &["c"]) });
    walk_well([needing_by(Condition::ServiceHealthy, true), b, named("c")], DEPTH);
}

#[test]
fn a_can_do_without_b_and_b_not_without_c() {
    let restart = Restart { policy: RestartPolicy::No, ..*named("c").restart };
    let a = needing_by(Condition::ServiceHealthy, false);
    walk_well(
        [a, needing(named("b"), &["c"]), Unit { restart: restart.into(), ..named("c") }],
        DEPTH,
    );
}

#[test]
fn a_needs_a_healthy_b_and_c_a_started_one() {
    let check = HealthCheck {
        probe: Probe::Command(vec!["/bin/check".into()]),
        interval: 1_000,
        timeout: 500,
        retries: 1,
        start_period: 0,
        start_interval: 200,
        on_failure: OnFailure::Notify,
    };
    let b = Unit { health: Some(Box::new(check)), ..named("b") };
    let c = Unit { needs: [need("b", Condition::ServiceStarted, true)].into(), ..named("c") };
    walk_well([needing(named("a"), &["b"]), b, c], DEPTH);
}

#[test]
fn a_goes_after_b_also_when_b_cannot_come() {
    let c = Unit {
        restart: Restart { policy: RestartPolicy::No, ..*named("c").restart }.into(),
        ..named("c")
    };
    walk_well([after(named("a"), &["b"]), needing(named("b"), &["c"]), c], DEPTH);
}

/// Nobody waits for ever where only one may be starting at once, not even for one that needs the
/// other to come up: who only waits holds no turn.
#[test]
fn only_one_may_be_starting_at_once() {
    let told = |unit: Unit| Unit { kind: Kind::Notify, ..unit };
    let once = |unit: Unit| Unit { kind: Kind::Oneshot { remain_after_exit: true }, ..unit };
    let units = [told(named("a")), once(needing(named("b"), &["a"])), told(named("c"))];
    let worlds = walk(World::new(units.to_vec(), 1, false), DEPTH)
        + walk(World::new(units.to_vec(), 1, true), DEPTH - 1);
    println!("{worlds} worlds");
    assert!(worlds > 1_000, "only {worlds} worlds were tried");
}

#[test]
fn a_needs_b_that_is_started_by_a_connection_and_needs_c() {
    let b = on_demand(needing(named("b"), &["c"]));
    let mut units = [needing(named("a"), &["b"]), b, named("c")];
    walk_well(units.clone(), DEPTH);
    // And where nobody wants c up but b.
    units[2].enabled = false;
    walk_well(units, DEPTH - 1);
}

#[test]
fn a_needs_b_that_a_connection_starts_with_hooks_and_a_condition_and_that_conflicts_with_c() {
    let b = on_demand(with_condition(with_hooks(named("b"), 1, 0, 1)));
    let c = Unit { enabled: false, ..named("c") };
    walk_well([needing(named("a"), &["b"]), against(b, &["c"]), c], DEPTH);
}
