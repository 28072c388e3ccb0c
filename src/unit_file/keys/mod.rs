//! The known keys, in tables by subject. Reading, "expected ...", "did you mean ...?" and the schema
//! for editors all go through [`known`], so none of them can drift from what is really read.

mod activation;
mod care;
mod foreign;
mod form;
mod hooks;
mod table;
mod template;

use super::diagnostic::{Report, quoted};
use super::draft::Draft;
use super::node::{Node, Value};
use foreign::{FOREIGN, Meant};
use form::Form;

/// Every table of keys there is: a new subject brings a file of its own, and a line here.
const TABLES: &[&[Key]] = &[table::KEYS, care::KEYS, hooks::KEYS, activation::KEYS, template::KEYS];

/// All known keys, in the order in which they are shown.
fn known() -> impl Iterator<Item = &'static Key> + Clone {
    TABLES.iter().flat_map(|table| table.iter())
}

/// One key of a unit file. What is for people may quote words of units in backticks.
struct Key {
    name: &'static str,
    /// What it is for, in a few words.
    help: &'static str,
    /// How that goes on, with its punctuation; may be empty.
    note: &'static str,
    /// What is expected as its value.
    form: &'static Form,
    /// What holds where it is not written.
    default: &'static str,
    /// Values as they may be written, at least one.
    examples: &'static [&'static str],
    read: fn(&mut Draft, &Node, &mut Report<'_>, &str),
}

/// What there is to say about one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// The key.
    pub name: &'static str,
    /// What it is for, in a few words.
    pub help: &'static str,
    /// How that goes on, with its punctuation; may be empty.
    pub note: &'static str,
    /// What is expected as its value, in words.
    pub form: &'static str,
    /// The JSON Schema of its value, as text.
    pub schema: &'static str,
    /// What holds where it is not written.
    pub default: &'static str,
    /// Values as they may be written, at least one.
    pub examples: &'static [&'static str],
}

/// Every key there is, for help, README and schema. Texts may quote words in backticks.
pub fn about() -> impl Iterator<Item = About> {
    known().map(|key| About {
        name: key.name,
        help: key.help,
        note: key.note,
        form: key.form.words,
        schema: key.form.schema,
        default: key.default,
        examples: key.examples,
    })
}

/// Whether the value of a key is a command, which may be a string that is split into words.
pub(super) fn is_command(name: &str) -> bool {
    known().any(|key| key.name == name && key.form.words == form::COMMAND.words)
}

/// Whether the value of a key is a list of commands, or one of them.
pub(super) fn is_hooks(name: &str) -> bool {
    known().any(|key| key.name == name && key.form.words == form::HOOKS.words)
}

/// Whether only a template has this key.
pub(super) fn is_of_templates(name: &str) -> bool {
    template::KEYS.iter().any(|key| key.name == name)
}

const NO_KEY: &str = "this cannot be a key; expected a word such as command";

/// Reads all keys of the file's root.
pub(super) fn read(root: &Node, report: &mut Report<'_>) -> Draft {
    let mut draft = Draft::default();
    let Value::Map(entries) = &root.value else {
        let (place, what) = match root.value {
            Value::Null => (None, "the file is empty".to_owned()),
            _ => (Some(root.place), format!("{} is written here", root.is_a())),
        };
        let message = format!("{what}; expected keys such as command: /usr/sbin/daemon");
        report.at_or_file(place, message);
        draft.command_missed = true;
        return draft;
    };
    for (name, value) in entries {
        if report.is_full() {
            break;
        }
        let Value::Scalar(text) = &name.value else {
            report.at(name.place, NO_KEY);
            continue;
        };
        let found = known().find(|key| key.name == text);
        report.inside(text, |report| match found {
            None => unknown(text, name, &mut draft, report),
            Some(key) => {
                draft.seen.push((key.name, name.place));
                read_known(key, name, value, &mut draft, report);
            }
        });
    }
    draft
}

fn read_known(key: &Key, name: &Node, value: &Node, draft: &mut Draft, report: &mut Report<'_>) {
    if matches!(value.value, Value::Null) {
        // The value's own place is empty; the name is what a person looks for.
        let form = key.form.words;
        report.at(name.place, format!("no value; expected {form}, or remove the key"));
    } else {
        (key.read)(draft, value, report, key.form.words);
    }
}

