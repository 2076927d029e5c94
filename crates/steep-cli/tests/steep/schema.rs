//! Is `results.json` what docs/results.schema.json says? Every field, and no other.

use serde_json::Value;
use std::sync::LazyLock;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../docs/results.schema.json")).expect("the schema is JSON")
});

/// Fails where a value is not as the schema says.
pub(crate) fn conforms(results: &Value) {
    let faults = faults(&SCHEMA, results, "results");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Fails where a value is not as another schema says, one without references.
pub(crate) fn conforms_to(schema: &str, value: &Value) {
    let faults = faults(&serde_json::from_str(schema).expect("the schema is JSON"), value, "results");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What of JSON Schema the files use: `$ref`, `anyOf`, `enum`, `type`, `properties`, `required`, `additionalProperties`,
/// `items`, `minimum` 0.
fn faults(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.strip_prefix("#/$defs/").expect("references are to definitions");
        return faults(&SCHEMA["$defs"][name], value, path);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let each = choices.iter().map(|choice| faults(choice, value, path));
        return each.min_by_key(Vec::len).unwrap_or_default();
    }
    if let Some(values) = schema["enum"].as_array() {
        return if values.contains(value) {
            Vec::new()
        } else {
            vec![format!("{path}: {value} is not known")]
        };
    }
    if !is_of(&schema["type"], value)
        || (schema["minimum"] == 0 && value.as_f64().is_some_and(|found| found < 0.0))
    {
        return vec![format!("{path}: {value} is not {}", schema["type"])];
    }
    match value {
        Value::Object(_) => fields(schema, value, path),
        Value::Array(items) => {
            let item = |(at, item)| faults(&schema["items"], item, &format!("{path}[{at}]"));
            items.iter().enumerate().flat_map(item).collect()
        }
        _ => Vec::new(),
    }
}

fn fields(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let missing = required.filter(|name| value.get(name).is_none());
    let mut found: Vec<String> = missing.map(|name| format!("{path}.{name} is missing")).collect();
    for (name, field) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(known), _) => found.extend(faults(known, field, &path)),
            (None, Value::Bool(false)) => found.push(format!("{path} is not in the schema")),
            (None, other) => found.extend(faults(other, field, &path)),
        }
    }
    found
}

fn is_of(kinds: &Value, value: &Value) -> bool {
    let is = |kind: &str| match kind {
        "null" => value.is_null(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    match kinds {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(is),
        kind => kind.as_str().is_some_and(is),
    }
}

#[test]
fn what_is_missing_unknown_or_of_another_kind_is_found() {
    let check = &SCHEMA["$defs"]["check"];
    let good = serde_json::json!({"kind": "leakage", "sentence": "s", "count": 1, "rows": []});
    assert!(faults(check, &good, "x").is_empty());
    for (field, value) in
        [("kind", "other".into()), ("count", (-1).into()), ("rows", Value::Null), ("new", 1.into())]
    {
        let mut bad = good.clone();
        bad[field] = value;
        assert_eq!(faults(check, &bad, "x").len(), 1, "{bad}");
    }
    let bare = serde_json::json!({"kind": "leakage"});
    assert_eq!(faults(check, &bare, "x").len(), 3);
}
