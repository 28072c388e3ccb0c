//! The cgroup tree: finding its root, the two rooms below it, and making leaves.
//!
//! ```text
//! <root>/supervisor               the process that looks after the rest
//! <root>/services/<group>/<n>     one leaf for each start; <group> carries limits and accounting
//! ```

use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, mkdirat};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::mkdir;

use super::files::{LockError, lock_existing};
use super::leaf::{Leaf, LeafDir};
use super::membership::{Membership, Mount, cgroup2_mounts, is_within, own_cgroup};
use super::{Error, errno_of, sys};

const SUPERVISOR: &str = "supervisor";
const SERVICES: &str = "services";

/// The mode of a cgroup's directory.
const MODE: Mode = Mode::from_bits_truncate(0o755);

/// What is asked of the kernel for every group, where it can be had.
const CONTROLLERS: [&str; 4] = ["memory", "pids", "cpu", "io"];

/// Where the tree belongs on this machine: `treeward` below the mount when the caller is in the
/// root cgroup, otherwise the caller's own cgroup, which somebody delegated to it. A caller that
/// is in the `supervisor` room of an earlier tree is given that tree's root again.
///
/// # Errors
/// When `/proc` cannot be read, or no mount of cgroup2 shows the caller's cgroup (ENODEV).
pub fn find_root() -> Result<PathBuf, Error> {
    let is_root = |root: &Path| is_tree(root) || is_delegated(root);
    root_for(&cgroup2_mounts()?, &own_cgroup()?, is_root)
        .ok_or_else(|| Error::new("find", "a mount of cgroup2 with our own cgroup", Errno::ENODEV))
}

/// Whether there is a tree at this directory.
#[must_use]
pub fn is_tree(root: &Path) -> bool {
    root.join(SERVICES).is_dir()
}

/// Whether systemd gave this cgroup away to be divided: then a process that it started in a
/// subgroup of it is meant to work in the whole (systemd.resource-control(5), `Delegate=` and
/// `DelegateSubgroup=`; the mark is user.delegate since systemd 251).
fn is_delegated(dir: &Path) -> bool {
    let Ok(path) = CString::new(dir.as_os_str().as_bytes()) else { return false };
    let mut value = [0; 2];
    sys::get_xattr(&path, c"user.delegate", &mut value).is_ok_and(|length| value[..length] == *b"1")
}

fn root_for(mounts: &[Mount], own: &str, is_root: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    // Containers and test machines mount cgroup2 in odd places a second time.
    let usual = mounts.iter().filter(|mount| mount.point.starts_with("/sys/fs/cgroup"));
    let own_dir = usual.chain(mounts).find_map(|mount| mount.path_of(own))?;
    if own == "/" {
        return Some(own_dir.join("treeward"));
    }
    match own_dir.parent() {
        Some(parent) if own_dir.ends_with(SUPERVISOR) && is_root(parent) => Some(parent.into()),
        _ => Some(own_dir),
    }
}

/// An open tree.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
    /// The root as `/proc/PID/cgroup` names it.
    cgroup: String,
    /// The directory of all groups.
    services: Arc<OwnedFd>,
}

