//! Another program takes this process over: an upgrade, or a downgrade.
//!
//! It is the path of a crash, and only better in that the process and so the children stay: what
//! the next program must know is on the leaves already. Clients see their connections end, and
//! come back.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Launcher;
use super::chores::Chore;
use crate::kernel::pidfd;
use crate::kernel::replace::replace;
use crate::protocol::Failure;
use crate::protocol::listener::Peer;
use crate::protocol::server::CallId;
use crate::supervision::Moment;
use crate::words::words_of;

/// How long a program may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most that is read of it.
const MOST_BYTES: u64 = 256;

impl Launcher {
    /// Looks at the program first; `call` is answered when it will not do.
    pub(super) fn upgrade_for(&mut self, call: CallId, program: Option<String>, peer: Peer) {
        let program = program.map_or_else(|| self.program.clone(), PathBuf::from);
        let (pid, uid) = (peer.pid, peer.uid);
        log::info!("upgrade to {} asked for by pid {pid} (user {uid})", program.display());
        self.chores.add(Chore::TryProgram { program, call });
    }

    /// The program was looked at.
    pub(super) fn take_tried(
        &mut self,
        (program, call): (PathBuf, CallId),
        result: Result<String, String>,
        now: Moment,
    ) {
        match result {
            Ok(version) => {
                log::info!("{} is {version}; this process becomes it", program.display());
                self.next_program = Some((program, call));
            }
            Err(reason) => self.stay(&program, call, reason, now),
        }
    }

    /// Becomes the next program once nothing is half done. Returns only when it cannot.
    pub(super) fn become_next(&mut self, now: Moment) {
        if !self.actions.is_empty() || !self.save_later.is_empty() {
            return;
        }
        let Some((program, call)) = self.next_program.take() else { return };
        log::logger().flush();
        let arguments: Vec<_> = std::env::args_os().skip(1).collect();
        let error = replace(&program, &arguments);
        self.stay(&program, call, error.to_string(), now);
    }

    fn stay(&mut self, program: &Path, call: CallId, reason: String, now: Moment) {
        let failure = Failure::NoUpgrade { program: program.display().to_string(), reason };
        log::error!("{failure}");
        self.server.fail(call, &failure, now);
    }
}

/// What a program answers to `--version`, if that is what a supervisor answers. The loop buries
/// the child, so its exit status is not looked at.
pub fn version_of(program: &Path) -> Result<String, String> {
    let mut child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("it cannot be executed: {}", words_of(&error)))?;
    let handle = pidfd::open(child.id()).ok().flatten();
    let Some(mut output) = child.stdout.take() else { return Err("it has no output".into()) };
    let until = Instant::now() + PATIENCE;
    let mut said = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
        let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let ready = poll(&mut fds, wait).unwrap_or(0);
        if ready == 0 {
            if let Some(handle) = handle {
                let _ = pidfd::send_signal(&handle, libc::SIGKILL);
            }
            return Err(format!("it did not tell its version within {} s", PATIENCE.as_secs()));
        }
        let mut piece = [0; MOST_BYTES as usize];
        match output.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(length) => said.extend_from_slice(&piece[..length]),
        }
        if said.len() as u64 >= MOST_BYTES {
            break;
        }
    }
    let said = String::from_utf8_lossy(&said);
    let version = said.trim().strip_prefix("service-launcher ");
    version
        .filter(|version| !version.contains('\n'))
        .map(|version| format!("service-launcher {version}"))
        .ok_or_else(|| {
            "it is not a service-launcher: it answers something else to --version".into()
        })
}
