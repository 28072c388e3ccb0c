//! A look at a port or a page, without ever waiting: a socket that the caller polls.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::SocketError;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6,
    SockaddrStorage, connect, getpeername, getsockname, getsockopt, recv, send, socket,
};

/// The most bytes of an answer that are read to find its first line.
const MAX_ANSWER: usize = 4096;
/// The most characters of a status line that are shown.
const SHOWN: usize = 80;

/// What the caller is to wait for before the next [`Probe::advance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until the socket can be written to.
    ToWrite,
    /// Until the socket can be read.
    ToRead,
}

/// How far a probe has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Not over yet.
    Pending(Wait),
    /// Over: passed, or why not, in words.
    Over(Result<(), String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Connecting,
    /// So many bytes of the request are sent.
    Sending(usize),
    Reading,
}

/// One look. Closing it ends it.
#[derive(Debug)]
pub struct Probe {
    socket: OwnedFd,
    address: SocketAddr,
    /// What to ask for; empty where it is enough that somebody is there.
    request: Vec<u8>,
    answer: Vec<u8>,
    step: Step,
}

impl Probe {
    /// Looks whether somebody accepts connections at the address.
    ///
    /// # Errors
    /// Why the look is over already, in words.
    pub fn connect(address: SocketAddr) -> Result<Self, String> {
        Self::begin(address, Vec::new())
    }

    /// Asks for a page by HTTP/1.1 (RFC 9112); `host` and `path` must be fit for its head.
    ///
    /// # Errors
    /// Why the look is over already, in words.
    pub fn get(address: SocketAddr, host: &str, path: &str) -> Result<Self, String> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: treeward\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n"
        );
        Self::begin(address, request.into_bytes())
    }

    fn begin(address: SocketAddr, request: Vec<u8>) -> Result<Self, String> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(family, SockType::Stream, flags, SockProtocol::Tcp)
            .map_err(|errno| format!("cannot make a socket: {}", errno.desc()))?;
        match connect_to(&socket, address) {
            Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => {}
            Err(errno) => return Err(refused(address, errno)),
        }
        Ok(Self { socket, address, request, answer: Vec::new(), step: Step::Connecting })
    }

    /// What to wait for first.
    #[must_use]
    pub const fn first_wait(&self) -> Wait {
        Wait::ToWrite
    }

    /// Goes on, as far as that is possible without waiting.
    pub fn advance(&mut self) -> Progress {
        loop {
            let next = match self.step {
                Step::Connecting => self.connected(),
                Step::Sending(sent) => self.sent(sent),
                Step::Reading => self.read(),
            };
            if let Some(progress) = next {
                return progress;
            }
        }
    }

    fn connected(&mut self) -> Option<Progress> {
        match getsockopt(&self.socket, SocketError) {
            Ok(0) => {}
            Ok(error) => return over(refused(self.address, Errno::from_raw(error))),
            Err(errno) => return over(refused(self.address, errno)),
        }
        let fd = self.socket.as_raw_fd();
        let (own, peer) = (getsockname::<SockaddrStorage>(fd), getpeername::<SockaddrStorage>(fd));
        match (own, peer) {
            // Nobody listens, but the kernel chose that very port for our own end, and TCP lets a
            // socket connect to itself (RFC 9293, 3.5, simultaneous open).
            (Ok(own), Ok(peer)) if own == peer => over(nobody(self.address)),
            (_, Err(Errno::ENOTCONN)) => Some(Progress::Pending(Wait::ToWrite)),
            _ if self.request.is_empty() => Some(Progress::Over(Ok(()))),
            _ => {
                self.step = Step::Sending(0);
                None
            }
        }
    }

    fn sent(&mut self, sent: usize) -> Option<Progress> {
        let rest = self.request.get(sent..).unwrap_or_default();
        if rest.is_empty() {
            self.step = Step::Reading;
            return None;
        }
        match send(self.socket.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
            Ok(count) => self.step = Step::Sending(sent + count),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Some(Progress::Pending(Wait::ToWrite)),
            Err(errno) => return over(self.lost(errno)),
        }
        None
    }

    fn read(&mut self) -> Option<Progress> {
        let mut piece = [0; 1024];
        match recv(self.socket.as_raw_fd(), &mut piece, MsgFlags::empty()) {
            Ok(0) => {
                return over(format!("{} closed the connection without an answer", self.address));
            }
            Ok(count) => self.answer.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Some(Progress::Pending(Wait::ToRead)),
            Err(errno) => return over(self.lost(errno)),
        }
        let end = self.answer.iter().position(|byte| *byte == b'\n');
        match end.and_then(|end| self.answer.get(..end)) {
            Some(line) => Some(Progress::Over(judge(line))),
            None if self.answer.len() >= MAX_ANSWER => over(no_http(&self.answer)),
            None => None,
        }
    }

    fn lost(&self, errno: Errno) -> String {
        format!("the connection to {} broke: {}", self.address, errno.desc())
    }
}

impl AsFd for Probe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn connect_to(socket: &OwnedFd, address: SocketAddr) -> Result<(), Errno> {
    match address {
        SocketAddr::V4(address) => connect(socket.as_raw_fd(), &SockaddrIn::from(address)),
        SocketAddr::V6(address) => connect(socket.as_raw_fd(), &SockaddrIn6::from(address)),
    }
}

