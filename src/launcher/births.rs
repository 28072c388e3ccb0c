//! Starting processes: from a unit to a child in its leaf, and what becomes of the start.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use slab::Slab;

use super::Launcher;
use super::activation::CannotListen;
use super::batches::Batches;
use super::leaves::Start;
use crate::index::Index;
use crate::kernel::leaf::LeafDir;
use crate::kernel::program::{self, DEFAULT_PATH, Prepared, Program};
use crate::kernel::report::{Report, Stage};
use crate::kernel::spawn::{self, Gate, Given, How};
use crate::kernel::{self, env_file};
use crate::supervision::activation::Activation;
use crate::supervision::hooks;
use crate::supervision::name::UnitName;
use crate::supervision::service::{Service, State};
use crate::supervision::service_life::Control;
use crate::supervision::unit::{Kind, Ready, Reload, Stdin, Unit};
use crate::supervision::{Event, Moment, Pid, Role};

/// Children of ours, until they are buried.
#[derive(Debug, Default)]
pub struct Births {
    /// On their way to their program.
    pub batches: Batches,
    /// Whose they are, when that is known without a look at /proc.
    owners: Owners,
    /// Killed at birth by the kernel and started again: their ends mean nothing.
    void: HashSet<Pid>,
}

impl Births {
    /// Whose child this is, if we spawned it.
    pub fn owner(&self, pid: Pid) -> Option<&Start> {
        self.owners.get(pid)
    }

    /// Forgets a child that is buried. Gives whether its end means nothing.
    pub fn bury(&mut self, pid: Pid) -> bool {
        self.owners.remove(pid);
        self.void.remove(&pid)
    }
}

/// Children, and whose they are.
#[derive(Debug)]
struct Owners {
    children: Slab<(Pid, Start)>,
    by_pid: Index<(Pid, Start), Pid>,
}

impl Default for Owners {
    fn default() -> Self {
        Self { children: Slab::new(), by_pid: Index::new(|(pid, _)| pid) }
    }
}

impl Owners {
    fn get(&self, pid: Pid) -> Option<&Start> {
        let place = self.by_pid.find(&self.children, &pid)?;
        Some(&self.children[place].1)
    }

    fn insert(&mut self, pid: Pid, start: Start) {
        self.remove(pid);
        let place = self.children.insert((pid, start));
        self.by_pid.insert(&self.children, place);
    }

    fn remove(&mut self, pid: Pid) {
        if let Some(place) = self.by_pid.find(&self.children, &pid) {
            self.by_pid.remove(&self.children, place);
            self.children.remove(place);
        }
    }
}

/// A child that was just born.
struct Newborn {
    pid: Pid,
    dir: LeafDir,
    gate: Option<Gate>,
    /// Whether how it ends is all that it is for.
    is_run: bool,
}

/// Why nothing was spawned.
struct NotSpawned {
    reason: String,
    passing: bool,
}

impl NotSpawned {
    fn of(error: &crate::kernel::Error) -> Self {
        Self { reason: error.to_string(), passing: is_passing(error.errno()) }
    }
}

/// Whether the same call may go better later.
const fn is_passing(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EAGAIN
            | Errno::ENOMEM
            | Errno::EMFILE
            | Errno::ENFILE
            | Errno::EBUSY
            | Errno::ETXTBSY
    )
}

impl Launcher {
    /// Spawns a process of a unit, in a fresh leaf unless its start has one already, and tells the
    /// rules.
    pub(super) fn spawn(&mut self, unit: &Unit, start: u64, role: Role, now: Moment) {
        let key = (unit.name.clone(), start);
        match self.give_birth(unit, &key, role, now) {
            Ok(newborn) => self.take_newborn(newborn, &key, role, now),
            Err(NotSpawned { reason, passing }) => {
                let event = Event::SpawnFailed { role, reason, passing };
                self.supervisor.handle(unit.name.as_str(), start, event, now);
            }
        }
    }

    /// Tells the rules, writes down that there is one more process, and only then lets it go on, if
    /// it waits for that. Nobody runs a stop command again that was let through, so that comes first:
    /// between a record that names it and its gate it could be lost.
    fn take_newborn(&mut self, newborn: Newborn, key: &Start, role: Role, now: Moment) {
        let Newborn { pid, dir, gate, is_run } = newborn;
        if is_run {
            self.activations.add_run(key, pid);
        }
        self.supervisor.handle(key.0.as_str(), key.1, Event::Spawned { role, pid }, now);
        if role == Role::Stop {
            dir.let_through(pid);
        }
        self.save_birth(key, &dir);
        gate.into_iter().for_each(Gate::open);
    }

