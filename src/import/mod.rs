//! What others wrote for other supervisors, as units of Treeward.
//!
//! Pure: text goes in; the text of a unit and a report come out, with a fate for each directive.
//! `slc import` reads the files. A service of systemd is taken apart by `ini`, `words`,
//! `specifier` and `exec`; each directive is read by the function that a table names for it
//! (`unit`, `service`, `process`, `directories`, `sandbox`, `devices`, `conditions`, `activation`), and
//! `assemble` puts together what several of them say. The last word has the unit parser: what it
//! refuses is dropped, so that every result is a unit that can be used.

mod activation;
mod assemble;
mod compose;
mod compose_value;
mod conditions;
mod devices;
mod directories;
mod draft;
mod exec;
mod hooks;
mod ini;
mod layers;
mod neighbour;
mod privileges;
mod process;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod refused;
mod relations;
mod report;
mod run_directory;
mod sandbox;
mod script;
mod service;
mod settle;
mod specifier;
mod systemd;
mod tmpfiles;
mod unit;
mod words;
mod yaml;

pub use compose::import as compose;
pub use report::{Entry, Fate};
pub use run_directory::{RunDirectory, import as run_directory};
pub use systemd::{OtherService, Systemd, import as systemd};

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is, as it is shown.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// A unit that was made, or a drop-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The file that it belongs in, such as `nginx.yml`; a drop-in of another unit has a directory
    /// before it.
    pub file: String,
    /// Its text, which the unit parser accepts.
    pub text: String,
}

/// What became of what was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The units, at least one.
    pub units: Vec<Made>,
    /// A line for each directive, in the order of the files.
    pub entries: Vec<Entry>,
}
