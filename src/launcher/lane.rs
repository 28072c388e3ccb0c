//! Keeping the log lane alive: `service-launcher --journal`, a process of its own that outlives
//! this one.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::options::Options;
use super::{Error, Token, console};
use crate::kernel::cgroup::Tree;
use crate::kernel::custody::Custody;
use crate::kernel::fifos::{FifoDir, Writer};
use crate::kernel::poll::Poll;
use crate::kernel::{self, files, pidfd};
use crate::supervision::name::UnitName;
use crate::supervision::unit::Millis;
use crate::supervision::{Moment, Pid};
use crate::words::words_of;

/// The pause before the log lane is started again, in milliseconds.
const PAUSE: Millis = 1_000;
/// How long a new FIFO is held open for the log lane to find it, in milliseconds. It is told of new
/// ones at once; this is for a busy machine.
const GROWN_AFTER: Millis = 3_000;
/// How long an orderly end waits for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(5);
/// How long the first services wait for the log lane to listen for syslog.
const SYSLOG_WAIT: Duration = Duration::from_secs(1);

/// The log lane's descriptor of the notify socket, which it keeps for the next supervisor: its
/// standard input, which it has no other use for.
pub const KEPT: RawFd = libc::STDIN_FILENO;

/// The supervisor's own FIFO.
const OWN: &str = "treeward";

/// The log lane, as the supervisor sees it.
#[derive(Debug)]
pub struct Lane {
    arguments: Vec<String>,
    run_dir: PathBuf,
    fifos: FifoDir,
    syslog: Option<PathBuf>,
    /// What the log lane keeps while there is no supervisor: the notify socket, and what leads to
    /// the sockets of units.
    held: [OwnedFd; 2],
    child: Option<Pid>,
    /// One that an earlier supervisor started.
    other: Option<OwnedFd>,
    next_try: Option<Moment>,
    /// Units whose FIFO came into `custody` while there was no log lane: one for each, however often
    /// it starts.
    young: HashSet<String>,
    /// FIFOs that the log lane may not have opened yet: what is in a pipe is lost when nobody has
    /// it open, and a short service is gone by then.
    custody: Custody,
    /// When the log lane has opened them all.
    grown_at: Option<Moment>,
}

impl Lane {
    /// Prepares the directory of the FIFOs and the supervisor's own FIFO. The process itself is
    /// started by the first [`Lane::tick`].
    ///
    /// # Errors
    /// When the directory or the FIFO cannot be made.
    pub fn new(options: &Options, tree: &Tree, held: [OwnedFd; 2]) -> Result<Self, Error> {
        let lane = &options.lane;
        let run_dir = lane.run_dir.clone();
        files::secure_dir(&run_dir.join("log"))?;
        let fifos = FifoDir::open(run_dir.join("log"))?;
        let own = fifos.writer(OWN)?.fifo;
        console::also_to(own)?;
        let mut arguments: Vec<String> = vec![
            "--journal".into(),
            format!("--run-dir={}", run_dir.display()),
            format!("--log-dir={}", lane.log_dir.display()),
            format!("--log-size={}", lane.log_size),
            format!("--log-count={}", lane.log_count),
            format!("--services-cgroup={}", tree.services_cgroup()),
        ];
        if let Some(socket) = &lane.syslog {
            arguments.push(format!("--syslog={}", socket.display()));
        }
        Ok(Self {
            arguments,
            run_dir,
            fifos,
            syslog: lane.syslog.clone(),
            held,
            child: None,
            other: None,
            next_try: Some(0),
            young: HashSet::new(),
            custody: Custody::default(),
            grown_at: None,
        })
    }

    /// The FIFO of a unit.
    pub fn fifo(&self, unit: &str) -> PathBuf {
        self.fifos.path(unit)
    }