const fn over(why: String) -> Option<Progress> {
    Some(Progress::Over(Err(why)))
}

fn nobody(address: SocketAddr) -> String {
    format!("nothing listens at {address}")
}

fn refused(address: SocketAddr, errno: Errno) -> String {
    match errno {
        Errno::ECONNREFUSED => nobody(address),
        errno => format!("cannot connect to {address}: {}", errno.desc()),
    }
}

/// RFC 9112, 4: `HTTP/1.1 200 OK`. 2xx and 3xx are good.
fn judge(line: &[u8]) -> Result<(), String> {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end();
    let mut words = line.splitn(3, ' ');
    let status = match (words.next(), words.next()) {
        (Some(version), Some(status)) if version.starts_with("HTTP/1.") => status.parse::<u16>(),
        _ => return Err(no_http(line.as_bytes())),
    };
    match status {
        Ok(200..=399) => Ok(()),
        Ok(100..=199 | 400..=599) => {
            let said: String = line.chars().skip("HTTP/1.1 ".len()).take(SHOWN).collect();
            Err(format!("answered {}", said.escape_debug()))
        }
        _ => Err(no_http(line.as_bytes())),
    }
}

fn no_http(answer: &[u8]) -> String {
    let said = String::from_utf8_lossy(answer);
    let said: String = said.chars().take(SHOWN).collect();
    format!("answered, but not by HTTP/1.1: {}", said.escape_debug())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn finish(probe: Result<Probe, String>) -> Result<(), String> {
        let mut probe = probe?;
        let mut wait = probe.first_wait();
        loop {
            let flags = match wait {
                Wait::ToWrite => PollFlags::POLLOUT,
                Wait::ToRead => PollFlags::POLLIN,
            };
            let mut fds = [PollFd::new(probe.as_fd(), flags)];
            assert_eq!(poll(&mut fds, PollTimeout::from(10_000_u16)), Ok(1), "{:?}", probe.step);
            match probe.advance() {
                Progress::Pending(next) => wait = next,
                Progress::Over(result) => return result,
            }
        }
    }

    fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[test]
    fn a_port_is_open_as_long_as_somebody_listens() {
        let (listener, address) = listen();
        assert_eq!(finish(Probe::connect(address)), Ok(()));
        drop(listener);
        let nobody = Err(format!("nothing listens at {address}"));
        assert_eq!(finish(Probe::connect(address)), nobody);
    }

    /// As when the kernel chooses the very port for our end that is looked at.
    #[test]
    fn a_connection_to_itself_is_nobody() {
        let socket = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::Tcp,
        )
        .unwrap();
        nix::sys::socket::bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        let own = getsockname::<SockaddrIn>(socket.as_raw_fd()).unwrap();
        connect(socket.as_raw_fd(), &own).unwrap();
        let address = SocketAddr::from((own.ip(), own.port()));
        let (request, answer) = (Vec::new(), Vec::new());
        let mut probe = Probe { socket, address, request, answer, step: Step::Connecting };
        let nobody = format!("nothing listens at {address}");
        assert_eq!(probe.advance(), Progress::Over(Err(nobody)));
    }

    fn answer_with(answer: &'static [u8]) -> (Result<(), String>, String) {
        let (listener, address) = listen();
        let server = std::thread::spawn(move || {
            let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
            let mut request = vec![0; 1024];
            let count = stream.read(&mut request).unwrap();
            request.truncate(count);
            for piece in answer.chunks(3) {
                // The other side may have seen enough.
                let _ = stream.write_all(piece);
            }
            String::from_utf8(request).unwrap()
        });
        let result = finish(Probe::get(address, "example", "/health?x=1"));
        (result, server.join().unwrap())
    }

    #[test]
    fn a_page_is_good_when_its_status_is_200_to_399() {
        let (result, request) = answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(result, Ok(()));
        assert!(request.starts_with("GET /health?x=1 HTTP/1.1\r\nHost: example\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\n"), "{request}");
        assert_eq!(answer_with(b"HTTP/1.0 302 Found\r\n\r\n").0, Ok(()));
        let down = Err("answered 503 Service Unavailable".to_owned());
        assert_eq!(answer_with(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").0, down);
        let ssh = Err("answered, but not by HTTP/1.1: SSH-2.0-x".to_owned());
        assert_eq!(answer_with(b"SSH-2.0-x\r\n").0, ssh);
        let other = Err("answered, but not by HTTP/1.1: HTTP/1.1 9 \\u{1b}".to_owned());
        assert_eq!(answer_with(b"HTTP/1.1 9 \x1b\r\n").0, other);
        let closed = answer_with(b"").0.unwrap_err();
        assert!(closed.ends_with("closed the connection without an answer"), "{closed}");
    }

    #[test]
    fn an_answer_without_an_end_is_not_read_for_ever() {
        static ENDLESS: [u8; 2 * MAX_ANSWER] = [b'x'; 2 * MAX_ANSWER];
        let why = answer_with(&ENDLESS).0.unwrap_err();
        assert!(why.starts_with("answered, but not by HTTP/1.1: xxx"), "{why}");
        assert!(why.len() < 150, "{why}");
    }
}
