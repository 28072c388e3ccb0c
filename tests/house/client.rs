//! `slc`, its exit codes, and the socket by hand.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use treeward::supervision::status::StateWord;

use crate::daemons::{SLEEPER, sleeper};
use crate::house::{House, PATIENCE, SECOND, program};

#[test]
fn exit_codes_tell_what_became_of_an_order() {
    let mut house = House::new(&[
        ("sleeper", SLEEPER),
        ("hopeless", "command: /no/such/program\n"),
        ("down", "command: sleep 1000\n"),
    ]);
    sleeper(&house, "sleeper");
    sleeper(&house, "down");
    house.slc_done(&["stop", "down"]);
    house.wait_state("hopeless", StateWord::Failed, PATIENCE);
    let code = |arguments: &[&str]| house.slc(arguments).code;
    assert_eq!(code(&["list"]), Some(0));
    assert_eq!(code(&["status", "sleeper"]), Some(0));
    assert_eq!(code(&["start", "sleeper"]), Some(0), "it is up already");
    assert_eq!(code(&["stop", "down"]), Some(0), "it is down already");
    assert_eq!(code(&["start", "hopeless"]), Some(1));
    assert_eq!(code(&["status", "down"]), Some(3));
    assert_eq!(code(&["kill", "down"]), Some(3));
    assert_eq!(code(&["status", "no-such-unit"]), Some(4));
    assert_eq!(code(&["start", "no-such-unit"]), Some(4));
    assert_eq!(code(&["version"]), Some(0));
    assert_eq!(house.end_supervisor(), Some(0));
    let answer = house.slc(&["list"]);
    assert_eq!(answer.code, Some(5));
    assert!(answer.err.contains("control.sock"), "{answer:?}");
}

#[test]
fn check_without_a_path_looks_where_the_supervisor_reads() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    assert_eq!(house.slc_done(&["check"]), "1 unit file checked: nothing wrong\n");
    house.write_unit("bad", "comand: x\n");
    let answer = house.slc(&["check"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.out.contains("units/bad.yml:1:1: comand: unknown key"), "{answer:?}");
}

#[test]
fn a_misspelt_unit_is_answered_with_the_one_that_was_meant() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    let answer = house.slc(&["stop", "sleepr"]);
    assert_eq!(answer.code, Some(4));
    assert!(answer.err.contains("sleeper"), "{answer:?}");
    assert_eq!(answer.err.trim().lines().count(), 1, "{answer:?}");
}

#[test]
fn list_and_status_show_the_state_and_the_whole_tree() {
    let unit = format!("command: {} 0 3\ndescription: a family\n", program("family"));
    let house = House::new(&[("family", &unit)]);
    house.wait_for("family", "settled", PATIENCE, |status| {
        status.processes == 4 && status.summary.main_pid.is_some()
    });
    let list = house.slc_done(&["list"]);
    let line = list.lines().find(|line| line.contains("family")).expect("a line");
    assert!(line.contains("up"), "{line}");
    let status = house.slc_done(&["status", "family"]);
    assert!(status.contains("a family"), "{status}");
    for process in house.processes("family") {
        assert!(status.contains(&process.pid.to_string()), "{} is not in:\n{status}", process.pid);
    }

    let json: Value =
        serde_json::from_str(&house.slc_done(&["status", "--json", "family"])).expect("JSON");
    let service = &json["services"][0];
    assert_eq!(service["summary"]["state"], "up");
    assert_eq!(service["kind"], "auto");
    assert_eq!(service["tree"].as_array().map(Vec::len), Some(4));
    assert_eq!(service["tree"][0]["main"], true);
    assert_eq!(service["tree"][0]["adopted"], true);
}

/// Scenario L3.
#[test]
fn journal_prints_lines_and_never_raw_control_characters() {
    let unit =
        "command: [sh, -c, \"printf 'one\\\\n\\\\033[2Jtwo\\\\n\\\\377\\\\n'; exec sleep 1000\"]\n";
    let mut house = House::new(&[("printer", unit)]);
    house.wait_for_log("printer", "two");
    let text = house.slc_done(&["journal", "printer"]);
    assert!(text.contains("one"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let json = house.slc_done(&["journal", "-o", "json", "-n", "1", "printer"]);
    let _: Value = serde_json::from_str(json.lines().next().expect("a line")).expect("JSON");
    // The files are ordinary, so the journal can be read without a supervisor.
    assert_eq!(house.end_supervisor(), Some(0));
    let logs = house.path("log");
    let text = house.slc_done(&["journal", "--log-dir", logs.to_str().expect("UTF-8"), "printer"]);
    assert!(text.contains("one") && text.contains("two"), "{text}");
}

/// Runs a command of `slc` that goes on for ever, and gives the lines it writes. It is ended when
/// they do not come in time, so that a test can wait for a line and still come to its end.
fn listen(house: &House, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new("timeout")
        .args(["20", env!("CARGO_BIN_EXE_slc"), "--socket"])
        .arg(house.path("run/control.sock"))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("slc");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    (child, lines)
}

/// Ends it by SIGTERM, which timeout(1) passes on.
fn hush(mut child: Child) {
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("kill");
    child.wait().expect("wait");
}

#[test]
fn journal_follows_a_service_as_it_writes() {
    let unit = "command: [sh, -c, 'echo early; while ! test -e {dir}/go; do sleep 0.02; done; \
                echo late; exec sleep 1000']\n";
    let house = House::new(&[("writer", unit)]);
    house.wait_for_log("writer", "early");
    let (follower, mut lines) = listen(&house, &["journal", "-f", "writer"]);
    let mut wait = |text: &str| {
        lines.by_ref().map(|line| line.expect("UTF-8")).find(|line| line.contains(text))
    };
    assert!(wait("early").is_some());
    house.write("go", "");
    assert!(wait("late").is_some());
    hush(follower);
}

#[test]
fn the_socket_can_be_used_by_hand_with_netcat() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    sleeper(&house, "sleeper");
    let script = format!(
        "echo '{{\"method\":\"org.treeward.Supervisor.List\"}}' | nc -N -U {}",
        house.path("run/control.sock").display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().expect("sh");
    let text = String::from_utf8_lossy(&output.stdout);
    let reply: Value = serde_json::from_str(text.trim_end_matches(['\0', '\n'])).expect("JSON");
    assert_eq!(reply["parameters"]["services"][0]["name"], "sleeper");
    assert_eq!(reply["parameters"]["services"][0]["state"], "up");
}

#[test]
fn watch_shows_each_change_of_state() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    sleeper(&house, "sleeper");
    let (watcher, mut lines) = listen(&house, &["watch", "--json"]);
    // Stops until the watcher, which may still be connecting, has seen one.
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let words = lines.by_ref().map(|line| line.expect("UTF-8"));
            let changes = words.map(|line| serde_json::from_str::<Value>(&line).expect("JSON"));
            changes
                .map(|change| change["to"].as_str().map(str::to_owned))
                .find(|to| to.as_deref() == Some("down"))
        });
        while !reader.is_finished() {
            house.slc_done(&["restart", "sleeper"]);
            house.slc_done(&["stop", "sleeper"]);
        }
        reader.join().expect("no panic")
    });
    assert!(seen.is_some());
    hush(watcher);
    house.wait_state("sleeper", StateWord::Down, SECOND);
}
