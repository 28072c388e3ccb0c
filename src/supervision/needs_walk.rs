//! The walk over three units that need each other: every order of orders and news, to a depth.
//!
//! Each unit is one process here, or none; what a single leaf may do is the matter of `walk.rs`.
//! In each world:
//!
//! - nothing began before what its unit asks of the others had come about;
//! - nobody was asked to end while another that goes after it, and is to end too, still lived;
//! - a unit that is blocked for good says so;
//! - if from here on the world behaves, everybody comes to rest in what is wanted, or is blocked
//!   by something that waiting will not help;
//! - and if the system goes down, everybody ends, and nothing starts any more.

#![allow(clippy::print_stdout)] // How many worlds were tried is worth telling.

use std::collections::{BTreeMap, HashMap};

use super::record::Record;
use super::rig::{after, named, need, needing, with_stop_command};
use super::service::State;
use super::status::StateWord;
use super::supervisor::Supervisor;
use super::unit::{Condition, Kind, Restart, RestartPolicy, Unit};
use super::why::{Because, Exit, Obstacle, Why};
use super::{Action, Event, Moment, Notice, Order, Pid, Role, Want};

/// The one process of a leaf.
#[derive(Debug, Clone, PartialEq)]
struct Alive {
    pid: Pid,
    role: Role,
    start: u64,
    executed: bool,
    /// It was signalled or killed, and will end when the world behaves.
    asked: bool,
}

#[derive(Debug, Clone)]
struct World {
    units: Vec<Unit>,
    supervisor: Supervisor,
    now: Moment,
    next_pid: Pid,
    alive: BTreeMap<String, Alive>,
    saved: BTreeMap<String, Record>,
    going_down: bool,
    trail: Vec<Move>,
}

/// What may happen next, to the unit of this place.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Move {
    Order(Order, usize),
    /// The program is executed, and where the type asks for it, said to be ready.
    Execute(usize),
    SayReady(usize),
    Exit(i32, usize),
    FailToExecute(usize),
    TimePasses,
    GoDown,
    SupervisorRestarts,
}

fn moves() -> Vec<Move> {
    let of_each = |at| {
        [
            Move::Order(Order::Start, at),
            Move::Order(Order::Stop, at),
            Move::Order(Order::Restart, at),
            Move::Execute(at),
            Move::SayReady(at),
            Move::Exit(0, at),
            Move::Exit(1, at),
            Move::FailToExecute(at),
        ]
    };
    let of_all = [Move::TimePasses, Move::GoDown, Move::SupervisorRestarts];
    (0..3).flat_map(of_each).chain(of_all).collect()
}

impl World {
    fn new(units: Vec<Unit>) -> Self {
        let mut supervisor = Supervisor::default();
        supervisor.load(units.clone(), 0);
        Self {
            units,
            supervisor,
            now: 0,
            next_pid: 100,
            alive: BTreeMap::new(),
            saved: BTreeMap::new(),
            going_down: false,
            trail: Vec::new(),
        }
    }

    fn name(&self, at: usize) -> String {
        self.units[at].name.to_string()
    }

