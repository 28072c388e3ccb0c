//! One run of `run-on-pid-ns`, as if a supervisor had started it in a leaf of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::house::{PATIENCE, Process, Subtree, eventually, pids_below, program};

/// A run; dropped, it is killed with all that is in it.
pub struct Run {
    child: Child,
    leaf: PathBuf,
    dir: TempDir,
    // The last to go: it takes what is left with it.
    _subtree: Subtree,
}

impl Run {
    /// Starts it with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_by(&[], arguments)
    }

    /// Starts Debian in a root of its own that forgets everything, with an init.
    pub fn debian(arguments: &[&str], init: &[&str]) -> Self {
        Self::debian_by(&[], arguments, init)
    }

    /// The same by way of another program, which must execute what it is given.
    pub fn debian_by(way: &[&str], arguments: &[&str], init: &[&str]) -> Self {
        let root = debian();
        let root = ["--root", root.to_str().expect("UTF-8"), "--volatile"];
        Self::start_by(way, &[&root, arguments, &["--"], init].concat())
    }

    /// [`Self::start`] by way of another program, which must execute what it is given.
    pub fn start_by(way: &[&str], arguments: &[&str]) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "guests need root: run the tests as root");
        let subtree = Subtree::new();
        let leaf = subtree.path().join("leaf");
        fs::create_dir(&leaf).expect("a leaf");
        let dir = tempfile::tempdir().expect("tempdir");
        let log = File::create(dir.path().join("log")).expect("log");
        let child = Command::new("sh")
            .args(["-c", "echo $$ >\"$0/cgroup.procs\" && exec \"$@\""])
            .arg(&leaf)
            .args(way)
            .arg(env!("CARGO_BIN_EXE_run-on-pid-ns"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("dup"))
            .stderr(log)
            .spawn()
            .expect("run-on-pid-ns");
        Self { child, leaf, dir, _subtree: subtree }
    }

    /// Everything it and the guest have written.
    pub fn said(&self) -> String {
        let bytes = fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it has written a text.
    pub fn wait_for(&self, text: &str) {
        let came = eventually(PATIENCE, || self.said().contains(text));
        assert!(came, "no {text:?} in:\n{}", self.said());
    }

    /// The process of `run-on-pid-ns`.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The guest's init, by the host's count, once it has been executed.
    pub fn init(&self) -> Process {
        let mut init = None;
        let came = eventually(PATIENCE, || {
            init = self.init_now();
            init.is_some()
        });
        assert!(came, "there is no guest:\n{}", self.said());
        init.expect("it came")
    }

    /// The guest's init, if there is one just now.
    pub fn init_now(&self) -> Option<Process> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        let mut children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        let child = children.find_map(Process::look)?;
        let own = fs::read_link(format!("/proc/{}/exe", child.pid)).ok()?;
        (!own.ends_with("run-on-pid-ns")).then_some(child)
    }

    /// Runs a shell command in the guest, as `nsenter` does it.
    pub fn inside(&self, script: &str) -> String {
        let output = Command::new("nsenter")
            .args(["--all", "--target", &self.init().pid.to_string(), "--", "sh", "-c", script])
            .stdin(Stdio::null())
            .output()
            .expect("nsenter");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
    }

    /// Waits until the systemd inside is fully up.
    pub fn wait_until_running(&self) {
        let mut last = String::new();
        let came = eventually(PATIENCE, || {
            last = self.inside("systemctl is-system-running");
            last == "running"
        });
        let failed = || self.inside("systemctl --failed --no-legend --plain");
        assert!(came, "systemd is {last}, not running; failed: {}\n{}", failed(), self.said());
    }

    pub fn leaf(&self) -> &Path {
        &self.leaf
    }

    pub fn payload(&self) -> PathBuf {
        self.leaf.join("payload")
    }

    /// The processes in one cgroup itself.
    pub fn residents(&self, cgroup: &Path) -> Vec<u32> {
        let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Sends a signal to `run-on-pid-ns`, once it has got so far that signals do not just end it.
    pub fn signal(&self, signal: Signal) {
        let listens = || {
            let status = fs::read_to_string(format!("/proc/{}/status", self.pid()));
            let status = status.unwrap_or_default();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            caught.is_some_and(|mask| mask >> (Signal::SIGUSR2 as i32 - 1) & 1 == 1)
        };
        assert!(eventually(PATIENCE, listens), "it does not listen:\n{}", self.said());
        kill(Pid::from_raw(self.pid() as i32), signal).expect("kill");
    }

    /// Waits for its end, and asserts that nothing of the guest is left.
    pub fn end(&mut self) -> ExitStatus {
        let mut status = None;
        let ended = eventually(PATIENCE, || {
            status = self.child.try_wait().expect("wait");
            status.is_some()
        });
        assert!(ended, "it does not end:\n{}", self.said());
        assert!(pids_below(&self.leaf).is_empty(), "processes are left behind");
        assert!(!self.payload().exists(), "the guest's cgroup is left behind");
        status.expect("it ended")
    }

    /// Waits for its end and gives the exit code.
    pub fn code(&mut self) -> i32 {
        let status = self.end();
        status.code().unwrap_or_else(|| panic!("it ended with {status}:\n{}", self.said()))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // The guest goes with it, or with the subtree.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a guest to its end; gives the exit code and what was written.
pub fn run(arguments: &[&str]) -> (i32, String) {
    let mut run = Run::start(arguments);
    let code = run.code();
    (code, run.said())
}

/// Where a guest finds the program `ender`.
pub const ENDER: &str = "/run/ender";

/// The argument that puts it there: a guest has a /tmp and a /run of its own, wherever this was
/// built.
pub fn bind_ender() -> String {
    format!("{}:{ENDER}:ro", program("ender"))
}

/// Runs the guest `ender`, as [`run`] does.
pub fn with_ender(options: &[&str], arguments: &[&str]) -> (i32, String) {
    run(&[options, &["--bind", &bind_ender(), ENDER], arguments].concat())
}

/// The root of a Debian with systemd, runit and BusyBox; made when a test first asks for it.
pub fn debian() -> PathBuf {
    static ROOT: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut root = ROOT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    root.get_or_insert_with(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/guest-root");
        let output = Command::new(script).stdin(Stdio::null()).output().expect(script);
        assert!(
            output.status.success(),
            "scripts/guest-root failed (scripts/setup tests installs what it needs): {}",
            String::from_utf8_lossy(&output.stderr)
        );
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    })
    .clone()
}
