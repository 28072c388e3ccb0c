//! How a drop-in changes a unit: node by node, so that each value keeps the place it came from.
//!
//! - A value or a list takes the place of what was there.
//! - A mapping is merged into what was there, key by key. A list of `KEY=value` or of unit names
//!   that was there counts as the mapping that says the same.
//! - A key without a value (`key:` or `key: ~`) takes it away, back to the default.
//! - `key+: [...]` adds to the list that was there.

use std::collections::HashMap;

use super::diagnostic::Report;
use super::node::{Node, Value};

type Entry<'a> = (Node<'a>, Node<'a>);

/// Merges one drop-in's root into the unit's.
pub(super) fn merge<'a>(unit: &mut Node<'a>, drop_in: Node<'a>, report: &mut Report<'_>) {
    let entries = match drop_in.value {
        // Nothing but comments changes nothing.
        Value::Null => return,
        Value::Map(entries) => entries,
        Value::Scalar(_) | Value::List(_) => {
            let written = drop_in.is_a();
            let message = format!("{written} is written here; expected keys such as nice: 5");
            return report.at(drop_in.place, message);
        }
    };
    // What is wrong with the unit itself is said when its keys are read.
    let Value::Map(unit) = &mut unit.value else { return };
    let (adding, setting): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|(key, _)| added_to(key).is_some());
    merge_entries(unit, setting);
    for (key, value) in adding {
        add(unit, key, value, report);
    }
}

/// The key without its `+`.
pub(super) fn added_to<'n>(key: &'n Node<'_>) -> Option<&'n str> {
    key.text()?.strip_suffix('+').filter(|name| !name.is_empty())
}

/// Merges entries into those that are there, by their keys.
fn merge_entries<'a>(there: &mut Vec<Entry<'a>>, entries: Vec<Entry<'a>>) {
    let mut places: HashMap<String, usize> = HashMap::with_capacity(there.len());
    for (at, (key, _)) in there.iter().enumerate() {
        places.extend(key.text().map(|text| (text.to_owned(), at)));
    }
    let mut taken_away = vec![false; there.len()];
    for (key, value) in entries {
        let found = key.text().and_then(|text| places.get(text).copied());
        match (found, &value.value) {
            (Some(at), Value::Null) => taken_away[at] = true,
            (Some(at), _) => combine(&mut there[at], key, value),
            (None, Value::Null) if key.text().is_some() => {}
            (None, _) => there.push((key, without_nothing(value))),
        }
    }
    let mut taken_away = taken_away.into_iter();
    there.retain(|_| !taken_away.next().unwrap_or(false));
}

/// Puts a value to one that is there under the same key.
fn combine<'a>(there: &mut Entry<'a>, key: Node<'a>, value: Node<'a>) {
    let (known, old) = there;
    let name = known.text().unwrap_or_default();
    if matches!((&old.value, &value.value), (Value::List(_), Value::Map(_)))
        && let Some(map) = as_mapping(name, old)
    {
        old.value = Value::Map(map);
    }
    match (&mut old.value, value) {
        (Value::Map(old), Node { value: Value::Map(new), .. }) => merge_entries(old, new),
        (_, value) => *there = (key, without_nothing(value)),
    }
}

/// A value without the keys that have none: where nothing was, there is nothing to take away.
fn without_nothing(mut node: Node<'_>) -> Node<'_> {
    if let Value::Map(map) = node.value {
        let is_something = |(_, value): &Entry| !matches!(value.value, Value::Null);
        let some = map.into_iter().filter(is_something);
        node.value = Value::Map(some.map(|(key, value)| (key, without_nothing(value))).collect());
    }
    node
}

/// The mapping that says the same as a list, for the keys that may be written in both ways.
fn as_mapping<'a>(key: &str, list: &Node<'a>) -> Option<Vec<Entry<'a>>> {
    let Value::List(items) = &list.value else { return None };
    let entry = |item: &Node<'a>| {
        let text = item.text()?;
        let scalar = |text: &str| Node {
            place: item.place,
            value: Value::Scalar(text.to_owned().into()),
            raw: None,
        };
        match key {
            "environment" => text.split_once('=').map(|(key, value)| (scalar(key), scalar(value))),
            "depends_on" | "instances" => {
                let nothing = Node { value: Value::Map(Vec::new()), ..scalar("") };
                Some((scalar(text), nothing))
            }
            _ => None,
        }
    };
    items.iter().map(entry).collect()
}

