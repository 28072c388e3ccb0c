//! The named FIFOs of the run directory: found, opened, and closed when they are gone.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, openat};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::{Mode, fstat};
use slab::Slab;

use super::Error;
use crate::index::Index;
use crate::supervision::name::UnitName;
use crate::words::words_of;

/// Bytes that a FIFO takes at first (pipe(7)).
const FIRST_CAPACITY: u32 = 64 * 1024;
/// Bytes that the FIFO of a service that writes much takes; the default of
/// /proc/sys/fs/pipe-max-size.
const FULL_CAPACITY: u32 = 1024 * 1024;

/// One unit's FIFO and what is begun of its next line.
pub(super) struct Fifo {
    pub(super) unit: Rc<str>,
    pub(super) pipe: File,
    pub(super) partial: Vec<u8>,
    /// When `partial` is written as a line if its end has not come.
    pub(super) due: Option<Instant>,
    capacity: u32,
}

impl Fifo {
    /// Takes note that one read gave `count` bytes. Gives whether the service is writing about
    /// as fast as it is read; its FIFO is made larger then.
    pub(super) fn is_flooding(&mut self, count: usize) -> bool {
        if count < (self.capacity as usize).min(super::lane::READ_BYTES) / 2 {
            return false;
        }
        if self.capacity == FIRST_CAPACITY {
            // Not allowed beyond /proc/sys/fs/pipe-user-pages-soft; it works without.
            self.capacity = fcntl(&self.pipe, FcntlArg::F_SETPIPE_SZ(FULL_CAPACITY as i32))
                .map_or(FIRST_CAPACITY + 1, |_| FULL_CAPACITY);
        }
        true
    }
}

/// News from the directory.
pub(super) enum News {
    /// A FIFO with this index is there.
    Found(usize),
    /// The FIFO with this index has lost its name.
    Gone(usize),
}

/// All FIFOs, each under an index that stays the same while it is open.
pub(super) struct Fifos {
    path: PathBuf,
    dir: OwnedFd,
    pub(super) watch: Inotify,
    open: Slab<Fifo>,
    by_unit: Index<Fifo, str>,
}

impl Fifos {
    /// Watches the directory. Nothing is opened before the first [`Fifos::scan`].
    pub(super) fn new(path: PathBuf) -> Result<Self, Error> {
        let failed = |call: &'static str| {
            let path = path.clone();
            move |errno: Errno| Error::System { call, path, why: errno.into() }
        };
        let watch = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
            .map_err(failed("inotify_init1"))?;
        let names = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_ONLYDIR;
        watch.add_watch(&path, names).map_err(failed("inotify_add_watch"))?;
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let dir = nix::fcntl::open(&path, flags, Mode::empty()).map_err(failed("open"))?;
        let by_unit = Index::new(|fifo: &Fifo| &*fifo.unit);
        Ok(Self { path, dir, watch, open: Slab::new(), by_unit })
    }

    /// Whether there is none, not even the supervisor's own: then the directory goes, or somebody
    /// has emptied it.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether the directory was removed. The kernel does not tell of that by inotify(7) as long as
    /// it is open here.
    pub(super) fn are_over(&self) -> bool {
        fstat(&self.dir).is_ok_and(|dir| dir.st_nlink == 0)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Fifo> {
        self.open.get_mut(index)
    }

    pub(super) fn indexes(&self) -> Vec<usize> {
        self.by_unit.places().collect()
    }

    /// Closes a FIFO.
    pub(super) fn remove(&mut self, index: usize) {
        if self.open.contains(index) {
            self.by_unit.remove(&self.open, index);
            self.open.remove(index);
        }
    }

    /// Compares what is open with what the directory holds.
    pub(super) fn scan(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        for index in self.indexes() {
            if !self.is_current(index) {
                news.push(News::Gone(index));
            }
        }
        match std::fs::read_dir(&self.path) {
            Ok(entries) => {
                for entry in entries.flatten() {
                    news.extend(self.open(&entry.file_name()).map(News::Found));
                }
            }
            Err(error) => log::warn!("cannot read {}: {}", self.path.display(), words_of(&error)),
        }
        news
    }

    /// What happened in the directory since the last call. May give nothing.
    pub(super) fn news(&mut self) -> Vec<News> {
        // EAGAIN is the only error an inotify descriptor gives here.
        let events = self.watch.read_events().unwrap_or_default();
        let mut news = Vec::new();
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                news.extend(self.scan());
            }
            let Some(name) = event.name else { continue };
            // The event may be old: what counts is what the name stands for now.
            let known = name.to_str().and_then(|unit| self.by_unit.find(&self.open, unit));
            if let Some(index) = known
                && !self.is_current(index)
            {
                news.push(News::Gone(index));
            }
            news.extend(self.open(&name).map(News::Found));
        }
        news
    }

    /// Whether the FIFO's name still stands for it.
    fn is_current(&self, index: usize) -> bool {
        let Some(fifo) = self.open.get(index) else {
            return false;
        };
        let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
        let named = nix::sys::stat::fstatat(&self.dir, &*fifo.unit, flags);
        matches!((named, fifo.pipe.metadata()), (Ok(named), Ok(open))
            if named.st_ino == open.ino() && named.st_dev == open.dev())
    }

    /// Opens the FIFO of this name unless it is open. An older FIFO of the same name keeps its
    /// index until it is removed.
    fn open(&mut self, name: &OsStr) -> Option<usize> {
        let unit = name.to_str().filter(|text| is_log_name(text))?;
        let older = self.by_unit.find(&self.open, unit);
        if older.is_some_and(|index| self.is_current(index)) {
            return None;
        }
        let pipe = match open_fifo(&self.dir, unit) {
            Ok(pipe) => pipe,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                let (dir, why) = (self.path.display(), words_of(&error));
                log::warn!("cannot read {dir}/{unit}: {why}; it is ignored");
                return None;
            }
        };
        if let Some(older) = older {
            self.by_unit.remove(&self.open, older);
        }
        let (unit, partial, capacity) = (unit.into(), Vec::new(), FIRST_CAPACITY);
        let index = self.open.insert(Fifo { unit, pipe, partial, due: None, capacity });
        self.by_unit.insert(&self.open, index);
        Some(index)
    }
}

/// Units, and the supervisor itself.
fn is_log_name(name: &str) -> bool {
    name == "treeward" || UnitName::new(name).is_ok()
}

/// Opened for writing too, so that it never comes to its end (fifo(7)).
fn open_fifo(dir: &OwnedFd, name: &str) -> io::Result<File> {
    let flags =
        OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = File::from(openat(dir.as_fd(), name, flags, Mode::empty())?);
    if file.metadata()?.file_type().is_fifo() {
        Ok(file)
    } else {
        Err(io::Error::other("it is not a FIFO"))
    }
}
