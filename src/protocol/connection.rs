//! One connection: its buffers, its place in the order of calls, and its deadlines.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};

use super::MAX_MESSAGE;
use super::listener::{Access, Peer};
use super::message::Failure;
use super::wire::{self, Answer, End};

/// Unread bytes that a stream may leave behind before its reader is dropped.
const MAX_UNREAD: usize = 1024 * 1024;

/// Milliseconds that a message may take from its first byte to its end.
const MESSAGE_TIME: u64 = 10_000;

/// Milliseconds that a peer may leave answers unread.
const UNREAD_TIME: u64 = 30_000;

/// Bytes received at once.
const AT_ONCE: usize = 16 * 1024;

/// A call that was handed on and waits for its last answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    /// Its number, unlike every other of this server.
    pub call: u64,
    /// How its answers end.
    pub end: End,
}

/// One connection of the control socket.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    pub peer: Peer,
    pub access: Access,
    /// What is registered with epoll.
    pub interest: EpollFlags,
    /// The call that is being answered; later ones of this connection wait for it.
    pub open: Option<Open>,
    /// Bytes received; those before `taken` were understood.
    input: Vec<u8>,
    taken: usize,
    /// Bytes to send; those before `sent` are on their way.
    output: Vec<u8>,
    sent: usize,
    /// The peer sends nothing more, or we do not want to hear more.
    deaf: bool,
    incomplete_since: Option<u64>,
    unread_since: Option<u64>,
}

impl Connection {
    pub fn new(stream: UnixStream, peer: Peer, access: Access) -> Self {
        Self {
            stream,
            peer,
            access,
            interest: EpollFlags::EPOLLIN,
            open: None,
            input: Vec::new(),
            taken: 0,
            output: Vec::new(),
            sent: 0,
            deaf: false,
            incomplete_since: None,
            unread_since: None,
        }
    }

    /// Receives once, and tells whether something came. Attached file descriptors are dropped by the kernel, since recv(2) has no
    /// room for them.
    pub fn receive(&mut self) -> bool {
        self.input.drain(..self.taken);
        self.taken = 0;
        let room = MAX_MESSAGE - self.input.len();
        if self.deaf || room == 0 {
            return false;
        }
        let mut bytes = [0; AT_ONCE];
        let bytes = &mut bytes[..room.min(AT_ONCE)];
        let got = recv(self.stream.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT);
        match got {
            Ok(0) => self.deaf = true,
            Ok(count) => {
                self.input.extend_from_slice(&bytes[..count]);
                return true;
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.hang_up(),
        }
        false
    }

    /// Sends what the peer takes now.
    pub fn send(&mut self) {
        while self.has_unread() {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(self.stream.as_raw_fd(), &self.output[self.sent..], flags) {
                Ok(count) => self.sent += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Err(_) => return self.hang_up(),
            }
        }
        // An idle connection holds no buffers.
        self.output = Vec::new();
        self.sent = 0;
    }

    /// The next whole message, when its turn has come: the answers before it were read and no
    /// call is open. Empty lines are skipped.
    pub fn next_message(&mut self) -> Option<(Vec<u8>, End)> {
        if self.open.is_some() || self.has_unread() {
            return None;
        }
        while let Some((length, end)) = wire::first_end(&self.input[self.taken..]) {
            let message = self.input[self.taken..self.taken + length].to_vec();
            self.taken += length + 1;
            self.incomplete_since = None;
            if self.taken == self.input.len() {
                self.input = Vec::new();
                self.taken = 0;
            }
            if !message.trim_ascii().is_empty() {
                return Some((message, end));
            }
        }
        None
    }

    /// Appends an answer and sends what goes at once. A peer that lets a stream pile up is
    /// hung up on; a single answer may have any size.
    pub fn answer(&mut self, answer: &Answer<'_>, end: End) {
        if matches!(answer, Answer::More(_)) && self.output.len() - self.sent > MAX_UNREAD {
            return self.hang_up();
        }
        wire::write_answer(&mut self.output, answer, end);
        self.send();
    }

    /// Ends both directions. epoll reports that, and the connection is removed then.
    pub fn hang_up(&mut self) {
        self.deaf = true;
        (self.input, self.taken) = (Vec::new(), 0);
        (self.output, self.sent) = (Vec::new(), 0);
        let _ = shutdown(self.stream.as_raw_fd(), Shutdown::Both);
    }

    /// Looks at what is left to do after any change: refuses a message that is too long, starts
    /// and stops the clocks, hangs up when all is said. Gives what to wait for.
    pub fn settle(&mut self, now: u64) -> EpollFlags {
        let waiting = &self.input[self.taken..];
        let whole = wire::first_end(waiting).is_some();
        let incomplete = !whole && !waiting.is_empty() && self.open.is_none();
        if incomplete && waiting.len() >= MAX_MESSAGE {
            self.refuse_long_message();
            return self.settle(now);
        }
        if incomplete && !self.deaf {
            self.incomplete_since.get_or_insert(now);
        } else {
            self.incomplete_since = None;
        }
        if self.has_unread() {
            self.unread_since.get_or_insert(now);
        } else {
            self.unread_since = None;
        }
        let next = whole && self.open.is_none();
        if self.deaf && !next && self.open.is_none() && !self.has_unread() {
            self.hang_up();
        }
        let mut interest = EpollFlags::empty();
        if !self.deaf && self.input.len() - self.taken < MAX_MESSAGE {
            interest |= EpollFlags::EPOLLIN;
        }
        // A message that already arrived raises no event. Waiting for room to answer does, at
        // once, and holds a client to reading its answers before it is served again.
        if self.has_unread() || next {
            interest |= EpollFlags::EPOLLOUT;
        }
        interest
    }

    /// When this connection must be looked at again even if nothing happens.
    pub fn deadline(&self) -> Option<u64> {
        let message = self.incomplete_since.map(|since| since + MESSAGE_TIME);
        let unread = self.unread_since.map(|since| since + UNREAD_TIME);
        message.into_iter().chain(unread).min()
    }

    fn refuse_long_message(&mut self) {
        self.input.clear();
        self.taken = 0;
        self.deaf = true;
        let reason = format!("a message has at most {MAX_MESSAGE} bytes; closing");
        // Nobody knows how the peer would have ended it: both ends follow.
        self.answer(&Answer::Failed(&Failure::BadMessage { reason }), End::Newline);
    }

    fn has_unread(&self) -> bool {
        self.sent < self.output.len()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
