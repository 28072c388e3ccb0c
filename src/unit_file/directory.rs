//! All unit files of the unit directories. A file that cannot be read or used is reported under
//! its name and never stands in the way of another.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::files::{self, Trust};
use super::instances::Making;
use super::parse_bytes;
use super::parts::Parts;
use super::survey::{Found, Survey};
use crate::supervision::unit::Unit;
use crate::words::words_of;

/// Where unit files are when nobody says otherwise: the distribution's, the operator's, and those
/// of this boot.
const USUAL: [(&str, Presence); 3] = [
    ("/usr/lib/treeward", Presence::Optional),
    (OPERATORS, Presence::Required),
    ("/run/treeward/units", Presence::Optional),
];
/// The operator's directory.
pub const OPERATORS: &str = "/etc/yml-services";

/// Whether a directory must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Optional,
}

/// The directories of units. Of two files for the same unit the one in the later directory counts.
#[derive(Debug, Clone)]
pub struct Directories {
    dirs: Vec<(PathBuf, Presence)>,
    /// A file that is tried out before it is written.
    pub(super) unsaved: Option<(PathBuf, Vec<u8>)>,
    pub(super) trust: Trust,
}

/// A directory of units that cannot be read, or that belongs to somebody else, or that everybody
/// may write to: whoever may add a unit may run programs as the supervisor's user.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the unit directory {}: {}", dir.display(), words_of(why))]
pub struct Unreadable {
    /// The directory.
    pub dir: PathBuf,
    /// What the kernel said, or why it is refused.
    #[source]
    pub why: io::Error,
}

/// What the directories of unit files held.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The units that can be used, sorted by name.
    pub units: Vec<Unit>,
    /// The files that cannot, sorted by name.
    pub bad: Vec<BadUnit>,
    /// Units that are not to be: the name, and the link to `/dev/null` that says so.
    pub masked: Vec<(String, PathBuf)>,
    /// The templates, sorted by name.
    pub templates: Vec<TemplateFile>,
    /// Directories of drop-ins for which there is no unit.
    pub unused: Vec<PathBuf>,
}

/// A unit file that cannot be used.
#[derive(Debug)]
pub struct BadUnit {
    /// The file's name without its ending. It need not be a valid unit name.
    pub name: String,
    /// At least one.
    pub diagnostics: Vec<Diagnostic>,
}

/// A template that can be used, or has an instance that can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFile {
    /// The file's name without its ending, with the `@`.
    pub name: String,
    /// The file.
    pub source: PathBuf,
    /// One line for people, as it is written.
    pub description: String,
    /// The parameters, with their defaults where they have one.
    pub parameters: Vec<(String, Option<String>)>,
    /// The names of the units that are made of it, sorted.
    pub instances: Vec<String>,
}

/// What there is of a name.
#[derive(Debug)]
pub enum Lookup {
    /// A unit, an instance or a template, good or bad.
    Parts(Parts),
    /// There is to be no such unit: the link to `/dev/null` that says so.
    Masked(PathBuf),
    /// Files that cannot be read.
    Bad(Vec<Diagnostic>),
    /// Nothing.
    Absent,
}

/// Reads every `*.yml` and `*.yaml` of one directory. Other names are ignored, and so are names
/// that start with a dot.
///
/// # Errors
/// The directory cannot be read, or is not safe; see [`Unreadable`].
pub fn read_directory(dir: &Path) -> io::Result<Loaded> {
    Directories::of(vec![dir.to_owned()]).read(&[]).map_err(|unreadable| unreadable.why)
}

/// The same for units that are only looked at: whose they are does not matter.
///
/// # Errors
/// The directory cannot be read.
pub fn inspect_directory(dir: &Path) -> io::Result<Loaded> {
    let directories = Directories::of(vec![dir.to_owned()]).only_looked_at();
    directories.read(&[]).map_err(|unreadable| unreadable.why)
}

impl Default for Directories {
    fn default() -> Self {
        let dirs = USUAL.map(|(path, presence)| (PathBuf::from(path), presence));
        Self { dirs: dirs.into(), unsaved: None, trust: Trust::OwnersOnly }
    }
}

impl Directories {
    /// Exactly these, in this order; each must be there. The usual ones when none is named.
    #[must_use]
    pub fn of(dirs: Vec<PathBuf>) -> Self {
        if dirs.is_empty() {
            return Self::default();
        }
        // Those that a supervisor names are the usual ones when it was told of none.
        let presence = |dir: &PathBuf| {
            let usual = USUAL.iter().find(|(path, _)| Path::new(path) == dir);
            usual.map_or(Presence::Required, |(_, presence)| *presence)
        };
        let dirs = dirs.into_iter().map(|dir| (presence(&dir), dir)).map(|(p, dir)| (dir, p));
        Self { dirs: dirs.collect(), ..Self::default() }
    }

    /// The same with a file as it will be, before it is written.
    #[must_use]
    pub fn with(&self, file: PathBuf, bytes: Vec<u8>) -> Self {
        Self { unsaved: Some((file, bytes)), ..self.clone() }
    }

