//! [`Parts`]: the files that one unit is made of, and what comes of them.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::diagnostic::{Diagnostic, Place, Report, Source};
use super::node::{self, Node, Value};
use super::template::{PROBE, Template, own_parameters, split};
use super::{MAX_FILE_BYTES, check_text, checked_name, keys, merge, specifier};
use crate::supervision::unit::Unit;

/// A file with its text, which has been checked to be one.
#[derive(Debug)]
pub(super) struct Text {
    pub path: PathBuf,
    pub text: String,
}

impl Text {
    /// # Errors
    /// When the bytes are no text that a unit file can have.
    pub fn new(path: PathBuf, bytes: Vec<u8>) -> Result<Self, Vec<Diagnostic>> {
        let (text, wrong) = match String::from_utf8(bytes) {
            Ok(text) => {
                let wrong = check_text(&text).err();
                (text, wrong)
            }
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let place = Place::of_offset(&text, at);
                (text, Some((Some(place), NO_UTF8.to_owned())))
            }
        };
        let Some((place, why)) = wrong else { return Ok(Self { path, text }) };
        let sources = [Source { file: &path, text: &text }];
        let mut report = Report::new(&sources);
        report.at_or_file(place, why);
        Err(report.finish())
    }
}

pub(super) const NO_UTF8: &str = "this byte is no UTF-8; a unit file is UTF-8 text";

/// What the files make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A unit of its own.
    Unit,
    /// A template: no unit, but what its instances have in common.
    Template,
    /// An instance of a template.
    Instance,
}

/// The files that a unit is made of, in the order in which they count.
#[derive(Debug, Clone)]
pub struct Parts {
    pub(super) name: String,
    pub(super) role: Role,
    /// The unit's or template's own file, then drop-ins, those of all instances first.
    pub(super) files: Vec<Rc<Text>>,
    /// Where those begin that are this instance's alone.
    pub(super) own: usize,
}

impl Parts {
    /// A unit that is one plain file.
    ///
    /// # Errors
    /// When its text is none.
    pub(super) fn plain(
        name: &str,
        path: PathBuf,
        bytes: Vec<u8>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let files = vec![Rc::new(Text::new(path, bytes)?)];
        Ok(Self { name: name.to_owned(), role: Role::Unit, files, own: 1 })
    }

