//! strace(1), which counts the calls of a process and kills it at one of them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Calls that change nothing outside the supervisor's own memory and its table of descriptors.
pub const LOOKING: &[&str] = &[
    "access",
    "arch_prctl",
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "dup",
    "dup2",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_wait",
    "eventfd2",
    "execve",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fcntl",
    "fstat",
    "fstatfs",
    "futex",
    "getcwd",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getppid",
    "getrandom",
    "getrlimit",
    "getsockname",
    "getsockopt",
    "gettid",
    "getuid",
    "getxattr",
    "fgetxattr",
    "inotify_init1",
    "ioctl",
    "lseek",
    "lstat",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "openat",
    "open",
    "pidfd_open",
    "pipe",
    "pipe2",
    "poll",
    "ppoll",
    "pread64",
    "prlimit64",
    "read",
    "readlink",
    "readlinkat",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "setsockopt",
    "sigaltstack",
    "signalfd4",
    "socket",
    "socketpair",
    "stat",
    "statfs",
    "statx",
    "sysinfo",
    "uname",
    "umask",
    "wait4",
];

/// A strace(1) that is attached to a process.
pub struct Strace(Child);

impl Strace {
    pub fn attach(pid: u32, options: &[&str]) -> Self {
        let mut child = Command::new("strace")
            .args(["-p", &pid.to_string()])
            .args(options)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is not there: scripts/setup installs it");
        let mut said = String::new();
        let mut errors = BufReader::new(child.stderr.take().expect("stderr"));
        errors.read_line(&mut said).expect("stderr of strace");
        assert!(said.contains("attached"), "{said}");
        // What it says later must not fill a pipe that nobody reads.
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        Self(child)
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // At SIGTERM it lets go of the process.
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}
