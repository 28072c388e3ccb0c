//! Locks and directories of ours, and small files that others write.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, OpenHow, ResolveFlag, fcntl, openat2};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Uid;

use super::{Error, errno_of};

/// How many descriptors the process wants: per start a pidfd and a pipe, and a few besides.
const WANTED_NOFILE: u64 = 65_536;

/// The kernel's own limit on symbolic links in one path.
const MAX_LINKS: usize = 40;

/// Reads a small file that somebody else writes (a PID file). It must be a regular file; and no
/// symbolic link on the way may belong to anyone but root and the caller, so that nobody can
/// point a trusted path at a file of theirs.
///
/// # Errors
/// ELOOP for such a link, EINVAL for what is no regular file, EFBIG beyond `max` bytes.
pub fn read_small(path: &Path, max: usize) -> Result<Vec<u8>, Error> {
    let failed = |errno| Error::at("read", path, errno);
    let file = File::from(open_trusted(path).map_err(failed)?);
    let metadata = file.metadata().map_err(|e| failed(errno_of(&e)))?;
    if !metadata.is_file() {
        return Err(failed(Errno::EINVAL));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|e| failed(errno_of(&e)))?;
    if bytes.len() > max { Err(failed(Errno::EFBIG)) } else { Ok(bytes) }
}

/// O_NONBLOCK, lest a FIFO in the file's place make us wait for a writer.
fn open_trusted(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(AT_FDCWD, path, how) {
        // `/var/run` is a link on nearly every machine. What is found to stand for it is opened
        // without links again, so a link that is put there meanwhile is not followed.
        Err(Errno::ELOOP) => openat2(AT_FDCWD, &resolve_trusted(path)?, how),
        other => other,
    }
}

/// Opens a directory (O_PATH) if no symbolic link on the way belongs to anyone but root and the
/// caller.
pub(super) fn open_trusted_dir(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(AT_FDCWD, path, how) {
        Err(Errno::ELOOP) => openat2(AT_FDCWD, &resolve(path, Last::Followed)?, how),
        other => other,
    }
}

/// What is done with a link that is the last component of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Followed,
    LeftAlone,
}

/// The path with trusted links in its directories replaced; ELOOP at any other. The last
/// component is left as it is.
fn resolve_trusted(path: &Path) -> Result<PathBuf, Errno> {
    resolve(path, Last::LeftAlone)
}

fn resolve(path: &Path, at_last: Last) -> Result<PathBuf, Errno> {
    let mut todo: VecDeque<PathBuf> = path.components().map(as_path).collect();
    let mut resolved = PathBuf::new();
    let mut links = 0;
    while let Some(part) = todo.pop_front() {
        let next = resolved.join(&part);
        let last = todo.is_empty() && at_last == Last::LeftAlone;
        let metadata = fs::symlink_metadata(&next).map_err(|e| errno_of(&e))?;
        if last || !metadata.is_symlink() {
            resolved = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS || !is_ours(metadata.uid()) {
            return Err(Errno::ELOOP);
        }
        let target = fs::read_link(&next).map_err(|e| errno_of(&e))?;
        for part in target.components().rev() {
            todo.push_front(as_path(part));
        }
    }
    Ok(resolved)
}

fn as_path(component: Component) -> PathBuf {
    PathBuf::from(component.as_os_str())
}

/// Whether what belongs to this user can be trusted.
fn is_ours(uid: u32) -> bool {
    uid == 0 || uid == Uid::effective().as_raw()
}

/// Why a lock could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("already running, pid {pid}")]
    Held {
        /// That process; 0 when it is in another pid namespace.
        pid: u32,
    },
    /// The lock file cannot be used.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Takes the lock for as long as the descriptor is open, and writes the process id into the file
/// for people.
///
/// It is a lock of the process (fcntl(2), not flock(2)): a child on its way to its program holds
/// copies of all descriptors, and must not hold the lock when the parent is gone. For the same
/// reason the file must not be opened anywhere else in the process: any close drops the lock.
///
/// # Errors
/// See [`LockError`].
pub fn lock(path: &Path) -> Result<OwnedFd, LockError> {
    let failed = |errno| LockError::Failed(Error::at("lock", path, errno));
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(0o644).custom_flags(libc::O_NOFOLLOW).open(path);
    let mut file = file.map_err(|e| failed(errno_of(&e)))?;
    lock_open(&file, path)?;
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|e| failed(errno_of(&e)))?;
    Ok(file.into())
}

