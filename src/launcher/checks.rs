//! Checks: looks at a service from outside, for its readiness and its health.
//!
//! Ports and pages are looked at by sockets that the loop polls. A command runs in a cgroup of its
//! own beside the leaf, `services/UNIT/START.check.NUMBER.TIME.TOKEN`. So it never counts as the
//! service: one whose only living process is its check is not alive. It has the unit's limits, because
//! those are set on the cgroup above both. It is ended by killing that cgroup, which touches nobody
//! else, and none is used twice (the kernel kills what is born in one that was killed). A supervisor
//! that takes over kills and removes what it finds there.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, read};

use super::chores::Chore;
use super::leaves::Start;
use super::perform::pid_in_file;
use super::{Launcher, Token};
use crate::kernel::leaf::Leaf;
use crate::kernel::probe::{Probe, Progress, Wait};
use crate::kernel::program::Prepared;
use crate::kernel::report::{Batch, Line, Report};
use crate::kernel::spawn::{self, How};
use crate::supervision::name::UnitName;
use crate::supervision::unit::{self, Ready, Unit};
use crate::supervision::why::Exit;
use crate::supervision::{Event, Moment, Pid, Purpose, Role};

/// Bytes of a check's output that are read in one turn.
const READ_BYTES: usize = 16 * 1024;
/// A check that writes more than this is not read any further, and so comes to a halt.
const MOST_OUTPUT: usize = 1024 * 1024;
/// The end of a check's output that is kept to show its last line, in bytes.
const KEPT_OUTPUT: usize = 1024;

/// Checks that are on their way.
#[derive(Debug, Default)]
pub struct Checks {
    commands: HashMap<Pid, Command>,
    looks: HashMap<u32, Look>,
    /// Whose descriptor has this number in its token.
    outputs: HashMap<u32, Pid>,
    last_token: u32,
    /// Cgroups that are being removed, of each unit.
    leaving: HashMap<UnitName, usize>,
}

/// Which check it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Which {
    of: Start,
    number: u32,
}

/// A command.
#[derive(Debug)]
struct Command {
    which: Which,
    purpose: Purpose,
    /// It was killed because nobody wants to know any more, or because it takes too long.
    ended: bool,
    leaf: Leaf,
    batch: Batch,
    line: Line,
    output: Option<(u32, OwnedFd)>,
    read: usize,
    tail: Vec<u8>,
}

/// A look at a port or a page.
#[derive(Debug)]
struct Look {
    which: Which,
    probe: Probe,
}

impl Checks {
    /// Whether nothing of any check is left.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.leaving.is_empty()
    }

    /// Whether a cgroup of a check of this unit is left.
    pub fn is_busy(&self, name: &UnitName) -> bool {
        self.leaving.contains_key(name)
            || self.commands.values().any(|command| command.which.of.0 == *name)
    }

    /// A cgroup of a check is gone, or cannot be removed.
    pub fn swept(&mut self, name: &UnitName) {
        if let Some(count) = self.leaving.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.leaving.remove(name);
            }
        }
    }

    const fn next_token(&mut self) -> u32 {
        self.last_token = self.last_token.wrapping_add(1);
        self.last_token
    }
}

impl Launcher {
    /// Begins a check. What is over at once is answered at once.
    pub(super) fn begin_check(
        &mut self,
        unit: &Unit,
        start: u64,
        purpose: Purpose,
        number: u32,
        now: Moment,
    ) {
        let probe = match (purpose, unit.ready(), &unit.health) {
            (Purpose::Ready, Ready::Polled(polled), _) => &polled.probe,
            (Purpose::Health, _, Some(check)) => &check.probe,
            (Purpose::Ready | Purpose::Health, ..) => return,
        };
        let which = Which { of: (unit.name.clone(), start), number };
        let begun = match probe {
            unit::Probe::PidFile => {
                let result = self.look_for_pid_file(&which.of, now);
                return self.answer(&which, result, now);
            }
            unit::Probe::Tcp(address) => {
                let probe = resolve(address).and_then(Probe::connect);
                probe.and_then(|probe| self.look(&which, probe))
            }
            unit::Probe::Http(page) => {
                let address = resolve(&page.address);
                let probe = address.and_then(|at| Probe::get(at, &page.host, &page.path));
                probe.and_then(|probe| self.look(&which, probe))
            }
            unit::Probe::Command(argv) => self.run_check(unit, (&which, purpose), argv, now),
        };
        if let Err(reason) = begun {
            self.answer(&which, Err(reason), now);
        }
    }

    fn answer(&mut self, Which { of, number }: &Which, result: Result<(), String>, now: Moment) {
        let event = Event::Checked { number: *number, result };
        self.supervisor.handle(of.0.as_str(), of.1, event, now);
    }

