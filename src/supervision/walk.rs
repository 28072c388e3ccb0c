//! The exhaustive walk: every order of world events, for every type, against the invariants.
//!
//! A [`World`] holds a real [`Supervisor`] with one unit and a model of that unit's leaf: which
//! processes live, which deaths have not been told yet. A move is anything that may happen next: a
//! person's order, a fork, a death, the telling of a death, a look at the level, a time-out, a
//! failing spawn, a restart of the supervisor itself. The walk takes every enabled move from every
//! world, up to a depth. In each world:
//!
//! - nothing was spawned over living processes, and no leaf with processes was given back;
//! - no service is at rest over living processes;
//! - if from here on the world behaves (deaths are told, the killed die, time passes), the service
//!   comes to rest in what is wanted of it, and never waits for ever.

#![allow(clippy::print_stdout)] // How many worlds were tried is worth telling.

use std::collections::HashMap;
use std::path::PathBuf;

use super::name::UnitName;
use super::record::Record;
use super::service::State;
use super::supervisor::Supervisor;
use super::unit::{KillMode, Kind, Limits, Process, Reload, Restart, RestartPolicy, Stop, Unit};
use super::why::Exit;
use super::{Action, Event, Moment, Notice, Order, Pid, Role, Want};

/// A plain unit for tests.
pub fn unit() -> Unit {
    Unit {
        name: UnitName::new("web").unwrap(),
        source: PathBuf::from("/etc/yml-services/web.yml"),
        description: String::new(),
        kind: Kind::Auto,
        command: vec!["/bin/web".into()],
        stop: Stop { command: None, signal: 15, grace: 5_000, kill_mode: KillMode::ControlGroup },
        reload: None,
        restart: Restart {
            policy: RestartPolicy::OnFailure,
            delay: 1_000,
            max_delay: 60_000,
            max_attempts: 2,
            healthy_after: 10_000,
        },
        start_timeout: Some(90_000),
        needs: Vec::new(),
        after: Vec::new(),
        pid_file: None,
        enabled: true,
        process: Process::default(),
        limits: Limits::default(),
    }
}

/// One living process of the leaf.
#[derive(Debug, Clone, PartialEq)]
struct Member {
    pid: Pid,
    role: Option<Role>,
    executed: bool,
}

#[derive(Debug, Clone)]
struct World {
    unit: Unit,
    supervisor: Supervisor,
    now: Moment,
    next_pid: Pid,
    /// The leaf's number and who lives in it.
    start: u64,
    members: Vec<Member>,
    /// Deaths that were not told yet.
    dead: Vec<(Pid, Exit)>,
    spawns_fail: bool,
    /// The leaf was killed; its members will die.
    killed: bool,
    saved: Option<Record>,
    trail: Vec<Move>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Move {
    Order(Order),
    ToggleSpawnFailure,
    Execute,
    FailToExecute,
    Fork,
    FirstExits(i32),
    OtherExits(i32),
    TellDeath,
    TellEmpty,
    TellOldNews,
    SayReady,
    SayStopping,
    FindMain,
    TimePasses,
    SupervisorRestarts,
}

const MOVES: [Move; 20] = [
    Move::Order(Order::Start),
    Move::Order(Order::Stop),
    Move::Order(Order::Restart),
    Move::Order(Order::Reload),
    Move::ToggleSpawnFailure,
    Move::Execute,
    Move::FailToExecute,
    Move::Fork,
    Move::FirstExits(0),
    Move::FirstExits(1),
    Move::OtherExits(0),
    Move::OtherExits(1),
    Move::TellDeath,
    Move::TellEmpty,
    Move::TellOldNews,
    Move::SayReady,
    Move::SayStopping,
    Move::FindMain,
    Move::TimePasses,
    Move::SupervisorRestarts,
];

impl World {
    fn new(unit: Unit) -> Self {
        let mut supervisor = Supervisor::default();
        supervisor.load(vec![unit.clone()], 0);
        Self {
            unit,
            supervisor,
            now: 0,
            next_pid: 100,
            start: 0,
            members: Vec::new(),
            dead: Vec::new(),
            spawns_fail: false,
            killed: false,
            saved: None,
            trail: Vec::new(),
        }
    }

    fn want(&self) -> Want {
        self.supervisor.service("web").unwrap().want()
    }

