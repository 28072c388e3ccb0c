//! What the child does between the fork and the guest's init.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{sethostname, setsid};

use super::options::{Options, Share};
use super::{Failure, NOT_SET_UP, files};
use crate::kernel::Error;
use crate::kernel::namespaces::{self, Capability, Kind};
use crate::kernel::subgroups::Entrance;
use crate::words::words_of;

/// Variables that name sockets and files of the host, or speak of a process that this is not.
const NOT_INHERITED: [&str; 12] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "MAINPID",
    "DBUS_SESSION_BUS_ADDRESS",
    "XDG_RUNTIME_DIR",
    "container",
];

/// Makes of this process the guest's init; comes back only when that fails. `tell` is the pipe to
/// the parent.
pub fn become_guest(options: &Options, payload: Option<&Entrance>, tell: &File) -> Failure {
    match prepare(options, payload, tell) {
        Ok(command) => execute(command),
        Err(failure) => failure,
    }
}

/// The order matters: the cgroup namespace begins where the process is when it is made, and mounts
/// are private before the first of them is touched.
fn prepare(options: &Options, payload: Option<&Entrance>, tell: &File) -> Result<Command, Failure> {
    namespaces::reset_signals();
    namespaces::die_with_parent()?;
    if is_orphan(tell) {
        std::process::exit(NOT_SET_UP.into());
    }
    if !options.terminal {
        // It cannot fail: a newborn leads no process group.
        let _ = setsid();
    }
    if let Some(payload) = payload {
        payload.enter()?;
    }
    for (what, kind) in [
        (Share::Cgroup, Kind::Cgroup),
        (Share::Uts, Kind::Uts),
        (Share::Ipc, Kind::Ipc),
        (Share::Mount, Kind::Mount),
    ] {
        // Without a cgroup of its own the guest's tree would begin at the machine's.
        if options.owns(what) && !(kind == Kind::Cgroup && payload.is_none()) {
            namespaces::leave(kind)?;
        }
    }
    if options.private_network {
        namespaces::leave(Kind::Network)?;
    }
    let mut environment = inherited();
    if options.owns(Share::Mount) {
        files::lay_out(options, payload.is_some())?;
        files::notify_variable(options, &mut environment);
    }
    if let Some(name) = &options.hostname {
        sethostname(name).map_err(|errno| Error::new("set the host name to", name, errno))?;
    }
    give_up_capabilities(options)?;
    if let Some(container) = options.container() {
        environment.push(("container".to_owned(), container.to_owned()));
    }
    environment.extend(options.setenv.iter().cloned());
    let (program, arguments) = options
        .command
        .split_first()
        .ok_or_else(|| Failure { text: "the command is empty".to_owned(), status: NOT_SET_UP })?;
    let mut command = Command::new(program);
    // An init begins there; where we were started may be out of sight.
    command.args(arguments).env_clear().envs(environment).current_dir("/");
    Ok(command)
}

/// Whether the parent went before it was told to take us along: nobody reads the pipe any more.
fn is_orphan(tell: &File) -> bool {
    let mut fds = [PollFd::new(tell.as_fd(), PollFlags::empty())];
    let _ = poll(&mut fds, PollTimeout::ZERO);
    fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}

fn inherited() -> Vec<(String, String)> {
    let all = std::env::vars_os();
    let text =
        all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    text.filter(|(name, _)| !NOT_INHERITED.contains(&name.as_str())).collect()
}

/// These reach the machine through every namespace, and reboot(2) does where there is no pid
/// namespace to contain it.
fn give_up_capabilities(options: &Options) -> Result<(), Error> {
    if options.owns(Share::Capabilities) {
        for capability in [Capability::SysModule, Capability::SysRawio, Capability::SysTime] {
            namespaces::give_up(capability)?;
        }
    }
    if !options.owns(Share::Pid) {
        namespaces::give_up(Capability::SysBoot)?;
    }
    Ok(())
}

fn execute(mut command: Command) -> Failure {
    let error = command.exec();
    let status = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
    let why = words_of(&error);
    Failure { text: format!("cannot execute {:?}: {why}", command.get_program()), status }
}
