//! What units say about each other: pure.

use std::borrow::Borrow;
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};

use super::Finding;
use crate::supervision::graph::{self, Cycle};
use crate::supervision::name::UnitName;
use crate::supervision::socket_conflicts::{self, Conflict};
use crate::supervision::unit::Unit;
use crate::unit_file::{At, nearest_of};

/// The most names that the nearest one is sought for: among ten thousand units that takes a while.
const MAX_GUESSES: usize = 100;
/// The most units of a circle that are named.
const MAX_NAMED: usize = 12;

/// All units, as each of them sees the others.
pub(super) struct Relations<'a> {
    names: BTreeSet<&'a str>,
    unread: &'a BTreeSet<String>,
    /// The circles, each by the first of its units that is meant.
    circles: HashMap<UnitName, Cycle>,
    /// Addresses that another unit has.
    conflicts: HashMap<UnitName, Conflict>,
    guesses: Cell<usize>,
}

impl<'a> Relations<'a> {
    pub fn of<U: Borrow<Unit>>(
        units: &'a [U],
        unread: &'a BTreeSet<String>,
        is_meant: &dyn Fn(&Unit) -> bool,
    ) -> Self {
        let by_name: HashMap<&str, &Unit> =
            units.iter().map(Borrow::borrow).map(|unit| (unit.name.as_str(), unit)).collect();
        let tell = |mut cycle: Cycle| {
            let is_meant =
                |name: &UnitName| by_name.get(name.as_str()).is_some_and(|u| is_meant(u));
            let first = cycle.0.iter().position(is_meant)?;
            cycle.0.rotate_left(first);
            Some((cycle.0.first()?.clone(), cycle))
        };
        let circles = graph::cycles(units).into_iter().filter_map(tell).collect();
        let all = units.iter().map(Borrow::borrow);
        let conflicts = socket_conflicts::among(all.collect(), &|unit| !is_meant(unit));
        let conflicts = conflicts.into_iter().map(|it| (it.unit.clone(), it)).collect();
        let names = by_name.into_keys().collect();
        Self { names, unread, circles, conflicts, guesses: Cell::new(MAX_GUESSES) }
    }

    pub fn findings(&self, unit: &Unit) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Some(circle) = self.circles.get(&unit.name) {
            found.push(of_circle(unit, circle));
        }
        if let Some(conflict) = self.conflicts.get(&unit.name) {
            let at = At::part(&["sockets"], &conflict.key);
            found.push(Finding::error(at, conflict.explain()));
        }
        for need in &unit.needs {
            let name = need.unit.as_str();
            let at = At::part(&["depends_on"], name);
            if self.knows(name) {
                continue;
            }
            let near = self.nearest(name);
            let meant = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            if need.required {
                let message = format!(
                    "there is no unit {name}, so this one never starts{meant}{}",
                    if near.is_some() {
                        ""
                    } else {
                        "; write required: false if it can do without"
                    }
                );
                found.push(Finding::error(at, message));
            } else if near.is_some() {
                found.push(Finding::warning(at, format!("there is no unit {name}{meant}")));
            }
        }
        for name in &unit.after {
            // An order among units that need not all be there is what `after` is for.
            let missing = Some(name.as_str()).filter(|name| !self.knows(name));
            if let Some(near) = missing.and_then(|name| self.nearest(name)) {
                let message = format!("there is no unit {name}; did you mean {near}?");
                found.push(Finding::warning(At::part(&["after"], name.as_str()), message));
            }
        }
        found
    }

    fn knows(&self, name: &str) -> bool {
        self.names.contains(name) || self.unread.contains(name)
    }

    fn nearest(&self, name: &str) -> Option<&str> {
        self.guesses.set(self.guesses.get().checked_sub(1)?);
        let unread = self.unread.iter().map(String::as_str);
        nearest_of(name, self.names.iter().copied().chain(unread))
    }
}

