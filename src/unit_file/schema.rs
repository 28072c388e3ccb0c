//! The JSON Schema of a unit file, out of the one table of keys.

use serde_json::{Map, Value, json};

use super::keys;

/// The schema, for editors and other validators. What several keys say together, and what only a
/// look at the machine can tell, is not in it.
#[must_use]
pub fn schema() -> Value {
    let properties: Map<String, Value> = keys::schemas()
        .map(|(name, help, schema)| {
            let mut schema: Value = serde_json::from_str(schema).unwrap_or_default();
            schema["description"] = help.into();
            (name.to_owned(), schema)
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A unit of Treeward",
        "type": "object",
        "properties": properties,
        "required": ["command"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::schema;

    #[test]
    fn every_key_has_a_schema_and_a_description() {
        let schema = schema();
        let properties = schema["properties"].as_object().expect("an object");
        assert!(properties.contains_key("command") && properties.len() > 30);
        for (name, property) in properties {
            assert!(property.as_object().is_some_and(|it| it.len() > 1), "{name}: {property}");
        }
    }
}
