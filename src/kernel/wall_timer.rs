//! Waking at a time of the wall clock, also when somebody sets that clock or the machine was
//! suspended (timerfd_create(2)).

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::read;

use super::Error;

/// Far enough away, in milliseconds since the Unix epoch, for one that only waits for the clock to
/// be set; in the year 2200.
const FAR_AWAY: u64 = 7_258_118_400_000;

/// The descriptor; wait for it to become readable.
#[derive(Debug)]
pub struct WallTimer {
    timer: TimerFd,
    /// What it was set to last: no time at all, or milliseconds since the Unix epoch.
    set: Option<u64>,
    /// The kernel has told that the clock was set, and will not tell it again.
    was_told: bool,
}

impl WallTimer {
    /// Opens one that never fires.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn new() -> Result<Self, Error> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_REALTIME, flags)
            .map_err(|errno| Error::new("open", "a timer", errno))?;
        Ok(Self { timer, set: None, was_told: false })
    }

    /// Fires at this time, in milliseconds since the Unix epoch, or when the clock is set before.
    /// Does nothing when that is what it will do already.
    pub fn fire_at(&mut self, at: u64) {
        // One that must still tell of the clock does so at once.
        if self.set == Some(at) || self.was_told {
            return;
        }
        self.set = Some(at);
        // The only refusals are of numbers out of range and bad flags. ECANCELED says that it was
        // set although the clock was set meanwhile, of which a read knows nothing any more.
        if self.try_fire_at(at) == Err(Errno::ECANCELED) {
            self.tell();
        }
    }

    /// Fires at once, and says then that the clock was set.
    fn tell(&mut self) {
        self.was_told = true;
        let _ = self.try_fire_at(0);
    }

    fn try_fire_at(&self, at: u64) -> Result<(), Errno> {
        let flags =
            TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        // A time of 0 would disarm it.
        let at = Duration::from_millis(at.clamp(1, FAR_AWAY));
        self.timer.set(Expiration::OneShot(TimeSpec::from_duration(at)), flags)
    }

    /// Fires only when the clock is set.
    pub fn wait_for_the_clock(&mut self) {
        self.fire_at(FAR_AWAY);
    }

    /// Fires no more.
    pub fn disarm(&mut self) {
        self.was_told = false;
        if self.set.take().is_some() {
            let _ = self.timer.unset();
        }
    }

    /// Takes note that it has fired, and gives whether the clock was set. It must be set anew.
    pub fn take(&mut self) -> bool {
        self.set = None;
        // nix's own wait takes ECANCELED for an ordinary end.
        let is_told = read(&self.timer, &mut [0; 8]) == Err(Errno::ECANCELED);
        std::mem::take(&mut self.was_told) || is_told
    }
}

impl AsFd for WallTimer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::wall_ms;
    use super::super::poll::Poll;
    use super::*;

    #[test]
    fn it_fires_at_its_time_and_not_when_it_is_disarmed() {
        let mut timer = WallTimer::new().unwrap();
        let mut poll = Poll::new().unwrap();
        let mut ready = Vec::new();
        poll.add(&timer, 1).unwrap();
        let at = wall_ms() + 30;
        timer.fire_at(at);
        poll.wait(Some(20_000), &mut ready).unwrap();
        assert_eq!(ready, [1]);
        assert!(wall_ms() >= at);
        assert!(!timer.take());
        poll.wait(Some(0), &mut ready).unwrap();
        assert!(ready.is_empty());
        // One that is over fires at once, and one that is disarmed does not.
        timer.fire_at(0);
        poll.wait(Some(20_000), &mut ready).unwrap();
        assert_eq!(ready, [1]);
        timer.disarm();
        timer.wait_for_the_clock();
        poll.wait(Some(0), &mut ready).unwrap();
        assert!(ready.is_empty());
    }

    #[test]
    fn a_clock_that_is_set_while_it_is_set_itself_is_told_of_once() {
        let mut timer = WallTimer::new().unwrap();
        let mut poll = Poll::new().unwrap();
        let mut ready = Vec::new();
        poll.add(&timer, 1).unwrap();
        timer.wait_for_the_clock();
        // A test cannot set the clock: the machine of vm/ does.
        timer.tell();
        timer.fire_at(wall_ms() + 3_600_000);
        poll.wait(Some(20_000), &mut ready).unwrap();
        assert_eq!(ready, [1]);
        assert!(timer.take());
        timer.wait_for_the_clock();
        poll.wait(Some(0), &mut ready).unwrap();
        assert!(ready.is_empty() && !timer.take());
    }
}
