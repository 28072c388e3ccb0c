//! Process 1's own program, when a new one was installed in its place.
//!
//! The file that a running program was started from stays on the disk until the program ends, also
//! when it was removed or replaced; and while such a file is there `/` cannot be made read-only. So
//! process 1 makes the last steps as a copy of itself in memory. The same holds for the libraries
//! of a program that is not linked statically.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::tools;
use crate::power::Power;

/// The hidden argument.
const STAGE: &str = "--last-steps";

/// Whether a file that this process executes was removed from the disk, by proc_pid_maps(5).
pub(super) fn is_replaced() -> bool {
    has_removed_file(&fs::read_to_string("/proc/self/maps").unwrap_or_default())
}

fn has_removed_file(maps: &str) -> bool {
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    let mut removed = paths.filter_map(|path| path.strip_suffix(" (deleted)"));
    removed.any(|path| !["/memfd:", "/dev/", "/SYSV"].iter().any(|it| path.starts_with(it)))
}

/// Becomes a copy of itself, which goes on with [`asked_for`]. Comes back only with an error.
pub(super) fn become_copy(power: Power, log_dir: &Path) -> io::Error {
    match copy() {
        Ok(program) => {
            let path = format!("/proc/self/fd/{}", program.as_raw_fd());
            // A program that does not run would take the kernel with it.
            let tried = tools::command(Path::new(&path)).arg("--version").output();
            match tried {
                Ok(tried) if tried.status.success() => {}
                Ok(tried) => return io::Error::other(format!("the copy ended: {}", tried.status)),
                Err(e) => return e,
            }
            Command::new(&path).arg(STAGE).arg(power.word()).arg(log_dir).exec()
        }
        Err(e) => e,
    }
}

fn copy() -> io::Result<File> {
    let mut program = File::from(memfd_create("init", MFdFlags::MFD_CLOEXEC)?);
    io::copy(&mut File::open("/proc/self/exe")?, &mut program)?;
    Ok(program)
}

/// What the copy was started for, by its arguments.
pub(super) fn asked_for(arguments: &[OsString]) -> Option<(Power, PathBuf)> {
    let [stage, power, log_dir] = arguments else {
        return None;
    };
    let power = Power::ALL.into_iter().find(|known| power == known.word())?;
    (stage == STAGE).then(|| (power, log_dir.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_program_or_library_is_seen_and_memory_is_not() {
        let line = |path: &str| format!("7f00-7f01 r-xp 00000000 fe:00 123    {path}\n");
        let living = [line("/sbin/init"), line("/memfd:init (deleted)"), line("[stack]")].concat();
        assert!(!has_removed_file(&living));
        assert!(!has_removed_file(&line("/dev/zero (deleted)")));
        assert!(has_removed_file(&(living + &line("/usr/lib/libc.so.6 (deleted)"))));
        assert!(has_removed_file(&line("/sbin/init (deleted)")));
        assert!(!is_replaced(), "the program of this test is still on the disk");
    }

    #[test]
    fn the_copy_is_told_what_to_go_on_with() {
        let words = |words: [&str; 3]| words.map(OsString::from);
        let told = asked_for(&words([STAGE, "halt", "/log"]));
        assert_eq!(told, Some((Power::Halt, "/log".into())));
        assert_eq!(asked_for(&words([STAGE, "sleep", "/log"])), None);
        assert_eq!(asked_for(&words(["--what", "halt", "/log"])), None);
        assert_eq!(asked_for(&[]), None);
    }

    #[test]
    fn a_copy_is_the_same_program() {
        let mut copied = copy().unwrap();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        io::Seek::rewind(&mut copied).unwrap();
        io::Read::read_to_end(&mut copied, &mut theirs).unwrap();
        io::Read::read_to_end(&mut File::open("/proc/self/exe").unwrap(), &mut ours).unwrap();
        assert!(!ours.is_empty() && ours == theirs);
    }
}
