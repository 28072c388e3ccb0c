//! Every process of this pid namespace, for process 1, which outlives them.

use std::fs;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procfs::process::Process as ProcDir;

/// PF_KTHREAD of the kernel's sched.h, in the flags of proc_pid_stat(5).
const KERNEL_THREAD: u32 = 0x0020_0000;

/// The processes that live, but for this one and the kernel's own threads; sorted. The dead that
/// nobody buried are not among them. Empty without `/proc`.
#[must_use]
pub fn others() -> Vec<u32> {
    let own = std::process::id();
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut pids: Vec<u32> =
        pids.filter(|pid| *pid != own && is_alive_in_user_space(*pid)).collect();
    pids.sort_unstable();
    pids
}

fn is_alive_in_user_space(pid: u32) -> bool {
    let stat = i32::try_from(pid).ok().and_then(|pid| ProcDir::new(pid).ok()?.stat().ok());
    stat.is_some_and(|stat| stat.flags & KERNEL_THREAD == 0 && !matches!(stat.state, 'Z' | 'X'))
}

/// Sends a signal to every process of this pid namespace but this one. The kernel does it in one
/// go, so no fork gets away (kill(2), -1).
///
/// # Errors
/// ESRCH when there is no other process.
pub fn signal_all(signal: Signal) -> Result<(), Errno> {
    kill(Pid::from_raw(-1), signal)
}

/// Who keeps the file system mounted there busy: processes with a file of it open or mapped, or
/// with a directory of it as their own. Without waiting for the file system itself.
#[must_use]
pub fn users_of(point: &str) -> Vec<u32> {
    let is_below = |path: &str| {
        let rest = path.strip_prefix(point.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let uses = |pid: &u32| {
        let dir = format!("/proc/{pid}");
        let links = ["cwd", "root", "exe"].map(|name| format!("{dir}/{name}")).into_iter();
        let open = fs::read_dir(format!("{dir}/fd")).into_iter().flatten().flatten();
        let open = open.filter_map(|entry| entry.path().to_str().map(str::to_owned));
        let mut targets = links.chain(open).filter_map(|link| fs::read_link(link).ok());
        let maps = || fs::read_to_string(format!("{dir}/maps")).unwrap_or_default();
        targets.any(|target| target.to_str().is_some_and(is_below))
            || maps().lines().filter_map(|line| line.find('/').map(|at| &line[at..])).any(is_below)
    };
    let own = std::process::id();
    others().into_iter().chain([own]).filter(uses).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::kernel::testing::eventually;

    #[test]
    fn a_living_process_is_listed_until_it_is_dead_and_its_files_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep").arg("1000").current_dir(dir.path()).spawn().unwrap();
        let pid = child.id();
        assert!(others().contains(&pid));
        assert!(!others().contains(&std::process::id()));
        let point = dir.path().to_str().unwrap();
        eventually("its directory", || users_of(point).contains(&pid).then_some(()));
        assert!(!users_of(&point[..point.len() - 1]).contains(&pid), "a longer name is not below");
        child.kill().unwrap();
        eventually("a zombie", || (!others().contains(&pid)).then_some(()));
        child.wait().unwrap();
    }
}
