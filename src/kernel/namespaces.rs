//! Namespaces (namespaces(7)): new ones for this process or its children, and those of others.
//!
//! What is here is for programs of one thread, and refuses to work in others.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};

use super::{Error, errno_of, spawn, sys};

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Users and groups.
    User,
    /// Mounts.
    Mount,
    /// The names of the machine.
    Uts,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// What is the root of the cgroup tree.
    Cgroup,
    /// Network interfaces, addresses, ports and abstract sockets.
    Network,
    /// Process ids.
    Pid,
    /// The clocks that count from the machine's start (Linux 5.6).
    Time,
}

impl Kind {
    /// Every kind, in an order in which all of them can be joined.
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::Mount,
        Self::Uts,
        Self::Ipc,
        Self::Cgroup,
        Self::Network,
        Self::Pid,
        Self::Time,
    ];

    const fn flag(self) -> CloneFlags {
        match self {
            Self::User => CloneFlags::CLONE_NEWUSER,
            Self::Mount => CloneFlags::CLONE_NEWNS,
            Self::Uts => CloneFlags::CLONE_NEWUTS,
            Self::Ipc => CloneFlags::CLONE_NEWIPC,
            Self::Cgroup => CloneFlags::CLONE_NEWCGROUP,
            Self::Network => CloneFlags::CLONE_NEWNET,
            Self::Pid => CloneFlags::CLONE_NEWPID,
            // nix does not know it.
            Self::Time => CloneFlags::from_bits_retain(libc::CLONE_NEWTIME),
        }
    }

    /// Its file in `/proc/PID/ns`, which is also its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Mount => "mnt",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::Cgroup => "cgroup",
            Self::Network => "net",
            Self::Pid => "pid",
            Self::Time => "time",
        }
    }
}

/// Puts this process into a new namespace; with [`Kind::Pid`] and [`Kind::Time`] only its future
/// children.
///
/// # Errors
/// EINVAL when the kernel has no such namespaces, EPERM without the privilege.
pub fn leave(kind: Kind) -> Result<(), Error> {
    unshare(kind.flag()).map_err(|errno| Error::new("make a namespace", kind.name(), errno))
}

/// A namespace that is held open.
#[derive(Debug)]
pub struct Held {
    kind: Kind,
    file: File,
}

impl Held {
    /// Opens a namespace of a process; 0 means the caller.
    ///
    /// # Errors
    /// ENOENT when the process is gone, or the kernel has no such namespaces.
    pub fn of(pid: u32, kind: Kind) -> Result<Self, Error> {
        let path = path_of(pid, kind);
        let file = File::open(&path).map_err(|e| Error::io("open", path.as_ref(), &e))?;
        Ok(Self { kind, file })
    }

    /// Joins it; with [`Kind::Pid`] only the future children do.
    ///
    /// # Errors
    /// EPERM without the privilege.
    pub fn join(&self) -> Result<(), Error> {
        setns(&self.file, self.kind.flag())
            .map_err(|errno| Error::new("join the namespace", self.kind.name(), errno))
    }
}

/// Those namespaces of a process that are not the caller's own, in an order in which they can be
/// joined.
///
/// # Errors
/// When one of them cannot be opened: the process is gone, or may not be looked into.
pub fn foreign(pid: u32) -> Result<Vec<Held>, Error> {
    let mut held = Vec::new();
    for kind in Kind::ALL {
        match (identity(0, kind), identity(pid, kind)) {
            (None, _) => {}
            (own, theirs) if own == theirs => {}
            _ => held.push(Held::of(pid, kind)?),
        }
    }
    Ok(held)
}

/// Whether a process is process 1 of a pid namespace below ours (NSpid in proc_pid_status(5)).
#[must_use]
pub fn is_init_of_guest(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    // Deeper ones are inits of the guest's own guests.
    numbers.len() == 2 && numbers[1] == "1"
}

fn path_of(pid: u32, kind: Kind) -> String {
    match pid {
        0 => format!("/proc/self/ns/{}", kind.name()),
        pid => format!("/proc/{pid}/ns/{}", kind.name()),
    }
}

fn identity(pid: u32, kind: Kind) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path_of(pid, kind)).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Makes a new time namespace for the future children, whose clocks since boot begin now. Offsets
/// can be set only before the first process is in it (time_namespaces(7)).
///
/// # Errors
/// EINVAL when the kernel has no time namespaces.
pub fn leave_time() -> Result<(), Error> {
    leave(Kind::Time)?;
    let mut offsets = String::new();
    for (name, clock) in
        [("monotonic", ClockId::CLOCK_MONOTONIC), ("boottime", ClockId::CLOCK_BOOTTIME)]
    {
        let now =
            clock_gettime(clock).map_err(|errno| Error::new("read the clock", name, errno))?;
        let (seconds, nanoseconds) = back_to_zero(now.tv_sec(), now.tv_nsec());
        offsets += &format!("{name} {seconds} {nanoseconds}\n");
    }
    let path = Path::new("/proc/self/timens_offsets");
    fs::write(path, offsets).map_err(|e| Error::io("write to", path, &e))
}