/// `key+: [...]`: adds to a list.
fn add<'a>(
    there: &mut Vec<Entry<'a>>,
    mut key: Node<'a>,
    mut value: Node<'a>,
    report: &mut Report<'_>,
) {
    let Some(name) = added_to(&key).map(str::to_owned) else { return };
    report.inside(&name, |report| {
        if !matches!(value.value, Value::List(_)) {
            let written = value.is_a();
            let message = format!("{written} is written here; {name}+ adds a list such as [a, b]");
            return report.at(key.place, message);
        }
        key.value = Value::Scalar(name.clone().into());
        let found = there.iter_mut().find(|(known, _)| known.text() == Some(&name));
        let Some((known, old)) = found else { return there.push((key, value)) };
        if matches!(old.value, Value::Map(_))
            && let Some(map) = as_mapping(&name, &value)
        {
            value.value = Value::Map(map);
        }
        match (&mut old.value, value.value) {
            (Value::List(old), Value::List(new)) => old.extend(new),
            (Value::Map(old), Value::Map(new)) => merge_entries(old, new),
            (_, _) => {
                let what = format!("{} stands in {}", old.is_a(), report.shown(known.place));
                report.at(key.place, format!("{what}, and only a list can be added to"));
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::diagnostic::{Report, Source};
    use super::super::node::{self, Node, Value};
    use super::merge;

    fn shown(node: &Node<'_>) -> String {
        match &node.value {
            Value::Null => "~".into(),
            Value::Scalar(text) => text.to_string(),
            Value::List(list) => {
                format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(", "))
            }
            Value::Map(map) => {
                let entry = |(k, v): &(Node, Node)| format!("{}: {}", shown(k), shown(v));
                format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// The unit with all drop-ins merged into it, and what was said.
    fn merged(unit: &str, drop_ins: &[&str]) -> (String, Vec<String>) {
        let texts: Vec<&str> = [unit].into_iter().chain(drop_ins.iter().copied()).collect();
        let file = Path::new("x.yml");
        let sources: Vec<Source> = texts.iter().map(|text| Source { file, text }).collect();
        let mut report = Report::new(&sources);
        let mut root = node::read(unit).unwrap();
        for (number, text) in texts.iter().enumerate().skip(1) {
            let mut drop_in = node::read(text).unwrap();
            drop_in.move_to(number as u32);
            merge(&mut root, drop_in, &mut report);
        }
        (shown(&root), report.finish().into_iter().map(|found| found.message).collect())
    }

    #[test]
    fn each_rule_of_the_table_holds() {
        for (unit, drop_in, result) in [
            // Values and lists take the place of what was there.
            ("command: a\nnice: 1", "nice: 2", "{command: a, nice: 2}"),
            ("command: a", "nice: 2", "{command: a, nice: 2}"),
            ("command: a b", "command: [c]", "{command: [c]}"),
            ("after: [a, b]", "after: [c]", "{after: [c]}"),
            ("ulimits: {core: {soft: 1, hard: 2}}", "ulimits: {core: 3}", "{ulimits: {core: 3}}"),
            // Mappings are merged by key, at each depth.
            (
                "environment: {A: 1, B: 2}",
                "environment: {B: 3, C: 4}",
                "{environment: {A: 1, B: 3, C: 4}}",
            ),
            (
                "ulimits: {core: {soft: 1, hard: 2}}",
                "ulimits: {core: {soft: 2}, cpu: 1}",
                "{ulimits: {core: {soft: 2, hard: 2}, cpu: 1}}",
            ),
            // A list that was there counts as the mapping that says the same.
            ("environment: [A=1, B==]", "environment: {A: 2}", "{environment: {A: 2, B: =}}"),
            ("depends_on: [a, b]", "depends_on: {a: ~, c: {}}", "{depends_on: {b: {}, c: {}}}"),
            ("env_file: [/a]", "env_file: {path: /b}", "{env_file: {path: /b}}"),
            ("environment: [A]", "environment: {B: 1}", "{environment: {B: 1}}"),
            // And a list puts an end to a mapping.
            ("environment: {A: 1}", "environment: [B=2]", "{environment: [B=2]}"),
            // Nothing takes away.
            ("command: a\nnice: 1", "nice:", "{command: a}"),
            ("command: a", "nice: ~", "{command: a}"),
            ("environment: {A: 1, B: 2}", "environment: {A: }", "{environment: {B: 2}}"),
            ("command: a", "environment: {A: , B: 1}", "{command: a, environment: {B: 1}}"),
            ("nice: 1", "# nothing\n", "{nice: 1}"),
            // Adding.
            ("after: [a]", "after+: [b, c]", "{after: [a, b, c]}"),
            ("command: a", "after+: [b]", "{command: a, after: [b]}"),
            ("after: [a]", "after+: [b]\nafter: [c]", "{after: [c, b]}"),
            ("depends_on: {a: {}}", "depends_on+: [b]", "{depends_on: {a: {}, b: {}}}"),
            ("environment: {A: 1}", "environment+: [A=2]", "{environment: {A: 2}}"),
        ] {
            assert_eq!(merged(unit, &[drop_in]), (result.to_owned(), vec![]), "{unit} + {drop_in}");
        }
    }

    #[test]
    fn later_drop_ins_change_what_earlier_ones_said() {
        let (root, said) = merged(
            "command: a\nnice: 1",
            &["nice: 2\nafter: [x]", "nice:\nafter+: [y]", "nice: 4"],
        );
        assert_eq!((root.as_str(), said), ("{command: a, after: [x, y], nice: 4}", vec![]));
    }

    #[test]
    fn what_cannot_be_merged_is_said_with_both_places() {
        for (unit, drop_in, message) in [
            ("command: a", "command+: [b]", "a single value stands in x.yml:1, and only a list"),
            ("after: [a]", "after+: b", "a single value is written here; after+ adds a list"),
            ("command: a", "[a]", "a list is written here; expected keys such as nice: 5"),
            ("ulimits: {core: 1}", "ulimits+: [a]", "a mapping stands in x.yml:1"),
        ] {
            let (_, said) = merged(unit, &[drop_in]);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].starts_with(message), "{said:?}");
        }
        // A unit that is no mapping is left as it is, for its own diagnostic.
        assert_eq!(merged("text", &["nice: 1"]), ("text".into(), vec![]));
    }
}
