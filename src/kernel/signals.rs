//! Signals to this process as a descriptor to wait for.
//!
//! Handlers with a pipe, not signalfd(2): for that the signals would have to be blocked, and
//! a blocked signal is blocked in every child, too.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::sys::signal::SigSet;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use super::Error;

/// Signals that are caught; wait for it to become readable.
#[derive(Debug)]
pub struct Signals(SignalDelivery<UnixStream, SignalOnly>);

impl Signals {
    /// Catches the signals from now on, until this is dropped. SIGKILL and SIGSTOP cannot be
    /// caught, and SIGSEGV, SIGFPE and SIGILL must not be.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn new(signals: &[i32]) -> Result<Self, Error> {
        let failed = |e| Error::new("catch", "signals", super::errno_of(&e));
        let (reading, writing) = UnixStream::pair().map_err(failed)?;
        let delivery = SignalDelivery::with_pipe(reading, writing, SignalOnly, signals);
        let caught = delivery.map(Self).map_err(failed)?;
        // A supervisor that is upgraded has blocked them until there is somebody to take them.
        SigSet::all().thread_unblock().map_err(|errno| Error::new("unblock", "signals", errno))?;
        Ok(caught)
    }

    /// The signals that came since the last look, each number once.
    pub fn pending(&mut self) -> Vec<i32> {
        self.0.pending().collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_read().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::super::poll::{Interest, Poll};
    use super::*;

    #[test]
    fn a_signal_makes_the_descriptor_readable_and_is_told_once() {
        let mut signals = Signals::new(&[libc::SIGUSR1, libc::SIGUSR2]).unwrap();
        let mut poll = Poll::new().unwrap();
        poll.add(&signals, 1, Interest::Read).unwrap();
        raise(Signal::SIGUSR1).unwrap();
        raise(Signal::SIGUSR1).unwrap();
        let mut ready = Vec::new();
        while ready.is_empty() {
            poll.wait(Some(5_000), &mut ready).unwrap();
        }
        assert_eq!(signals.pending(), [libc::SIGUSR1]);
        assert!(signals.pending().is_empty());
        poll.wait(Some(0), &mut ready).unwrap();
        assert!(ready.is_empty());
    }
}
