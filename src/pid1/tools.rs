//! Other people's programs: where they are, and running one to its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::watch::Watch;
use crate::kernel::clock;

/// Where programs are looked for, and the PATH of every child.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a program is waited for between two looks, where no signal tells of its end.
const LOOK_MS: u64 = 1_000;
/// How long a program has to end when the machine goes down, before and after SIGKILL.
const END_MS: u64 = 5_000;

/// The file of that name on [`PATH`] that can be executed.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    PATH.split(':').map(|dir| Path::new(dir).join(name)).find(|path| is_program(path))
}

/// Whether it is a file that root can execute.
pub(super) fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// A command with the environment that every child of `init` has: PATH and TERM.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).current_dir("/");
    // The kernel sets it to linux, or as its command line says.
    command.env("TERM", std::env::var_os("TERM").unwrap_or_else(|| "linux".into()));
    command
}

/// An empty standard input, if there is one.
pub(super) fn nothing() -> Stdio {
    File::open("/dev/null").map_or_else(|_| Stdio::inherit(), Stdio::from)
}

/// Runs a program to its end. When the end of the machine is asked for meanwhile it is sent SIGTERM,
/// then SIGKILL, and at last left behind.
pub(super) fn run(command: &mut Command, watch: &mut Watch) -> io::Result<ExitStatus> {
    let mut child = command.stdin(nothing()).process_group(0).spawn()?;
    let mut asked_at = None;
    let mut killed = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let now = clock::monotonic_ms();
        match asked_at.map(|at| now.saturating_sub(at)) {
            None if watch.asked.is_some() => {
                asked_at = Some(now);
                let pid = i32::try_from(child.id()).map(Pid::from_raw);
                let _ = pid.map(|pid| kill(pid, Signal::SIGTERM));
            }
            Some(waited) if waited >= 2 * END_MS => return Err(io::ErrorKind::TimedOut.into()),
            Some(waited) if waited >= END_MS && !killed => {
                killed = true;
                child.kill()?;
            }
            _ => {}
        }
        watch.wait(Some(LOOK_MS));
    }
}

/// Runs a short program and gives the first line that it wrote, if it ended well.
pub(super) fn ask(program: &Path, arguments: &[&std::ffi::OsStr]) -> Option<String> {
    let output = command(program).args(arguments).stdin(nothing()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
