//! A template: the keys that only it has, and how they make an instance of it.

use super::diagnostic::{Report, quoted};
use super::keys::nearest_of;
use super::node::{Node, Value};
use super::specifier::{Unknown, Values, escape, is_parameter_name};
use crate::supervision::name::UnitName;

type Entry<'a> = (Node<'a>, Node<'a>);

pub(super) const PARAMETERS: &str = "a mapping of names to default values such as baud: 115200";
pub(super) const INSTANCES: &str =
    "a list of instances, or a mapping of instances to their parameters";

/// What stands in the place of an instance where a template is checked that has none.
pub(super) const PROBE: &str = "x";

/// The keys that a template has and a unit has not.
#[derive(Default)]
pub(super) struct Template<'a> {
    /// The parameters; one without a value must be given one by each instance.
    parameters: Vec<Entry<'a>>,
    /// The instances that the template names itself, with what they say about parameters.
    instances: Vec<Entry<'a>>,
}

/// The part of a unit's name before the first `@`, and the part behind it: its instance, unless
/// that is empty and the name a template's.
pub(super) fn split(name: &str) -> Option<(&str, &str)> {
    name.split_once('@').filter(|(prefix, _)| !prefix.is_empty())
}

/// The name of an instance.
///
/// # Errors
/// Why it can be none, and how it could be written.
pub(super) fn instance_name(prefix: &str, instance: &str) -> Result<UnitName, String> {
    if instance.is_empty() {
        return Err("an instance has a name".to_owned());
    }
    let name = format!("{prefix}@{instance}");
    UnitName::new(&name).map_err(|why| {
        let escaped = format!("{prefix}@{}", escape(instance));
        let hint = match UnitName::new(&escaped) {
            Ok(_) if escaped != name => {
                format!("; write {}, for which %I is {}", escape(instance), quoted(instance))
            }
            _ => String::new(),
        };
        format!("the name {} is refused: {why}{hint}", quoted(&name))
    })
}

/// Takes a key out of a mapping.
fn take<'a>(root: &mut Node<'a>, key: &str) -> Option<Entry<'a>> {
    let Value::Map(map) = &mut root.value else { return None };
    let at = map.iter().position(|(name, _)| name.text() == Some(key))?;
    Some(map.remove(at))
}

impl<'a> Template<'a> {
    /// Takes the template's keys out of its root.
    pub fn take_from(root: &mut Node<'a>, report: &mut Report<'_>) -> Self {
        let mut template = Self::default();
        if let Some((key, value)) = take(root, "parameters") {
            report.inside("parameters", |report| {
                template.parameters = parameters(&key, value, report);
            });
        }
        if let Some((key, value)) = take(root, "instances") {
            report.inside("instances", |report| {
                template.instances = instances(&key, value, report);
            });
        }
        template
    }

    /// The instances that the template names, as they are written.
    pub fn instances(&self) -> impl Iterator<Item = &Node<'a>> {
        self.instances.iter().map(|(name, _)| name)
    }

    /// The parameters and their defaults.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.parameters.iter().filter_map(|(name, value)| Some((name.text()?, value.text())))
    }

    /// What one instance says about its parameters in the template.
    fn given(&self, instance: &str, report: &mut Report<'_>) -> Vec<Entry<'a>> {
        let found = self.instances.iter().find(|(name, _)| name.text() == Some(instance));
        match found {
            None | Some((_, Node { value: Value::Null, .. })) => Vec::new(),
            Some((_, Node { value: Value::Map(given), .. })) => given.clone(),
            Some((_, other)) => {
                report.inside("instances", |report| {
                    report.expected(other, "its parameters such as {baud: 9600}");
                });
                Vec::new()
            }
        }
    }

    /// What the `%` of one instance stand for. `drop_ins` is what its own drop-ins say about
    /// parameters, in their order.
    pub fn values(
        &self,
        name: &str,
        drop_ins: Vec<Vec<Entry<'a>>>,
        report: &mut Report<'_>,
    ) -> Values {
        let (prefix, instance) = split(name).unwrap_or((name, ""));
        // An instance may have the probe's name, and must give its parameters all the same.
        let is_probe = instance.is_empty();
        let instance = if is_probe { PROBE } else { instance };
        let mut values = Values {
            name: format!("{prefix}@{instance}"),
            prefix: prefix.to_owned(),
            instance: instance.to_owned(),
            parameters: None,
        };
        let in_template = self.given(instance, report);
        report.inside("parameters", |report| {
            let mut given: Vec<Entry> = Vec::new();
            for (key, value) in std::iter::once(in_template).chain(drop_ins).flatten() {
                let text = key.text().unwrap_or_default();
                if self.parameters().all(|(known, _)| known != text) {
                    report.at(key.place, self.no_parameter(text));
                    continue;
                }
                given.retain(|(earlier, _)| earlier.text() != Some(text));
                // Without a value it is the template's default again.
                if !matches!(value.value, Value::Null) {
                    given.push((key, value));
                }
            }
            let parameters = self.parameters.iter().filter_map(|(key, default)| {
                let parameter = key.text()?;
                let own = given.iter().find(|(key, _)| key.text() == Some(parameter));
                let node = own.map_or(default, |(_, value)| value);
                let value = match node.value {
                    Value::Null if is_probe => Some(PROBE.to_owned()),
                    _ => value(node, key, &values, report),
                };
                Some((parameter.to_owned(), value))
            });
            values.parameters = Some(parameters.collect());
        });
        values
    }

    fn no_parameter(&self, text: &str) -> String {
        let known: Vec<&str> = self.parameters().map(|(known, _)| known).collect();
        let what = format!("the template has no parameter {}", quoted(text));
        match nearest_of(text, known.iter().copied()) {
            Some(near) => format!("{what}; did you mean {near}?"),
            None if known.is_empty() => {
                format!("{what}; give it one by parameters: {{...}}")
            }
            None => format!("{what}; expected {}", known.join(", ")),
        }
    }
}

