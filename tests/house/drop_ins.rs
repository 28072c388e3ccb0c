//! Several unit directories, drop-ins and masks, as a running supervisor takes them.

use std::fs;
use std::os::unix::fs::symlink;

use treeward::supervision::status::StateWord;

use crate::house::{House, PATIENCE};

#[test]
fn later_directories_change_and_mask_what_earlier_ones_say() {
    let mut house = House::vacant(&[
        (
            "app",
            "command: [sh, -c, 'echo \"A=$A B=$B\"; exec sleep 1000']\nenvironment: {A: 1, B: 1}\n",
        ),
        ("gone", "command: sleep 1000\n"),
    ]);
    fs::create_dir_all(house.path("more/app.yml.d")).unwrap();
    house.write("more/app.yml.d/b.yml", "environment: {B: 2}\n");
    house.write("more/gone.yml", "");
    fs::remove_file(house.path("more/gone.yml")).unwrap();
    symlink("/dev/null", house.path("more/gone.yml")).unwrap();
    let more = house.path("more").to_str().unwrap().to_owned();
    assert!(house.launch_with(&["--units", &more]));
    house.wait_for_log("app", "A=1 B=2");
    let list = house.slc_done(&["list"]);
    assert!(list.contains(&format!("gone: masked by {more}/gone.yml")), "{list}");
    let gone = house.slc(&["start", "gone"]);
    assert_eq!(gone.code, Some(4));
    assert!(gone.err.contains("it is masked by"), "{gone:?}");
    let status = house.slc_done(&["status", "app"]);
    assert!(status.contains(&format!("\n  Drop-in    {more}/app.yml.d/b.yml\n")), "{status}");
    let version = house.slc_done(&["version"]);
    let both = format!("{}:{more}", house.path("units").display());
    assert!(version.contains(&both), "{version}");

    // Without --units slc reads where the supervisor does.
    let cat = house.slc_done(&["cat", "app"]);
    assert!(cat.contains(&format!("B: 2  # {more}/app.yml.d/b.yml:1\n")), "{cat}");

    // A slip in a drop-in is no order to give the service up.
    house.write("more/app.yml.d/c.yml", "enviroment: {B: 3}\n");
    let answer = house.slc(&["reload"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.err.contains("app.yml.d/c.yml:1:1: enviroment: unknown key"), "{answer:?}");
    house.wait_state("app", StateWord::Up, PATIENCE);

    fs::remove_file(house.path("more/app.yml.d/c.yml")).unwrap();
    fs::remove_file(house.path("more/gone.yml")).unwrap();
    house.slc_done(&["reload"]);
    house.wait_state("gone", StateWord::Up, PATIENCE);
}
