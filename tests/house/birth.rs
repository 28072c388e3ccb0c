//! What a service finds when it is born.

use treeward::supervision::status::StateWord;

use crate::daemons::{SLEEPER, sleeper};
use crate::house::{House, PATIENCE};

/// Scenario S6.
#[test]
fn a_service_has_three_descriptors_and_no_signal_is_blocked_or_ignored() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    let process = sleeper(&house, "sleeper");
    let descriptors = process.descriptors();
    let numbers: Vec<u32> = descriptors.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1, 2], "{descriptors:?}");
    assert_eq!(descriptors[0].1, "/dev/null");
    assert_eq!(descriptors[1].1, descriptors[2].1, "output and errors go to the same place");
    for mask in ["SigBlk", "SigIgn", "SigCgt", "SigPnd"] {
        assert_eq!(process.status_line(mask), "0000000000000000", "{mask}");
    }
    assert_eq!(process.status_line("Umask"), "0022");
}

/// Scenarios S6 and U5.
#[test]
fn user_group_umask_environment_and_directory_are_as_the_unit_says() {
    let unit = "\
command: sleep 1000
user: daemon
group: nogroup
umask: \"0027\"
working_dir: /usr
environment:
  COLOUR: blue
  SPACED: two words
";
    let house = House::new(&[("modest", unit)]);
    house.wait_state("modest", StateWord::Up, PATIENCE);
    let process = &house.processes("modest")[0];
    assert_eq!(process.status_line("Uid"), "1\t1\t1\t1");
    assert_eq!(process.status_line("Gid"), "65534\t65534\t65534\t65534");
    assert_eq!(process.status_line("Umask"), "0027");
    let directory = std::fs::read_link(format!("/proc/{}/cwd", process.pid)).expect("cwd");
    assert_eq!(directory.to_str(), Some("/usr"));
    let environment = process.environment();
    for wanted in ["COLOUR=blue", "SPACED=two words"] {
        assert!(environment.iter().any(|word| word == wanted), "{wanted}: {environment:?}");
    }
    let leaked = environment.iter().find(|word| word.starts_with("CARGO"));
    assert_eq!(leaked, None, "the supervisor's own environment is not the service's");
}

/// Scenario U5.
#[test]
fn a_user_that_does_not_exist_fails_the_start_and_never_means_root() {
    let unit = "command: sleep 1000\nuser: nobody-of-that-name\nrestart: \"no\"\n";
    let house = House::new(&[("orphan", unit), ("sleeper", SLEEPER)]);
    sleeper(&house, "sleeper");
    // Whether the unit is refused when it is read or when it is started: it never runs.
    let said = house.slc(&["list"]);
    assert!(said.out.contains("orphan"), "{said:?}");
    if let Ok(reply) = house.call("Status", serde_json::json!({"units": ["orphan"]})) {
        let state = &reply["services"][0]["summary"]["state"];
        assert_eq!(state, "failed", "{reply}");
    }
    assert_eq!(house.processes("orphan"), []);
}

#[test]
fn the_first_process_is_born_in_its_leaf_and_leads_a_session_of_its_own() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    let process = sleeper(&house, "sleeper");
    let leaf = house.status("sleeper").leaf.expect("a living service has a leaf");
    assert!(leaf.starts_with(house.unit_cgroup("sleeper").to_str().expect("UTF-8")), "{leaf}");
    let text = std::fs::read_to_string(format!("{leaf}/cgroup.procs")).expect("cgroup.procs");
    assert_eq!(text.trim(), process.pid.to_string());
    assert_eq!(process.status_line("NSsid"), process.pid.to_string());
}
