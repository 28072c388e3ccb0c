//! What the tests of the doors share. They work on the real kernel, as root, each in a cgroup
//! tree of its own that goes away with its guard.

use std::fs;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::utsname::uname;
use nix::unistd::Uid;

use super::cgroup::{Tree, write};
use super::leaf::Leaf;
use super::membership::{cgroup2_mounts, is_within, own_cgroup};
use super::pidfd;
use super::reap::{ExitStatus, bury};
use super::spawn::{Batch, Child, How, Prepared, Program, Report, bytes_for, spawn};

/// How long a state may take to come about on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until it is there; fails the test when it does not come.
pub(super) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs the body in a process that does nothing else, for tests of what belongs to a whole
/// process. `module` is the test's `module_path!()`, `test` its name.
pub(super) fn in_own_process(module: &str, test: &str, body: impl FnOnce()) {
    const ALONE: &str = "TREEWARD_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let name = format!("{}::{test}", module.split_once("::").unwrap().1);
    let mut again = Command::new(std::env::current_exe().unwrap());
    let output = again.args(["--exact", &name, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{complained}");
}

/// Whether the running kernel is at least this one.
pub(super) fn kernel_at_least(major: u32, minor: u32) -> bool {
    let release = uname().unwrap().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (major, minor)
}

/// A tree for one test. Dropped, it kills and removes all that is in it.
pub(super) struct TestTree {
    pub(super) tree: Tree,
    /// Where the test process was before.
    home: PathBuf,
    next_leaf: AtomicU64,
}

impl TestTree {
    pub(super) fn new(what: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        assert!(Uid::effective().is_root(), "this test needs root");
        let own = own_cgroup().expect("this test needs cgroup2");
        let home = cgroup2_mounts().unwrap().iter().find_map(|mount| mount.path_of(&own));
        let home = home.expect("this test needs a mount of cgroup2 that shows its own cgroup");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("treeward-{what}-{}-{count}", std::process::id());
        let tree = Tree::open(&home.join(name)).expect("this test needs to make cgroups");
        Self { tree, home, next_leaf: AtomicU64::new(1) }
    }

    /// A fresh leaf.
    pub(super) fn leaf(&self) -> Leaf {
        let number = self.next_leaf.fetch_add(1, Ordering::Relaxed);
        self.tree.make_leaf("test", number).unwrap()
    }

    /// A leaf with a shell in it that runs the script. The guard buries the shell.
    pub(super) fn shell(&self, script: &str) -> (Leaf, Started) {
        let leaf = self.leaf();
        let started = start(&leaf, &shell(script), How::IntoCgroup);
        (leaf, started)
    }
}

impl Drop for TestTree {
    fn drop(&mut self) {
        let root = self.tree.leaf_at_root();
        if own_cgroup().is_ok_and(|own| is_within(&own, root.cgroup())) {
            let _ = write(&self.home.join("cgroup.procs"), "0");
        }
        let _ = root.kill();
        let deadline = Instant::now() + PATIENCE;
        while root.remove().is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        if !std::thread::panicking() {
            assert!(!root.path().exists(), "{} is left behind", root.path().display());
        }
    }
}

/// A shell for the script, with the usual PATH.
pub(super) fn shell(script: &str) -> Program {
    program(&["/bin/sh", "-c", script])
}

pub(super) fn program(argv: &[&str]) -> Program {
    Program {
        argv: argv.iter().map(ToString::to_string).collect(),
        environment: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())],
        ..Program::default()
    }
}

/// A program on its way; dropped, it is killed and buried.
pub(super) struct Started {
    child: Child,
    batch: Batch,
    output: fs::File,
    buried: Option<ExitStatus>,
}

pub(super) fn start(leaf: &Leaf, program: &Program, how: How) -> Started {
    let output = tempfile::tempfile().unwrap();
    let prepared = Prepared::new(program).unwrap();
    let dir = leaf.open().unwrap();
    let mut batch = Batch::new(bytes_for(&prepared)).unwrap();
    let child = spawn(&mut batch, &prepared, dir.as_fd(), Some(output.as_fd()), how).unwrap();
    batch.seal();
    Started { child, batch, output, buried: None }
}

impl Started {
    pub(super) fn pid(&self) -> u32 {
        self.child.pid
    }

    /// What became of the start.
    pub(super) fn report(&mut self) -> Report {
        let batch = &self.batch;
        let report = || Some(batch.report(self.child.line, batch.is_over()));
        eventually("a report", || report().filter(|report| *report != Report::Pending))
    }

    /// A descriptor of the process.
    pub(super) fn pidfd(&self) -> OwnedFd {
        pidfd::open(self.child.pid).unwrap().expect("it is not buried")
    }

    /// How it ended.
    pub(super) fn end(&mut self) -> ExitStatus {
        let pid = self.child.pid;
        let buried = self.buried.unwrap_or_else(|| eventually("the end", || bury(pid)));
        *self.buried.insert(buried)
    }

    /// What it has written.
    pub(super) fn output(&mut self) -> String {
        let mut text = String::new();
        // The offset is shared with the child, so this is for children that write no more.
        self.output.rewind().unwrap();
        self.output.read_to_string(&mut text).unwrap();
        text
    }

    /// Everything it writes until its end, which must be a good one.
    pub(super) fn output_of_success(&mut self) -> String {
        let (report, end) = (self.report(), self.end());
        let output = self.output();
        assert_eq!((report, end), (Report::Executed, ExitStatus::Code(0)), "{output}");
        output
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.buried.is_none() {
            let _ = pidfd::send_signal(&self.pidfd(), libc::SIGKILL);
            let deadline = Instant::now() + PATIENCE;
            while bury(self.child.pid).is_none() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}