impl Tree {
    /// Opens the tree at the directory, making it and its two rooms where they are missing. Only
    /// the last component of `root` is made.
    ///
    /// # Errors
    /// ENODEV when the directory is not on cgroup2; EACCES, EPERM or EROFS when the caller may not
    /// make cgroups there, which is to say that the subtree was not delegated to it.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let existing = if root.exists() { root } else { root.parent().unwrap_or(root) };
        let kind = statfs(existing).map_err(|errno| Error::at("statfs", existing, errno))?;
        if kind.filesystem_type() != CGROUP2_SUPER_MAGIC {
            return Err(Error::at("find a cgroup2 file system at", root, Errno::ENODEV));
        }
        make_dir_if_missing(root)?;
        let root = fs::canonicalize(root).map_err(|e| Error::io("resolve", root, &e))?;
        let mounts = cgroup2_mounts()?;
        // The last mount on a mount point hides the others, and the longest mount point wins.
        let mount = mounts.iter().filter(|mount| root.starts_with(&mount.point));
        let mount = mount.max_by_key(|mount| mount.point.as_os_str().len());
        let cgroup = mount
            .and_then(|mount| mount.cgroup_at(&root))
            .ok_or_else(|| Error::at("find the mount of", &root, Errno::ENODEV))?;
        make_dir_if_missing(&root.join(SUPERVISOR))?;
        let services = root.join(SERVICES);
        make_dir_if_missing(&services)?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = open(&services, flags, Mode::empty());
        let services = Arc::new(dir.map_err(|e| Error::at("open", &services, e))?);
        Ok(Self { root, cgroup, services })
    }

    /// The root directory, absolute and without symbolic links.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Takes the tree for this process, until the descriptor is closed. The lock is on a file that
    /// nobody but its owner can open, or anybody could keep the supervisor from starting; and that
    /// nobody here writes to, since any close of it would drop the lock.
    ///
    /// # Errors
    /// See [`LockError`]; ENOENT where the kernel has no such file (before 5.14), or the tree is gone.
    pub fn lock(&self) -> Result<OwnedFd, LockError> {
        lock_existing(&self.services_path().join("cgroup.kill"))
    }

    fn supervisor_path(&self) -> PathBuf {
        self.root.join(SUPERVISOR)
    }

    fn services_path(&self) -> PathBuf {
        self.root.join(SERVICES)
    }

    /// Moves the calling process into the `supervisor` room when it is in the tree and in the way
    /// there: in a service's leaf, or in the root of a tree that has controllers to hand down.
    /// Gives whether it moved. A caller outside the tree is left where it is: it is not ours to
    /// take out of somebody else's accounting, and the move costs about 6 ms.
    ///
    /// # Errors
    /// When the kernel refuses the move.
    pub fn enter_supervisor(&self) -> Result<bool, Error> {
        let own = own_cgroup()?;
        let is_in_root = own == self.cgroup && self.available_controllers().is_empty();
        let is_there = own == format!("{}/{SUPERVISOR}", self.cgroup);
        if !is_within(&own, &self.cgroup) || is_there || is_in_root {
            return Ok(false);
        }
        write(&self.supervisor_path().join("cgroup.procs"), "0").map(|()| true)
    }

    /// The controllers that were handed down to the root of this tree.
    fn available_controllers(&self) -> Vec<String> {
        controllers_of(&self.root)
    }

    /// Switches on every controller of memory, pids, cpu and io that can be had, for all groups,
    /// and gives those that are on. None is fine: tracking needs no controller.
    ///
    /// Call it after [`Self::enter_supervisor`]: a cgroup with processes in it cannot hand
    /// controllers down (cgroups(7), "no internal processes").
    #[must_use]
    pub fn enable_controllers(&self) -> Vec<String> {
        // Where the tree stands directly below the root cgroup nobody else may have handed the
        // controllers down to it. A delegated subtree has been given what it is to have.
        let parent = Path::new(&self.cgroup).parent();
        let above = self.root.parent().filter(|_| parent == Some(Path::new("/")));
        let there = above.map_or_else(|| self.available_controllers(), controllers_of);
        for controller in CONTROLLERS.iter().filter(|name| there.iter().any(|on| on == *name)) {
            for dir in above.into_iter().chain([self.root(), &self.services_path()]) {
                // What cannot be had is seen below.
                let _ = write(&dir.join("cgroup.subtree_control"), &format!("+{controller}"));
            }
        }
        let on = fs::read_to_string(self.services_path().join("cgroup.subtree_control"));
        on.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }

    /// Hands every controller that is on for the groups down to the leaves of one, so that a leaf
    /// may hand them on. What cannot be had is had nowhere below either.
    pub fn hand_down_controllers(&self, group: &str) {
        for controller in controllers_of(&self.group_path(group)) {
            let path = self.group_path(group).join("cgroup.subtree_control");
            let _ = write(&path, &format!("+{controller}"));
        }
    }

    /// Makes a fresh leaf, and its group where that is missing. `group` must be a single path
    /// component.
    ///
    /// # Errors
    /// EEXIST when there is such a leaf already: a leaf is never used twice.
    pub fn make_leaf(&self, group: &str, number: u64) -> Result<Leaf, Error> {
        let below = format!("{group}/{number}");
        let made = match self.make_below(&below) {
            Err(Errno::ENOENT) => {
                self.make_group(group)?;
                self.make_below(&below)
            }
            other => other,
        };
        let leaf = self.leaf(group, number);
        made.map_err(|errno| Error::at("mkdir", leaf.path(), errno))?;
        Ok(leaf)
    }

    /// Makes a group; one that is there is fine.
    ///
    /// # Errors
    /// When the kernel makes no more cgroups.
    pub fn make_group(&self, group: &str) -> Result<(), Error> {
        match self.make_below(group) {
            Err(errno) if errno != Errno::EEXIST => {
                Err(Error::at("mkdir", &self.group_path(group), errno))
            }
            _ => Ok(()),
        }
    }

    /// Opens a leaf's directory, to start a process in it.
    ///
    /// # Errors
    /// ENOENT when the leaf does not exist.
    pub fn open_leaf(&self, group: &str, number: u64) -> Result<LeafDir, Error> {
        LeafDir::open(&*self.services, Path::new(&format!("{group}/{number}")))
            .map_err(|errno| Error::at("open", self.leaf(group, number).path(), errno))
    }

    /// mkdir(2) with the mode a cgroup has, without a walk from the root of the file system.
    fn make_below(&self, path: &str) -> Result<(), Errno> {
        mkdirat(&*self.services, path, MODE)
    }

    /// Makes a short-lived leaf outside `services`, where no group can have its name. One that a
    /// killed supervisor left goes first.
    pub(super) fn make_probe(&self, number: u64) -> Result<Leaf, Error> {
        for entry in std::fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b"probe-") {
                // One that is in use stays.
                let _ = std::fs::remove_dir(entry.path());
            }
        }
        let leaf = self.leaf_below(&format!("probe-{number}"));
        make_dir(leaf.path()).map(|()| leaf)
    }

    /// The leaf of that number, whether it exists or not.
    #[must_use]
    pub fn leaf(&self, group: &str, number: u64) -> Leaf {
        self.leaf_below(&format!("{SERVICES}/{group}/{number}"))
    }

    /// The whole tree as one leaf, for a test to take down.
    #[cfg(test)]
    pub(super) fn leaf_at_root(&self) -> Leaf {
        Leaf::new(self.root.clone(), self.cgroup.clone())
    }

    fn leaf_below(&self, below: &str) -> Leaf {
        Leaf::new(self.root.join(below), format!("{}/{below}", self.cgroup.trim_end_matches('/')))
    }

    /// Makes a cgroup beside the leaves of a group, for a process that is no part of any: it is never
    /// taken for a leaf. `name` must be a single path component, and no number.
    ///
    /// # Errors
    /// EEXIST when there is such a one already, ENOENT when there is no such group.
    pub fn make_beside(&self, group: &str, name: &str) -> Result<Leaf, Error> {
        let beside = self.leaf_below(&format!("{SERVICES}/{group}/{name}"));
        let made = self.make_below(&format!("{group}/{name}"));
        made.map_err(|errno| Error::at("mkdir", beside.path(), errno))?;
        Ok(beside)
    }

    /// What is beside the leaves of these groups, each with its group.
    #[must_use]
    pub fn left_beside(&self, groups: &[String]) -> Vec<(String, Leaf)> {
        let services = self.services_path();
        let mut left = Vec::new();
        for group in groups {
            for name in directories(&services.join(group)).unwrap_or_default() {
                if name.parse::<u64>().is_err() {
                    let leaf = self.leaf_below(&format!("{SERVICES}/{group}/{name}"));
                    left.push((group.clone(), leaf));
                }
            }
        }
        left
    }

    /// Every group that exists, in no order.
    ///
    /// # Errors
    /// When the directory of all groups cannot be read.
    pub fn groups(&self) -> Result<Vec<String>, Error> {
        let services = self.services_path();
        directories(&services).map_err(|e| Error::at("read", &services, e))
    }

    /// Every leaf of these groups that exists, as group and number, sorted.
    #[must_use]
    pub fn leaves(&self, groups: &[String]) -> Vec<(String, u64)> {
        let services = self.services_path();
        let mut leaves = Vec::new();
        for group in groups {
            // A group or leaf may vanish while we look.
            for leaf in directories(&services.join(group)).unwrap_or_default() {
                if let Ok(number) = leaf.parse() {
                    leaves.push((group.clone(), number));
                }
            }
        }
        leaves.sort_unstable();
        leaves
    }

    /// A group as a cgroup of its own: what is kept on it stays as long as its unit is loaded.
    #[must_use]
    pub fn group(&self, group: &str) -> Leaf {
        self.leaf_below(&format!("{SERVICES}/{group}"))
    }

    /// The directory of a group: where limits are set and use is counted.
    #[must_use]
    pub fn group_path(&self, group: &str) -> PathBuf {
        self.services_path().join(group)
    }

    /// Removes an empty group; one that is missing is fine.
    ///
    /// # Errors
    /// EBUSY while it has leaves.
    pub fn remove_group(&self, group: &str) -> Result<(), Error> {
        remove_dir_if_there(&self.group_path(group))
    }

    /// The cgroup above all groups, as the kernel names it in `/proc/PID/cgroup`.
    #[must_use]
    pub fn services_cgroup(&self) -> String {
        format!("{}/{SERVICES}", self.cgroup.trim_end_matches('/'))
    }

    /// Removes what is empty of this tree. What is not empty, the caller's own cgroup among it,
    /// stays.
    pub fn remove(&self) {
        self.remove_rooms();
        let _ = remove_dir_if_there(&self.root);
    }

    /// The same, but for the root.
    pub fn remove_rooms(&self) {
        let services = self.services_path();
        for group in directories(&services).unwrap_or_default() {
            let _ = remove_dir_if_there(&services.join(group));
        }
        for dir in [services, self.root.join(SUPERVISOR)] {
            let _ = remove_dir_if_there(&dir);
        }
    }

    /// Which leaf of this tree a process is in (or below), as group and number. Whether that leaf
    /// is the one that exists now, `membership.removed` tells.
    #[must_use]
    pub fn locate(&self, membership: &Membership) -> Option<(String, u64)> {
        let below = membership.cgroup.strip_prefix(self.cgroup.trim_end_matches('/'))?;
        let mut parts = below.strip_prefix('/')?.split('/');
        if parts.next()? != SERVICES {
            return None;
        }
        let group = parts.next()?;
        Some((group.to_owned(), parts.next()?.parse().ok()?))
    }
}

