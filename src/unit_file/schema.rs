//! The JSON Schemas of unit files, out of the one table of keys: that of a unit, and what becomes of
//! it for a template, whose values may hold `%i`, and for a drop-in, which says only a part.

use serde_json::{Map, Value, json};

use super::condition::CAPABILITIES;
use super::keys::{self, About};
use super::node;

/// What is not in the table: forms that several keys share, and what keys say together.
const REST: &str = include_str!("schema.json");

/// Pieces of patterns, which are written as `<name>`. JSON Schema cannot put patterns together.
const PIECES: &[(&str, &str)] = &[
    ("<control>", r"\\u0000-\\u001f\\u007f-\\u009f"),
    (
        "<port>",
        "0*(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])",
    ),
    ("<ipv4>", r"<octet>(?:\\.<octet>){3}"),
    ("<octet>", "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"),
    ("<ipv6>", r"\\[(?=[^\\]]*:)[0-9A-Fa-f:.]+\\]"),
    ("<hours>", "hours|hour|hrs|hr|h|minutes|minute|mins|min|m"),
    ("<seconds>", "seconds|second|secs|sec|s"),
    ("<millis>", "milliseconds|millisecond|millis|milli|msecs|msec|ms"),
    ("<micros>", "microseconds|microsecond|micros|micro|usecs|usec|us|µs|µsecs|µsec"),
    ("<nanos>", "nanoseconds|nanosecond|nanos|nano|nsecs|nsec|ns"),
];

/// What stands for itself or is put in by an instance, and nothing else with a percent sign.
const SPECIFIERS: &str = r"^(?:[^%]|%[iInp%]|%\{[A-Za-z_][A-Za-z0-9_-]*\})*$";

/// Which of the files a schema is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaOf {
    /// A unit of its own, `NAME.yml`.
    Unit,
    /// A template, `NAME@.yml`.
    Template,
    /// A drop-in of either, `NAME.yml.d/*.yml`.
    DropIn,
}

/// The schema of one kind of file (draft 2020-12), for editors and other validators. What only
/// arithmetic, the file's bytes, other files or a look at the machine can tell is not in it.
#[must_use]
pub fn schema(of: SchemaOf) -> Value {
    let mut schema = read(REST);
    let forms: Vec<(About, Value)> = keys::about().map(|key| (key, read(key.schema))).collect();
    let defs = schema["$defs"].take();
    let mut properties = Map::new();
    for (key, form) in &forms {
        let description = format!("{}{}. Default: {}.", key.help, key.note, key.default);
        let value = match of {
            SchemaOf::Unit if keys::is_of_templates(key.name) => continue,
            SchemaOf::Unit => form.clone(),
            SchemaOf::Template => opened(form.clone(), true),
            SchemaOf::DropIn => in_part(opened(form.clone(), false)),
        };
        if of == SchemaOf::DropIn
            && let Some(added) = added(form, &defs)
        {
            let mut added = in_part(opened(added, false));
            added["description"] = format!("adds to {}: {}.", key.name, key.help).into();
            properties.insert(format!("{}+", key.name), added);
        }
        properties.insert(key.name.to_owned(), described(value, key, description));
    }
    schema["properties"] = properties.into();
    if let Value::Object(root) = &mut schema
        && of == SchemaOf::DropIn
    {
        // What keys say together is told of the whole unit.
        root.remove("required");
        root.remove("allOf");
        root.insert("type".to_owned(), json!(["object", "null"]));
    }
    schema["title"] = of.title().into();
    let defs = match defs {
        Value::Object(defs) => defs,
        _ => Map::new(),
    };
    let of_kind = |(name, form): (String, Value)| match of {
        SchemaOf::Unit => (name, form),
        // These say what is so of a value, not what a value may be.
        _ if PREDICATES.contains(&name.as_str()) => (name, form),
        SchemaOf::Template => (name, inner(form, &|form| opened(form, true))),
        SchemaOf::DropIn => (name, partial(inner(form, &|form| in_part(opened(form, false))))),
    };
    schema["$defs"] = defs.into_iter().map(of_kind).collect::<Map<_, _>>().into();
    drop_unused(&mut schema);
    schema
}

impl SchemaOf {
    fn title(self) -> &'static str {
        match self {
            Self::Unit => "A unit of Treeward",
            Self::Template => "A template of Treeward's units",
            Self::DropIn => "A drop-in of a unit of Treeward",
        }
    }
}