    fn give_birth(
        &mut self,
        unit: &Unit,
        key: &Start,
        role: Role,
        now: Moment,
    ) -> Result<Newborn, NotSpawned> {
        let passing = |reason: String| NotSpawned { reason, passing: false };
        let failed = |error| NotSpawned::of(&error);
        let is_first = self.leaves.get(&key.0, key.1).is_none();
        let dir = self.leaf_for(unit, key).map_err(failed)?;
        if is_first && unit.delegate {
            self.delegate(unit, key)?;
        }
        if role == Role::First && unit.activation.is_some() {
            let open = self.activations.open_all(unit, &self.poll);
            open.map_err(|CannotListen { reason, passing }| NotSpawned { reason, passing })?;
        }
        let program = self.program(unit, role).map_err(passing)?;
        let prepared = Prepared::new(&program).map_err(|error| passing(error.to_string()))?;
        let prepared = match role {
            Role::First => self.await_ready(unit, key, prepared, now).map_err(passing)?,
            _ => prepared,
        };
        self.clone_into((key, dir), role, &prepared, self.how, now).map_err(failed)
    }

    /// Hands the leaf over to the service.
    fn delegate(&self, unit: &Unit, key: &Start) -> Result<(), NotSpawned> {
        self.tree.hand_down_controllers(key.0.as_str());
        let (Some(entry), Some(user)) = (self.leaves.get(&key.0, key.1), &unit.process.user) else {
            return Ok(());
        };
        let refused = |reason: String| NotSpawned { reason, passing: false };
        let owner = program::lookup_user(user).map_err(|error| refused(error.to_string()))?;
        entry.leaf(&self.tree).give_to(owner.uid, owner.gid).map_err(|error| NotSpawned::of(&error))
    }

    /// The open leaf of a start; made, where it is the first process.
    fn leaf_for(&mut self, unit: &Unit, (name, start): &Start) -> Result<LeafDir, kernel::Error> {
        if self.leaves.get(name, *start).is_some() {
            return self.tree.open_leaf(name.as_str(), *start);
        }
        let leaf = self.tree.make_leaf(name.as_str(), *start)?;
        let dir = self.tree.open_leaf(name.as_str(), *start).inspect_err(|_| {
            let _ = leaf.remove();
        })?;
        self.leaves.add(&(name.clone(), *start), dir.inode());
        self.set_limits(unit);
        Ok(dir)
    }

    /// The one place where processes of units are born. No unit waits for a start that none names,
    /// so that may share its report.
    fn clone_into(
        &mut self,
        (key, dir): (&Start, LeafDir),
        role: Role,
        prepared: &Prepared,
        how: How,
        now: Moment,
    ) -> Result<Newborn, kernel::Error> {
        // In the leaf of its service nothing but its number tells a command from the others, and one
        // that is not known would be run a second time. A reload is never run again.
        let service = self.supervisor.service(key.0.as_str());
        let is_beside = role == Role::Stop
            || service.is_some_and(|it| matches!(it.state(), State::Finishing { .. }));
        let is_marked =
            role == Role::First && service.is_some_and(|it| it.unit().starts_in_steps());
        let is_run = role == Role::First
            && service.is_some_and(|it| matches!(it.unit().kind, Kind::Oneshot { .. }));
        let gate = is_beside.then(Gate::new).transpose()?;
        let output = self.lane.output(key.0.as_str())?;
        let alone = self.supervisor.has_dependents(key.0.as_str());
        let (batches, bytes) = (&mut self.births.batches, spawn::bytes_for(prepared));
        let (number, batch) = match batches.place(bytes, alone, &self.poll, now) {
            Ok(place) => place,
            Err(error) => {
                self.lane.keep(key.0.as_str(), output, now);
                return Err(error);
            }
        };
        let sockets = match role {
            Role::First => self.activations.fds(&key.0),
            Role::Stop | Role::Reload | Role::Pre(_) | Role::Post(_) | Role::StopPost(_) => {
                Vec::new()
            }
        };
        let out = Some(output.fifo.as_fd());
        let given = Given { sockets: &sockets, gate: gate.as_ref(), is_marked };
        let child = spawn::spawn_with(batch, prepared, dir.as_fd(), out, given, how);
        self.lane.keep(key.0.as_str(), output, now);
        if let Ok(child) = &child {
            batches.born(number, child.pid, child.line, key.clone(), role);
            self.births.owners.insert(child.pid, key.clone());
        }
        if alone {
            batches.seal_one(number, &self.poll);
        }
        child.map(|child| Newborn { pid: child.pid, dir, gate, is_run })
    }

