//! The start of a guest: namespaces for the child, the fork, and what the child reports.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::options::{Options, Share};
use super::{Failure, NOT_SET_UP, inside, say};
use crate::kernel::leaf::Leaf;
use crate::kernel::namespaces::{self, Held, Kind};
use crate::kernel::{Error, pidfd};

/// A guest that is on its way, or there.
#[derive(Debug)]
pub struct Guest {
    /// Its init, by our own count.
    pub pid: u32,
    /// Its init, for waiting and for signals.
    pub pidfd: OwnedFd,
    /// Its cgroup; `None` when it shares ours.
    pub payload: Option<Leaf>,
    /// What the child says when it fails; ends without a word when the init is executed.
    report: Option<File>,
}

/// Starts the guest. Its failures come by [`Guest::report`].
pub fn start(options: &Options, payload: Option<&Leaf>) -> Result<Guest, Failure> {
    let entrance = payload.map(Leaf::entrance).transpose()?;
    let (report, tell) = pipe2(OFlag::O_CLOEXEC)
        .map_err(|errno| Error::new("make a pipe", "for the guest", errno))?;
    let tell = File::from(tell);
    // These two are entered by children only. Afterwards we come home, or the next guest could
    // have none of its own.
    let mut home = Vec::new();
    if options.owns(Share::Pid) {
        home.push(Held::of(0, Kind::Pid)?);
        namespaces::leave(Kind::Pid)?;
    }
    if options.owns(Share::Time) {
        leave_time(&mut home)?;
    }
    let Some(pid) = namespaces::fork()? else {
        let failure = inside::become_guest(options, entrance.as_ref(), &tell);
        let _ = (&tell).write_all(&[&[failure.status], failure.text.as_bytes()].concat());
        std::process::exit(failure.status.into());
    };
    home.iter().try_for_each(Held::join)?;
    let gone = || Error::new("pidfd_open", "the guest's init", Errno::ESRCH);
    let pidfd = pidfd::open(pid)?.ok_or_else(gone)?;
    Ok(Guest { pid, pidfd, payload: payload.cloned(), report: Some(report.into()) })
}

/// A kernel without time namespaces is no reason to have no guest.
fn leave_time(home: &mut Vec<Held>) -> Result<(), Error> {
    let held = Held::of(0, Kind::Time).and_then(|held| namespaces::leave_time().map(|()| held));
    match held {
        Ok(held) => home.push(held),
        Err(error) if matches!(error.errno(), Errno::EINVAL | Errno::ENOENT) => {
            say(&format!("{error}: the guest's uptime is the machine's"));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

impl Guest {
    /// Where it reports; `None` once its init is executed.
    pub fn report(&self) -> Option<BorrowedFd<'_>> {
        self.report.as_ref().map(AsFd::as_fd)
    }

    /// Reads the report, which has come: nothing when the init is executed now.
    pub fn take_report(&mut self) -> Option<Failure> {
        let mut bytes = Vec::new();
        let read = self.report.take()?.read_to_end(&mut bytes);
        let (status, text) = bytes.split_first().filter(|_| read.is_ok())?;
        Some(Failure { text: String::from_utf8_lossy(text).into_owned(), status: *status })
    }

    /// Ends all of it at once.
    pub fn kill(&self) -> Result<(), Failure> {
        if let Some(payload) = &self.payload {
            payload.kill()?;
        }
        // Without a cgroup, and when it has not got into it yet. Its namespace ends with it.
        pidfd::send_signal(&self.pidfd, libc::SIGKILL).map(drop).map_err(|errno| Failure {
            text: Error::new("kill", format!("process {}", self.pid), errno).to_string(),
            status: NOT_SET_UP,
        })
    }
}
