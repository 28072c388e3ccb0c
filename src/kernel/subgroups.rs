//! Groups that a process makes below a leaf it was given, for itself and for others.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::mkdir;

use super::cgroup::{directories, write};
use super::leaf::Leaf;
use super::membership::{cgroup_of, cgroup2_mounts, own_cgroup};
use super::{Error, read_text};

impl Leaf {
    /// The cgroup that the caller is in.
    ///
    /// # Errors
    /// ENODEV when no mount of cgroup2 shows it, ENODATA when the kernel has no cgroup2.
    pub fn own() -> Result<Self, Error> {
        Self::of_cgroup(own_cgroup()?)
    }

    /// The cgroup that a process is in; `None` when it is gone, or its cgroup cannot be seen.
    #[must_use]
    pub fn of_process(pid: u32) -> Option<Self> {
        Self::of_cgroup(cgroup_of(pid).filter(|of| !of.removed)?.cgroup).ok()
    }

    fn of_cgroup(cgroup: String) -> Result<Self, Error> {
        let mounts = cgroup2_mounts()?;
        // Containers and test machines mount cgroup2 in odd places a second time.
        let usual = mounts.iter().filter(|mount| mount.point.starts_with("/sys/fs/cgroup"));
        let path = usual.chain(&mounts).find_map(|mount| mount.path_of(&cgroup));
        let missing = || Error::new("find a mount of cgroup2 that shows", &cgroup, Errno::ENODEV);
        Ok(Self::new(path.ok_or_else(missing)?, cgroup.clone()))
    }

    /// The group of that name below it, whether it exists or not.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        let cgroup = format!("{}/{name}", self.cgroup().trim_end_matches('/'));
        Self::new(self.path().join(name), cgroup)
    }

    /// The group above it; `None` for the root of what can be seen.
    #[must_use]
    pub fn above(&self) -> Option<Self> {
        let (above, _) = self.cgroup().rsplit_once('/').filter(|_| self.cgroup() != "/")?;
        let above = if above.is_empty() { "/" } else { above };
        Some(Self::new(self.path().parent()?.to_owned(), above.to_owned()))
    }

    /// Makes it.
    ///
    /// # Errors
    /// EEXIST; EACCES, EPERM or EROFS when the caller may not make groups there.
    pub fn make(&self) -> Result<(), Error> {
        mkdir(self.path(), Mode::from_bits_truncate(0o755))
            .map_err(|errno| Error::at("mkdir", self.path(), errno))
    }

    /// Whether this process is all that lives here: nobody else is in the group, and nothing is
    /// below it. The root of the machine is nobody's own.
    #[must_use]
    pub fn is_mine_alone(&self) -> bool {
        let procs = read_text(&self.path().join("cgroup.procs")).unwrap_or_default();
        let below = directories(self.path()).unwrap_or_default();
        self.cgroup() != "/" && procs.trim() == std::process::id().to_string() && below.is_empty()
    }

    /// Opens the way into it, for `slc enter` later, when the path may not be seen any more.
    ///
    /// # Errors
    /// ENOENT when it does not exist, EACCES when it may not be entered.
    pub fn entrance(&self) -> Result<Entrance, Error> {
        let path = self.path().join("cgroup.procs");
        let file = File::options().write(true).open(&path);
        let file = file.map_err(|e| Error::io("open", &path, &e))?;
        Ok(Entrance { file, path })
    }

    /// Hands every controller that the group has been given on to the groups below it, and gives
    /// those that are on. No process may be in the group itself (cgroups(7), "no internal
    /// processes").
    #[must_use]
    pub fn hand_down_controllers(&self) -> Vec<String> {
        let words = |file| fs::read_to_string(self.path().join(file)).unwrap_or_default();
        for controller in words("cgroup.controllers").split_whitespace() {
            // What cannot be had is seen below.
            let _ = write(&self.path().join("cgroup.subtree_control"), &format!("+{controller}"));
        }
        words("cgroup.subtree_control").split_whitespace().map(str::to_owned).collect()
    }

    /// Kills what is in it, waits at most so long for it to be empty, and removes it with all
    /// below. One that is missing is fine.
    ///
    /// # Errors
    /// EBUSY when a process is left that cannot be killed now.
    pub fn clear(&self, limit: Duration) -> Result<(), Error> {
        let until = Instant::now() + limit;
        loop {
            let removed = self.remove();
            match &removed {
                Err(error) if error.errno() == Errno::EBUSY && Instant::now() < until => {
                    self.kill()?;
                    std::thread::sleep(Duration::from_millis(2));
                }
                _ => return removed,
            }
        }
    }
}

/// A way into a group that was opened earlier.
#[derive(Debug)]
pub struct Entrance {
    file: File,
    path: PathBuf,
}

impl Entrance {
    /// Moves the calling process there.
    ///
    /// # Errors
    /// EBUSY when the group has handed controllers down, ENODEV when it is gone, EACCES.
    pub fn enter(&self) -> Result<(), Error> {
        (&self.file).write_all(b"0").map_err(|e| Error::io("write to", &self.path, &e))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestTree;
    use super::*;

    #[test]
    fn names_above_and_below_fit_together() {
        let root = Leaf::new("/sys/fs/cgroup".into(), "/".into());
        let below = root.below("a").below("b");
        assert_eq!(below.cgroup(), "/a/b");
        assert_eq!(below.path(), std::path::Path::new("/sys/fs/cgroup/a/b"));
        assert_eq!(below.above().unwrap(), root.below("a"));
        assert_eq!(below.above().unwrap().above().unwrap(), root);
        assert_eq!(root.above(), None);
    }

    #[test]
    fn a_group_below_a_leaf_is_cleared_with_all_that_is_in_it() {
        let tree = TestTree::new("subgroups");
        let leaf = tree.leaf();
        let payload = leaf.below("payload");
        payload.make().unwrap();
        payload.below("inner").make().unwrap();
        let script =
            format!("echo $$ > {}/inner/cgroup.procs; sleep 100", payload.path().display());
        let started = super::super::testing::start(
            &leaf,
            &super::super::testing::shell(&script),
            super::super::spawn::How::IntoCgroup,
        );
        let until = Instant::now() + Duration::from_secs(10);
        while !payload.populated().unwrap() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(payload.populated().unwrap());
        assert!(!leaf.is_mine_alone());
        payload.clear(Duration::from_secs(10)).unwrap();
        assert!(!payload.path().exists());
        payload.clear(Duration::ZERO).unwrap();
        drop(started);
    }
}
