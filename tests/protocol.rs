//! The control socket, driven without a supervisor: the test takes the launcher's part.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};
use tempfile::TempDir;
use treeward::protocol::client::{Client, ClientError};
use treeward::protocol::listener::{BindError, Listener};
use treeward::protocol::message::{Changed, Listing, Outcomes, Signalled};
use treeward::protocol::server::{CallId, Incoming, KEPT_FOR_CONTROL, MAX_CONNECTIONS, Server};
use treeward::protocol::{Failure, MAX_MESSAGE, Reply, Request, Verb, Who};
use treeward::supervision::status::{Change, StateWord};

/// A server and the clock that it is told.
struct Desk {
    server: Server,
    now: u64,
    dir: TempDir,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = Listener::bind(&dir.path().join("sock"), None).unwrap();
        Self {
            server: Server::new(listener).unwrap(),
            now: 1_000,
            dir,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream
    }

    /// Turns until nothing more happens. Everything a client of this thread did before is
    /// already in the socket, so nothing has to be waited for.
    fn turn(&mut self) -> Vec<Incoming> {
        let mut all = Vec::new();
        for _ in 0..4 {
            all.extend(self.server.turn(self.now));
        }
        all
    }

    /// The one call that arrives now.
    fn call(&mut self) -> (CallId, Request) {
        let mut news = self.turn();
        match (news.pop(), news.is_empty()) {
            (Some(Incoming::Call { id, request, .. }), true) => (id, request),
            other => panic!("not one call: {other:?}, {news:?}"),
        }
    }
}

/// Reads up to the end that is expected and gives the message without it.
fn read_message(stream: &mut UnixStream, end: u8) -> Value {
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
fn answer_to(desk: &mut Desk, line: &str) -> Value {
    let mut stream = desk.connect();
    writeln!(stream, "{line}").unwrap();
    assert_eq!(desk.turn(), [], "the supervisor is not asked: {line}");
    read_message(&mut stream, b'\n')
}

fn empty_list() -> Reply {
    Reply::List(Listing {
        services: Vec::new(),
        problems: Vec::new(),
    })
}

fn change(why: &str) -> Reply {
    let (from, to) = (StateWord::Up, StateWord::Down);
    let change = Change {
        unit: "a".into(),
        start: 1,
        from,
        to,
        why: why.into(),
        at: 1,
    };
    Reply::Changed(Changed { change })
}

#[test]
fn an_answer_ends_as_its_question_did() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    for (question, end) in [
        (&b"{\"method\":\"List\"}\n"[..], b'\n'),
        (
            &b"{\"method\":\"org.treeward.Supervisor.List\",\"parameters\":null}\0"[..],
            0,
        ),
        (&b"\r\n{\"method\":\"List\"}\r\n"[..], b'\n'),
    ] {
        stream.write_all(question).unwrap();
        let (id, request) = desk.call();
        assert_eq!(request, Request::List);
        desk.server.reply(id, &empty_list(), desk.now);
        let wanted = json!({"parameters": {"services": [], "problems": []}});
        assert_eq!(read_message(&mut stream, end), wanted);
    }
}

#[test]
fn absent_parameters_have_defaults_and_unknown_ones_are_ignored() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    for (line, wanted) in [
        (
            r#"{"method":"Status","x":1}"#,
            Request::Status { units: vec![] },
        ),
        (
            r#"{"method":"Stop","parameters":{"units":["a"],"wait":null,"x":{}},"oneway":true}"#,
            Request::Order {
                verb: Verb::Stop,
                units: vec!["a".into()],
                wait: true,
            },
        ),
        (
            r#"{"method":"Kill","parameters":{"unit":"a"}}"#,
            Request::Kill {
                unit: "a".into(),
                signal: 15,
                who: Who::All,
            },
        ),
    ] {
        writeln!(stream, "{line}").unwrap();
        let (id, request) = desk.call();
        assert_eq!(request, wanted);
        desk.server
            .fail(id, &Failure::NotRunning { unit: "a".into() }, desk.now);
    }
    // The oneway call was not answered, so two answers are here.
    desk.turn();
    drop(desk);
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.lines().count(), 2, "{answers}");
}

