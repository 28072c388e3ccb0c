//! Into a living guest: other programs in all of its namespaces.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, chdir};

use super::end::status_of;
use super::{Failure, say};
use crate::kernel::guest_mounts::{enter_root, root_of};
use crate::kernel::leaf::Leaf;
use crate::kernel::namespaces::{self, Held};
use crate::kernel::poll::Poll;
use crate::kernel::signals::Signals;
use crate::kernel::subgroups::Entrance;
use crate::kernel::{Error, pidfd, process, reap};
use crate::words::words_of;

/// Where programs are found in a guest.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why nobody could go in.
#[derive(Debug, thiserror::Error)]
pub enum NoEntry {
    /// None of the processes is process 1 of a pid namespace.
    #[error(
        "there is no guest in it: none of its processes is process 1 of a namespace of its own"
    )]
    NoGuest,
    /// Namespaces are joined by root only.
    #[error("only root may enter a guest")]
    NotRoot,
    /// The kernel refused, or the guest has just ended.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Runs a command in the guest that lives in these processes, on our own terminal, and gives its
/// exit status: 128+S when signal S ended it, 126 or 127 when it cannot be executed. Without
/// a command it is root's login shell in there.
///
/// The caller must have one thread. Afterwards it is in the guest's namespaces itself.
///
/// # Errors
/// [`NoEntry`]
pub fn run(processes: &[u32], command: &[OsString]) -> Result<u8, NoEntry> {
    if !Uid::effective().is_root() {
        return Err(NoEntry::NotRoot);
    }
    let init = processes.iter().find(|pid| namespaces::is_init_of_guest(**pid));
    let way = Way::to(*init.ok_or(NoEntry::NoGuest)?)?;
    // The terminal sends the first two to the command as well, which decides what they mean.
    let caught = [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP];
    let mut signals = Signals::new(&caught)?;
    let child = way.start(command)?;
    Ok(wait(child, &mut signals)?)
}

/// Runs a shell command in the guest with this init, beside everything else.
pub fn run_beside(init: u32, command: &str) -> Result<(), Failure> {
    if namespaces::fork()?.is_some() {
        return Ok(());
    }
    namespaces::reset_signals();
    let command = ["/bin/sh", "-c", command].map(OsString::from);
    let ended = namespaces::die_with_parent().and_then(|()| Way::to(init)).and_then(|way| {
        let child = way.start(&command)?;
        reap::bury_when_ended(child)
    });
    match ended {
        Ok(exit) if status_of(exit) != 0 => say(&format!("the stop command ended with {exit:?}")),
        Ok(_) => {}
        Err(error) => say(&format!("the stop command cannot be run: {error}")),
    }
    std::process::exit(0);
}

/// All that must be opened outside before anything inside can be joined.
struct Way {
    namespaces: Vec<Held>,
    root: OwnedFd,
    /// Beside the guest and not in it, so that the guest's own cgroups stay its own.
    cgroup: Option<Entrance>,
    container: Option<String>,
}

impl Way {
    fn to(init: u32) -> Result<Self, Error> {
        // The number is that of a process that lives; should it be another by the end, something
        // below does not fit, or it is a guest as well.
        let held = pidfd::open(init)?;
        let way = Self {
            namespaces: namespaces::foreign(init)?,
            root: root_of(init)?,
            cgroup: entrance_beside(init),
            container: variable(init, "container"),
        };
        match held {
            Some(held) if !pidfd::has_ended(&held) => Ok(way),
            _ => Err(Error::new("enter", format!("process {init}"), nix::errno::Errno::ESRCH)),
        }
    }

    /// Goes in, and starts the command there as a child.
    fn start(&self, command: &[OsString]) -> Result<u32, Error> {
        self.namespaces.iter().try_for_each(Held::join)?;
        enter_root(&self.root)?;
        if let Some(child) = namespaces::fork()? {
            return Ok(child);
        }
        if let Some(Err(error)) = self.cgroup.as_ref().map(Entrance::enter) {
            say(&format!("{error}: the command is not stopped with the unit"));
        }
        namespaces::reset_signals();
        let mut command = self.command(command);
        let error = command.exec();
        let why = words_of(&error);
        say(&format!("cannot execute {:?} in the guest: {why}", command.get_program()));
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        std::process::exit(if missing { 127 } else { 126 });
    }

    fn command(&self, words: &[OsString]) -> Command {
        let root = Root::look();
        let mut command = match words.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
            None => {
                let mut command = Command::new(&root.shell);
                let name = Path::new(&root.shell).file_name().unwrap_or(OsStr::new("sh"));
                // login(1): the hyphen makes it a login shell.
                let mut login = OsString::from("-");
                login.push(name);
                command.arg0(login);
                command
            }
        };
        command.env_clear().env("PATH", PATH).env("HOME", &root.home).env("SHELL", &root.shell);
        command.env("USER", "root").env("LOGNAME", "root");
        command.envs(std::env::var_os("TERM").map(|term| ("TERM", term)));
        command.envs(self.container.iter().map(|value| ("container", value)));
        let _ = chdir(Path::new(&root.home)).or_else(|_| chdir("/"));
        command
    }
}

/// root's account in the guest. Its /etc/passwd is read by hand: the C library would load the
/// guest's modules for names into this process.
struct Root {
    home: String,
    shell: String,
}

impl Root {
    fn look() -> Self {
        Self::parse(&fs::read_to_string("/etc/passwd").unwrap_or_default())
    }

    fn parse(passwd: &str) -> Self {
        let line = passwd.lines().find(|line| line.starts_with("root:")).unwrap_or_default();
        let fields: Vec<&str> = line.split(':').collect();
        let field = |at: usize, default: &str| {
            let found = fields.get(at).filter(|text| !text.is_empty());
            found.map_or(default, |text| text).to_owned()
        };
        Self { home: field(5, "/"), shell: field(6, "/bin/sh") }
    }
}

/// The way into the cgroup of the init's parent: that of run-on-pid-ns.
fn entrance_beside(init: u32) -> Option<Entrance> {
    let parent = process::read(init)?.parent;
    Leaf::of_process(parent)?.entrance().ok()
}

fn variable(pid: u32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut words = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    words.find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

/// Waits for the command. What comes from the terminal it has got itself.
fn wait(child: u32, signals: &mut Signals) -> Result<u8, Error> {
    let gone = || Error::new("pidfd_open", "the command", nix::errno::Errno::ESRCH);
    let pidfd = pidfd::open(child)?.ok_or_else(gone)?;
    let mut poll = Poll::new()?;
    poll.add(&*signals, 0)?;
    poll.add(&pidfd, 1)?;
    let mut ready = Vec::new();
    loop {
        poll.wait(None, &mut ready)?;
        for signal in signals.pending() {
            if matches!(signal, libc::SIGTERM | libc::SIGHUP) {
                // The one that is gone needs no signal.
                let _ = pidfd::send_signal(&pidfd, signal);
            }
        }
        if let Some(exit) = reap::bury(child) {
            return Ok(status_of(exit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Root;

    #[test]
    fn a_guest_without_accounts_has_a_shell_all_the_same() {
        let root = Root::parse("daemon:x:1:1::/:/x\nroot:x:0:0:root:/root:/bin/bash\n");
        assert_eq!((root.home.as_str(), root.shell.as_str()), ("/root", "/bin/bash"));
        for passwd in ["", "root", "root:x:0:0:root::"] {
            let root = Root::parse(passwd);
            assert_eq!((root.home.as_str(), root.shell.as_str()), ("/", "/bin/sh"), "{passwd}");
        }
    }
}
