//! What tells whoever comes after this process of a newborn that this one could not write down any
//! more: a [`Gate`] that it waits behind until it is known, or a mark that it leaves itself.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, write};

use super::super::Error;
use super::super::leaf::{COMMAND, MARK};

/// What a child is given beside its program.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'a> {
    /// Sockets, from descriptor 3 on.
    pub sockets: &'a [BorrowedFd<'a>],
    /// What it waits before.
    pub gate: Option<&'a Gate>,
    /// Whether it leaves a mark on its leaf before it comes to its program, see
    /// [`super::super::leaf::Leaf::mark`].
    pub is_marked: bool,
}

/// A pipe that a child reads from before it comes to its program. When this process is killed, or
/// drops the gate, the child reads the pipe's end and exits with [`Gate::SHUT`] instead, unless its
/// leaf says that it was let through (see [`super::super::leaf::LeafDir::let_through`]): so it never
/// runs unknown.
#[derive(Debug)]
pub struct Gate {
    reading: OwnedFd,
    writing: OwnedFd,
}

impl Gate {
    /// The exit status of a child before which the gate was shut, and of every other that did not
    /// come to its program.
    pub const SHUT: i32 = 127;

    /// Makes one that nobody waits behind.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new() -> Result<Self, Error> {
        let pipe = pipe2(OFlag::O_CLOEXEC);
        let (reading, writing) = pipe.map_err(|errno| Error::new("make", "a pipe", errno))?;
        Ok(Self { reading, writing })
    }

    /// Lets the child come to its program.
    pub fn open(self) {
        // There is room for one byte, and this process holds the reading end as well.
        let _ = write(&self.writing, &[1]);
    }

    /// What the child needs of it.
    pub(super) fn ends(&self) -> (RawFd, RawFd) {
        (self.reading.as_raw_fd(), self.writing.as_raw_fd())
    }
}

/// Waits before the gate, in the child, which makes system calls and nothing else.
pub(super) fn wait_before((reading, writing): (RawFd, RawFd), leaf: RawFd) -> Result<(), Errno> {
    let mut byte = 0_u8;
    // Its own copy would keep the pipe from ending.
    // SAFETY: an integer; and a buffer with its length.
    let count = unsafe {
        libc::close(writing);
        libc::read(reading, (&raw mut byte).cast(), 1)
    };
    match Errno::result(count)? {
        1 => Ok(()),
        _ if is_let_through(leaf) => Ok(()),
        _ => Err(Errno::ECANCELED),
    }
}

/// Whether the leaf names this process as the command that runs there.
fn is_let_through(leaf: RawFd) -> bool {
    let mut named = 0;
    let length = size_of_val(&named);
    // SAFETY: a C string, and an integer with its length; no arguments.
    let (read, pid) = unsafe {
        let to = (&raw mut named).cast();
        (libc::fgetxattr(leaf, COMMAND.as_ptr(), to, length), libc::getpid())
    };
    read == length as isize && named == pid
}

/// Writes on the leaf which process was born there and goes on to its program. Where attributes are
/// refused nothing is known of it, as before.
pub(super) fn leave_mark(leaf: RawFd) {
    // SAFETY: no arguments.
    let pid = unsafe { libc::getpid() };
    // SAFETY: a C string, and the bytes of an integer.
    let _ = unsafe {
        libc::fsetxattr(leaf, MARK.as_ptr(), (&raw const pid).cast(), size_of_val(&pid), 0)
    };
}