#[test]
fn the_server_answers_what_every_varlink_service_knows() {
    let mut desk = Desk::new();
    let info = answer_to(&mut desk, r#"{"method":"org.varlink.service.GetInfo"}"#);
    let interfaces = json!(["org.varlink.service", "org.treeward.Supervisor"]);
    assert_eq!(info["parameters"]["interfaces"], interfaces);
    for interface in ["org.varlink.service", "org.treeward.Supervisor"] {
        let method = "org.varlink.service.GetInterfaceDescription";
        let call = json!({"method": method, "parameters": {"interface": interface}});
        let answer = answer_to(&mut desk, &call.to_string());
        let text = answer["parameters"]["description"].as_str().unwrap();
        assert!(
            text.contains(&format!("\ninterface {interface}\n")),
            "{text}"
        );
    }
}

#[test]
fn what_cannot_be_asked_gets_varlinks_own_errors() {
    let mut desk = Desk::new();
    for (line, error, parameters) in [
        (
            r#"{"method":"Fly"}"#,
            "org.varlink.service.MethodNotFound",
            json!({"method": "Fly"}),
        ),
        (
            r#"{"method":"org.x.Y"}"#,
            "org.varlink.service.InterfaceNotFound",
            json!({"interface": "org.x"}),
        ),
        (
            r#"{"method":"Start","parameters":{"units":"a"}}"#,
            "org.varlink.service.InvalidParameter",
            json!({"parameter": "units"}),
        ),
        (
            r#"{"method":"Kill"}"#,
            "org.varlink.service.InvalidParameter",
            json!({"parameter": "unit"}),
        ),
        (
            r#"{"method":"Kill","parameters":{"unit":"a","who":"0"}}"#,
            "org.varlink.service.InvalidParameter",
            json!({"parameter": "who"}),
        ),
        (
            r#"{"method":"Watch"}"#,
            "org.varlink.service.ExpectedMore",
            json!({}),
        ),
        (
            r#"{"method":"List","upgrade":true}"#,
            "org.varlink.service.MethodNotImplemented",
            json!({"method": "List"}),
        ),
    ] {
        let answer = answer_to(&mut desk, line);
        assert_eq!(
            answer,
            json!({"error": error, "parameters": parameters}),
            "{line}"
        );
    }
    for line in [
        "x",
        "[]",
        "{\"method\":1}",
        "\u{1}",
        "{\"parameters\":{}}",
        "\"\\ud800\"",
    ] {
        let answer = answer_to(&mut desk, line);
        assert_eq!(
            answer["error"], "org.treeward.Supervisor.BadMessage",
            "{line}"
        );
    }
}

#[test]
fn a_call_that_waits_holds_only_the_later_calls_of_its_own_connection() {
    let mut desk = Desk::new();
    let mut first = desk.connect();
    first
        .write_all(b"{\"method\":\"Start\"}\n{\"method\":\"List\"}\n")
        .unwrap();
    let (start, _) = desk.call();
    let mut second = desk.connect();
    second.write_all(b"{\"method\":\"List\"}\n").unwrap();
    let (list, _) = desk.call();
    desk.server.reply(list, &empty_list(), desk.now);
    assert!(read_message(&mut second, b'\n')["parameters"]["services"].is_array());

    desk.server.reply(
        start,
        &Reply::Outcomes(Outcomes { outcomes: vec![] }),
        desk.now,
    );
    assert!(read_message(&mut first, b'\n')["parameters"]["outcomes"].is_array());
    let (list, request) = desk.call();
    assert_eq!(request, Request::List);
    // A second answer to the call that is over does not reach the one that is open.
    desk.server.reply(
        start,
        &Reply::Signalled(Signalled { signalled: 9 }),
        desk.now,
    );
    desk.server.reply(list, &empty_list(), desk.now);
    assert!(read_message(&mut first, b'\n')["parameters"]["services"].is_array());
}

#[test]
fn who_closes_only_his_sending_side_still_gets_his_answers() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    stream
        .write_all(b"{\"method\":\"List\"}\n{\"method\":\"List\"}\n")
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    for _ in 0..2 {
        let (id, _) = desk.call();
        desk.server.reply(id, &empty_list(), desk.now);
    }
    assert_eq!(desk.turn(), []);
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.lines().count(), 2);
    assert_eq!(desk.server.connections(), 0);
}