/// The controllers that the children of this cgroup could be given.
fn controllers_of(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// mkdir(2) with the mode a cgroup has.
fn make_dir(path: &Path) -> Result<(), Error> {
    mkdir(path, MODE).map_err(|errno| Error::at("mkdir", path, errno))
}

fn make_dir_if_missing(path: &Path) -> Result<(), Error> {
    match make_dir(path) {
        Err(error) if error.errno() == Errno::EEXIST => Ok(()),
        other => other,
    }
}

pub(super) fn remove_dir_if_there(path: &Path) -> Result<(), Error> {
    match fs::remove_dir(path) {
        Err(e) if errno_of(&e) != Errno::ENOENT => Err(Error::io("rmdir", path, &e)),
        _ => Ok(()),
    }
}

/// The names of the directories in a cgroup directory, in no order.
pub(super) fn directories(path: &Path) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(|e| errno_of(&e))? {
        let entry = entry.map_err(|e| errno_of(&e))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// Writes a value to a file of the kernel, in one write(2) and without creating the file.
pub(super) fn write(path: &Path, value: &str) -> Result<(), Error> {
    use std::io::Write;
    let file = fs::OpenOptions::new().write(true).open(path);
    let mut file = file.map_err(|e| Error::io("open", path, &e))?;
    file.write_all(value.as_bytes()).map_err(|e| Error::io("write to", path, &e))
}

#[cfg(test)]
mod tests;
