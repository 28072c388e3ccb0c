//! Starting processes: from a unit to a child in its leaf, and what becomes of the start.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;

use super::leaves::Start;
use super::{Launcher, Token};
use crate::kernel::files;
use crate::kernel::poll::Interest;
use crate::kernel::program::{self, Prepared, Program};
use crate::kernel::report::{Report, ReportReader, Stage};
use crate::kernel::spawn::{self, Child, How};
use crate::supervision::name::UnitName;
use crate::supervision::status::StateWord;
use crate::supervision::unit::{Kind, Reload, Stdin, Unit};
use crate::supervision::{Event, Moment, Pid, Role};

/// The PATH of a service that does not set its own.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The largest file of environment variables, in bytes.
const MAX_ENV_FILE: usize = 256 * 1024;

/// Children of ours, until they are buried.
#[derive(Debug, Default)]
pub struct Births {
    /// On their way to their program.
    open: HashMap<Pid, (Start, Role, ReportReader)>,
    /// Whose they are, when that is known without a look at /proc.
    owners: HashMap<Pid, Start>,
    /// Killed at birth by the kernel and started again: their ends mean nothing.
    void: HashSet<Pid>,
}

impl Births {
    /// Whose child this is, if we spawned it.
    pub fn owner(&self, pid: Pid) -> Option<&Start> {
        self.owners.get(&pid)
    }

    /// Forgets a child that is buried. Gives whether its end means nothing.
    pub fn bury(&mut self, pid: Pid) -> bool {
        self.owners.remove(&pid);
        self.void.remove(&pid)
    }

