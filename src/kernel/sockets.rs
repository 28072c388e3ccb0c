//! Sockets for services: opened here, passed on, and never read from by us.
//!
//! They are blocking, as a service expects (sd_listen_fds(3)): all that is done with them here is
//! to wait until they are readable.

use std::fs::{self, DirBuilder};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, connect, setsockopt,
    socket, sockopt,
};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};

use super::{Error, files, sys};

/// Where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// This port of every address; IPv4 alone where the machine has no IPv6.
    AnyInet(u16),
    /// An address.
    Inet(SocketAddr),
    /// A file. Missing directories on the way are made, with mode 0755.
    Path(PathBuf),
    /// A name without a file (unix(7), abstract).
    Abstract(String),
}

/// What is said on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// SOCK_STREAM.
    Stream,
    /// SOCK_DGRAM.
    Datagram,
    /// SOCK_SEQPACKET.
    SequentialPackets,
    /// No socket at all: a FIFO.
    Fifo,
}

/// A socket as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it listens.
    pub place: Place,
    /// What is said on it.
    pub talk: Talk,
    /// The mode of its file.
    pub mode: u32,
    /// User and group of its file; `None` leaves them as they are.
    pub owner: (Option<u32>, Option<u32>),
    /// Connections that may wait (listen(2)).
    pub backlog: i32,
    /// IPV6_V6ONLY.
    pub ipv6_only: bool,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// IP_FREEBIND.
    pub free_bind: bool,
}

/// The file of a socket that we made: where it is, and which it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileId {
    /// Its path.
    pub path: PathBuf,
    /// Its file system.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
}