/// The offset that makes this time zero: the nanoseconds of an offset are never negative.
fn back_to_zero(seconds: i64, nanoseconds: i64) -> (i64, i64) {
    if nanoseconds == 0 { (-seconds, 0) } else { (-seconds - 1, 1_000_000_000 - nanoseconds) }
}

/// fork(2); `None` in the child, which may do whatever a program may.
///
/// # Errors
/// EINVAL in a process with threads; ENOMEM when the pid namespace for children has lost its
/// process 1; EAGAIN.
pub fn fork() -> Result<Option<u32>, Error> {
    sys::fork().map_err(|errno| Error::new("fork", "a process", errno))
}

/// Lets the kernel kill this process when its parent ends, over every exec.
///
/// # Errors
/// The kernel has no ground to refuse; a seccomp filter may.
pub fn die_with_parent() -> Result<(), Error> {
    prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|errno| Error::new("be killed with", "the parent", errno))
}

/// Sets every signal back to its default and blocks none, whatever the parent ignored.
pub fn reset_signals() {
    spawn::reset_signals(u64::MAX);
}

/// Capabilities (capabilities(7)) that reach the whole machine through every namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Load and unload kernel modules.
    SysModule = 16,
    /// I/O ports and raw memory.
    SysRawio = 17,
    /// reboot(2), which outside of a pid namespace ends the machine.
    SysBoot = 22,
    /// Set the machine's clock.
    SysTime = 25,
}

/// Gives the capability up for every program that is executed from now on.
///
/// # Errors
/// EPERM without the privilege.
pub fn give_up(capability: Capability) -> Result<(), Error> {
    sys::drop_capability(capability as u32)
        .map_err(|errno| Error::new("give up", format!("{capability:?}"), errno))
}

/// What a process does about a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// It has a handler.
    Handles,
    /// It has blocked it: to fetch it, or for a moment.
    Blocks,
    /// Neither: the init of a pid namespace loses it (pid_namespaces(7)), unless it is just
    /// waiting for it in sigtimedwait(2), which takes it out of the mask that can be seen.
    Ignores,
}

/// What a process does about a signal; one that is gone ignores it.
#[must_use]
pub fn hearing(pid: u32, signal: i32) -> Hearing {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let in_mask = |key: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(key));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        (1..=64).contains(&signal) && mask >> (signal - 1) & 1 == 1
    };
    match (in_mask("SigCgt:"), in_mask("SigBlk:")) {
        (true, _) => Hearing::Handles,
        (false, true) => Hearing::Blocks,
        (false, false) => Hearing::Ignores,
    }
}

/// The path of a process's program, as `/proc` has it; `None` when it is gone.
///
/// # Errors
/// Every errno but that of a process that is gone.
pub fn program_of(pid: u32) -> Result<Option<String>, Error> {
    let path = format!("/proc/{pid}/exe");
    match fs::read_link(&path) {
        Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
        Err(e) if matches!(errno_of(&e), Errno::ENOENT | Errno::ESRCH) => Ok(None),
        Err(e) => Err(Error::io("read", path.as_ref(), &e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_takes_the_clock_back_to_zero() {
        assert_eq!(back_to_zero(100, 0), (-100, 0));
        let (seconds, nanoseconds) = back_to_zero(100, 250_000_000);
        assert_eq!((seconds, nanoseconds), (-101, 750_000_000));
    }

    #[test]
    fn a_process_with_threads_is_not_forked() {
        // The test harness runs each test in a thread.
        assert_eq!(fork().unwrap_err().errno(), Errno::EINVAL);
    }

    #[test]
    fn no_namespace_of_ours_is_foreign_and_we_are_no_guest() {
        assert!(foreign(std::process::id()).unwrap().is_empty());
        assert!(!is_init_of_guest(std::process::id()));
        assert!(foreign(u32::MAX - 1).is_err());
    }

    #[test]
    fn a_signal_is_handled_blocked_or_ignored() {
        let _signals = super::super::signals::Signals::new(&[libc::SIGUSR1]).unwrap();
        let own = std::process::id();
        assert_eq!(hearing(own, libc::SIGUSR1), Hearing::Handles);
        assert_eq!(hearing(own, libc::SIGRTMIN() + 7), Hearing::Ignores);
        assert_eq!(hearing(own, 0), Hearing::Ignores);
        assert_eq!(hearing(u32::MAX - 1, libc::SIGUSR1), Hearing::Ignores);
    }
}
