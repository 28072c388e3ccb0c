//! A shell on the console, for when nothing else works.
//!
//! It is started as `init --emergency-shell CONSOLE`: a stage of its own, that makes a session,
//! takes the console as its controlling terminal and becomes the shell.
//!
//! sulogin(8), which asks for root's password, is used where it is installed and root has a
//! password. Where root has none or is locked a password would only keep everybody out of a machine
//! that is to be repaired; who stands at its console could start it with `init=/bin/sh` as well.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tools;
use crate::kernel::machine;
use crate::words::words_of;

/// The hidden argument.
pub(super) const STAGE: &str = "--emergency-shell";

/// Starts the shell; gives its process id. `then` says what comes after it.
pub(super) fn open(console: Option<&Path>, then: &str) -> Option<u32> {
    let console = console.unwrap_or(Path::new("/dev/console"));
    // Not current_exe(): the program may have been replaced or removed since. Without /proc the
    // kernel's own name for it has to do.
    let own = Path::new("/proc/self/exe");
    let named = std::env::args_os().next().map(PathBuf::from);
    let own = if own.exists() { own.to_owned() } else { named.unwrap_or_default() };
    let mut stage = tools::command(&own);
    let started = stage.arg(STAGE).arg(console).env("HOME", "/root").spawn();
    match started {
        Ok(child) => {
            log::warn!(
                "an emergency shell on {}, pid {}; when it ends {then}",
                console.display(),
                child.id()
            );
            Some(child.id())
        }
        Err(e) => {
            log::error!("cannot start an emergency shell: {}", words_of(&e));
            None
        }
    }
}

/// The stage. Comes back only when there is no shell.
pub(super) fn become_shell(console: &Path) {
    let _ = nix::unistd::setsid();
    match File::options().read(true).write(true).open(console) {
        Ok(terminal) => {
            // What is no terminal (a file, /dev/null) serves as well as it can.
            let _ = machine::take_terminal(&terminal);
            let _ = nix::unistd::dup2_stdin(&terminal);
            let _ = nix::unistd::dup2_stdout(&terminal);
            let _ = nix::unistd::dup2_stderr(&terminal);
        }
        Err(e) => {
            log::error!("cannot open {}: {}", console.display(), words_of(&e));
            let _ = machine::take_terminal(std::io::stdin());
        }
    }
    let shadow = fs::read("/etc/shadow").unwrap_or_default();
    for (program, arguments) in candidates(root_has_password(&shadow)) {
        let error = Command::new(&program).args(arguments).exec();
        log::error!("cannot execute {}: {}", program.display(), words_of(&error));
    }
    log::error!("there is no shell; only Ctrl-Alt-Del and signals to process 1 are answered");
}

/// The programs to try, with their arguments.
fn candidates(ask_password: bool) -> Vec<(PathBuf, Vec<OsString>)> {
    let sulogin = tools::find("sulogin").filter(|_| ask_password);
    let shells = ["/bin/sh", "/bin/bash", "/usr/bin/sh", "/usr/bin/bash"].map(PathBuf::from);
    // No login shells: a profile may be what is broken.
    let shells = shells.into_iter().filter(|path| tools::is_program(path));
    let shells = shells.map(|path| (path, Vec::new()));
    let busybox = ["busybox", "toybox"].into_iter().filter_map(tools::find);
    let busybox = busybox.map(|path| (path, vec!["sh".into()]));
    let asked = sulogin.map(|path| (path, Vec::new()));
    asked.into_iter().chain(shells).chain(busybox).collect()
}

/// Whether root can log in with a password (shadow(5)): no hash begins with `!` or `*`.
fn root_has_password(shadow: &[u8]) -> bool {
    let mut lines = shadow.split(|byte| *byte == b'\n');
    let root = lines.find_map(|line| line.strip_prefix(b"root:"));
    let hash = root.and_then(|rest| rest.split(|byte| *byte == b':').next());
    hash.is_some_and(|hash| !hash.is_empty() && !hash.starts_with(b"!") && !hash.starts_with(b"*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_asked_for_only_where_root_has_one() {
        for (shadow, asks) in [
            ("daemon:*:1::\nroot:$y$j9T$abc:19000:0:99999:7:::\n", true),
            ("root:!:1::\n", false),
            ("root:!$y$abc:1::\n", false),
            ("root:*:1::\n", false),
            ("root::1::\n", false),
            ("toor:$y$x:1::\n", false),
            ("", false),
        ] {
            assert_eq!(root_has_password(shadow.as_bytes()), asks, "{shadow}");
        }
    }

    #[test]
    fn a_shell_is_a_program_that_exists() {
        let found = candidates(false);
        assert!(!found.is_empty());
        assert!(found.iter().all(|(path, _)| tools::is_program(path)));
    }
}
