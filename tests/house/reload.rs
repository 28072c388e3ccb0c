//! Unit files that change under services that live: what is planned, and what is done.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;
use treeward::supervision::status::StateWord;

use crate::daemons::{SLEEPER, sleeper};
use crate::house::{House, PATIENCE, Process, SECOND, eventually};

/// `+ new: start`, without why and keys.
fn heads(text: &str) -> Vec<String> {
    let heads = text.lines().filter(|line| !line.starts_with(' '));
    heads.map(|line| line.rsplitn(2, ": ").last().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_reload_does_what_the_plan_has_shown() {
    let house = House::new(&[("kept", SLEEPER), ("changed", SLEEPER), ("gone", SLEEPER)]);
    let (kept, changed, gone) =
        (sleeper(&house, "kept"), sleeper(&house, "changed"), sleeper(&house, "gone"));
    house.write_unit("fresh", SLEEPER);
    house.write_unit("off", "command: sleep 1000\nenabled: false\n");
    house.write_unit("changed", "command: sleep 2000\nrestart_delay: 5s\nstop_grace_period: 5s\n");
    fs::remove_file(house.path("units/gone.yml")).expect("remove");

    let plan = house.slc_done(&["plan"]);
    let wanted =
        ["~ changed: change: runs an older unit", "+ fresh: start", "- gone: stop", "+ off: add"];
    assert_eq!(heads(&plan), wanted, "{plan}");
    assert!(plan.contains("sleep infinity -> sleep 2000  [at the next start]"), "{plan}");
    assert!(plan.contains("1s -> 5s  [at once]"), "{plan}");
    assert!(gone.lives() && house.processes("fresh").is_empty(), "a plan changes nothing");

    assert_eq!(house.slc_done(&["reload"]), plan);
    sleeper(&house, "fresh");
    assert!(eventually(PATIENCE, || !gone.lives()));
    assert!(eventually(PATIENCE, || !house.unit_cgroup("gone").exists()), "its cgroup is left");
    assert_eq!((sleeper(&house, "kept"), sleeper(&house, "changed")), (kept, changed.clone()));
    let status = house.slc_done(&["status", "changed"]);
    assert!(status.contains("runs an older unit: command changes at the next start"), "{status}");
    assert_eq!(house.status("off").start, 0);
    assert_eq!(heads(&house.slc_done(&["plan"])), ["= changed: keep: runs an older unit"]);

    // The next supervisor knows it too, and a restart ends it.
    house.slc_done(&["reload", "--restart"]);
    let new = house.wait_for("changed", "restarted", PATIENCE, |status| {
        status.start == 2 && status.summary.state == StateWord::Up
    });
    assert_eq!(new.older_keys, [""; 0]);
    assert_eq!(sleeper(&house, "changed").command, "sleep 2000");
    assert_eq!(house.slc_done(&["plan"]), "nothing has changed\n");
}

#[test]
fn where_one_unit_is_wrong_nothing_is_done_and_it_is_named() {
    let house = House::new(&[("a", SLEEPER), ("b", SLEEPER)]);
    let (a, b) = (sleeper(&house, "a"), sleeper(&house, "b"));
    for (text, words) in [
        ("comand: sleep 1\n", "b.yml:1:1: comand: unknown key"),
        (
            "command: sleep 1000\ndepends_on: [nowhere]\n",
            "b.yml:2:14: depends_on: b needs nowhere, and there would be no such",
        ),
        ("command: sleep 1000\ndepends_on: [ring]\n", "b.yml:2:14: depends_on: b -> ring -> b: "),
    ] {
        house.write_unit("a", "command: sleep 1000\ndescription: new\n");
        house.write_unit("b", text);
        house.write_unit("ring", "command: sleep 1000\nafter: [b]\n");
        for command in ["plan", "reload"] {
            let answer = house.slc(&[command]);
            assert_eq!(answer.code, Some(1), "{answer:?}");
            assert!(answer.err.contains(words), "{words}: {answer:?}");
            let last = text.lines().last().expect("a line");
            assert!(answer.err.contains(&format!(" | {last}\n")), "{last}: {answer:?}");
        }
        assert_eq!(house.status("a").summary.description, "", "{words}: it was half done");
        assert!(house.slc(&["status", "ring"]).code == Some(4), "{words}: ring was taken");
        let list = house.slc_done(&["list"]);
        assert!(list.contains("could not be used") && list.contains("b:"), "{list}");
        // The others can be named.
        house.slc_done(&["reload", "--only", "a"]);
        assert_eq!(house.status("a").summary.description, "new");
        house.write_unit("a", SLEEPER);
        house.slc_done(&["reload", "--only", "a"]);
    }
    assert_eq!(house.slc(&["plan", "--only", "c"]).code, Some(4));
    let answer = house.slc(&["reload", "--only", "b"]);
    assert!(answer.err.contains("not taken by this reload: name it, too"), "{answer:?}");
    assert_eq!((sleeper(&house, "a"), sleeper(&house, "b")), (a, b));
    let json: Value = serde_json::from_str(&house.slc(&["plan", "--json"]).out).expect("JSON");
    assert_eq!((&json["done"], &json["problems"][0]["name"]), (&Value::Bool(false), &"b".into()));
}

#[test]
fn sighup_does_the_same_and_says_loudly_when_it_does_not() {
    let house = House::new(&[("a", SLEEPER)]);
    sleeper(&house, "a");
    house.write_unit("a", "comand: sleep 1\n");
    house.write_unit("b", SLEEPER);
    let log = |words: &str| {
        assert!(
            eventually(PATIENCE, || house.read("launcher.log").contains(words)),
            "{words}: {}",
            house.read("launcher.log")
        );
    };
    house.supervisor().signal(Signal::SIGHUP);
    log("a is wrong, so the reload changed nothing");
    log("unit files read again: nothing was changed");
    assert_eq!(house.slc(&["status", "b"]).code, Some(4));
    house.write_unit("a", SLEEPER);
    house.supervisor().signal(Signal::SIGHUP);
    log("b: reload: start: new, and enabled");
    house.wait_state("b", StateWord::Up, PATIENCE);
}

/// Waits until a limit on processes is held, or is said not to be where there is no controller for
/// it; `None` when there is to be none.
fn wait_for_limit(house: &House, wanted: Option<u32>) {
    let file = house.unit_cgroup("a").join("pids.max");
    house.wait_for("a", &format!("limited to {wanted:?}"), PATIENCE, |status| {
        let missing = status.missing_limits.join("\n");
        match (fs::read_to_string(&file), wanted) {
            (Ok(held), Some(wanted)) => held.trim() == wanted.to_string() && missing.is_empty(),
            (Ok(held), None) => held.trim() == "max" && missing.is_empty(),
            (Err(_), Some(_)) => {
                missing == "pids_limit: the pids controller is not available in this cgroup"
            }
            (Err(_), None) => missing.is_empty(),
        }
    });
}

#[test]
fn limits_change_in_place_and_go_in_place_also_over_a_kill() {
    let limited = |count: u32| format!("command: sleep 1000\npids_limit: {count}\n");
    let mut house = House::new(&[("a", &limited(50))]);
    let process = sleeper(&house, "a");
    wait_for_limit(&house, Some(50));
    for limit in [None, Some(60), Some(70), None] {
        house.write_unit("a", &limit.map_or("command: sleep 1000\n".to_owned(), limited));
        house.slc_done(&["reload"]);
        wait_for_limit(&house, limit);
    }
    // What changed while there was no supervisor: the files are read again.
    for limit in [Some(80), None] {
        house.kill_supervisor();
        house.write_unit("a", &limit.map_or("command: sleep 1000\n".to_owned(), limited));
        house.launch();
        wait_for_limit(&house, limit);
    }
    assert_eq!(sleeper(&house, "a"), process);
}

#[test]
fn a_unit_that_was_not_read_yet_is_no_riddle() {
    let house = House::new(&[]);
    assert_eq!(house.slc_done(&["status"]), "no services\n");
    house.write_unit("new", SLEEPER);
    let answer = house.slc(&["start", "new"]);
    let file = house.path("units/new.yml");
    let said = format!(
        "slc: no such unit: new\nslc: {}: not read yet; slc reload takes it in\n",
        file.display()
    );
    assert_eq!((answer.code, answer.err), (Some(4), said));
    house.slc_done(&["reload"]);
    house.wait_state("new", StateWord::Up, PATIENCE);
}

#[test]
fn policy_and_times_count_at_once_also_after_the_supervisor_was_killed() {
    let patient = "command: [sh, -c, \"trap '' TERM; echo deaf; while :; do sleep 0.1; done\"]\n";
    let never = "command: sleep 1000\nrestart: always\nrestart_delay: 1h\nrestart_max_delay: 1h\n";
    let mut house = House::new(&[("deaf", patient), ("waits", never), ("older", SLEEPER)]);
    house.wait_for_log("deaf", "deaf");
    sleeper(&house, "waits").signal(Signal::SIGKILL);
    house.wait_state("waits", StateWord::Waiting, PATIENCE);
    house.write_unit("deaf", &format!("{patient}stop_grace_period: 100ms\nstop_signal: INT\n"));
    house.write_unit("waits", "command: sleep 1000\nrestart_delay: 10ms\n");
    house.write_unit("older", "command: sleep 2000\n");
    house.slc_done(&["reload"]);
    house.wait_state("waits", StateWord::Up, SECOND);
    house.kill_supervisor();
    house.launch();
    assert_eq!(house.status("older").older_keys, ["command"]);
    let all: Vec<Process> = house.processes("deaf");
    let began = std::time::Instant::now();
    house.slc_done(&["stop", "deaf"]);
    assert!(began.elapsed() < 5 * SECOND, "the old grace period of 10 s was waited for");
    assert!(all.iter().all(|process| !process.lives()));
}
