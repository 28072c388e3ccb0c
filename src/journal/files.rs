//! The log files of all units: opened when data comes, closed when others need the room, and held
//! back in memory while they cannot be written.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::lines::push_line;
use super::log_file::{self, Stopped};
use super::ring::Ring;
use crate::words::words_of;

/// Files open at a time; the one that was used longest ago is closed for the next.
const OPEN_MAX: usize = 64;
/// The first pause before a file that could not be written is tried again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// When a log file is put aside, and how many there are.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of one file.
    pub(super) size: u64,
    /// Files of one unit, the newest included.
    pub(super) count: u32,
}

struct Open {
    file: File,
    used: u64,
}

/// A unit whose file cannot be written for now.
struct Held {
    why: String,
    lost: u64,
}

/// Where whole lines go.
pub(super) struct Files {
    path: PathBuf,
    limits: Limits,
    dir: Option<OwnedFd>,
    open: HashMap<Rc<str>, Open>,
    uses: u64,
    /// Every unit that has lines in the ring is here.
    held: HashMap<Rc<str>, Held>,
    ring: Ring,
    retry: Option<Instant>,
    pause: Duration,
    reported: bool,
}

impl Files {
    pub(super) fn new(path: PathBuf, limits: Limits) -> Self {
        Self {
            path,
            limits,
            dir: None,
            open: HashMap::new(),
            uses: 0,
            held: HashMap::new(),
            ring: Ring::default(),
            retry: None,
            pause: FIRST_PAUSE,
            reported: false,
        }
    }

    /// Writes whole lines to the unit's file, or keeps them in memory until that works.
    pub(super) fn append(&mut self, unit: &Rc<str>, bytes: &[u8]) {
        if self.held.contains_key(unit) {
            self.keep(unit, bytes);
        } else if let Err(stopped) = self.write(unit, bytes) {
            self.hold(unit, &stopped.why, 0);
            self.keep(unit, &bytes[stopped.done..]);
        }
    }

    /// When [`Files::retry`] has something to do.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry
    }

    /// Tries to write what is held in memory. A unit that lost lines says so in its file first.
    pub(super) fn retry(&mut self, now: Instant, stamp: &[u8]) {
        self.retry = None;
        for (unit, held) in std::mem::take(&mut self.held) {
            let mut note = Vec::new();
            if held.lost > 0 {
                let lines = if held.lost == 1 { "line" } else { "lines" };
                let text = format!("treeward: {} {lines} lost, because: {}", held.lost, held.why);
                push_line(&mut note, stamp, text.as_bytes());
            }
            if let Err(stopped) = self.write(&unit, &note) {
                self.hold(&unit, &stopped.why, held.lost);
            }
        }
        for block in self.ring.take() {
            self.append(&block.unit, &block.bytes);
        }
        if self.held.is_empty() {
            self.pause = FIRST_PAUSE;
            self.reported = false;
            log::info!("log files in {} are written again", self.path.display());
        } else {
            self.pause = LONGEST_PAUSE.min(self.pause * 2);
            self.retry = Some(now + self.pause);
        }
    }

    /// Closes everything, so that the next line opens its file by name.
    pub(super) fn reopen(&mut self) {
        self.open.clear();
        self.dir = None;
    }

    fn keep(&mut self, unit: &Rc<str>, bytes: &[u8]) {
        for block in self.ring.push(unit, bytes) {
            if let Some(held) = self.held.get_mut(&block.unit) {
                held.lost += block.lines();
            }
        }
    }

    fn hold(&mut self, unit: &Rc<str>, why: &io::Error, lost: u64) {
        // By name the next time: the directory may have been replaced or mounted over.
        self.open.remove(unit);
        self.dir = None;
        if !self.reported {
            self.reported = true;
            let dir = self.path.display();
            log::warn!("cannot write {dir}/{unit}.log: {}; lines wait in memory", words_of(why));
        }
        if self.retry.is_none() {
            self.retry = Some(Instant::now() + self.pause);
        }
        self.held.insert(Rc::clone(unit), Held { why: words_of(why), lost });
    }

    fn write(&mut self, unit: &Rc<str>, bytes: &[u8]) -> Result<(), Stopped> {
        let limits = self.limits;
        let mut done = 0;
        loop {
            let file = self.opened(unit).map_err(Stopped::after(done))?;
            let meta = file.metadata().map_err(Stopped::after(done))?;
            if meta.nlink() == 0 {
                // Somebody removed the file; nobody would ever see what is written to it now.
                self.open.remove(unit);
                continue;
            }
            let end = done + fitting(&bytes[done..], meta.len(), limits.size);
            log_file::append(file, meta.len(), &bytes[done..end])
                .map_err(|stopped| Stopped { done: done + stopped.done, why: stopped.why })?;
            done = end;
            if done == bytes.len() {
                return Ok(());
            }
            self.open.remove(unit);
            let dir = self.directory().map_err(Stopped::after(done))?;
            log_file::rotate(dir, unit, limits.count).map_err(Stopped::after(done))?;
        }
    }

    fn directory(&mut self) -> io::Result<&OwnedFd> {
        let dir = match self.dir.take() {
            Some(dir) => dir,
            None => log_file::open_dir(&self.path)?,
        };
        Ok(self.dir.insert(dir))
    }

    fn opened(&mut self, unit: &Rc<str>) -> io::Result<&mut File> {
        self.uses += 1;
        if !self.open.contains_key(unit) {
            self.make_room();
            let file = log_file::open(self.directory()?, unit)?;
            self.open.insert(Rc::clone(unit), Open { file, used: 0 });
        }
        let open = self.open.get_mut(unit).ok_or(io::ErrorKind::NotFound)?;
        open.used = self.uses;
        Ok(&mut open.file)
    }

    fn make_room(&mut self) {
        if self.open.len() < OPEN_MAX {
            return;
        }
        let oldest = self.open.iter().min_by_key(|(_, open)| open.used);
        if let Some(unit) = oldest.map(|(unit, _)| Rc::clone(unit)) {
            self.open.remove(&unit);
        }
    }
}

/// How many bytes of whole lines still go into a file of `size` bytes: at least one line when the
/// file is empty, however long it is.
fn fitting(bytes: &[u8], size: u64, limit: u64) -> usize {
    let room = usize::try_from(limit.saturating_sub(size)).unwrap_or(usize::MAX);
    if bytes.len() <= room {
        return bytes.len();
    }
    let whole = memchr::memrchr(b'\n', &bytes[..room]).map_or(0, |newline| newline + 1);
    if whole == 0 && size == 0 {
        memchr::memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1)
    } else {
        whole
    }
}
