//! One connection to the supervisor from the other end; blocking, with time-outs.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use serde::de::DeserializeOwned;

use super::message::{Failure, Request};
use super::wire;
use crate::words::words_of;

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error(
        "the supervisor is not running: nobody listens on {}; start service-launcher, or say \
         --socket when it listens elsewhere", path.display()
    )]
    NotThere {
        /// The socket.
        path: PathBuf,
    },
    /// The socket's permissions keep us out.
    #[error(
        "{}: not allowed: only root, the supervisor's own user, and the members of the group that \
         service-launcher was given may connect", path.display()
    )]
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// The time is over.
    #[error("no answer from the supervisor on {} within {}", path.display(), seconds(*.after))]
    Silent {
        /// The socket.
        path: PathBuf,
        /// How long we waited.
        after: Duration,
    },
    /// The connection ended before the answer came.
    #[error("the supervisor closed the connection before it answered")]
    HungUp,
    /// A system call failed.
    #[error("{}: {}", path.display(), words_of(source))]
    System {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The answer cannot be read: another version, or no supervisor of ours.
    #[error("the answer makes no sense to this version of slc: {0}")]
    BadAnswer(#[from] serde_json::Error),
    /// The supervisor said no.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// A connection to the supervisor.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
    /// Received and not yet read: the rest behind the last answer.
    input: Vec<u8>,
}

impl Client {
    /// Connects; waits at most `timeout` when the supervisor is too busy to accept.
    ///
    /// # Errors
    /// [`ClientError`] tells apart why nobody could be reached.
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let failed = |errno: Errno| {
            let path = path.to_owned();
            match errno {
                Errno::ENOENT | Errno::ECONNREFUSED | Errno::ENOTDIR => {
                    ClientError::NotThere { path }
                }
                Errno::EACCES | Errno::EPERM => ClientError::NotAllowed { path },
                Errno::EAGAIN => ClientError::Silent { path, after: timeout },
                errno => ClientError::System { path, source: errno.into() },
            }
        };
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd: OwnedFd =
            socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(failed)?;
        let stream = UnixStream::from(fd);
        let address = UnixAddr::new(path).map_err(failed)?;
        // The send time-out also bounds connect(2) on a full backlog (socket(7)).
        stream
            .set_write_timeout(Some(timeout.max(Duration::from_millis(1))))
            .map_err(|source| ClientError::System { path: path.to_owned(), source })?;
        connect(stream.as_raw_fd(), &address).map_err(failed)?;
        Ok(Self { stream, path: path.to_owned(), input: Vec::new() })
    }

    /// Asks, and reads the answer. `timeout` bounds the whole; `None` waits as long as it takes.
    ///
    /// # Errors
    /// [`ClientError::Failed`] when the supervisor said no; otherwise why there is no answer.
    pub fn call<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        timeout: Option<Duration>,
    ) -> Result<T, ClientError> {
        self.ask(request)?;
        self.next(timeout)
    }

    /// Sends a request. Its answers come from [`next`](Self::next).
    ///
    /// # Errors
    /// Why it could not be sent.
    pub fn ask(&mut self, request: &Request) -> Result<(), ClientError> {
        match self.stream.write_all(&wire::write_call(request)) {
            // The supervisor may have said why before it closed: the answer is read all the same.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) =>
            {
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(self.silent(self.stream.write_timeout().ok().flatten()))
            }
            Err(source) => Err(ClientError::System { path: self.path.clone(), source }),
            Ok(()) => Ok(()),
        }
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// [`ClientError::Failed`] when the supervisor said no; otherwise why there is no answer.
    pub fn next<T: DeserializeOwned>(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<T, ClientError> {
        let message = self.message(timeout)?;
        Ok(wire::read_answer::<T>(&message)??.parameters)
    }

    fn message(&mut self, timeout: Option<Duration>) -> Result<Vec<u8>, ClientError> {
        let until = timeout.map(|timeout| Instant::now() + timeout);
        let mut searched = 0;
        loop {
            if let Some((length, _)) = wire::first_end(&self.input[searched..]) {
                let rest = self.input.split_off(searched + length + 1);
                let mut message = std::mem::replace(&mut self.input, rest);
                message.pop();
                return Ok(message);
            }
            searched = self.input.len();
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(self.silent(timeout));
            }
            match self.receive(left) {
                Ok(0) => return Err(ClientError::HungUp),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(self.silent(timeout));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(ClientError::HungUp);
                }
                Err(source) => {
                    return Err(ClientError::System { path: self.path.clone(), source });
                }
            }
        }
    }

    fn silent(&self, timeout: Option<Duration>) -> ClientError {
        ClientError::Silent { path: self.path.clone(), after: timeout.unwrap_or_default() }
    }

    fn receive(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        self.stream.set_read_timeout(timeout)?;
        let held = self.input.len();
        self.input.resize(held + 64 * 1024, 0);
        let got = loop {
            match self.stream.read(&mut self.input[held..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                got => break got,
            }
        };
        self.input.truncate(held + *got.as_ref().unwrap_or(&0));
        got
    }
}

/// "2 s", "0.5 s".
fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}