    fn tell(&mut self, start: u64, event: Event) -> Result<(), String> {
        self.supervisor.handle("web", start, event, self.now);
        self.perform()
    }

    /// Takes the move if it is enabled here. `Ok(false)` means that it is not.
    fn take(&mut self, step: Move) -> Result<bool, String> {
        self.trail.push(step);
        match step {
            Move::Order(order) => {
                if self.supervisor.ask(order, "web", self.now).is_err() {
                    return Ok(false);
                }
                self.perform()?;
            }
            Move::ToggleSpawnFailure => self.spawns_fail = !self.spawns_fail,
            Move::Execute => {
                let Some(member) = self.members.iter_mut().find(|member| !member.executed) else {
                    return Ok(false);
                };
                member.executed = true;
                let role = member.role.unwrap();
                self.tell(self.start, Event::Executed { role })?;
            }
            Move::FailToExecute => {
                let Some(at) = self.members.iter().position(|member| !member.executed) else {
                    return Ok(false);
                };
                let member = self.members.remove(at);
                self.dead.push((member.pid, Exit::Code(127)));
                let (role, reason) = (member.role.unwrap(), "no such file".to_owned());
                self.tell(self.start, Event::SpawnFailed { role, reason, passing: false })?;
            }
            Move::Fork => {
                if self.members.len() > 2 || !self.members.iter().any(|member| member.executed) {
                    return Ok(false);
                }
                self.join(None);
            }
            Move::FirstExits(code) => {
                return Ok(self.die(code, |member| member.role == Some(Role::First)));
            }
            Move::OtherExits(code) => {
                return Ok(self.die(code, |member| member.role != Some(Role::First)));
            }
            Move::TellDeath => {
                if self.dead.is_empty() {
                    return Ok(false);
                }
                let (pid, exit) = self.dead.remove(0);
                let populated = !self.members.is_empty();
                self.tell(self.start, Event::Exited { pid, exit, populated })?;
            }
            Move::TellEmpty => {
                if !self.members.is_empty() || self.start == 0 {
                    return Ok(false);
                }
                self.tell(self.start, Event::Emptied)?;
            }
            Move::TellOldNews => {
                if self.start < 2 {
                    return Ok(false);
                }
                self.tell(self.start - 1, Event::Emptied)?;
                let exited = Event::Exited { pid: 100, exit: Exit::Code(0), populated: false };
                self.tell(self.start - 1, exited)?;
            }
            Move::SayReady | Move::SayStopping => {
                if self.unit.kind != Kind::Notify || self.members.is_empty() {
                    return Ok(false);
                }
                let ready = step == Move::SayReady;
                let notice = Notice { ready, stopping: !ready, ..Notice::default() };
                self.tell(self.start, Event::Notified(notice))?;
            }
            Move::FindMain => {
                let Some(member) = self.members.last() else {
                    return Ok(false);
                };
                let found = Event::MainFound { main: Some(member.pid), certain: false };
                self.tell(self.start, found)?;
            }
            Move::TimePasses => {
                let Some(deadline) = self.supervisor.deadline() else {
                    return Ok(false);
                };
                self.now = self.now.max(deadline);
                self.supervisor.tick(self.now);
                self.perform()?;
                if self.supervisor.deadline().is_some_and(|next| next <= self.now) {
                    return Err("a deadline that was taken is still due: the loop spins".into());
                }
            }
            Move::SupervisorRestarts => {
                let Some(record) = self.saved.clone() else {
                    return Ok(false);
                };
                self.supervisor = Supervisor::default();
                self.supervisor.load(vec![self.unit.clone()], self.now);
                // Deaths that were not told are buried by somebody else.
                self.dead.clear();
                for member in &mut self.members {
                    member.executed = true;
                }
                self.supervisor.adopt("web", &record, !self.members.is_empty(), self.now);
                self.supervisor.start_enabled(&[], self.now);
                self.perform()?;
            }
        }
        Ok(true)
    }

    fn join(&mut self, role: Option<Role>) -> Pid {
        let pid = self.next_pid;
        self.next_pid += 1;
        self.members.push(Member { pid, role, executed: role.is_none() });
        pid
    }

