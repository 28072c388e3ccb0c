//! What is wrong with units beyond their text: what they say about each other (`relations`), and
//! what this machine lacks of what they need (`machine`).
//!
//! `slc check` asks before there is a supervisor; the supervisor asks when it has read its units
//! and says the same in its log. Neither refuses a unit for it: a program may be installed later.

mod machine;
mod paths;
mod relations;

use std::borrow::Borrow;
use std::collections::BTreeSet;

use crate::supervision::unit::Unit;
use crate::unit_file::{At, Diagnostic, Places, Severity};
pub use paths::{Checked, directories, named};

/// Something about a value of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    severity: Severity,
    at: At,
    message: String,
}

impl Finding {
    fn error(at: At, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, at, message: message.into() }
    }

    fn warning(at: At, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, at, message: message.into() }
    }
}

/// What there is to say about those of these units that are meant; `units` are all that there are.
/// `unread` are the names of those whose files could not be used: they have been complained of.
///
/// Gives a unit's place in `units` and at least one diagnostic, in the order of `units`. Reads the
/// machine, and the files of units that there is something to say about.
pub fn examine<U: Borrow<Unit>>(
    units: &[U],
    unread: &BTreeSet<String>,
    is_meant: &dyn Fn(&Unit) -> bool,
) -> Vec<(usize, Vec<Diagnostic>)> {
    let relations = relations::Relations::of(units, unread, is_meant);
    let mut machine = machine::Machine::default();
    let mut said = Vec::new();
    for (index, unit) in units.iter().map(Borrow::borrow).enumerate() {
        if !is_meant(unit) {
            continue;
        }
        let mut found = relations.findings(unit);
        found.extend(machine.findings(unit));
        if found.is_empty() {
            continue;
        }
        let places = Places::of(unit);
        let tell = |found: &Finding| places.diagnostic(found.severity, &found.at, &found.message);
        let mut diagnostics: Vec<Diagnostic> = found.iter().map(tell).collect();
        diagnostics.sort_by_key(|found| (found.line, found.column));
        said.push((index, diagnostics));
    }
    said
}
