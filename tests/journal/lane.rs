//! The real log lane on real FIFOs in a directory of its own.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

/// Longer than anything takes, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Polls until `found` gives something.
pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A lane with its directories. Ends its process and removes everything when dropped.
pub struct Lane {
    pub dir: tempfile::TempDir,
    process: Option<Child>,
    extra: Vec<String>,
    /// Keeps the pipes in being, as a service does that is still running.
    fifos: RefCell<Vec<File>>,
}

impl Lane {
    /// Only the directories.
    pub fn prepare(extra: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("run/log")).unwrap();
        let extra = extra.iter().map(|&text| text.to_owned()).collect();
        Self { dir, process: None, extra, fifos: RefCell::default() }
    }

    pub fn start(extra: &[&str]) -> Self {
        let mut lane = Self::prepare(extra);
        lane.run();
        lane
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_service-launcher"));
        command.arg("--journal").arg("--run-dir").arg(self.dir.path().join("run"));
        command.arg("--log-dir").arg(self.log_dir()).args(&self.extra);
        command
    }

    /// Starts the process and waits until it works.
    pub fn run(&mut self) {
        let command = self.command();
        self.run_as(command);
    }

    pub fn run_as(&mut self, mut command: Command) {
        // The `exec` of a wrapper keeps the process id, so the lock tells when the lane is there.
        let lock = self.dir.path().join("run/journal.lock");
        let child = self.process.insert(command.spawn().unwrap());
        let id = format!("{}\n", child.id());
        wait_for("the lock", || (std::fs::read_to_string(&lock).ok()? == id).then_some(()));
    }

    pub fn log_dir(&self) -> PathBuf {
        self.dir.path().join("logs")
    }

    pub fn fifo_path(&self, unit: &str) -> PathBuf {
        self.dir.path().join("run/log").join(unit)
    }

    /// Makes a unit's FIFO and opens it as a service gets it.
    pub fn fifo(&self, unit: &str) -> File {
        nix::unistd::mkfifo(&self.fifo_path(unit), Mode::from_bits_truncate(0o600)).unwrap();
        self.fifos.borrow_mut().push(self.open(unit));
        self.open(unit)
    }

    pub fn open(&self, unit: &str) -> File {
        OpenOptions::new().read(true).write(true).open(self.fifo_path(unit)).unwrap()
    }

    /// Like [`Lane::open`], and a full FIFO is an error.
    pub fn open_nonblocking(&self, unit: &str) -> File {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
        options.open(self.fifo_path(unit)).unwrap()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.process.as_ref().unwrap().id() as i32)
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Stops it and waits until it stands still, so that what follows queues up.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        let stat = format!("/proc/{}/stat", self.pid());
        wait_for("the stop", || {
            std::fs::read_to_string(&stat).ok()?.contains(") T ").then_some(())
        });
    }

    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait_for_end()
    }

    pub fn wait_for_end(&mut self) -> ExitStatus {
        let mut process = self.process.take().unwrap();
        wait_for("the end of the lane", || process.try_wait().unwrap())
    }

    pub fn log(&self, unit: &str) -> Vec<u8> {
        std::fs::read(self.log_dir().join(format!("{unit}.log"))).unwrap_or_default()
    }

    /// The lines of the newest file without their stamps.
    pub fn texts(&self, unit: &str) -> Vec<String> {
        texts(&self.log(unit))
    }

    pub fn wait_for_text(&self, unit: &str, text: &str) {
        let found = || self.texts(unit).iter().any(|line| line == text).then_some(());
        let _other_logs = ShowOnPanic(self.log_dir());
        wait_for(text, found);
    }

    /// All files of a unit, the oldest first.
    pub fn files(&self, unit: &str) -> Vec<PathBuf> {
        let name = self.log_dir().join(format!("{unit}.log")).display().to_string();
        let older = (1..5000).map(|n| PathBuf::from(format!("{name}.{n}")));
        let mut files: Vec<_> = std::iter::once(name.clone().into())
            .chain(older)
            .filter(|path| path.exists())
            .collect();
        files.reverse();
        files
    }

    pub fn all_bytes(&self, unit: &str) -> Vec<u8> {
        self.files(unit).iter().flat_map(|path| std::fs::read(path).unwrap()).collect()
    }

    pub fn all_texts(&self, unit: &str) -> Vec<String> {
        texts(&self.all_bytes(unit))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Shows the last lines of every log of a directory when a test fails.
struct ShowOnPanic(PathBuf);

#[allow(clippy::print_stderr)] // shown with the failed test, by intention
impl Drop for ShowOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for path in std::fs::read_dir(&self.0).into_iter().flatten().flatten().take(20) {
                let log = String::from_utf8_lossy(&std::fs::read(path.path()).unwrap_or_default())
                    .into_owned();
                let end: Vec<_> = log.lines().rev().take(5).collect();
                eprintln!("{}: {end:?}", path.path().display());
            }
        }
    }
}

/// Lines without stamps; each must have one.
pub fn texts(log: &[u8]) -> Vec<String> {
    let whole = log.len() - log.iter().rev().take_while(|&&byte| byte != b'\n').count();
    let lines = log[..whole].split_inclusive(|&byte| byte == b'\n');
    lines
        .map(|line| {
            assert_eq!((line[10], line[23], line[24]), (b'T', b'Z', b' '), "{line:?}");
            String::from_utf8_lossy(&line[25..line.len() - 1]).into_owned()
        })
        .collect()
}

/// Writes numbered lines of 100 bytes, each by its own write.
pub fn write_numbers(fifo: &mut File, range: std::ops::Range<u32>) {
    for n in range {
        fifo.write_all(format!("{n:0>99}\n").as_bytes()).unwrap();
    }
}

pub fn numbers(texts: &[String]) -> Vec<u32> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