    /// The units that have a FIFO.
    pub fn units(&self) -> Vec<UnitName> {
        let entries = fs::read_dir(self.run_dir.join("log")).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| UnitName::new(entry.file_name().to_str()?).ok());
        names.filter(|name| name.as_str() != OWN).collect()
    }

    /// Opens a unit's FIFO for the service to write to; makes it before the first start. Give it
    /// back by [`Lane::keep`] when the service has it.
    ///
    /// # Errors
    /// When it cannot be made or opened.
    pub fn output(&self, unit: &str) -> Result<Writer, kernel::Error> {
        self.fifos.writer(unit)
    }

    /// Takes a unit's FIFO back, and keeps it open if the log lane may not have it yet.
    pub fn keep(&mut self, unit: &str, writer: Writer, now: Moment) {
        let is_first = !self.is_running() && self.young.insert(unit.to_owned());
        if writer.is_new || is_first {
            self.custody.keep(writer.fifo);
            self.grown_at = Some(now + GROWN_AFTER);
        }
    }

    /// Writes a line of the supervisor's own into a unit's FIFO.
    ///
    /// # Errors
    /// EAGAIN when nobody reads it and it is full, or what the kernel says.
    pub fn say(&mut self, unit: &str, line: &str, now: Moment) -> std::io::Result<()> {
        let writer = self.fifos.writer(unit);
        let writer = writer.map_err(|error| std::io::Error::from(error.errno()))?;
        let said = kernel::fifos::write_line(&writer.fifo, line);
        self.keep(unit, writer, now);
        said
    }

    const fn is_running(&self) -> bool {
        self.child.is_some() || self.other.is_some()
    }

    /// When [`Lane::tick`] will do something.
    pub fn deadline(&self) -> Option<Moment> {
        [self.next_try, self.grown_at].into_iter().flatten().min()
    }

    /// Starts the log lane if there is none, and lets go of FIFOs that it has opened by now.
    pub fn tick(&mut self, now: Moment) {
        if self.grown_at.is_some_and(|at| at <= now) {
            let is_running = self.is_running();
            self.grown_at = (!is_running).then_some(now + GROWN_AFTER);
            if is_running {
                self.young = HashSet::new();
                self.custody.release();
            }
        }
        if self.next_try.is_none_or(|at| at > now) {
            return;
        }
        // A group of its own, so that Ctrl-C at a terminal ends it only after the services. Nothing
        // else is set here, so that the standard library takes posix_spawn(3): a forked copy of
        // this process would have no heap (see `kernel::heap`).
        let [notifications, sockets] = &self.held;
        let start = |notifications: OwnedFd, sockets: OwnedFd| {
            Command::new("/proc/self/exe")
                .arg0("service-launcher")
                .args(&self.arguments)
                .stdin(notifications)
                .stdout(sockets)
                .process_group(0)
                .spawn()
        };
        let copies = notifications.try_clone().and_then(|one| Ok((one, sockets.try_clone()?)));
        self.next_try = match copies.and_then(|(one, other)| start(one, other)) {
            Ok(child) => {
                self.child = Some(child.id());
                None
            }
            Err(error) => {
                let why = words_of(&error);
                log::error!("cannot start the log lane: {why}; it is tried again in 1 s");
                Some(now + PAUSE)
            }
        };
    }

    /// Waits until somebody listens for syslog, where that is the log lane's work: syslog(3) loses
    /// what nobody listens for, and daemons say the most when they are started.
    pub fn await_syslog(&self) {
        let (Some(socket), Ok(probe)) = (&self.syslog, UnixDatagram::unbound()) else { return };
        let until = Instant::now() + SYSLOG_WAIT;
        while probe.connect(socket).is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A child was buried. Gives whether it was the log lane; then plans the next one, or watches
    /// the one that an earlier supervisor left, which holds the lock.
    pub fn buried(&mut self, pid: Pid, poll: &Poll, now: Moment) -> bool {
        if self.child != Some(pid) {
            return false;
        }
        self.child = None;
        self.other = self.holder().filter(|(holder, _)| *holder != pid).map(|(holder, lane)| {
            if !runs_our_program(holder) {
                log::info!("the log lane (pid {holder}) runs another program: it is replaced");
                let _ = pidfd::send_signal(&lane, libc::SIGTERM);
            }
            lane
        });
        match &self.other {
            Some(fd) => {
                if let Err(error) = poll.add(fd, Token::Lane.number()) {
                    log::error!("{error}");
                }
            }
            None => {
                log::error!("the log lane ended; services write on, and it is started again");
                self.next_try = Some(now + PAUSE);
            }
        }
        true
    }

    /// The log lane of an earlier supervisor ended.
    pub fn other_ended(&mut self, poll: &Poll) {
        if let Some(fd) = self.other.take() {
            poll.remove(&fd);
            self.next_try = Some(0);
        }
    }

    /// Ends the log lane after it has written what is in the FIFOs. Where supervisors were killed
    /// shortly before, it may be one that none of them has come to know: it holds the lock.
    pub fn stop(&mut self) {
        let child = self.child.and_then(|pid| pidfd::open(pid).ok().flatten());
        let until = Instant::now() + LAST_LINES;
        child.iter().chain(&self.other.take()).for_each(|lane| end(lane, until));
        while is_kept(&self.run_dir) && Instant::now() < until {
            match self.holder() {
                Some((_, lane)) => end(&lane, until),
                // It has not written its number yet.
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// The log lane that holds the lock. It has no number before it has written it: the file may
    /// still name one that is gone, and that number may be a stranger's by now.
    fn holder(&self) -> Option<(Pid, OwnedFd)> {
        let pid = keeper(&self.run_dir)?;
        // Opened first: what is seen of the number then is not older than the process.
        let lane = pidfd::open(pid).ok().flatten()?;
        is_lane(pid, &self.run_dir).then_some((pid, lane))
    }
}

/// Whether a process was started from the very file that this one was. In doubt it was.
fn runs_our_program(pid: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let file = |pid: &str| {
        let file = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
        Some((file.dev(), file.ino()))
    };
    match (file("self"), file(&pid.to_string())) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => true,
    }
}

/// Whether a process is a log lane of this run directory, by its command line.
fn is_lane(pid: Pid, run_dir: &Path) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = command.split(|byte| *byte == 0);
    let names_it = |word: &[u8]| {
        word.strip_prefix(b"--run-dir=").unwrap_or(word) == run_dir.as_os_str().as_bytes()
    };
    words.clone().any(|word| word == b"--journal") && words.any(names_it)
}

/// Asks a log lane to end, and waits for it until then.
fn end(lane: &OwnedFd, until: Instant) {
    let _ = pidfd::send_signal(lane, libc::SIGTERM);
    let mut fds = [PollFd::new(lane.as_fd(), PollFlags::POLLIN)];
    let left = until.saturating_duration_since(Instant::now());
    let _ = poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO));
}

/// Whether a log lane holds the lock.
fn is_kept(run_dir: &Path) -> bool {
    let Ok(file) = File::open(run_dir.join("journal.lock")) else { return false };
    matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
}

/// The log lane that is there, or the last that was: whatever it says must be checked.
pub fn keeper(run_dir: &Path) -> Option<Pid> {
    fs::read_to_string(run_dir.join("journal.lock")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_number_that_is_a_strangers_by_now_is_no_log_lane() {
        let mut lane = Command::new("sh")
            .args(["-c", "echo; read line", "service-launcher", "--journal", "--run-dir=/run/a"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It has its command line only a moment after it was spawned.
        lane.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        assert!(is_lane(lane.id(), Path::new("/run/a")));
        assert!(!is_lane(lane.id(), Path::new("/run/b")) && !is_lane(lane.id(), Path::new("/a")));
        assert!(!is_lane(std::process::id(), Path::new("/run/a")));
        drop(lane.stdin.take());
        lane.wait().unwrap();
    }
}
