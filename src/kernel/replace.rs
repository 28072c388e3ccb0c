//! Another program in this process: execve(2), for an upgrade of a supervisor that runs.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::execv;

use super::{Error, files};

/// Becomes another program, with the arguments that follow its name. Process id, children,
/// environment and working directory stay; every descriptor of ours is close-on-exec. Signals wait
/// until [`Signals::new`](super::signals::Signals::new) of the next program takes them.
///
/// Returns only when that did not happen, with the reason, for instance ENOEXEC; nothing has
/// changed then.
pub fn replace(program: &Path, arguments: &[OsString]) -> Error {
    let failed = |errno| Error::new("execute", program.display().to_string(), errno);
    let words = [program.as_os_str()].into_iter().chain(arguments.iter().map(OsString::as_os_str));
    let argv: Result<Vec<CString>, _> = words.map(|word| CString::new(word.as_bytes())).collect();
    let Ok(argv) = argv else { return failed(Errno::EINVAL) };
    // std's exec would open the mask first, and a signal that comes in between would be lost.
    let all = SigSet::all();
    if let Err(errno) = all.thread_block() {
        return failed(errno);
    }
    files::restore_nofile_limit();
    let Err(errno) = execv(&argv[0], &argv);
    files::raise_nofile_limit();
    let _ = all.thread_unblock();
    failed(errno)
}
