//! Processes by descriptor: a pidfd stays with one process, whatever becomes of its number.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::reap::ExitStatus;
use super::{Error, process, sys};

/// Opens a process (pidfd_open(2), Linux 5.3); `None` when there is none of that number.
///
/// # Errors
/// When the kernel refuses, for want of descriptors for one.
pub fn open(pid: u32) -> Result<Option<OwnedFd>, Error> {
    match sys::pidfd_open(pid) {
        Ok(process) => Ok(Some(process)),
        // EINVAL: no process can have this number (0, or beyond an i32).
        Err(Errno::ESRCH | Errno::EINVAL) => Ok(None),
        Err(errno) => Err(Error::new("pidfd_open", format!("process {pid}"), errno)),
    }
}

/// Sends a signal; false when the process is gone.
///
/// # Errors
/// The kernel's refusal (EPERM; EINVAL for a signal that does not exist).
pub fn send_signal(pidfd: &impl AsFd, signal: i32) -> Result<bool, Errno> {
    match sys::pidfd_send_signal(pidfd.as_fd(), signal) {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The id of the process's cgroup, which is the inode number of its directory (PIDFD_GET_INFO,
/// Linux 6.13; from 6.15 on also after the process was reaped). `None` when it cannot be known.
#[must_use]
pub fn cgroup_id_of(pidfd: &impl AsFd) -> Option<u64> {
    cgroup_id_of_raw(pidfd.as_fd().as_raw_fd())
}

/// [`cgroup_id_of`] for a descriptor that came in a control message.
pub(super) fn cgroup_id_of_raw(pidfd: RawFd) -> Option<u64> {
    let wanted = u64::from(libc::PIDFD_INFO_CGROUPID);
    // Of a process that was reaped the kernel tells the cgroup only to who asks for its end.
    let info = sys::pidfd_info(pidfd, wanted | u64::from(libc::PIDFD_INFO_EXIT)).ok()?;
    (info.mask & wanted != 0).then_some(info.cgroupid)
}

/// Whether the process has ended, buried or not.
#[must_use]
pub fn has_ended(pidfd: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready == 1)
}

/// How a process ended that may not have been a child of ours. The kernel tells of a zombie by its
/// number, `pid`, and of one that somebody has reaped through a pidfd that was opened before that
/// (PIDFD_GET_INFO, Linux 6.15); from the one to the other there is a moment, for which it waits so
/// long at most. A kernel that cannot tell says so at once.
#[must_use]
pub fn exit_status_within(pidfd: &impl AsFd, pid: u32, limit: Duration) -> Option<ExitStatus> {
    let wanted = u64::from(libc::PIDFD_INFO_EXIT);
    let until = Instant::now() + limit;
    loop {
        if let Some(status) = exit_status_of_zombie(pidfd, pid) {
            return Some(status);
        }
        let info = sys::pidfd_info(pidfd.as_fd().as_raw_fd(), wanted).ok()?;
        if info.mask & wanted != 0 {
            return Some(ExitStatus::from_wait_status(info.exit_code));
        }
        if Instant::now() >= until {
            return None;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// How it ended, as long as nobody has reaped it. Root alone believes that it ended with 0, because
/// who may not know is told that.
fn exit_status_of_zombie(pidfd: &impl AsFd, pid: u32) -> Option<ExitStatus> {
    let status = process::wait_status_of_zombie(pid)?;
    // It was still there after the look, so the number was its own.
    let is_there = send_signal(pidfd, 0) == Ok(true);
    let is_true = status != 0 || nix::unistd::geteuid().is_root();
    (is_there && is_true).then(|| ExitStatus::from_wait_status(status))
}