    fn look_for_pid_file(&mut self, (name, start): &Start, now: Moment) -> Result<(), String> {
        let service = self.supervisor.service(name.as_str());
        let path = service.and_then(|service| service.unit().pid_file.as_ref());
        let (Some(path), Some(entry)) = (path, self.leaves.get(name, *start)) else {
            return Err("there is no PID file to look at".into());
        };
        let Some(pid) = pid_in_file(path, &entry.leaf(&self.tree))? else {
            return Err(format!("{} is not there", path.display()));
        };
        let found = Event::MainFound { main: Some(pid), certain: true };
        self.supervisor.handle(name.as_str(), *start, found, now);
        Ok(())
    }

    fn look(&mut self, which: &Which, probe: Probe) -> Result<(), String> {
        let token = self.checks.next_token();
        self.wait_for(&probe, probe.first_wait(), token)?;
        self.checks.looks.insert(token, Look { which: which.clone(), probe });
        Ok(())
    }

    fn wait_for(&self, probe: &Probe, wait: Wait, token: u32) -> Result<(), String> {
        let token = Token::Check(token).number();
        let added = match wait {
            Wait::ToWrite => self.poll.add_to_write(probe, token),
            Wait::ToRead => self.poll.add(probe, token),
        };
        added.map_err(|error| error.to_string())
    }

    /// Starts a command beside the leaf.
    fn run_check(
        &mut self,
        unit: &Unit,
        (which, purpose): (&Which, Purpose),
        argv: &[String],
        now: Moment,
    ) -> Result<(), String> {
        let (name, start) = (&which.of.0, which.of.1);
        let mut program = self.program(unit, Role::Reload)?;
        program.argv = argv.to_vec();
        // A check has nothing to say in the service's name, and would not be believed.
        program.environment.retain(|(key, _)| key != "NOTIFY_SOCKET" && key != "WATCHDOG_USEC");
        let prepared = Prepared::new(&program).map_err(|error| error.to_string())?;
        let mut batch =
            Batch::new(spawn::bytes_for(&prepared)).map_err(|error| error.to_string())?;
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC).map_err(no_pipe)?;
        fcntl(&reading, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(no_pipe)?;
        let token = self.checks.next_token();
        // An earlier supervisor may have counted as far, and what it left is not removed yet; and one
        // check may be made twice.
        let beside = format!("{start}.check.{}.{now}.{token}", which.number);
        let leaf = self.tree.make_beside(name.as_str(), &beside);
        let leaf = leaf.map_err(|error| error.to_string())?;
        let child = leaf.open().and_then(|dir| {
            spawn::spawn(&mut batch, &prepared, dir.as_fd(), Some(writing.as_fd()), self.how)
        });
        batch.seal();
        let child = match child {
            Ok(child) => child,
            Err(error) => {
                self.sweep(name, leaf);
                return Err(error.to_string());
            }
        };
        let output = match self.poll.add(&reading, Token::Check(token).number()) {
            Ok(()) => Some((token, reading)),
            // Its output is read at its end, if it comes to that.
            Err(error) => {
                log::warn!("{name}: {error}");
                None
            }
        };
        self.checks.outputs.insert(token, child.pid);
        let (which, line) = (which.clone(), child.line);
        let (ended, read, tail) = (false, 0, Vec::new());
        let command = Command { which, purpose, ended, leaf, batch, line, output, read, tail };
        self.checks.commands.insert(child.pid, command);
        Ok(())
    }

    /// A descriptor of a check is ready.
    pub(super) fn take_check(&mut self, token: u32, now: Moment) {
        if let Some(pid) = self.checks.outputs.get(&token) {
            if let Some(command) = self.checks.commands.get_mut(pid)
                && !command.read_some()
                && let Some((_, output)) = command.output.take()
            {
                self.poll.remove(&output);
                if command.read >= MOST_OUTPUT {
                    // Kept, so that the check comes to a halt and not to a SIGPIPE.
                    command.output = Some((token, output));
                }
            }
            return;
        }
        let Some(mut look) = self.checks.looks.remove(&token) else { return };
        match look.probe.advance() {
            Progress::Pending(wait) => {
                self.poll.remove(&look.probe);
                match self.wait_for(&look.probe, wait, token) {
                    Ok(()) => {
                        self.checks.looks.insert(token, look);
                    }
                    Err(reason) => self.answer(&look.which, Err(reason), now),
                }
            }
            Progress::Over(result) => {
                self.poll.remove(&look.probe);
                self.answer(&look.which, result, now);
            }
        }
    }