    fn die(&mut self, code: i32, who: impl Fn(&Member) -> bool) -> bool {
        let Some(at) = self.members.iter().position(|member| member.executed && who(member)) else {
            return false;
        };
        let member = self.members.remove(at);
        self.dead.push((member.pid, Exit::Code(code)));
        true
    }

    /// Does what the supervisor asks for, and checks the invariants.
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
        let service = self.supervisor.service("web").unwrap();
        if service.life().is_none() && !self.members.is_empty() {
            return Err(format!("at rest over living processes: {:?}", service.state()));
        }
        Ok(())
    }

    fn perform_one(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Spawn { start, role, .. } => {
                if role == Role::First || start != self.start {
                    if !self.members.is_empty() {
                        return Err("spawned over living processes".into());
                    }
                    self.start = start;
                    self.killed = false;
                    self.dead.clear();
                }
                let event = if self.spawns_fail {
                    Event::SpawnFailed { role, reason: "EAGAIN".into(), passing: true }
                } else {
                    let pid = self.join(Some(role));
                    Event::Spawned { role, pid }
                };
                self.supervisor.handle("web", start, event, self.now);
            }
            Action::KillTree { start, .. } => self.killed |= start == self.start,
            Action::RemoveLeaf { start, .. } => {
                if start == self.start && !self.members.is_empty() {
                    return Err("gave back a leaf with processes".into());
                }
            }
            Action::Save { record, .. } => self.saved = Some(record),
            Action::Signal { .. }
            | Action::ReportStuck { .. }
            | Action::FindMain { .. }
            | Action::Changed { .. } => {}
        }
        Ok(())
    }

    /// From here on the world behaves: what was killed dies, deaths are told, time passes. The
    /// service must come to rest in what is wanted of it.
    fn behave(&mut self) -> Result<(), String> {
        self.spawns_fail = false;
        for _ in 0..20 {
            while self.take(Move::Execute)? {}
            if self.killed {
                for member in self.members.drain(..) {
                    self.dead.push((member.pid, Exit::Signal { number: 9, core: false }));
                }
            }
            while self.take(Move::TellDeath)? {}
            if self.members.is_empty() {
                self.take(Move::TellEmpty)?;
            }
            let moved = self.make_ready()?;
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
        if !matches!(service.state(), State::Starting { .. }) {
            return Ok(false);
        }
        match self.unit.kind {
            Kind::Notify => self.take(Move::SayReady),
            Kind::Forking => {
                self.take(Move::Fork)?;
                self.take(Move::FirstExits(0))
            }
            Kind::Oneshot { .. } => self.take(Move::FirstExits(0)),
            Kind::Auto | Kind::Simple => Ok(false),
        }
    }

    fn is_as_wanted(&self) -> bool {
        let service = self.supervisor.service("web").unwrap();
        match (self.want(), service.state()) {
            (Want::Down, State::Down { .. } | State::Failed { .. }) | (Want::Up, State::Done) => {
                true
            }
            (Want::Up, State::Up { .. }) => !self.members.is_empty(),
            _ => false,
        }
    }

    /// What tells two worlds apart, without the trail.
    fn key(&self) -> String {
        let state =
            (&self.members, &self.dead, self.spawns_fail, self.killed, self.start, self.now);
        format!("{:?} {state:?} {:?}", self.supervisor.service("web"), self.saved)
    }
}

/// Walks every sequence of at most `depth` moves. Gives the number of worlds.
fn walk(unit: &Unit, depth: usize) -> usize {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut open = vec![(World::new(unit.clone()), depth)];
    let mut worlds = 0;
    while let Some((world, left)) = open.pop() {
        for step in MOVES {
            let mut next = world.clone();
            match next.take(step) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(broken) => panic!("{:?}: {broken}\n{:#?}", unit.kind, next.trail),
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
                    panic!("{:?}: {broken}\n{:#?}\nthen {:?}", unit.kind, next.trail, end.trail);
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
        stop: Stop { command: Some(vec!["/bin/stop".into()]), ..plain.stop.clone() },
        reload: Some(Reload::Command(vec!["/bin/reload".into()])),
        restart: Restart { policy, max_attempts: 0, ..plain.restart },
        ..plain.clone()
    };
    let worlds = walk(&plain, 9) + walk(&with_commands, 8);
    assert!(worlds > 10_000, "only {worlds} worlds were tried");
    println!("{kind:?}: {worlds} worlds");
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
