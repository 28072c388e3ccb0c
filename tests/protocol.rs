//! What is said on the control socket, driven without a supervisor: the test takes its part.

mod desk;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use desk::{Desk, answer_to, read_message};
use serde_json::json;
use treeward::protocol::client::{Client, ClientError};
use treeward::protocol::message::{Listing, Outcomes, Signalled};
use treeward::protocol::server::Incoming;
use treeward::protocol::{Failure, Reply, Request, Verb, Who};

fn empty_list() -> Reply {
    Reply::List(Listing {
        services: Vec::new(),
        problems: Vec::new(),
        findings: Vec::new(),
        masked: Vec::new(),
        notice: String::new(),
    })
}

#[test]
fn an_answer_ends_as_its_question_did() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    for (question, end) in [
        (&b"{\"method\":\"List\"}\n"[..], b'\n'),
        (&b"{\"method\":\"org.treeward.Supervisor.List\",\"parameters\":null}\0"[..], 0),
        (&b"\r\n{\"method\":\"List\"}\r\n"[..], b'\n'),
    ] {
        stream.write_all(question).unwrap();
        let (id, request) = desk.call();
        assert_eq!(request, Request::List);
        desk.server.reply(id, &empty_list(), desk.now);
        let wanted =
            json!({"parameters": {"services": [], "problems": [], "masked": [], "notice": ""}});
        assert_eq!(read_message(&mut stream, end), wanted);
    }
}

#[test]
fn absent_parameters_have_defaults_and_unknown_ones_are_ignored() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    for (line, wanted) in [
        (r#"{"method":"Status","x":1}"#, Request::Status { units: vec![] }),
        (
            r#"{"method":"Stop","parameters":{"units":["a"],"wait":null,"x":{}},"oneway":true}"#,
            Request::Order { verb: Verb::Stop, units: vec!["a".into()], wait: true },
        ),
        (
            r#"{"method":"Kill","parameters":{"unit":"a"}}"#,
            Request::Kill { unit: "a".into(), signal: 15, who: Who::All },
        ),
    ] {
        writeln!(stream, "{line}").unwrap();
        let (id, request) = desk.call();
        assert_eq!(request, wanted);
        desk.server.fail(id, &Failure::NotRunning { unit: "a".into() }, desk.now);
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
        assert!(text.contains(&format!("\ninterface {interface}\n")), "{text}");
    }
}

#[test]
fn what_cannot_be_asked_gets_varlinks_own_errors() {
    let mut desk = Desk::new();
    for (line, error, parameters) in [
        (r#"{"method":"Fly"}"#, "org.varlink.service.MethodNotFound", json!({"method": "Fly"})),
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
        (r#"{"method":"Watch"}"#, "org.varlink.service.ExpectedMore", json!({})),
        (
            r#"{"method":"List","upgrade":true}"#,
            "org.varlink.service.MethodNotImplemented",
            json!({"method": "List"}),
        ),
    ] {
        let answer = answer_to(&mut desk, line);
        assert_eq!(answer, json!({"error": error, "parameters": parameters}), "{line}");
    }
    for line in ["x", "[]", "{\"method\":1}", "\u{1}", "{\"parameters\":{}}", "\"\\ud800\""] {
        let answer = answer_to(&mut desk, line);
        assert_eq!(answer["error"], "org.treeward.Supervisor.BadMessage", "{line}");
    }
}

#[test]
fn a_call_that_waits_holds_only_the_later_calls_of_its_own_connection() {
    let mut desk = Desk::new();
    let mut first = desk.connect();
    first.write_all(b"{\"method\":\"Start\"}\n{\"method\":\"List\"}\n").unwrap();
    let (start, _) = desk.call();
    let mut second = desk.connect();
    second.write_all(b"{\"method\":\"List\"}\n").unwrap();
    let (list, _) = desk.call();
    desk.server.reply(list, &empty_list(), desk.now);
    assert!(read_message(&mut second, b'\n')["parameters"]["services"].is_array());

    desk.server.reply(start, &Reply::Outcomes(Outcomes { outcomes: vec![] }), desk.now);
    assert!(read_message(&mut first, b'\n')["parameters"]["outcomes"].is_array());
    let (list, request) = desk.call();
    assert_eq!(request, Request::List);
    // A second answer to the call that is over does not reach the one that is open.
    desk.server.reply(start, &Reply::Signalled(Signalled { signalled: 9 }), desk.now);
    desk.server.reply(list, &empty_list(), desk.now);
    assert!(read_message(&mut first, b'\n')["parameters"]["services"].is_array());
}

#[test]
fn who_closes_only_his_sending_side_still_gets_his_answers() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    stream.write_all(b"{\"method\":\"List\"}\n{\"method\":\"List\"}\n").unwrap();
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
fn many_orders_that_want_no_answer_may_be_left_behind() {
    let mut desk = Desk::new();
    let mut stream = desk.connect();
    let line = json!({"method": "Start", "parameters": {"units": ["a"]}, "oneway": true});
    stream.write_all(format!("{line}\n").repeat(1_000).as_bytes()).unwrap();
    drop(stream);
    let calls: usize = (0..100).map(|_| desk.turn().len()).sum();
    assert_eq!(calls, 1_000);
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
            Incoming::Call { request: Request::Order { verb, .. }, .. } => Some(*verb),
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
    let error = client.call::<Listing>(&Request::List, Some(short)).unwrap_err();
    assert!(matches!(error, ClientError::Silent { .. }), "{error}");
}
