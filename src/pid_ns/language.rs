//! The language of each kind of init: how it is asked to power off or to reboot.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use super::birth::Guest;
use super::options::Options;
use super::{Failure, enter};
use crate::kernel::guest_mounts::{make_within, open_within, root_of};
use crate::kernel::namespaces::{self, Hearing};
use crate::kernel::{Error, pidfd, process};

/// What is wanted of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// That it ends.
    PowerOff,
    /// That it ends, to come back.
    Reboot,
}

impl Wish {
    /// "asked ... to power off"
    pub const fn words(self) -> &'static str {
        match self {
            Self::PowerOff => "power off",
            Self::Reboot => "reboot",
        }
    }
}

/// A kind of init.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// systemd(1): SIGRTMIN+4 and SIGRTMIN+5.
    Systemd,
    /// runit(8): two files and SIGCONT.
    Runit,
    /// BusyBox init: SIGUSR2 and SIGTERM.
    Busybox,
    /// Any other program.
    Other,
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It was put, and the init hears it.
    Yes,
    /// It was put, and nobody can see whether the init hears it: one that waits for signals by
    /// sigwait(3) looks like one that loses them.
    Perhaps,
    /// The init is not far enough to hear it: ask again.
    NotYet,
    /// This init has no word for it.
    NoWord,
}

impl Init {
    /// What kind of init the process is by now; `None` when it is gone. A script that executes an
    /// init at its end is first one kind, then the other.
    pub fn of(pid: u32) -> Option<Self> {
        let program = namespaces::program_of(pid).ok()??;
        Some(Self::by_name(&program, &process::read(pid)?.command))
    }

    fn by_name(program: &str, command: &str) -> Self {
        let name = |path| Path::new(path).file_name().and_then(|name| name.to_str());
        match name(program.strip_suffix(" (deleted)").unwrap_or(program)) {
            Some("systemd") => Self::Systemd,
            Some("runit" | "runit-init") => Self::Runit,
            // The same file is every other program of BusyBox, too: `init`, or `busybox init`.
            Some("busybox")
                if command.split(' ').take(2).any(|word| name(word) == Some("init")) =>
            {
                Self::Busybox
            }
            _ => Self::Other,
        }
    }

    /// Whether even a question that was heard may have been passed over, so that it is put again.
    pub const fn forgets(self) -> bool {
        // "signals only work in stage 2".
        matches!(self, Self::Runit)
    }

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Runit => "runit",
            Self::Busybox => "busybox init",
            Self::Other => "the guest's init",
        }
    }

    /// Asks. `since` is how long it has been asked already; with `anyhow` also where nothing shows
    /// that it would be heard.
    pub fn ask(
        self,
        guest: &Guest,
        wish: Wish,
        since: Duration,
        anyhow: bool,
        options: &Options,
    ) -> Result<Asked, Failure> {
        if let (Wish::PowerOff, Some(command)) = (wish, &options.stop_command) {
            return enter::run_beside(guest.pid, command).map(|()| Asked::Yes);
        }
        let signal = match (self, wish) {
            (Self::Systemd, Wish::PowerOff) => libc::SIGRTMIN() + 4,
            (Self::Systemd, Wish::Reboot) => libc::SIGRTMIN() + 5,
            (Self::Busybox, Wish::PowerOff) => libc::SIGUSR2,
            (Self::Busybox, Wish::Reboot) => libc::SIGTERM,
            (Self::Other, Wish::PowerOff) => options.stop_signal,
            (Self::Other, Wish::Reboot) => return Ok(Asked::NoWord),
            (Self::Runit, _) => return ask_runit(guest, wish, since),
        };
        let asked = match namespaces::hearing(guest.pid, signal) {
            Hearing::Handles => Asked::Yes,
            // It fetches its signals from a descriptor.
            Hearing::Blocks if self == Self::Systemd => Asked::Yes,
            _ if anyhow && self != Self::Systemd => Asked::Perhaps,
            _ => return Ok(Asked::NotYet),
        };
        send(guest, signal).map(|()| asked)
    }
}

/// Sends a signal to the guest's init; one that is gone needs none.
pub fn send(guest: &Guest, signal: i32) -> Result<(), Failure> {
    let sent = pidfd::send_signal(&guest.pidfd, signal);
    let subject = || format!("process {} with {signal}", guest.pid);
    Ok(sent.map(drop).map_err(|errno| Error::new("signal", subject(), errno))?)
}

/// The files that runit looks at, as Debian builds it and as upstream does: the mode 0100 says yes.
const RUNIT_FILES: [(&str, &str); 2] =
    [("/run/runit.stopit", "/run/runit.reboot"), ("/etc/runit/stopit", "/etc/runit/reboot")];

/// How long the first stage of a runit may take to make its files, until we do.
const RUNIT_PATIENCE: Duration = Duration::from_secs(3);

fn ask_runit(guest: &Guest, wish: Wish, since: Duration) -> Result<Asked, Failure> {
    let root = root_of(guest.pid)?;
    let mut found = false;
    for (stop, reboot) in RUNIT_FILES {
        let make = since >= RUNIT_PATIENCE;
        let set = |path: &str, yes: bool| -> Result<bool, Error> {
            let file = match open_within(&root, path) {
                Err(Errno::ENOENT) if make && yes => make_within(&root, path),
                other => other,
            };
            let file = match file {
                Ok(file) => file,
                Err(Errno::ENOENT) => return Ok(false),
                Err(errno) => return Err(Error::new("open", format!("the guest's {path}"), errno)),
            };
            let mode = std::fs::Permissions::from_mode(if yes { 0o100 } else { 0 });
            file.set_permissions(mode).map_err(|e| {
                let errno = e.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw);
                Error::new("set the mode of", format!("the guest's {path}"), errno)
            })?;
            Ok(true)
        };
        set(reboot, wish == Wish::Reboot)?;
        found |= set(stop, true)?;
    }
    if !found {
        return Ok(Asked::NotYet);
    }
    send(guest, libc::SIGCONT).map(|()| Asked::Yes)
}

#[cfg(test)]
mod tests {
    use super::Init;

    #[test]
    fn inits_are_known_by_their_program() {
        for (program, command, init) in [
            ("/usr/lib/systemd/systemd", "/sbin/init", Init::Systemd),
            ("/usr/lib/systemd/systemd (deleted)", "systemd", Init::Systemd),
            ("/usr/sbin/runit", "runit", Init::Runit),
            ("/bin/busybox", "/sbin/init", Init::Busybox),
            ("/bin/busybox", "busybox init", Init::Busybox),
            ("/bin/busybox", "sh /etc/init.d/rcS", Init::Other),
            ("/usr/bin/dash", "systemd", Init::Other),
            ("/", "", Init::Other),
        ] {
            assert_eq!(Init::by_name(program, command), init, "{program} {command}");
        }
    }
}
