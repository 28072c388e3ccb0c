//! `slc enable`, `disable` and `edit`, which change files, under a supervisor that runs.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use treeward::supervision::status::StateWord;

use crate::daemons::{SLEEPER, sleeper};
use crate::house::{House, PATIENCE};

/// Edits a unit with a script as the editor, whose `$1` is the file, and `input` as what is answered.
/// Gives the exit status and all that was said.
fn edit(house: &House, unit: &str, script: &str, input: &str) -> (Option<i32>, String) {
    let editor = house.path("editor");
    fs::write(&editor, format!("#!/bin/sh\n{script}\n")).expect("editor");
    fs::set_permissions(&editor, Permissions::from_mode(0o755)).expect("editor");
    let mut slc = Command::new(env!("CARGO_BIN_EXE_slc"))
        .arg("--socket")
        .arg(house.path("run/control.sock"))
        .args(["edit", unit])
        .env("EDITOR", &editor)
        .env_remove("VISUAL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("slc");
    let mut stdin = slc.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("input");
    drop(stdin);
    let output = slc.wait_with_output().expect("slc");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn disable_now_stops_and_enable_now_starts() {
    let house = House::new(&[("one", SLEEPER), ("two", SLEEPER)]);
    sleeper(&house, "one");
    let two = sleeper(&house, "two");

    // Without --now the one that runs is left alone.
    let said = house.slc_done(&["disable", "one"]);
    assert!(said.contains("one: disabled"), "{said}");
    assert_eq!(house.status("one").summary.state, StateWord::Up);
    house.slc_done(&["enable", "one"]);

    house.slc_done(&["disable", "--now", "one"]);
    assert!(house.processes("one").is_empty());
    assert_eq!(house.slc(&["status", "one"]).code, Some(4), "its unit is gone");
    assert!(house.path("units/one.yml.disabled").exists());
    assert_eq!(house.processes("two"), std::slice::from_ref(&two));

    house.slc_done(&["enable", "--now", "one"]);
    house.wait_state("one", StateWord::Up, PATIENCE);
    assert!(house.path("units/one.yml").exists());
    assert_eq!(house.processes("two"), [two]);
}

#[test]
fn edit_shows_what_a_reload_would_do_and_asks() {
    let house = House::new(&[("app", SLEEPER), ("other", SLEEPER)]);
    sleeper(&house, "app");
    let drop_in = house.path("units/app.yml.d/override.yml");

    let write = |text: &str| format!("echo '{text}' > \"$1\"");
    let (code, said) = edit(&house, "app", &write("description: edited"), "n\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("description"), "the plan: {said}");
    assert!(said.contains("Do this now? [y/N] "), "{said}");
    assert!(said.contains("takes it in with slc reload"), "{said}");
    assert!(drop_in.exists());
    assert_eq!(house.status("app").summary.description, "");

    // Another unit that has changed too is not what was edited.
    house.write_unit("other", &format!("description: changed\n{SLEEPER}"));
    let (code, said) = edit(&house, "app", &write("description: twice"), "y\n");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(house.status("app").summary.description, "twice");
    assert_eq!(house.status("app").drop_ins, [drop_in.display().to_string()]);
    assert_eq!(house.status("other").summary.description, "");

    // With nothing in it the drop-in goes, and what it said with it.
    let (code, said) = edit(&house, "app", ": > \"$1\"", "y\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(!drop_in.exists());
    assert_eq!(house.status("app").summary.description, "");
    assert_eq!(house.status("app").start, 1, "nothing of this needs a restart");
}