/// The value of one parameter; what is wrong with it is said.
fn value(node: &Node, key: &Node, values: &Values, report: &mut Report<'_>) -> Option<String> {
    let parameter = key.text()?;
    match &node.value {
        Value::Scalar(text) => match values.fill(text) {
            Ok(value) => Some(value),
            Err(Unknown { what, why }) => {
                report.at_part(node.place, &what, why);
                None
            }
        },
        Value::Null => {
            let instance = &values.instance;
            let message = format!(
                "the parameter {parameter} has no default, and {} gives it no value; expected \
                 instances: {{{instance}: {{{parameter}: ...}}}}",
                values.name,
            );
            report.at(key.place, message);
            None
        }
        Value::List(_) | Value::Map(_) => {
            report.expected(node, "a single value");
            None
        }
    }
}

/// `parameters` of the template.
fn parameters<'a>(key: &Node, node: Node<'a>, report: &mut Report<'_>) -> Vec<Entry<'a>> {
    let map = match node.value {
        Value::Map(map) => map,
        Value::Null => {
            report.at(key.place, format!("no value; expected {PARAMETERS}"));
            return Vec::new();
        }
        Value::Scalar(_) | Value::List(_) => {
            report.expected(&node, PARAMETERS);
            return Vec::new();
        }
    };
    let mut good = Vec::with_capacity(map.len());
    for (name, value) in map {
        match name.text() {
            Some(text) if is_parameter_name(text) => good.push((name, value)),
            text => report.at(
                name.place,
                format!(
                    "{} cannot be a parameter; expected letters, digits, - and _",
                    text.map_or_else(|| name.is_a().to_owned(), quoted)
                ),
            ),
        }
    }
    good
}

/// `instances` of the template. Whether the names can be names is said of each of them.
fn instances<'a>(key: &Node, node: Node<'a>, report: &mut Report<'_>) -> Vec<Entry<'a>> {
    let entries = match node.value {
        Value::Map(map) => map,
        Value::List(list) => {
            let nothing = |place| Node { place, value: Value::Null, raw: None };
            let entry = |name: Node<'a>| {
                let place = name.place;
                (name, nothing(place))
            };
            list.into_iter().map(entry).collect()
        }
        Value::Null => {
            report.at(key.place, format!("no value; expected {INSTANCES}"));
            return Vec::new();
        }
        Value::Scalar(_) => {
            report.expected(&node, INSTANCES);
            return Vec::new();
        }
    };
    let mut good: Vec<Entry> = Vec::with_capacity(entries.len());
    let mut seen = std::collections::HashSet::new();
    for (name, value) in entries {
        let Some(text) = name.text() else {
            report.at(name.place, format!("{} is written here; expected an instance", name.is_a()));
            continue;
        };
        if !seen.insert(text.to_owned()) {
            report.at(name.place, format!("{} stands here twice; keep one", quoted(text)));
        } else {
            good.push((name, value));
        }
    }
    good
}

/// Takes out what a drop-in of one instance says about parameters.
pub(super) fn own_parameters<'a>(
    drop_in: &mut Node<'a>,
    report: &mut Report<'_>,
) -> Vec<Entry<'a>> {
    if let Some((key, _)) = take(drop_in, "instances") {
        report.at(key.place, "instances are named by the template, or by a drop-in of all of them");
    }
    match take(drop_in, "parameters") {
        Some((_, Node { value: Value::Map(map), .. })) => map,
        None | Some((_, Node { value: Value::Null, .. })) => Vec::new(),
        Some((_, other)) => {
            report.inside("parameters", |report| {
                report.expected(&other, "a mapping such as baud: 9600");
            });
            Vec::new()
        }
    }
}
