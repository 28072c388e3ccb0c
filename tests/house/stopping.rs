//! What a stop must achieve: nothing of the tree is left, whatever it does, and in bounded time.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use treeward::supervision::status::StateWord;

use crate::daemons::{SLEEPER, assert_stopped, sleeper};
use crate::house::{House, PATIENCE, Process, SECOND, eventually, program};

/// A shell that ignores SIGTERM, with a child in a session of its own that does so too.
const DEAF: &str = "\
command: [sh, -c, \"trap '' TERM; setsid sleep 1000 & echo deaf; while :; do sleep 1000; done\"]
stop_grace_period: 1s
";

/// Scenario S3.
#[test]
fn a_tree_that_ignores_sigterm_is_killed_after_its_grace_period() {
    let house = House::new(&[("deaf", DEAF)]);
    house.wait_for("deaf", "three processes", PATIENCE, |status| status.processes == 3);
    let before = house.processes("deaf");
    let begin = Instant::now();
    house.slc_done(&["stop", "deaf"]);
    let took = begin.elapsed();
    assert_stopped(&house, "deaf", &before);
    assert!(took >= SECOND, "killed before its grace period was over: {took:?}");
    assert!(took < 4 * SECOND, "the grace period is one second, the stop took {took:?}");
    let proof = house.status("deaf").last_stop;
    assert!(proof.contains("killed after 1"), "a kill is told from a clean stop: {proof:?}");
}

/// Scenario S4.
#[test]
fn a_process_stopped_by_sigstop_is_stopped_within_its_grace_period() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    let process = sleeper(&house, "sleeper");
    process.signal(Signal::SIGSTOP);
    assert!(eventually(SECOND, || process.status_line("State").starts_with('T')));
    let begin = Instant::now();
    house.slc_done(&["stop", "sleeper"]);
    assert!(
        begin.elapsed() < 4 * SECOND,
        "it took {:?}, as if it had to be killed",
        begin.elapsed()
    );
    assert_stopped(&house, "sleeper", &[process]);
}

#[test]
fn a_polite_process_gets_its_signal_and_time_to_say_goodbye() {
    let unit = "\
command: [sh, -c, \"trap 'echo goodbye; exit 0' INT; echo ready; while :; do sleep 0.05; done\"]
stop_signal: SIGINT
";
    let house = House::new(&[("polite", unit)]);
    house.wait_for_log("polite", "ready");
    house.slc_done(&["stop", "polite"]);
    assert_stopped(&house, "polite", &[]);
    house.wait_for_log("polite", "goodbye");
}

/// Scenario S2.
#[test]
fn processes_that_changed_their_session_and_parent_are_stopped_too() {
    let unit = format!("command: {} 0 40\n", program("family"));
    let house = House::new(&[("family", &unit)]);
    house.wait_for("family", "41 processes", PATIENCE, |status| status.processes == 41);
    let before = house.processes("family");
    house.slc_done(&["stop", "family"]);
    assert_stopped(&house, "family", &before);
}

/// Scenario S8.
#[test]
fn cgroups_that_a_service_made_itself_are_removed_with_its_leaf() {
    // The shell moves itself two cgroups down; the supervisor must still count and kill it.
    let unit = "\
command:
- sh
- -c
- leaf=$(sed -n 's/^0:://p' /proc/self/cgroup);
  root=$(awk '$(NF-2) == \"cgroup2\" {print $5; exit}' /proc/self/mountinfo);
  mkdir -p $root$leaf/a/b $root$leaf/c && echo $$ > $root$leaf/a/b/cgroup.procs && echo moved;
  exec sleep 1000
";
    let house = House::new(&[("burrower", unit)]);
    house.wait_for_log("burrower", "moved");
    house.wait_state("burrower", StateWord::Up, SECOND);
    let before = house.processes("burrower");
    assert_eq!(before.len(), 1, "{before:#?}");
    house.slc_done(&["stop", "burrower"]);
    assert_stopped(&house, "burrower", &before);
}

/// Scenario S3.
#[test]
fn a_second_stop_waits_for_the_first_and_does_not_prolong_it() {
    let house = House::new(&[("deaf", DEAF)]);
    house.wait_for("deaf", "three processes", PATIENCE, |status| status.processes == 3);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| house.slc_done(&["stop", "deaf"]));
        house.wait_state("deaf", StateWord::Stopping, SECOND);
        house.slc_done(&["stop", "deaf"]);
    });
    assert!(begin.elapsed() < 4 * SECOND, "the two stops took {:?}", begin.elapsed());
    assert_eq!(house.status("deaf").summary.state, StateWord::Down);
}

/// Scenario S10.
#[test]
fn a_stop_during_the_start_ends_it_and_is_no_failure() {
    let unit = "type: forking\ncommand: sleep 1000\n";
    let house = House::new(&[("slow", unit)]);
    house.wait_state("slow", StateWord::Starting, SECOND);
    let before = house.processes("slow");
    assert_eq!(before.len(), 1, "{before:#?}");
    let said = "its first process has not ended";
    house.wait_for("slow", said, SECOND, |status| status.summary.why == said);
    house.slc_done(&["stop", "slow"]);
    assert_stopped(&house, "slow", &before);
}

#[test]
fn kill_reaches_all_the_main_one_or_one_by_number_and_nobody_else() {
    let unit = format!("command: {} 0 3\nrestart: \"no\"\n", program("family"));
    let house = House::new(&[("family", &unit), ("other", SLEEPER)]);
    let other = sleeper(&house, "other");
    let main = house
        .wait_for("family", "settled", PATIENCE, |status| {
            status.processes == 4 && status.summary.main_pid.is_some()
        })
        .summary
        .main_pid
        .expect("just seen");
    let family = house.processes("family");
    let by_name = |name: &str| -> Vec<Process> {
        family.iter().filter(|process| process.name == name).cloned().collect()
    };
    let children = by_name("family-child");

    house.slc_done(&["kill", "--signal", "KILL", "--who", &children[0].pid.to_string(), "family"]);
    assert!(eventually(SECOND, || !children[0].lives()));
    assert!(children[1..].iter().all(Process::lives), "one was meant");

    house.slc_done(&["kill", "--signal", "KILL", "--who", "main", "family"]);
    let daemon = &by_name("family-daemon")[0];
    assert_eq!(daemon.pid, main);
    assert!(eventually(SECOND, || !daemon.lives()));
    assert!(children[1..].iter().all(Process::lives), "the main process was meant");

    let stranger = house.slc(&["kill", "--who", &other.pid.to_string(), "family"]);
    assert_eq!(stranger.code, Some(1), "{stranger:?}");
    let missing = house.slc(&["kill", "--who", "main", "family"]);
    assert_eq!(missing.code, Some(1), "there is no main process now: {missing:?}");

    house.slc_done(&["kill", "--signal", "SIGKILL", "--who", "all", "family"]);
    assert!(eventually(Duration::from_secs(5), || house.processes("family").is_empty()));
    assert!(other.lives(), "a process of another unit was signalled");
}
