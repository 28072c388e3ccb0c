//! The model of one leaf that `walk.rs` walks through: what may happen next, and what the rules
//! must never do about it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::activation::{Activation, Guard, Trigger};
use super::condition::Looked;
use super::plan::{Found, Wish};
use super::record::Record;
use super::status::StateWord;
use super::supervisor::Supervisor;
use super::unit::{Ready, Unit};
use super::walk_care::Care;
use super::walk_perform::hook;
use super::why::Exit;
use super::{Action, Event, Moment, Notice, Order, Pid, Role, Want};

/// One living process of the leaf.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub pid: Pid,
    pub role: Option<Role>,
    pub executed: bool,
}

#[derive(Debug, Clone)]
pub struct World {
    pub unit: Unit,
    /// What the unit file may hold instead.
    pub other: Option<Unit>,
    pub supervisor: Supervisor,
    pub now: Moment,
    pub next_pid: Pid,
    /// The leaf's number and who lives in it.
    pub start: u64,
    pub members: Vec<Member>,
    /// Deaths that were not told yet.
    pub dead: Vec<(Pid, Exit)>,
    pub spawns_fail: bool,
    /// What was asked for and not done yet, while others have their turn.
    pub queue: VecDeque<Action>,
    pub held: bool,
    /// Whether it ever waits: that makes many more worlds.
    pub is_crowded: bool,
    /// The leaf was killed; its members will die.
    pub killed: bool,
    pub saved: Option<Record>,
    /// A connection waits in the queue of the unit's socket.
    pub pending: bool,
    /// What the rules asked for last.
    pub guard: Guard,
    pub cannot_listen: bool,
    /// Times that it could not be watched: a try counts like a restart.
    pub tries: u32,
    /// When it last began, unless somebody has given a reason to begin again since.
    pub begun: Option<Moment>,
    /// Back-offs that ended in a start since a person's last order.
    pub restarted: u32,
    /// The look at the conditions that was not answered yet.
    pub look: Option<u64>,
    /// The hooks of this row of steps that have ended with 0.
    pub passed: BTreeSet<(char, usize)>,
    /// A row of steps has begun, and its `stop_post` commands have not all been asked for.
    pub owed: bool,
    /// What was seen of its checks and its watchdog.
    pub care: Care,
    pub trail: Vec<Move>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Move {
    Order(Order),
    ToggleSpawnFailure,
    /// So much is to be started that what is asked for waits, until the next of these.
    ToggleHold,
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
    /// The supervisor was stopped over its next deadline, and long after.
    TimeIsLost,
    /// The newline, or the line of output.
    BecomeReady,
    /// A check is over; `false`: it has failed.
    CheckEnds(bool),
    KeepAlive,
    Trigger,
    SupervisorRestarts,
    Connect,
    Accept,
    ToggleListenFailure,
    ChangeUnit,
    AnswerLook(bool),
}

pub const MOVES: [Move; 33] = [
    Move::Order(Order::Start),
    Move::Order(Order::Stop),
    Move::Order(Order::Restart),
    Move::Order(Order::Reload),
    Move::ToggleSpawnFailure,
    Move::ToggleHold,
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
    Move::TimeIsLost,
    Move::BecomeReady,
    Move::CheckEnds(true),
    Move::CheckEnds(false),
    Move::KeepAlive,
    Move::Trigger,
    Move::SupervisorRestarts,
    Move::Connect,
    Move::Accept,
    Move::ToggleListenFailure,
    Move::ChangeUnit,
    Move::AnswerLook(true),
    Move::AnswerLook(false),
];

impl World {
    pub fn new(unit: Unit) -> Self {
        let mut supervisor = Supervisor::default();
        supervisor.load(vec![unit.clone()], 0);
        let mut world = Self {
            unit,
            other: None,
            supervisor,
            now: 0,
            next_pid: 100,
            start: 0,
            members: Vec::new(),
            dead: Vec::new(),
            spawns_fail: false,
            queue: VecDeque::new(),
            held: false,
            is_crowded: false,
            killed: false,
            saved: None,
            pending: false,
            guard: Guard::Off,
            cannot_listen: false,
            tries: 0,
            begun: None,
            restarted: 0,
            look: None,
            passed: BTreeSet::new(),
            owed: false,
            care: Care::default(),
            trail: Vec::new(),
        };
        if world.unit.activation.is_some() {
            world.supervisor.start_enabled(&[world.unit.name.clone()], 0);
            world.perform().unwrap();
        }
        world
    }

