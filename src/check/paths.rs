//! Checking what somebody names: directories of units, and single files.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::examine;
use crate::supervision::unit::Unit;
use crate::unit_file::{Diagnostic, Directories, Loaded, inspect_directory};
use crate::words::words_of;

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// How many unit files were looked at.
    pub files: usize,
    /// What there is to say, by file, line and column.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks the units of the directories that a supervisor reads, as it reads them: whose they are
/// matters.
#[must_use]
pub fn directories(directories: &Directories) -> Checked {
    let mut sets = Sets::default();
    match directories.read(&[]) {
        Ok(loaded) => sets.take(Path::new(""), Ok(loaded)),
        Err(unreadable) => sets.take(&unreadable.dir, Err(unreadable.why)),
    }
    sets.checked(&|_| true)
}

/// Checks directories and files that somebody names, wherever they lie. A file is checked among
/// the other units of its directory, which are not complained of; a drop-in with its unit.
#[must_use]
pub fn named(paths: &[PathBuf]) -> Checked {
    let mut sets = Sets::default();
    let (mut dirs, mut files) = (BTreeSet::new(), HashSet::new());
    for path in paths {
        if path.is_dir() {
            dirs.insert(path.clone());
        } else if let Some(problem) = unusable(path) {
            sets.files += 1;
            sets.diagnostics.push(problem);
        } else if units_of(path).is_some_and(|dir| dir.as_os_str().is_empty()) {
            files.insert(Path::new(".").join(path));
        } else {
            files.insert(path.clone());
        }
    }
    let parents = files.iter().filter_map(|file| units_of(file));
    let parents: BTreeSet<&Path> = parents.filter(|parent| !dirs.contains(*parent)).collect();
    for dir in dirs.iter().map(PathBuf::as_path).chain(parents) {
        sets.take(dir, inspect_directory(dir));
    }
    let is_named = |file: &Path| {
        files.contains(file)
            // A drop-in lies one deeper than a unit.
            || file.ancestors().skip(1).take(2).any(|parent| dirs.contains(parent))
            || dirs.contains(file)
    };
    sets.checked(&is_named)
}

/// The directory of units that a file belongs to: a drop-in lies one deeper than a unit.
fn units_of(file: &Path) -> Option<&Path> {
    let parent = file.parent()?;
    let name = parent.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
    match name.ends_with(b".yml.d") || name.ends_with(b".yaml.d") {
        true => parent.parent(),
        false => Some(parent),
    }
}

/// Why a path that is no directory cannot be a unit file either.
fn unusable(path: &Path) -> Option<Diagnostic> {
    if let Err(error) = path.symlink_metadata() {
        return Some(Diagnostic::of_file(path, words_of(&error)));
    }
    let ending = path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    (!ending || hidden).then(|| {
        let message = "this is no unit file by its name; expected NAME.yml or NAME.yaml";
        Diagnostic::of_file(path, message)
    })
}

/// What was read so far.
#[derive(Default)]
struct Sets {
    read: Loaded,
    files: usize,
    diagnostics: Vec<Diagnostic>,
}

impl Sets {
    fn take(&mut self, dir: &Path, result: io::Result<Loaded>) {
        match result {
            Ok(loaded) => {
                self.read.units.extend(loaded.units);
                self.read.bad.extend(loaded.bad);
            }
            Err(error) => {
                let message = format!("the directory cannot be read: {}", words_of(&error));
                self.diagnostics.push(Diagnostic::of_file(dir, message));
            }
        }
    }

    /// All that there is to say about the files that are meant.
    fn checked(self, is_meant: &dyn Fn(&Path) -> bool) -> Checked {
        let Self { read: Loaded { units, bad, .. }, mut files, diagnostics: mut said } = self;
        let unread = bad.iter().map(|bad| bad.name.clone()).collect();
        // A drop-in is meant as a part of its unit.
        let is_meant_unit = |unit: &Unit| {
            is_meant(&unit.source) || unit.drop_ins.iter().any(|drop_in| is_meant(drop_in))
        };
        files += units.iter().filter(|unit| is_meant_unit(unit)).count();
        for bad in bad {
            let meant: Vec<Diagnostic> =
                bad.diagnostics.into_iter().filter(|found| is_meant(&found.file)).collect();
            files += meant.iter().map(|found| &found.file).collect::<HashSet<_>>().len();
            said.extend(meant);
        }
        let found = examine(&units, &unread, &is_meant_unit);
        said.extend(found.into_iter().flat_map(|(_, diagnostics)| diagnostics));
        // Several about one place stay in the order in which they were found.
        said.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        // Instances have the mistakes of their template in common.
        said.dedup();
        Checked { files, diagnostics: said }
    }
}