impl FileId {
    /// Removes the file, if it is still the same one.
    pub fn remove(&self) {
        let is_same = fs::symlink_metadata(&self.path)
            .is_ok_and(|it| (it.dev(), it.ino()) == (self.device, self.inode) && is_end(&it));
        if is_same {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether it is what we make: the number of a file that is gone may be another's by now.
fn is_end(found: &fs::Metadata) -> bool {
    found.file_type().is_socket() || found.file_type().is_fifo()
}

/// Opens it. A stream listens from now on.
///
/// # Errors
/// EADDRINUSE where somebody else listens or a file stands that is no socket of ours to take away;
/// EACCES below 1024 without privilege; ELOOP for a directory behind a stranger's link.
pub fn open(wanted: &Wanted) -> Result<(OwnedFd, Option<FileId>), Error> {
    let failed = |errno| Error::new("listen on", subject(&wanted.place), errno);
    match &wanted.place {
        Place::AnyInet(port) => open_any(wanted, *port).map_err(failed).map(|fd| (fd, None)),
        Place::Inet(address) => open_inet(wanted, address).map_err(failed).map(|fd| (fd, None)),
        Place::Path(path) => {
            let opened = open_file(wanted, path).map_err(failed)?;
            Ok((opened.0, Some(opened.1)))
        }
        Place::Abstract(name) => open_abstract(wanted, name).map_err(failed).map(|fd| (fd, None)),
    }
}

/// Whether a read or an accept(2) would not have to wait.
#[must_use]
pub fn is_readable(fd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
}

fn subject(place: &Place) -> String {
    match place {
        Place::AnyInet(port) => format!("port {port}"),
        Place::Inet(address) => address.to_string(),
        Place::Path(path) => path.display().to_string(),
        Place::Abstract(name) => format!("@{name}"),
    }
}

fn kind(talk: Talk) -> Result<SockType, Errno> {
    match talk {
        Talk::Stream => Ok(SockType::Stream),
        Talk::Datagram => Ok(SockType::Datagram),
        Talk::SequentialPackets => Ok(SockType::SeqPacket),
        Talk::Fifo => Err(Errno::EINVAL),
    }
}

fn open_any(wanted: &Wanted, port: u16) -> Result<OwnedFd, Errno> {
    match open_inet(wanted, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
        Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) if !wanted.ipv6_only => {
            open_inet(wanted, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
        }
        other => other,
    }
}

fn open_inet(wanted: &Wanted, address: &SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let fd = socket(family, kind(wanted.talk)?, SockFlag::SOCK_CLOEXEC, None)?;
    if address.is_ipv6() {
        // Whatever net.ipv6.bindv6only says.
        setsockopt(&fd, sockopt::Ipv6V6Only, &wanted.ipv6_only)?;
    }
    // Connections of an earlier listener that are on their way out must not hold it up.
    if wanted.talk == Talk::Stream {
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    if wanted.reuse_port {
        setsockopt(&fd, sockopt::ReusePort, &true)?;
    }
    if wanted.free_bind {
        setsockopt(&fd, sockopt::IpFreebind, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(*address))?;
    listen(&fd, wanted)?;
    Ok(fd)
}

fn open_abstract(wanted: &Wanted, name: &str) -> Result<OwnedFd, Errno> {
    let fd = socket(AddressFamily::Unix, kind(wanted.talk)?, SockFlag::SOCK_CLOEXEC, None)?;
    bind(fd.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
    listen(&fd, wanted)?;
    Ok(fd)
}

fn listen(fd: &OwnedFd, wanted: &Wanted) -> Result<(), Errno> {
    match wanted.talk {
        Talk::Stream | Talk::SequentialPackets => sys::listen(fd.as_fd(), wanted.backlog),
        Talk::Datagram | Talk::Fifo => Ok(()),
    }
}

/// The file is made with its mode, or a stricter one, and has its owner before anybody can connect.
fn open_file(wanted: &Wanted, path: &Path) -> Result<(OwnedFd, FileId), Errno> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::EINVAL);
    };
    let made = DirBuilder::new().recursive(true).mode(0o755).create(parent);
    made.map_err(|error| super::errno_of(&error))?;
    let dir = files::open_trusted_dir(parent)?;
    if wanted.talk == Talk::Fifo {
        return open_fifo(wanted, path, &dir, Path::new(name));
    }
    let fd = socket(AddressFamily::Unix, kind(wanted.talk)?, SockFlag::SOCK_CLOEXEC, None)?;
    // bind(2) takes the mode from the socket, less the umask.
    fchmod(&fd, Mode::from_bits_truncate(wanted.mode))?;
    let address = UnixAddr::new(path)?;
    match bind(fd.as_raw_fd(), &address) {
        Err(Errno::EADDRINUSE) => {
            remove_dead(&dir, Path::new(name), wanted, &address)?;
            bind(fd.as_raw_fd(), &address)?;
        }
        other => other?,
    }
    let id = own(&dir, Path::new(name), path, SFlag::S_IFSOCK, wanted)?;
    listen(&fd, wanted).inspect_err(|_| id.remove())?;
    Ok((fd, id))
}

/// Opened for reading and writing, so that it neither waits for a writer nor ever ends. A FIFO that
/// is there already is taken as it is: it has no other end that could be somebody's.
fn open_fifo(
    wanted: &Wanted,
    path: &Path,
    dir: &OwnedFd,
    name: &Path,
) -> Result<(OwnedFd, FileId), Errno> {
    let strict = Mode::from_bits_truncate(wanted.mode);
    match nix::unistd::mkfifoat(dir, name, strict) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let id = own(dir, name, path, SFlag::S_IFIFO, wanted)?;
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = openat(dir, name, flags, Mode::empty())?;
    let found = fstat(&fd)?;
    // Another file than the one that was looked at may stand there by now.
    let is_same = (found.st_dev as u64, found.st_ino as u64) == (id.device, id.inode);
    if is_same { Ok((fd, id)) } else { Err(Errno::EADDRINUSE) }
}

/// Gives the file that was just made its owner and its mode.
fn own(
    dir: &OwnedFd,
    name: &Path,
    path: &Path,
    kind: SFlag,
    wanted: &Wanted,
) -> Result<FileId, Errno> {
    let file =
        openat(dir, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    let found = fstat(&file)?;
    if file_kind(&found) != kind {
        return Err(Errno::EADDRINUSE);
    }
    let (user, group) = wanted.owner;
    if user.is_some() || group.is_some() {
        let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
        fchownat(&file, "", user, group, AtFlags::AT_EMPTY_PATH)?;
    }
    // fchmod(2) refuses O_PATH descriptors.
    let here = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mode = fs::Permissions::from_mode(wanted.mode);
    fs::set_permissions(here, mode).map_err(|error| super::errno_of(&error))?;
    Ok(FileId { path: path.to_owned(), device: found.st_dev as u64, inode: found.st_ino as u64 })
}

fn file_kind(found: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT
}

/// Removes a socket file on which nobody listens; EADDRINUSE for anything else.
fn remove_dead(dir: &OwnedFd, name: &Path, wanted: &Wanted, at: &UnixAddr) -> Result<(), Errno> {
    let found = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if file_kind(&found) != SFlag::S_IFSOCK {
        return Err(Errno::EADDRINUSE);
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, kind(wanted.talk)?, flags, None)?;
    match connect(probe.as_raw_fd(), at) {
        Err(Errno::ECONNREFUSED) => unlinkat(dir, name, UnlinkatFlags::NoRemoveDir),
        _ => Err(Errno::EADDRINUSE),
    }
}

/// For tests of those that pass sockets on.
#[cfg(test)]
pub(super) fn wanted(place: Place, talk: Talk) -> Wanted {
    Wanted {
        place,
        talk,
        mode: 0o666,
        owner: (None, None),
        backlog: 100,
        ipv6_only: false,
        reuse_port: false,
        free_bind: false,
    }
}

#[cfg(test)]
mod tests;
