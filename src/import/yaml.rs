//! Writing YAML that a person would have written. Reading it is `unit_file`'s alone.

use std::fmt::Write;

/// A value of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Yaml {
    /// Any text; quoted where it must be.
    Text(String),
    /// A word of the unit language: a number, true, a duration.
    Bare(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

/// The width of a line, as in the examples.
const WIDTH: usize = 90;

impl Yaml {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub fn bare(word: impl Into<String>) -> Self {
        Self::Bare(word.into())
    }

    pub fn list(texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::List(texts.into_iter().map(|text| Self::Text(text.into())).collect())
    }

    pub fn map(entries: impl IntoIterator<Item = (&'static str, Self)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// A command: in one line where no word of it has to be quoted.
    pub fn command(words: &[String]) -> Self {
        let is_plain = |word: &String| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-./@%+=:,".contains(c);
            !word.is_empty() && word.chars().all(plain) && !word.ends_with(':')
        };
        let line = words.join(" ");
        let is_simple = words.iter().all(is_plain) && line.len() <= WIDTH && is_word(&line);
        if is_simple { Self::Text(line) } else { Self::list(words) }
    }
}

/// One key of a file, with its value.
pub(super) fn entry(out: &mut String, key: &str, value: &Yaml, indent: usize) {
    let key = flow_text(key);
    let before = format!("{:indent$}{key}:", "");
    match flow(value) {
        Some(flow) if before.len() + flow.len() < WIDTH + 10 || is_scalar(value) => {
            let _ = writeln!(out, "{before} {flow}");
        }
        _ => {
            out.push_str(&before);
            block(out, value, indent + 2);
        }
    }
}

fn is_scalar(value: &Yaml) -> bool {
    matches!(value, Yaml::Text(_) | Yaml::Bare(_))
}

/// A value below its key or dash.
fn block(out: &mut String, value: &Yaml, indent: usize) {
    match value {
        Yaml::Text(text) if is_block(text) => literal(out, text, indent),
        Yaml::Text(text) => {
            let _ = writeln!(out, " {}", double_quoted(text));
        }
        Yaml::Bare(word) => {
            let _ = writeln!(out, " {word}");
        }
        Yaml::List(list) if list.is_empty() => out.push_str(" []\n"),
        Yaml::Map(map) if map.is_empty() => out.push_str(" {}\n"),
        Yaml::List(list) => {
            out.push('\n');
            for item in list {
                let _ = write!(out, "{:indent$}-", "");
                match flow(item) {
                    Some(flow) if flow.len() <= WIDTH || is_scalar(item) => {
                        let _ = writeln!(out, " {flow}");
                    }
                    _ => block(out, item, indent + 2),
                }
            }
        }
        Yaml::Map(map) => {
            out.push('\n');
            for (key, value) in map {
                entry(out, key, value, indent);
            }
        }
    }
}

/// Whether a text of several lines can stand as it is.
fn is_block(text: &str) -> bool {
    text.contains('\n')
        && text.starts_with(|c: char| c.is_ascii_graphic())
        && text.ends_with('\n')
        && !text.ends_with("\n\n")
        && !text.contains(" \n")
        && text.chars().all(|c| c == '\n' || c == ' ' || (!c.is_whitespace() && is_printable(c)))
}

fn literal(out: &mut String, text: &str, indent: usize) {
    out.push_str(" |\n");
    for line in text.lines() {
        let _ = writeln!(out, "{}", format!("{:indent$}{line}", "").trim_end());
    }
}

/// A value in one line, if it can be.
fn flow(value: &Yaml) -> Option<String> {
    Some(match value {
        Yaml::Text(text) if is_block(text) => return None,
        Yaml::Text(text) => block_text(text),
        Yaml::Bare(word) => word.clone(),
        Yaml::List(list) => {
            let items = list.iter().map(inner).collect::<Option<Vec<_>>>()?;
            format!("[{}]", items.join(", "))
        }
        Yaml::Map(map) => {
            let entry = |(key, value): &(String, Yaml)| {
                Some(format!("{}: {}", flow_text(key), inner(value)?))
            };
            let entries = map.iter().map(entry).collect::<Option<Vec<_>>>()?;
            format!("{{{}}}", entries.join(", "))
        }
    })
}

/// A value inside brackets.
fn inner(value: &Yaml) -> Option<String> {
    match value {
        Yaml::Text(text) if is_block(text) => None,
        Yaml::Text(text) => Some(flow_text(text)),
        other => flow(other),
    }
}

/// A text that stands by itself: blanks need no quotes there.
fn block_text(text: &str) -> String {
    let is_safe = |c: char| c.is_alphanumeric() || " _-./@%+=:,()'\"\u{20}".contains(c);
    let plain = text.chars().all(is_safe)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && text.chars().all(is_printable)
        && is_word(text);
    if plain { text.to_owned() } else { double_quoted(text) }
}

fn flow_text(text: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "_-./@%+=:".contains(c);
    let plain = text.chars().all(is_safe) && !text.ends_with(':') && is_word(text);
    if plain { text.to_owned() } else { double_quoted(text) }
}

/// Whether a text begins like one, and could be nothing else: no number, no truth, no nothing.
fn is_word(text: &str) -> bool {
    const OTHERS: &[&str] = &["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let option = text.strip_prefix("--").or(text.strip_prefix('-')).unwrap_or(text);
    let mut start = option.chars();
    let begins = match start.next() {
        Some(c) if option.len() < text.len() => c.is_ascii_alphabetic(),
        Some(c) => c.is_alphabetic() || c == '/' || c == '_',
        None => false,
    };
    begins
        && !OTHERS.contains(&text.to_ascii_lowercase().as_str())
        && !text.to_ascii_lowercase().trim_start_matches(['-', '.']).starts_with("inf")
}

fn is_printable(c: char) -> bool {
    !c.is_control()
        && !('\u{fdd0}'..='\u{fdef}').contains(&c)
        && !['\u{feff}', '\u{2028}', '\u{2029}', '\u{85}', '\u{fffe}', '\u{ffff}'].contains(&c)
        && (c as u32) < 0x1_0000
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            c => {
                let _ = match c as u32 {
                    code @ 0..=0xff => write!(out, "\\x{code:02x}"),
                    code @ 0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Yaml, entry};
    use crate::unit_file::parse;

    #[test]
    fn every_text_is_read_back_as_it_was() {
        for text in [
            "a",
            "",
            " a",
            "a ",
            "-g",
            "--",
            "-",
            "- a",
            "-1",
            "1",
            "1.5",
            "0x1f",
            "1e3",
            "no",
            "Yes",
            "null",
            "~",
            "a: b",
            "a:",
            "a #b",
            "#a",
            "a,b",
            "[a]",
            "{a",
            "'a'",
            "\"a\"",
            "a\\b",
            "%i",
            "@a",
            "`a",
            "*a",
            "&a",
            "!a",
            "|",
            ">",
            "a\tb",
            "a\nb\n",
            "a\nb",
            "\na\n",
            "a\n\nb\n",
            "a \nb\n",
            "ä ö",
            "é\u{2028}x",
            "inf",
            "-inf",
            ".nan",
            "<<",
            "=",
            "a=b",
            "---",
            "... ",
            "?",
            "? a",
            "it's",
            "x\u{1f600}y",
            "\u{feff}",
        ] {
            let words = ["/bin/a".to_owned(), text.to_owned(), "z".to_owned()];
            for value in [Yaml::command(&words), Yaml::list(&words)] {
                for long in [false, true] {
                    let mut list = words.to_vec();
                    if long {
                        list.push("x".repeat(120));
                    }
                    let value = if long { Yaml::list(&list) } else { value.clone() };
                    let mut out = String::new();
                    entry(&mut out, "command", &value, 0);
                    let unit = parse(Path::new("a.yml"), &out);
                    let command = unit.map(|unit| unit.command.to_vec());
                    assert_eq!(command.as_ref(), Ok(&list), "{text:?}: {out}");
                }
            }
            let mut out = String::from("command: a\n");
            entry(&mut out, "environment", &Yaml::map([("A", Yaml::text(text))]), 0);
            let unit = parse(Path::new("a.yml"), &out).unwrap_or_else(|e| panic!("{out}: {e:?}"));
            assert_eq!(unit.process.environment, [("A".to_owned(), text.to_owned())], "{out}");
        }
    }
}
