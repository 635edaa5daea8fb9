//! The messages shared by all signals: attributes, resources and scopes.

use super::message::Kind::{Bool, Bytes, Double, Int32, Int64, Message as Nested, String, Uint32};
use super::message::{Message, either, many, one};

/// Returns `true` for `KeyValue`, the type of attributes.
pub(crate) fn is_key_value(message: &Message) -> bool {
    std::ptr::eq(message, &raw const KEY_VALUE)
}

/// Returns `true` for `AnyValue`, the only message whose strings may be truncated.
#[cfg(any(feature = "encode", feature = "decode"))]
pub(crate) fn is_any_value(message: &Message) -> bool {
    std::ptr::eq(message, &raw const ANY_VALUE)
}

/// The table of `AnyValue`.
#[cfg(any(feature = "encode", feature = "decode"))]
pub(crate) fn any_value() -> &'static Message {
    &ANY_VALUE
}

pub(super) static ANY_VALUE: Message = Message {
    name: "AnyValue",
    fields: &[
        either(1, "stringValue", String),
        either(2, "boolValue", Bool),
        either(3, "intValue", Int64),
        either(4, "doubleValue", Double),
        either(5, "arrayValue", Nested(&ARRAY_VALUE)),
        either(6, "kvlistValue", Nested(&KEY_VALUE_LIST)),
        either(7, "bytesValue", Bytes),
        either(8, "stringValueStrindex", Int32),
    ],
};
static ARRAY_VALUE: Message =
    Message { name: "ArrayValue", fields: &[many(1, "values", Nested(&ANY_VALUE))] };
static KEY_VALUE_LIST: Message =
    Message { name: "KeyValueList", fields: &[many(1, "values", Nested(&KEY_VALUE))] };
pub(super) static KEY_VALUE: Message = Message {
    name: "KeyValue",
    fields: &[
        one(1, "key", String),
        one(2, "value", Nested(&ANY_VALUE)),
        one(3, "keyStrindex", Int32),
    ],
};
pub(super) static RESOURCE: Message = Message {
    name: "Resource",
    fields: &[
        many(1, "attributes", Nested(&KEY_VALUE)),
        one(2, "droppedAttributesCount", Uint32),
        many(3, "entityRefs", Nested(&ENTITY_REF)),
    ],
};
static ENTITY_REF: Message = Message {
    name: "EntityRef",
    fields: &[
        one(1, "schemaUrl", String),
        one(2, "type", String),
        many(3, "idKeys", String),
        many(4, "descriptionKeys", String),
    ],
};
pub(super) static SCOPE: Message = Message {
    name: "InstrumentationScope",
    fields: &[
        one(1, "name", String),
        one(2, "version", String),
        many(3, "attributes", Nested(&KEY_VALUE)),
        one(4, "droppedAttributesCount", Uint32),
    ],
};
