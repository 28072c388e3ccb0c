//! What a machine lacks of what a unit needs: said, and nothing is refused for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use treeward::supervision::status::StateWord;

use crate::house::{House, PATIENCE, eventually};

#[test]
fn a_missing_program_is_told_of_and_the_unit_starts_once_it_is_there() {
    let house = House::new(&[
        ("early", "command: '{dir}/late-program'\nrestart: 'no'\n"),
        ("well", "command: [sleep, '1000']\n"),
    ]);
    let listed = || house.slc_done(&["list"]);
    assert!(
        eventually(PATIENCE, || listed().contains("something was wrong about")),
        "{}",
        listed()
    );
    let said =
        format!("early.yml:1:10: command: {} does not exist", house.path("late-program").display());
    let list = listed();
    assert!(list.contains(&said) && !list.contains("  well: "), "{list}");
    assert!(!list.contains("could not be used"), "{list}");
    // slc check, the log and the status say the same.
    let status = house.status("early");
    let [finding] = status.findings.as_slice() else { panic!("{:?}", status.findings) };
    assert!(finding.contains(&said) && finding.lines().count() == 3, "{finding}");
    assert!(house.slc(&["check", house.path("units").to_str().unwrap()]).out.contains(finding));
    house.wait_for_log("treeward", "early is loaded, and something about it is wrong");
    assert!(house.status("well").findings.is_empty());

    let program = house.path("late-program");
    fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").expect("write");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
    house.slc_done(&["start", "early"]);
    house.wait_state("early", StateWord::Up, PATIENCE);
    house.slc_done(&["reload"]);
    assert!(eventually(PATIENCE, || !listed().contains("something was wrong")), "{}", listed());
}