    /// The files that a unit was made of, as they are now; those that are gone are left out. `None`
    /// if its own is, or one is no text.
    pub(super) fn again(unit: &Unit) -> Option<Self> {
        let text = |path: &Path| {
            let mut bytes = Vec::new();
            // It was a unit file a moment ago; it may be anything by now.
            let file =
                File::open(path).ok().filter(|it| it.metadata().is_ok_and(|it| it.is_file()));
            file?.take(MAX_FILE_BYTES as u64).read_to_end(&mut bytes).ok()?;
            Some(Rc::new(Text::new(path.to_owned(), bytes).ok()?))
        };
        let mut files = vec![text(&unit.source)?];
        files.extend(unit.drop_ins.iter().filter_map(|path| text(path)));
        let name = unit.name.to_string();
        let of_template =
            unit.source.file_stem().is_some_and(|stem| stem.as_bytes().ends_with(b"@"))
                || unit.source.is_symlink();
        let role = match template_of(&name).filter(|_| of_template) {
            Some(_) => Role::Instance,
            None => Role::Unit,
        };
        let is_own = |text: &Rc<Text>| {
            let dir = text.path.parent().and_then(Path::file_name).unwrap_or_default().as_bytes();
            dir.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b".y"))
        };
        let own = match role {
            Role::Instance => files.iter().skip(1).position(is_own).map(|at| at + 1),
            Role::Unit | Role::Template => None,
        };
        Some(Self { own: own.unwrap_or(files.len()), name, role, files })
    }

    /// The unit's name; a template's ends with `@`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a template, which is no unit by itself.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.role == Role::Template
    }

    /// The files, in the order in which they count.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|text| text.path.as_path())
    }

    /// The unit; of a template what an instance of the name `x` would be.
    ///
    /// # Errors
    /// All that is wrong. Of a template none is about a value that only its instances know, so that
    /// there may be no unit and nothing wrong.
    pub fn unit(&self) -> Result<Unit, Vec<Diagnostic>> {
        let (unit, wrong) = self.with_root(|root, _, report| {
            let probe = if self.is_template() { PROBE } else { "" };
            let name = match checked_name(&format!("{}{probe}", self.name)) {
                Ok(name) => name,
                Err(why) => {
                    report.at_or_file(None, why);
                    return None;
                }
            };
            if self.is_template() {
                open_places(&root, &mut report.open);
            }
            let mut unit = keys::read(&root, report).finish(name, &self.files[0].path, report)?;
            unit.drop_ins = self.files().skip(1).map(Path::to_owned).collect();
            Some(unit)
        });
        match unit.flatten() {
            Some(unit) if wrong.is_empty() => Ok(unit),
            // All that is missing may be what only an instance knows.
            _ => Err(wrong),
        }
    }

    /// What is wrong with it; nothing, if it can be used.
    #[must_use]
    pub fn wrong(&self) -> Vec<Diagnostic> {
        self.unit().err().unwrap_or_default()
    }

    /// Makes the tree of nodes and hands it on, if there is one. Gives what was wrong, too.
    pub(super) fn with_root<T>(
        &self,
        use_it: impl FnOnce(Node<'_>, &[Source<'_>], &mut Report<'_>) -> T,
    ) -> (Option<T>, Vec<Diagnostic>) {
        let sources = self.sources();
        let mut report = Report::new(&sources);
        let root = self.root(&sources, &mut report);
        let used = root.map(|root| use_it(root, &sources, &mut report));
        (used, report.finish())
    }

    /// The same without what is an instance's alone, and with nothing put in.
    pub(super) fn with_merged<T>(
        &self,
        use_it: impl FnOnce(&Node<'_>, &[Source<'_>]) -> T,
    ) -> (Option<T>, Vec<Diagnostic>) {
        let sources = self.sources();
        let mut report = Report::new(&sources);
        let root = self.merged(&sources, &mut report);
        let used = root.map(|root| use_it(&root, &sources));
        (used, report.finish())
    }

    /// The template's own keys, and the others.
    pub(super) fn with_template<T>(
        &self,
        use_it: impl FnOnce(&Node<'_>, &Template<'_>, &[Source<'_>]) -> T,
    ) -> (Option<T>, Vec<Diagnostic>) {
        let sources = self.sources();
        let mut report = Report::new(&sources);
        let used = self.merged(&sources, &mut report).map(|mut root| {
            let template = Template::take_from(&mut root, &mut report);
            use_it(&root, &template, &sources)
        });
        (used, report.finish())
    }

    fn sources(&self) -> Vec<Source<'_>> {
        self.files.iter().map(|text| Source { file: &text.path, text: &text.text }).collect()
    }

    /// The file that all of it begins with, and the drop-ins that all instances share.
    fn merged<'a>(&self, sources: &'a [Source<'a>], report: &mut Report<'_>) -> Option<Node<'a>> {
        let mut root = read(sources, 0, report)?;
        for number in 1..self.own {
            let drop_in = read(sources, number, report)?;
            merge::merge(&mut root, drop_in, report);
        }
        Some(root)
    }

    fn root<'a>(&self, sources: &'a [Source<'a>], report: &mut Report<'_>) -> Option<Node<'a>> {
        let mut root = self.merged(sources, report)?;
        if self.role == Role::Unit {
            return Some(root);
        }
        let template = Template::take_from(&mut root, report);
        let mut parameters = Vec::new();
        for number in self.own..sources.len() {
            let mut drop_in = read(sources, number, report)?;
            parameters.push(own_parameters(&mut drop_in, report));
            merge::merge(&mut root, drop_in, report);
        }
        let values = Rc::new(template.values(&self.name, parameters, report));
        specifier::fill(&mut root, &values, report);
        Some(root)
    }
}

/// The nodes of one of the files.
fn read<'a>(sources: &'a [Source<'a>], number: usize, report: &mut Report<'_>) -> Option<Node<'a>> {
    let file = u32::try_from(number).ok()?;
    match node::read(sources[number].text) {
        Ok(mut root) => {
            if file > 0 {
                root.move_to(file);
            }
            Some(root)
        }
        Err((Some(place), why)) => {
            report.at(Place { file, ..place }, why);
            None
        }
        Err((None, why)) => {
            report.of_file(file, why);
            None
        }
    }
}

/// The instance's part of a name, for those who look for its template.
pub(super) fn template_of(name: &str) -> Option<String> {
    split(name).filter(|(_, instance)| !instance.is_empty()).map(|(prefix, _)| format!("{prefix}@"))
}

/// The places of all values that something was put into.
fn open_places(node: &Node, places: &mut Vec<Place>) {
    match &node.value {
        Value::Null => {}
        Value::Scalar(_) => places.extend(node.raw.as_ref().map(|_| node.place)),
        Value::List(list) => list.iter().for_each(|item| open_places(item, places)),
        Value::Map(map) => map.iter().for_each(|(_, value)| open_places(value, places)),
    }
}
