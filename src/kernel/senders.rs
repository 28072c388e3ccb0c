//! Who sent a datagram over a unix socket: what the kernel says of it, not the sender.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::PassCred;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt};
use nix::unistd::close;

use super::{pidfd, sys};

/// The type of the control message that carries a pidfd (linux/socket.h); libc has none.
const SCM_PIDFD: i32 = 4;

/// The process that sent a datagram.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sender {
    /// Its process id as the kernel saw it; 0 from outside our pid namespace. The process may be
    /// gone by now, and the number somebody else's.
    pub pid: u32,
    /// The id of its cgroup, which is the inode number of the directory, where the kernel tells
    /// (6.13): right also for a sender that is gone (6.15).
    pub cgroup_id: Option<u64>,
}

/// Lets a socket tell who sent what. Do it before others know the socket: what was sent earlier
/// has no sender.
///
/// # Errors
/// When the socket is none.
pub fn ask(socket: &impl AsFd) -> Result<(), Errno> {
    setsockopt(socket, PassCred, &true)?;
    // Kernels before 6.5 refuse; then the process id has to do.
    let _ = sys::pass_pidfd(socket.as_fd());
    Ok(())
}

/// Takes the next datagram, and gives how long it is and who sent it. Does not wait. Descriptors
/// that came with it are closed.
///
/// # Errors
/// EAGAIN when there is none just now.
pub fn receive(socket: &impl AsFd, text: &mut [u8]) -> Result<(usize, Sender), Errno> {
    read(socket, text, MsgFlags::empty())
}

/// Looks at the next datagram like [`receive`], and leaves it there.
///
/// # Errors
/// EAGAIN when there is none just now.
pub fn peek(socket: &impl AsFd, text: &mut [u8]) -> Result<(usize, Sender), Errno> {
    read(socket, text, MsgFlags::MSG_PEEK)
}

fn read(socket: &impl AsFd, text: &mut [u8], how: MsgFlags) -> Result<(usize, Sender), Errno> {
    let mut control = control_buffer();
    let mut parts = [IoSliceMut::new(text)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC | how;
    let fd = socket.as_fd().as_raw_fd();
    let received = recvmsg::<()>(fd, &mut parts, Some(&mut control), flags)?;
    let mut sender = Sender::default();
    for message in received.cmsgs().into_iter().flatten() {
        match message {
            ControlMessageOwned::ScmCredentials(told) => {
                sender.pid = u32::try_from(told.pid()).unwrap_or(0);
            }
            ControlMessageOwned::ScmRights(attached) => close_all(&attached),
            ControlMessageOwned::Unknown(other) => {
                if let Some(process) = as_pidfd(&other) {
                    sender.cgroup_id = pidfd::cgroup_id_of_raw(process);
                    close_all(&[process]);
                }
            }
            _ => {}
        }
    }
    Ok((received.bytes, sender))
}

/// Room for everything the kernel may send along: credentials, as many descriptors as fit into
/// one message (253), and the pidfd, which comes last and is lost when there is no room for it.
fn control_buffer() -> Vec<u8> {
    nix::cmsg_space!(UnixCredentials, [RawFd; 253], RawFd)
}

fn as_pidfd(message: &nix::sys::socket::UnknownCmsg) -> Option<RawFd> {
    let header = &message.cmsg_header;
    let is_one = header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == SCM_PIDFD;
    let bytes = is_one.then_some(&message.data_bytes)?.first_chunk::<4>()?;
    // A negative number says why there is no descriptor.
    Some(RawFd::from_ne_bytes(*bytes)).filter(|fd| *fd >= 0)
}

/// Closes descriptors that the kernel gave us a moment ago and that nobody else knows of.
fn close_all(fds: &[RawFd]) {
    for fd in fds {
        let _ = close(*fd);
    }
}
