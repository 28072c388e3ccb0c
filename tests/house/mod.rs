//! A house for tests: the real `service-launcher` with directories and a cgroup subtree of its
//! own. When a house is dropped the supervisor must leave nothing behind, or the test fails.

// Other test programs include this module too, and each uses a part of it.
#![allow(dead_code, unused_imports)]

mod cgroup;
mod process;
mod programs;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use treeward::supervision::status::{StateWord, Status};

pub use cgroup::{Subtree, cgroups_below, pids_below};
pub use process::Process;
pub use programs::{copy_program, program};

/// What the issue promises: a state is right within a second.
pub const SECOND: Duration = Duration::from_secs(1);
/// For what has no promised time; a test that gets near it is broken.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The interface of the control socket.
pub const INTERFACE: &str = "org.treeward.Supervisor";

/// A supervisor with everything it needs, private to one test.
pub struct House {
    dir: TempDir,
    cgroup: Subtree,
    sealed: bool,
    launcher: Option<Child>,
    /// How the last one ended that did so while it was waited for its answer.
    last_end: Option<ExitStatus>,
}

/// What a command of `slc` gave.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl House {
    /// A house whose units are given as name and YAML text, with its supervisor running.
    pub fn new(units: &[(&str, &str)]) -> Self {
        Self::open(units, &[], false)
    }

    /// The same in a mount and network namespace of its own (see `scripts/sealed`), for daemons
    /// that insist on system paths and ports. `files` are written before the supervisor starts;
    /// `{dir}` in a file or unit stands for their directory.
    pub fn sealed(units: &[(&str, &str)], files: &[(&str, &str)]) -> Self {
        Self::open(units, files, true)
    }

    /// A house whose supervisor is not started yet.
    pub fn vacant(units: &[(&str, &str)]) -> Self {
        Self::furnish(units, &[], false)
    }

    fn open(units: &[(&str, &str)], files: &[(&str, &str)], sealed: bool) -> Self {
        let mut house = Self::furnish(units, files, sealed);
        house.launch();
        house
    }

    fn furnish(units: &[(&str, &str)], files: &[(&str, &str)], sealed: bool) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "the house tests need root, because they make cgroups: run them as root or with sudo"
        );
        let dir = tempfile::Builder::new().prefix("treeward-house-").tempdir().expect("tempdir");
        // Daemons that drop their privileges must get through.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        for folder in ["units", "run", "log"] {
            fs::create_dir(dir.path().join(folder)).expect("mkdir");
        }
        let house = Self { dir, cgroup: Subtree::new(), sealed, launcher: None, last_end: None };
        for (name, text) in files {
            house.write(name, &text.replace("{dir}", house.path("").to_str().expect("UTF-8")));
        }
        for (name, text) in units {
            house.write_unit(name, text);
        }
        house
    }

    /// A path in the house's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.dir.path().to_owned() } else { self.dir.path().join(name) }
    }

    /// Writes a file into the house's directory.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap_or_else(|e| panic!("cannot write {name}: {e}"));
    }

    /// What a file of the house's directory holds; empty when there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Writes a unit; `{dir}` stands for the house's directory.
    pub fn write_unit(&self, name: &str, text: &str) {
        let text = text.replace("{dir}", self.path("").to_str().expect("UTF-8"));
        self.write(&format!("units/{name}.yml"), &text);
    }

    /// The arguments that give a supervisor this house.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let cgroup = self.cgroup.path().to_owned();
        for (option, path) in [
            ("--units", self.path("units")),
            ("--run-dir", self.path("run")),
            ("--log-dir", self.path("log")),
            ("--state-dir", self.path("state")),
            ("--cgroup-root", cgroup),
        ] {
            arguments.push(option.to_owned());
            arguments.push(path.to_str().expect("UTF-8").to_owned());
        }
        if self.sealed {
            arguments.extend(["--syslog".to_owned(), "/dev/log".to_owned()]);
        }
        arguments
    }

    /// Starts the supervisor and waits until it answers.
    pub fn launch(&mut self) {
        let answers = self.launch_behind(&[]);
        assert!(answers, "the supervisor ended; it says:\n{}", self.read("launcher.log"));
    }

    /// Starts the supervisor behind the words of a command, which must execute it in its own
    /// process, and waits until it answers; `false` when it has ended instead.
    pub fn launch_behind(&mut self, words: &[&str]) -> bool {
        self.launch_as(words, &[])
    }

    /// Starts the supervisor with more options, and waits until it answers; `false` when it has
    /// ended instead.
    pub fn launch_with(&mut self, options: &[&str]) -> bool {
        self.launch_as(&[], options)
    }

    fn launch_as(&mut self, words: &[&str], options: &[&str]) -> bool {
        assert!(self.launcher.is_none(), "the supervisor runs already");
        let mut before: Vec<&str> = words.to_vec();
        if self.sealed {
            before.push(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/sealed"));
        }
        before.push(env!("CARGO_BIN_EXE_service-launcher"));
        let log = File::options().create(true).append(true).open(self.path("launcher.log"));
        let log = log.expect("launcher.log");
        let child = Command::new(before[0])
            .args(&before[1..])
            .args(self.arguments())
            .args(options)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("dup"))
            .stderr(log)
            .spawn()
            .expect("service-launcher");
        self.launcher = Some(child);
        let mut ended = None;
        let came = eventually(PATIENCE, || {
            ended = self.ended();
            ended.is_some() || self.call("Version", json!({})).is_ok()
        });
        assert!(came, "the supervisor does not answer; it says:\n{}", self.read("launcher.log"));
        self.last_end = ended;
        ended.is_none()
    }

    /// Waits until the supervisor has ended by itself, and gives its exit code.
    pub fn wait_for_end(&mut self) -> Option<i32> {
        let mut status = self.last_end.take();
        eventually(PATIENCE, || {
            status = status.or_else(|| self.ended());
            status.is_some()
        });
        assert!(status.is_some(), "it does not end:\n{}", self.read("launcher.log"));
        status.and_then(|status| status.code())
    }

    /// How the supervisor ended, if it has; then there is none any more.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.launcher.as_mut()?.try_wait().expect("wait")?;
        self.launcher = None;
        Some(status)
    }

    /// Whether there is a supervisor that was not seen to end.
    pub fn is_supervised(&self) -> bool {
        self.launcher.is_some()
    }

    /// The supervisor's process.
    pub fn supervisor(&self) -> Process {
        let pid = self.launcher.as_ref().expect("the supervisor runs").id();
        Process::look(pid).expect("the supervisor lives")
    }

    /// Kills the supervisor with SIGKILL and waits for its end.
    pub fn kill_supervisor(&mut self) {
        let mut child = self.launcher.take().expect("the supervisor runs");
        child.kill().expect("kill");
        child.wait().expect("wait");
    }

    /// Asks the supervisor to end, and gives its exit code; `None` when it had to be killed. One
    /// that ended before is not signalled: its number may be somebody else's.
    pub fn end_supervisor(&mut self) -> Option<i32> {
        let mut child = self.launcher.take()?;
        let mut status = child.try_wait().ok()?;
        if status.is_none() {
            let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
            eventually(PATIENCE, || {
                status = child.try_wait().ok().flatten();
                status.is_some()
            });
        }
        if status.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        status.and_then(|status| status.code())
    }

    /// Runs `slc` with the house's socket.
    pub fn slc(&self, arguments: &[&str]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_slc"))
            .arg("--socket")
            .arg(self.path("run/control.sock"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("slc");
        Answer {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs `slc` and asserts that it says "done".
    pub fn slc_done(&self, arguments: &[&str]) -> String {
        let answer = self.slc(arguments);
        assert_eq!(
            answer.code,
            Some(0),
            "slc {arguments:?}: {answer:?}\n{}",
            self.read("launcher.log")
        );
        answer.out
    }

    /// Runs a shell command in the house's namespaces and gives what it wrote to standard output.
    pub fn shell(&self, script: &str) -> String {
        let output = Command::new("nsenter")
            .args(["--mount", "--net", "--target", &self.supervisor().pid.to_string(), "--"])
            .args(["bash", "-c", script])
            .output()
            .expect("nsenter");
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Calls a method of the supervisor over its socket, without `slc`.
    pub fn call(&self, method: &str, parameters: Value) -> Result<Value, String> {
        let call = json!({"method": format!("{INTERFACE}.{method}"), "parameters": parameters});
        let exchange = || -> std::io::Result<Vec<u8>> {
            let mut socket = UnixStream::connect(self.path("run/control.sock"))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.write_all(format!("{call}\0").as_bytes())?;
            let (mut reply, mut piece) = (Vec::new(), [0; 4096]);
            while reply.last() != Some(&0) {
                match socket.read(&mut piece)? {
                    0 => break,
                    length => reply.extend_from_slice(&piece[..length]),
                }
            }
            reply.pop();
            Ok(reply)
        };
        let reply = exchange().map_err(|e| e.to_string())?;
        let reply: Value = serde_json::from_slice(&reply).map_err(|e| e.to_string())?;
        match reply.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(reply["parameters"].clone()),
        }
    }

    /// All that the supervisor says of a unit.
    pub fn status(&self, unit: &str) -> Status {
        let reply = self.call("Status", json!({"units": [unit]}));
        let reply = reply.unwrap_or_else(|e| panic!("status of {unit}: {e}"));
        serde_json::from_value(reply["services"][0].clone()).expect("a Status")
    }

    /// Waits until what the supervisor says of a unit fulfils a condition, `what` in words.
    pub fn wait_for(
        &self,
        unit: &str,
        what: &str,
        within: Duration,
        mut condition: impl FnMut(&Status) -> bool,
    ) -> Status {
        let mut last = None;
        let came = eventually(within, || condition(last.insert(self.status(unit))));
        assert!(
            came,
            "{unit}: not {what} within {within:?}, but {last:#?}\nthe supervisor says:\n{}",
            self.read("launcher.log")
        );
        last.expect("looked at least once")
    }

    /// Waits until a unit is in a state.
    pub fn wait_state(&self, unit: &str, state: StateWord, within: Duration) -> Status {
        self.wait_for(unit, state.as_str(), within, |status| status.summary.state == state)
    }

    /// Waits until a line of the unit's journal, as `slc journal` prints it, holds a text.
    pub fn wait_for_log(&self, unit: &str, text: &str) -> String {
        let mut last = String::new();
        let came = eventually(PATIENCE / 2, || {
            last = self.slc(&["journal", "-n", "1000", unit]).out;
            last.contains(text)
        });
        let elsewhere: Vec<PathBuf> = fs::read_dir(self.path("log"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| fs::read_to_string(path).is_ok_and(|log| log.contains(text)))
            .collect();
        assert!(came, "{unit}: no {text:?} in its journal (but in {elsewhere:?}):\n{last}");
        last
    }

    /// The unit's own cgroup, whose children are the leaves of its starts.
    pub fn unit_cgroup(&self, unit: &str) -> PathBuf {
        self.cgroup.path().join("services").join(unit)
    }

    /// The cgroup that the supervisor has for itself and its services.
    pub fn cgroup_root(&self) -> PathBuf {
        self.cgroup.path().to_owned()
    }

    /// The living processes of a unit, read from its cgroups and from `/proc`.
    pub fn processes(&self, unit: &str) -> Vec<Process> {
        pids_below(&self.unit_cgroup(unit)).into_iter().filter_map(Process::look).collect()
    }

    /// Ends the supervisor as an operator would and says what it left behind.
    fn close(&mut self) -> Result<(), String> {
        if self.launcher.is_some() {
            let code = self.end_supervisor();
            if code != Some(0) {
                return Err(format!("the supervisor did not end well: {code:?}"));
            }
            // It waits for the log lane, also for one that a killed supervisor has started.
            if self.has_lane() {
                return Err("the log lane outlives an orderly end".to_owned());
            }
        }
        // The journal reads the last lines before it ends too.
        if eventually(PATIENCE / 2, || self.cgroup.cgroups().is_empty()) {
            return Ok(());
        }
        let left: Vec<_> = self.cgroup.pids().into_iter().map(Process::look).collect();
        Err(format!("left behind: {:?} and {left:#?}", self.cgroup.cgroups()))
    }

    /// Whether a log lane of this house lives: it is in no cgroup of ours.
    fn has_lane(&self) -> bool {
        let run_dir = format!("--run-dir={}", self.path("run").display());
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok())
            .any(|line| line.split('\0').any(|word| word == run_dir))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let Err(complaint) = self.close() else { return };
        let complaint = format!("{complaint}; it says:\n{}", self.read("launcher.log"));
        if !std::thread::panicking() {
            panic!("{complaint}");
        }
        // The test fails already: this goes with what it says.
        #[allow(clippy::print_stderr)]
        {
            eprintln!("also, {complaint}");
        }
    }
}

/// Polls until a condition holds; `false` when it did not within the time.
pub fn eventually(within: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// PIDFD_GET_INFO tells how a process has ended since Linux 6.15.
pub fn kernel_tells_ends() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("osrelease");
    let mut numbers = release.split(['.', '-']).map_while(|word| word.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}
