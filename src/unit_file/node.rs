//! The first stage: YAML text to a tree of nodes that know their places.
//!
//! Scalars keep the text that was written (`0022`, `1.50`, `no`), because what it means depends
//! on the key: YAML's own guess would turn a file mode into a decimal and a version into a
//! fraction. The YAML library stays behind this file, its parser's events behind `plain`.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::options::NonFiniteFloatPolicy;
use serde_yaml::{Location, Spanned};

use super::diagnostic::{Place, quoted};
use super::plain;
use super::specifier::Values;

/// The deepest nesting. `depends_on` with conditions, the deepest value there is, needs three.
const MAX_DEPTH: usize = 16;
/// The most nodes, aliases counted as often as they are used.
const MAX_NODES: usize = 20_000;

/// The most nodes that come out of aliases. A unit that shares a list needs a few.
const MAX_ALIASED: usize = 2_000;

/// One node of a unit file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node<'a> {
    pub place: Place,
    pub value: Value<'a>,
    /// Of a scalar that something was put into: what was written, for whoever cuts it into words.
    pub raw: Option<Box<Written<'a>>>,
}

/// A scalar of a template as it was written, and what its `%` stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written<'a> {
    pub text: Cow<'a, str>,
    pub values: Rc<Values>,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar as it was written, without its quotes.
    Scalar(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Map(Vec<(Node<'a>, Node<'a>)>),
}

impl Node<'_> {
    /// What is written here, in the words of a diagnostic.
    pub fn is_a(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The text, if it is a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// The same with texts of its own.
    pub fn into_owned(self) -> Node<'static> {
        let value = match self.value {
            Value::Null => Value::Null,
            Value::Scalar(text) => Value::Scalar(text.into_owned().into()),
            Value::List(list) => Value::List(list.into_iter().map(Node::into_owned).collect()),
            Value::Map(map) => {
                let entry =
                    |(key, value): (Node<'_>, Node<'_>)| (key.into_owned(), value.into_owned());
                Value::Map(map.into_iter().map(entry).collect())
            }
        };
        let raw = self.raw.map(|raw| {
            Box::new(Written { text: raw.text.into_owned().into(), values: raw.values })
        });
        Node { place: self.place, value, raw }
    }

    /// Says that it and all below stand in another file than the first one.
    pub fn move_to(&mut self, file: u32) {
        self.place.file = file;
        match &mut self.value {
            Value::Null | Value::Scalar(_) => {}
            Value::List(list) => list.iter_mut().for_each(|item| item.move_to(file)),
            Value::Map(map) => map.iter_mut().for_each(|(key, value)| {
                key.move_to(file);
                value.move_to(file);
            }),
        }
    }
}

/// Parses the text.
///
/// # Errors
/// Where the YAML is unsound, and why.
pub(super) fn read(text: &str) -> Result<Node<'_>, (Option<Place>, String)> {
    match plain::read(text) {
        Some(root) => Ok(root),
        None => read_any(text),
    }
}

/// Parses whatever it is.
pub(super) fn read_any(text: &str) -> Result<Node<'static>, (Option<Place>, String)> {
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_recorded_anchor_events: MAX_NODES,
            max_merge_keys: 100,
        },
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: MAX_ALIASED },
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    match serde_yaml::from_str_with_options::<Spanned<Given>>(text, options) {
        Ok(given) => Ok(node(given, text)),
        Err(error) => Err(explain(&error, text)),
    }
}

/// A value as the library hands it over. Numbers and booleans carry the library's reading of
/// them, for the rare case that their own text cannot be had.
enum Given {
    Null,
    Text(String),
    Guess(String),
    List(Vec<Spanned<Given>>),
    Map(Vec<(Spanned<Given>, Spanned<Given>)>),
}

fn node(given: Spanned<Given>, text: &str) -> Node<'static> {
    let value = match given.value {
        Given::Null => Value::Null,
        Given::Text(written) => Value::Scalar(written.into()),
        Given::Guess(guess) => {
            Value::Scalar(as_written(given.defined, text).unwrap_or(guess).into())
        }
        Given::List(list) => Value::List(list.into_iter().map(|item| node(item, text)).collect()),
        Given::Map(map) => {
            Value::Map(map.into_iter().map(|(k, v)| (node(k, text), node(v, text))).collect())
        }
    };
    Node { place: place(given.referenced), value, raw: None }
}

/// The text of a plain number or boolean. A quoted one with a tag (`!!int "5"`) is not plain.
fn as_written(at: Location, text: &str) -> Option<String> {
    let start = usize::try_from(at.span().byte_offset()?).ok()?;
    let end = start + usize::try_from(at.span().byte_len()?).ok()?;
    let written = text.get(start..end)?;
    let plain = written.starts_with(|c: char| c.is_ascii_alphanumeric() || "+-.".contains(c));
    plain.then(|| written.to_owned())
}

fn place(at: Location) -> Place {
    Place {
        file: 0,
        width: u32::try_from(at.span().len()).unwrap_or(1),
        line: at.line(),
        column: at.column(),
    }
}

