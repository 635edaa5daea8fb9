//! Texts in JSON, by JSON pointer (RFC 6901).

use serde_json::Value;

pub(super) fn str_of<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

pub(super) fn text(value: &Value, pointer: &str) -> Option<String> {
    str_of(value, pointer).map(str::to_owned)
}
