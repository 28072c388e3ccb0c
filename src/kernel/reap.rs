//! The dead: who they were, and how they ended.

use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::{Error, sys};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this status, 0 to 255.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number, real-time signals included.
        number: i32,
        /// Whether it dumped core.
        core: bool,
    },
}

impl ExitStatus {
    /// Decodes the status word of wait(2).
    pub(super) fn from_wait_status(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Code((status >> 8) & 0xff),
            number => Self::Signal { number, core: status & 0x80 != 0 },
        }
    }

    fn from_waitid(code: i32, status: i32) -> Self {
        match code {
            libc::CLD_EXITED => Self::Code(status),
            _ => Self::Signal { number: status, core: code == libc::CLD_DUMPED },
        }
    }
}

/// Makes the calling process the parent of every orphan below it (prctl(2), Linux 3.4). The mark
/// survives an exec, children do not inherit it.
///
/// # Errors
/// The kernel has no ground to refuse; a seccomp filter may.
pub fn set_subreaper() -> Result<(), Error> {
    nix::sys::prctl::set_child_subreaper(true)
        .map_err(|errno| Error::new("become", "a child subreaper", errno))
}

/// A child that has ended and is not buried yet: `/proc/PID/cgroup` still says where it lived.
#[must_use]
pub fn next_dead() -> Option<u32> {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // The only error is ECHILD: there are no children at all.
    sys::waitid(libc::P_ALL, 0, flags).ok().flatten().map(|dead| dead.pid)
}

/// Waits until a child has ended, at most so long. For the instant between a cgroup's being empty
/// and its last process's being a zombie (exit_notify() comes after cgroup_exit() in do_exit()).
/// Gives whether it has; false also for a process that is no child.
#[must_use]
pub fn has_ended_within(pid: u32, limit: Duration) -> bool {
    let until = Instant::now() + limit;
    loop {
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        match sys::waitid(libc::P_PID, pid, flags) {
            Ok(Some(_)) => return true,
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_micros(50)),
            Ok(None) | Err(_) => return false,
        }
    }
}

/// Reaps a child that has ended and gives how; `None` while it lives, or when it is not a child.
/// Call it for each [`next_dead`], which otherwise finds the same child for ever.
#[must_use]
pub fn bury(pid: u32) -> Option<ExitStatus> {
    wait_for(pid, libc::WNOHANG).ok().flatten()
}

/// Reaps some child that has ended and gives which and how; `None` when there is none. For who
/// need not look at the dead first.
#[must_use]
pub fn bury_next() -> Option<(u32, ExitStatus)> {
    let dead = sys::waitid(libc::P_ALL, 0, libc::WEXITED | libc::WNOHANG).ok().flatten()?;
    Some((dead.pid, ExitStatus::from_waitid(dead.code, dead.status)))
}

/// Reaps the child, waiting for its end.
pub(super) fn bury_when_dead(pid: u32) -> Option<ExitStatus> {
    wait_for(pid, 0).ok().flatten()
}

/// Reaps a child, and waits for its end as long as it takes.
///
/// # Errors
/// ECHILD when it is no child.
pub fn bury_when_ended(pid: u32) -> Result<ExitStatus, Error> {
    let failed = |errno| Error::new("wait for", format!("process {pid}"), errno);
    wait_for(pid, 0).map_err(failed)?.ok_or_else(|| failed(Errno::ECHILD))
}

fn wait_for(pid: u32, flags: i32) -> Result<Option<ExitStatus>, Errno> {
    let dead = sys::waitid(libc::P_PID, pid, libc::WEXITED | flags)?;
    Ok(dead.map(|dead| ExitStatus::from_waitid(dead.code, dead.status)))
}

#[cfg(test)]
mod tests;
