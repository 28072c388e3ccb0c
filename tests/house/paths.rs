//! Files and directories that start units.

use std::fs;
use std::time::Duration;

use treeward::supervision::status::StateWord;

use crate::house::{House, PATIENCE, eventually};

fn armed(house: &House, unit: &str) {
    house.wait_for(unit, "armed", PATIENCE, |it| it.summary.why.contains("waits until "));
}

#[test]
fn a_file_that_appears_starts_a_service_also_where_its_directory_is_missing() {
    let unit = "paths: {exists: '{dir}/a/b/flag'}\n\
                command: [sh, -c, 'while test -e {dir}/a/b/flag; do sleep 0.02; done']\n";
    let mut house = House::new(&[("web", unit)]);
    armed(&house, "web");
    let listed = house.slc_done(&["list", "--paths"]);
    assert!(listed.contains("a/b/flag  exists   starts it  web   down"), "{listed}");
    fs::create_dir_all(house.path("a/b")).expect("mkdir");
    house.write("a/b/flag", "");
    let by = house.wait_state("web", StateWord::Up, PATIENCE).triggered_by.unwrap_or_default();
    assert!(by.ends_with("a/b/flag exists"), "{by}");
    fs::remove_file(house.path("a/b/flag")).expect("remove");
    armed(&house, "web");
    // What came while nobody looked is seen by the next supervisor.
    house.kill_supervisor();
    house.write("a/b/flag", "");
    house.launch();
    house.wait_state("web", StateWord::Up, PATIENCE);
    assert_eq!(house.status("web").start, 2);
    // A stop is the end of it.
    house.slc_done(&["stop", "web"]);
    fs::remove_dir_all(house.path("a")).expect("remove");
    fs::create_dir_all(house.path("a/b")).expect("mkdir");
    house.write("a/b/flag", "");
    let why = house.status("web").summary.why;
    assert!(why.starts_with("asked to stop"), "{why}");
}

#[test]
fn what_a_run_leaves_as_it_was_does_not_start_it_for_ever() {
    let unit = "paths: {exists: '{dir}/flag'}\ntype: oneshot\nrestart_delay: 20ms\n\
                restart_max_attempts: 3\ncommand: [echo, hello]\n";
    let house = House::new(&[("job", unit)]);
    house.write("flag", "");
    let status = house.wait_state("job", StateWord::Failed, PATIENCE);
    assert!(status.summary.why.contains("given up after 3 restarts"), "{}", status.summary.why);
    assert_eq!(status.start, 4);
}

#[test]
fn whatever_is_put_into_a_directory_is_worked_on() {
    let unit = "paths: {directory_not_empty: '{dir}/spool'}\ntype: oneshot\n\
                restart_delay: 20ms\nrestart_max_attempts: 0\n\
                command: [sh, -c, 'for f in {dir}/spool/*; do rm $f && echo did $f; done']\n";
    let house = House::new(&[("job", unit)]);
    armed(&house, "job");
    fs::create_dir(house.path("spool")).expect("mkdir");
    for number in 0..50 {
        house.write(&format!("spool/{number}"), "");
        std::thread::sleep(Duration::from_millis(number % 7));
    }
    let spool = || fs::read_dir(house.path("spool")).expect("spool").count();
    assert!(eventually(PATIENCE, || spool() == 0), "{} are left", spool());
    armed(&house, "job");
}

#[test]
fn a_change_starts_it_once_and_one_during_its_run_once_more() {
    let unit = |condition: &str| {
        format!(
            "paths: {{{condition}: '{{dir}}/{condition}'}}\ntype: oneshot\n\
             command: [sh, -c, 'cat {{dir}}/{condition}; until test -e {{dir}}/go; do sleep 0.02; done']\n"
        )
    };
    let house = House::vacant(&[("changed", &unit("changed")), ("modified", &unit("modified"))]);
    house.write("changed", "old\n");
    house.write("modified", "old\n");
    let mut house = house;
    house.launch();
    for unit in ["changed", "modified"] {
        armed(&house, unit);
        assert_eq!(house.status(unit).start, 0);
        house.write(unit, "new\n");
        house.wait_state(unit, StateWord::Starting, PATIENCE);
        house.write(unit, "newer\n");
        house.write("go", "");
        house.wait_for(unit, "run twice", PATIENCE, |status| {
            status.start == 2 && status.summary.why.contains("waits until ")
        });
        house.wait_for_log(unit, "newer");
        fs::remove_file(house.path("go")).expect("remove");
    }
}

#[test]
fn much_that_happens_nearby_costs_little_and_hides_nothing() {
    let unit = "paths: {exists: '{dir}/busy/flag'}\ncommand: [sleep, '1000']\n";
    let house = House::vacant(&[("web", unit)]);
    fs::create_dir(house.path("busy")).expect("mkdir");
    let mut house = house;
    house.launch();
    armed(&house, "web");
    let before = house.supervisor().cpu_ticks();
    // More than the kernel's queue takes.
    for number in 0..20_000 {
        let path = house.path(&format!("busy/{}", number % 10));
        fs::write(&path, "").expect("write");
        fs::remove_file(&path).expect("remove");
    }
    house.write("busy/flag", "");
    house.wait_state("web", StateWord::Up, PATIENCE);
    let ticks = house.supervisor().cpu_ticks() - before;
    assert!(ticks < 100, "{ticks} hundredths of a second");
}

#[test]
fn the_example_of_a_path_reloads_when_the_file_has_changed() {
    let example = fs::read_to_string("examples/reload-nginx.yml").expect("the example");
    let unit = example
        .replace("/etc/nginx/nginx.conf", "{dir}/nginx.conf")
        .replace("nginx -t && slc reload nginx", "echo reloads");
    let nginx = "enabled: false\ncommand: [sleep, '1000']\n";
    let house = House::vacant(&[("reload-nginx", &unit), ("nginx", nginx)]);
    house.write("nginx.conf", "old");
    let mut house = house;
    house.launch();
    armed(&house, "reload-nginx");
    house.write("nginx.conf", "new");
    house.wait_for_log("reload-nginx", "reloads");
    armed(&house, "reload-nginx");
    assert_eq!(house.status("nginx").summary.state, StateWord::Up);
}
