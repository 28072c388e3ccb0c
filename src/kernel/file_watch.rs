//! One descriptor that becomes readable when any watched file is written to (inotify(7)).
//!
//! An event is a hint: read the file.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::Error;

/// A file under watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched(WatchDescriptor);

/// The descriptor; wait for it to become readable.
#[derive(Debug)]
pub struct FileWatch(Inotify);

impl FileWatch {
    /// Opens it.
    ///
    /// # Errors
    /// EMFILE when the user has no inotify instance left (128 unless changed).
    pub fn new() -> Result<Self, Error> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC);
        inotify.map(Self).map_err(|errno| Error::new("open", "an inotify descriptor", errno))
    }

    /// Watches a file, until [`FileWatch::unwatch`]. Look at it once afterwards: what happened before is not
    /// told.
    ///
    /// # Errors
    /// ENOENT when there is none, ENOSPC when the user has no watch left.
    pub fn watch(&self, path: &Path) -> Result<Watched, Error> {
        let watch = self.0.add_watch(path, AddWatchFlags::IN_MODIFY);
        watch.map(Watched).map_err(|errno| Error::at("watch", path, errno))
    }

    /// Ends a watch. It would outlive the file's name as long as somebody has the file open.
    pub fn unwatch(&self, watched: Watched) {
        // The only refusal is that there is no such watch, which is what is wanted.
        let _ = self.0.rm_watch(watched.0);
    }

    /// Takes all events that there are, without waiting; which file it was is not told.
    pub fn drain(&self) {
        while matches!(self.0.read_events(), Ok(_) | Err(Errno::EINTR)) {}
    }
}

impl AsFd for FileWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    #[test]
    fn a_write_wakes_and_a_look_quiets() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let watch = FileWatch::new().unwrap();
        let watched = watch.watch(file.path()).unwrap();
        let wakes = |timeout: u16| {
            let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::from(timeout)).unwrap() == 1
        };
        assert!(!wakes(0));
        file.write_all(b"\n").unwrap();
        assert!(wakes(10_000));
        watch.drain();
        assert!(!wakes(0));
        watch.unwatch(watched);
        watch.drain();
        file.write_all(b"\n").unwrap();
        assert!(!wakes(0));
        let gone = watch.watch(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(gone.errno(), Errno::ENOENT);
    }
}
