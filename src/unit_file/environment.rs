//! `environment` and `env_file`.

use std::collections::HashSet;

use super::diagnostic::{Place, Report, Wrong, quoted};
use super::keys;
use super::node::{Node, Value};
use super::scalar::{absolute_file, boolean, clean};
use crate::supervision::unit::EnvFile;

const NAME: &str = "the name of a variable";
const VALUE: &str = "a string, a number, true or false";

/// Names and values in the order they were written.
pub(super) fn variables(node: &Node, report: &mut Report<'_>, form: &str) -> Vec<(String, String)> {
    match &node.value {
        Value::Map(entries) => {
            entries.iter().filter_map(|(key, value)| entry(key, value, report)).collect()
        }
        Value::List(list) => assignments(list, report),
        _ => {
            report.expected(node, form);
            Vec::new()
        }
    }
}

fn entry(key: &Node, value: &Node, report: &mut Report<'_>) -> Option<(String, String)> {
    let name = report.scalar(key, NAME, name)?;
    report.inside(&name.clone(), |report| match &value.value {
        Value::Null => {
            let shown = quoted(&name);
            let shown = shown.trim_matches('"');
            report.at(key.place, format!("no value; write {shown}: \"\" for an empty value"));
            None
        }
        _ => Some((name, report.scalar(value, VALUE, |text| clean(text, "\n\t"))?)),
    })
}

fn assignments(list: &[Node], report: &mut Report<'_>) -> Vec<(String, String)> {
    const ASSIGNMENT: &str = "KEY=value";
    let mut seen = HashSet::new();
    let mut variables = Vec::with_capacity(list.len());
    for item in list {
        if matches!(item.value, Value::Map(_)) {
            let wrong = Wrong::new("KEY: value is written here").hint("or remove the dashes");
            report.at(item.place, wrong.message("KEY=value in a list"));
            continue;
        }
        let pair = report.scalar(item, ASSIGNMENT, |text| {
            let pair = text.split_once('=');
            let (key, value) =
                pair.ok_or_else(|| Wrong::new(format!("there is no = in {}", quoted(text))))?;
            Ok((name(key)?, clean(value, "\n\t")?))
        });
        let Some((name, value)) = pair else { continue };
        if seen.insert(name.clone()) {
            variables.push((name, value));
        } else {
            twice(item.place, &name, report);
        }
    }
    variables
}

fn twice(place: Place, name: &str, report: &mut Report<'_>) {
    report.at(place, format!("{} is set twice; keep one of them", quoted(name)));
}

fn name(text: &str) -> Result<String, Wrong> {
    let name = clean(text, "")?;
    if name.is_empty() {
        return Err(Wrong::new("a variable without a name"));
    }
    if name.contains('=') {
        return Err(Wrong::new(format!("there is an = in the name {}", quoted(text))));
    }
    if name.contains(char::is_whitespace) {
        return Err(Wrong::new(format!("there is a blank in the name {}", quoted(text))));
    }
    Ok(name)
}

/// Paths of files, each required unless it says otherwise.
pub(super) fn files(node: &Node, report: &mut Report<'_>, form: &str) -> Vec<EnvFile> {
    match &node.value {
        Value::List(list) => list.iter().filter_map(|item| file(item, report, form)).collect(),
        _ => file(node, report, form).into_iter().collect(),
    }
}

fn file(node: &Node, report: &mut Report<'_>, form: &str) -> Option<EnvFile> {
    let Value::Map(entries) = &node.value else {
        return report.scalar(node, form, optional_path);
    };
    let (mut path, mut required, mut seen_path) = (None, true, false);
    keys::inner(entries, &["path", "required"], report, |name, value, report| match name {
        "path" => {
            seen_path = true;
            path = report.scalar(value, "an absolute path", absolute_file);
        }
        _ => required = report.scalar(value, "true or false", boolean).unwrap_or(true),
    });
    if !seen_path {
        report.at(node.place, "there is no path; expected {path: /etc/default/x, required: false}");
    }
    Some(EnvFile { path: path?, required })
}

fn optional_path(text: &str) -> Result<EnvFile, Wrong> {
    if let Some(path) = text.strip_prefix("-/") {
        let path = quoted(&format!("/{path}"));
        let hint = format!("write {{path: {}, required: false}}", path.trim_matches('"'));
        return Err(Wrong::new("a leading - has no meaning here").hint(hint));
    }
    Ok(EnvFile { path: absolute_file(text)?, required: true })
}