    /// The same for units that are not going to be run: whose they are does not matter.
    #[must_use]
    pub fn only_looked_at(self) -> Self {
        Self { trust: Trust::Anybody, ..self }
    }

    /// The directories in their order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.dirs.iter().map(|(dir, _)| dir.as_path())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Path, Presence)> {
        self.dirs.iter().map(|(dir, presence)| (dir.as_path(), *presence))
    }

    /// Whether all directories can be read, without a look at what they hold.
    ///
    /// # Errors
    /// The first directory that cannot be read.
    pub fn must_be_readable(&self) -> Result<(), Unreadable> {
        self.all().try_for_each(|(dir, presence)| self.open(dir, presence).map(drop))
    }

    /// One of the directories; `None` where it is missing and need not be there.
    pub(super) fn open(&self, dir: &Path, presence: Presence) -> Result<Option<File>, Unreadable> {
        match files::open_directory(dir, self.trust) {
            Err(why) if presence == Presence::Optional && why.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            opened => opened.map(Some).map_err(|why| Unreadable { dir: dir.to_owned(), why }),
        }
    }

    /// Reads all units. `asked` names instances that are to be made though no file names them.
    ///
    /// # Errors
    /// The first directory that cannot be read.
    pub fn read(&self, asked: &[String]) -> Result<Loaded, Unreadable> {
        let survey = Survey::new(self)?;
        let mut loaded = Loaded::default();
        let mut templates = Vec::new();
        for (stem, found) in survey.all() {
            match found {
                Found::Plain { path, bytes } => {
                    let name = || stem.to_string_lossy().into_owned();
                    loaded.take(name, parse_bytes(&path, &bytes));
                }
                Found::Parts(parts) if parts.is_template() => templates.push(parts),
                Found::Parts(parts) => loaded.take(|| parts.name.clone(), parts.unit()),
                Found::Masked(path) => {
                    loaded.masked.push((stem.to_string_lossy().into_owned(), path));
                }
                Found::Bad(wrong) => {
                    loaded.take(|| stem.to_string_lossy().into_owned(), Err(wrong));
                }
            }
        }
        Making::new(&survey, templates, &mut loaded).of_all(asked);
        let misnamed = survey.misnamed().iter().map(|path| {
            let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let yml = shown.replace(".yaml.d", ".yml.d");
            let message = format!(
                "drop-ins are read from {yml}, whatever the unit's file ends in; rename it"
            );
            BadUnit { name: shown, diagnostics: vec![Diagnostic::of_file(path, message)] }
        });
        loaded.bad.extend(misnamed);
        let masked = |name: &str| loaded.masked.iter().any(|(masked, _)| masked == name);
        loaded.unused = survey.unused(masked);
        loaded.units.sort_by(|a, b| a.name.cmp(&b.name));
        loaded.bad.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(loaded)
    }

    /// Makes instances, and those that they depend on, as far as files do not have their names.
    /// Nothing else is read.
    ///
    /// # Errors
    /// The first directory that cannot be read.
    pub fn instances(&self, names: &[String]) -> Result<Loaded, Unreadable> {
        let survey = Survey::new(self)?;
        let mut loaded = Loaded::default();
        Making::new(&survey, Vec::new(), &mut loaded).only(names);
        Ok(loaded)
    }

    /// What there is of a name: a unit's, an instance's or a template's.
    ///
    /// # Errors
    /// The first directory that cannot be read.
    pub fn find(&self, name: &str) -> Result<Lookup, Unreadable> {
        let survey = Survey::new(self)?;
        Ok(match survey.find(name).or_else(|| survey.instance(name)) {
            Some(Found::Plain { path, bytes }) => match Parts::plain(name, path, bytes) {
                Ok(parts) => Lookup::Parts(parts),
                Err(wrong) => Lookup::Bad(wrong),
            },
            Some(Found::Parts(parts)) => Lookup::Parts(parts),
            Some(Found::Masked(path)) => Lookup::Masked(path),
            Some(Found::Bad(wrong)) => Lookup::Bad(wrong),
            None => Lookup::Absent,
        })
    }

    /// Names that come near one that there is nothing of, the nearest first, at most three.
    #[must_use]
    pub fn similar(&self, name: &str) -> Vec<String> {
        let Ok(survey) = Survey::new(self) else { return Vec::new() };
        let limit = (name.len() / 3).clamp(1, 3);
        let mut near: Vec<(usize, &str)> = survey
            .names()
            .filter(|known| known.len().abs_diff(name.len()) <= limit)
            .map(|known| (strsim::damerau_levenshtein(name, known), known))
            .filter(|(distance, _)| *distance <= limit)
            .collect();
        near.sort_unstable();
        near.dedup();
        near.into_iter().take(3).map(|(_, known)| known.to_owned()).collect()
    }
}

impl Loaded {
    pub(super) fn take(
        &mut self,
        name: impl FnOnce() -> String,
        result: Result<Unit, Vec<Diagnostic>>,
    ) {
        match result {
            Ok(unit) => self.units.push(unit),
            Err(diagnostics) => self.bad.push(BadUnit { name: name(), diagnostics }),
        }
    }
}
