//! The test's own cgroup subtree, looked at without asking the supervisor.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::eventually;

/// A cgroup below the cgroup2 mount that belongs to one test. Whatever is in it when it is dropped
/// is killed, and every cgroup of it is removed.
pub struct Subtree {
    path: PathBuf,
}

impl Subtree {
    /// Makes an empty subtree, `treeward-test-<pid>-<n>`.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("treeward-test-{}-{number}", std::process::id());
        let path = mount_point().join(name);
        fs::create_dir(&path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every process in it, however deep.
    pub fn pids(&self) -> Vec<u32> {
        pids_below(&self.path)
    }

    /// Every cgroup below it, the deepest first.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        cgroups_below(&self.path)
    }
}

impl Drop for Subtree {
    fn drop(&mut self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        eventually(Duration::from_secs(10), || self.pids().is_empty());
        // A cgroup stays busy for a moment after its last process was killed.
        let gone = eventually(Duration::from_secs(10), || {
            for path in self.cgroups() {
                let _ = fs::remove_dir(path);
            }
            fs::remove_dir(&self.path).is_ok() || !self.path.exists()
        });
        if !gone && !std::thread::panicking() {
            panic!("{} cannot be removed", self.path.display());
        }
    }
}

/// Every process of a cgroup and of those below it.
pub fn pids_below(path: &Path) -> Vec<u32> {
    let mut pids = Vec::new();
    for cgroup in cgroups_below(path).iter().map(PathBuf::as_path).chain([path]) {
        // A cgroup that is removed meanwhile has no processes.
        let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    }
    pids
}

/// Every cgroup below one, the deepest first.
pub fn cgroups_below(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(cgroups_below(&entry.path()));
            found.push(entry.path());
        }
    }
    found
}

/// The first cgroup2 mount of this process (proc_pid_mountinfo(5)).
fn mount_point() -> PathBuf {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("/proc/self/mountinfo");
    table
        .lines()
        .find_map(|line| {
            let (mount, source) = line.split_once(" - ")?;
            let path = mount.split(' ').nth(4)?;
            source.starts_with("cgroup2 ").then(|| PathBuf::from(path))
        })
        .expect("cgroup2 is not mounted here: scripts/test mounts it, or mount it yourself")
}
