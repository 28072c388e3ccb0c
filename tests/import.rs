//! `slc import` on what others wrote: each case of `tests/import/cases` with the units and the
//! report that it gives, by hand and line for line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/cases")
}

/// Exit code, standard output and standard error, with the directory of the cases as `CASES`.
fn import(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_slc"))
        .arg("import")
        .args(arguments)
        .current_dir(cases())
        .output()
        .expect("slc");
    let place = cases().display().to_string();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&place, "CASES");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A case is a file, or a directory: a run directory, or a root that holds what its name says.
fn wanted(case: &str) -> Vec<String> {
    let path = cases().join(case);
    if path.join("etc").is_dir() || path.join("lib").is_dir() {
        let root = format!("--root={case}");
        return vec![root, fs::read_to_string(path.join("what")).expect("what").trim().to_owned()];
    }
    vec![case.to_owned()]
}

/// With `BLESS=1` in the environment the expected texts are written instead of compared. Read
/// them before they are committed.
#[test]
fn every_case_gives_the_unit_and_the_report_that_stand_beside_it() {
    let mut names: Vec<String> = fs::read_dir(cases())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".expected"))
        .collect();
    names.sort();
    assert!(names.len() >= 25, "only {} cases", names.len());
    let mut differences = String::new();
    for name in names {
        let arguments = wanted(&name);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (code, out, err) = import(&arguments);
        let answer = format!("exit status {}\n{err}\n{out}", code.unwrap_or(-1));
        let beside = cases().join(format!("{name}.expected"));
        if std::env::var_os("BLESS").is_some() {
            fs::write(&beside, &answer).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if answer != expected {
            differences += &format!("{name}:\n{answer}--- expected:\n{expected}\n");
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn units_go_into_new_files_of_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().to_str().unwrap();
    let (code, out, err) = import(&["plain.service", "--output", output]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    let written = fs::read_to_string(dir.path().join("plain.yml")).unwrap();
    let (_, shown, _) = import(&["plain.service"]);
    assert_eq!(written, shown);
    fs::write(dir.path().join("plain.yml"), "command: mine\n").unwrap();
    let (code, _, err) = import(&["plain.service", "--output", output]);
    assert_eq!(code, Some(1));
    assert!(err.contains("plain.yml: File exists"), "{err}");
    let left = fs::read_to_string(dir.path().join("plain.yml")).unwrap();
    assert_eq!(left, "command: mine\n");
}

#[test]
fn json_has_the_units_and_every_directive_with_its_fate() {
    let (code, out, err) = import(&["plain.service", "--json"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["units"][0]["file"], "plain.yml");
    let directives = answer["directives"].as_array().unwrap();
    let text = fs::read_to_string(cases().join("plain.service")).unwrap();
    assert_eq!(directives.len(), text.lines().filter(|line| line.contains('=')).count());
    for directive in directives {
        let fate = directive["fate"].as_str().unwrap();
        assert!(["kept", "approximated", "dropped"].contains(&fate), "{directive}");
        assert!(directive["line"].as_u64().unwrap() > 0, "{directive}");
    }
}

#[test]
fn what_cannot_be_imported_is_a_failure_with_a_reason() {
    for (name, why) in [
        ("nothing.service", "nothing.service: there is no nothing.service beside it"),
        ("nothing.conf", "expected a systemd unit"),
        ("/dev/null", "expected a systemd unit"),
        ("nothing.yml", "No such file"),
    ] {
        let (code, out, err) = import(&[name]);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{name}");
        assert!(err.contains(why) && err.lines().count() == 1, "{name}: {err}");
    }
}
