//! A machine for one test: namespaces, a root file system in memory, and `init`.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use treeward::power::report::Entry;

use crate::house::{PATIENCE, Subtree, eventually};

/// A launcher that does what a test needs: it tells of each start, of SIGHUP, and goes down on
/// SIGTERM. `/share/service` is run at its first start.
pub const STAND_IN: &str = r#"#!/bin/sh
trap 'echo down >> /share/said; exit $(cat /share/status 2>/dev/null || echo 0)' TERM
trap 'echo reread >> /share/said' HUP
echo "$*" >> /share/arguments
env > /share/environment
ls -l /proc/self/fd > /share/descriptors
[ ! -e /share/service ] || [ -e /share/served ] || { : > /share/served; sh /share/service; }
# The last word: everything above is done.
echo $$ >> /share/starts
while :; do
    [ ! -e /share/leave ] || { status=$(cat /share/leave); rm /share/leave; exit "$status"; }
    sleep 0.05
done
"#;

/// How the machine is made before `init` runs.
pub struct Scene<'a> {
    /// Files of `/share`, by name.
    pub files: &'a [(&'a str, &'a str)],
    /// A script that finds the root in `$root` and `/share` in `$share`.
    pub setup: &'a str,
    /// What stands at `/service-launcher`; nothing if it is empty.
    pub launcher: &'a str,
    /// The arguments of `init`.
    pub arguments: &'a [&'a str],
    /// What executes `init`, with its arguments behind it.
    pub by: &'a [&'a str],
}

impl Default for Scene<'_> {
    fn default() -> Self {
        Self {
            files: &[],
            setup: "echo box > $root/etc/hostname; : > $root/etc/fstab",
            launcher: STAND_IN,
            arguments: &[],
            by: &["/init"],
        }
    }
}

/// A machine that runs. Dropped, it is switched off by force, and the machine around it must be as
/// it was.
pub struct Machine {
    share: TempDir,
    cgroup: Subtree,
    unshare: Child,
    ended: Option<ExitStatus>,
    outside: Outside,
}

/// What must not change outside: mounts, hostname, swap, and the devices, which are shared.
#[derive(Debug, PartialEq, Eq)]
struct Outside {
    texts: [String; 3],
    null: (u32, u32, u32),
}

impl Outside {
    fn look() -> Self {
        let texts = ["/proc/self/mountinfo", "/proc/sys/kernel/hostname", "/proc/swaps"];
        let texts = texts.map(|path| fs::read_to_string(path).expect("a file of /proc"));
        let null = fs::metadata("/dev/null").expect("/dev/null");
        Self { texts, null: (null.mode(), null.uid(), null.gid()) }
    }
}

