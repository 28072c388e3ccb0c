//! The model of three leaves that `needs_walk.rs` walks through: what may happen next, and what the
//! rules must never do about it.

use std::collections::BTreeMap;

use super::activation::{Activation, Guard, Trigger};
use super::condition::Looked;
use super::record::Record;
use super::rig::perform_all;
use super::service::{Service, State};
use super::status::{HealthWord, StateWord};
use super::supervisor::Supervisor;
use super::unit::{Condition, Kind, Unit};
use super::why::{Because, Exit, Why};
use super::{Action, Event, Moment, Notice, Order, Pid, Role, Want};

/// The one process of a leaf.
#[derive(Debug, Clone, PartialEq)]
pub struct Alive {
    pub pid: Pid,
    pub role: Role,
    pub start: u64,
    pub executed: bool,
    /// It was signalled or killed, and will end when the world behaves.
    pub asked: bool,
}

#[derive(Debug, Clone)]
pub struct World {
    pub units: Vec<Unit>,
    /// How many may be starting at once.
    pub most: usize,
    pub supervisor: Supervisor,
    pub now: Moment,
    pub next_pid: Pid,
    pub alive: BTreeMap<String, Alive>,
    pub saved: BTreeMap<String, Record>,
    pub guards: BTreeMap<String, Guard>,
    pub going_down: bool,
    /// Looks at conditions that were not answered yet.
    pub looks: BTreeMap<String, u64>,
    /// The check that is on its way for each unit: its start and its number.
    pub checks: BTreeMap<String, (u64, u32)>,
    pub trail: Vec<Move>,
}

/// What may happen next, to the unit of this place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Move {
    Order(Order, usize),
    /// The program is executed, and where the type asks for it, said to be ready.
    Execute(usize),
    SayReady(usize),
    Exit(i32, usize),
    FailToExecute(usize),
    /// The look at its conditions comes back: they hold, or not.
    Look(bool, usize),
    /// A check is over; `false`: it has failed.
    CheckEnds(bool, usize),
    TimePasses,
    GoDown,
    SupervisorRestarts,
    /// Somebody connects to its socket.
    Connect(usize),
}

pub fn moves() -> Vec<Move> {
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
            Move::Look(true, at),
            Move::Look(false, at),
            Move::CheckEnds(true, at),
            Move::CheckEnds(false, at),
            Move::Connect(at),
        ]
    };
    let of_all = [Move::TimePasses, Move::GoDown, Move::SupervisorRestarts];
    (0..3).flat_map(of_each).chain(of_all).collect()
}

impl World {
    /// Those that are enabled begin where the world boots. Elsewhere only what something starts is
    /// enabled, and the others wait for a person.
    pub fn new(mut units: Vec<Unit>, most: usize, boots: bool) -> Self {
        for unit in &mut units {
            unit.enabled &= boots || unit.activation.is_some();
        }
        let mut supervisor = Supervisor::default();
        supervisor.limit_starting(most);
        supervisor.load(units.clone(), 0);
        let names: Vec<_> = units.iter().map(|unit| unit.name.clone()).collect();
        let mut world = Self {
            units,
            most,
            supervisor,
            now: 0,
            next_pid: 100,
            alive: BTreeMap::new(),
            saved: BTreeMap::new(),
            guards: BTreeMap::new(),
            going_down: false,
            looks: BTreeMap::new(),
            checks: BTreeMap::new(),
            trail: Vec::new(),
        };
        world.supervisor.start_enabled(&names, 0);
        world.perform().unwrap();
        world
    }

    pub fn name(&self, at: usize) -> String {
        self.units[at].name.to_string()
    }

    /// Takes the move if it is enabled here. `Ok(false)` means that it is not.
    pub fn take(&mut self, step: Move) -> Result<bool, String> {
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
            Move::Look(holds, at) => {
                let name = self.name(at);
                let Some(number) = self.looks.remove(&name) else {
                    return Ok(false);
                };
                let skip = Looked::Skip("it is not there".into());
                let looked = if holds { Looked::Met } else { skip };
                self.supervisor.looked(&name, number, looked, self.now);
            }
            Move::CheckEnds(passes, at) => {
                let name = self.name(at);
                let Some((start, number)) = self.checks.remove(&name) else { return Ok(false) };
                let result = if passes { Ok(()) } else { Err("exit status 1".to_owned()) };
                let checked = Event::Checked { number, result };
                self.supervisor.handle(&name, start, checked, self.now);
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
            Move::Connect(at) => {
                let name = self.name(at);
                if self.guards.get(&name) != Some(&Guard::Watched) {
                    return Ok(false);
                }
                self.supervisor.trigger(&name, Trigger::Fresh, "a test", self.now);
            }
            Move::GoDown => {
                if std::mem::replace(&mut self.going_down, true) {
                    return Ok(false);
                }
                self.supervisor.go_down(self.now);
            }
            Move::SupervisorRestarts => {
                if self.going_down {
                    return Ok(false);
                }
                let before = self.left();
                self.looks.clear();
                self.checks.clear();
                self.supervisor = Supervisor::default();
                self.supervisor.limit_starting(self.most);
                self.guards.clear();
                self.supervisor.load(self.units.clone(), self.now);
                for (name, record) in self.saved.clone() {
                    let alive = self.alive.get_mut(&name);
                    let populated = alive.is_some();
                    alive.into_iter().for_each(|alive| alive.executed = true);
                    self.supervisor.adopt(&name, &record, populated, self.now);
                }
                let names: Vec<_> = self.units.iter().map(|unit| unit.name.clone()).collect();
                self.supervisor.go_on(&names, self.now);
                if before != self.left() {
                    return Err(format!("left {before:?}, taken over {:?}", self.left()));
                }
            }
        }
        self.perform()?;
        Ok(true)
    }

