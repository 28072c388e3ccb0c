//! What signals do in a newborn: nothing is ignored or blocked.

use std::sync::OnceLock;

/// The highest signal number there is.
const LAST_SIGNAL: i32 = 64;

/// The signals that this process ignores: those that it was started with, and SIGPIPE, which the
/// standard library ignores before `main`. Nothing here ever ignores another.
pub(super) fn ignored_signals() -> u64 {
    static IGNORED: OnceLock<u64> = OnceLock::new();
    *IGNORED.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(u64::MAX)
    })
}

/// Ignored signals stay ignored over clone and exec, and so does the mask of blocked ones. The
/// calls are made raw because the C libraries keep two signals from us, and the structure is
/// all zeros whatever its shape: default handler, no flags, nothing masked.
pub fn reset_signals(ignored: u64) {
    let default = [0_u64; 8];
    let nothing = std::ptr::null_mut::<u64>();
    let size = size_of::<u64>();
    for signal in (1..=LAST_SIGNAL).filter(|signal| ignored >> (signal - 1) & 1 == 1) {
        // SAFETY: the kernel reads its sigaction, which is smaller than this buffer.
        let _ = unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), nothing, size)
        };
    }
    // SAFETY: a set of 64 signals is 8 bytes, and there are more in the buffer.
    let _ = unsafe {
        let how = libc::SIG_SETMASK;
        libc::syscall(libc::SYS_rt_sigprocmask, how, default.as_ptr(), nothing, size)
    };
}