    /// Tells the rules of every child of a batch, if it is over.
    pub(super) fn take_batch(&mut self, number: u32, now: Moment) {
        for pid in self.births.batches.over(number) {
            self.take_report(pid, now);
        }
    }

    /// Tells the rules of children that have executed though their batch is not over.
    pub(super) fn take_late_reports(&mut self, now: Moment) {
        for pid in self.births.batches.late(now) {
            self.take_report(pid, now);
        }
    }

    /// Reads what a child reported that has executed or ended, and tells the rules.
    pub(super) fn take_report(&mut self, pid: Pid, now: Moment) {
        let Some((birth, report)) = self.births.batches.take(pid, &self.poll) else { return };
        let (key, role) = (birth.of, birth.role);
        let event = match report {
            Report::Pending => return,
            Report::Executed => Event::Executed { role },
            Report::Failed { stage, errno } => Event::SpawnFailed {
                role,
                reason: self.failure(&key.0, role, stage, errno),
                passing: is_passing(errno),
            },
            Report::KilledAtBirth => return self.born_dead(&key, role, pid, now),
        };
        self.supervisor.handle(key.0.as_str(), key.1, event, now);
    }

    /// What failed, with whom or where, and why.
    fn failure(&self, name: &UnitName, role: Role, stage: Stage, errno: Errno) -> String {
        let unit = self.supervisor.service(name.as_str()).map(|service| service.unit());
        let process = unit.map(|unit| &unit.process);
        let path = |path: &Path| path.display().to_string();
        let what = match stage {
            Stage::Executing => unit.and_then(|unit| argv(unit, role).first().cloned()),
            Stage::SettingUser => process.and_then(|process| process.user.clone()),
            Stage::ChangingDirectory => process.and_then(|p| p.working_dir.as_deref().map(path)),
            Stage::OpeningTerminal => process.and_then(|process| match &process.stdin {
                Stdin::Tty(tty) => Some(path(tty)),
                Stdin::Null => None,
            }),
            _ => None,
        };
        let what = what.map(|what| format!(" {what}")).unwrap_or_default();
        format!("{}{what}: {}", stage.words(), errno.desc())
    }

    /// A child was killed before it came to its program. If nobody here did that, the kernel did
    /// (law 2): look how children can be born now, and try once more in the way that always works.
    fn born_dead(&mut self, key: &Start, role: Role, pid: Pid, now: Moment) {
        let Some(service) = self.supervisor.service(key.0.as_str()) else { return };
        if self.how == How::WriteProcs || !is_waited_for(service, role, pid) {
            return;
        }
        let unit = Arc::clone(service.unit());
        log::warn!("{}: killed at birth; starting it again by way of cgroup.procs", key.0);
        self.how = spawn::probe(&self.tree);
        match self.bear_again(&unit, key, role, now) {
            Ok(newborn) => {
                self.births.void.insert(pid);
                self.take_newborn(newborn, key, role, now);
            }
            Err(why) => log::error!("{}: {why}; its start has failed", key.0),
        }
    }

    fn bear_again(
        &mut self,
        unit: &Unit,
        key: &Start,
        role: Role,
        now: Moment,
    ) -> Result<Newborn, String> {
        let program = self.program(unit, role)?;
        let prepared = Prepared::new(&program).map_err(|error| error.to_string())?;
        let prepared = match role {
            Role::First => self.readiness.pass_again(unit, &key.0, prepared)?,
            _ => prepared,
        };
        let dir = self.tree.open_leaf(key.0.as_str(), key.1).map_err(|error| error.to_string())?;
        let newborn = self.clone_into((key, dir), role, &prepared, How::WriteProcs, now);
        newborn.map_err(|error| error.to_string())
    }

