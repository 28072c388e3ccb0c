//! Unit files from the outside: what a person gets to read for a bad one, that the examples are
//! good ones, and that no file of any content or kind stops the others or takes long.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use treeward::supervision::unit::{
    Condition, EnvFile, KillMode, Kind, Limits, Reload, RestartPolicy, Stdin, Ulimit, Unit,
};
use treeward::unit_file::{Diagnostic, Loaded, MAX_FILE_BYTES, parse, read_directory};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn parse_text(text: &str) -> Result<Unit, Vec<Diagnostic>> {
    parse(Path::new("/etc/yml-services/app.yml"), text)
}

fn good(text: &str) -> Unit {
    parse_text(text).unwrap_or_else(|bad| panic!("{text}\n{}", shown(&bad)))
}

/// The first diagnostic's message.
fn refusal(text: &str) -> String {
    match parse_text(text) {
        Ok(unit) => panic!("{text:?} was accepted: {unit:?}"),
        Err(bad) => bad[0].message.clone(),
    }
}

fn shown(diagnostics: &[Diagnostic]) -> String {
    diagnostics
        .iter()
        .map(|diagnostic| format!("{diagnostic}\n"))
        .collect()
}

/// Files of a directory with an ending, sorted.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension() == Some(ending.as_ref()))
        .collect();
    files.sort();
    files
}

/// With `BLESS=1` in the environment the expected texts are written instead of compared. Read
/// them before they are committed.
#[test]
fn every_bad_unit_gets_the_text_that_stands_beside_it() {
    let directory = root().join("tests/bad-units");
    let bad = files(&directory, "yml");
    assert!(bad.len() >= 45, "only {} bad units were found", bad.len());
    let mut differences = String::new();
    for path in bad {
        let text = fs::read_to_string(&path).unwrap();
        let Err(diagnostics) = parse(&path, &text) else {
            differences += &format!("{}: accepted\n", path.display());
            continue;
        };
        let answer = shown(&diagnostics).replace(&format!("{}/", directory.display()), "");
        let beside = path.with_extension("expected");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&beside, &answer).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if answer != expected {
            differences += &format!("{}:\n{answer}--- expected:\n{expected}\n", path.display());
        }
    }
    assert!(differences.is_empty(), "{differences}");
}