    /// Ends a check of which nobody wants to know any more, or that takes too long.
    pub(super) fn end_check(&mut self, name: &UnitName, start: u64, number: u32, now: Moment) {
        let is_it =
            |which: &Which| which.of.0 == *name && which.of.1 == start && which.number == number;
        let look = self.checks.looks.iter().find(|(_, look)| is_it(&look.which));
        if let Some(token) = look.map(|(token, _)| *token)
            && let Some(look) = self.checks.looks.remove(&token)
        {
            self.poll.remove(&look.probe);
            self.answer(&look.which, Err("no answer came".into()), now);
        }
        if let Some(command) = self.checks.commands.values_mut().find(|it| is_it(&it.which)) {
            command.ended = true;
            let leaf = command.leaf.clone();
            self.kill_check(&leaf);
        }
    }

    fn kill_check(&self, leaf: &Leaf) {
        if !leaf.has_kill() {
            self.chores.add(Chore::KillByFreezing { leaf: leaf.clone() });
        } else if let Err(error) = leaf.kill() {
            log::error!("{error}; the check goes on");
        }
    }

    /// A child was buried. Gives whether it was a check.
    pub(super) fn check_ended(&mut self, pid: Pid, exit: Exit, now: Moment) -> bool {
        let Some(mut command) = self.checks.commands.remove(&pid) else { return false };
        while command.read_some() {}
        if let Some((token, output)) = command.output.take() {
            self.checks.outputs.remove(&token);
            self.poll.remove(&output);
        }
        self.checks.outputs.retain(|_, of| *of != pid);
        let report = command.batch.report(command.line, true);
        if report == Report::KilledAtBirth && !command.ended && self.check_again(&command, now) {
            return true;
        }
        let result = match report {
            Report::Failed { stage, errno } => {
                Err(format!("failed while {}: {}", stage.words(), errno.desc()))
            }
            _ if exit.is_success() => Ok(()),
            _ => Err(match last_line(&command.tail) {
                line if line.is_empty() => exit.to_string(),
                line => format!("{exit}: {line}"),
            }),
        };
        let Which { of: (name, _), .. } = &command.which;
        self.sweep(name, command.leaf.clone());
        self.answer(&command.which, result, now);
        true
    }

    /// A check was killed before it came to its program, and nobody here did that: it says nothing
    /// of the service, and is made once more in the way that always works (law 2). Gives whether it
    /// is.
    fn check_again(&mut self, command: &Command, now: Moment) -> bool {
        let Which { of: (name, start), number } = &command.which;
        let service = self.supervisor.service(name.as_str());
        let Some(service) = service.filter(|_| self.how == How::IntoCgroup) else { return false };
        let unit = Arc::clone(service.unit());
        self.how = spawn::probe(&self.tree);
        if self.how == How::IntoCgroup {
            return false;
        }
        log::warn!("{name}: its check was killed at birth; it is made again");
        self.sweep(name, command.leaf.clone());
        self.begin_check(&unit, *start, command.purpose, *number, now);
        true
    }

    /// Kills what a check has left behind, and removes its cgroup.
    pub(super) fn sweep(&mut self, name: &UnitName, leaf: Leaf) {
        if leaf.populated().unwrap_or(true) {
            self.kill_check(&leaf);
        }
        *self.checks.leaving.entry(name.clone()).or_insert(0) += 1;
        self.chores.add(Chore::Sweep { name: name.clone(), leaf });
    }

    /// Kills and removes what checks of an earlier supervisor have left.
    pub(super) fn sweep_all(&mut self, groups: &[String]) {
        for (group, leaf) in self.tree.left_beside(groups) {
            if let Ok(name) = UnitName::new(&group) {
                self.sweep(&name, leaf);
            }
        }
    }
}

impl Command {
    /// Reads a piece of the output. Gives whether there may be more.
    fn read_some(&mut self) -> bool {
        let Some((_, output)) = &self.output else { return false };
        if self.read >= MOST_OUTPUT {
            return false;
        }
        let mut piece = vec![0; READ_BYTES];
        match read(output, &mut piece) {
            Ok(0) | Err(Errno::EAGAIN) => false,
            Ok(count) => {
                self.read += count;
                self.tail.extend_from_slice(piece.get(..count).unwrap_or_default());
                let cut = self.tail.len().saturating_sub(KEPT_OUTPUT);
                self.tail.drain(..cut);
                true
            }
            Err(Errno::EINTR) => true,
            Err(_) => false,
        }
    }
}

/// The last line that is not empty, safe to print.
fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    crate::journal::clean(line.unwrap_or_default().as_bytes()).into_owned()
}

fn resolve(address: &unit::Address) -> Result<SocketAddr, String> {
    let ip: Result<IpAddr, _> = address.ip.parse();
    ip.map(|ip| SocketAddr::new(ip, address.port)).map_err(|_| format!("{address} is no address"))
}

fn no_pipe(errno: Errno) -> String {
    format!("cannot make a pipe: {}", errno.desc())
}
