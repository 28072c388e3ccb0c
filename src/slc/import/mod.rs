//! `slc import`: what was written for another supervisor as units of Treeward. It needs no
//! supervisor: it reads files, and writes to standard output or into a directory.

mod files;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::end::{End, Failed, note, put};
use super::to_json;
use crate::import::{self, Entry, Fate, Imported};

/// What to import.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// A systemd unit (.service, .socket, .timer, .path), a Compose file, or a run directory
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write the units to files of this directory, where none of their names may be taken
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Where the system is whose drop-ins and users count [default: the one that FILE is in]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// One JSON object: {"units": [...], "directives": [...]}
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    units: Vec<Unit<'a>>,
    directives: &'a [Entry],
}

#[derive(Serialize)]
struct Unit<'a> {
    file: &'a str,
    text: &'a str,
}

/// Imports, and says what became of each directive.
pub(super) fn run(wanted: &Wanted) -> Result<End, Failed> {
    let imported =
        read(wanted).map_err(|why| Failed::Import { why: with_path(&wanted.file, &why) })?;
    if let Some(dir) = &wanted.output {
        write(dir, &imported)?;
    }
    if wanted.json {
        let units = imported.units.iter();
        let units = units.map(|unit| Unit { file: &unit.file, text: &unit.text }).collect();
        return put(&to_json(&Shown { units, directives: &imported.entries }));
    }
    note(&report(&imported));
    if wanted.output.is_some() {
        return Ok(End::Done);
    }
    let several = imported.units.len() > 1;
    let mut out = String::new();
    for unit in &imported.units {
        if several {
            out.push_str(&format!("# ---- {}\n", unit.file));
        }
        out.push_str(&unit.text);
    }
    put(&out)
}

fn read(wanted: &Wanted) -> Result<Imported, String> {
    let path = wanted.file.as_path();
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if path.is_dir() {
        return import::run_directory(&files::run_directory(path)?);
    }
    if ["yml", "yaml"].contains(&ending) {
        let (file, dir) = files::with_place(path)?;
        return import::compose(&file, &dir);
    }
    if files::KINDS.contains(&ending) {
        return import::systemd(&files::systemd(path, wanted.root.as_deref())?);
    }
    Err("expected a systemd unit (.service, .socket, .timer or .path), a Compose file (.yml), or a \
         directory with a run program"
        .to_owned())
}

/// The reason, with the file's name where it does not say it by itself.
fn with_path(path: &Path, why: &str) -> String {
    let path = path.display().to_string();
    if why.starts_with(&path) { why.to_owned() } else { format!("{path}: {why}") }
}

/// Writes each unit to a new file; one that is there already stays as it is.
fn write(dir: &Path, imported: &Imported) -> Result<(), Failed> {
    for unit in &imported.units {
        let path = dir.join(&unit.file);
        let failed = |source| Failed::NotWritten { path: path.clone(), source };
        if let Some(parent) = path.parent().filter(|parent| *parent != dir) {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
        file.write_all(unit.text.as_bytes()).map_err(failed)?;
    }
    Ok(())
}

/// A line for each directive, and one with the sums.
fn report(imported: &Imported) -> String {
    let mut out = String::new();
    for entry in &imported.entries {
        out.push_str(&format!("{entry}\n"));
    }
    let count = |fate| imported.entries.iter().filter(|entry| entry.fate == fate).count();
    let names: Vec<&str> = imported.units.iter().map(|unit| unit.file.as_str()).collect();
    out.push_str(&format!(
        "{}: {} directives: {} kept, {} approximated, {} dropped\n",
        names.join(", "),
        imported.entries.len(),
        count(Fate::Kept),
        count(Fate::Approximated),
        count(Fate::Dropped)
    ));
    out
}