/// The library's error in the words of this project.
fn explain(error: &serde_yaml::Error, text: &str) -> (Option<Place>, String) {
    use serde_yaml::Error as E;
    let at = error.location().filter(|at| at.line() > 0);
    let message = match error.without_snippet() {
        E::DuplicateMappingKey { key, .. } => match key {
            Some(key) => format!("the key {} is written twice; keep one of them", quoted(key)),
            None => "this key is written twice; keep one of them".to_owned(),
        },
        E::MultipleDocuments { .. } => {
            "a second document starts here; a file holds one unit".to_owned()
        }
        E::UnsupportedTag { .. } => {
            "a tag (!name) has no meaning here; put the value in quotes if the ! is meant"
                .to_owned()
        }
        E::Budget { .. } | E::AliasReplayLimitExceeded { .. } => too_much(),
        E::RecursiveReferencesRequireWeakTypes { .. } => {
            "an alias inside its own anchor, which never ends; write out what is meant".to_owned()
        }
        _ => {
            let words = error.without_snippet().to_string();
            let words = words.split(" at line ").next().unwrap_or(&words);
            // Read on from a value, the library stops at its first line, not at the tab.
            let is_tab = words.contains("found a tab");
            if let Some(tab) = at.filter(|_| is_tab).and_then(|at| next_tab(text, place(at))) {
                let message =
                    "the YAML is broken here: a line begins with a tab; indent with spaces";
                return (Some(tab), message.to_owned());
            }
            match at.map(|at| piece(text, place(at))).filter(|_| words.contains("unclosed quote")) {
                Some(piece) => {
                    let quote = piece.chars().next().unwrap_or('"');
                    format!(
                        "the quote that begins at {piece} is not closed; expected another {quote}"
                    )
                }
                None => in_plain_words(words),
            }
        }
    };
    (at.map(place), message)
}

/// The first tab in an indentation below a place.
fn next_tab(text: &str, from: Place) -> Option<Place> {
    let below = text.split('\n').enumerate().skip(usize::try_from(from.line).ok()?);
    below.into_iter().find_map(|(line, text)| {
        let indented = text.len() - text.trim_start_matches([' ', '\t']).len();
        let column = text[..indented].find('\t')? as u64 + 1;
        Some(Place { width: 1, line: line as u64 + 1, column, ..from })
    })
}

/// What stands at a place, shortly and harmless on a terminal.
fn piece(text: &str, place: Place) -> String {
    const LONGEST: usize = 24;
    let line = usize::try_from(place.line).unwrap_or(1).saturating_sub(1);
    let column = usize::try_from(place.column).unwrap_or(1).saturating_sub(1);
    let rest = text.split('\n').nth(line).unwrap_or_default().trim_end().chars().skip(column);
    let mut shown: String = rest.clone().filter(|c| !c.is_control()).take(LONGEST).collect();
    if rest.count() > LONGEST {
        shown.push_str("...");
    }
    shown
}

fn too_much() -> String {
    format!(
        "too deep or too many values for a unit; \
         at most {MAX_DEPTH} levels, {MAX_NODES} values and {MAX_ALIASED} through aliases are read"
    )
}

/// Advice for the parser's commonest complaints; the others are passed on as they are.
fn in_plain_words(words: &str) -> String {
    const ADVICE: &[(&str, &str)] = &[
        ("mapping values are not allowed", "if the colon belongs to the value, put it in quotes"),
        ("unexpected character", "put the value in quotes"),
        ("trailing content", "put the whole value in quotes"),
        ("simple key expected", "a key is followed by a colon"),
        ("unknown anchor", "if the * belongs to the value, put it in quotes"),
        ("illegal placement of ':'", "perhaps a bracket further up is not closed"),
        ("tab", "indent with spaces"),
        ("unclosed bracket", "expected its closing one further down"),
    ];
    // Inside an alias the library hands on its own limits as text.
    if words.contains("budget breached") || words.contains("alias replay limit") {
        return too_much();
    }
    let words = quoted(words);
    let words = words.trim_matches('"');
    match ADVICE.iter().find(|(complaint, _)| words.contains(complaint)) {
        Some((_, advice)) => format!("the YAML is broken here: {words}; {advice}"),
        None => format!("the YAML is broken here: {words}"),
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GivenVisitor)
    }
}

struct GivenVisitor;

impl<'de> Visitor<'de> for GivenVisitor {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Given, E> {
        Ok(Given::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Given, E> {
        Ok(Given::Text(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Given, E> {
        Ok(Given::Guess(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Given, E> {
        Ok(Given::Guess(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Given, E> {
        Ok(Given::Guess(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Given, E> {
        Ok(Given::Guess(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Given, E> {
        Ok(Given::Guess(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Given, E> {
        Ok(Given::Guess(value.to_string()))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Given, E> {
        Err(E::custom("binary data has no place in a unit"))
    }

    fn visit_unit<E>(self) -> Result<Given, E> {
        Ok(Given::Null)
    }

    fn visit_none<E>(self) -> Result<Given, E> {
        Ok(Given::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Given, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = access.next_element()? {
            list.push(item);
        }
        Ok(Given::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Given, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = access.next_entry()? {
            map.push(entry);
        }
        Ok(Given::Map(map))
    }
}
