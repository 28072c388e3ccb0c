//! Descriptors that stay open without a place in this process's table.
//!
//! clone(2) copies the table, and the exec of the child closes the copy: with a thousand open
//! descriptors that is 60 µs for each start (Linux 6.18), and with ten thousand it is more than
//! the start itself. A descriptor in flight over a unix socket (unix(7), SCM_RIGHTS) keeps its file
//! open as well, and has no place in any table.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socketpair,
};

/// So many descriptors go in one message; the kernel allows 253. As many are in the table before.
const AT_ONCE: usize = 16;

/// Keeps descriptors open until [`Custody::release`] or its own end.
#[derive(Debug, Default)]
pub struct Custody {
    /// Those that are not in flight: too few yet, or the kernel took no more.
    here: Vec<OwnedFd>,
    /// Nobody ever receives what was sent. A full one is kept, and another is opened.
    sockets: Vec<(OwnedFd, OwnedFd)>,
}

impl Custody {
    /// Takes a descriptor.
    pub fn keep(&mut self, fd: OwnedFd) {
        self.here.push(fd);
        // A refusal is no harm: they stay here, and the next full batch tries again.
        if self.here.len().is_multiple_of(AT_ONCE) && self.send().is_err() && self.open().is_ok() {
            let _ = self.send();
        }
    }

    /// Closes all of them.
    pub fn release(&mut self) {
        *self = Self::default();
    }

    /// How many have a place in the table of this process.
    #[cfg(test)]
    fn in_table(&self) -> usize {
        self.here.len() + 2 * self.sockets.len()
    }

    fn open(&mut self) -> Result<(), Errno> {
        let flags = SockFlag::SOCK_CLOEXEC;
        self.sockets.push(socketpair(AddressFamily::Unix, SockType::Stream, None, flags)?);
        Ok(())
    }

    /// Sends all that are here.
    fn send(&mut self) -> Result<(), Errno> {
        let (to, _) = self.sockets.last().ok_or(Errno::ENOTCONN)?;
        while !self.here.is_empty() {
            let count = self.here.len().min(AT_ONCE);
            let rights: Vec<RawFd> = self.here.iter().take(count).map(AsRawFd::as_raw_fd).collect();
            let message = [ControlMessage::ScmRights(&rights)];
            let byte = [IoSlice::new(b".")];
            sendmsg::<UnixAddr>(to.as_raw_fd(), &byte, &message, MsgFlags::MSG_DONTWAIT, None)?;
            self.here.drain(..count);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use nix::fcntl::OFlag;
    use nix::unistd::pipe2;

    use super::*;

    #[test]
    fn what_is_kept_stays_open_and_nearly_all_of_it_outside_the_table() {
        let mut custody = Custody::default();
        let mut ends = Vec::new();
        for _ in 0..100 * AT_ONCE + 1 {
            let (reading, writing) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
            custody.keep(writing);
            ends.push(std::fs::File::from(reading));
        }
        assert!(custody.in_table() < 20, "{} are in the table", custody.in_table());
        let is_open = |end: &mut std::fs::File| end.read(&mut [0]).is_err();
        assert!(ends.iter_mut().all(is_open));
        custody.release();
        assert!(!ends.iter_mut().any(is_open));
    }
}
