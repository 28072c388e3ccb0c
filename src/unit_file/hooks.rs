//! `start_pre`, `start_post` and `stop_post`: one command, or a list of commands.

use super::diagnostic::Report;
use super::duration;
use super::keys;
use super::node::{Node, Value};
use super::scalar::boolean;
use super::service;
use crate::supervision::unit::Millis;

pub(super) const HOOKS: &str = "a command, or a list of commands such as [[mkdir, -p, /run/web], \
                                nginx -t], each a string, a list of words or {command, timeout, \
                                ignore_failure}";
const HOOK: &str = "a string, a list of words, or {command, timeout, ignore_failure}";
const TIMEOUT: &str = "a duration such as 5s, or none";

/// A hook as it was written; the time-out may be the unit's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    pub command: Vec<String>,
    /// `Some(None)` is `none`.
    pub timeout: Option<Option<Millis>>,
    pub ignore_failure: bool,
}

/// A list is a list of commands. One that reads like the words of one command may have been meant
/// as that, and is refused rather than guessed at.
pub(super) fn hooks(node: &Node, report: &mut Report<'_>, _: &str) -> Vec<Draft> {
    let Value::List(list) = &node.value else {
        return hook(node, report, HOOKS).into_iter().collect();
    };
    if reads_like_one_command(list) {
        let key = report.key.clone().unwrap_or_default();
        let message = format!(
            "these may be the words of one command or several commands; for one write {key}: \
             [[...]] or a string, for several give the first as a list: [[first], second]"
        );
        report.at(list.first().map_or(node.place, |first| first.place), message);
        return Vec::new();
    }
    list.iter().filter_map(|item| hook(item, report, HOOK)).collect()
}

/// A single word, and then plain values: `[nginx, -t]`.
fn reads_like_one_command(list: &[Node]) -> bool {
    let is_plain = |node: &Node| matches!(node.value, Value::Scalar(_));
    match list {
        [Node { value: Value::Scalar(first), .. }, rest @ ..] => {
            !rest.is_empty()
                && !first.trim().contains(char::is_whitespace)
                && rest.iter().all(is_plain)
        }
        _ => false,
    }
}

fn hook(node: &Node, report: &mut Report<'_>, form: &str) -> Option<Draft> {
    let plain = |command| Draft { command, timeout: None, ignore_failure: false };
    match &node.value {
        Value::Scalar(_) | Value::List(_) => service::command(node, report).map(plain),
        Value::Map(entries) => mapping(node, entries, report),
        Value::Null => {
            report.expected(node, form);
            None
        }
    }
}

fn mapping(node: &Node, entries: &[(Node, Node)], report: &mut Report<'_>) -> Option<Draft> {
    let (mut command, mut is_there) = (None, false);
    let (mut timeout, mut ignore_failure) = (None, false);
    let names = &["command", "timeout", "ignore_failure"];
    keys::inner(entries, names, report, |name, value, report| match name {
        "command" => {
            is_there = true;
            command = service::command(value, report);
        }
        "timeout" => timeout = report.scalar(value, TIMEOUT, duration::parse_or_none),
        _ => ignore_failure = report.scalar(value, "true or false", boolean).unwrap_or(false),
    });
    if !is_there {
        let message = "there is no command; expected {command, timeout, ignore_failure}";
        report.at(entries.first().map_or(node.place, |(name, _)| name.place), message);
    }
    command.map(|command| Draft { command, timeout, ignore_failure })
}
