//! One descriptor that becomes readable when any watched leaf fills or empties.
//!
//! An event is a hint to look at [`Leaf::populated`]: the kernel passes on at most one change of
//! a file in 10 ms and drops the ones in between, never the last (measured on 6.18).

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::Error;
use super::leaf::Leaf;

/// A leaf under watch. It does not end the watch when it is dropped: see [`LeafEvents::unwatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Watch(WatchDescriptor);

/// What has happened since the last look.
#[derive(Debug, Default)]
pub struct Drained {
    /// Whose leaf changed, each once.
    pub woken: Vec<Watch>,
    /// Whether the kernel's queue was full and events were lost: every leaf must be looked at.
    pub overflow: bool,
}

/// The descriptor; wait for it to become readable.
#[derive(Debug)]
pub struct LeafEvents(Inotify);

impl LeafEvents {
    /// Opens it.
    ///
    /// # Errors
    /// EMFILE when the user has no inotify instance left (128 unless changed).
    pub fn new() -> Result<Self, Error> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC);
        inotify.map(Self).map_err(|errno| Error::new("open", "an inotify descriptor", errno))
    }

    /// Watches a leaf. Look at it once afterwards: what happened before is not told.
    ///
    /// # Errors
    /// ENOENT when the leaf is gone, ENOSPC when the user has no watch left.
    pub fn watch(&self, leaf: &Leaf) -> Result<Watch, Error> {
        let path = leaf.events_path();
        let watch = self.0.add_watch(&path, AddWatchFlags::IN_MODIFY);
        watch.map(Watch).map_err(|errno| Error::at("watch", &path, errno))
    }

    /// Ends a watch. Do it before the leaf is removed: cgroupfs does not tell inotify of the
    /// removal, and the watch would stay for ever (seen on 6.18).
    pub fn unwatch(&self, watch: Watch) {
        // The only refusal is that there is no such watch, which is what is wanted.
        let _ = self.0.rm_watch(watch.0);
    }

    /// Takes all events that there are, without waiting.
    pub fn drain(&self) -> Drained {
        let mut drained = Drained::default();
        loop {
            let events = match self.0.read_events() {
                Ok(events) => events,
                Err(Errno::EINTR) => continue,
                Err(_) => break,
            };
            for event in events {
                drained.overflow |= event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
                if event.mask.contains(AddWatchFlags::IN_MODIFY) {
                    drained.woken.push(Watch(event.wd));
                }
            }
        }
        drained.woken.sort_unstable_by_key(|watch| watch.0.as_raw());
        drained.woken.dedup();
        drained
    }
}

impl AsFd for LeafEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::super::spawn::Report;
    use super::super::testing::{TestTree, eventually};
    use super::*;

    fn watches(events: &LeafEvents) -> usize {
        let path = format!("/proc/self/fdinfo/{}", events.as_fd().as_raw_fd());
        std::fs::read_to_string(path).unwrap().matches("inotify wd:").count()
    }

    #[test]
    fn the_leaf_that_empties_is_told_and_no_other() {
        let tree = TestTree::new("events");
        let events = LeafEvents::new().unwrap();
        let (quiet, _sleeper) = tree.shell("exec sleep 1000");
        let (leaf, mut shell) = tree.shell("exec sleep 1000");
        assert_eq!(shell.report(), Report::Executed);
        let watch = events.watch(&leaf).unwrap();
        let other = events.watch(&quiet).unwrap();
        assert_ne!(watch, other);
        leaf.kill().unwrap();
        eventually("news of the leaf", || {
            let drained = events.drain();
            assert!(!drained.overflow && !drained.woken.contains(&other));
            (drained.woken == [watch] && !leaf.populated().unwrap()).then_some(())
        });
        shell.end();
        assert_eq!(watches(&events), 2);
        events.unwatch(watch);
        events.unwatch(watch);
        leaf.remove().unwrap();
        assert_eq!(watches(&events), 1);
        assert_eq!(events.drain().woken, []);
        assert_eq!(events.watch(&leaf).unwrap_err().errno(), Errno::ENOENT);
    }
}
