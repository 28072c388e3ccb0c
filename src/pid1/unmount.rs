//! The last of the way down: no more swap, nothing mounted, `/` read-only, all written out.
//!
//! Any of these calls can hang, on a disk that is gone or a file system that is frozen. So each is
//! made by a thread that is waited for only so long; then the others are dealt with, and the machine
//! ends in any case.
//!
//! In a container only what the container mounted is unmounted. To remount read-only changes a file
//! system for the machine outside as well, and its swap is not ours either.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::kernel::mounts::{self, Mount};
use crate::kernel::{machine, process, processes, swap};

/// How long one call may take.
const ONE_CALL: Duration = Duration::from_secs(10);
/// How long all of them together may take.
const ALL_CALLS: Duration = Duration::from_secs(30);

/// File systems that hold nothing that could be lost.
const NOTHING_TO_LOSE: [&str; 26] = [
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "resctrl",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// What is taken down, and what went wrong so far.
pub(super) struct TakeDown {
    until: Instant,
    in_container: bool,
    /// Where the report is written: this is unmounted last.
    log_dir: PathBuf,
    /// Mount points that could not be unmounted; of each it is told once.
    stuck: Vec<PathBuf>,
    problems: Vec<String>,
}

impl TakeDown {
    pub(super) fn new(log_dir: &Path) -> Self {
        Self {
            until: Instant::now() + ALL_CALLS,
            in_container: machine::is_container(),
            log_dir: log_dir.canonicalize().unwrap_or_else(|_| log_dir.to_owned()),
            stuck: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn tell(&mut self, problem: String) {
        log::error!("{problem}");
        self.problems.push(problem);
    }

    /// Swaps off, and unmounts all but `/` and what the report is on. Gives what went wrong.
    pub(super) fn most(&mut self) -> Vec<String> {
        if !self.in_container {
            for path in swap::list() {
                let subject = path.display().to_string();
                self.call(&subject, "swapoff", move || swap::off(&path).map_err(|e| e.to_string()));
            }
        }
        self.unmount_all(|mount, log_dir| !log_dir.starts_with(&mount.point));
        std::mem::take(&mut self.problems)
    }

    /// Unmounts what is left, makes `/` read-only and writes everything out.
    pub(super) fn rest(&mut self) {
        // What is written out already cannot be lost by what hangs below.
        self.sync();
        self.unmount_all(|_, _| true);
        let root = mounts::list().unwrap_or_default();
        let root = root.into_iter().rfind(|mount| mount.point == Path::new("/"));
        if let Some(root) = root.filter(|_| !self.in_container) {
            self.make_read_only(&root);
        }
        self.sync();
    }

    fn sync(&mut self) {
        // The disks are those of the machine outside, which goes on.
        if self.in_container {
            return;
        }
        self.call("all disks", "sync", || {
            machine::sync();
            Ok(())
        });
    }

    /// Unmounts those that are chosen, the last mounted first, and again while that helps: what is
    /// mounted from a file on another one comes off before that other one. What stays is made
    /// read-only.
    fn unmount_all(&mut self, chosen: impl Fn(&Mount, &Path) -> bool) {
        loop {
            let mounted = mounts::list().unwrap_or_default();
            let is_open = |mount: &Mount| !self.stuck.contains(&mount.point);
            let wanted = |mount: &Mount| chosen(mount, &self.log_dir) && is_open(mount);
            let here: Vec<Mount> = in_reverse(mounted).filter(wanted).collect();
            let count = here.len();
            let busy: Vec<Mount> = here.into_iter().filter(|mount| self.is_busy(mount)).collect();
            if busy.len() < count && !busy.is_empty() {
                continue;
            }
            for mount in busy {
                self.give_up(&mount);
                self.stuck.push(mount.point);
            }
            return;
        }
    }

    /// Unmounts; gives whether it is worth another try.
    fn is_busy(&mut self, mount: &Mount) -> bool {
        let point = mount.point.clone();
        let done = bounded(self.limit(), move || mounts::unmount(&point).is_ok());
        if done.is_none() {
            self.tell(format!("{}: unmounting hangs; left as it is", mount.point.display()));
            self.stuck.push(mount.point.clone());
        }
        done == Some(false)
    }

    /// Says who holds it, and makes it read-only.
    fn give_up(&mut self, mount: &Mount) {
        let subject = mount.point.display().to_string();
        let point = subject.clone();
        let users = bounded(self.limit(), move || processes::users_of(&point)).unwrap_or_default();
        if users == [std::process::id()] {
            // Its own program or libraries: that only reads.
            log::info!("{subject} is held by init itself, and stays");
        } else {
            let users = users.iter().take(5).map(name).collect::<Vec<_>>().join(", ");
            let why = match users.as_str() {
                "" => "it is busy, and no process has a file of it open".to_owned(),
                users => format!("it is held by {users}"),
            };
            self.tell(format!("cannot unmount {subject}: {why}"));
        }
        if !self.in_container {
            self.make_read_only(mount);
        }
    }

    fn make_read_only(&mut self, mount: &Mount) {
        if mount.read_only || !is_worth_it(mount) {
            return;
        }
        let point = mount.point.clone();
        let subject = point.display().to_string();
        self.call(&subject, "remounting read-only", move || {
            mounts::remount_read_only(&point).map_err(|error| error.to_string())
        });
    }

    /// Makes a call that may hang, and tells of its failure.
    fn call(
        &mut self,
        subject: &str,
        what: &str,
        call: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) {
        let limit = self.limit();
        match bounded(limit, call) {
            Some(Ok(())) => {}
            Some(Err(why)) => self.tell(why),
            None => {
                let seconds = limit.as_secs_f32();
                self.tell(format!("{subject}: {what} takes more than {seconds:.0} s; going on"));
            }
        }
    }

    /// A second for each even when all the time is used up.
    fn limit(&self) -> Duration {
        let left = self.until.saturating_duration_since(Instant::now());
        left.clamp(Duration::from_secs(1), ONE_CALL)
    }
}

fn name(pid: &u32) -> String {
    let comm = process::read(*pid).map(|process| process.comm).unwrap_or_default();
    format!("{} (pid {pid})", crate::console::clean(comm.as_bytes()))
}

/// What can be unmounted, the last mounted first.
fn in_reverse(mounts: Vec<Mount>) -> impl Iterator<Item = Mount> {
    let wanted = |mount: &Mount| mount.point != Path::new("/") && is_worth_it(mount);
    mounts.into_iter().rev().filter(wanted)
}

fn is_worth_it(mount: &Mount) -> bool {
    !NOTHING_TO_LOSE.contains(&mount.kind.as_str())
}

/// Makes a call in a thread of its own; `None` when it has not come back in time.
fn bounded<T: Send + 'static>(
    limit: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = mpsc::channel();
    let thread = thread::Builder::new().stack_size(256 * 1024).spawn(move || {
        let _ = answer.send(call());
    });
    // Without memory for a thread nothing is tried that could hang.
    thread.ok()?;
    answered.recv_timeout(limit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(point: &str, kind: &str) -> Mount {
        Mount { point: point.into(), kind: kind.into(), source: "x".into(), read_only: false }
    }

    #[test]
    fn the_last_mounted_goes_first_and_what_is_the_kernels_stays() {
        let table = [
            ("/", "ext4"),
            ("/proc", "proc"),
            ("/home", "ext4"),
            ("/run", "tmpfs"),
            ("/run/media/x", "vfat"),
            ("/home/a", "overlay"),
            ("/sys/fs/cgroup", "cgroup2"),
        ];
        let table = table.map(|(point, kind)| mount(point, kind)).to_vec();
        let order: Vec<PathBuf> = in_reverse(table).map(|mount| mount.point).collect();
        assert_eq!(order, ["/home/a", "/run/media/x", "/home"].map(PathBuf::from));
    }

    #[test]
    fn a_call_that_hangs_is_left_behind() {
        let (hold, held) = mpsc::channel::<()>();
        let begin = Instant::now();
        let answer = bounded(Duration::from_millis(50), move || held.recv().is_ok());
        assert_eq!(answer, None);
        assert!(begin.elapsed() < Duration::from_secs(10));
        drop(hold);
        assert_eq!(bounded(Duration::from_secs(20), || 7), Some(7));
        assert_eq!(bounded(Duration::from_secs(20), || -> u8 { panic!("a defect") }), None);
    }
}
