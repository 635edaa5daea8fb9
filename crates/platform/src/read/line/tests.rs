use super::*;
use crate::attributes::attribute;
use crate::read::fields::MAX_KEYS;
use crate::render;

fn attributes(attributes: Vec<(Cow<'_, str>, FieldValue<'_>)>) -> String {
    let pairs = attributes.into_iter().map(|(key, value)| {
        let value = match value {
            FieldValue::Text(text) => Some(Any::StringValue(text.into_owned())),
            FieldValue::Other(value) => value.value,
        };
        attribute(&key, value.unwrap())
    });
    render::attributes(&pairs.collect::<Vec<_>>())
}

/// The attributes of a line; `-` if it is text.
fn show(line: &str) -> String {
    let read = function_line(line, true);
    let is_object = read.json.is_some_and(|json| object_fields(json).is_some());
    if is_object { attributes(read.attributes) } else { String::from("-") }
}

#[test]
fn excess_keys_become_one_json_string() {
    let fields: Vec<String> =
        (0..MAX_ATTRIBUTES + 2).map(|n| format!(r#""k{n}": [{n}]"#)).collect();
    let line = show(&format!("{{{}}}", fields.join(",")));
    assert!(line.contains(r#" k31=[31] lambda_otlp.rest={"k32":[32],"k33":[33]}"#), "{line}");
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    let rest = format!(r#"lambda_otlp.rest={{"{long}":1}}"#);
    assert_eq!(show(&format!(r#"{{"{long}":1}}"#)), rest);
    let keys: Vec<String> = (0..=MAX_KEYS).map(|n| format!("\"{n}\":0")).collect();
    assert_eq!(show(&format!("{{{}}}", keys.join(","))), "-");
}

#[test]
fn a_large_list_becomes_json_text() {
    let list = |bytes| format!("[{}]", " ".repeat(bytes - "[]".len()));
    let line = |bytes| format!("{{\"a\":{}}}", list(bytes));
    assert_eq!(show(&line(MAX_VALUE_BYTES)), "a=[]");
    assert_eq!(show(&line(MAX_VALUE_BYTES + 1)), format!("a={}", list(MAX_VALUE_BYTES + 1)));
}

#[test]
fn deep_nesting_becomes_json_text() {
    let nested = |depth| format!("{}\"x\"{}", "[".repeat(depth), "]".repeat(depth));
    let line = |depth| format!("{{\"a\":{}}}", nested(depth));
    let typed = |depth| format!("a={}", nested(depth).replace('"', ""));
    assert_eq!(show(&line(MAX_DEPTH)), typed(MAX_DEPTH));
    // Quotes mark values that are JSON text.
    let arrays = ["[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)].join("[\"x\"]");
    assert_eq!(show(&line(MAX_DEPTH + 1)), format!("a={arrays}"));
    assert_eq!(show(&line(100_000)), format!("a={}", nested(100_000)));
    let objects = |depth, x| format!("{}{x}{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let typed = objects(MAX_DEPTH, r#"{"a":1}"#).replacen(r#"{"a":"#, "{a=", MAX_DEPTH);
    assert_eq!(
        show(&format!(r#"{{"a":{}}}"#, objects(MAX_DEPTH, r#"{"a":1}"#))),
        format!("a={typed}")
    );
}
