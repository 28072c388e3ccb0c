//! What `%` means in the values of a template: `%i` and its kin, and `%{parameter}`.
//!
//! Values are put into scalars that the YAML parser has already told apart, once: what is put in
//! is data, and is never looked at again. Keys of mappings stay as they are, but for those of
//! `depends_on`, which are names of units.

use std::fmt::Write;
use std::rc::Rc;

use super::MAX_FILE_BYTES;
use super::diagnostic::{Report, quoted};
use super::node::{Node, Value, Written};

/// The longest name of a parameter in bytes.
const MAX_PARAMETER_BYTES: usize = 64;

/// What the `%` of one instance stand for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Values {
    /// `%n`: the unit's whole name.
    pub name: String,
    /// `%p`: what stands before the first `@`.
    pub prefix: String,
    /// `%i`: what stands behind it.
    pub instance: String,
    /// `%{name}`: the parameters; `None` while they are themselves being read. One whose value is
    /// wrong has none, and a diagnostic of its own.
    pub parameters: Option<Vec<(String, Option<String>)>>,
}

/// A `%` that means nothing here: the text it is about, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unknown {
    pub what: String,
    /// Empty where the mistake is another's: a parameter whose value is wrong.
    pub why: String,
}

impl Values {
    /// The text with everything put in.
    ///
    /// # Errors
    /// The first `%` that means nothing.
    pub fn fill(&self, text: &str) -> Result<String, Unknown> {
        let mut filled = String::with_capacity(text.len() + self.instance.len());
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            filled.push_str(&rest[..at]);
            let found = &rest[at..];
            let length = match found[1..].chars().next() {
                Some('{') => found.find('}').map(|end| end + 1).ok_or_else(|| {
                    Unknown::new(found, "the bracket is not closed; expected %{PARAMETER}")
                })?,
                next => 1 + next.map_or(0, char::len_utf8),
            };
            let (specifier, after) = found.split_at(length);
            filled.push_str(&self.value(specifier)?);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// What one of them stands for.
    fn value(&self, specifier: &str) -> Result<String, Unknown> {
        match specifier {
            "%i" => Ok(self.instance.clone()),
            "%I" => unescape(&self.instance).map_err(|why| Unknown::new("%I", &why)),
            "%n" => Ok(self.name.clone()),
            "%p" => Ok(self.prefix.clone()),
            "%%" => Ok("%".to_owned()),
            "%" => {
                Err(Unknown::new("%", "nothing stands behind it; expected %% for a percent sign"))
            }
            _ => match specifier.strip_prefix("%{").and_then(|rest| rest.strip_suffix('}')) {
                Some(name) => self.parameter(name, specifier),
                None => Err(Unknown::new(
                    specifier,
                    "it means nothing; expected %i, %I, %n, %p, %{PARAMETER}, or %% for a \
                     percent sign",
                )),
            },
        }
    }

    fn parameter(&self, name: &str, specifier: &str) -> Result<String, Unknown> {
        let Some(parameters) = &self.parameters else {
            return Err(Unknown::new(
                specifier,
                "a parameter's value takes no other parameter; expected %i, %I, %n, %p or %%",
            ));
        };
        if let Some((_, value)) = parameters.iter().find(|(known, _)| known == name) {
            return value
                .clone()
                .ok_or_else(|| Unknown { what: String::new(), why: String::new() });
        }
        let known: Vec<&str> = parameters.iter().map(|(known, _)| known.as_str()).collect();
        let expected = match known.as_slice() {
            [] => format!("write parameters: {{{}: ...}} into the template", shown(name)),
            few => format!("expected {}", few[..few.len().min(10)].join(", ")),
        };
        Err(Unknown::new(specifier, &format!("there is no such parameter; {expected}")))
    }
}

fn shown(text: &str) -> String {
    quoted(text).trim_matches('"').to_owned()
}

impl Unknown {
    fn new(what: &str, why: &str) -> Self {
        Self { what: what.to_owned(), why: format!("{}: {why}", shown(what).trim_end()) }
    }
}

/// Whether a text can be a parameter's name.
pub(super) fn is_parameter_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        && text.len() <= MAX_PARAMETER_BYTES
}

/// Puts the values into every scalar that is a value. All of a unit together may grow to what a
/// file may have; beyond that nothing is put in any more, and a diagnostic says so.
pub(super) fn fill(node: &mut Node<'_>, values: &Rc<Values>, report: &mut Report<'_>) {
    let mut room = MAX_FILE_BYTES;
    if let Value::Map(map) = &mut node.value {
        let needs = map.iter_mut().filter(|(key, _)| key.text() == Some("depends_on"));
        for (_, needs) in needs {
            if let Value::Map(needs) = &mut needs.value {
                needs.iter_mut().for_each(|(name, _)| fill_within(name, values, &mut room, report));
            }
        }
    }
    fill_within(node, values, &mut room, report);
}

