//! All connections of the control socket as one value that a single-threaded loop turns.
//!
//! The server has an epoll descriptor of its own, which the loop watches like any other
//! descriptor ([`Server::as_fd`]); when it is readable or [`Server::deadline`] has come, the loop
//! calls [`Server::turn`] and gets the calls that are for the supervisor. Nothing here blocks,
//! and an idle server wakes nobody.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::connection::{Connection, Open};
use super::listener::{Accepted, Access, Listener, Peer};
use super::message::{Failure, Reply, Request};
use super::wire::{self, Answer, Asked, End, Question};

/// The most connections at one time.
pub const MAX_CONNECTIONS: usize = 256;

/// Of these, so many are kept for those who may control.
pub const KEPT_FOR_CONTROL: usize = 16;

/// Milliseconds without accepting after file descriptors ran out.
const ACCEPT_PAUSE: u64 = 1_000;

/// Messages of one connection, and new connections, that are taken in one turn: enough to be
/// quick, and nobody can keep the loop to himself.
const AT_ONCE: usize = 16;

/// The listener's token; connections count up from 1.
const LISTENER: u64 = 0;

/// One call that waits for its answer. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    connection: u64,
    call: u64,
}

/// News from the control socket.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Somebody who may do so asks for something.
    Call {
        /// Where the answer goes. Answers to calls that want none, or whose caller has gone, are
        /// thrown away.
        id: CallId,
        /// Who asks.
        peer: Peer,
        /// What is asked.
        request: Request,
    },
    /// The caller of this unanswered call has gone: forget the call.
    Gone(CallId),
}

/// The control socket with all its connections.
#[derive(Debug)]
pub struct Server {
    epoll: Epoll,
    listener: Listener,
    connections: HashMap<u64, Connection>,
    /// The last number given to a connection or a call.
    last_number: u64,
    /// Until when nobody is accepted.
    paused_until: Option<u64>,
}

