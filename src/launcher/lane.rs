//! Keeping the log lane alive: `service-launcher --journal`, a process of its own that outlives
//! this one.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::options::Options;
use super::{Error, Token, console};
use crate::kernel::cgroup::Tree;
use crate::kernel::poll::{Interest, Poll};
use crate::kernel::{files, pidfd};
use crate::supervision::unit::Millis;
use crate::supervision::{Moment, Pid};

/// The pause before the log lane is started again, in milliseconds.
const PAUSE: Millis = 1_000;
/// How long an orderly end waits for the last lines to be written, in milliseconds.
const LAST_LINES: u16 = 5_000;

/// The log lane, as the supervisor sees it.
#[derive(Debug)]
pub struct Lane {
    arguments: Vec<String>,
    run_dir: PathBuf,
    child: Option<Pid>,
    /// One that an earlier supervisor started.
    other: Option<OwnedFd>,
    next_try: Option<Moment>,
}

impl Lane {
    /// Prepares the directory of the FIFOs and the supervisor's own FIFO. The process itself is
    /// started by the first [`Lane::tick`].
    ///
    /// # Errors
    /// When the directory or the FIFO cannot be made.
    pub fn new(options: &Options, tree: &Tree) -> Result<Self, Error> {
        let lane = &options.lane;
        let run_dir = lane.run_dir.clone();
        files::secure_dir(&run_dir.join("log"))?;
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
        let this = Self { arguments, run_dir, child: None, other: None, next_try: Some(0) };
        let own = this.fifo("treeward");
        files::make_fifo(&own, 0o600)?;
        console::also_to(&own)?;
        Ok(this)
    }

    /// The FIFO of a unit.
    pub fn fifo(&self, unit: &str) -> PathBuf {
        self.run_dir.join("log").join(unit)
    }

    /// When [`Lane::tick`] will do something.
    pub const fn deadline(&self) -> Option<Moment> {
        self.next_try
    }

    /// Starts the log lane if there is none.
    pub fn tick(&mut self, now: Moment) {
        if self.next_try.is_none_or(|at| at > now) {
            return;
        }
        // A group of its own, so that Ctrl-C at a terminal ends it only after the services.
        let started = Command::new("/proc/self/exe")
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn();
        self.next_try = match started {
            Ok(child) => {
                self.child = Some(child.id());
                None
            }
            Err(error) => {
                log::error!("cannot start the log lane: {error}; it is tried again in 1 s");
                Some(now + PAUSE)
            }
        };
    }

    /// A child was buried. Gives whether it was the log lane; then plans the next one, or watches
    /// the one that an earlier supervisor left, which holds the lock.
    pub fn buried(&mut self, pid: Pid, poll: &Poll, now: Moment) -> bool {
        if self.child != Some(pid) {
            return false;
        }
        self.child = None;
        let holder = fs::read_to_string(self.run_dir.join("journal.lock")).unwrap_or_default();
        let other = holder.trim().parse().ok().filter(|holder| *holder != pid);
        self.other = other.and_then(|holder| pidfd::open(holder).ok().flatten());
        match &self.other {
            Some(fd) => {
                if let Err(error) = poll.add(fd, Token::Lane.number(), Interest::Read) {
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

    /// Ends the log lane after it has written what is in the FIFOs.
    pub fn stop(&mut self) {
        let child = self.child.and_then(|pid| pidfd::open(pid).ok().flatten());
        let Some(lane) = child.or_else(|| self.other.take()) else { return };
        let _ = pidfd::send_signal(&lane, libc::SIGTERM);
        let mut fds = [PollFd::new(lane.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(LAST_LINES));
    }
}
