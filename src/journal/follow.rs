//! Following a unit's log as it grows.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::reader::{Line, Log};
use super::tail::Tail;

/// Gives the last lines of a unit and then every further one, each exactly once and in order,
/// whatever rotation does meanwhile (unless files are rotated away faster than they are read).
pub struct Follower {
    tail: Tail,
    watch: Inotify,
}

impl Follower {
    /// Starts with the last `count` lines. The unit's file need not be there yet.
    ///
    /// # Errors
    /// What the kernel says when the directory cannot be watched or a file not be read;
    /// `InvalidInput` for a unit that is a path.
    pub fn new(log_dir: &Path, unit: &str, count: usize) -> io::Result<Self> {
        let log = Log::new(log_dir, unit)?;
        let watch = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let changes = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ONLYDIR;
        watch.add_watch(log_dir, changes)?;
        let (ready, current) = log.last(count)?;
        Ok(Self { tail: Tail { log, current, ready }, watch })
    }

    /// Waits until there are lines and gives them, oldest first; none when the time is over.
    /// `None` waits for ever. A signal does not end the waiting.
    ///
    /// # Errors
    /// What the kernel says when a file cannot be read.
    pub fn wait_more(&mut self, timeout: Option<Duration>) -> io::Result<Vec<Line>> {
        let end = timeout.map(|span| Instant::now() + span);
        loop {
            let lines = self.tail.more()?;
            if !lines.is_empty() {
                return Ok(lines);
            }
            loop {
                let left = end.map(|end| end.saturating_duration_since(Instant::now()));
                if left.is_some_and(|left| left.is_zero()) {
                    return Ok(lines);
                }
                if self.has_changed(left)? {
                    break;
                }
            }
        }
    }

    /// Waits; true when the unit's newest file was changed or replaced, false for anything else.
    fn has_changed(&self, left: Option<Duration>) -> io::Result<bool> {
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            let millis = left.as_micros().div_ceil(1000);
            u16::try_from(millis).unwrap_or(u16::MAX).into()
        });
        let mut fds = [PollFd::new(self.watch.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let events = match self.watch.read_events() {
            Ok(events) => events,
            Err(Errno::EAGAIN) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        };
        let name = self.tail.log.name();
        Ok(events.iter().any(|event| {
            event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)
                || event.name.as_deref().is_some_and(|changed| changed == name.as_str())
        }))
    }
}
