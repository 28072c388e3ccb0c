//! The end of a machine as the supervisor sees it, and units that have their cgroup to themselves.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::Signal;
use serde_json::json;
use treeward::supervision::status::StateWord;

use crate::daemons::{SLEEPER, sleeper};
use crate::house::{House, PATIENCE, cgroups_below, eventually};

/// Ignores SIGTERM.
const STUBBORN: &str = "command: [sh, -c, \"trap '' TERM; while :; do sleep 1000; done\"]\n";

#[test]
fn without_an_init_the_machine_is_not_ours_to_end() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    let process = sleeper(&house, "sleeper");
    for word in ["poweroff", "reboot", "halt", "kexec"] {
        let answer = house.slc(&[word]);
        assert_eq!(answer.code, Some(1), "{answer:?}");
        assert!(answer.err.contains("not started by Treeward's init"), "{answer:?}");
    }
    assert_eq!(sleeper(&house, "sleeper"), process);
}

#[test]
fn under_an_init_the_exit_status_says_what_the_machine_is_to_do() {
    for (word, status) in [("poweroff", 80), ("reboot", 81), ("halt", 82)] {
        let mut house = House::vacant(&[("sleeper", SLEEPER)]);
        house.launch_with(&["--under-init"]);
        sleeper(&house, "sleeper");
        let said = house.slc_done(&[word]);
        assert!(said.contains("every service is stopped in order, then"), "{said}");
        assert_eq!(house.wait_for_end(), Some(status), "{word}");
        assert!(house.processes("sleeper").is_empty());
    }
    let mut house = House::vacant(&[]);
    house.launch_with(&["--under-init"]);
    let answer = house.slc(&["kexec"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.err.contains("no kernel is loaded"), "{answer:?}");
    assert_eq!(house.end_supervisor(), Some(0), "SIGTERM ends the supervisor alone");
}

#[test]
fn the_first_word_counts_and_nothing_starts_any_more() {
    let unit = format!("{STUBBORN}stop_grace_period: 3s\n");
    let mut house = House::vacant(&[("stubborn", &unit), ("other", SLEEPER)]);
    house.launch_with(&["--under-init"]);
    house.wait_state("stubborn", StateWord::Up, PATIENCE);
    house.slc_done(&["reboot"]);
    house.wait_state("other", StateWord::Down, PATIENCE);
    let refused = house.slc(&["poweroff"]);
    assert!(refused.err.contains("it goes down already, for reboot"), "{refused:?}");
    house.slc_done(&["reboot"]);
    let refused = house.slc(&["start", "other"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let list = house.slc_done(&["list"]);
    assert!(list.starts_with("going down for reboot, at most "), "{list}");
    assert_eq!(house.wait_for_end(), Some(81));
}

#[test]
fn going_down_has_a_limit_and_says_for_whom_it_waits_and_what_it_killed() {
    let unit = format!("{STUBBORN}stop_grace_period: 10m\n");
    let needing = format!("{SLEEPER}depends_on: [stubborn]\n");
    let mut house = House::vacant(&[("stubborn", &unit), ("needing", &needing)]);
    house.launch_with(&["--under-init", "--shutdown-timeout", "4"]);
    house.wait_state("needing", StateWord::Up, PATIENCE);
    let pid = house.processes("stubborn")[0].pid;
    house.slc_done(&["poweroff"]);
    assert_eq!(house.wait_for_end(), Some(80));
    let log = house.read("launcher.log");
    let waits = format!("waiting for stubborn (pid {pid} sh, S");
    assert!(log.contains(&waits) && log.contains("until it is killed"), "{log}");
    assert!(log.contains("not everything was down within 4"), "{log}");
    assert!(house.processes("stubborn").is_empty());

    // The next supervisor keeps the report for people.
    house.launch();
    let log_dir = house.path("log");
    let log_dir = log_dir.to_str().expect("UTF-8");
    let said = house.slc_done(&["last-shutdown", "--log-dir", log_dir]);
    assert!(said.contains("  poweroff, took "), "{said}");
    assert!(said.contains(&format!("stubborn: {pid} sh -c trap")), "{said}");
    assert!(said.contains("was killed after "), "{said}");
    assert!(!said.contains("needing"), "it went by itself: {said}");
    house.wait_state("needing", StateWord::Up, PATIENCE);
    house.slc_done(&["kill", "--signal", "KILL", "stubborn"]);
}

#[test]
fn a_shutdown_in_which_nothing_was_killed_says_so() {
    let mut house = House::new(&[("sleeper", SLEEPER)]);
    sleeper(&house, "sleeper");
    let log_dir = house.path("log");
    let log_dir = log_dir.to_str().expect("UTF-8").to_owned();
    let none = house.slc(&["last-shutdown", "--log-dir", &log_dir]);
    assert!(none.code == Some(1) && none.err.contains("no report"), "{none:?}");
    assert_eq!(house.end_supervisor(), Some(0));
    house.launch();
    let said = house.slc_done(&["last-shutdown", "--log-dir", &log_dir]);
    assert!(said.contains("the supervisor ended") && said.contains("nothing had to be"), "{said}");
}

#[test]
fn a_supervisor_that_is_killed_on_the_way_down_goes_on_going_down() {
    let unit = format!("{STUBBORN}stop_grace_period: 2s\n");
    let mut house = House::vacant(&[("stubborn", &unit), ("other", SLEEPER)]);
    house.launch_with(&["--under-init"]);
    house.wait_state("stubborn", StateWord::Up, PATIENCE);
    house.slc_done(&["reboot"]);
    house.wait_state("other", StateWord::Down, PATIENCE);
    house.kill_supervisor();
    let came_up = house.launch_with(&["--under-init"]);
    if came_up {
        assert_ne!(house.status("other").summary.state, StateWord::Up);
    }
    assert_eq!(house.wait_for_end(), Some(81));
    assert!(house.processes("stubborn").is_empty());
    // The wish was for one time.
    house.launch_with(&["--under-init"]);
    house.wait_state("other", StateWord::Up, PATIENCE);
    house.slc_done(&["kill", "--signal", "KILL", "stubborn"]);
}

/// Makes cgroups in its own leaf, as deep as a guest does, and moves into the deepest.
const DIVIDER: &str = "delegate: true\nstop_grace_period: 5s\ncommand:\n- sh\n- -c\n- |\n  \
    mount=$(awk '/ - cgroup2 /{print $5; exit}' /proc/self/mountinfo)\n  \
    leaf=$mount$(sed -n 's/^0:://p' /proc/self/cgroup)\n  \
    mkdir -p $leaf/a/b/c $leaf/empty/one\n  \
    echo 0 > $leaf/a/b/c/cgroup.procs\n  \
    sleep 1000 &\n  \
    echo divided\n  \
    wait\n";

#[test]
fn a_service_that_divides_its_cgroup_stays_one_service() {
    let mut house = House::new(&[("divider", DIVIDER)]);
    let settled = |house: &House| {
        house.wait_for("divider", "settled", PATIENCE, |s| {
            s.processes == 2 && s.summary.state == StateWord::Up && s.summary.main_pid.is_some()
        })
    };
    house.wait_for_log("divider", "divided");
    let status = settled(&house);
    assert_eq!(status.tree.len(), 2);
    let processes = house.processes("divider");
    assert_eq!(cgroups_below(&house.unit_cgroup("divider").join("1")).len(), 5);

    house.kill_supervisor();
    house.launch();
    settled(&house);
    assert_eq!(house.processes("divider"), processes);

    house.slc_done(&["stop", "divider"]);
    assert!(processes.iter().all(|process| !process.lives()));
    assert!(eventually(PATIENCE, || cgroups_below(&house.unit_cgroup("divider")).is_empty()));
    house.slc_done(&["start", "divider"]);
    // Before that its second process may be one of the tools that divide, which ends by itself.
    let divided = || house.wait_for_log("divider", "divided").matches("divided").count();
    assert!(eventually(PATIENCE, || divided() == 2), "it did not divide again");
    settled(&house);
    // The shell last: when it has ended the supervisor ends the rest, and when it runs on it ends
    // with its child.
    let mut processes = house.processes("divider");
    processes.sort_by_key(|process| process.name != "sleep");
    processes.iter().for_each(|process| process.signal(Signal::SIGSTOP));
    processes.iter().for_each(|process| process.signal(Signal::SIGKILL));
    house.wait_for("divider", "started again", PATIENCE, |status| status.start == 3);
}

#[test]
fn a_delegated_leaf_belongs_to_the_units_user() {
    let unit = "delegate: true\nuser: nobody\ncommand: [sleep, '1000']\n";
    let house = House::new(&[("owned", unit), ("sleeper", SLEEPER)]);
    house.wait_state("owned", StateWord::Up, PATIENCE);
    house.wait_state("sleeper", StateWord::Up, PATIENCE);
    let owner = |unit: &str, file: &str| {
        fs::metadata(house.unit_cgroup(unit).join("1").join(file)).expect(file).uid()
    };
    for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
        assert_eq!(owner("owned", file), 65_534, "{file}");
        assert_eq!(owner("sleeper", file), 0, "{file}");
    }
    for file in ["cgroup.kill", "cgroup.freeze", "cgroup.max.descendants"] {
        assert_eq!(owner("owned", file), 0, "{file}");
    }
}

#[test]
fn processes_in_a_pid_namespace_show_both_numbers() {
    let unit = "command: [unshare, --pid, --cgroup, --fork, --mount-proc, sh, -c, 'sleep 1000 & \
                wait']\nkill_mode: mixed\nstop_grace_period: 100ms\n";
    let house = House::new(&[("guest", unit)]);
    let status = house.wait_for("guest", "settled", PATIENCE, |status| {
        status.tree.len() == 3 && status.tree[2].command.starts_with("sleep")
    });
    let inner: Vec<_> = status.tree.iter().map(|p| (p.depth, p.inner_pid)).collect();
    assert_eq!(inner[..2], [(0, None), (1, Some(1))], "{:#?}", status.tree);
    assert!(inner[2].0 == 2 && inner[2].1.is_some_and(|pid| pid > 1), "{:#?}", status.tree);
    let text = house.slc_done(&["status", "guest"]);
    assert!(text.contains(&format!("{} (1 inside)", status.tree[1].pid)), "{text}");
    let reply = house.call("Status", json!({"units": ["guest"]})).expect("Status");
    assert_eq!(reply["services"][0]["tree"][1]["inner_pid"], 1);
}
