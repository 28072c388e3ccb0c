//! `paths`: what must be so about them for a unit to be started.

use super::diagnostic::Report;
use super::keys;
use super::node::{Node, Value};
use super::scalar::absolute_path;
use crate::supervision::activation::{PathCondition, PathTrigger};

pub(super) const FORM: &str =
    "a mapping such as exists: /run/x or directory_not_empty: [/var/spool/x]";
const PATHS: &str = "an absolute path, or a list of them";
const KEYS: &[&str] = &["exists", "changed", "modified", "directory_not_empty"];

/// So many paths one unit may have.
const MOST: usize = 100;

pub(super) fn paths(node: &Node, report: &mut Report<'_>, form: &str) -> Vec<PathTrigger> {
    let Value::Map(entries) = &node.value else {
        report.expected(node, form);
        return Vec::new();
    };
    let before = report.count();
    let mut found = Vec::new();
    keys::inner(entries, KEYS, report, |key, value, report| {
        let condition = match key {
            "exists" => PathCondition::Exists,
            "changed" => PathCondition::Changed,
            "modified" => PathCondition::Modified,
            _ => PathCondition::DirectoryNotEmpty,
        };
        let items = match &value.value {
            Value::List(list) => list.as_slice(),
            _ => std::slice::from_ref(value),
        };
        for item in items {
            let path = report.scalar(item, PATHS, absolute_path);
            found.extend(path.map(|path| PathTrigger { path, condition }));
        }
    });
    if report.count() == before && (found.is_empty() || found.len() > MOST) {
        let message =
            format!("{} paths; expected 1 to {MOST}, such as exists: /run/x", found.len());
        report.at(node.place, message);
    }
    found
}
