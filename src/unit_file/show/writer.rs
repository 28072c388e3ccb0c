//! Nodes as YAML text, each key with the place that it came from.

use std::fmt::Write;

use super::super::diagnostic::{Place, Source};
use super::super::node::{Node, Value};
use super::super::words;
use super::origin;

/// Writes nodes as YAML.
pub(super) struct Writer<'w, 's> {
    out: &'w mut String,
    sources: &'w [Source<'s>],
}

impl<'w, 's> Writer<'w, 's> {
    /// A writer at the end of a text, for nodes that come from these files.
    pub(super) fn new(out: &'w mut String, sources: &'w [Source<'s>]) -> Self {
        Self { out, sources }
    }

    /// The whole of a unit.
    pub(super) fn root(&mut self, root: &Node<'_>) {
        match &root.value {
            Value::Map(map) => self.map(map, 0),
            Value::Null => {}
            Value::Scalar(_) | Value::List(_) => self.value(root, None, 0),
        }
    }

    fn map(&mut self, map: &[(Node<'_>, Node<'_>)], depth: usize) {
        for (key, value) in map {
            // A key that is none is a mistake; its diagnostic shows it.
            let Some(text) = key.text() else { continue };
            self.indent(depth);
            self.out.push_str(&scalar(text));
            self.out.push(':');
            match depth {
                0 => self.value(&words::put_in(text, value), Some(key.place), depth),
                _ => self.value(value, Some(key.place), depth),
            }
        }
    }

    /// What stands behind a key or a dash, up to the end of its last line.
    fn value(&mut self, node: &Node<'_>, key: Option<Place>, depth: usize) {
        match &node.value {
            Value::Null => self.end(key),
            Value::Scalar(text) => {
                self.out.push(' ');
                match block(text) {
                    Some(mark) => {
                        self.out.push_str(mark);
                        self.end(key);
                        for line in text.lines() {
                            if !line.is_empty() {
                                self.indent(depth + 1);
                            }
                            self.out.push_str(line);
                            self.out.push('\n');
                        }
                    }
                    None => {
                        self.out.push_str(&scalar(text));
                        self.end(key);
                    }
                }
            }
            Value::List(list) if list.is_empty() => {
                self.out.push_str(" []");
                self.end(key);
            }
            Value::Map(map) if map.is_empty() => {
                self.out.push_str(" {}");
                self.end(key);
            }
            Value::List(list) => {
                self.end(key);
                for item in list {
                    self.indent(depth + 1);
                    self.out.push('-');
                    // Only what another file has added is not where the key says.
                    let other = key.is_some_and(|key| key.file != item.place.file);
                    self.value(item, other.then_some(item.place), depth + 1);
                }
            }
            Value::Map(map) => {
                self.end(key);
                self.map(map, depth + 1);
            }
        }
    }

    fn indent(&mut self, depth: usize) {
        self.out.extend(std::iter::repeat_n("  ", depth));
    }

    /// Ends a line, with the place that it came from.
    fn end(&mut self, place: Option<Place>) {
        if let Some(place) = place {
            self.out.push_str("  # ");
            self.out.push_str(&origin(place, self.sources));
        }
        self.out.push('\n');
    }
}

/// The mark of a literal block, for a text of several lines that can be one as it is.
fn block(text: &str) -> Option<&'static str> {
    let is_plain = |c: char| matches!(c, ' '..='~' | '\n') || c.is_alphanumeric();
    let body = text.strip_suffix('\n').unwrap_or(text);
    let fits = body.contains('\n')
        && text.chars().all(is_plain)
        && !body.ends_with('\n')
        && !text.starts_with([' ', '\n'])
        && body.lines().all(|line| !line.ends_with(' '));
    fits.then_some(if body.len() == text.len() { "|-" } else { "|" })
}

/// A scalar on one line, in quotes unless it is the same without them.
fn scalar(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || b"_/.+-=,@%:~ ".contains(b);
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "/_".contains(c))
        && bytes.iter().all(is_word)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.eq_ignore_ascii_case("null");
    if is_plain { text.to_owned() } else { quoted(text) }
}

/// In double quotes, which take every character.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // What is no printable character of YAML 1.2 (5.1), or may break a line for some.
            _ if c.is_control()
                || ('\u{fffe}'..='\u{ffff}').contains(&c)
                || "\u{2028}\u{2029}\u{feff}".contains(c) =>
            {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::super::super::node;
    use super::{block, scalar};

    #[test]
    fn every_text_comes_back() {
        for text in [
            "",
            "a",
            "a b",
            "null",
            "~",
            "true",
            "-1",
            "a: b",
            "a #b",
            "#",
            "'",
            "\"",
            "\\",
            "é",
            "a\nb",
            "a\nb\n",
            "a\n\nb\n",
            " a\nb",
            "a \nb",
            "a\nb\n\n",
            "\n",
            "\t",
            "\u{1b}[2J",
            "\u{feff}",
            "\u{2028}",
            "[",
            "{",
            "*a",
            "&a",
            "!a",
            "%i",
            "@",
            "`",
            "|",
            ">",
            "- a",
            "a:",
            "? ",
            "a\r\nb",
            "1e3",
            "0x1f",
            "\u{85}",
            "/",
            "_",
            "a,b",
            "a\n  b",
            "a\n# b\nc",
        ] {
            let written = match block(text) {
                Some(mark) => {
                    let lines = text.lines().map(|line| match line {
                        "" => "\n".to_owned(),
                        line => format!("  {line}\n"),
                    });
                    format!("a: {mark}\n{}", lines.collect::<String>())
                }
                None => format!("a: {}\n", scalar(text)),
            };
            let root = node::read(&written).unwrap_or_else(|e| panic!("{written:?}: {e:?}"));
            let node::Value::Map(map) = &root.value else { panic!("{written:?}") };
            assert_eq!(map[0].1.text(), Some(text), "{written:?}");
        }
    }
}