impl Server {
    /// Serves this listener.
    ///
    /// # Errors
    /// What `epoll_create1` or `epoll_ctl` said.
    pub fn new(listener: Listener) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        Ok(Self {
            epoll,
            listener,
            connections: HashMap::new(),
            last_number: LISTENER,
            paused_until: None,
        })
    }

    /// When [`turn`](Self::turn) must be called even if nothing happens; on the clock of the
    /// `now` that the caller hands in.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.connections.values().filter_map(Connection::deadline).chain(self.paused_until).min()
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Does all that can be done without blocking. `now` is in milliseconds on any clock that
    /// never goes back.
    pub fn turn(&mut self, now: u64) -> Vec<Incoming> {
        let mut news = Vec::new();
        let mut events = [EpollEvent::empty(); 64];
        // An error can only be EINTR: what was ready stays ready.
        let ready = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in &events[..ready] {
            match event.data() {
                LISTENER => self.accept(now),
                number => self.serve(number, event.events(), now, &mut news),
            }
        }
        self.expire(now, &mut news);
        news
    }

    /// Answers a call for the last time.
    pub fn reply(&mut self, to: CallId, reply: &Reply, now: u64) {
        self.answer(to, &Answer::Last(reply), now);
    }

    /// Answers a call that streams, and keeps it open.
    pub fn stream(&mut self, to: CallId, reply: &Reply, now: u64) {
        self.answer(to, &Answer::More(reply), now);
    }

    /// Says why a call was not carried out.
    pub fn fail(&mut self, to: CallId, failure: &Failure, now: u64) {
        self.answer(to, &Answer::Failed(failure), now);
    }

    fn answer(&mut self, to: CallId, answer: &Answer<'_>, now: u64) {
        let Some(connection) = self.connections.get_mut(&to.connection) else {
            return;
        };
        let Some(open) = connection.open.filter(|open| open.call == to.call) else {
            return;
        };
        if !matches!(answer, Answer::More(_)) {
            connection.open = None;
        }
        connection.answer(answer, open.end);
        self.settle(to.connection, now);
    }

    fn accept(&mut self, now: u64) {
        for _ in 0..AT_ONCE {
            match self.listener.accept() {
                Accepted::Connection(stream, peer) => self.admit(stream, peer),
                Accepted::Nobody => return,
                Accepted::Full => return self.pause(now),
            }
        }
    }

    fn admit(&mut self, stream: UnixStream, peer: Peer) {
        let open = self.connections.len();
        let refusal = match self.listener.access(peer) {
            None => Some(Failure::PermissionDenied {}),
            Some(access) => {
                let kept = if access == Access::Look { KEPT_FOR_CONTROL } else { 0 };
                if open < MAX_CONNECTIONS - kept {
                    let connection = Connection::new(stream, peer, access);
                    return self.add(connection);
                }
                Some(Failure::Busy { connections: open as u64 })
            }
        };
        if let Some(failure) = refusal {
            Connection::new(stream, peer, Access::Look)
                .answer(&Answer::Failed(&failure), End::Both);
        }
    }

    fn add(&mut self, connection: Connection) {
        self.last_number += 1;
        let event = EpollEvent::new(connection.interest, self.last_number);
        // Without memory for it in the kernel the peer sees the connection close.
        if self.epoll.add(&connection, event).is_ok() {
            self.connections.insert(self.last_number, connection);
        }
    }

    fn serve(&mut self, number: u64, events: EpollFlags, now: u64, news: &mut Vec<Incoming>) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let mut heard = events.intersects(EpollFlags::EPOLLIN) && connection.receive();
        connection.send();
        for _ in 0..AT_ONCE {
            let Some((message, end)) = connection.next_message() else {
                break;
            };
            heard = true;
            self.last_number += 1;
            let call = self.last_number;
            if let Some(request) = begin(connection, &message, end, call) {
                let id = CallId { connection: number, call };
                news.push(Incoming::Call { id, peer: connection.peer, request });
            }
        }
        // The peer has closed, or we have hung up; what it said before is heard to the end.
        if events.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) && !heard {
            self.remove(number, news);
        } else {
            self.settle(number, now);
        }
    }

    fn settle(&mut self, number: u64, now: u64) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let interest = connection.settle(now);
        if interest != connection.interest {
            connection.interest = interest;
            let mut event = EpollEvent::new(interest, number);
            // Changing a registration that exists needs no memory and cannot fail.
            let _ = self.epoll.modify(&*connection, &mut event);
        }
    }

    fn remove(&mut self, number: u64, news: &mut Vec<Incoming>) {
        let Some(mut connection) = self.connections.remove(&number) else {
            return;
        };
        // A child that was forked and has not executed yet may hold copies of the descriptor, so
        // that closing ours neither ends the connection nor its registration.
        let _ = self.epoll.delete(&connection);
        connection.hang_up();
        if let Some(open) = connection.open {
            news.push(Incoming::Gone(CallId { connection: number, call: open.call }));
        }
        if self.paused_until.is_some() {
            self.resume();
        }
    }

    fn expire(&mut self, now: u64, news: &mut Vec<Incoming>) {
        let late = |connection: &Connection| connection.deadline().is_some_and(|due| due <= now);
        let numbers: Vec<u64> = self
            .connections
            .iter()
            .filter_map(|(number, connection)| late(connection).then_some(*number))
            .collect();
        for number in numbers {
            self.remove(number, news);
        }
        if self.paused_until.is_some_and(|until| until <= now) {
            self.resume();
        }
    }

    /// Looks away from the listener, which would stay readable and keep the loop awake.
    fn pause(&mut self, now: u64) {
        self.paused_until = Some(now + ACCEPT_PAUSE);
        self.listen_for(EpollFlags::empty());
    }

    fn resume(&mut self) {
        self.paused_until = None;
        self.listen_for(EpollFlags::EPOLLIN);
    }

    fn listen_for(&mut self, interest: EpollFlags) {
        let mut event = EpollEvent::new(interest, LISTENER);
        let _ = self.epoll.modify(&self.listener, &mut event);
    }
}

/// The descriptor to watch for readability: an epoll descriptor, which may be nested (epoll(7)).
impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

/// Answers what can be answered here; gives what is for the supervisor, opened as `call`.
fn begin(connection: &mut Connection, message: &[u8], end: End, call: u64) -> Option<Request> {
    let (asked, oneway) = match wire::read_call(message) {
        Ok(asked) => {
            let oneway = asked.oneway;
            (permit(connection.access, asked), oneway)
        }
        Err(failure) => (Err(failure), false),
    };
    let answer = match &asked {
        Ok(Question::Ours(_)) => {
            if !oneway {
                connection.open = Some(Open { call, end });
            }
            None
        }
        Ok(Question::Standard(value)) => Some(Answer::Standard(value)),
        Err(failure) => Some(Answer::Failed(failure)),
    };
    if let Some(answer) = answer.filter(|_| !oneway) {
        connection.answer(&answer, end);
    }
    match asked {
        Ok(Question::Ours(request)) => Some(request),
        Ok(Question::Standard(_)) | Err(_) => None,
    }
}

/// Lets through what this peer may ask in this way.
fn permit(access: Access, asked: Asked) -> Result<Question, Failure> {
    let question = asked.what?;
    if let Question::Ours(request) = &question {
        if request.changes() && access == Access::Look {
            return Err(Failure::PermissionDenied {});
        }
        if *request == Request::Watch && (!asked.more || asked.oneway) {
            return Err(Failure::ExpectedMore {});
        }
    }
    Ok(question)
}