fn unknown(text: &str, name: &Node, draft: &mut Draft, report: &mut Report<'_>) {
    if let Some(key) = text.strip_suffix('+').filter(|text| known().any(|key| key.name == *text)) {
        draft.command_missed |= key == "command";
        let message = format!("a + adds to a list in a drop-in, and this is none; write {key}:");
        return report.at(name.place, message);
    }
    let foreign = FOREIGN.iter().find(|(names, _)| names.contains(&text));
    let meant = match foreign {
        Some((_, Meant::Say(advice))) => {
            return report.at(name.place, format!("unknown key; {advice}"));
        }
        Some((_, Meant::Key(known))) => Some(*known),
        None => nearest(text),
    };
    let key = meant.and_then(|meant| known().find(|key| key.name == meant));
    match key {
        Some(Key { name: known, help, .. }) => {
            draft.command_missed |= *known == "command";
            report.at(name.place, format!("unknown key; did you mean \"{known}\" ({help})?"));
        }
        None => report.at(name.place, "unknown key; slc help units shows all keys"),
    }
}

/// The known key that is nearest to a text, if one is near.
pub(super) fn nearest(text: &str) -> Option<&'static str> {
    nearest_of(text, known().map(|key| key.name))
}

/// The nearest of some names: the same but for case and separators, few typing mistakes away, or one the
/// beginning of the other.
pub(crate) fn nearest_of<'a>(
    text: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    if text.len() > 40 {
        return None;
    }
    let plain = |text: &str| text.replace(['-', '_', ' '], "").to_ascii_lowercase();
    let wanted = plain(text);
    let begins = |name: &&'a str| {
        let name = plain(name);
        name.len().min(wanted.len()) >= 4
            && (name.starts_with(&wanted) || wanted.starts_with(&name))
    };
    let begun = names.clone().find(begins);
    names
        .map(|name| (strsim::damerau_levenshtein(&plain(name), &wanted), name))
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, name)| distance * 3 <= name.len().min(wanted.len()).min(6))
        .map(|(_, name)| name)
        .or(begun)
}

/// Checks the keys of an inner mapping such as `{path, required}`: each entry with a known name
/// goes to `read`, others raise a diagnostic.
pub(super) fn inner(
    entries: &[(Node, Node)],
    names: &'static [&'static str],
    report: &mut Report<'_>,
    mut read: impl FnMut(&'static str, &Node, &mut Report<'_>),
) {
    for (name, value) in entries {
        if report.is_full() {
            break;
        }
        let known = match &name.value {
            Value::Scalar(text) => names.iter().find(|name| *name == text),
            _ => None,
        };
        if let Some(known) = known {
            report.inside(known, |report| read(known, value, report));
            continue;
        }
        let Value::Scalar(text) = &name.value else {
            report.at(name.place, NO_KEY);
            continue;
        };
        let hint = nearest_of(text, names.iter().copied())
            .map_or(String::new(), |near| format!("; did you mean \"{near}\"?"));
        let expected = names.join(" or ");
        report.at(name.place, format!("unknown key {}; expected {expected}{hint}", quoted(text)));
    }
}

#[cfg(test)]
mod tests {
    use super::foreign::{FOREIGN, Meant};
    use super::{known, nearest};

    #[test]
    fn every_hint_names_a_key_that_exists_and_no_known_key_is_foreign() {
        for (names, meant) in FOREIGN {
            if let Meant::Key(meant) = meant {
                assert!(known().any(|key| key.name == *meant), "{meant}");
            }
            for name in *names {
                assert!(known().all(|key| key.name != *name), "{name}");
            }
        }
    }

    #[test]
    fn every_schema_is_json_and_every_key_stands_in_the_table_once() {
        for (at, key) in known().enumerate() {
            let schema = serde_json::from_str::<serde_json::Value>(key.form.schema);
            assert!(schema.is_ok_and(|schema| schema.is_object()), "{}", key.name);
            assert!(known().take(at).all(|other| other.name != key.name), "{}", key.name);
        }
    }

    #[test]
    fn typing_mistakes_find_the_key_that_was_meant() {
        for (text, known) in [
            ("comand", Some("command")),
            ("Restart", Some("restart")),
            ("depends-on", Some("depends_on")),
            ("enviroment", Some("environment")),
            ("stopSignal", Some("stop_signal")),
            ("niec", Some("nice")),
            ("depends", Some("depends_on")),
            ("xyzzy", None),
        ] {
            assert_eq!(nearest(text), known, "{text:?}");
        }
    }
}
