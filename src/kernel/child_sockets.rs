//! What a child does to pass sockets on to its program, as sd_listen_fds(3) expects them: from
//! descriptor 3 on, and its own process id in `LISTEN_PID`, which only it can know.
//!
//! Like all that a child does, system calls and nothing else: see [`super::spawn`].
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;

use super::Error;
use super::child_memory::ChildMemory;

/// The variable that the child fills in: room for the digits of any process id.
pub(super) const LISTEN_PID: &str = "LISTEN_PID=0000000000";
/// Where the digits begin.
const DIGITS: usize = "LISTEN_PID=".len();

/// The first descriptor that is passed (SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;

/// What a child needs for that. The pointers lead into [`ChildMemory`], which outlives it.
#[derive(Clone, Copy)]
pub(super) struct Sockets {
    fds: *mut RawFd,
    count: usize,
    /// The text [`LISTEN_PID`] of the child's own environment.
    variable: *mut u8,
}

impl Sockets {
    /// Puts everything where the child will have it. `keep` must stay open until the exec, and
    /// `variable` is the text [`LISTEN_PID`] in the same memory.
    pub(super) fn new(
        sockets: &[BorrowedFd],
        keep: RawFd,
        variable: *const u8,
        memory: &mut ChildMemory,
    ) -> Result<Self, Error> {
        let fds = sockets.iter().map(AsRawFd::as_raw_fd).chain([keep]);
        let fds: Vec<RawFd> = fds.collect();
        let fds = memory.put(&fds)?.cast_mut();
        Ok(Self { fds, count: sockets.len(), variable: variable.cast_mut() })
    }

    /// The first descriptor behind those that are passed.
    pub(super) fn end(&self) -> u32 {
        FIRST as u32 + self.count as u32
    }

    /// Puts them in place. All are moved up first, and so is the one that must stay open: any of
    /// them may be where another belongs.
    pub(super) fn pass(&self) -> Result<(), Errno> {
        for at in 0..=self.count {
            // SAFETY: an element of the array; nobody else reads this child's.
            let fd = unsafe { &mut *self.fds.add(at) };
            // SAFETY: integers only.
            let moved = unsafe { libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, self.end()) };
            *fd = Errno::result(moved)?;
        }
        for at in 0..self.count {
            // SAFETY: an element of the array, and integers. The copy is not close-on-exec.
            let done = unsafe { libc::dup2(*self.fds.add(at), FIRST + at as RawFd) };
            Errno::result(done)?;
        }
        // SAFETY: no arguments; it cannot fail.
        self.write_pid(unsafe { libc::getpid() } as u32);
        Ok(())
    }

    fn write_pid(&self, pid: u32) {
        let mut digits = [0_u8; 10];
        let mut first = digits.len();
        let mut left = pid;
        while left > 0 {
            first -= 1;
            digits[first] = b'0' + (left % 10) as u8;
            left /= 10;
        }
        let count = digits.len() - first;
        // SAFETY: the text has room for ten digits and the NUL behind them.
        unsafe {
            let place = self.variable.add(DIGITS);
            std::ptr::copy_nonoverlapping(digits.as_ptr().add(first), place, count);
            place.add(count).write(0);
        }
    }
}