impl Machine {
    /// Makes the machine and starts it.
    pub fn start(scene: &Scene) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests need root: they make namespaces");
        let outside = Outside::look();
        let share = tempfile::Builder::new().prefix("treeward-pid1-").tempdir().expect("tempdir");
        let put = |name: &str, text: &str| fs::write(share.path().join(name), text).expect("write");
        for (name, text) in scene.files {
            put(name, text);
        }
        let launcher = if scene.launcher.is_empty() {
            String::new()
        } else {
            put("launcher", scene.launcher);
            "cp $share/launcher $root/service-launcher; chmod 755 $root/service-launcher".to_owned()
        };
        let init = env!("CARGO_BIN_EXE_init");
        let stage = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pid1/stage.sh");
        put("setup", &format!("cp {init} $root/init\n{launcher}\n{}\n", scene.setup));
        let cgroup = Subtree::new();
        let out = File::create(share.path().join("console")).expect("console");
        let script = format!(
            "echo 0 > {}/cgroup.procs && exec setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount --uts \
             --net --ipc --cgroup --propagation private \"$@\"",
            cgroup.path().display()
        );
        // It ends with this thread, also when that is killed. A test that runs in the background may have SIGINT ignored, and unshare passes on how
        // its child ended by killing itself.
        let unshare = Command::new("env")
            .args(["--default-signal", "sh", "-c", &script, "sh", stage])
            .arg(share.path())
            .arg(share.path().join("setup"))
            .args(scene.by)
            .args(scene.arguments)
            .env("TREEWARD_LEAK", "x")
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("dup"))
            .stderr(out)
            .spawn()
            .expect("unshare");
        Self { share, cgroup, unshare, ended: None, outside }
    }

    /// Starts it and waits until its launcher is up.
    pub fn boot(scene: &Scene) -> Self {
        let mut machine = Self::start(scene);
        machine.wait_for_starts(1);
        machine
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.share.path().join(name)
    }

    /// What a file of `/share` holds; empty when there is none.
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    pub fn console(&self) -> String {
        self.read("console")
    }

    /// Waits until something holds, `what` in words.
    pub fn wait_for(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let came = eventually(PATIENCE, || {
            condition(self) || {
                self.ended = self.ended.or_else(|| self.unshare.try_wait().expect("wait"));
                self.ended.is_some()
            }
        });
        let came = came && condition(self);
        assert!(came, "waited in vain: {what}; the console:\n{}", self.console());
    }

    pub fn wait_to_say(&mut self, words: &str) {
        self.wait_for(words, |machine| machine.console().contains(words));
    }

    /// Waits until the launcher was started so many times; gives their process ids inside.
    pub fn wait_for_starts(&mut self, count: usize) -> Vec<u32> {
        let starts = |machine: &Self| -> Vec<u32> {
            machine.read("starts").lines().filter_map(|line| line.parse().ok()).collect()
        };
        self.wait_for(&format!("start {count} of the launcher"), |it| starts(it).len() >= count);
        starts(self)
    }

    /// Process 1, as it is numbered outside.
    pub fn init(&self) -> u32 {
        let pid = self.unshare.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        children.trim().parse().unwrap_or_else(|_| panic!("no process 1:\n{}", self.console()))
    }

    /// Every process of the machine, as numbered outside and inside.
    pub fn processes(&self) -> Vec<(u32, u32)> {
        let inside = |pid: u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
            Some((pid, numbers.split_whitespace().last()?.parse().ok()?))
        };
        let mut pids = self.cgroup.pids();
        pids.retain(|pid| *pid != self.unshare.id());
        pids.into_iter().filter_map(inside).collect()
    }

    /// Sends a signal to a process by its number inside.
    pub fn signal(&self, inside: u32, signal: Signal) {
        let found = self.processes().into_iter().find(|(_, number)| *number == inside);
        let (pid, _) = found.unwrap_or_else(|| panic!("no process {inside} in there"));
        kill(Pid::from_raw(pid as i32), signal).expect("kill");
    }

    /// A path of the machine as it is reached from outside.
    pub fn inside(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(self.init().to_string()).join("root").join(&path[1..])
    }

    /// Its mounts: mount point, options, type, one line for each.
    pub fn mounts(&self) -> Vec<String> {
        let table = fs::read_to_string(format!("/proc/{}/mountinfo", self.init())).expect("mounts");
        let line = |line: &str| {
            let (mount, kind) = line.split_once(" - ").expect("a dash");
            let mount: Vec<&str> = mount.split(' ').collect();
            let kind: Vec<&str> = kind.split(' ').collect();
            format!("{} {} {} {}", mount[4], kind[0], mount[5], kind[2])
        };
        table.lines().map(line).collect()
    }

    /// The line of one mount point; the last when there are several.
    pub fn mount(&self, point: &str) -> Option<String> {
        let start = format!("{point} ");
        self.mounts().into_iter().rfind(|line| line.starts_with(&start))
    }

    /// Runs a shell command inside, and gives whether it did well and what it wrote.
    pub fn shell(&self, script: &str) -> (bool, String) {
        let output = Command::new("nsenter")
            .args(["--pid", "--mount", "--uts", "--net", "--ipc", "--root", "--wd"])
            .args(["--target", &self.init().to_string(), "--", "/bin/sh", "-c", script])
            .stdin(Stdio::null())
            .output()
            .expect("nsenter");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Waits for the end of the namespace and gives the signal that tells of its reboot(2).
    pub fn end(&mut self, within: Duration) -> Signal {
        let ended = eventually(within, || {
            self.ended = self.ended.or_else(|| self.unshare.try_wait().expect("wait"));
            self.ended.is_some()
        });
        assert!(ended, "it does not end; the console:\n{}", self.console());
        let status = self.ended.expect("ended");
        let signal = status.signal().and_then(|number| Signal::try_from(number).ok());
        signal.unwrap_or_else(|| panic!("{status}; the console:\n{}", self.console()))
    }

    /// Sends a signal to process 1 and waits for the end.
    pub fn end_by(&mut self, signal: Signal) -> Signal {
        kill(Pid::from_raw(self.init() as i32), signal).expect("kill");
        self.end(PATIENCE)
    }

    /// The report of the shutdown, which the scene must have put below `/share`.
    pub fn report(&self) -> Vec<Entry> {
        let text = self.read("log/shutdown");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of the report")).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.unshare.try_wait().is_ok_and(|ended| ended.is_none()) {
            // It takes process 1 with it, and so everything.
            let _ = self.unshare.kill();
            let _ = self.unshare.wait();
        }
        if !std::thread::panicking() {
            assert_eq!(Outside::look(), self.outside, "the machine outside has changed");
        }
    }
}
