//! Waiting for many descriptors at once (epoll(7), level-triggered).

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::Error;

/// The most events that one wait takes; the others come with the next.
const AT_ONCE: usize = 256;

/// A set of descriptors, each with a token of the caller's choice.
#[derive(Debug)]
pub struct Poll {
    epoll: Epoll,
    buffer: Vec<EpollEvent>,
}

impl Poll {
    /// Opens an empty set.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> Result<Self, Error> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|errno| Error::new("open", "an epoll descriptor", errno))?;
        Ok(Self { epoll, buffer: vec![EpollEvent::empty(); AT_ONCE] })
    }

    /// Adds a descriptor, to be told when a read would not block: data, end of file, a hang-up, or an
    /// error to fetch. Closing it takes it out again only when no copy of it is left, and
    /// a child on its way to its program holds copies of all: use [`Self::remove`] first.
    ///
    /// # Errors
    /// EPERM for a descriptor that is always ready (a regular file), EEXIST for one that is in.
    pub fn add(&self, fd: impl AsFd, token: u64) -> Result<(), Error> {
        let added = self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token));
        added.map_err(|errno| Error::new("wait for", format!("descriptor of token {token}"), errno))
    }

    /// Adds a descriptor, to be told when a write would not block, or when there is an error to
    /// fetch.
    ///
    /// # Errors
    /// As [`Poll::add`].
    pub fn add_to_write(&self, fd: impl AsFd, token: u64) -> Result<(), Error> {
        let added = self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLOUT, token));
        added.map_err(|errno| Error::new("wait for", format!("descriptor of token {token}"), errno))
    }

    /// Takes a descriptor out; one that is not in is fine.
    pub fn remove(&self, fd: impl AsFd) {
        let _ = self.epoll.delete(fd);
    }

    /// Waits until something is ready or the time is over (`None`: for ever), and fills `ready`
    /// anew with tokens. A signal that arrives ends the wait with nothing.
    ///
    /// # Errors
    /// Never in practice; the set itself would have to be broken.
    pub fn wait(&mut self, timeout_ms: Option<u64>, ready: &mut Vec<u64>) -> Result<(), Error> {
        ready.clear();
        let count = match self.epoll.wait(&mut self.buffer, timeout(timeout_ms)) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(Error::new("wait on", "the epoll descriptor", errno)),
        };
        ready.extend(self.buffer.iter().take(count).map(EpollEvent::data));
        Ok(())
    }
}

/// A wait longer than the kernel can count (24 days) ends early, and finds nothing.
fn timeout(milliseconds: Option<u64>) -> EpollTimeout {
    let Some(milliseconds) = milliseconds else {
        return EpollTimeout::NONE;
    };
    let milliseconds = i32::try_from(milliseconds).unwrap_or(i32::MAX);
    EpollTimeout::try_from(milliseconds).unwrap_or(EpollTimeout::ZERO)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::*;

    fn wait(poll: &mut Poll, timeout_ms: u64) -> Vec<u64> {
        let mut ready = Vec::new();
        poll.wait(Some(timeout_ms), &mut ready).unwrap();
        ready
    }

    #[test]
    fn a_descriptor_is_told_by_its_token_until_it_is_removed() {
        let mut poll = Poll::new().unwrap();
        let (mine, mut other) = UnixStream::pair().unwrap();
        poll.add(&mine, 77).unwrap();
        assert!(wait(&mut poll, 0).is_empty());
        other.write_all(b"x").unwrap();
        assert_eq!(wait(&mut poll, 5_000), [77]);
        assert_eq!((&mine).read(&mut [0; 2]).unwrap(), 1);
        assert!(wait(&mut poll, 0).is_empty());
        drop(other);
        assert_eq!(wait(&mut poll, 5_000), [77]);
        poll.remove(&mine);
        poll.remove(&mine);
        assert!(wait(&mut poll, 0).is_empty());
    }

    #[test]
    fn a_wait_is_never_shorter_than_asked_for() {
        let mut poll = Poll::new().unwrap();
        let begin = Instant::now();
        assert!(wait(&mut poll, 20).is_empty());
        assert!(begin.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn a_regular_file_is_refused() {
        let poll = Poll::new().unwrap();
        let refused = poll.add(tempfile::tempfile().unwrap(), 1).unwrap_err();
        assert_eq!(refused.errno(), Errno::EPERM);
    }
}
