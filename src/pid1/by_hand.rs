//! `init` called by somebody, not by the kernel: help, the version, and orders to process 1 as
//! telinit(8) took them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const HELP: &str = "\
The first process of a machine: mounts the file systems of /etc/fstab, keeps service-launcher
running, buries orphans, and ends the machine.

It is started by the kernel (init=/sbin/init), or as process 1 of a container:
  unshare --pid --fork --mount --uts --net init [OPTION...]

Options; those marked * are also words of the kernel command line, as treeward.NAME=VALUE:
  --launcher PATH *          the program to keep running, instead of the service-launcher beside
                             init, at /service-launcher or on PATH
  --shutdown-timeout SECS *  how long the services may take to go down [default: 90]
  --units DIR *, --run-dir DIR *, --log-dir DIR *, --log-size BYTES *, --log-count COUNT *,
  --state-dir DIR *, --cgroup-root PATH *, --max-starting COUNT *, --group GROUP *,
  --syslog[=PATH] *          are passed on to service-launcher
  --fstab FILE               instead of /etc/fstab
  --hostname-file FILE       instead of /etc/hostname
  --console PATH             the terminal for messages and the emergency shell
  --debug *                  also says what it passes over
  single, emergency, rescue  a shell before anything is started
  Words that mean nothing here are passed over: the kernel hands on all that it does not know.
  fsck.mode=skip, fsck.mode=force on the kernel command line: no checks, or full ones.

Signals to process 1:
  USR1, PWR                  power off
  USR2                       halt
  INT (Ctrl-Alt-Del), TERM   restart; INT seven times within two seconds: without waiting for anybody
  HUP                        the units are read again

When process 1 is this program, an order can be given to it:
  init 0, init 6             power off, restart
  init q                     the units are read again
  also under the names poweroff, reboot, halt. In order with all services: slc poweroff, slc reboot
";

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Help,
    Version,
    Send(Signal),
    Unclear,
}

/// Takes the name that the program was called by, and its arguments.
fn call(name: &OsStr, arguments: &[OsString]) -> Call {
    let words: Vec<&[u8]> = arguments.iter().map(|word| word.as_bytes()).collect();
    let name = Path::new(name).file_name().unwrap_or_default().as_bytes();
    match (name, words.as_slice()) {
        (_, [b"--help" | b"-h", ..]) => Call::Help,
        (_, [b"--version" | b"-V", ..]) => Call::Version,
        (b"poweroff", []) | (_, [b"0"]) => Call::Send(Signal::SIGUSR1),
        (b"halt", []) => Call::Send(Signal::SIGUSR2),
        (b"reboot", []) | (_, [b"6"]) => Call::Send(Signal::SIGTERM),
        (_, [b"q" | b"Q"]) => Call::Send(Signal::SIGHUP),
        _ => Call::Unclear,
    }
}

/// Does what the call asks for.
pub(super) fn run(name: &OsStr, arguments: &[OsString]) -> ExitCode {
    let version = concat!("init ", env!("CARGO_PKG_VERSION"), "\n");
    match call(name, arguments) {
        Call::Help => say(HELP),
        Call::Version => say(version),
        Call::Send(signal) if is_process_1() => match kill(Pid::from_raw(1), signal) {
            Ok(()) => ExitCode::SUCCESS,
            Err(errno) => fail(&format!("cannot signal process 1: {}", errno.desc())),
        },
        Call::Send(_) => fail(
            "process 1 is another program, so nothing was done: use its own tools \
             (with systemd: systemctl poweroff or systemctl reboot)",
        ),
        Call::Unclear => {
            fail("this is process 1 of a machine, and is started by the kernel; see init --help");
            ExitCode::from(2)
        }
    }
}

/// Whether process 1 is this very program, or an older copy that was replaced since.
fn is_process_1() -> bool {
    let own = fs::metadata("/proc/self/exe").map(|it| (it.dev(), it.ino()));
    let first = fs::metadata("/proc/1/exe").map(|it| (it.dev(), it.ino()));
    if matches!((&own, &first), (Ok(own), Ok(first)) if own == first) {
        return true;
    }
    let replaced = fs::read_link("/proc/1/exe").ok().and_then(|path| {
        let path = path.into_os_string().into_string().ok()?;
        path.strip_suffix(" (deleted)").map(str::to_owned)
    });
    let own = fs::read_link("/proc/self/exe").ok();
    replaced.is_some() && own.and_then(|path| path.into_os_string().into_string().ok()) == replaced
}

fn say(text: &str) -> ExitCode {
    let written = std::io::stdout().write_all(text.as_bytes());
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fail(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "init: {text}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_of_old_mean_what_they_meant() {
        let call = |name: &str, words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            super::call(OsStr::new(name), &words)
        };
        assert_eq!(call("/sbin/init", &["0"]), Call::Send(Signal::SIGUSR1));
        assert_eq!(call("telinit", &["6"]), Call::Send(Signal::SIGTERM));
        assert_eq!(call("init", &["q"]), Call::Send(Signal::SIGHUP));
        assert_eq!(call("/sbin/poweroff", &[]), Call::Send(Signal::SIGUSR1));
        assert_eq!(call("/sbin/reboot", &[]), Call::Send(Signal::SIGTERM));
        assert_eq!(call("halt", &[]), Call::Send(Signal::SIGUSR2));
        assert_eq!(call("reboot", &["--help"]), Call::Help);
        for unclear in [&["3"][..], &[], &["0", "6"], &["--launcher", "/x"]] {
            assert_eq!(call("init", unclear), Call::Unclear);
        }
        // What nobody understands must not end a machine.
        assert_eq!(call("poweroff", &["--when-idle"]), Call::Unclear);
    }
}
