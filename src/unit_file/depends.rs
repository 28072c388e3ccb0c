//! Keys about other units. Whether those exist, and whether they wait for each other in a circle,
//! is for the rules to say; here only the names are checked.

use std::collections::HashSet;

use super::diagnostic::{Report, Wrong, quoted};
use super::keys;
use super::node::{Node, Value};
use super::scalar::boolean;
use crate::supervision::name::UnitName;
use crate::supervision::unit::{Condition, Need};

const NAME: &str = "a unit name";
const ENTRY: &str = "{condition: ..., required: ...}";
const CONDITION: &str = "service_started, service_healthy or service_completed_successfully";

/// `depends_on`: a list of names, or names with conditions.
pub(super) fn needs(node: &Node, report: &mut Report<'_>, form: &str) -> Vec<Need> {
    match &node.value {
        Value::Map(entries) => {
            let mut needs: Vec<Need> = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let Some(need) = need(key, value, report) else { continue };
                // In a template two keys may turn out to be one name.
                if needs.iter().any(|known| known.unit == need.unit) {
                    let name = quoted(need.unit.as_str());
                    report.at(key.place, format!("{name} stands here twice; keep one"));
                } else {
                    needs.push(need);
                }
            }
            needs
        }
        _ => names(node, report, form)
            .into_iter()
            .map(|unit| Need { unit, condition: Condition::ServiceHealthy, required: true })
            .collect(),
    }
}

/// A list of unit names, each of them once.
pub(super) fn names(node: &Node, report: &mut Report<'_>, form: &str) -> Vec<UnitName> {
    let list = match &node.value {
        Value::List(list) => list,
        Value::Scalar(text) => {
            let list = text.split([' ', ',']).filter(|word| !word.is_empty());
            let list = quoted(&list.collect::<Vec<_>>().join(", "));
            let hint = format!("write [{}]", list.trim_matches('"'));
            report.at(
                node.place,
                Wrong::new("a single value is written here").hint(hint).message(form),
            );
            return Vec::new();
        }
        _ => {
            report.expected(node, form);
            return Vec::new();
        }
    };
    let mut seen = HashSet::new();
    let mut names = Vec::with_capacity(list.len());
    for item in list {
        let Some(name) = report.scalar(item, NAME, name) else {
            continue;
        };
        if seen.insert(name.clone()) {
            names.push(name);
        } else {
            report.at(item.place, format!("{} stands here twice; keep one", quoted(name.as_str())));
        }
    }
    names
}

fn need(key: &Node, value: &Node, report: &mut Report<'_>) -> Option<Need> {
    let unit = report.scalar(key, NAME, name)?;
    let mut need = Need { unit, condition: Condition::ServiceHealthy, required: true };
    let shown = need.unit.as_str().to_owned();
    report.inside(&shown, |report| match &value.value {
        Value::Map(entries) => {
            let names = &["condition", "required"];
            keys::inner(entries, names, report, |name, value, report| match name {
                "condition" => {
                    if let Some(read) = report.scalar(value, CONDITION, condition) {
                        need.condition = read;
                    }
                }
                _ => {
                    if let Some(read) = report.scalar(value, "true or false", boolean) {
                        need.required = read;
                    }
                }
            });
        }
        Value::Null => report.at(key.place, format!("no value; expected {ENTRY}")),
        _ => report.expected(value, ENTRY),
    });
    Some(need)
}

fn name(text: &str) -> Result<UnitName, Wrong> {
    let wrong = |why: String| Wrong::new(format!("{} is refused: {why}", quoted(text)));
    for ending in [".service", ".yml", ".yaml"] {
        if let Some(stem) = text.strip_suffix(ending) {
            let stem = quoted(stem);
            return Err(Wrong::new(format!("a unit name has no ending {ending}"))
                .hint(format!("did you mean {stem}?")));
        }
    }
    if text.ends_with('@') {
        return Err(wrong(format!("it is a template; name an instance of it such as {text}1")));
    }
    UnitName::new(text).map_err(|why| wrong(why.to_string()))
}

fn condition(text: &str) -> Result<Condition, Wrong> {
    match text {
        "service_started" => Ok(Condition::ServiceStarted),
        "service_healthy" => Ok(Condition::ServiceHealthy),
        "service_completed_successfully" => Ok(Condition::ServiceCompletedSuccessfully),
        _ => {
            let wrong = Wrong::new(format!("there is no condition {}", quoted(text)));
            Err(match text {
                "started" | "running" => wrong.hint("did you mean service_started?"),
                "healthy" | "up" => wrong.hint("did you mean service_healthy?"),
                "completed" | "done" | "service_completed" => {
                    wrong.hint("did you mean service_completed_successfully?")
                }
                _ => wrong,
            })
        }
    }
}
