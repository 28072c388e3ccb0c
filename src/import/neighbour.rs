//! What is known of the services that a service names: enough not to wait for each other.

use super::systemd::{Import, OtherService};
use super::{File, ini};

/// A service that another one names.
#[derive(Debug, Default)]
pub(super) struct Neighbour {
    /// The name by which it is named, with its ending.
    pub name: String,
    /// Its own name, with its ending.
    pub own: String,
    /// Its assignments: section, key and value.
    lines: Vec<(String, String, String)>,
}

impl Neighbour {
    pub fn of(other: &OtherService) -> Self {
        let read = |file: &File| ini::read(&file.text).unwrap_or_default();
        let lines = other.files.iter().flat_map(read);
        let lines = lines.map(|line| (line.section, line.key, line.value)).collect();
        Self { name: other.name.clone(), own: other.own.clone(), lines }
    }

    fn values<'a>(&'a self, section: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.lines.iter().filter(move |it| it.0 == section && it.1 == key);
        lines.map(|it| it.2.trim())
    }

    /// Whether it names this unit, of whatever kind, in one of these directives.
    fn names(&self, unit: &str, keys: &[&str]) -> bool {
        let words = keys.iter().flat_map(|key| self.values("Unit", key));
        let mut stems = words
            .flat_map(str::split_whitespace)
            .map(|name| name.rsplit_once('.').map_or(name, |(stem, _)| stem));
        stems.any(|stem| stem == unit)
    }

    /// Whether it does nothing itself: what is started and stopped together depends on it.
    pub fn is_umbrella(&self) -> bool {
        let mut starts = self.values("Service", "ExecStart");
        let does_nothing = |line: &str| matches!(line, "/bin/true" | "/usr/bin/true" | "true");
        let is = |key, value| self.values("Service", key).last() == Some(value);
        starts.all(does_nothing) && is("Type", "oneshot") && is("RemainAfterExit", "yes")
    }
}

impl Import {
    /// The neighbour that is meant by the name of a unit of Treeward.
    pub fn neighbour(&self, unit: &str) -> Option<&Neighbour> {
        self.others.iter().find(|it| it.own.strip_suffix(".service") == Some(unit))
    }

    /// The own name of what is named, which may be an alias of it.
    pub fn own_name<'a>(&'a self, name: &'a str) -> &'a str {
        let other = self.others.iter().find(|it| it.name == name);
        other.map_or(name, |it| &it.own)
    }

    /// Whether that unit goes after this one, or, where neither says who goes first, needs it and
    /// comes first by its name. A `depends_on` on it would make a circle.
    pub fn is_waited_for_by(&self, unit: &str) -> bool {
        let itself = self.names.stem();
        self.neighbour(unit).is_some_and(|other| {
            let needs = ["Requires", "Wants", "BindsTo", "Requisite"];
            other.names(&itself, &["After"])
                || (other.names(&itself, &needs) && *unit < *itself && unit != itself)
        })
    }
}