    pub fn wants(&self) -> Vec<Want> {
        self.supervisor.services().map(|(_, service)| service.want()).collect()
    }

    /// What the next supervisor must find as it was: what is wanted, and who has failed.
    fn left(&self) -> Vec<(Want, bool)> {
        let of = |it: &Service| (it.want(), it.word() == StateWord::Failed);
        self.supervisor.services().map(|(_, service)| of(service)).collect()
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
        perform_all(self, |world| &mut world.supervisor, Self::perform_one)?;
        let (taken, waiting) = self.supervisor.turns();
        if self.most != 0 && taken.len() > self.most {
            return Err(format!("{taken:?} have a turn"));
        }
        if taken.len() < self.most && !waiting.is_empty() {
            return Err(format!("{waiting:?} wait for a turn that is free"));
        }
        for (name, service) in self.supervisor.services() {
            let lives = self.alive.contains_key(name.as_str());
            if lives != service.life().is_some() {
                return Err(format!("{name} is {}, its processes live: {lives}", service.word()));
            }
            let obstacles = self.supervisor.obstacles(name.as_str());
            if *service.state() == State::Blocked && obstacles.is_empty() {
                return Err(format!("{name} is blocked by nobody"));
            }
        }
        Ok(())
    }

    fn perform_one(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Spawn { unit, start, role } => {
                let name = unit.name.to_string();
                if matches!(role, Role::First | Role::Pre(0)) {
                    self.may_begin(&unit)?;
                }
                self.has_no_rival(&unit)?;
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
            Action::Guard { unit, guard } => {
                self.guards.insert(unit.name.to_string(), guard);
                self.supervisor.guarded(&unit.name, guard, self.now);
            }
            Action::Save { name } => {
                let is_known = self.saved.contains_key(name.as_str());
                let service = self.supervisor.service(name.as_str());
                let service = service.filter(|it| it.is_to_be_known(is_known));
                let record = service.map(Service::record);
                self.saved.extend(record.map(|record| (name.to_string(), record)));
            }
            Action::Look { unit, number } => {
                self.looks.insert(unit.name.to_string(), number);
            }
            // Everybody only waits: what works comes up by itself, or holds others up for a while.
            Action::Weigh { name, start } => {
                self.supervisor.weighed(name.as_str(), start, Some(0), self.now);
            }
            Action::Check { unit, start, number, .. } => {
                self.checks.insert(unit.name.to_string(), (start, number));
            }
            Action::EndCheck { .. } | Action::Health { .. } => {}
            Action::SetLimits { .. }
            | Action::Report { .. }
            | Action::ReportStuck { .. }
            | Action::FindMain { .. }
            | Action::Changed { .. } => {}
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
            let runs = self
                .alive
                .get(need.unit.as_str())
                .is_some_and(|alive| alive.executed && alive.role == Role::First);
            let skipped = matches!(other.state(), State::Down { why: Why::Skipped(_) });
            let is_up = matches!(other.word(), StateWord::Up | StateWord::Reloading)
                && matches!(other.health(), None | Some(HealthWord::Healthy));
            let exited_well = match other.state() {
                State::Done | State::Down { why: Why::Completed } => true,
                State::Down { why: Why::Exited(exit) } => exit.is_success(),
                _ => false,
            };
            let listens = other.unit().activation.as_deref();
            let listens = listens.is_some_and(Activation::listens_on_demand)
                && self.guards.get(need.unit.as_str()).is_some_and(|guard| *guard != Guard::Off);
            let holds = match need.condition {
                Condition::ServiceStarted => runs || exited_well || skipped || listens,
                Condition::ServiceHealthy => (runs && is_up) || exited_well || skipped || listens,
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

    /// Nothing lives, and nothing is `done`, that cannot live beside this unit.
    fn has_no_rival(&self, unit: &Unit) -> Result<(), String> {
        let conflict = |one: &Unit, other: &Unit| {
            one.conflicts.contains(&other.name) || other.conflicts.contains(&one.name)
        };
        for other in self.units.iter().filter(|other| conflict(unit, other)) {
            let name = other.name.as_str();
            let word = self.supervisor.service(name).unwrap().word();
            if self.alive.contains_key(name) || word == StateWord::Done {
                return Err(format!("{} began beside {name}", unit.name));
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
}
