//! A directory of FIFOs that programs write their output to.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mknodat};

use super::Error;

/// Whose FIFOs they are: the owner reads and writes. The umask may take from it.
const MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// The directory. It is kept open, so that each FIFO is a walk of one step.
#[derive(Debug)]
pub struct FifoDir {
    path: PathBuf,
    dir: OwnedFd,
}

/// A FIFO, opened for a program to write to.
#[derive(Debug)]
pub struct Writer {
    /// The open FIFO.
    pub fifo: OwnedFd,
    /// Whether it was made just now.
    pub is_new: bool,
}

impl FifoDir {
    /// Opens the directory, which must exist.
    ///
    /// # Errors
    /// ENOENT when there is none, ENOTDIR when it is something else.
    pub fn open(path: PathBuf) -> Result<Self, Error> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = open(&path, flags, Mode::empty()).map_err(|e| Error::at("open", &path, e))?;
        Ok(Self { path, dir })
    }

    /// Where the FIFO of this name is, or would be.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens the FIFO of this name for a program to write its output to; makes it where there is
    /// none. It is opened for reading, too, so that the program never gets SIGPIPE when nobody
    /// reads, and blocking, as programs expect of their output.
    ///
    /// # Errors
    /// EEXIST when something else is there; a symbolic link counts as something else.
    pub fn writer(&self, name: &str) -> Result<Writer, Error> {
        let is_new = match mknodat(&self.dir, name, SFlag::S_IFIFO, MODE, 0) {
            Ok(()) => true,
            // Looked at before it is opened, because to open a device can have an effect. One that
            // is there serves, whatever else keeps a new one from being made.
            Err(errno) => match fstatat(&self.dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(there) if is_fifo(&there) => false,
                Ok(_) => return Err(self.failed("write to a FIFO at", name, Errno::EEXIST)),
                Err(stat) if errno == Errno::EEXIST => return Err(self.failed("stat", name, stat)),
                Err(_) => return Err(self.failed("make the FIFO", name, errno)),
            },
        };
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let fifo = openat(&self.dir, name, flags, Mode::empty());
        let fifo = fifo.map_err(|errno| self.failed("open", name, errno))?;
        Ok(Writer { fifo, is_new })
    }

    fn failed(&self, what: &'static str, name: &str, errno: Errno) -> Error {
        Error::at(what, Path::new(&self.path(name)), errno)
    }
}

/// Writes a line that is shorter than PIPE_BUF (pipe(7)), whole or not at all, and never waits.
///
/// # Errors
/// EAGAIN when there is no room for it.
pub fn write_line(fifo: &OwnedFd, line: &str) -> std::io::Result<()> {
    let file = File::options()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(format!("/proc/self/fd/{}", fifo.as_raw_fd()))?;
    (&file).write_all(format!("{line}\n").as_bytes())
}

const fn is_fifo(there: &FileStat) -> bool {
    there.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFIFO.bits()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn a_fifo_is_made_once_and_nothing_else_is_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let fifos = FifoDir::open(dir.path().into()).unwrap();
        let path = fifos.path("fifo");
        let inode = || fs::symlink_metadata(&path).unwrap().ino();
        let first = fifos.writer("fifo").unwrap();
        let made = inode();
        assert!(first.is_new);
        assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o600);
        let second = fifos.writer("fifo").unwrap();
        assert!(!second.is_new);
        assert_eq!(inode(), made);

        // Nobody reads, and still it can be written to.
        File::from(second.fifo).write_all(b"line\n").unwrap();

        symlink(&path, dir.path().join("link")).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        for other in ["link", "file"] {
            assert_eq!(fifos.writer(other).unwrap_err().errno(), Errno::EEXIST);
        }
    }
}
