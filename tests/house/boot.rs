//! Whose turn it is to start, and what is told of a boot afterwards.

use std::time::Duration;

use serde_json::Value;
use treeward::supervision::status::StateWord;

use crate::daemons::{SLEEPER, sleeper};
use crate::house::{House, PATIENCE, eventually};

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A oneshot that works until a file is there.
fn until(file: &str) -> String {
    format!(
        "type: oneshot\nremain_after_exit: true\n\
         command: [sh, -c, 'while ! test -e {{dir}}/{file}; do :; done']\n"
    )
}

/// A oneshot that waits for a file, and does nothing meanwhile.
fn idle_until(file: &str) -> String {
    format!(
        "type: oneshot\nremain_after_exit: true\n\
         command: [sh, -c, 'while ! test -e {{dir}}/{file}; do sleep 0.3; done']\n"
    )
}

#[test]
fn only_so_many_that_work_are_starting_at_once_and_who_is_up_at_once_waits_for_nobody() {
    let (busy, plain) = (until("go"), SLEEPER);
    let mut house = House::vacant(&[("a", &busy), ("b", &busy), ("c", &busy), ("plain", plain)]);
    assert!(house.launch_with(&["--max-starting", "2"]));
    sleeper(&house, "plain");
    let held = house.wait_state("c", StateWord::Blocked, PATIENCE);
    assert_eq!(held.summary.why, "waits for its turn: as many as may be are starting");
    assert_eq!(held.start, 0);
    for unit in ["a", "b"] {
        house.wait_state(unit, StateWord::Starting, PATIENCE);
    }
    let why = house.slc_done(&["why", "c"]);
    assert!(why.contains("c: blocked for") && why.contains("waits for its turn"), "{why}");
    house.write("go", "");
    house.wait_state("c", StateWord::Done, PATIENCE);
    let chain = house.slc_done(&["critical-chain", "c"]);
    assert!(chain.contains("for its turn"), "{chain}");
}

#[test]
fn one_that_only_waits_takes_no_turn_so_that_it_may_wait_for_one_that_is_held() {
    // Each waits for the next, and by no word of its unit.
    let mut house = House::vacant(&[
        ("a", &idle_until("b-was-here")),
        ("b", "type: oneshot\nremain_after_exit: true\ncommand: touch {dir}/b-was-here\n"),
    ]);
    assert!(house.launch_with(&["--max-starting", "1"]));
    house.wait_state("a", StateWord::Done, PATIENCE);
    house.wait_state("b", StateWord::Done, PATIENCE);
}

#[test]
fn without_a_limit_all_start_at_once() {
    let busy = idle_until("go");
    let names: Vec<String> = (0..40).map(|n| format!("unit-{n}")).collect();
    let units: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), busy.as_str())).collect();
    let mut house = House::vacant(&units);
    assert!(house.launch_with(&["--max-starting", "0"]));
    for name in &names {
        house.wait_state(name, StateWord::Starting, PATIENCE);
    }
    house.write("go", "");
}

/// A house with a chain of three: `web` needs `db`, which needs `net`.
fn chain() -> House {
    let slow = "type: oneshot\nremain_after_exit: true\ncommand: sleep 0.2\n";
    let db = format!("{slow}depends_on: [net]\n");
    let web = format!("{SLEEPER}description: Web & more\ndepends_on: [db]\n");
    let house = House::new(&[("net", slow), ("db", &db), ("web", &web), ("alone", SLEEPER)]);
    house.wait_state("web", StateWord::Up, PATIENCE);
    sleeper(&house, "alone");
    house
}

/// Asserts what is told of the boot of `chain`.
fn assert_told(house: &House) {
    let links = json(&house.slc_done(&["critical-chain", "--json"]));
    let links = links["chain"].as_array().expect("a chain");
    let names: Vec<&str> = links.iter().map(|link| link["unit"].as_str().expect("text")).collect();
    assert_eq!(names, ["web", "db", "net"]);
    let (web, db) = (&links[0], &links[1]);
    assert!(
        db["began_ms"].as_u64() >= Some(200) && web["began_ms"].as_u64() >= Some(400),
        "{db} {web}"
    );
    assert!(web["began_ms"].as_u64() >= db["up_ms"].as_u64(), "{web} {db}");
    let blame = json(&house.slc_done(&["blame", "--json"]));
    let took = blame["units"].as_array().expect("units");
    assert_eq!(took.len(), 4);
    assert!(["net", "db"].contains(&took[0]["unit"].as_str().expect("text")), "{blame}");
    assert!(took[1]["took_ms"].as_u64() >= Some(200), "{blame}");
}

