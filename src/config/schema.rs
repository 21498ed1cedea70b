//! The campaign file as a JSON schema, made from the sections' own types and comments: for editors, and for the tables
//! of `docs/campaign.md`.
//!
//! Beside the words of the standard a key may have `x-unit`, and where its schema does not tell them in a person's
//! words `x-type` and `x-default`.

use super::campaign::Config;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::Value;

/// The schema of campaign files. Of draft 7, which editors know best.
pub fn schema() -> Schema {
    let mut settings = SchemaSettings::draft07();
    // First, so that the draft's own rules see what is left.
    settings.transforms.insert(0, Box::new(RecursiveTransform(as_toml)));
    let mut schema = settings.into_generator().into_root_schema_for::<Config>();
    schema.insert("title".into(), "polycosm campaign".into());
    schema
}

/// TOML has no null: a key without value is left out. Units are said in words too, for editors show those.
fn as_toml(schema: &mut Schema) {
    let is_null = |schema: &Value| schema["type"] == "null";
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| !is_null(choice));
        if let [Value::Object(only)] = &choices[..] {
            let only = only.clone();
            schema.remove("anyOf");
            only.into_iter().for_each(|(word, value)| drop(schema.insert(word, value)));
        }
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let [Some(Value::String(unit)), Some(Value::String(text))] =
        ["x-unit", "description"].map(|word| schema.get(word))
    {
        let text = format!("{text}{}", unit_in_words(unit));
        schema.insert("description".into(), text.into());
    }
}

/// How a description ends that has a unit.
pub fn unit_in_words(unit: &str) -> String {
    format!(" Unit: {unit}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_null_and_units_are_said() {
        let schema = schema();
        let text = schema.as_value().to_string();
        assert!(!text.contains("null"), "{text}");
        let simulator = schema.pointer("/properties/simulator").map(Value::to_string);
        assert!(simulator.is_some_and(|s| s.contains(" Unit: Mpc/h.")), "{text}");
    }
}
