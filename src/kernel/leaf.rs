//! One leaf: the cgroup of one start.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, fstat};

use super::cgroup::{directories, remove_dir_if_there};
use super::membership::{cgroup_of, is_within};
use super::{Error, is_gone, read_text, sys};

/// The extended attribute on the leaf's directory that holds its record.
const RECORD: &CStr = c"user.treeward";

/// The one that a newborn leaves there before it comes to its program.
pub(super) const MARK: &CStr = c"user.treeward.born";

/// The one that names the command that was let through there.
pub(super) const COMMAND: &CStr = c"user.treeward.command";

/// The most bytes a record may have: an extended attribute's limit on cgroupfs is 64 KiB, and a
/// record is a line.
const MAX_RECORD: usize = 4096;

/// A leaf by its path. It holds no descriptor, and need not exist.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Leaf {
    path: PathBuf,
    /// The leaf as `/proc/PID/cgroup` names it.
    cgroup: String,
}

/// A leaf's directory while a process is started in it: what is to be done by name is done here
/// without a walk through the file system.
#[derive(Debug)]
pub struct LeafDir(OwnedFd);

impl LeafDir {
    pub(super) fn open(below: impl AsFd, path: &Path) -> Result<Self, Errno> {
        // Not open(3): musl makes a second call of it, for Linux before 2.6.23.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(below, path, flags, Mode::empty()).map(Self)
    }

    /// As [`Leaf::inode`]; 0, which no leaf has, when the kernel does not tell.
    #[must_use]
    pub fn inode(&self) -> u64 {
        fstat(&self.0).map_or(0, |stat| stat.st_ino)
    }

    /// As [`Leaf::set_record`].
    ///
    /// # Errors
    /// As [`Leaf::set_record`].
    pub fn set_record(&self, record: &[u8]) -> Result<(), Error> {
        let set = match record.len() {
            0..=MAX_RECORD => sys::fset_xattr(self.0.as_fd(), RECORD, record),
            _ => Err(Errno::E2BIG),
        };
        set.map_err(|errno| Error::new("set", "the attribute user.treeward of a leaf", errno))
    }

    /// Lets this child through its gate, in one call that leaves nothing in between: from here on it
    /// comes to its program though this process be killed, and whoever asks the leaf learns of it
    /// ([`Leaf::let_through`]). Where attributes are refused the gate is all there is.
    pub fn let_through(&self, pid: u32) {
        let _ = sys::fset_xattr(self.0.as_fd(), COMMAND, &pid.to_ne_bytes());
    }
}

impl AsFd for LeafDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Leaf {
    pub(super) fn new(path: PathBuf, cgroup: String) -> Self {
        Self { path, cgroup }
    }

    /// Its name as `/proc/PID/cgroup` has it.
    #[must_use]
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// The absolute path of its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the file that changes when the leaf fills or empties.
    #[must_use]
    pub fn events_path(&self) -> PathBuf {
        self.path.join("cgroup.events")
    }

    /// Opens its directory, to start a process in it.
    ///
    /// # Errors
    /// ENOENT when the leaf does not exist.
    pub fn open(&self) -> Result<LeafDir, Error> {
        LeafDir::open(AT_FDCWD, &self.path).map_err(|e| Error::at("open", &self.path, e))
    }

    /// Whether a process lives in it or below it. Zombies do not count. A leaf that has vanished
    /// has no processes.
    ///
    /// # Errors
    /// When the kernel's account cannot be read or understood.
    pub fn populated(&self) -> Result<bool, Error> {
        self.event("populated")
    }

    /// A flag of `cgroup.events`; false for a leaf that has vanished.
    pub(super) fn event(&self, name: &str) -> Result<bool, Error> {
        let path = self.events_path();
        match read_text(&path) {
            Ok(text) => flag(&text, name).ok_or_else(|| Error::at("read", &path, Errno::EBADMSG)),
            Err(errno) if is_gone(errno) => Ok(false),
            Err(errno) => Err(Error::at("read", &path, errno)),
        }
    }

    /// The inode number, which is also the kernel's id of the cgroup.
    ///
    /// # Errors
    /// ENOENT when the leaf does not exist.
    pub fn inode(&self) -> Result<u64, Error> {
        let metadata = fs::metadata(&self.path).map_err(|e| Error::io("stat", &self.path, &e))?;
        Ok(metadata.ino())
    }

    /// The ids of all processes in it and below it. Processes outside our pid namespace have no
    /// number here and are left out. A leaf that has vanished has no members.
    ///
    /// # Errors
    /// When a list of processes cannot be read.
    pub fn members(&self) -> Result<Vec<u32>, Error> {
        let mut members = Vec::new();
        self.each_group(|_, pids| members.extend(pids))?;
        Ok(members)
    }

