//! Thin, safe wrappers of the single system calls that nix does not have or gets wrong.
//!
//! Each does exactly one call. What the answers mean is said in the doors that use them.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering};

use nix::errno::Errno;

/// pidfd_open(2), Linux 5.3. The descriptor is close-on-exec.
pub(super) fn pidfd_open(pid: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel just made this descriptor for us; descriptors fit an i32.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// pidfd_send_signal(2), Linux 5.1.
pub(super) fn pidfd_send_signal(pidfd: BorrowedFd, signal: i32) -> Result<(), Errno> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed and means "as kill(2) would".
    let done = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0)
    };
    Errno::result(done).map(drop)
}

/// ioctl PIDFD_GET_INFO, Linux 6.13. Takes a raw number because the descriptor may have come in a
/// control message. The answer's `mask` tells which fields are filled in.
pub(super) fn pidfd_info(pidfd: RawFd, mask: u64) -> Result<libc::pidfd_info, Errno> {
    // SAFETY: the structure is integers only, for which all zeros is a value.
    let mut info: libc::pidfd_info = unsafe { std::mem::zeroed() };
    info.mask = mask;
    // SAFETY: the request's number carries the size of the structure behind the pointer.
    let done = unsafe { libc::ioctl(pidfd, libc::PIDFD_GET_INFO, &raw mut info) };
    Errno::result(done).map(|_| info)
}

/// A child as waitid(2) describes it.
pub(super) struct Waited {
    pub(super) pid: u32,
    /// CLD_EXITED, CLD_KILLED or CLD_DUMPED.
    pub(super) code: i32,
    /// The exit status or the signal's number.
    pub(super) status: i32,
}

/// waitid(2); `None` when no such child has ended yet (with WNOHANG). nix loses children that
/// were killed by a real-time signal, so this is our own.
pub(super) fn waitid(kind: libc::idtype_t, id: u32, flags: i32) -> Result<Option<Waited>, Errno> {
    // SAFETY: the structure is integers and pointers, for which all zeros is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: the pointer is to a siginfo of our own.
        let done = unsafe { libc::waitid(kind, id, &raw mut info, flags) };
        match Errno::result(done) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => break,
        }
    }
    // SAFETY: after waitid these fields are filled in, or still zero with WNOHANG.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    let waited = u32::try_from(pid).ok().filter(|pid| *pid != 0);
    Ok(waited.map(|pid| Waited { pid, code: info.si_code, status }))
}

/// setxattr(2) on a path.
pub(super) fn set_xattr(path: &CStr, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: two C strings, and a buffer with its length.
    let done = unsafe {
        libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0)
    };
    Errno::result(done).map(drop)
}

/// fsetxattr(2) on an open file.
pub(super) fn fset_xattr(file: BorrowedFd, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: a C string, and a buffer with its length.
    let done = unsafe {
        libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0)
    };
    Errno::result(done).map(drop)
}

/// getxattr(2) on a path into the buffer; gives the value's length.
pub(super) fn get_xattr(path: &CStr, name: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: two C strings, and a buffer with its length.
    let length = unsafe {
        libc::getxattr(path.as_ptr(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len())
    };
    // A length that is not negative fits.
    Errno::result(length).map(|length| length as usize)
}

/// A duplicate of another process's descriptor (pidfd_getfd(2), Linux 5.6); close-on-exec.
pub(super) fn pidfd_getfd(process: BorrowedFd, number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: three numbers; what comes back is a new descriptor that nobody else knows of.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) };
    // SAFETY: as above.
    Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Asks a unix socket for a pidfd of every sender (SO_PASSPIDFD, Linux 6.5).
pub(super) fn pass_pidfd(socket: BorrowedFd) -> Result<(), Errno> {
    let on: libc::c_int = 1;
    // SAFETY: an int and its size.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PASSPIDFD,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    Errno::result(done).map(drop)
}

/// open_by_handle_at(2) of a directory of kernfs, such as a cgroup, by its id. `dir` is any directory
/// of the same file system. Needs CAP_DAC_READ_SEARCH; ESTALE when there is none of that id.
pub(super) fn open_kernfs_node(dir: BorrowedFd, id: u64) -> Result<OwnedFd, Errno> {
    /// The head of libc's `file_handle`, and what follows it (linux/exportfs.h, FILEID_KERNFS).
    #[repr(C)]
    struct Handle {
        bytes: libc::c_uint,
        kind: libc::c_int,
        id: [u8; 8],
    }
    let mut handle = Handle { bytes: 8, kind: 0xfe, id: id.to_ne_bytes() };
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    let pointer = (&raw mut handle).cast::<libc::file_handle>();
    // SAFETY: the handle is as long as its head says, and outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_by_handle_at, dir.as_raw_fd(), pointer, flags) };
    // SAFETY: what comes back is a new descriptor that nobody else knows of.
    Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// swapon(2).
pub(super) fn swap_on(path: &CStr, flags: i32) -> Result<(), Errno> {
    // SAFETY: a C string and an integer.
    Errno::result(unsafe { libc::swapon(path.as_ptr(), flags) }).map(drop)
}

/// swapoff(2).
pub(super) fn swap_off(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a C string.
    Errno::result(unsafe { libc::swapoff(path.as_ptr()) }).map(drop)
}

/// ioctl SIOCSIFFLAGS (netdevice(7)): IFF_UP is added to the interface's flags.
pub(super) fn raise_interface(socket: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    // SAFETY: the structure is integers and bytes, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays 0.
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name.iter_mut().take(room).zip(name.to_bytes()) {
        *to = *from as libc::c_char;
    }
    // SAFETY: both calls take a pointer to an ifreq; the first fills in the flags.
    unsafe {
        let got = libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request);
        Errno::result(got)?;
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        let set = libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request);
        Errno::result(set).map(drop)
    }
}

