//! Values that JSON lacks, as text: OpenObserve would store an empty text, a list of numbers, or nothing.
//!
//! Bytes become text, in base64 if they are not UTF-8, and so do `NaN`, `Infinity` and `-Infinity`, as OpenTelemetry represents them in
//! other formats. Source: OpenTelemetry specification, "AttributeValue representation for non-OTLP protocols".

use super::planned::{Class, Form, Planned};
use super::typed_columns::fraction_text;
use wire::Depth;
use wire::edit::{Edit, edit_children};
use wire::field::{any_value, key_value};
use wire::protobuf::{Value, Writer, fields, messages};
use wire::reserved::RENAMED_PREFIX;
use wire::view::key_and_value;

/// The key by which serde_json marks numbers. As the key of a map's entry, OpenObserve takes the entry for a number, and loses
/// other texts.
const NUMBER_TOKEN: &str = "$serde_json::private::Number";

/// Plans texts for values of attributes that JSON lacks.
pub(super) fn plan_texts(attributes: &mut [Planned<'_>]) {
    for attribute in attributes {
        match attribute.class {
            Class::Bytes | Class::NotFinite => {
                attribute.form = Form::WithTexts;
                attribute.class = Class::Text;
            }
            Class::ArrayWithOthers => attribute.form = Form::WithTexts,
            Class::Map => {
                plan_texts(&mut attribute.entries);
                let tokens = attribute.entries.iter_mut().filter(|it| it.key == NUMBER_TOKEN);
                tokens.for_each(Planned::make_room);
            }
            _ => {}
        }
    }
}

/// Returns `true` if a value is or holds one that JSON lacks.
pub(super) fn has_text_values(value: &[u8]) -> bool {
    is_changed(&edit_value(value, Depth::OF_VALUES))
}

/// The fields of a value with texts for all that JSON lacks.
pub(super) fn with_texts(value: &[u8]) -> Vec<u8> {
    match edit_value(value, Depth::OF_VALUES) {
        Edit::Replace(bytes) => bytes,
        _ => value.to_vec(),
    }
}

fn is_changed(edit: &Edit) -> bool {
    matches!(edit, Edit::Replace(_))
}

fn edit_value(value: &[u8], depth: Depth) -> Edit {
    let Some(depth) = depth.below() else { return Edit::Keep };
    let text = match Class::read_without_elements(value) {
        Class::Array => {
            return edit_children(value, &[any_value::ARRAY], None, |_, array| {
                edit_children(array, &[any_value::VALUES], None, |_, value| {
                    edit_value(value, depth)
                })
            });
        }
        Class::Map => {
            return edit_children(value, &[any_value::KVLIST], None, |_, map| {
                edit_children(map, &[any_value::VALUES], None, |_, entry| edit_entry(entry, depth))
            });
        }
        Class::Bytes => bytes_text(messages(value, any_value::BYTES).next().unwrap_or_default()),
        Class::NotFinite => scalar_text(value),
        _ => return Edit::Keep,
    };
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).always_string(any_value::STRING, &text);
    Edit::Replace(bytes)
}

fn edit_entry(entry: &[u8], depth: Depth) -> Edit {
    let (key, value) = key_and_value(entry);
    let edit = edit_value(value, depth);
    let is_token = key == NUMBER_TOKEN.as_bytes();
    if !is_token && !is_changed(&edit) {
        return Edit::Keep;
    }
    let mut bytes = Vec::new();
    let mut out = Writer::new(&mut bytes);
    let key = if is_token { [RENAMED_PREFIX.as_bytes(), key].concat() } else { key.to_vec() };
    out.always_bytes(key_value::KEY, &key);
    out.always_bytes(key_value::VALUE, if let Edit::Replace(new) = &edit { new } else { value });
    Edit::Replace(bytes)
}

fn bytes_text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|error| {
        let mut text = Vec::new();
        wire::push_base64(&mut text, error.as_bytes());
        String::from_utf8(text).unwrap_or_default()
    })
}

/// The text of a Boolean or number.
pub(super) fn scalar_text(value: &[u8]) -> String {
    let field = fields(value).next();
    match field.map(|field| (field.number, field.value)) {
        Some((any_value::BOOL, Value::Varint(value))) => (value != 0).to_string(),
        Some((any_value::INT, Value::Varint(number))) => number.cast_signed().to_string(),
        Some((any_value::DOUBLE, Value::Fixed64(bits))) => match f64::from_bits(bits) {
            number if number.is_nan() => "NaN".to_owned(),
            f64::INFINITY => "Infinity".to_owned(),
            f64::NEG_INFINITY => "-Infinity".to_owned(),
            number => fraction_text(number),
        },
        _ => String::new(),
    }
}