/// Definitions that stand in an `if` or a `not`.
const PREDICATES: &[&str] = &["oneshot", "true", "restarts_nothing"];

/// Both texts are this program's own, and a test parses them.
fn read(text: &str) -> Value {
    let text = text.replace("<capability>", &capabilities());
    let whole = PIECES.iter().fold(text, |text, (name, piece)| text.replace(name, piece));
    serde_json::from_str(&whole).unwrap_or_default()
}

/// A pattern for the names of capabilities, in which capitals do not matter.
fn capabilities() -> String {
    let either = |c: char| match c.is_ascii_alphabetic() {
        true => format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase()),
        false => c.to_string(),
    };
    let name = |name: &&str| name.chars().map(either).collect::<String>();
    CAPABILITIES.iter().map(name).collect::<Vec<_>>().join("|")
}

/// The schema of one key's value, with what an editor shows.
fn described(mut schema: Value, key: &About, description: String) -> Value {
    schema["description"] = description.into();
    if let Some(default) = key.default.strip_prefix('`').and_then(|text| text.strip_suffix('`'))
        && !default.contains('`')
    {
        schema["default"] = json_of(default);
    }
    schema["examples"] = key.examples.iter().map(|text| json_of(text)).collect();
    schema
}

/// Applies `change` to the schemas of all values inside a value: what is in a list or a mapping.
fn inner(schema: Value, change: &dyn Fn(Value) -> Value) -> Value {
    let Value::Object(map) = schema else { return schema };
    let each = |list: Value, change: &dyn Fn(Value) -> Value| match list {
        Value::Array(list) => list.into_iter().map(change).collect(),
        other => other,
    };
    let entry = |(word, value): (String, Value)| {
        let value = match (word.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                let changed = |(name, value)| (name, change(value));
                properties.into_iter().map(changed).collect::<Map<_, _>>().into()
            }
            ("items" | "additionalProperties", value @ Value::Object(_)) => change(value),
            // Of all keys only names of units have something put in.
            ("propertyNames", value) if value["$ref"] == "#/$defs/unit_name" => change(value),
            ("prefixItems", list) => each(list, change),
            // A condition is about what is written, and not about what is put in for it.
            ("allOf", Value::Array(mut list)) => {
                list.retain(|branch| branch.get("if").is_none());
                each(list.into(), &|branch| inner(branch, change))
            }
            ("anyOf" | "oneOf", list) => each(list, &|branch| inner(branch, change)),
            (_, value) => value,
        };
        (word, value)
    };
    let says_something = |(word, value): &(String, Value)| {
        word != "allOf" || value.as_array().is_some_and(|list| !list.is_empty())
    };
    map.into_iter().map(entry).filter(says_something).collect::<Map<_, _>>().into()
}

/// A value in which instances put something: what they make of it cannot be known. `strict` says
/// that a percent sign always means something.
fn opened(schema: Value, strict: bool) -> Value {
    let schema = inner(schema, &|form| opened(form, strict));
    let filled = json!({"type": "string", "pattern": "%"});
    let mut open = json!({"anyOf": [schema, filled]});
    if strict {
        open["pattern"] = SPECIFIERS.into();
    }
    open
}

/// A value of which a drop-in says only a part, or which it takes away.
fn in_part(schema: Value) -> Value {
    json!({"anyOf": [partial(inner(schema, &in_part)), {"type": "null"}]})
}

/// The same without what a mapping must have, and without what its entries say together.
fn partial(schema: Value) -> Value {
    let Value::Object(mut map) = schema else { return schema };
    for word in ["required", "minProperties"] {
        map.remove(word);
    }
    for word in ["anyOf", "oneOf", "allOf"] {
        let Some(Value::Array(list)) = map.remove(word) else { continue };
        let says_what_it_is = |branch: &Value| {
            ["type", "$ref", "enum", "const", "anyOf", "oneOf", "allOf"]
                .iter()
                .any(|word| branch.get(word).is_some())
        };
        let list: Vec<Value> = list.into_iter().filter(says_what_it_is).map(partial).collect();
        if !list.is_empty() {
            // Without what they must have, several forms of a mapping may fit.
            let word = if word == "oneOf" { "anyOf" } else { word };
            map.insert(word.to_owned(), list.into());
        }
    }
    map.into()
}

