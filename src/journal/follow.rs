//! Following a unit's log as it grows.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::reader::{Line, Log, LogFile, Position};

/// Bytes of one read.
const READ_BYTES: usize = 256 * 1024;

/// Gives the last lines of a unit and then every further one, each exactly once and in order,
/// whatever rotation does meanwhile (unless files are rotated away faster than they are read).
pub struct Follower {
    log: Log,
    watch: Inotify,
    current: Option<Position>,
    ready: Vec<Line>,
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
        Ok(Self { log, watch, current, ready })
    }

    /// Waits until there are lines and gives them, oldest first; none when the time is over.
    /// `None` waits for ever. A signal does not end the waiting.
    ///
    /// # Errors
    /// What the kernel says when a file cannot be read.
    pub fn wait_more(&mut self, timeout: Option<Duration>) -> io::Result<Vec<Line>> {
        let end = timeout.map(|span| Instant::now() + span);
        loop {
            let lines = self.more()?;
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

    /// What is there now, without waiting.
    fn more(&mut self) -> io::Result<Vec<Line>> {
        if !self.ready.is_empty() {
            return Ok(std::mem::take(&mut self.ready));
        }
        loop {
            // Whether a newer file exists is asked before the last look at the current one: once
            // it has been renamed nothing more is written to it.
            let newer = self.newer()?;
            let lines = self.read()?;
            if !lines.is_empty() {
                return Ok(lines);
            }
            match newer {
                Some(file) => self.current = Some((file, 0)),
                None => return Ok(lines),
            }
        }
    }

    /// The file that comes after the current one, if there is one.
    fn newer(&self) -> io::Result<Option<LogFile>> {
        let Some((current, _)) = &self.current else {
            return self.oldest_until(|_| Ok(false));
        };
        if self.log.open(0)?.is_some_and(|newest| newest.inode == current.inode) {
            return Ok(None);
        }
        // The current file itself may have been removed; older ones were written to before it.
        let written = current.file.metadata()?.modified()?;
        self.oldest_until(|log| {
            Ok(log.inode == current.inode || log.file.metadata()?.modified()? < written)
        })
    }

    fn oldest_until(
        &self,
        is_known: impl Fn(&LogFile) -> io::Result<bool>,
    ) -> io::Result<Option<LogFile>> {
        let mut next = None;
        self.log.walk(|log| {
            let known = is_known(&log)?;
            if !known {
                next = Some(log);
            }
            Ok(!known)
        })?;
        Ok(next)
    }

    fn read(&mut self) -> io::Result<Vec<Line>> {
        let Some((log, offset)) = &mut self.current else {
            return Ok(Vec::new());
        };
        if log.file.metadata()?.len() < *offset {
            // Somebody emptied the file; what is in it now is new.
            *offset = 0;
        }
        let size = log.file.metadata()?.len().saturating_sub(*offset);
        let mut block = vec![0; usize::try_from(size).unwrap_or(READ_BYTES).min(READ_BYTES)];
        let count = log.file.read_at(&mut block, *offset)?;
        block.truncate(count);
        let end = match memchr::memrchr(b'\n', &block) {
            Some(newline) => newline,
            // Not a line of the lane's: none is that long.
            None if count == READ_BYTES => count,
            None => return Ok(Vec::new()),
        };
        *offset += (end as u64 + 1).min(count as u64);
        Ok(block[..end].split(|&byte| byte == b'\n').map(Line::new).collect())
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
        let name = self.log.name();
        Ok(events.iter().any(|event| {
            event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)
                || event.name.as_deref().is_some_and(|changed| changed == name.as_str())
        }))
    }
}
