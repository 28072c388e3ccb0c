//! Templates: instances that files name, and those that somebody starts.

use std::os::unix::fs::symlink;

use treeward::supervision::status::StateWord;

use crate::house::{House, PATIENCE};

const WORKER: &str = "description: Worker %i\n\
    command: [sh, -c, 'echo \"$0 and $1\"; exec sleep 1000', '%{size} %I', '%n']\n\
    parameters: {size: small}\n\
    instances: {a: {size: large}}\n";

#[test]
fn instances_of_a_template_run_beside_each_other() {
    let mut house = House::vacant(&[
        ("worker@", WORKER),
        ("user", "command: sleep 1000\ndepends_on: [worker@needed]\n"),
    ]);
    symlink("worker@.yml", house.path("units/worker@link.yml")).unwrap();
    house.launch();
    for (name, text) in [
        ("worker@a", "large a and worker@a"),
        ("worker@link", "small link and worker@link"),
        ("worker@needed", "small needed and worker@needed"),
    ] {
        house.wait_state(name, StateWord::Up, PATIENCE);
        house.wait_for_log(name, text);
    }
    house.wait_state("user", StateWord::Up, PATIENCE);
    let list = house.slc_done(&["list"]);
    assert!(!list.contains("worker@ ") && list.contains("Worker needed"), "{list}");
    let templates = house.slc_done(&["list", "--templates"]);
    let line = templates.lines().find(|line| line.starts_with("worker@ "));
    assert!(line.is_some_and(|line| line.contains("size=small")), "{templates}");
    assert!(line.is_some_and(|line| line.contains("a link needed")), "{templates}");
}

#[test]
fn an_instance_that_is_started_stays_until_it_is_down_and_the_files_are_read() {
    let mut house = House::new(&[("worker@", WORKER)]);
    assert_eq!(house.slc(&["status", "worker@b-c"]).code, Some(4));
    house.slc_done(&["start", "worker@b-c"]);
    house.wait_for_log("worker@b-c", "small b/c and worker@b-c");
    let process = house.processes("worker@b-c");
    // It is in no file: that it lives is all that the next supervisor, and a reload, know of it.
    house.kill_supervisor();
    house.launch();
    house.wait_state("worker@b-c", StateWord::Up, PATIENCE);
    house.slc_done(&["reload"]);
    house.wait_state("worker@b-c", StateWord::Up, PATIENCE);
    assert_eq!(house.processes("worker@b-c"), process);
    let templates = house.slc_done(&["list", "--templates", "--json"]);
    assert!(templates.contains("\"worker@b-c\""), "{templates}");
    house.slc_done(&["stop", "worker@b-c"]);
    house.wait_state("worker@b-c", StateWord::Down, PATIENCE);
    house.slc_done(&["reload"]);
    assert_eq!(house.slc(&["status", "worker@b-c"]).code, Some(4));
    // And what is down is not there any more for the next supervisor.
    house.slc_done(&["start", "worker@d"]);
    house.slc_done(&["stop", "worker@d"]);
    house.kill_supervisor();
    house.launch();
    assert_eq!(house.slc(&["status", "worker@d"]).code, Some(4));
    assert!(!house.unit_cgroup("worker@d").exists());
}

#[test]
fn what_an_instance_needs_is_made_with_it() {
    let house = House::new(&[
        ("net@", "command: sleep 1000\nenabled: false\n"),
        ("dhcp@", "command: sleep 1000\ndepends_on: ['net@%i']\n"),
        ("ring@", "command: sleep 1000\nafter: ['ring@%i']\n"),
        ("broken@", "command: sleep 1000\nnice: '%i'\n"),
    ]);
    house.slc_done(&["start", "dhcp@eth0"]);
    house.wait_state("net@eth0", StateWord::Up, PATIENCE);
    let refused = house.slc(&["start", "ring@a"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("wait for each other in a circle"), "{refused:?}");
    let refused = house.slc(&["start", "broken@high"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let why = "broken@.yml:2:7: nice: \"high\" is no whole number";
    assert!(refused.err.contains(why), "{refused:?}");
    house.slc_done(&["start", "broken@5"]);
    let template = house.slc(&["start", "broken@"]);
    assert_eq!(template.code, Some(4), "{template:?}");
    assert!(template.err.contains("it may be a template"), "{template:?}");
    for name in ["nowhere@a", "dhcp@a/b", "dhcp@$(id)", "dhcp@a b", &"dhcp@x".repeat(60)] {
        assert_eq!(house.slc(&["start", name]).code, Some(4), "{name}");
    }
}