/// Told at the first unit of the circle, where it names the next one.
fn of_circle(unit: &Unit, circle: &Cycle) -> Finding {
    let (key, next) = circle.said_by(unit);
    let named: Vec<&str> = circle.0.iter().take(MAX_NAMED).map(UnitName::as_str).collect();
    let more = match circle.0.len() - named.len() {
        0 => String::new(),
        more => format!(" -> ... ({more} more)"),
    };
    let path = format!("{}{more} -> {}", named.join(" -> "), unit.name);
    Finding::error(At::part(key, next.as_str()), format!("{path}: {}", Cycle::MEANING))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::Relations;
    use crate::supervision::unit::Unit;
    use crate::unit_file::parse;

    fn unit(name: &str, text: &str) -> Unit {
        let file = format!("/etc/yml-services/{name}.yml");
        parse(Path::new(&file), &format!("command: a\n{text}")).unwrap()
    }

    fn said(units: &[(&str, &str)], unread: &[&str]) -> Vec<String> {
        let units: Vec<Unit> = units.iter().map(|(name, text)| unit(name, text)).collect();
        let unread: BTreeSet<String> = unread.iter().map(ToString::to_string).collect();
        let relations = Relations::of(&units, &unread, &|unit| unit.name.as_str() != "unmeant");
        let found = units.iter().flat_map(|unit| relations.findings(unit));
        found.map(|f| format!("{:?} {}: {}", f.severity, f.at.key(), f.message)).collect()
    }

    #[test]
    fn a_unit_that_is_needed_and_not_there_is_told_with_the_nearest_name() {
        let web = |text| said(&[("web", text), ("redis", "")], &["broken"]);
        for (text, expected) in [
            ("depends_on: [redis, broken]", &[] as &[&str]),
            (
                "depends_on: [reddis]",
                &["Error depends_on: there is no unit reddis, so this one never starts; \
                   did you mean redis?"],
            ),
            (
                "depends_on: [postgres]",
                &["Error depends_on: there is no unit postgres, so this one never starts; \
                   write required: false if it can do without"],
            ),
            ("depends_on: {postgres: {required: false}}", &[]),
            (
                "depends_on: {reddis: {required: false}}",
                &["Warning depends_on: there is no unit reddis; did you mean redis?"],
            ),
            ("after: [postgres]", &[]),
            ("after: [brokn]", &["Warning after: there is no unit brokn; did you mean broken?"]),
        ] {
            assert_eq!(web(text), expected, "{text}");
        }
    }

    #[test]
    fn a_circle_is_told_once_as_a_path() {
        let circle = [("a", "after: [b]"), ("b", "depends_on: [c]"), ("c", "depends_on: [a]")];
        assert_eq!(
            said(&circle, &[]),
            ["Error after: a -> b -> c -> a: these units wait for each other in a circle, \
              so none of them can start; take one depends_on or after away"]
        );
        assert_eq!(said(&[("a", "after: [a]")], &[]).len(), 1);
        let circle = [("unmeant", "after: [z]"), ("z", "after: [unmeant]")];
        assert!(said(&circle, &[])[0].starts_with("Error after: z -> unmeant -> z: "));
        let texts: Vec<(String, String)> = (0..40)
            .map(|n| (format!("u{n:02}"), format!("after: [u{:02}]", (n + 1) % 40)))
            .collect();
        let ring: Vec<(&str, &str)> = texts.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        let told = said(&ring, &[]);
        assert!(
            told.len() == 1 && told[0].contains(" -> u11 -> ... (28 more) -> u00: "),
            "{told:?}"
        );
    }

    #[test]
    fn ten_thousand_wrong_names_among_ten_thousand_units_take_no_time() {
        let texts: Vec<(String, String)> =
            (0..10_000).map(|n| (format!("u{n}"), format!("depends_on: [v{n}]"))).collect();
        let units: Vec<(&str, &str)> =
            texts.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        assert_eq!(said(&units, &[]).len(), 10_000);
    }
}
