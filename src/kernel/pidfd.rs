//! Processes by descriptor: a pidfd stays with one process, whatever becomes of its number.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::reap::ExitStatus;
use super::{Error, sys};

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

/// How a process ended that may not have been a child of ours (PIDFD_GET_INFO, Linux 6.15). Known
/// only once somebody has reaped it, and only through a pidfd opened before that: waits at most so
/// long for its burial. A kernel that cannot tell says so at once.
#[must_use]
pub fn exit_status_within(pidfd: &impl AsFd, limit: Duration) -> Option<ExitStatus> {
    let wanted = u64::from(libc::PIDFD_INFO_EXIT);
    let until = Instant::now() + limit;
    loop {
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