    pub fn want(&self) -> Want {
        self.supervisor.service("web").unwrap().want()
    }

    pub(super) fn tell(&mut self, start: u64, event: Event) -> Result<(), String> {
        self.supervisor.handle("web", start, event, self.now);
        self.perform()
    }

    /// Takes the move if it is enabled here. `Ok(false)` means that it is not.
    pub fn take(&mut self, step: Move) -> Result<bool, String> {
        self.trail.push(step);
        match step {
            Move::Order(order) => {
                if self.supervisor.ask(order, "web", self.now).is_err() {
                    return Ok(false);
                }
                self.begun = None;
                if order != Order::Reload {
                    (self.restarted, self.tries) = (0, 0);
                }
                self.perform()?;
            }
            Move::ToggleSpawnFailure => self.spawns_fail = !self.spawns_fail,
            Move::ToggleHold => {
                if !self.is_crowded {
                    return Ok(false);
                }
                self.held = !self.held;
                self.perform()?;
            }
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
                // A first process that has not executed yet may not have joined its leaf.
                let joined = |it: &Member| it.executed || it.role != Some(Role::First);
                if self.members.iter().any(joined) || self.start == 0 {
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
                if *self.unit.ready() != Ready::Notify || self.members.is_empty() {
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
                self.care.time_passes();
                self.supervisor.tick(self.now);
                self.perform()?;
                if self.supervisor.deadline().is_some_and(|next| next <= self.now) {
                    return Err("a deadline that was taken is still due: the loop spins".into());
                }
            }
            Move::TimeIsLost
            | Move::BecomeReady
            | Move::CheckEnds(_)
            | Move::KeepAlive
            | Move::Trigger => return self.take_care(step),
            Move::SupervisorRestarts => {
                let Some(record) = self.saved.clone() else {
                    return Ok(false);
                };
                self.supervisor = Supervisor::default();
                (self.guard, self.begun) = (Guard::Off, None);
                // What nobody has done by now has not happened.
                if !std::mem::take(&mut self.queue).is_empty() {
                    self.restarted = record.restarts;
                }
                self.held = false;
                self.supervisor.load(vec![self.unit.clone()], self.now);
                // Deaths that were not told are buried by somebody else, and nobody looks any more.
                self.dead.clear();
                self.look = None;
                self.care.supervisor_restarts(self.now);
                for member in &mut self.members {
                    member.executed = true;
                }
                self.supervisor.adopt("web", &record, !self.members.is_empty(), self.now);
                self.supervisor.go_on(&[], self.now);
                self.perform()?;
                let service = self.supervisor.service("web").unwrap();
                if self.members.is_empty() && service.life().is_some() && !self.spawns_fail {
                    return Err("took over an empty leaf as alive".into());
                }
            }
            Move::Connect => {
                if self.guard == Guard::Off || self.pending {
                    return Ok(false);
                }
                // A timer that is due leaves nothing behind that waits.
                let activation = self.unit.activation.as_deref();
                self.pending = activation.is_some_and(|it| it.timers.is_empty());
                self.begun = None;
                if self.guard == Guard::Watched {
                    self.supervisor.trigger("web", Trigger::Fresh, "a test", self.now);
                    self.perform()?;
                }
            }
            Move::Accept => {
                let runs = self.members.iter().any(|member| member.executed);
                if !runs || !std::mem::take(&mut self.pending) {
                    return Ok(false);
                }
            }
            Move::ToggleListenFailure => {
                if self.unit.activation.is_none() {
                    return Ok(false);
                }
                self.cannot_listen = !self.cannot_listen;
            }
            Move::ChangeUnit => {
                let Some(other) = self.other.take() else {
                    return Ok(false);
                };
                self.other = Some(std::mem::replace(&mut self.unit, other));
                self.change_unit()?;
                self.perform()?;
            }
            Move::AnswerLook(holds) => {
                let Some(number) = self.look.take() else {
                    return Ok(false);
                };
                // An older answer comes late.
                let skip = || Looked::Skip("it is not there".into());
                self.supervisor.looked("web", number.wrapping_sub(1), skip(), self.now);
                let looked = if holds { Looked::Met } else { skip() };
                self.supervisor.looked("web", number, looked, self.now);
                self.perform()?;
            }
        }
        Ok(true)
    }

    /// What must be done about the triggers, by what lives and what is wanted.
    pub(super) fn check_guard(&self) -> Result<(), String> {
        let service = self.supervisor.service("web").unwrap();
        let word = service.word();
        let wanted = match service.want() {
            _ if self.unit.activation.is_none() => Guard::Off,
            _ if word.is_alive() => Guard::Held,
            Want::Up => Guard::Held,
            Want::Armed if matches!(word, StateWord::Down | StateWord::Failed) => Guard::Watched,
            Want::Armed | Want::Down => Guard::Off,
        };
        if self.guard != wanted {
            return Err(format!("{:?} where {wanted:?} must be: {:?}", self.guard, service));
        }
        if self.guard == Guard::Watched && self.pending {
            return Err("a connection waits, and nobody starts".into());
        }
        Ok(())
    }

    /// The unit file changes, and is read again: that leaves what lives alone.
    fn change_unit(&mut self) -> Result<(), String> {
        let word = |world: &Self| world.supervisor.service("web").unwrap().word();
        let before = word(self);
        let units = [Arc::new(self.unit.clone())];
        let found = Found { units: units.to_vec(), ..Found::default() };
        let plan = self.supervisor.plan(&found, &Wish::default());
        let fresh = self.supervisor.carry_out(&plan, &units, self.now);
        self.supervisor.start_enabled(&fresh, self.now);
        let after = word(self);
        // Only a back-off may end by it, or be given up.
        if before != after && before != StateWord::Waiting {
            return Err(format!("{before} -> {after} because its unit has changed"));
        }
        let service = self.supervisor.service("web").unwrap();
        if service.life().is_none() && **service.unit() != self.unit {
            return Err("at rest, and it follows an older unit".into());
        }
        if service.life().is_some() != service.older_keys().contains(&"command".to_owned())
            && service.unit().command != self.unit.command
        {
            return Err(format!("older keys: {:?}", service.older_keys()));
        }
        Ok(())
    }

    /// Does what is asked about the triggers, and says what is there already.
    pub(super) fn set_guard(&mut self, guard: Guard) {
        self.guard = guard;
        let name = self.unit.name.clone();
        let listens = self.unit.activation.as_deref().is_some_and(Activation::listens_on_demand);
        // A socket that is closed loses who waits; a file stays.
        self.pending &= guard != Guard::Off || !listens;
        match guard {
            Guard::Watched if self.cannot_listen => {
                self.tries += 1;
                self.supervisor.cannot_arm(&name, "no socket".into(), self.now);
            }
            Guard::Held if self.cannot_listen => {}
            _ => self.supervisor.guarded(&name, guard, self.now),
        }
        if guard == Guard::Watched && self.pending && !self.cannot_listen {
            self.supervisor.trigger("web", Trigger::Standing, "a test", self.now);
        }
    }

    pub(super) fn join(&mut self, role: Option<Role>) -> Pid {
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
        if let (0, Some(hook)) = (code, member.role.and_then(hook)) {
            self.passed.insert(hook);
        }
        true
    }

    /// Whether a hook lives.
    pub fn hook_runs(&self) -> bool {
        self.members.iter().any(|member| member.executed && member.role.and_then(hook).is_some())
    }

    /// A hook that lives ends.
    pub fn hook_exits(&mut self, code: i32) -> Result<bool, String> {
        let died = self.die(code, |member| member.role.and_then(hook).is_some());
        if died {
            while self.take(Move::TellDeath)? {}
        }
        Ok(died)
    }
}