#[test]
fn who_closes_is_heard_to_the_end_and_then_forgotten() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    for method in ["Start", "Stop"] {
        writeln!(stream, "{}", json!({"method": method, "oneway": true})).unwrap();
    }
    writeln!(stream, "{}", json!({"method": "Restart"})).unwrap();
    drop(stream);
    let news = desk.turn();
    let verbs: Vec<Verb> = news
        .iter()
        .filter_map(|incoming| match incoming {
            Incoming::Call {
                request: Request::Order { verb, .. },
                ..
            } => Some(*verb),
            _ => None,
        })
        .collect();
    assert_eq!(verbs, [Verb::Start, Verb::Stop, Verb::Restart]);
    let [.., Incoming::Call { id, .. }, Incoming::Gone(gone)] = news.as_slice() else {
        panic!("the last call is gone: {news:?}");
    };
    assert_eq!(gone, id);
    assert_eq!(desk.server.connections(), 0);
}

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

#[test]
fn half_a_message_may_take_ten_seconds() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    desk.turn();
    assert_eq!(
        desk.server.deadline(),
        None,
        "an idle connection wakes nobody"
    );
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

#[test]
fn an_unread_answer_may_wait_thirty_seconds_and_its_reader_is_not_served_meanwhile() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    stream
        .write_all(b"{\"method\":\"List\"}\n{\"method\":\"List\"}\n")
        .unwrap();
    let (id, _) = desk.call();
    let failure = Failure::Refused {
        unit: "a".into(),
        reason: "x".repeat(4_000_000),
    };
    desk.server.fail(id, &failure, desk.now);
    assert_eq!(
        desk.turn(),
        [],
        "one answer of any size may wait, and nothing behind it begins"
    );
    assert_eq!(desk.server.deadline(), Some(desk.now + 30_000));
    desk.now += 30_000;
    desk.turn();
    assert_eq!(desk.server.connections(), 0);
}

#[test]
fn a_watcher_who_does_not_read_is_dropped_and_reported() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    stream
        .write_all(b"{\"method\":\"Watch\",\"more\":true}\0")
        .unwrap();
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
    assert_eq!(
        answer["parameters"],
        json!({"connections": MAX_CONNECTIONS})
    );
    open.pop();
    desk.turn();
    open.push(desk.connect());
    desk.turn();
    assert_eq!(desk.server.connections(), MAX_CONNECTIONS);
    assert!(KEPT_FOR_CONTROL < MAX_CONNECTIONS);
}

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
    half_closed_waiter
        .write_all(b"{\"method\":\"Start\"}\n")
        .unwrap();
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
            Incoming::Call {
                id,
                request: Request::List,
                ..
            } => {
                let reason = "x".repeat(4_000_000);
                let failure = Failure::Refused {
                    unit: "a".into(),
                    reason,
                };
                waiting.push((id, failure));
            }
            Incoming::Call {
                request: Request::Order { .. },
                ..
            } => {}
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
    assert_eq!(
        poll(&mut waits, PollTimeout::ZERO).unwrap(),
        0,
        "the loop would spin"
    );
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
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        1,
        "no other name is left"
    );
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_directory_that_others_may_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let error = Listener::bind(&dir.path().join("sock"), None).unwrap_err();
    assert!(
        matches!(error, BindError::UnsafeDirectory { .. }),
        "{error}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_client_tells_nobody_there_from_nobody_answers() {
    let desk = Desk::new();
    let short = Duration::from_millis(50);
    let error = Client::connect(&desk.dir.path().join("none"), short).unwrap_err();
    assert!(matches!(error, ClientError::NotThere { .. }), "{error}");
    let stale = desk.dir.path().join("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let error = Client::connect(&stale, short).unwrap_err();
    assert!(matches!(error, ClientError::NotThere { .. }), "{error}");
    // The server of this desk never turns.
    let mut client = Client::connect(&desk.path(), short).unwrap();
    let error = client
        .call::<Listing>(&Request::List, Some(short))
        .unwrap_err();
    assert!(matches!(error, ClientError::Silent { .. }), "{error}");
}
