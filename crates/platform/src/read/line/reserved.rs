//! Keys that a line may not use, because we compute their values: the line's value stays in `lambda_otlp.rest`.
//!
//! Keys are compared in OpenObserve's spelling, also those of nested objects, which it joins with `_`.

use crate::read::line::field::Value;
use serde_json::Value as Json;
use wire::Depth;
use wire::reserved::is_reserved;
use wire::stored_key;

/// Prefixes: facts of Lambda's own events, with the tenant and the execution, and names of ours.
const PREFIXES: [&[u8]; 2] = [b"aws_lambda_", b"lambda_otlp_"];
/// Whole keys: the ids of the log event, the invocation and its X-Ray trace.
const KEYS: [&[u8]; 3] = [b"log_record_uid", b"faas_invocation_id", b"aws_xray_trace_id"];

/// Deeper values stay text, which fills no column of its own.
const NESTED: Depth = Depth::new(16);

/// Returns `true` for a field that would become one of the attributes that we compute.
#[inline]
pub(super) fn is_reserved_field(key: &str, value: &Value<'_>) -> bool {
    // Excludes most keys.
    matches!(key.as_bytes().first(), Some(b'a' | b'A' | b'f' | b'F' | b'l' | b'L'))
        && (is_reserved_key(key)
            || value.json_object().is_some_and(|json| fills_reserved(key, json)))
}

fn is_reserved_key(key: &str) -> bool {
    let stored: Vec<u8> = stored_key(key.as_bytes()).collect();
    is_reserved(key.as_bytes()) || is_reserved_column(&stored)
}

fn is_reserved_column(column: &[u8]) -> bool {
    KEYS.contains(&column) || PREFIXES.iter().any(|prefix| column.starts_with(prefix))
}

fn fills_reserved(key: &str, json: &str) -> bool {
    let column: Vec<u8> = stored_key(key.as_bytes()).collect();
    begins_reserved(&column)
        && serde_json::from_str(json).is_ok_and(|object| holds(&column, &object, NESTED))
}

/// Returns `true` if the columns of an object may be reserved.
fn begins_reserved(column: &[u8]) -> bool {
    let mut all = PREFIXES.iter().chain(&KEYS);
    all.any(|own| own.strip_prefix(column).is_some_and(|rest| rest.starts_with(b"_")))
}

fn holds(column: &[u8], object: &Json, depth: Depth) -> bool {
    let Some((object, deeper)) = object.as_object().zip(depth.below()) else { return false };
    object.iter().any(|(key, value)| {
        let mut inner = [column, b"_"].concat();
        inner.extend(stored_key(key.as_bytes()));
        // `{"lambda_otlp": 1}` has the prefix without its last character.
        inner == b"lambda_otlp"
            || is_reserved_column(&inner)
            || begins_reserved(&inner) && holds(&inner, value, deeper)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::line::object_fields;

    #[test]
    fn the_keys_of_our_columns_are_reserved_in_every_spelling_and_within_objects() {
        let check = |line: &str, expected: bool| {
            let fields = object_fields(line).unwrap();
            let is_reserved = is_reserved_field(&fields[0].key, &fields[0].value);
            assert_eq!(is_reserved, expected, "{line}");
        };
        for line in [
            r#"{"lambda_otlp.adjusted_count":1}"#,
            r#"{"LAMBDA-OTLP-x":1}"#,
            r#"{"lambda_otlp":{"x":1}}"#,
            r#"{"lambda":{"a":1,"otlp":{"adjusted_count":1}}}"#,
            r#"{"lambda":{"otlp":1}}"#,
            r#"{"aws.lambda.tenant_id":"a"}"#,
            r#"{"aws_lambda_tenant_id":"a"}"#,
            r#"{"aws":{"lambda":{"event":{"type":"platform.report"}}}}"#,
            r#"{"aws":{"xray":{"trace_id":"a"}}}"#,
            r#"{"log_record.uid":"a"}"#,
            r#"{"faas":{"invocation":{"id":"a"}}}"#,
        ] {
            check(line, true);
        }
        for line in [
            r#"{"lambda":{"name":"orders"}}"#,
            r#"{"lambda":"otlp"}"#,
            r#"{"aws":{"region":"eu-west-1","lambda":"x"}}"#,
            r#"{"log":{"level":"info","record":{"id":1}}}"#,
            r#"{"faas.name":"x"}"#,
            r#"{"attr_lambda_otlp.x":1}"#,
        ] {
            check(line, false);
        }
        let deep = format!(r#"{{"lambda":{}1{}}}"#, r#"{"a":"#.repeat(100), "}".repeat(100));
        check(&deep, false);
    }
}
