//! The syslog socket: datagrams of RFC 3164, each given to the unit in whose leaf its sender is.
//!
//! Only datagram clients are served; a stream client gets EPROTOTYPE and tries datagrams, as
//! syslog(3) of all C libraries does at first.
//!
//! Who the sender is the kernel tells: [`Owners`] knows whose cgroup it is in, or was. Where that is
//! not known any more it is not guessed at, because a process id may have been reused: such lines
//! go to `syslog.log` and name the id.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::socket::UnixAddr;

use super::owners::{COMMON_LOG, Owners};
use crate::kernel::senders;

/// The bound socket; removes its name at the end.
pub(super) struct Syslog {
    socket: UnixDatagram,
    path: PathBuf,
    inode: u64,
    owners: Owners,
}

/// One datagram.
pub(super) struct Message<'a> {
    /// Whose log it goes to.
    pub(super) log: Rc<str>,
    text: &'a [u8],
    gone: Option<u32>,
}

impl Message<'_> {
    /// Its lines, most often one.
    pub(super) fn lines(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        self.text.split(|&byte| byte == b'\n').map(|line| match self.gone {
            None => Cow::Borrowed(line),
            Some(pid) => {
                let mut text = format!("(process {pid}, gone) ").into_bytes();
                text.extend_from_slice(line);
                Cow::Owned(text)
            }
        })
    }
}

impl Syslog {
    /// Takes the socket at `path`. An old one is replaced when nobody answers on it.
    /// `services` is the cgroup above all units as /proc/PID/cgroup shows it.
    pub(super) fn bind(path: &Path, services: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // Before the name exists: a datagram that is sent earlier would not tell its sender.
        senders::ask(&socket)?;
        socket.set_nonblocking(true)?;
        let address = UnixAddr::new(path)?;
        match nix::sys::socket::bind(socket.as_raw_fd(), &address) {
            Err(Errno::EADDRINUSE) => {
                remove_dead(path)?;
                nix::sys::socket::bind(socket.as_raw_fd(), &address)?;
            }
            other => other?,
        }
        let inode = std::fs::symlink_metadata(path)?.ino();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
        Ok(Self { socket, path: path.to_owned(), inode, owners: Owners::new(services) })
    }

    /// Takes the next datagram, `None` when there is none now.
    pub(super) fn receive<'a>(&mut self, buffer: &'a mut [u8]) -> Option<Message<'a>> {
        let (count, sender) = senders::receive(&self.socket, buffer).ok()?;
        let known = self.owners.log_of(&sender);
        let gone = known.is_none().then_some(sender.pid);
        let log = known.unwrap_or_else(|| COMMON_LOG.into());
        Some(Message { log, text: text_of(&buffer[..count]), gone })
    }
}

impl AsFd for Syslog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|m| m.ino() == self.inode);
        if ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket on which nobody answers.
fn remove_dead(path: &Path) -> io::Result<()> {
    match UnixDatagram::unbound()?.connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            // connect(2) refuses what is no socket with the same error.
            if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
                return Err(io::Error::other("something that is no socket stands there"));
            }
            std::fs::remove_file(path)
        }
        Ok(()) => Err(io::Error::other("another process serves it")),
        Err(error) => Err(error),
    }
}

/// Takes off `<PRI>`, `Mon dd hh:mm:ss ` and what ends a datagram; each may be missing.
pub(super) fn text_of(datagram: &[u8]) -> &[u8] {
    let end = datagram.iter().rposition(|byte| !b"\n\0".contains(byte)).map_or(0, |last| last + 1);
    without_date(without_priority(&datagram[..end]))
}

fn without_priority(text: &[u8]) -> &[u8] {
    let Some(rest) = text.strip_prefix(b"<") else {
        return text;
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match rest.get(digits) {
        Some(b'>') if (1..=3).contains(&digits) => &rest[digits + 1..],
        _ => text,
    }
}

fn without_date(text: &[u8]) -> &[u8] {
    const SHAPE: &[u8] = b"Aaa nn nn:nn:nn ";
    let fits = |(&byte, &shape): (&u8, &u8)| match shape {
        b'A' => byte.is_ascii_uppercase(),
        b'a' => byte.is_ascii_lowercase(),
        b'n' => byte.is_ascii_digit() || byte == b' ',
        other => byte == other,
    };
    if text.len() >= SHAPE.len() && text.iter().zip(SHAPE).all(fits) {
        &text[SHAPE.len()..]
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::text_of;

    #[test]
    fn priority_and_date_are_taken_off_where_they_are() {
        for (datagram, text) in [
            ("<30>Nov 22 19:48:51 sshd[7]: hello", "sshd[7]: hello"),
            ("<30>Nov  2 09:48:51 sshd: hello\n\0", "sshd: hello"),
            ("<30>sshd: hello", "sshd: hello"),
            ("Nov 22 19:48:51 sshd: hello", "sshd: hello"),
            ("<>x", "<>x"),
            ("<1234>x", "<1234>x"),
            ("<30", "<30"),
            ("<30>Nov 22 19:48", "Nov 22 19:48"),
            ("a\nb\n", "a\nb"),
            ("\n", ""),
            ("", ""),
        ] {
            assert_eq!(text_of(datagram.as_bytes()), text.as_bytes(), "{datagram:?}");
        }
    }
}