/// The schema of `key+`, for a key whose value may be a list.
fn added(form: &Value, defs: &Value) -> Option<Value> {
    if let Some(name) = form["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return added(&defs[name], defs);
    }
    if form["type"] == "array" {
        return Some(json!({"type": "array", "items": form["items"]}));
    }
    let branches = ["anyOf", "oneOf"].iter().filter_map(|word| form[word].as_array());
    branches.flatten().find_map(|branch| added(branch, defs))
}

/// Takes out the definitions that nothing refers to.
fn drop_unused(schema: &mut Value) {
    loop {
        let text = schema.to_string();
        let Value::Object(defs) = &mut schema["$defs"] else { return };
        let before = defs.len();
        defs.retain(|name, _| text.contains(&format!("\"#/$defs/{name}\"")));
        if defs.len() == before {
            return;
        }
    }
}

/// A value as a YAML tool would hand it on.
fn json_of(text: &str) -> Value {
    node::read(text).map_or(Value::Null, |root| json(&root))
}

fn json(node: &node::Node) -> Value {
    match &node.value {
        node::Value::Null => Value::Null,
        node::Value::Scalar(text) => plain(text),
        node::Value::List(list) => list.iter().map(json).collect(),
        node::Value::Map(entries) => {
            let name = |node: &node::Node| match &node.value {
                node::Value::Scalar(text) => text.clone().into_owned(),
                _ => String::new(),
            };
            Value::Object(entries.iter().map(|(key, value)| (name(key), json(value))).collect())
        }
    }
}

/// YAML 1.2's core schema, but that a number with a leading zero stays as it is written.
fn plain(text: &str) -> Value {
    let is_octal = text.len() > 1 && text.starts_with('0') && !text.starts_with("0.");
    match text {
        "true" => true.into(),
        "false" => false.into(),
        _ if is_octal => text.into(),
        _ => match serde_json::from_str(text) {
            Ok(Value::Number(number)) => Value::Number(number),
            _ => text.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{SchemaOf, Value, json_of, schema};

    const ALL: [SchemaOf; 3] = [SchemaOf::Unit, SchemaOf::Template, SchemaOf::DropIn];

    #[test]
    fn every_key_has_a_schema_a_description_and_examples() {
        for of in ALL {
            let schema = schema(of);
            let properties = schema["properties"].as_object().expect("an object");
            assert!(properties.contains_key("command") && properties.len() > 30);
            for (name, property) in properties {
                assert!(property.as_object().is_some_and(|it| it.len() > 1), "{name}: {property}");
                assert!(property["description"].is_string(), "{name}: {property}");
                if name.ends_with('+') {
                    continue;
                }
                let examples = property["examples"].as_array().expect("a list");
                assert!(!examples.is_empty() && examples.iter().all(|it| !it.is_null()), "{name}");
            }
            assert_eq!(properties["enabled"]["default"], true);
            assert_eq!(properties["restart_max_attempts"]["default"], 10);
            assert_eq!(properties["stop_signal"]["default"], "TERM");
            assert!(properties["restart"].get("default").is_none(), "it depends on the type");
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_piece_is_put_in() {
        for of in ALL {
            let schema = schema(of);
            let text = schema.to_string();
            let defs = schema["$defs"].as_object().expect("an object");
            let referred =
                text.split("\"#/$defs/").skip(1).filter_map(|rest| rest.split('"').next());
            let mut unused: Vec<&String> = defs.keys().collect();
            for name in referred {
                assert!(defs.contains_key(name), "{name}");
                unused.retain(|def| *def != name);
            }
            assert!(unused.is_empty(), "{unused:?}");
            for (name, _) in super::PIECES {
                assert!(!text.contains(name), "{name}");
            }
        }
    }

    #[test]
    fn only_what_takes_a_list_can_be_added_to() {
        let schema = schema(SchemaOf::DropIn);
        let has = |key: &str| schema["properties"].get(key).is_some();
        for key in ["after+", "depends_on+", "environment+", "start_pre+", "condition+", "command+"]
        {
            assert!(has(key), "{key}");
        }
        for key in ["nice+", "pid_file+", "ulimits+", "sockets+"] {
            assert!(!has(key), "{key}");
        }
        assert_eq!(schema.get("required"), None::<&Value>);
    }

    #[test]
    fn examples_become_what_a_yaml_tool_would_read() {
        assert_eq!(
            json_of("{a: 1, b: [x, true, 0.5, 0022]}").to_string(),
            r#"{"a":1,"b":["x",true,0.5,"0022"]}"#
        );
    }
}
