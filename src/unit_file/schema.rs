//! The JSON Schema of a unit file, out of the one table of keys.

use serde_json::{Map, Value};

use super::keys::{self, About};
use super::node;

/// What is not in the table: forms that several keys share, and what keys say together.
const REST: &str = include_str!("schema.json");

/// The schema, for editors and other validators. What only arithmetic, the file's bytes or a look
/// at the machine can tell is not in it.
#[must_use]
pub fn schema() -> Value {
    // Both texts are this program's own, and a test parses them.
    let mut schema: Value = serde_json::from_str(REST).unwrap_or_default();
    let properties: Map<String, Value> =
        keys::about().map(|key| (key.name.to_owned(), property(&key))).collect();
    schema["properties"] = properties.into();
    schema
}

/// The schema of one key's value, with what an editor shows.
fn property(key: &About) -> Value {
    let mut schema: Value = serde_json::from_str(key.schema).unwrap_or_default();
    let text = format!("{}{}. Default: {}.", key.help, key.note, key.default);
    schema["description"] = text.into();
    if let Some(default) = key.default.strip_prefix('`').and_then(|text| text.strip_suffix('`'))
        && !default.contains('`')
    {
        schema["default"] = json_of(default);
    }
    schema["examples"] = key.examples.iter().map(|text| json_of(text)).collect();
    schema
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
    use super::{json_of, schema};

    #[test]
    fn every_key_has_a_schema_a_description_and_examples() {
        let schema = schema();
        let properties = schema["properties"].as_object().expect("an object");
        assert!(properties.contains_key("command") && properties.len() > 30);
        for (name, property) in properties {
            assert!(property.as_object().is_some_and(|it| it.len() > 2), "{name}: {property}");
            let examples = property["examples"].as_array().expect("a list");
            assert!(!examples.is_empty() && examples.iter().all(|it| !it.is_null()), "{name}");
        }
        assert_eq!(properties["enabled"]["default"], true);
        assert_eq!(properties["restart_max_attempts"]["default"], 10);
        assert_eq!(properties["stop_signal"]["default"], "TERM");
        assert!(properties["restart"].get("default").is_none(), "it depends on the type");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let schema = schema();
        let text = schema.to_string();
        let defs = schema["$defs"].as_object().expect("an object");
        let referred = text.split("\"#/$defs/").skip(1).filter_map(|rest| rest.split('"').next());
        let mut unused: Vec<&String> = defs.keys().collect();
        for name in referred {
            assert!(defs.contains_key(name), "{name}");
            unused.retain(|def| *def != name);
        }
        assert!(unused.is_empty(), "{unused:?}");
    }

    #[test]
    fn examples_become_what_a_yaml_tool_would_read() {
        assert_eq!(
            json_of("{a: 1, b: [x, true, 0.5, 0022]}").to_string(),
            r#"{"a":1,"b":["x",true,0.5,"0022"]}"#
        );
    }
}
