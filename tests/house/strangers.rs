//! What users who are neither root nor the supervisor's can do and see.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use treeward::supervision::status::StateWord;

use crate::daemons::sleeper;
use crate::house::{Answer, House, PATIENCE, copy_program, program};

const SECRET: &str = "correct-horse-battery-staple";

/// Runs `slc` as nobody.
fn slc_as_nobody(house: &House, arguments: &[&str]) -> Answer {
    // The build directory may be closed to others.
    let binary = house.path("slc");
    copy_program(env!("CARGO_BIN_EXE_slc"), &binary);
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).expect("chmod");
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&binary)
        .arg("--socket")
        .arg(house.path("run/control.sock"))
        .args(arguments)
        .current_dir("/")
        .output()
        .expect("setpriv");
    Answer {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn units() -> [(&'static str, String); 2] {
    let environment = format!("environment:\n  PASSWORD: {SECRET}\n");
    [
        ("sleeper", format!("command: [sleep, '1000']\nrestart: always\n{environment}")),
        ("bad", format!("command: [sleep, '1000']\nenvironment: PASSWORD {SECRET}\n")),
    ]
}

#[test]
fn without_a_group_nobody_else_gets_to_the_socket() {
    let units = units();
    let house = House::new(&units.each_ref().map(|(name, text)| (*name, text.as_str())));
    let process = sleeper(&house, "sleeper");
    for order in [&["list"][..], &["stop", "sleeper"]] {
        let answer = slc_as_nobody(&house, order);
        assert!(answer.code != Some(0) && answer.out.is_empty(), "{answer:?}");
        assert!(answer.err.contains("not allowed"), "{answer:?}");
    }
    assert!(process.lives());
}

#[test]
fn a_group_may_look_and_sees_no_secret() {
    let units = units();
    let mut house = House::vacant(&units.each_ref().map(|(name, text)| (*name, text.as_str())));
    assert!(house.launch_with(&["--group", "65534"]));
    house.wait_state("sleeper", StateWord::Up, PATIENCE);
    let process = sleeper(&house, "sleeper");
    assert!(process.environment().contains(&format!("PASSWORD={SECRET}")));
    assert!(house.slc(&["list", "--json"]).out.contains(SECRET), "root is told what is wrong");

    let other = units[0].1.replace(SECRET, "another");
    house.write_unit("sleeper", &other);
    assert!(house.slc(&["plan"]).out.contains(SECRET), "root is told what changes");
    for look in [
        &["list"][..],
        &["plan"],
        &["plan", "--json", "--only", "sleeper"],
        &["list", "--json"],
        &["status", "sleeper"],
        &["status", "--json", "sleeper"],
        &["status", "bad"],
        &["journal", "treeward"],
    ] {
        let answer = slc_as_nobody(&house, look);
        let said = answer.out + &answer.err;
        assert!(!said.contains(SECRET), "{look:?}: {said}");
        assert!(!said.contains("ermission denied") || look[0] == "journal", "{look:?}: {said}");
    }
    let listed = slc_as_nobody(&house, &["list", "--json"]);
    assert!(listed.out.contains("\"bad\"") && listed.out.contains("told why"), "{listed:?}");

    for change in
        [&["stop", "sleeper"][..], &["restart", "sleeper"], &["reload"], &["kill", "sleeper"]]
    {
        let answer = slc_as_nobody(&house, change);
        assert!(answer.err.contains("permission denied"), "{change:?}: {answer:?}");
    }
    assert_eq!(sleeper(&house, "sleeper"), process);
}

#[test]
fn a_notification_from_outside_the_leaf_means_nothing() {
    let unit = format!("type: notify\ncommand: {} {{dir}}/go\n", program("notifier"));
    let house = House::new(&[("notifier", &unit)]);
    house.wait_for("notifier", "waiting for its go", PATIENCE, |status| {
        status.summary.state == StateWord::Starting && status.processes == 1
    });
    let stranger = UnixDatagram::unbound().expect("a socket");
    let pid = std::process::id();
    for text in [format!("READY=1\nMAINPID={pid}\nSTATUS=lies"), "STOPPING=1".to_owned()] {
        stranger.send_to(text.as_bytes(), house.path("run/notify")).expect("anybody may send");
    }
    // A turn of the loop reads notifications before it answers.
    let status = house.status("notifier");
    assert_eq!(status.summary.state, StateWord::Starting, "{status:#?}");
    assert!(status.summary.main_pid != Some(pid) && status.status_text.is_empty(), "{status:#?}");
    house.write("go", "");
    let status = house.wait_state("notifier", StateWord::Up, PATIENCE);
    assert_eq!(status.status_text, "the grandchild speaks");
}
