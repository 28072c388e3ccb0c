//! What follows the end of a service: back-off, giving up, oneshots, and readiness.

use std::time::Duration;

use nix::sys::signal::Signal;
use treeward::supervision::status::StateWord;

use crate::daemons::{SLEEPER, assert_stopped, sleeper};
use crate::house::{House, PATIENCE, SECOND, eventually, program};

/// The times, in milliseconds, that the lines of a file hold.
fn times(house: &House, file: &str) -> Vec<u64> {
    house.read(file).lines().map(|line| line.parse().expect("date +%s%3N")).collect()
}

/// Scenario S13.
#[test]
fn the_pause_between_restarts_doubles_until_the_service_is_failed() {
    let unit = "\
command: [sh, -c, 'date +%s%3N >> {dir}/starts; exit 7']
restart: on-failure
restart_delay: 100ms
restart_max_attempts: 4
";
    let house = House::new(&[("hopeless", unit)]);
    let status = house.wait_state("hopeless", StateWord::Failed, PATIENCE);
    let starts = times(&house, "starts");
    assert_eq!(starts.len(), 5, "one start and four restarts: {starts:?}");
    for (gap, least) in starts.windows(2).map(|pair| pair[1] - pair[0]).zip([100, 200, 400, 800]) {
        assert!(gap >= least && gap < least + 700, "{starts:?}: {gap} is not about {least}");
    }
    assert_eq!(status.summary.restarts, 4);
    assert!(status.last_exit.contains('7'), "{}", status.last_exit);
    assert!(!status.summary.why.is_empty(), "a failed service says why");

    // An order starts the count anew.
    house.slc(&["start", "hopeless"]);
    house.wait_state("hopeless", StateWord::Failed, PATIENCE);
    assert_eq!(times(&house, "starts").len(), 10);
}

#[test]
fn a_killed_service_is_started_again_and_a_stopped_one_is_not() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    let first = sleeper(&house, "sleeper");
    first.signal(Signal::SIGKILL);
    let status = house.wait_for("sleeper", "started again", PATIENCE, |status| {
        status.summary.restarts == 1 && status.summary.state == StateWord::Up
    });
    assert!(status.last_exit.contains("KILL"), "{}", status.last_exit);
    let second = sleeper(&house, "sleeper");
    assert_ne!(first, second);
    house.slc_done(&["stop", "sleeper"]);
    assert_stopped(&house, "sleeper", &[second]);
    assert!(!house.status("sleeper").summary.wanted);
}

#[test]
fn a_service_that_ends_well_is_started_again_only_if_it_says_always() {
    let house = House::new(&[
        ("once", "command: 'true'\n"),
        ("always", "command: 'true'\nrestart: always\nrestart_delay: 50ms\n"),
    ]);
    house.wait_for("always", "restarted twice", PATIENCE, |status| status.summary.restarts >= 2);
    let once = house.wait_state("once", StateWord::Down, SECOND);
    assert_eq!((once.start, once.summary.restarts), (1, 0));
}

#[test]
fn a_oneshot_that_remains_is_done_and_one_that_fails_is_failed() {
    let house = House::new(&[
        ("good", "type: oneshot\nremain_after_exit: true\ncommand: [sh, -c, echo it ran]\n"),
        ("bad", "type: oneshot\ncommand: [sh, -c, exit 3]\nrestart: \"no\"\n"),
    ]);
    let good = house.wait_state("good", StateWord::Done, PATIENCE);
    assert_eq!((good.processes, good.summary.main_pid), (0, None));
    house.wait_for_log("good", "it ran");
    let bad = house.wait_state("bad", StateWord::Failed, PATIENCE);
    assert!(bad.last_exit.contains('3'), "{}", bad.last_exit);
    house.slc_done(&["stop", "good"]);
    house.wait_state("good", StateWord::Down, SECOND);
}

#[test]
fn a_program_that_is_not_there_fails_with_its_name_and_the_reason() {
    let house = House::new(&[("ghost", "command: /no/such/program\nrestart: \"no\"\n")]);
    let status = house.wait_state("ghost", StateWord::Failed, PATIENCE);
    let text = format!("{} {}", status.summary.why, status.last_exit);
    assert!(text.contains("/no/such/program"), "{text}");
    assert!(text.contains("No such file"), "{text}");
    assert_eq!(house.processes("ghost"), []);
}

#[test]
fn a_service_is_ready_when_a_grandchild_says_so_and_not_before() {
    let unit = format!("type: notify\ncommand: {} {{dir}}/go\n", program("notifier"));
    let house = House::new(&[("notifier", &unit)]);
    // Its first process and the middle have exited: one process is left, and it is not ready.
    assert!(eventually(PATIENCE, || {
        let processes = house.processes("notifier");
        processes.len() == 1 && processes[0].parent == house.supervisor().pid
    }));
    house.wait_state("notifier", StateWord::Starting, SECOND);
    house.write("go", "");
    let status = house.wait_state("notifier", StateWord::Up, SECOND);
    let process = &house.processes("notifier")[0];
    assert_eq!(status.summary.main_pid, Some(process.pid));
    assert_eq!(status.status_text, "the grandchild speaks");
}

#[test]
fn a_service_that_is_not_ready_in_time_is_stopped_whole() {
    let unit = "\
type: notify
command: sleep 1000
start_timeout: 300ms
restart: \"no\"
";
    let house = House::new(&[("mute", unit)]);
    let status = house.wait_state("mute", StateWord::Failed, Duration::from_secs(5));
    assert_eq!(house.processes("mute"), []);
    assert!(!status.summary.why.is_empty());
}
