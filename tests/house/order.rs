//! The order of starts and stops, and units that are wrong.

use treeward::supervision::status::StateWord;

use crate::daemons::SLEEPER;
use crate::house::{House, PATIENCE, SECOND};

/// A unit that writes its name when it starts, is ready a moment later, and writes its name again
/// when it is stopped.
fn diary(name: &str, more: &str) -> String {
    format!(
        "type: forking\n\
         command:\n\
         - sh\n\
         - -c\n\
         - echo +{name} >> {{dir}}/diary; sleep 0.2; echo ={name} >> {{dir}}/diary;\n  \
           (trap 'sleep 0.1; echo -{name} >> {{dir}}/diary; exit 0' TERM;\n  \
            while :; do sleep 0.02; done) &\n{more}"
    )
}

#[test]
fn units_start_after_what_they_need_and_stop_before_it() {
    let base = diary("base", "");
    let middle = diary("middle", "depends_on: [base]\n");
    let top = diary("top", "depends_on: [middle]\n");
    let mut house = House::new(&[("top", &top), ("middle", &middle), ("base", &base)]);
    house.wait_state("top", StateWord::Up, PATIENCE);
    assert_eq!(house.end_supervisor(), Some(0));
    let diary = house.read("diary");
    let words: Vec<&str> = diary.split_whitespace().collect();
    assert_eq!(
        words,
        ["+base", "=base", "+middle", "=middle", "+top", "=top", "-top", "-middle", "-base"]
    );
}

#[test]
fn a_unit_waits_for_the_one_it_needs_and_says_so() {
    let house = House::new(&[
        ("needed", "type: notify\ncommand: sleep 1000\n"),
        ("needing", "command: sleep 1000\ndepends_on: [needed]\n"),
    ]);
    house.wait_state("needed", StateWord::Starting, SECOND);
    let status = house.wait_state("needing", StateWord::Blocked, SECOND);
    assert_eq!(status.waiting_for, ["needed"]);
    assert_eq!(house.processes("needing"), []);
    assert_eq!(status.start, 0, "it was never started");
}

/// Scenario U4.
#[test]
fn a_bad_unit_is_reported_with_its_place_and_holds_nobody_up() {
    let house = House::new(&[
        ("good", SLEEPER),
        ("broken", "command: sleep 1000\nrestart: [always\n"),
        ("misspelt", "comand: sleep 1000\n"),
    ]);
    house.wait_state("good", StateWord::Up, SECOND);
    let list = house.slc(&["list"]);
    let text = format!("{}{}", list.out, list.err);
    for wanted in ["broken.yml", "misspelt.yml", "comand"] {
        assert!(text.contains(wanted), "{wanted} is not in:\n{text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&house.slc(&["list", "--json"]).out).expect("JSON");
    let names = |key: &str| -> Vec<String> {
        let entries = json[key].as_array().expect("an array").iter();
        entries.map(|entry| entry["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names("services"), ["good"]);
    let mut problems = names("problems");
    problems.sort();
    assert_eq!(problems, ["broken", "misspelt"]);
}

/// Scenario U8.
#[test]
fn a_circle_of_needs_is_reported_and_stops_its_members_only() {
    let house = House::new(&[
        ("chicken", "command: sleep 1000\ndepends_on: [egg]\n"),
        ("egg", "command: sleep 1000\ndepends_on: [chicken]\n"),
        ("free", SLEEPER),
    ]);
    house.wait_state("free", StateWord::Up, SECOND);
    assert_eq!((house.processes("chicken"), house.processes("egg")), (vec![], vec![]));
    let text = house.slc(&["list"]).out;
    assert!(text.contains("chicken -> egg") || text.contains("egg -> chicken"), "{text}");
}
