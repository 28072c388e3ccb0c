//! The control socket itself, and who may do what on it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, getsockopt, listen, socket,
};
use nix::unistd::{Gid, Uid, chown};

use crate::words::words_of;

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: i32 = 128;

/// The longest path of a socket in bytes: `sun_path` with the NUL that ends it.
const LONGEST: usize = 107;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else could replace the socket in this directory.
    #[error(
        "{}: others may write here, so they could put their own socket in our place; the \
         directory must belong to root or to this user and be writable by its owner only",
        dir.display()
    )]
    UnsafeDirectory {
        /// The directory of the socket.
        dir: PathBuf,
    },
    /// The kernel has no room for this path (unix(7)).
    #[error(
        "{}: the path of this socket may have {most} bytes, and has {}; choose a shorter --run-dir",
        path.display(), path.as_os_str().len()
    )]
    TooLong {
        /// The socket.
        path: PathBuf,
        /// How long it may be.
        most: usize,
    },
    /// A system call failed.
    #[error("{}: {call}: {}", path.display(), words_of(source))]
    System {
        /// What was attempted.
        call: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What a peer may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    Control,
    /// Only what changes nothing.
    Look,
}

/// Who is at the other end, as the kernel knew it when the connection was made (unix(7),
/// `SO_PEERCRED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The process that connected, as we see it; 0 when it is outside our PID namespace.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
}

/// Decides what a peer may do: root and the supervisor's own user everything; everybody else,
/// who could connect because the socket was opened to a group, may look; without such a group
/// nobody else has any business here.
#[must_use]
pub const fn access(peer_uid: u32, own_uid: u32, has_group: bool) -> Option<Access> {
    if peer_uid == 0 || peer_uid == own_uid {
        Some(Access::Control)
    } else if has_group {
        Some(Access::Look)
    } else {
        None
    }
}

/// What accepting brought.
#[derive(Debug)]
pub enum Accepted {
    /// A connection.
    Connection(UnixStream, Peer),
    /// Nobody waits any more.
    Nobody,
    /// There are no file descriptors or no memory left (or another error that would come again
    /// at once): stop accepting for a while.
    Full,
}

/// The listening socket. Dropping it removes the socket's file.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    has_group: bool,
}

impl Listener {
    /// Makes the socket at `path` and replaces a stale one; the caller must hold a lock that
    /// tells that no other supervisor lives here. Only the owner may connect, and members of
    /// `group` where there is one.
    ///
    /// The socket is bound under a fresh name, gets its permissions before it listens and its
    /// real name last: at no moment can somebody connect who may not, whatever the umask, and at
    /// no moment is there no socket where there was one.
    ///
    /// # Errors
    /// [`BindError`] names the directory that is not safe or the system call that failed.
    pub fn bind(path: &Path, group: Option<u32>) -> Result<Self, BindError> {
        check_directory(path)?;
        let fresh = fresh_name(path);
        let (length, of_fresh) = (path.as_os_str().len(), fresh.as_os_str().len());
        if of_fresh > LONGEST {
            let most = LONGEST.saturating_sub(of_fresh - length);
            return Err(BindError::TooLong { path: path.to_owned(), most });
        }
        // A leftover of a supervisor that was killed between bind and rename.
        let _ = fs::remove_file(&fresh);
        let listener = prepare(&fresh, group).and_then(|socket| {
            fs::rename(&fresh, path).map_err(system("rename", path))?;
            Ok(Self { socket, path: path.to_owned(), has_group: group.is_some() })
        });
        if listener.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        listener
    }

    /// Takes one waiting connection.
    #[must_use]
    pub fn accept(&self) -> Accepted {
        loop {
            match self.socket.accept() {
                // A peer without credentials is gone already.
                Ok((stream, _)) => match getsockopt(&stream, PeerCredentials) {
                    Ok(peer) => {
                        let peer = Peer { pid: peer.pid(), uid: peer.uid() };
                        return Accepted::Connection(stream, peer);
                    }
                    Err(_) => continue,
                },
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Accepted::Nobody,
                    io::ErrorKind::ConnectionAborted => continue,
                    _ => return Accepted::Full,
                },
            }
        }
    }

    /// What this peer may do here; `None` when it may not even look.
    #[must_use]
    pub fn access(&self, peer: Peer) -> Option<Access> {
        access(peer.uid, Uid::effective().as_raw(), self.has_group)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// `.<name>.new` beside the socket.
fn fresh_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

fn prepare(fresh: &Path, group: Option<u32>) -> Result<UnixListener, BindError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)
        .map_err(system("socket", fresh))?;
    let address = UnixAddr::new(fresh).map_err(system("bind", fresh))?;
    bind(socket.as_raw_fd(), &address).map_err(system("bind", fresh))?;
    if let Some(gid) = group {
        chown(fresh, None, Some(Gid::from_raw(gid))).map_err(system("chown", fresh))?;
    }
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    fs::set_permissions(fresh, fs::Permissions::from_mode(mode)).map_err(system("chmod", fresh))?;
    // Until now a connect(2) was refused.
    let backlog = Backlog::new(BACKLOG).unwrap_or(Backlog::MAXCONN);
    listen(&socket, backlog).map_err(system("listen", fresh))?;
    Ok(UnixListener::from(socket))
}

fn check_directory(path: &Path) -> Result<(), BindError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let about = fs::metadata(dir).map_err(system("stat", dir))?;
    let owner_is_safe = about.uid() == 0 || about.uid() == Uid::effective().as_raw();
    if owner_is_safe && about.mode() & 0o022 == 0 {
        Ok(())
    } else {
        Err(BindError::UnsafeDirectory { dir: dir.to_owned() })
    }
}

fn system<E: Into<io::Error>>(call: &'static str, path: &Path) -> impl FnOnce(E) -> BindError {
    let path = path.to_owned();
    move |source| BindError::System { call, path, source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::{Access, access};

    #[test]
    fn root_and_the_own_user_control_and_others_look_only_where_a_group_lets_them() {
        assert_eq!(access(0, 0, false), Some(Access::Control));
        assert_eq!(access(0, 1000, false), Some(Access::Control));
        assert_eq!(access(1000, 1000, false), Some(Access::Control));
        assert_eq!(access(1001, 1000, true), Some(Access::Look));
        assert_eq!(access(1001, 1000, false), None);
        assert_eq!(access(65534, 0, false), None);
    }
}
