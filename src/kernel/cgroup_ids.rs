//! Cgroups by their ids, which the kernel tells of processes that are gone, and never gives twice.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::membership::{Mount, cgroup2_mounts};
use super::sys;

/// A mount of cgroup2, to look ids up in.
#[derive(Debug)]
pub struct CgroupIds {
    mount: Mount,
    dir: OwnedFd,
}

impl CgroupIds {
    /// Opens the mount that shows this cgroup, named as in `/proc/PID/cgroup`; `None` when there is
    /// none.
    #[must_use]
    pub fn open(cgroup: &str) -> Option<Self> {
        let shows = |mount: &Mount| mount.path_of(cgroup).is_some_and(|path| path.is_dir());
        let mount = cgroup2_mounts().ok()?.into_iter().find(shows)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = open(&mount.point, flags, Mode::empty()).ok()?;
        Some(Self { mount, dir })
    }

    /// The cgroup of this id, as `/proc/PID/cgroup` names it; `None` when it was removed, or when
    /// we may not ask (CAP_DAC_READ_SEARCH).
    #[must_use]
    pub fn cgroup_of(&self, id: u64) -> Option<String> {
        let found = sys::open_kernfs_node(self.dir.as_fd(), id).ok()?;
        let path = fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()?;
        self.mount.cgroup_at(&path)
    }

    /// Whether the cgroup of this name has this id.
    #[must_use]
    pub fn is(&self, cgroup: &str, id: u64) -> bool {
        let path = self.mount.path_of(cgroup);
        path.and_then(|path| fs::metadata(path).ok()).is_some_and(|found| found.ino() == id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestTree;
    use super::CgroupIds;

    #[test]
    fn a_cgroup_is_found_by_its_id_until_it_is_removed() {
        let tree = TestTree::new("ids");
        let services = tree.tree.services_cgroup();
        let leaf = tree.leaf();
        let id = leaf.inode().unwrap();
        let ids = CgroupIds::open(&services).unwrap();
        let cgroup = ids.cgroup_of(id).unwrap();
        assert!(cgroup.starts_with(&format!("{services}/")), "{cgroup} is not below {services}");
        assert!(leaf.path().ends_with(cgroup.trim_start_matches('/')), "{cgroup}");
        assert!(ids.is(&cgroup, id) && !ids.is(&services, id));
        std::fs::remove_dir(leaf.path()).unwrap();
        assert_eq!(ids.cgroup_of(id), None);
        assert!(!ids.is(&cgroup, id));
        assert!(CgroupIds::open("/no/such/cgroup").is_none());
    }
}