    /// Gives the leaf, and each cgroup below it, by its inode, with the ids of its own processes.
    /// The inode is 0 when the kernel does not tell.
    pub(super) fn each_group(&self, mut take: impl FnMut(u64, Vec<u32>)) -> Result<(), Error> {
        let mut dirs = vec![self.path.clone()];
        while let Some(dir) = dirs.pop() {
            let path = dir.join("cgroup.procs");
            let members = match read_text(&path) {
                Ok(text) => pids(&text).collect(),
                // A threaded cgroup lists its processes at its threaded root only, which is also
                // read here.
                Err(Errno::EOPNOTSUPP) => Vec::new(),
                Err(errno) if is_gone(errno) => continue,
                Err(errno) => return Err(Error::at("read", &path, errno)),
            };
            let (inode, links) = fs::metadata(&dir).map_or((0, 0), |of| (of.ino(), of.nlink()));
            take(inode, members);
            // cgroupfs counts links like other file systems: 2, and one for each directory below.
            // So the common case needs no reading of some thirty names.
            if links > 2 {
                let below = directories(&dir).unwrap_or_default();
                dirs.extend(below.into_iter().map(|name| dir.join(name)));
            }
        }
        Ok(())
    }

    /// Whether the process (or zombie) is in it or below it. A zombie of an earlier leaf of the
    /// same name is not.
    #[must_use]
    pub fn contains(&self, pid: u32) -> bool {
        cgroup_of(pid).is_some_and(|of| !of.removed && is_within(&of.cgroup, &self.cgroup))
    }

    /// Removes the leaf and every cgroup below it, deepest first; one that is missing is fine.
    ///
    /// # Errors
    /// EBUSY while a process lives in it.
    pub fn remove(&self) -> Result<(), Error> {
        // Nearly all have nothing below them.
        match self.remove_alone() {
            Err(error) if error.errno() == Errno::EBUSY => self.remove_with_all_below(),
            other => other,
        }
    }

    /// Removes it if there is no cgroup below it; one that is missing is fine.
    ///
    /// # Errors
    /// EBUSY while a process or a cgroup is in it.
    pub fn remove_alone(&self) -> Result<(), Error> {
        remove_dir_if_there(&self.path)
    }

    fn remove_with_all_below(&self) -> Result<(), Error> {
        // Parents before children; a descent that asks for one more name at a time would take
        // the stack, and a service may nest as deep as it likes.
        let mut dirs = vec![self.path.clone()];
        let mut next = 0;
        while let Some(dir) = dirs.get(next) {
            let below = directories(dir).unwrap_or_default();
            let below: Vec<_> = below.into_iter().map(|name| dir.join(name)).collect();
            dirs.extend(below);
            next += 1;
        }
        dirs.iter().rev().try_for_each(|dir| remove_dir_if_there(dir))
    }

    /// Gives the leaf to a user, who may then make cgroups in it: the directory and the files of
    /// cgroup-v2, "Delegation". The limits stay ours.
    ///
    /// # Errors
    /// EPERM for who is not root.
    pub fn give_to(&self, uid: u32, gid: Option<u32>) -> Result<(), Error> {
        // /sys/kernel/cgroup/delegate lists what this kernel means; the first three are always
        // there.
        let known = fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap_or_default();
        let files =
            known.lines().chain(["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"]);
        let paths = files.map(|file| self.path.join(file)).filter(|path| path.exists());
        for path in paths.chain([self.path.clone()]) {
            std::os::unix::fs::lchown(&path, Some(uid), gid)
                .map_err(|e| Error::io("chown", &path, &e))?;
        }
        Ok(())
    }

    /// Writes the record that lives exactly as long as the leaf (an extended attribute, which
    /// cgroupfs takes since Linux 5.7). At most 4096 bytes.
    ///
    /// # Errors
    /// EOPNOTSUPP where the kernel has none, ENOENT when the leaf is gone, E2BIG.
    pub fn set_record(&self, record: &[u8]) -> Result<(), Error> {
        let set = match record.len() {
            0..=MAX_RECORD => self.c_path().and_then(|path| sys::set_xattr(&path, RECORD, record)),
            _ => Err(Errno::E2BIG),
        };
        set.map_err(|errno| Error::at("set the attribute user.treeward of", &self.path, errno))
    }

    /// The record; `None` when there is none.
    #[must_use]
    pub fn record(&self) -> Option<Vec<u8>> {
        let mut record = vec![0; MAX_RECORD];
        let length = sys::get_xattr(&self.c_path().ok()?, RECORD, &mut record).ok()?;
        record.truncate(length);
        Some(record)
    }

    /// The process that was to leave a mark, was born here and went on to its program; it may have
    /// ended since. Without a mark the program was not executed.
    #[must_use]
    pub fn mark(&self) -> Option<u32> {
        self.pid_in(MARK)
    }

    /// The command that was let through its gate here: it has run, or will. See
    /// [`LeafDir::let_through`].
    #[must_use]
    pub fn let_through(&self) -> Option<u32> {
        self.pid_in(COMMAND)
    }

    fn pid_in(&self, attribute: &CStr) -> Option<u32> {
        let mut pid = [0; size_of::<u32>()];
        let length = sys::get_xattr(&self.c_path().ok()?, attribute, &mut pid).ok()?;
        (length == pid.len()).then(|| u32::from_ne_bytes(pid))
    }

    fn c_path(&self) -> Result<CString, Errno> {
        CString::new(self.path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
    }
}

/// The value of a `name 0` or `name 1` line.
fn flag(text: &str, name: &str) -> Option<bool> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// The numbers of a `cgroup.procs`, without the zeros that stand for foreign processes.
fn pids(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0)
}

#[cfg(test)]
mod tests;
