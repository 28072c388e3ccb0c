//! A YAML text that is no unit, for whoever has to read one: the library stays behind `node`.

use super::node::{self, Node, Value};

/// A value and the line it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Counted from 1.
    pub line: u64,
    pub value: Branch,
}

/// What a value holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Branch {
    /// Nothing, `~` or `null`.
    Nothing,
    /// A scalar as it was written, without its quotes.
    Text(String),
    List(Vec<Tree>),
    /// Keys that are scalars, each with its line, and their values.
    Map(Vec<(String, u64, Tree)>),
}

/// Reads a text.
///
/// # Errors
/// Where the YAML is unsound, and why.
pub(crate) fn read(text: &str) -> Result<Tree, String> {
    match node::read(text) {
        Ok(root) => Ok(tree(root)),
        Err((Some(place), why)) => Err(format!("line {}: {why}", place.line)),
        Err((None, why)) => Err(why),
    }
}

fn tree(node: Node<'_>) -> Tree {
    let line = node.place.line;
    let value = match node.value {
        Value::Null => Branch::Nothing,
        Value::Scalar(text) => Branch::Text(text.into_owned()),
        Value::List(list) => Branch::List(list.into_iter().map(tree).collect()),
        Value::Map(map) => {
            // A key that is no scalar names nothing that anybody looks for.
            let entry = |(key, value): (Node<'_>, Node<'_>)| match key.value {
                Value::Scalar(name) => Some((name.into_owned(), key.place.line, tree(value))),
                Value::Null | Value::List(_) | Value::Map(_) => None,
            };
            Branch::Map(map.into_iter().filter_map(entry).collect())
        }
    };
    Tree { line, value }
}
