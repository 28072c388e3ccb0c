//! The short way to the nodes of a plain file.
//!
//! Nearly every unit file uses little of YAML: no anchor, no tag, no merge key, no number that
//! could be read in two ways. For those the parser's own events say all there is to say, at a third
//! of the cost of going through serde with a place for every value. This is no second reading of
//! YAML: the parser is the one below the YAML library, and whatever is out of the ordinary, every
//! mistake included, gives `None` and is left to the library.

use std::borrow::Cow;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::diagnostic::Place;
use super::node::{Node, Value};

/// The deepest nesting and the most values that are no matter for a limit yet.
const MAX_DEPTH: usize = 8;
const MAX_NODES: usize = 1_000;
/// The most keys of one mapping: each is compared with all before it.
const MAX_KEYS: usize = 64;

/// Reads the text, if it is plain.
pub(super) fn read(text: &str) -> Option<Node<'_>> {
    let mut events = Events { parser: Parser::new_from_str(text), nodes: 0 };
    let (Event::StreamStart, _) = events.next()? else { return None };
    let (Event::DocumentStart(_, None), _) = events.next()? else { return None };
    let root = events.next()?;
    let node = events.node(root, 0)?;
    let (Event::DocumentEnd, _) = events.next()? else { return None };
    let (Event::StreamEnd, _) = events.next()? else { return None };
    Some(node)
}

struct Events<'a> {
    parser: Parser<'a, StrInput<'a>>,
    nodes: usize,
}

impl<'a> Events<'a> {
    fn next(&mut self) -> Option<(Event<'a>, Span)> {
        self.parser.next_event()?.ok()
    }

    /// The node that begins with this event.
    fn node(&mut self, (event, span): (Event<'a>, Span), depth: usize) -> Option<Node<'a>> {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return None;
        }
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, 0, None) => plain(text)?,
            Event::Scalar(text, _, 0, None) => Value::Scalar(text),
            Event::SequenceStart(_, 0, None) => Value::List(self.list(depth + 1)?),
            Event::MappingStart(_, 0, None) => Value::Map(self.map(depth + 1)?),
            _ => return None,
        };
        Some(Node { place: place(&span), value, raw: None })
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Node<'a>>> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Some(list),
                item => list.push(self.node(item, depth)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Option<Vec<(Node<'a>, Node<'a>)>> {
        let mut map: Vec<(Node<'a>, Node<'a>)> = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Some(map),
                key => self.node(key, depth)?,
            };
            let name = scalar(&key).filter(|name| is_word(name))?;
            let is_known = |(key, _): &(Node, Node)| {
                scalar(key).is_some_and(|it| it.eq_ignore_ascii_case(name))
            };
            if map.len() >= MAX_KEYS || map.iter().any(is_known) {
                return None;
            }
            let value = self.next()?;
            let value = self.node(value, depth)?;
            map.push((key, value));
        }
    }
}

fn scalar<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    match &node.value {
        Value::Scalar(text) => Some(text),
        _ => None,
    }
}

/// Whether a key is nothing but a text: no number, and not the merge key.
fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// A scalar without quotes, if there is only one way to read it.
fn plain(text: Cow<'_, str>) -> Option<Value<'_>> {
    let is_plain = match text.bytes().next()? {
        // The parser writes ~ where nothing is written.
        b'~' if text.len() == 1 => return Some(Value::Null),
        b'0'..=b'9' => is_plain_number(&text),
        b'A'..=b'Z' | b'a'..=b'z' | b'/' | b'_' => !text.eq_ignore_ascii_case("null"),
        _ => false,
    };
    is_plain.then_some(Value::Scalar(text))
}

/// A number of moderate length, perhaps with a unit of time or size: none that could be hexadecimal,
/// have an exponent, or be out of range.
fn is_plain_number(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_digit() || b".smhdkgtMGK".contains(&b);
    text.len() <= 15 && text.bytes().all(is_plain)
}

/// As the library gives it: lines from 1 on, columns in characters from 1 on.
fn place(span: &Span) -> Place {
    Place {
        file: 0,
        width: u32::try_from(span.len()).unwrap_or(u32::MAX),
        line: span.start.line() as u64,
        column: span.start.col() as u64 + 1,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::node;
    use super::read;

    /// Every unit file that there is, good or bad.
    fn files() -> Vec<String> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut texts = Vec::new();
        for dir in ["examples", "tests/bad-units"] {
            for entry in fs::read_dir(home.join(dir)).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|ending| ending == "yml") {
                    texts.extend(fs::read_to_string(path));
                }
            }
        }
        assert!(texts.len() > 100, "only {} unit files were found", texts.len());
        texts
    }

    /// Gives whether the text is plain. If it is, the library must say the same.
    fn is_plain(text: &str) -> bool {
        let Some(plain) = read(text) else { return false };
        assert_eq!(Ok(plain), node::read_any(text), "{text:?}");
        true
    }

    #[test]
    fn what_is_plain_means_the_same_to_the_library() {
        for text in [
            "command: /bin/true\n",
            "command: [a, 'b c', \"d\\te\"]\nnice: 5\nmem_limit: 1.5g\n",
            "command: a\nenvironment:\n  A: 1\n  B:\n  C: true\nafter: []\n",
            "# a comment\n---\ncommand: >-\n  folded\n  text\nnice: 1\n...\n",
            "description: |\n  two\n  lines\n",
            "pid_file: ~\ncommand: b ä ö\ndescription: 'it''s'\n",
            "depends_on: {a: {condition: service_started, required: no}, b: {}}\n",
            "a plain text\n  over two lines\n",
            "umask: 0022\nrestart_delay: 90s\nstart_timeout: 1m30s\n",
        ] {
            assert!(is_plain(text), "{text:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_left_to_the_library() {
        for text in [
            "",
            "# nothing",
            "a: &x 1\nb: *x\n",
            "a: !!str 1\n",
            "<<: {a: 1}\n",
            "a: 1\na: 2\n",
            "True: 1\ntrue: 2\n",
            "null: 1\n",
            "? [a]\n: b\n",
            "1: a\n",
            "a: 0x1f\n",
            "a: 1e999\n",
            "a: 1_000\n",
            "a: .inf\n",
            "a: -1\n",
            "a: 99999999999999999999999999\n",
            "a: NULL\n",
            "%YAML 1.2\n---\na: 1\n",
            "a: 1\n---\nb: 2\n",
            "a: [1\n",
            "a: b: c\n",
            "a: [[[[[[[[[[[]]]]]]]]]]]\n",
        ] {
            assert!(!is_plain(text), "{text:?}");
        }
    }

    #[test]
    fn files_with_slips_mean_the_same_to_the_library() {
        let slips = [
            "", "\n", " ", ":", ": ", "-", "- ", "\"", "'", "[", "{", "}", "#", " #", "&a", "*a",
            "!", "|", ">", "~", "%", "@", "0", "e", "\t", "\u{feff}", "é", "<<: ", "\r\n", "---\n",
        ];
        let mut plain = 0;
        for text in files() {
            plain += usize::from(is_plain(&text));
            let places = text.char_indices().filter(|(at, _)| at % 7 == 0);
            for (number, (at, old)) in places.enumerate() {
                let slip = slips[(number * 11 + text.len()) % slips.len()];
                let (before, after) = text.split_at(at);
                plain += usize::from(is_plain(&format!("{before}{slip}{after}")));
                plain +=
                    usize::from(is_plain(&format!("{before}{slip}{}", &after[old.len_utf8()..])));
            }
        }
        assert!(plain > 500, "only {plain} texts were plain");
    }
}
