//! `init` called by somebody.

use std::process::{Command, Output};

use nix::sys::signal::Signal;

use crate::machine::{Machine, Scene};

fn init(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_init")).args(arguments).output().unwrap()
}

#[test]
fn help_and_version_are_given_to_anybody() {
    let help = String::from_utf8(init(&["--help"]).stdout).unwrap();
    for word in [
        "--launcher",
        "--shutdown-timeout",
        "--units",
        "--run-dir",
        "--log-dir",
        "--cgroup-root",
        "--group",
        "--syslog",
        "--fstab",
        "--hostname-file",
        "--console",
        "--debug",
        "single",
    ] {
        assert!(help.contains(word), "{word} is not in the help");
    }
    let version = String::from_utf8(init(&["--version"]).stdout).unwrap();
    assert_eq!(version, concat!("init ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// Process 1 of the machine that runs the tests is another program, and must not be signalled.
#[test]
fn an_order_is_given_to_no_other_process_1() {
    for word in ["0", "6", "q"] {
        let refused = init(&[word]);
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains("process 1 is another program, so nothing was done"), "{said}");
    }
    let unclear = init(&["--units", "/x"]);
    assert_eq!(unclear.status.code(), Some(2));
    assert!(String::from_utf8(unclear.stderr).unwrap().contains("see init --help"));
}

#[test]
fn orders_reach_an_init_of_the_same_program_also_when_that_was_replaced() {
    for (script, seen) in [
        ("/init 6", Signal::SIGHUP),
        ("ln -s /init /poweroff; /poweroff", Signal::SIGINT),
        ("cp /init /init.new && mv /init.new /init && /init 6", Signal::SIGHUP),
    ] {
        let mut machine = Machine::boot(&Scene::default());
        let (_, said) = machine.shell(script);
        let ended = machine.end(std::time::Duration::from_secs(20));
        assert_eq!(ended, seen, "{script}: {said}");
    }
    let mut machine = Machine::boot(&Scene::default());
    assert!(machine.shell("/init q").0);
    machine.wait_for("reread", |machine| machine.read("said").contains("reread"));
    let copied = machine.shell("cp /init /other; /other 6");
    assert!(!copied.0, "another file is another program: {}", copied.1);
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
}