fn fill_within(
    node: &mut Node<'_>,
    values: &Rc<Values>,
    room: &mut usize,
    report: &mut Report<'_>,
) {
    match &mut node.value {
        Value::Null => {}
        Value::List(list) => {
            list.iter_mut().for_each(|item| fill_within(item, values, room, report));
        }
        Value::Map(map) => {
            map.iter_mut().for_each(|(_, value)| fill_within(value, values, room, report));
        }
        Value::Scalar(text) if !text.contains('%') => {}
        Value::Scalar(text) => match values.fill(text) {
            Ok(filled) if filled.len() <= *room => {
                *room -= filled.len();
                let text = std::mem::replace(text, filled.into());
                node.raw = Some(Box::new(Written { text, values: Rc::clone(values) }));
            }
            Ok(_) if *room == 0 => {}
            Ok(_) => {
                *room = 0;
                let most = format!("at most {MAX_FILE_BYTES} bytes are put into a unit");
                report.at(node.place, format!("with all that is put in it is too long; {most}"));
            }
            Err(Unknown { what, why }) => {
                if !why.is_empty() {
                    report.at_part(node.place, &what, why);
                }
                // That the value makes no sense as it stands is no second mistake.
                report.open.push(node.place);
            }
        },
    }
}

/// What an escaped text stands for (systemd-escape(1)): `-` is a slash, `\xNN` a byte.
///
/// # Errors
/// Why it stands for nothing.
pub(super) fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'-' => bytes.push(b'/'),
            b'\\' => {
                let digits = after.strip_prefix(b"x").and_then(|digits| digits.get(..2));
                let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
                // A sign is no digit, though a number may have one.
                let digits = digits.filter(|it| it.bytes().all(|b| b.is_ascii_hexdigit()));
                let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                bytes.push(value.ok_or_else(|| {
                    format!("a backslash in {} is not followed by xNN", quoted(text))
                })?);
                rest = &after[3..];
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| format!("{} stands for no UTF-8 text", quoted(text)))
}

/// A text in the characters of a unit name, so that `%I` gives the text again: a slash becomes
/// `-`, what cannot be in a name `\xNN`.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'/' => escaped.push('-'),
            b'.' | b'_' | b':' | b'@' | b'+' => escaped.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => escaped.push(byte.into()),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\x{byte:02x}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{Values, escape, is_parameter_name, unescape};

    fn values() -> Values {
        let parameters = [("baud", "115200"), ("text", "%i %{baud} $(id)")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
        Values {
            name: "agetty@dev-ttyS0".into(),
            prefix: "agetty".into(),
            instance: "dev-ttyS0".into(),
            parameters: Some(parameters.into()),
        }
    }

    #[test]
    fn every_specifier_stands_for_what_systemd_means_by_it() {
        for (text, filled) in [
            ("", ""),
            ("nothing", "nothing"),
            ("%i", "dev-ttyS0"),
            ("/%I", "/dev/ttyS0"),
            ("%n", "agetty@dev-ttyS0"),
            ("%p", "agetty"),
            ("100%%", "100%"),
            ("%%i", "%i"),
            ("%%%i", "%dev-ttyS0"),
            ("%{baud},%{baud}", "115200,115200"),
            ("ä%iö", "ädev-ttyS0ö"),
            // What is put in is not looked at again.
            ("[%{text}]", "[%i %{baud} $(id)]"),
        ] {
            assert_eq!(values().fill(text).as_deref(), Ok(filled), "{text:?}");
        }
    }

    #[test]
    fn what_means_nothing_is_named() {
        for (text, what, why) in [
            ("50%", "%", "%: nothing stands behind it"),
            ("a % b", "% ", "%: it means nothing"),
            ("%H", "%H", "%H: it means nothing; expected %i"),
            ("%ä", "%ä", "%ä: it means nothing"),
            ("%{baud", "%{baud", "%{baud: the bracket is not closed"),
            ("%{}", "%{}", "%{}: there is no such parameter; expected baud, text"),
            ("%i %{buad}", "%{buad}", "%{buad}: there is no such parameter; expected baud"),
        ] {
            let unknown = values().fill(text).unwrap_err();
            assert_eq!(unknown.what, what, "{text:?}");
            assert!(unknown.why.starts_with(why), "{text:?}: {unknown:?}");
        }
        let broken = Values { instance: "a\\b".into(), ..values() };
        assert!(broken.fill("%I").unwrap_err().why.contains("not followed by xNN"));
        assert_eq!(broken.fill("%i").unwrap(), "a\\b");
        let reading = Values { parameters: None, ..values() };
        assert!(reading.fill("%{baud}").unwrap_err().why.contains("no other parameter"));
    }

    #[test]
    fn escaped_texts_come_back() {
        for (text, escaped) in [
            ("ttyS0", "ttyS0"),
            ("dev/sda1", "dev-sda1"),
            ("a-b", "a\\x2db"),
            ("a b", "a\\x20b"),
            ("ä", "\\xc3\\xa4"),
            ("a\\b", "a\\x5cb"),
        ] {
            assert_eq!(escape(text), escaped, "{text:?}");
            assert_eq!(unescape(escaped).as_deref(), Ok(text), "{escaped:?}");
        }
        for text in ["\\", "\\x", "\\x2", "\\xg0", "\\x+1", "\\n", "\\xff", "a\\x2"] {
            assert!(unescape(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn parameters_have_plain_names() {
        for name in ["baud", "a", "_x", "lease-file", "A1"] {
            assert!(is_parameter_name(name), "{name:?}");
        }
        for name in ["", "1a", "-a", "a b", "a}", "ä", "a.b", &"x".repeat(65)] {
            assert!(!is_parameter_name(name), "{name:?}");
        }
    }
}