#[test]
fn what_is_told_of_a_boot_holds_also_over_a_killed_supervisor() {
    let mut house = chain();
    assert_told(&house);
    let before = house.call("Graph", Value::Null).expect("Graph");
    house.kill_supervisor();
    house.launch();
    assert_told(&house);
    let after = house.call("Graph", Value::Null).expect("Graph");
    let moments = |web: &Value| -> Vec<Value> {
        let units = web["units"].as_array().expect("units").iter();
        let of =
            |unit: &Value| ["name", "due", "began", "up", "origin"].map(|key| unit[key].clone());
        units.flat_map(of).collect()
    };
    assert_eq!(moments(&before), moments(&after));
    let drawn = house.slc_done(&["plot"]);
    assert!(drawn.contains("4 units, all up after"), "{drawn}");
    assert!(drawn.contains("web: Web &amp; more"), "{drawn}");
}

#[test]
fn the_graph_is_a_tree_or_for_graphviz() {
    let house = chain();
    let tree = house.slc_done(&["graph", "web"]);
    assert_eq!(tree, "web  up\n└─ db  done\n   └─ net  done\n");
    let back = house.slc_done(&["graph", "--reverse", "net"]);
    assert_eq!(back, "net  done\n└─ db  done\n   └─ web  up\n");
    let dot = house.slc_done(&["graph", "--dot"]);
    assert!(dot.contains("\"web\" -> \"db\";") && dot.contains("\"alone\" ["), "{dot}");
    let drawn = json(&house.slc_done(&["graph", "--json", "db"]));
    assert_eq!(drawn["ties"][0]["to"], "net");
    assert_eq!(house.slc(&["graph", "wbe"]).code, Some(4));
}

#[test]
fn why_leads_to_the_root_and_says_who_asked() {
    let db =
        "type: notify\ncommand: [sh, -c, 'exit 3']\nrestart: on-failure:2\nrestart_delay: 10ms\n";
    let web = format!("{SLEEPER}depends_on: [db]\n");
    let house = House::new(&[("db", db), ("web", &web), ("bad", "comand: x\n")]);
    house.wait_state("db", StateWord::Failed, PATIENCE);
    house.wait_state("web", StateWord::Blocked, PATIENCE);
    let why = house.slc_done(&["why", "web"]);
    assert!(why.starts_with("web: blocked for "), "{why}");
    assert!(why.contains(": needs db, which failed\n"), "{why}");
    assert!(why.contains("wanted up: its unit is enabled"), "{why}");
    assert!(why.contains("\n  db: failed for "), "{why}");
    assert!(why.contains("exit status 3; given up after 2 restarts"), "{why}");
    let _ = house.slc(&["start", "--timeout", "5", "db"]);
    let ordered = || house.slc_done(&["why", "web"]).contains("last order: start by pid ");
    assert!(eventually(Duration::from_secs(5), ordered), "{}", house.slc_done(&["why", "web"]));
    let reasons = json(&house.slc_done(&["why", "--json", "web"]));
    assert_eq!(reasons["reasons"][1]["unit"], "db");
    // A stop of what only waits says that it did something.
    let said = house.slc_done(&["stop", "web"]);
    assert_eq!(said, "web: was not running, and is not started any more\n");
    assert_eq!(house.slc_done(&["stop", "web"]), "web: was not running\n");
    // Who stopped it is not who came later and found nothing to stop.
    house.write_unit("alone", SLEEPER);
    house.slc_done(&["reload", "--only", "alone"]);
    house.slc_done(&["stop", "alone"]);
    let said = house.status("alone").summary.why;
    assert!(said.starts_with("asked to stop by pid "), "{said}");
    house.slc_done(&["stop", "alone"]);
    // It says the same as its exit status, whatever else is in the way.
    let answer = house.slc(&["reload", "alone"]);
    assert_eq!((answer.code, &*answer.err), (Some(3), "slc: alone: it is not running\n"));
    assert_eq!(house.status("alone").summary.why, said);
    assert!(house.slc_done(&["why", "alone"]).contains("last order: reload by pid "));
    let answer = house.slc(&["why", "bad"]);
    assert_eq!(answer.code, Some(4));
    assert!(answer.err.contains("bad.yml:1:1"), "{answer:?}");
}
