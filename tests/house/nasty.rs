//! Three C programs that are nastier than any daemon of Debian (`tests/daemons`), through the same
//! script as the real ones.

use nix::sys::signal::Signal;
use treeward::supervision::status::StateWord;

use crate::daemons::{AfterKill, Daemon, assert_stopped};
use crate::house::{House, PATIENCE, SECOND, eventually, program};

/// Scenarios S2 and F7.
#[test]
fn a_daemon_whose_middle_lingers_gets_its_main_process_once_the_middle_is_gone() {
    Daemon {
        is_main: |process| process.name == "family-daemon",
        at_least: 4,
        after_kill: AfterKill::LivesOn,
        ..Daemon::single(
            "family",
            &format!("command: {} 700 3\n", program("family")),
            "child 3 is here",
        )
    }
    .prove();
}

#[test]
fn a_daemon_that_executes_itself_under_other_names_stays_the_same_service() {
    Daemon::single(
        "changeling",
        &format!("command: {}\n", program("changeling")),
        "now called kworker/7:1",
    )
    .prove();
}

#[test]
fn a_change_of_name_changes_neither_state_nor_main_process() {
    let unit = format!("command: {}\n", program("changeling"));
    let house = House::new(&[("changeling", &unit)]);
    let named = |name: &str| {
        let mut found = None;
        let came = eventually(PATIENCE, || {
            found = house.processes("changeling").into_iter().find(|process| process.name == name);
            found.is_some()
        });
        assert!(came, "no process is called {name}");
        found.expect("found")
    };
    let first = named("kworker/7:1");
    for name in ["sshd", "init", "kworker/7:1"] {
        first.signal(Signal::SIGHUP);
        assert_eq!(named(name).pid, first.pid);
        house.wait_for("changeling", "up with the same main process", SECOND, |status| {
            status.summary.state == StateWord::Up && status.summary.main_pid == Some(first.pid)
        });
    }
    assert_eq!(house.status("changeling").summary.restarts, 0);
}

/// Scenario S1.
#[test]
fn a_daemon_that_forks_for_ever_and_ignores_sigterm_is_stopped_whole() {
    Daemon {
        is_main: |process| process.name == "hydra-head",
        // Its tree changes a hundred times in a second, so there may be no settled look at it.
        main_may_be_unknown: true,
        at_least: 5,
        after_kill: AfterKill::LivesOn,
        ..Daemon::single(
            "hydra",
            &format!("command: {}\nstop_grace_period: 500ms\n", program("hydra")),
            "the head is ready",
        )
    }
    .prove();
}

#[test]
fn a_daemon_that_forks_for_ever_is_stopped_while_it_is_still_starting() {
    let unit = format!("command: {}\nstop_grace_period: 0s\n", program("hydra"));
    let house = House::new(&[("hydra", &unit)]);
    for _ in 0..5 {
        let before = house.processes("hydra");
        house.slc_done(&["stop", "hydra"]);
        assert_stopped(&house, "hydra", &before);
        house.slc_done(&["start", "hydra"]);
    }
}
