//! Reading a unit's log on from a place in it, over all rotations.

use std::fmt;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::reader::{Line, Log, LogFile, Position};

/// Bytes of one read.
const READ_BYTES: usize = 256 * 1024;

/// A place in the log of a unit. Gives every line behind it exactly once and in order, whatever
/// rotation does meanwhile (unless files are rotated away faster than they are read).
pub struct Tail {
    pub(super) log: Log,
    pub(super) current: Option<Position>,
    pub(super) ready: Vec<Line>,
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tail of {}", self.log.name())
    }
}

impl Tail {
    /// The end of the log as it is now. The unit's file need not be there yet.
    ///
    /// # Errors
    /// What the kernel says when a file cannot be read; `InvalidInput` for a unit that is a path.
    pub fn from_end(log_dir: &Path, unit: &str) -> io::Result<Self> {
        let log = Log::new(log_dir, unit)?;
        let (_, current) = log.last(0)?;
        Ok(Self { log, current, ready: Vec::new() })
    }

    /// The beginning of the oldest file that there is.
    ///
    /// # Errors
    /// `InvalidInput` for a unit that is a path.
    pub fn from_start(log_dir: &Path, unit: &str) -> io::Result<Self> {
        let log = Log::new(log_dir, unit)?;
        Ok(Self { log, current: None, ready: Vec::new() })
    }

    /// What is there now, oldest first, without waiting; a piece at a time, and none when all of it
    /// was given.
    ///
    /// # Errors
    /// What the kernel says when a file cannot be read.
    pub fn more(&mut self) -> io::Result<Vec<Line>> {
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
}