    /// What the unit asks for, in the words of the kernel.
    pub(super) fn program(&self, unit: &Unit, role: Role) -> Result<Program, String> {
        let process = &unit.process;
        Ok(Program {
            argv: argv(unit, role),
            environment: self.environment(unit)?,
            working_dir: process.working_dir.clone().unwrap_or_else(|| "/".into()),
            user: process.user.clone(),
            group: process.group.clone(),
            umask: process.umask.unwrap_or(0o022),
            ulimits: process.ulimits.iter().map(|l| (l.resource, l.soft, l.hard)).collect(),
            nice: process.nice,
            oom_score_adj: process.oom_score_adj,
            tty: match (&process.stdin, role) {
                (Stdin::Tty(path), Role::First) => Some(path.clone()),
                (Stdin::Tty(_) | Stdin::Null, _) => None,
            },
            sockets: match (&unit.activation, role) {
                (Some(activation), Role::First) => names_of(activation),
                (None, Role::First)
                | (_, Role::Stop | Role::Reload)
                | (_, Role::Pre(_) | Role::Post(_) | Role::StopPost(_)) => Vec::new(),
            },
        })
    }

    /// The whole environment: nothing is inherited. Later sources win.
    fn environment(&self, unit: &Unit) -> Result<Vec<(String, String)>, String> {
        let mut all: Vec<(String, String)> = vec![
            ("PATH".into(), DEFAULT_PATH.into()),
            ("TREEWARD_UNIT".into(), unit.name.to_string()),
        ];
        if let Some(user) = &unit.process.user {
            let user = program::lookup_user(user).map_err(|error| error.to_string())?;
            let text = |path: &Path| path.to_string_lossy().into_owned();
            set(&mut all, "HOME", text(&user.home));
            set(&mut all, "SHELL", text(&user.shell));
            set(&mut all, "USER", user.name.clone());
            set(&mut all, "LOGNAME", user.name);
        }
        if unit.kind == Kind::Notify || *unit.ready() == Ready::Notify || unit.watchdog.is_some() {
            let socket = self.options.lane.run_dir.join("notify");
            set(&mut all, "NOTIFY_SOCKET", socket.to_string_lossy().into_owned());
        }
        if let Some(watchdog) = unit.watchdog {
            // Without WATCHDOG_PID, because any process of the service may speak for it
            // (sd_watchdog_enabled(3)).
            let micros = watchdog.limit.saturating_mul(1_000);
            set(&mut all, "WATCHDOG_USEC", micros.to_string());
        }
        for file in &unit.process.env_files {
            match env_file::read(&file.path) {
                Ok(pairs) => {
                    pairs.into_iter().for_each(|(name, value)| set(&mut all, &name, value))
                }
                Err(None) if !file.required => {}
                Err(None) => return Err(format!("env_file {}: no such file", file.path.display())),
                Err(Some(why)) => return Err(format!("env_file {}: {why}", file.path.display())),
            }
        }
        for (name, value) in &unit.process.environment {
            set(&mut all, name, value.clone());
        }
        // How it ended is a fact that no unit file overrules.
        let service = self.supervisor.service(unit.name.as_str());
        if let Some(State::Clearing { over, .. }) = service.map(Service::state) {
            for (name, value) in over.environment() {
                set(&mut all, name, value);
            }
        }
        Ok(all)
    }
}

/// Whether the service goes on only once this process has come to its program: nobody here has
/// ended it.
fn is_waited_for(service: &Service, role: Role, pid: Pid) -> bool {
    let Some(life) = service.life() else { return false };
    let is_its_command = life.control == Control::Running(pid);
    match (role, service.state()) {
        (Role::Stop, State::Stopping { .. })
        | (Role::Reload, State::Reloading { .. })
        | (Role::Post(_), State::Finishing { .. }) => is_its_command,
        (Role::StopPost(_), State::Clearing { killed, .. }) => killed.is_none(),
        (Role::Pre(_) | Role::Post(_) | Role::First, State::Preparing { .. })
        | (Role::First, State::Starting { .. }) => true,
        _ => false,
    }
}

/// The names of the sockets, in their order.
fn names_of(activation: &Activation) -> Vec<String> {
    activation.sockets.iter().map(|socket| socket.name.clone()).collect()
}

fn argv(unit: &Unit, role: Role) -> Vec<String> {
    match (role, &unit.stop.command, unit.reload.as_deref(), hooks::of_role(unit, role)) {
        (Role::Stop, Some(command), ..) => command.clone(),
        (Role::Reload, _, Some(Reload::Command(command)), _) => command.clone(),
        (_, _, _, Some(hook)) => hook.command.clone(),
        (_, _, _, None) => unit.command.to_vec(),
    }
}

fn set(all: &mut Vec<(String, String)>, name: &str, value: String) {
    match all.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value,
        None => all.push((name.to_owned(), value)),
    }
}
