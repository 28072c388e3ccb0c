//! YAML text to [`Unit`], with diagnostics a person can act on.
//!
//! Two stages. `node` turns text into a tree of nodes, each with its place in the file and its
//! scalars exactly as they were written; it is the only part that knows the YAML library. `keys`
//! is the one table of known keys; it reads the nodes into a `draft`, and only a draft that
//! raised no diagnostic becomes a [`Unit`].
//!
//! Between the two a unit of several files is put together (`parts`): drop-ins are merged into it
//! (`merge`), and an instance is made of its template (`template`, `specifier`). `survey` finds out
//! which files of the unit directories count, `instances` which instances there are to be, and
//! `directory` reads them all.

mod activation;
mod common;
mod condition;
mod depends;
mod diagnostic;
mod directory;
mod draft;
mod duration;
mod environment;
mod files;
mod hooks;
mod identity;
mod instances;
mod keys;
mod merge;
mod node;
mod parts;
mod paths;
mod pattern;
mod places;
mod plain;
mod probe;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod ready;
mod scalar;
mod schema;
mod service;
mod show;
mod signal;
mod size;
mod sockets;
mod specifier;
mod survey;
mod template;
mod timer;
pub(crate) mod tree;
mod ulimits;
mod words;

use std::path::Path;

use crate::supervision::name::UnitName;
use crate::supervision::unit::Unit;
pub(crate) use diagnostic::quoted;
pub use diagnostic::{Diagnostic, Severity};
use diagnostic::{Place, Report, Source};
pub use directory::{
    BadUnit, Directories, Loaded, Lookup, OPERATORS, TemplateFile, Unreadable, inspect_directory,
    read_directory,
};
pub(crate) use keys::nearest_of;
pub use keys::{About, about};
pub use parts::Parts;
pub use pattern::Pattern;
pub use places::{At, Places};
pub use schema::{SchemaOf, schema};

/// The largest unit file in bytes. Larger ones are refused before they are parsed, so that no
/// file can keep the supervisor busy.
pub const MAX_FILE_BYTES: usize = 256 * 1024;

/// The key of units that a text comes near, if there is one.
#[must_use]
pub fn nearest_key(text: &str) -> Option<&'static str> {
    keys::nearest(text)
}

/// Reads one unit from its text. The unit's name is the file's name without its ending; the file
/// itself is not touched.
///
/// # Errors
/// At least one diagnostic; all that could be found where the YAML itself is sound.
pub fn parse(file: &Path, text: &str) -> Result<Unit, Vec<Diagnostic>> {
    let name = match unit_name(file) {
        Ok(name) => name,
        Err(why) => return Err(vec![Diagnostic::of_file(file, why)]),
    };
    let sources = [Source { file, text }];
    let mut report = Report::new(&sources);
    if let Err((place, why)) = check_text(text) {
        report.at_or_file(place, why);
        return Err(report.finish());
    }
    let unit = match node::read(text) {
        Ok(root) => keys::read(&root, &mut report).finish(name, file, &mut report),
        Err((place, why)) => {
            report.at_or_file(place, why);
            None
        }
    };
    match unit {
        Some(unit) if report.is_empty() => Ok(unit),
        _ => Err(report.finish()),
    }
}

/// Reads one unit from what its file holds.
pub(crate) fn parse_bytes(file: &Path, bytes: &[u8]) -> Result<Unit, Vec<Diagnostic>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(file, text),
        Err(error) => {
            let text = String::from_utf8_lossy(bytes);
            let sources = [Source { file, text: &text }];
            let mut report = Report::new(&sources);
            report.at(Place::of_offset(&text, error.valid_up_to()), parts::NO_UTF8);
            Err(report.finish())
        }
    }
}

/// Whether a text can be a unit file's, and if not, where and why.
fn check_text(text: &str) -> Result<(), (Option<Place>, String)> {
    if text.len() > MAX_FILE_BYTES {
        return Err((None, too_large(text.len() as u64)));
    }
    match find_unprintable(text) {
        Some((offset, what)) => Err((Some(Place::of_offset(text, offset)), what.to_owned())),
        None => Ok(()),
    }
}

/// Reads a template as an instance of it would read it.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_template(file: &Path, text: &str) -> Result<Unit, Vec<Diagnostic>> {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let text = parts::Text::new(file.to_owned(), text.as_bytes().to_vec())?;
    let name = format!("{stem}{}", template::PROBE);
    let files = vec![std::rc::Rc::new(text)];
    Parts { name, role: parts::Role::Instance, files, own: 1 }.unit()
}

/// Whether a unit file may have this key.
pub(crate) fn is_key(name: &str) -> bool {
    about().any(|key| key.name == name)
}

/// A signal's number, from all that a unit file may call it.
///
/// # Errors
/// What is wrong and what was expected, in one line.
pub(crate) fn signal(text: &str) -> Result<i32, String> {
    signal::parse(text).map_err(|wrong| wrong.message(signal::FORM))
}

/// The unit's name out of the file's, or why it gives none.
fn unit_name(file: &Path) -> Result<UnitName, String> {
    let shown = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(stem) = file.file_stem().and_then(|stem| stem.to_str()) else {
        return Err(format!("the file name {} gives no unit name", quoted(&shown)));
    };
    if stem.ends_with('@') {
        return Err(format!(
            "this is a template and no unit by itself; expected an instance of it such as {stem}1"
        ));
    }
    checked_name(stem)
}

fn checked_name(name: &str) -> Result<UnitName, String> {
    UnitName::new(name).map_err(|why| {
        let name = quoted(name);
        format!("the name {name} is refused: {why}; the file's name is the unit's: rename it")
    })
}

/// The first byte that a plain text does not have, and what it is. A lone carriage return ends a
/// line for YAML and for nobody else: on a terminal it hides what stands before it.
fn find_unprintable(text: &str) -> Option<(usize, &'static str)> {
    let bytes = text.as_bytes();
    let is_lone = |at: &usize| bytes[*at] == b'\r' && bytes.get(at + 1) != Some(&b'\n');
    if let Some(at) = text.find('\0') {
        return Some((at, "a NUL byte; a unit file is plain text"));
    }
    let at = text.match_indices('\r').map(|(at, _)| at).find(is_lone)?;
    Some((at, "a carriage return without a newline; lines end with a newline"))
}

fn too_large(bytes: u64) -> String {
    format!("{bytes} bytes are too many for a unit; at most {MAX_FILE_BYTES} are read")
}
