//! The doors to the kernel, one file for each facility.
//!
//! They speak of leaves, process ids and paths, and have never heard of a service or a unit.
//!
//! | door | behind it |
//! |---|---|
//! | [`cgroup`], [`leaf`], [`tree_kill`] | the cgroup tree: finding it, one leaf of it, ending a leaf |
//! | [`membership`], [`cgroup_ids`] | which cgroup a process is in, and where that is on disk |
//! | [`accounting`] | what a cgroup uses, and what it may use |
//! | [`executable`], [`env_file`] | what a start will find, looked at before |
//! | [`program`], [`spawn`], [`report`] | what is started, the start itself, what became of it |
//! | [`reap`], [`pidfd`], [`process`] | the dead, the identified, and how the living look |
//! | [`poll`], [`leaf_events`], [`signals`], [`clock`], [`wall_timer`], [`path_watch`] | waiting, and what wakes the waiter |
//! | [`sockets`], [`kept`] | sockets for services, and keeping them open over our own end |
//! | [`notify_socket`], [`senders`], [`fifos`], [`custody`] | datagrams and output from processes, and keeping it open |
//! | [`probe`], [`file_watch`] | whether somebody answers, and whether a file was written to |
//! | [`files`] | locks, directories that can be trusted, small files |
//! | [`mounts`], [`swap`], [`machine`], [`processes`] | what process 1 sets up and takes down |
//! | [`namespaces`], [`guest_mounts`], [`subgroups`] | what a guest system is given of its own |
//!
//! `unsafe` is in two files only: `sys` (thin wrappers of single system calls) and `spawn`.

pub mod accounting;
pub mod cgroup;
pub mod cgroup_ids;
mod child_memory;
mod child_sockets;
pub mod clock;
pub mod custody;
pub mod env_file;
pub mod executable;
pub mod fifos;
pub mod file_watch;
pub mod files;
pub mod guest_mounts;
pub mod heap;
pub mod kept;
pub mod leaf;
pub mod leaf_events;
pub mod machine;
pub mod membership;
pub mod mounts;
pub mod namespaces;
pub mod notify_socket;
pub mod path_watch;
pub mod pidfd;
pub mod poll;
pub mod probe;
pub mod process;
pub mod processes;
pub mod program;
pub mod reap;
pub mod replace;
pub mod report;
pub mod senders;
pub mod signals;
pub mod sockets;
pub mod spawn;
pub mod subgroups;
pub mod swap;
mod sys;
pub mod tree_kill;
pub mod wall_timer;

#[cfg(test)]
mod testing;

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::read;

/// A system call that failed, and on what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {what} {subject}: {} ({errno:?})", errno.desc())]
pub struct Error {
    what: &'static str,
    subject: String,
    errno: Errno,
}

impl Error {
    /// Takes what was tried ("mkdir"), on what (a path, a process id) and the kernel's answer.
    pub fn new(what: &'static str, subject: impl Into<String>, errno: Errno) -> Self {
        Self { what, subject: subject.into(), errno }
    }

    /// The kernel's answer.
    #[must_use]
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// Takes a failed operation on a path.
    fn at(what: &'static str, path: &Path, errno: Errno) -> Self {
        Self::new(what, path.display().to_string(), errno)
    }

    /// Takes the standard library's account of a failed operation on a path.
    fn io(what: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::at(what, path, errno_of(error))
    }
}

/// The errno inside an I/O error. Errors the standard library makes up itself (text that is not
/// UTF-8) count as EINVAL.
fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw)
}

/// Reads a file of the kernel that is short as a rule: three system calls, where the standard
/// library takes seven. For what is read at every birth and death.
fn read_text(path: &Path) -> Result<String, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let file = openat(AT_FDCWD, path, flags, Mode::empty())?;
    let mut bytes = Vec::new();
    let mut piece = [0; 1024];
    loop {
        match read(&file, &mut piece) {
            Ok(count) => {
                bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
                // seq_file gives at most a page at a time, but all it has of a short text.
                if count < SHORT {
                    return String::from_utf8(bytes).map_err(|_| Errno::EINVAL);
                }
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// A read that gave fewer bytes was the last. cgroup.procs is filled a whole line at a time, and a
/// line has at most 11 bytes.
const SHORT: usize = 1024 - 16;

/// Whether the answer means that the cgroup or the process behind a path has vanished: ENOENT
/// before the file is opened, ENODEV or ESRCH when it went while it was open.
fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENODEV | Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_and_why() {
        let error = Error::at("mkdir", Path::new("/sys/x"), Errno::EACCES);
        assert_eq!(error.to_string(), "cannot mkdir /sys/x: Permission denied (EACCES)");
        assert_eq!(error.errno(), Errno::EACCES);
    }
}