    /// Takes the move if it is enabled here. `Ok(false)` means that it is not.
    fn take(&mut self, step: Move) -> Result<bool, String> {
        self.trail.push(step);
        match step {
            Move::Order(order, at) => {
                let name = self.name(at);
                if self.supervisor.ask(order, &name, self.now).is_err() {
                    return Ok(false);
                }
            }
            Move::Execute(at) => {
                let name = self.name(at);
                let Some(alive) = self.alive.get_mut(&name).filter(|alive| !alive.executed) else {
                    return Ok(false);
                };
                alive.executed = true;
                let (role, start) = (alive.role, alive.start);
                self.supervisor.handle(&name, start, Event::Executed { role }, self.now);
            }
            Move::SayReady(at) => {
                let name = self.name(at);
                let says = self.units[at].kind == Kind::Notify;
                let Some(alive) = self.alive.get(&name).filter(|it| says && it.executed) else {
                    return Ok(false);
                };
                let ready = Event::Notified(Notice { ready: true, ..Notice::default() });
                self.supervisor.handle(&name, alive.start, ready, self.now);
            }
            Move::Exit(code, at) => {
                let name = self.name(at);
                if !self.alive.get(&name).is_some_and(|alive| alive.executed) {
                    return Ok(false);
                }
                self.die(&name, code);
            }
            Move::FailToExecute(at) => {
                let name = self.name(at);
                let Some(alive) = self.alive.get(&name).filter(|alive| !alive.executed) else {
                    return Ok(false);
                };
                let (role, reason) = (alive.role, "no such file".to_owned());
                let failed = Event::SpawnFailed { role, reason, passing: false };
                self.supervisor.handle(&name, alive.start, failed, self.now);
                self.die(&name, 127);
            }
            Move::TimePasses => {
                let Some(deadline) = self.supervisor.deadline() else {
                    return Ok(false);
                };
                self.now = self.now.max(deadline);
                self.supervisor.tick(self.now);
                if self.supervisor.deadline().is_some_and(|next| next <= self.now) {
                    return Err("a deadline that was taken is still due: the loop spins".into());
                }
            }
            Move::GoDown => {
                if std::mem::replace(&mut self.going_down, true) {
                    return Ok(false);
                }
                self.supervisor.go_down(self.now);
            }
            Move::SupervisorRestarts => {
                if self.saved.is_empty() || self.going_down {
                    return Ok(false);
                }
                let before = self.wants();
                self.supervisor = Supervisor::default();
                self.supervisor.load(self.units.clone(), self.now);
                for (name, record) in self.saved.clone() {
                    let alive = self.alive.get_mut(&name);
                    let populated = alive.is_some();
                    alive.into_iter().for_each(|alive| alive.executed = true);
                    self.supervisor.adopt(&name, &record, populated, self.now);
                }
                self.supervisor.start_enabled(&[], self.now);
                if before != self.wants() {
                    return Err(format!("wanted {before:?}, then {:?}", self.wants()));
                }
            }
        }
        self.perform()?;
        Ok(true)
    }

    fn wants(&self) -> Vec<Want> {
        self.supervisor.services().map(|(_, service)| service.want()).collect()
    }

    fn die(&mut self, name: &str, code: i32) {
        if let Some(Alive { pid, start, .. }) = self.alive.remove(name) {
            let exited = Event::Exited { pid, exit: Exit::Code(code), populated: false };
            self.supervisor.handle(name, start, exited, self.now);
            self.supervisor.handle(name, start, Event::Emptied, self.now);
        }
    }