    /// Whether the child has not reported yet.
    pub fn is_open(&self, pid: Pid) -> bool {
        self.open.contains_key(&pid)
    }
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
        let event = match self.give_birth(unit, &key, role, now) {
            Ok(pid) => Event::Spawned { role, pid },
            Err(NotSpawned { reason, passing }) => Event::SpawnFailed { role, reason, passing },
        };
        self.supervisor.handle(unit.name.as_str(), start, event, now);
    }

    fn give_birth(
        &mut self,
        unit: &Unit,
        key: &Start,
        role: Role,
        now: Moment,
    ) -> Result<Pid, NotSpawned> {
        let passing = |reason: String| NotSpawned { reason, passing: false };
        if self.leaves.get(&key.0, key.1).is_none() {
            let leaf =
                self.tree.make_leaf(key.0.as_str(), key.1).map_err(|e| NotSpawned::of(&e))?;
            self.leaves.add(key, leaf, &self.leaf_events);
            self.set_limits(unit);
            if unit.delegate {
                self.delegate(unit, key)?;
            }
        }
        let program = self.program(unit, role).map_err(passing)?;
        let prepared = Prepared::new(&program).map_err(|error| passing(error.to_string()))?;
        let output =
            self.lane.output(unit.name.as_str(), now).map_err(|error| NotSpawned::of(&error))?;
        let child = self.clone_into(key, &prepared, &output, self.how)?;
        Ok(self.watch_birth(key, role, child))
    }

    /// Hands the leaf over to the service.
    fn delegate(&self, unit: &Unit, key: &Start) -> Result<(), NotSpawned> {
        self.tree.hand_down_controllers(key.0.as_str());
        let Some(entry) = self.leaves.get(&key.0, key.1) else { return Ok(()) };
        let owner = match &unit.process.user {
            Some(user) => Some(
                program::lookup_user(user)
                    .map_err(|error| NotSpawned { reason: error.to_string(), passing: false })?,
            ),
            None => None,
        };
        let Some(owner) = owner else { return Ok(()) };
        entry.leaf.give_to(owner.uid, owner.gid).map_err(|error| NotSpawned::of(&error))
    }

    fn clone_into(
        &self,
        key: &Start,
        prepared: &Prepared,
        output: &OwnedFd,
        how: How,
    ) -> Result<Child, NotSpawned> {
        use std::os::fd::AsFd;
        let Some(entry) = self.leaves.get(&key.0, key.1) else {
            return Err(NotSpawned { reason: "the leaf is gone".into(), passing: true });
        };
        let dir = entry.leaf.open().map_err(|error| NotSpawned::of(&error))?;
        spawn::spawn(prepared, dir.as_fd(), Some(output.as_fd()), how)
            .map_err(|error| NotSpawned::of(&error))
    }

    fn watch_birth(&mut self, key: &Start, role: Role, child: Child) -> Pid {
        let token = Token::Birth(child.pid).number();
        if let Err(error) = self.poll.add(&child.report, token, Interest::Read) {
            log::error!("{error}");
        }
        self.births.owners.insert(child.pid, key.clone());
        self.births.open.insert(child.pid, (key.clone(), role, child.report));
        child.pid
    }

    /// Reads what a child reported and tells the rules.
    pub(super) fn take_report(&mut self, pid: Pid, now: Moment) {
        let Some((key, role, report)) = self.births.open.get_mut(&pid) else { return };
        let (key, role) = (key.clone(), *role);
        let event = match report.read() {
            Report::Pending => return,
            Report::Executed => Event::Executed { role },
            Report::Failed { stage, errno } => Event::SpawnFailed {
                role,
                reason: self.failure(&key.0, role, stage, errno),
                passing: is_passing(errno),
            },
            Report::KilledAtBirth => {
                self.forget_birth(pid);
                self.born_dead(&key, role, pid, now);
                return;
            }
        };
        self.forget_birth(pid);
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

    fn forget_birth(&mut self, pid: Pid) {
        if let Some((.., report)) = self.births.open.remove(&pid) {
            self.poll.remove(&report);
        }
    }

    /// A child was killed before it came to its program. If nobody here did that, the kernel did
    /// (law 2): look how children can be born now, and try once more in the way that always works.
    fn born_dead(&mut self, key: &Start, role: Role, pid: Pid, now: Moment) {
        let word = self.supervisor.service(key.0.as_str()).map(|service| service.word());
        if self.how == How::WriteProcs || word != Some(StateWord::Starting) {
            return;
        }
        log::warn!("{}: killed at birth; starting it again by way of cgroup.procs", key.0);
        self.how = spawn::probe(&self.tree);
        let Some(service) = self.supervisor.service(key.0.as_str()) else { return };
        let unit = service.unit().clone();
        let again = self.program(&unit, role).ok().and_then(|program| {
            let prepared = Prepared::new(&program).ok()?;
            let output = self.lane.output(unit.name.as_str(), now).ok()?;
            self.clone_into(key, &prepared, &output, How::WriteProcs).ok()
        });
        if let Some(child) = again {
            self.births.void.insert(pid);
            let pid = self.watch_birth(key, role, child);
            self.supervisor.handle(key.0.as_str(), key.1, Event::Spawned { role, pid }, now);
        }
    }

    /// What the unit asks for, in the words of the kernel.
    fn program(&self, unit: &Unit, role: Role) -> Result<Program, String> {
        let process = &unit.process;
        Ok(Program {
            argv: argv(unit, role).to_vec(),
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
        })
    }

    /// The whole environment: nothing is inherited. Later sources win.
    fn environment(&self, unit: &Unit) -> Result<Vec<(String, String)>, String> {
        let mut all: Vec<(String, String)> =
            vec![("PATH".into(), PATH.into()), ("TREEWARD_UNIT".into(), unit.name.to_string())];
        if let Some(user) = &unit.process.user {
            let user = program::lookup_user(user).map_err(|error| error.to_string())?;
            let text = |path: &Path| path.to_string_lossy().into_owned();
            set(&mut all, "HOME", text(&user.home));
            set(&mut all, "SHELL", text(&user.shell));
            set(&mut all, "USER", user.name.clone());
            set(&mut all, "LOGNAME", user.name);
        }
        if unit.kind == Kind::Notify {
            let socket = self.options.lane.run_dir.join("notify");
            set(&mut all, "NOTIFY_SOCKET", socket.to_string_lossy().into_owned());
        }
        for file in &unit.process.env_files {
            match read_env_file(&file.path) {
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
        Ok(all)
    }
}

fn argv(unit: &Unit, role: Role) -> &[String] {
    match (role, &unit.stop.command, &unit.reload) {
        (Role::Stop, Some(command), _) => command,
        (Role::Reload, _, Some(Reload::Command(command))) => command,
        (Role::First | Role::Stop | Role::Reload, ..) => &unit.command,
    }
}

fn set(all: &mut Vec<(String, String)>, name: &str, value: String) {
    match all.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value,
        None => all.push((name.to_owned(), value)),
    }
}

/// Reads lines of `NAME=value`; `#` starts a comment line, and a pair of quotes round the whole
/// value is taken off. `Err(None)` is a missing file.
fn read_env_file(path: &Path) -> Result<Vec<(String, String)>, Option<String>> {
    let bytes = files::read_small(path, MAX_ENV_FILE).map_err(|error| match error.errno() {
        Errno::ENOENT => None,
        _ => Some(error.to_string()),
    })?;
    parse_env_file(&String::from_utf8_lossy(&bytes)).map_err(Some)
}

fn parse_env_file(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let pair = line.strip_prefix("export ").unwrap_or(line).split_once('=');
        let Some((name, value)) = pair.filter(|(name, _)| !name.trim().is_empty()) else {
            return Err(format!("line {}: expected NAME=value", number + 1));
        };
        let value = value.trim();
        let unquoted =
            ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        pairs.push((name.trim().to_owned(), unquoted.unwrap_or(value).to_owned()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::parse_env_file;

    #[test]
    fn an_env_file_has_comments_quotes_and_nothing_else() {
        let text = "# comment\nA=1\n\nexport B=\"two words\"\nC='x=y'\nD=\n";
        let pairs = parse_env_file(text).unwrap();
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("A", "1"), ("B", "two words"), ("C", "x=y"), ("D", "")]);
        assert_eq!(parse_env_file("A=1\nnonsense\n").unwrap_err(), "line 2: expected NAME=value");
    }
}
