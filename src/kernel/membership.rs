//! Which cgroup a process is in, and where that cgroup is on disk.

use std::fs;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use procfs::process::MountInfo;

use super::Error;

/// What `/proc/PID/cgroup` says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The cgroup as the kernel names it, `/` for the root. Not a path on disk.
    pub cgroup: String,
    /// Whether the directory was removed already: the process is a zombie of an earlier time, and
    /// a directory of this name that exists now is another one.
    pub removed: bool,
}

/// The cgroup (version 2) of a process or zombie; `None` when it is gone or in none.
#[must_use]
pub fn cgroup_of(pid: u32) -> Option<Membership> {
    parse_membership(&super::read_text(format!("/proc/{pid}/cgroup").as_ref()).ok()?)
}

/// The cgroup (version 2) of the calling process.
///
/// # Errors
/// When `/proc` cannot be read or the kernel has no cgroup2 (ENODATA).
pub fn own_cgroup() -> Result<String, Error> {
    let path = Path::new("/proc/self/cgroup");
    let text = fs::read_to_string(path).map_err(|e| Error::io("read", path, &e))?;
    let found = parse_membership(&text).map(|membership| membership.cgroup);
    found.ok_or_else(|| Error::new("find the 0:: line in", "/proc/self/cgroup", Errno::ENODATA))
}

/// The cgroup (version 2) in the text of a `/proc/PID/cgroup`. cgroups(7): its line is `0::PATH`, with
/// " (deleted)" behind it for a zombie whose directory was removed.
#[must_use]
pub fn unified(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

fn parse_membership(text: &str) -> Option<Membership> {
    let cgroup = unified(text)?;
    Some(match cgroup.strip_suffix(" (deleted)") {
        Some(cgroup) => Membership { cgroup: cgroup.to_owned(), removed: true },
        None => Membership { cgroup: cgroup.to_owned(), removed: false },
    })
}

/// Whether the cgroup is `ancestor` or stands below it.
pub(super) fn is_within(cgroup: &str, ancestor: &str) -> bool {
    match cgroup.strip_prefix(ancestor.trim_end_matches('/')) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

/// One mount of cgroup2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where it is mounted.
    pub(super) point: PathBuf,
    /// Which cgroup is mounted there; `/` unless a container shows a part of the tree only.
    pub(super) cgroup: String,
}

impl Mount {
    /// Where the cgroup is on disk; `None` when this mount does not show it.
    pub(super) fn path_of(&self, cgroup: &str) -> Option<PathBuf> {
        let below = Path::new(cgroup).strip_prefix(&self.cgroup).ok()?;
        // Joining an empty path would leave a slash at the end.
        Some(if below.as_os_str().is_empty() { self.point.clone() } else { self.point.join(below) })
    }

    /// The kernel's name for a directory on disk; `None` when it is not under this mount.
    pub(super) fn cgroup_at(&self, path: &Path) -> Option<String> {
        let below = path.strip_prefix(&self.point).ok()?.to_str()?;
        let top = self.cgroup.trim_end_matches('/');
        Some(match below {
            "" if top.is_empty() => "/".to_owned(),
            "" => top.to_owned(),
            _ => format!("{top}/{below}"),
        })
    }
}

/// Whether cgroup2 is mounted anywhere that this process can reach.
#[must_use]
pub fn has_cgroup2() -> bool {
    cgroup2_mounts().is_ok_and(|mounts| !mounts.is_empty())
}

/// Every mount of cgroup2 that `/proc/self/mountinfo` names, in its order.
pub(super) fn cgroup2_mounts() -> Result<Vec<Mount>, Error> {
    let path = Path::new("/proc/self/mountinfo");
    let text = fs::read_to_string(path).map_err(|e| Error::io("read", path, &e))?;
    Ok(parse_mounts(&text))
}

/// Every mount point of this mount namespace and its kind of file system, in the order of
/// mounting. Empty where `/proc` cannot be read.
pub(super) fn mount_points() -> Vec<(PathBuf, String)> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let lines = table.lines().filter_map(|line| MountInfo::from_line(line).ok());
    lines.map(|mount| (mount.mount_point, mount.fs_type)).collect()
}

/// Lines that make no sense are passed over: another file system must not hide cgroup2.
pub(super) fn parse_mounts(mountinfo: &str) -> Vec<Mount> {
    let lines = mountinfo.lines().filter_map(|line| MountInfo::from_line(line).ok());
    let cgroup2 = lines.filter(|mount| mount.fs_type == "cgroup2");
    cgroup2.map(|mount| Mount { point: mount.mount_point, cgroup: mount.root }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_version_2_is_found_among_others_and_a_removed_cgroup_is_told_apart() {
        let living = parse_membership("9:name=systemd:/a\n0::/treeward/services/x/1\n").unwrap();
        assert_eq!(living.cgroup, "/treeward/services/x/1");
        assert!(!living.removed);
        let zombie = parse_membership("0::/treeward/services/x/1 (deleted)\n").unwrap();
        assert_eq!(zombie.cgroup, "/treeward/services/x/1");
        assert!(zombie.removed);
        assert_eq!(parse_membership("4:memory:/x\n"), None);
        assert_eq!(parse_membership(""), None);
    }

    #[test]
    fn a_longer_name_is_not_below_a_shorter_one() {
        assert!(is_within("/a/b", "/a/b"));
        assert!(is_within("/a/b/c", "/a/b"));
        assert!(!is_within("/a/bc", "/a/b"));
        assert!(!is_within("/a", "/a/b"));
        assert!(is_within("/a", "/"));
    }

    #[test]
    fn paths_and_cgroups_translate_both_ways_through_the_part_that_is_mounted() {
        let whole = Mount { point: "/sys/fs/cgroup".into(), cgroup: "/".into() };
        assert_eq!(whole.path_of("/"), Some("/sys/fs/cgroup".into()));
        assert_eq!(whole.path_of("/a/b"), Some("/sys/fs/cgroup/a/b".into()));
        assert_eq!(whole.cgroup_at(Path::new("/sys/fs/cgroup")), Some("/".into()));
        assert_eq!(whole.cgroup_at(Path::new("/sys/fs/cgroup/a")), Some("/a".into()));
        let part = Mount { point: "/sys/fs/cgroup".into(), cgroup: "/docker/1".into() };
        assert_eq!(part.path_of("/docker/1/a"), Some("/sys/fs/cgroup/a".into()));
        assert_eq!(part.path_of("/docker/1"), Some("/sys/fs/cgroup".into()));
        assert_eq!(part.path_of("/other"), None);
        assert_eq!(part.cgroup_at(Path::new("/sys/fs/cgroup")), Some("/docker/1".into()));
        assert_eq!(part.cgroup_at(Path::new("/sys/fs/cgroup/a")), Some("/docker/1/a".into()));
        assert_eq!(part.cgroup_at(Path::new("/tmp")), None);
    }

    #[test]
    fn mounts_are_read_past_broken_lines() {
        let text = "25 1 0:23 / /sys rw shared:7 - sysfs sysfs rw\n\
                    broken\n\
                    30 25 0:26 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n\
                    31 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let mounts = parse_mounts(text);
        assert_eq!(mounts.len(), 1);
        assert_eq!(mounts[0].point, Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(mounts[0].cgroup, "/");
    }

    #[test]
    fn a_process_that_does_not_exist_is_in_no_cgroup() {
        assert_eq!(cgroup_of(u32::MAX - 1), None);
        assert_eq!(cgroup_of(std::process::id()).unwrap().cgroup, own_cgroup().unwrap());
    }
}
