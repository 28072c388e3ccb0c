//! [`Places`]: where in its files each value of a unit stands. A [`Unit`] does not carry them, since
//! ten thousand units that are well never need them: the files are read again where there is
//! something to say about a value that only a look at the machine, or at other units, could tell.

use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Place, Report, Severity, Source};
use super::node::{self, Node, Value};
use super::parts::Parts;
use crate::supervision::unit::Unit;

/// What in a unit is meant: the value of a key, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct At {
    /// The first of these keys that is written.
    keys: &'static [&'static str],
    /// A text in the value: an item of a list, the name or the value of an entry, or a piece of
    /// one. Where it is not found the whole value is meant.
    part: Option<String>,
}

impl At {
    /// The value of the first of these keys that is written.
    #[must_use]
    pub const fn value(keys: &'static [&'static str]) -> Self {
        Self { keys, part: None }
    }

    /// A text in that value.
    #[must_use]
    pub fn part(keys: &'static [&'static str], part: impl Into<String>) -> Self {
        Self { keys, part: Some(part.into()) }
    }

    /// The key, where there is no file to tell which of them is written.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.keys.first().copied().unwrap_or_default()
    }
}

/// A unit's files, read for its places.
#[derive(Debug)]
pub struct Places {
    /// Its own, then its drop-ins: at least one.
    files: Vec<(PathBuf, String)>,
    root: Option<Node<'static>>,
}

impl Places {
    /// Those of the files that a unit was read from. If they are others or gone by now, what is said
    /// about the unit has less of a place, or only the file's name.
    #[must_use]
    pub fn of(unit: &Unit) -> Self {
        let Some(parts) = Parts::again(unit) else {
            return Self::in_text(&unit.source, String::new());
        };
        let (root, _) = parts.with_root(|root, _, _| root.into_owned());
        let files = parts.files.iter().map(|text| (text.path.clone(), text.text.clone()));
        Self { files: files.collect(), root }
    }

    /// Those of a text.
    #[must_use]
    pub fn in_text(file: &Path, text: String) -> Self {
        let root = node::read_any(&text).ok();
        Self { files: vec![(file.to_owned(), text)], root }
    }

    /// What there is to say about a value, with its place.
    #[must_use]
    pub fn diagnostic(&self, severity: Severity, at: &At, message: &str) -> Diagnostic {
        let sources: Vec<Source> =
            self.files.iter().map(|(file, text)| Source { file, text }).collect();
        let mut report = Report::new(&sources);
        match self.find(at) {
            Some((key, place)) => report.inside(key, |report| report.at(place, message)),
            None => report.at_or_file(None, message),
        }
        let found = report.finish().pop();
        let found = found.unwrap_or_else(|| Diagnostic::of_file(&self.files[0].0, message));
        found.about(severity, at.key())
    }

    /// The key that is written, and the place.
    fn find(&self, at: &At) -> Option<(&'static str, Place)> {
        let Value::Map(entries) = &self.root.as_ref()?.value else {
            return None;
        };
        let entry = |key| entries.iter().find(|(name, _)| is(name, key));
        let (key, (name, value)) = at.keys.iter().find_map(|key| Some((*key, entry(key)?)))?;
        let whole = match &value.value {
            // A collection has the place of its first character, which points at nothing.
            Value::List(_) | Value::Map(_) | Value::Null => name.place,
            Value::Scalar(_) => value.place,
        };
        let part = at.part.as_deref().and_then(|part| self.find_part(value, part));
        Some((key, part.unwrap_or(whole)))
    }

    fn find_part(&self, value: &Node<'static>, part: &str) -> Option<Place> {
        if let Some(node) = find_node(value, &|node| is(node, part)) {
            return Some(node.place);
        }
        let holds = |node: &Node| matches!(&node.value, Value::Scalar(text) if text.contains(part));
        let text = |place: Place| &self.files[place.file as usize].1;
        find_node(value, &holds).map(|node| node.place.narrowed(text(node.place), part))
    }
}

fn is(node: &Node, text: &str) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar == text)
}

/// The first node, in the order of the file, for which this holds. A file is at most so deep.
fn find_node<'a>(
    node: &'a Node<'static>,
    holds: &dyn Fn(&Node) -> bool,
) -> Option<&'a Node<'static>> {
    if holds(node) {
        return Some(node);
    }
    match &node.value {
        Value::Null | Value::Scalar(_) => None,
        Value::List(list) => list.iter().find_map(|item| find_node(item, holds)),
        Value::Map(entries) => entries
            .iter()
            .find_map(|(name, value)| find_node(name, holds).or_else(|| find_node(value, holds))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{At, Places, Severity};

    const TEXT: &str = "\
command: nginx -g 'daemon off;'
depends_on: {db: {required: true}, cache: {}}
after: [a, \"b\"]
env_file: [/etc/a, {path: /etc/b}]
user: web:staff
reload_command: [app, reload, app]
";

    fn place(keys: &'static [&'static str], part: &str) -> Option<(u64, u64, u32)> {
        let places = Places::in_text(Path::new("x.yml"), TEXT.to_owned());
        let at = match part {
            "" => At::value(keys),
            _ => At::part(keys, part),
        };
        places.find(&at).map(|(_, place)| (place.line, place.column, place.width))
    }

    #[test]
    fn a_value_is_found_by_its_key_and_its_text() {
        for (keys, part, found) in [
            (&["command"] as &[&str], "", Some((1, 10, 22))),
            (&["command"], "nginx", Some((1, 10, 5))),
            (&["depends_on"], "", Some((2, 1, 10))),
            (&["depends_on"], "cache", Some((2, 36, 5))),
            (&["after"], "b", Some((3, 12, 3))),
            (&["env_file"], "/etc/a", Some((4, 12, 6))),
            (&["env_file"], "/etc/b", Some((4, 27, 6))),
            (&["user"], "web", Some((5, 7, 3))),
            (&["group", "user"], "staff", Some((5, 11, 5))),
            (&["reload_command"], "app", Some((6, 18, 3))),
            (&["after"], "gone", Some((3, 1, 5))),
            (&["nice"], "", None),
        ] {
            assert_eq!(place(keys, part), found, "{keys:?} {part:?}");
        }
    }

    #[test]
    fn what_has_no_place_still_has_its_file_and_key() {
        let places = Places::in_text(Path::new("x.yml"), "[".to_owned());
        let at = At::value(&["command"]);
        let said = |severity| places.diagnostic(severity, &at, "there is none").to_string();
        assert_eq!(said(Severity::Error), "x.yml: command: there is none");
        assert_eq!(said(Severity::Warning), "x.yml: warning: command: there is none");
    }
}
