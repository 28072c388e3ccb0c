//! The bounds of the control socket: sizes, times, numbers, and who may connect.

mod desk;

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use desk::{Desk, answer_to, read_message};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;
use treeward::protocol::listener::{BindError, Listener};
use treeward::protocol::message::Changed;
use treeward::protocol::server::{Incoming, MAX_CONNECTIONS};
use treeward::protocol::{Failure, MAX_MESSAGE, Reply, Request};
use treeward::supervision::status::{Change, StateWord};

fn change(why: &str) -> Reply {
    let (from, to) = (StateWord::Up, StateWord::Down);
    let change = Change { unit: "a".into(), start: 1, from, to, why: why.into(), at: 1 };
    Reply::Changed(Changed { change })
}

/// Scenario C4.
#[test]
fn a_message_without_an_end_is_refused_when_it_is_too_long() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sent < 2 * MAX_MESSAGE {
        match stream.write(&[b'x'; 4096]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        assert_eq!(desk.turn(), []);
    }
    stream.set_nonblocking(false).unwrap();
    let answer = read_message(&mut stream, b'\n');
    assert_eq!(answer["error"], "org.treeward.Supervisor.BadMessage");
    assert_eq!(desk.server.connections(), 0);
}

/// Scenario C4.
#[test]
fn half_a_message_may_take_ten_seconds() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    desk.turn();
    assert_eq!(desk.server.deadline(), None, "an idle connection wakes nobody");
    stream.write_all(b"{\"method\":").unwrap();
    desk.turn();
    assert_eq!(desk.server.deadline(), Some(desk.now + 10_000));
    desk.now += 9_999;
    stream.write_all(b"\"List\"").unwrap();
    desk.turn();
    assert_eq!(desk.server.connections(), 1, "it is not over yet");
    desk.now += 1;
    assert_eq!(desk.turn(), []);
    assert_eq!(desk.server.connections(), 0);
    assert_eq!(desk.server.deadline(), None);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// Scenario C3.
#[test]
fn an_unread_answer_may_wait_thirty_seconds_and_its_reader_is_not_served_meanwhile() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    stream.write_all(b"{\"method\":\"List\"}\n{\"method\":\"List\"}\n").unwrap();
    let (id, _) = desk.call();
    let failure = Failure::Refused { unit: "a".into(), reason: "x".repeat(4_000_000) };
    desk.server.fail(id, &failure, desk.now);
    assert_eq!(desk.turn(), [], "one answer of any size may wait, and nothing behind it begins");
    assert_eq!(desk.server.deadline(), Some(desk.now + 30_000));
    desk.now += 30_000;
    desk.turn();
    assert_eq!(desk.server.connections(), 0);
}

/// Scenario C3.
#[test]
fn a_watcher_who_does_not_read_is_dropped_and_reported() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    stream.write_all(b"{\"method\":\"Watch\",\"more\":true}\0").unwrap();
    let (id, request) = desk.call();
    assert_eq!(request, Request::Watch);
    desk.server.stream(id, &change("first"), desk.now);
    let first = read_message(&mut stream, 0);
    assert_eq!(first["continues"], true);
    assert_eq!(first["parameters"]["change"]["why"], "first");
    let why = "x".repeat(1_000);
    for _ in 0..2_000 {
        desk.server.stream(id, &change(&why), desk.now);
    }
    assert_eq!(desk.turn(), [Incoming::Gone(id)]);
    assert_eq!(desk.server.connections(), 0);
}

/// Scenario C5.
#[test]
fn a_connection_too_many_is_told_so_and_one_that_closes_makes_room() {
    let mut desk = Desk::new();
    let mut open: Vec<UnixStream> = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        open.push(desk.connect());
        desk.server.turn(desk.now);
    }
    let mut refused = desk.connect();
    desk.turn();
    let answer = read_message(&mut refused, b'\n');
    assert_eq!(answer["parameters"], json!({"connections": MAX_CONNECTIONS}));
    open.pop();
    desk.turn();
    open.push(desk.connect());
    desk.turn();
    assert_eq!(desk.server.connections(), MAX_CONNECTIONS);
}

/// Scenario C4.
#[test]
fn garbage_is_survived() {
    let mut desk = Desk::new();
    // A small generator (xorshift) so that a failure can be repeated.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let call = br#"{"method":"Start","parameters":{"units":["a"],"wait":true}}"#;
    for _ in 0..2_000 {
        let mut stream = desk.connect();
        let mut bytes = call.to_vec();
        for _ in 0..next() % 4 {
            let at = usize::try_from(next()).unwrap() % bytes.len();
            bytes[at] = next().to_le_bytes()[0];
        }
        bytes.push(if next() % 2 == 0 { 0 } else { b'\n' });
        stream.write_all(&bytes).unwrap();
        desk.server.turn(desk.now);
    }
    desk.turn();
    assert_eq!(desk.server.connections(), 0);
    let answer = answer_to(&mut desk, r#"{"method":"org.varlink.service.GetInfo"}"#);
    assert_eq!(answer["parameters"]["vendor"], "Treeward");
}

#[test]
fn nothing_that_only_waits_wakes_the_loop() {
    let mut desk = Desk::new();
    let _idle = desk.connect();
    let mut half = desk.connect();
    half.write_all(b"{").unwrap();
    let mut half_closed_waiter = desk.connect();
    half_closed_waiter.write_all(b"{\"method\":\"Start\"}\n").unwrap();
    half_closed_waiter.shutdown(Shutdown::Write).unwrap();
    let mut eager_waiter = desk.connect();
    eager_waiter.set_nonblocking(true).unwrap();
    let line = b"{\"method\":\"Start\"}\n".repeat(MAX_MESSAGE / 20);
    let _ = eager_waiter.write(&line).unwrap();
    let mut unread = desk.connect();
    unread.write_all(b"{\"method\":\"List\"}\n").unwrap();
    let mut waiting = Vec::new();
    for incoming in (0..20).flat_map(|_| desk.turn()) {
        match incoming {
            Incoming::Call { id, request: Request::List, .. } => {
                let reason = "x".repeat(4_000_000);
                let failure = Failure::Refused { unit: "a".into(), reason };
                waiting.push((id, failure));
            }
            Incoming::Call { request: Request::Order { .. }, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    for (id, failure) in waiting {
        desk.server.fail(id, &failure, desk.now);
    }
    for _ in 0..20 {
        assert_eq!(desk.turn(), []);
    }
    assert_eq!(desk.server.connections(), 5);
    let mut waits = [PollFd::new(desk.server.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut waits, PollTimeout::ZERO).unwrap(), 0, "the loop would spin");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_stale_socket_is_replaced_and_the_mode_does_not_depend_on_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a stale socket");
    let listener = Listener::bind(&path, None).unwrap();
    assert_eq!(mode(&path), 0o600);
    drop(listener);
    let listener = Listener::bind(&path, Some(0)).unwrap();
    assert_eq!(mode(&path), 0o660);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no other name is left");
    drop(listener);
    assert!(!path.exists());
}

/// Scenario C2.
#[test]
fn a_directory_that_others_may_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let error = Listener::bind(&dir.path().join("sock"), None).unwrap_err();
    assert!(matches!(error, BindError::UnsafeDirectory { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
