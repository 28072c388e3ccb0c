//! A server that the test turns by hand, in the launcher's place.

// Each test file uses its own part of this.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use treeward::protocol::Request;
use treeward::protocol::listener::Listener;
use treeward::protocol::server::{CallId, Incoming, Server};

/// A server and the clock that it is told.
pub struct Desk {
    pub server: Server,
    pub now: u64,
    pub dir: TempDir,
}

impl Desk {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = Listener::bind(&dir.path().join("sock"), None).unwrap();
        Self { server: Server::new(listener).unwrap(), now: 1_000, dir }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    pub fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }

    /// Turns until nothing more happens. Everything a client of this thread did before is
    /// already in the socket, so nothing has to be waited for.
    pub fn turn(&mut self) -> Vec<Incoming> {
        let mut all = Vec::new();
        for _ in 0..4 {
            all.extend(self.server.turn(self.now));
        }
        all
    }

    /// The one call that arrives now.
    pub fn call(&mut self) -> (CallId, Request) {
        let mut news = self.turn();
        match (news.pop(), news.is_empty()) {
            (Some(Incoming::Call { id, request, .. }), true) => (id, request),
            other => panic!("not one call: {other:?}, {news:?}"),
        }
    }
}

/// Reads up to the end that is expected and gives the message without it.
pub fn read_message(stream: &mut UnixStream, end: u8) -> Value {
    let mut message = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        if byte[0] == end {
            return serde_json::from_slice(&message).unwrap();
        }
        message.push(byte[0]);
    }
}

/// Sends a line, lets the server answer it by itself, and reads the answer.
pub fn answer_to(desk: &mut Desk, line: &str) -> Value {
    let mut stream = desk.connect();
    writeln!(stream, "{line}").unwrap();
    assert_eq!(desk.turn(), [], "the supervisor is not asked: {line}");
    read_message(&mut stream, b'\n')
}