/// The same with a file that is there, and whose content is none of ours.
pub(super) fn lock_existing(path: &Path) -> Result<OwnedFd, LockError> {
    let file = File::options().write(true).custom_flags(libc::O_NOFOLLOW).open(path);
    let file = file.map_err(|e| LockError::Failed(Error::at("lock", path, errno_of(&e))))?;
    lock_open(&file, path)?;
    Ok(file.into())
}

fn lock_open(file: &File, path: &Path) -> Result<(), LockError> {
    let failed = |errno| LockError::Failed(Error::at("lock", path, errno));
    let mut whole = whole_file();
    match fcntl(file, FcntlArg::F_SETLK(&whole)) {
        Ok(_) => Ok(()),
        Err(Errno::EAGAIN | Errno::EACCES) => {
            fcntl(file, FcntlArg::F_GETLK(&mut whole)).map_err(failed)?;
            Err(LockError::Held { pid: u32::try_from(whole.l_pid).unwrap_or(0) })
        }
        Err(errno) => Err(failed(errno)),
    }
}

/// A write lock from the first byte to the last.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

static ORIGINAL_NOFILE: OnceLock<(u64, u64)> = OnceLock::new();

/// Raises the limit of open descriptors as far as may be, and keeps the old one for the children
/// (see [`super::program::Prepared`]). Gives the new soft limit.
pub fn raise_nofile_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 0;
    };
    let _ = ORIGINAL_NOFILE.set((soft, hard));
    let wanted = soft.max(WANTED_NOFILE);
    // Only root may raise the hard limit.
    let tries = [(wanted, hard.max(wanted)), (wanted.min(hard), hard)];
    for (soft, hard) in tries {
        if setrlimit(Resource::RLIMIT_NOFILE, soft, hard).is_ok() {
            return soft;
        }
    }
    soft
}

/// Undoes [`raise_nofile_limit`], for a program that is to find the limit as this one did.
pub(super) fn restore_nofile_limit() {
    if let Some((soft, hard)) = original_nofile_limit() {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
    }
}

/// The soft and hard limit before [`raise_nofile_limit`]; `None` when it was not called.
pub(super) fn original_nofile_limit() -> Option<(u64, u64)> {
    ORIGINAL_NOFILE.get().copied()
}

/// Makes a directory (mode 0755, parents as well) or takes the one that is there, if nobody but
/// root and the caller can put files into it.
///
/// # Errors
/// EPERM when it belongs to, or can be written by, somebody else.
pub fn secure_dir(path: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|e| Error::io("make the directory", path, &e))?;
    let metadata = fs::symlink_metadata(path).map_err(|e| Error::io("stat", path, &e))?;
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if metadata.is_dir() && is_ours(owner) && mode & 0o022 == 0 {
        return Ok(());
    }
    let subject = format!("{} (owned by user {owner}, mode {mode:04o})", path.display());
    Err(Error::new("trust the directory", subject, Errno::EPERM))
}

/// `/dev/null`, opened once.
pub fn dev_null() -> Result<BorrowedFd<'static>, Error> {
    static NULL: OnceLock<File> = OnceLock::new();
    if let Some(null) = NULL.get() {
        return Ok(null.as_fd());
    }
    let path = Path::new("/dev/null");
    let null = File::options().read(true).write(true).open(path);
    let null = null.map_err(|e| Error::io("open", path, &e))?;
    Ok(NULL.get_or_init(|| null).as_fd())
}

#[cfg(test)]
mod tests;
