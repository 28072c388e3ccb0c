//! A datagram socket that any process may write to, and that knows who did.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::{Error, pidfd, senders, sys};

/// The most bytes of a message that are kept.
const MAX_MESSAGE: usize = 4096;

/// The most empty datagrams that are passed over in one look, so that a flood of them cannot hold
/// up the caller.
const MAX_EMPTY: usize = 64;

/// A datagram and who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The sender's process id as the kernel saw it; 0 from outside our pid namespace. The
    /// process may be gone by now.
    pub pid: u32,
    /// The inode number of the sender's cgroup, where the kernel tells (6.13): right also for
    /// a sender that is gone (6.15).
    pub cgroup_id: Option<u64>,
    /// The text, at most 4096 bytes of it.
    pub text: Vec<u8>,
}

/// The bound socket; wait for it to become readable. The path is removed with it.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
}

impl NotifySocket {
    /// Takes the socket over from the process that keeps a duplicate as its descriptor `number`,
    /// with every message that nobody has taken yet; otherwise binds a new one.
    ///
    /// # Errors
    /// When a new one cannot be made.
    pub fn open(path: &Path, keeper: Option<u32>, number: RawFd) -> Result<Self, Error> {
        let kept = keeper.and_then(|pid| Self::take_over(path, pid, number));
        kept.map_or_else(|| Self::bind(path), Ok)
    }

    fn take_over(path: &Path, keeper: u32, number: RawFd) -> Option<Self> {
        let keeper = pidfd::open(keeper).ok()??;
        let socket = UnixDatagram::from(sys::pidfd_getfd(keeper.as_fd(), number).ok()?);
        // It is bound where ours would be, and the path leads to one that is alive.
        let is_ours = socket.local_addr().ok()?.as_pathname() == Some(path);
        let is_alive = UnixDatagram::unbound().ok()?.connect(path).is_ok();
        (is_ours && is_alive).then(|| Self { socket, path: path.to_owned() })
    }

    /// A duplicate for a process that keeps the socket while there is no supervisor.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn duplicate(&self) -> std::io::Result<OwnedFd> {
        Ok(self.socket.try_clone()?.into())
    }

    /// Binds the socket, in the place of one that was left behind. Processes of every user may
    /// write to it: who counts is decided by where a sender lives.
    ///
    /// # Errors
    /// When the socket cannot be made there.
    pub fn bind(path: &Path) -> Result<Self, Error> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("replace", path, &e));
            }
            _ => {}
        }
        let socket = UnixDatagram::bind(path).map_err(|e| Error::io("bind", path, &e))?;
        let socket = Self { socket, path: path.to_owned() };
        let prepare = || {
            fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
            socket.socket.set_nonblocking(true)?;
            senders::ask(&socket.socket)?;
            Ok(())
        };
        prepare().map_err(|e: std::io::Error| Error::io("prepare the socket", path, &e))?;
        Ok(socket)
    }

    /// Looks at the next message; `None` when there is none just now. It stays until
    /// [`NotifySocket::pass_over`], so that a process that dies with half of the work done leaves
    /// it to the next. Descriptors that came with it are closed; empty messages are passed over.
    pub fn peek(&self) -> Option<Message> {
        (0..MAX_EMPTY).find_map(|_| match self.peek_one() {
            Ok(message) if message.text.is_empty() => {
                self.pass_over();
                None
            }
            Ok(message) => Some(Some(message)),
            Err(Errno::EINTR) => None,
            Err(_) => Some(None),
        })?
    }

    /// Throws the next message away.
    pub fn pass_over(&self) {
        // Without room for them its descriptors are closed by the kernel.
        let _ = recv(self.socket.as_raw_fd(), &mut [], MsgFlags::MSG_DONTWAIT);
    }

    fn peek_one(&self) -> Result<Message, Errno> {
        let mut text = vec![0; MAX_MESSAGE];
        let (length, sender) = senders::peek(&self.socket, &mut text)?;
        text.truncate(length);
        Ok(Message { pid: sender.pid, cgroup_id: sender.cgroup_id, text })
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;