/// ioctl TIOCSCTTY with 1: also from a session that has the terminal (ioctl_tty(2)).
pub(super) fn take_terminal(terminal: BorrowedFd) -> Result<(), Errno> {
    // SAFETY: the call takes an integer.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY as _, 1) }).map(drop)
}

/// close_range(2) with CLOSE_RANGE_CLOEXEC (4), Linux 5.11: to the highest descriptor.
pub(super) fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: three integers; no descriptor is closed.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 4) }).map(drop)
}

static CLOSED_AT_START: AtomicU8 = AtomicU8::new(0);

/// Which of the descriptors 0 to 2 process 1 was started without.
pub(super) fn closed_at_start() -> [bool; 3] {
    let closed = CLOSED_AT_START.load(Ordering::Relaxed);
    [0, 1, 2].map(|fd| closed & 1 << fd != 0)
}

/// The kernel starts process 1 without descriptors when there is no /dev/console; and Rust's
/// runtime ends a program by abort(3) that has none and finds no /dev/null, which would be a
/// kernel panic. So process 1 opens what always exists in their place, before the runtime looks:
/// reads and writes there fail and never wait.
extern "C" fn fill_descriptors() {
    // SAFETY: system calls on integers and on a C string, before any other code of this program
    // owns a descriptor.
    unsafe {
        if libc::getpid() != 1 {
            return;
        }
        for fd in 0..3 {
            if libc::fcntl(fd, libc::F_GETFD) == -1 {
                // The lowest free number is taken.
                libc::open(c"/".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY);
                CLOSED_AT_START.fetch_or(1 << fd, Ordering::Relaxed);
            }
        }
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static FILL_DESCRIPTORS: extern "C" fn() = fill_descriptors;

/// fork(2) for a process of one thread, whose child may then go on like any other program: nobody
/// can have held a lock in the moment of the fork. `None` in the child. EINVAL when the process
/// has other threads.
pub(super) fn fork() -> Result<Option<u32>, Errno> {
    // unshare(2): with CLONE_THREAD it changes nothing, and is refused to a process with threads.
    nix::sched::unshare(nix::sched::CloneFlags::from_bits_retain(libc::CLONE_THREAD))?;
    // SAFETY: there is no other thread that the child could miss.
    let pid = Errno::result(unsafe { libc::fork() })?;
    Ok(u32::try_from(pid).ok().filter(|pid| *pid != 0))
}

/// prctl(PR_CAPBSET_DROP): no program that is executed from now on has this capability.
pub(super) fn drop_capability(number: u32) -> Result<(), Errno> {
    let number = libc::c_ulong::from(number);
    // SAFETY: integers only.
    Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) }).map(drop)
}

/// open_tree(2), Linux 5.2: a copy of the mount that shows this path, with all mounts below it,
/// attached nowhere yet.
pub(super) fn clone_mount(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = libc::OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | libc::AT_RECURSIVE as u32;
    // SAFETY: a C string and integers.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel just made this descriptor for us; descriptors fit an i32.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// move_mount(2), Linux 5.2: attaches such a copy at a path.
pub(super) fn attach_mount(mount: BorrowedFd, at: &CStr) -> Result<(), Errno> {
    let (here, flags) = (c"".as_ptr(), libc::MOVE_MOUNT_F_EMPTY_PATH);
    let fd = mount.as_raw_fd();
    // SAFETY: two C strings and integers.
    let done = unsafe {
        libc::syscall(libc::SYS_move_mount, fd, here, libc::AT_FDCWD, at.as_ptr(), flags)
    };
    Errno::result(done).map(drop)
}

/// listen(2) with any backlog; the kernel takes it down to net.core.somaxconn. nix refuses what it
/// thinks is too much.
pub(super) fn listen(socket: BorrowedFd, backlog: i32) -> Result<(), Errno> {
    // SAFETY: integers only.
    Errno::result(unsafe { libc::listen(socket.as_raw_fd(), backlog) }).map(drop)
}

/// The most descriptors that travel in one message (SCM_MAX_FD, unix(7)).
pub(super) const MOST_FDS: usize = 253;

/// recvmsg(2) with MSG_PEEK: a look at the first message. Gives its length, at most the buffer's,
/// and new descriptors, close-on-exec, for those that travel with it.
pub(super) fn peek_with_fds(
    socket: BorrowedFd,
    buffer: &mut [u8],
) -> Result<(usize, Vec<OwnedFd>), Errno> {
    // SAFETY: a calculation.
    let room = unsafe { libc::CMSG_SPACE((MOST_FDS * size_of::<RawFd>()) as u32) } as usize;
    // Eight bytes each, so that a header is aligned.
    let mut control = vec![0_u64; room.div_ceil(8)];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: integers and pointers, for which all zeros is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = room as _;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the message describes buffers that live over the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let length = Errno::result(length)?;
    let mut fds = Vec::new();
    // SAFETY: the kernel has filled the control buffer in and said how far; the macros stay within
    // that.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(found) = header.as_ref() {
            if (found.cmsg_level, found.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                // Its type differs between the C libraries.
                #[allow(clippy::unnecessary_cast)]
                let bytes = found.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let first = libc::CMSG_DATA(header).cast::<RawFd>();
                for at in 0..bytes / size_of::<RawFd>() {
                    // Just made for us, and nobody else knows of it.
                    fds.push(OwnedFd::from_raw_fd(first.add(at).read_unaligned()));
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    // A length that is not negative fits.
    Ok((length as usize, fds))
}
