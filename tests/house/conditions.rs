//! Conditions and conflicts: starts that are skipped, that fail, and that end another unit first.

use treeward::supervision::status::StateWord;

use crate::daemons::{SLEEPER, assert_stopped, sleeper};
use crate::house::{House, PATIENCE};

#[test]
fn a_start_is_skipped_while_its_condition_does_not_hold() {
    let unit = format!("{SLEEPER}condition: [{{path_exists: {{dir}}/wanted}}]\n");
    let behind = format!("{SLEEPER}depends_on: [web]\n");
    let mut house = House::new(&[("web", &unit), ("behind", &behind)]);
    sleeper(&house, "behind");
    let status = house.wait_state("web", StateWord::Down, PATIENCE);
    let because = format!("skipped because {} does not exist", house.path("wanted").display());
    assert_eq!((status.summary.why.as_str(), status.start), (because.as_str(), 0));
    assert!(house.slc_done(&["list"]).contains(&because));
    assert!(house.slc_done(&["start", "web"]).contains(&because));
    // What was decided holds for the next supervisor, until somebody asks.
    house.write("wanted", "");
    house.kill_supervisor();
    house.launch();
    assert_eq!(house.status("web").summary.why, because);
    house.slc_done(&["start", "web"]);
    let process = sleeper(&house, "web");
    std::fs::remove_file(house.path("wanted")).expect("remove");
    // A restart after its own end asks nothing.
    process.signal(nix::sys::signal::Signal::SIGKILL);
    house.wait_for("web", "started again", PATIENCE, |status| {
        status.start == 2 && status.summary.state == StateWord::Up
    });
    // One that a person asks for does.
    assert!(house.slc_done(&["restart", "web"]).contains(&because));
    assert_stopped(&house, "web", &[process]);
}

#[test]
fn a_required_condition_that_does_not_hold_is_a_failure() {
    let unit = format!("{SLEEPER}condition: [{{path_exists: '!/proc', required: true}}]\n");
    let house = House::new(&[("web", &unit)]);
    let status = house.wait_state("web", StateWord::Failed, PATIENCE);
    assert_eq!(status.summary.why, "a required condition is not met: /proc exists");
    assert_eq!(house.slc(&["start", "web"]).code, Some(1));
}

#[test]
fn the_start_of_one_ends_the_other_and_at_boot_the_first_by_name_wins() {
    let b = format!("{SLEEPER}conflicts: [a]\n");
    let mut house = House::new(&[("a", SLEEPER), ("b", &b)]);
    let first = sleeper(&house, "a");
    let status = house.status("b");
    assert_eq!(status.summary.state, StateWord::Down);
    assert_eq!(status.summary.why, "conflicts with a, which was started");
    house.slc_done(&["start", "b"]);
    assert!(!first.lives());
    let second = sleeper(&house, "b");
    assert_stopped(&house, "a", &[first]);
    // Neither the death of one nor a new supervisor changes who runs.
    second.signal(nix::sys::signal::Signal::SIGKILL);
    house.wait_for("b", "started again", PATIENCE, |status| {
        status.start == 2 && status.summary.state == StateWord::Up
    });
    house.kill_supervisor();
    house.launch();
    sleeper(&house, "b");
    assert_eq!(house.status("a").processes, 0);
    house.slc_done(&["start", "a"]);
    assert_eq!(house.status("b").summary.why, "conflicts with a, which was started");
}

#[test]
fn a_unit_that_conflicts_with_what_it_depends_on_is_told_so() {
    let web = format!("{SLEEPER}depends_on: [db]\nconflicts: [db]\n");
    let house = House::new(&[("db", SLEEPER), ("web", &web)]);
    sleeper(&house, "db");
    let list = house.slc(&["list"]);
    let text = "web conflicts with db, which it depends on";
    assert!(list.out.contains(text) || list.err.contains(text), "{list:?}");
}

#[test]
fn a_machine_is_asked_for_paths_by_pattern_processors_and_capabilities() {
    let here = format!(
        "{SLEEPER}condition: [{{path_exists_glob: '{{dir}}/u*[s]'}}, {{cpus: '>0'}}, \
         {{capability: CAP_KILL}}, {{any: [{{ac_power: true}}, {{ac_power: false}}]}}]\n"
    );
    let gone = format!("{SLEEPER}condition: [{{path_exists_glob: '{{dir}}/none*'}}]\n");
    let few = format!("{SLEEPER}condition: [{{cpus: 100000}}]\n");
    let house = House::new(&[("here", &here), ("gone", &gone), ("few", &few)]);
    sleeper(&house, "here");
    let status = house.wait_state("gone", StateWord::Down, PATIENCE);
    let pattern = house.path("none*");
    let because = format!("skipped because no path matches {}", pattern.display());
    assert_eq!(status.summary.why, because);
    let status = house.wait_state("few", StateWord::Down, PATIENCE);
    let because = "skipped because the number of processors is not >= 100000";
    assert_eq!(status.summary.why, because);
}
