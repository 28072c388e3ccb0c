//! Being woken when something happens to paths, also to paths that do not exist yet: one descriptor
//! for all of them (inotify(7)).
//!
//! A wake-up is a hint to look at the path: see [`look`]. What is watched is the path itself, where
//! it exists, and the nearest directory above it that does; when that changes the watch must be
//! made anew.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::Error;

/// What about the path itself wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// That it comes and goes, that a writer has closed it, and what is in it when it is a
    /// directory.
    Settled,
    /// Each write as well.
    EachWrite,
}

impl Interest {
    fn flags(self) -> AddWatchFlags {
        let settled = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_ATTRIB | names();
        match self {
            Self::Settled => settled,
            Self::EachWrite => settled | AddWatchFlags::IN_MODIFY,
        }
    }
}

/// What happens to names in a directory, and to the directory itself.
fn names() -> AddWatchFlags {
    AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
}

/// Paths under watch, until [`PathWatch::unwatch`].
#[derive(Debug)]
#[must_use]
pub struct Watched(Vec<WatchDescriptor>);

/// What has happened since the last look.
#[derive(Debug, Default)]
pub struct Drained {
    woken: HashSet<WatchDescriptor>,
    overflow: bool,
}

impl Drained {
    /// Whether it may concern these paths.
    #[must_use]
    pub fn concerns(&self, watched: &Watched) -> bool {
        self.overflow || watched.0.iter().any(|watch| self.woken.contains(watch))
    }
}

/// The descriptor; wait for it to become readable.
#[derive(Debug)]
pub struct PathWatch {
    inotify: Inotify,
    /// A directory has one watch, however many paths it is watched for.
    uses: HashMap<WatchDescriptor, usize>,
}

impl PathWatch {
    /// Opens it.
    ///
    /// # Errors
    /// EMFILE when the user has no inotify instance left (128 unless changed).
    pub fn new() -> Result<Self, Error> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
            .map_err(|errno| Error::new("open", "an inotify descriptor", errno))?;
        Ok(Self { inotify, uses: HashMap::new() })
    }

    /// Watches paths. Look at each once afterwards: what happened before is not told.
    ///
    /// # Errors
    /// ENOSPC when the user has no watch left, EACCES for what may not be read.
    pub fn watch<'a>(
        &mut self,
        paths: impl Iterator<Item = (&'a Path, Interest)>,
    ) -> Result<Watched, Error> {
        let mut watched = Watched(Vec::new());
        for (path, interest) in paths {
            if let Err(error) = self.watch_one(path, interest, &mut watched) {
                self.unwatch(watched);
                return Err(error);
            }
        }
        Ok(watched)
    }

    fn watch_one(
        &mut self,
        path: &Path,
        interest: Interest,
        watched: &mut Watched,
    ) -> Result<(), Error> {
        match self.add(path, interest.flags(), watched) {
            Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(errno) => return Err(Error::at("watch", path, errno)),
        }
        for above in path.ancestors().skip(1) {
            match self.add(above, names() | AddWatchFlags::IN_ONLYDIR, watched) {
                Ok(()) => return Ok(()),
                // Whatever is missing comes in the directory above it.
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(errno) => return Err(Error::at("watch", above, errno)),
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        path: &Path,
        flags: AddWatchFlags,
        watched: &mut Watched,
    ) -> Result<(), Errno> {
        // What others want to know of it is not forgotten. nix has no name for that flag.
        let add = AddWatchFlags::from_bits_retain(libc::IN_MASK_ADD);
        let watch = self.inotify.add_watch(path, flags | add)?;
        *self.uses.entry(watch).or_default() += 1;
        watched.0.push(watch);
        Ok(())
    }

    /// Watches them no more.
    pub fn unwatch(&mut self, watched: Watched) {
        for watch in watched.0 {
            let Some(uses) = self.uses.get_mut(&watch) else { continue };
            *uses -= 1;
            if *uses == 0 {
                self.uses.remove(&watch);
                // The only refusal is that it has gone with its file.
                let _ = self.inotify.rm_watch(watch);
            }
        }
    }

    /// Takes all events that there are, without waiting.
    pub fn drain(&self) -> Drained {
        let mut drained = Drained::default();
        loop {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EINTR) => continue,
                Err(_) => return drained,
            };
            for event in events {
                drained.overflow |= event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
                drained.woken.insert(event.wd);
            }
        }
    }
}

impl AsFd for PathWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// What tells a file, or what is in a directory, from what was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Print {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// How a path is now; `None` where nothing is. A symbolic link stands for what it leads to.
#[must_use]
pub fn look(path: &Path) -> Option<Print> {
    let found = fs::metadata(path).ok()?;
    Some(Print {
        file: (found.dev(), found.ino()),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

/// Whether it is a directory with something in it.
#[must_use]
pub fn holds_something(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_into_being_step_by_step_is_told_at_each_step() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        let mut watch = PathWatch::new().unwrap();
        let again = |watch: &mut PathWatch, old: Option<Watched>| {
            let new = watch.watch([(path.as_path(), Interest::Settled)].into_iter()).unwrap();
            old.into_iter().for_each(|old| watch.unwatch(old));
            new
        };
        let mut watched = again(&mut watch, None);
        for step in ["a", "a/b"] {
            fs::create_dir(dir.path().join(step)).unwrap();
            assert!(watch.drain().concerns(&watched), "{step}");
            watched = again(&mut watch, Some(watched));
        }
        assert_eq!(look(&path), None);
        fs::write(&path, "").unwrap();
        assert!(watch.drain().concerns(&watched));
        watched = again(&mut watch, Some(watched));
        let before = look(&path);
        assert!(before.is_some());
        fs::write(&path, "more").unwrap();
        assert!(watch.drain().concerns(&watched));
        assert_ne!(look(&path), before);
        fs::rename(&path, dir.path().join("elsewhere")).unwrap();
        assert!(watch.drain().concerns(&watched));
        watch.unwatch(watched);
        assert!(watch.uses.is_empty());
    }

    #[test]
    fn two_that_watch_one_directory_do_not_disturb_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let mut watch = PathWatch::new().unwrap();
        let first = watch.watch([(one.as_path(), Interest::Settled)].into_iter()).unwrap();
        let second = watch.watch([(two.as_path(), Interest::EachWrite)].into_iter()).unwrap();
        watch.unwatch(second);
        fs::write(&one, "").unwrap();
        assert!(watch.drain().concerns(&first));
        assert!(!holds_something(&one) && holds_something(dir.path()));
        assert!(!holds_something(&two));
    }

    #[test]
    fn only_who_asks_for_it_is_woken_by_each_write() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = fs::File::create(&path).unwrap();
        for (interest, expected) in [(Interest::Settled, false), (Interest::EachWrite, true)] {
            let mut watch = PathWatch::new().unwrap();
            let watched = watch.watch([(path.as_path(), interest)].into_iter()).unwrap();
            file.write_all(b"x").unwrap();
            assert_eq!(watch.drain().concerns(&watched), expected);
            watch.unwatch(watched);
        }
    }
}