    /// Does what the supervisor asks for, and checks what may be done.
    fn perform(&mut self) -> Result<(), String> {
        loop {
            let actions = self.supervisor.take_actions();
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.perform_one(action)?;
            }
        }
        for (name, service) in self.supervisor.services() {
            let lives = self.alive.contains_key(name.as_str());
            if lives != service.life().is_some() {
                return Err(format!("{name} is {}, its processes live: {lives}", service.word()));
            }
            let obstacles = self.supervisor.obstacles(name.as_str());
            if service.word() == StateWord::Blocked && obstacles.is_empty() {
                return Err(format!("{name} is blocked by nobody"));
            }
        }
        Ok(())
    }

    fn perform_one(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Spawn { unit, start, role } => {
                let name = unit.name.to_string();
                if role == Role::First {
                    self.may_begin(&unit)?;
                }
                let pid = self.next_pid;
                self.next_pid += 1;
                let alive = Alive { pid, role, start, executed: false, asked: false };
                if self.alive.insert(name.clone(), alive).is_some() {
                    return Err(format!("{name} was spawned over living processes"));
                }
                let event = Event::Spawned { role, pid };
                self.supervisor.handle(&name, start, event, self.now);
            }
            Action::Signal { name, start, .. } | Action::KillTree { name, start } => {
                self.may_end(name.as_str())?;
                if let Some(alive) = self.alive.get_mut(name.as_str()) {
                    alive.asked |= alive.start == start;
                }
            }
            Action::RemoveLeaf { name, .. } => {
                if self.alive.contains_key(name.as_str()) {
                    return Err(format!("{name}: gave back a leaf with processes"));
                }
            }
            Action::Save { name, record } => {
                self.saved.insert(name.to_string(), record);
            }
            Action::ReportStuck { .. } | Action::FindMain { .. } | Action::Changed { .. } => {}
        }
        Ok(())
    }

    /// Judges by the processes and the last word of each, not by the supervisor's obstacles.
    fn may_begin(&self, unit: &Unit) -> Result<(), String> {
        if self.going_down {
            return Err(format!("{} began while the system goes down", unit.name));
        }
        for need in unit.needs.iter().filter(|need| need.required) {
            let other = self.supervisor.service(need.unit.as_str()).unwrap();
            let runs = self.alive.get(need.unit.as_str()).is_some_and(|alive| alive.executed);
            let is_up = matches!(other.word(), StateWord::Up | StateWord::Reloading);
            let exited_well = match other.state() {
                State::Done | State::Down { why: Why::Completed } => true,
                State::Down { why: Why::Exited(exit) } => exit.is_success(),
                _ => false,
            };
            let holds = match need.condition {
                Condition::ServiceStarted => runs || exited_well,
                Condition::ServiceHealthy => (runs && is_up) || exited_well,
                Condition::ServiceCompletedSuccessfully => exited_well,
            };
            if !holds {
                let (name, condition) = (&unit.name, need.condition);
                return Err(format!("{name} began: {} is no {condition:?}", need.unit));
            }
        }
        for name in &unit.after {
            let other = self.supervisor.service(name.as_str()).unwrap();
            // Two back-offs that are over at the same time have no order.
            let first = other.restarts() == 0 || self.alive.contains_key(name.as_str());
            if first && other.want() == Want::Up && other.word() == StateWord::Starting {
                return Err(format!("{} began before {name} had started", unit.name));
            }
        }
        Ok(())
    }

    /// Whether this one may be asked to end now: a wanted stop comes after those behind it.
    fn may_end(&self, name: &str) -> Result<(), String> {
        let service = self.supervisor.service(name).unwrap();
        let asked = self.alive.get(name).is_none_or(|alive| alive.asked);
        match service.state() {
            // A restart leaves the others alone, and so does a failure of its own.
            State::Stopping { because, .. } | State::Killing { because, .. }
                if !asked && because.is_wanted() && *because != Because::Restart =>
            {
                self.nobody_behind_is_to_end(name)
            }
            _ => Ok(()),
        }
    }

    fn nobody_behind_is_to_end(&self, name: &str) -> Result<(), String> {
        for unit in &self.units {
            let goes_after = unit.needs.iter().any(|need| need.unit.as_str() == name)
                || unit.after.iter().any(|other| other.as_str() == name);
            let other = self.supervisor.service(unit.name.as_str()).unwrap();
            let lives = self.alive.contains_key(unit.name.as_str());
            if goes_after && lives && other.want() == Want::Down {
                return Err(format!("{name} was asked to end before {}", unit.name));
            }
        }
        Ok(())
    }

    /// From here on the world behaves: programs run, get ready, end when asked to.
    fn behave(&mut self) -> Result<(), String> {
        for _ in 0..40 {
            let mut moved = false;
            for at in 0..3 {
                let name = self.name(at);
                moved |= self.take(Move::Execute(at))?;
                let service = self.supervisor.service(&name).unwrap();
                let is_starting = service.word() == StateWord::Starting;
                let completes = matches!(self.units[at].kind, Kind::Oneshot { .. });
                if is_starting && !completes {
                    moved |= self.take(Move::SayReady(at))?;
                }
                let undoes = self.alive.get(&name).is_some_and(|it| it.role == Role::Stop);
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
            (Want::Down, State::Down { .. } | State::Failed { .. })
            | (Want::Up, State::Up { .. } | State::Done) => true,
            (Want::Up, State::Blocked) => {
                let obstacles = self.supervisor.obstacles(name.as_str());
                obstacles.iter().any(|it| matches!(it, Obstacle::Never(..)))
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
        if self.supervisor.is_at_rest() && self.alive.is_empty() {
            return Ok(());
        }
        Err("the system went down, and something lives".into())
    }

    /// What tells two worlds apart, without the trail. A deadline counts as a distance.
    fn key(&self) -> String {
        let services: Vec<_> = self.supervisor.services().collect();
        format!("{services:?} {:?} {:?} {}", self.alive, self.saved, self.now)
    }
}

/// Walks every sequence of at most `depth` moves. Gives the number of worlds.
fn walk(units: &[Unit], depth: usize) -> usize {
    let moves = moves();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut open = vec![(World::new(units.to_vec()), depth)];
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
    let worlds = walk(&units, depth);
    println!("{worlds} worlds");
    assert!(worlds > 1_000, "only {worlds} worlds were tried");
}

/// Deep enough for two orders, a restart of the supervisor, a death and its back-off.
const DEPTH: usize = 6;

fn needing_by(condition: Condition, required: bool) -> Unit {
    Unit { needs: vec![need("b", condition, required)], ..named("a") }
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
    let restart = Restart { policy: RestartPolicy::No, ..named("c").restart };
    let a = needing_by(Condition::ServiceHealthy, false);
    walk_well([a, needing(named("b"), &["c"]), Unit { restart, ..named("c") }], DEPTH);
}
