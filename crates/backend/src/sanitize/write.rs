//! Writes the attributes and values of a plan.

use super::planned::{Form, Planned, ReadAttribute};
use super::text_values::{scalar_text, with_texts};
use super::typed_columns::NUMBER;
use wire::field::{any_value, key_value};
use wire::protobuf::{Value, Writer, fields};
use wire::view::map_entries;

/// Writes planned attributes, each in a field of this number.
pub(super) fn write_attributes(
    out: &mut Writer<'_>,
    number: u32,
    planned: &[Planned<'_>],
    read: &[ReadAttribute<'_>],
) {
    for attribute in planned {
        write_attribute(out, number, attribute, read);
    }
    for attribute in planned.iter().filter(|attribute| attribute.adds_number) {
        let Some(source) = read.get(attribute.source) else { continue };
        out.message(number, |pair| {
            pair.concatenated(key_value::KEY, attribute.key.as_bytes(), NUMBER.as_bytes());
            pair.message(key_value::VALUE, |out| {
                out.always_double(any_value::DOUBLE, read_number(source.value));
            });
        });
    }
}

fn write_attribute(
    out: &mut Writer<'_>,
    number: u32,
    planned: &Planned<'_>,
    read: &[ReadAttribute<'_>],
) {
    let Some(source) = read.get(planned.source) else { return };
    if planned.is_unchanged() && !source.encoded.is_empty() {
        return out.always_bytes(number, source.encoded);
    }
    out.message(number, |pair| {
        pair.always_bytes(key_value::KEY, planned.key.as_bytes());
        if !source.value.is_empty() {
            pair.message(key_value::VALUE, |out| write_value(out, planned, source.value));
        }
    });
}

/// Writes the fields of a value as it is planned.
pub(super) fn write_value(out: &mut Writer<'_>, planned: &Planned<'_>, value: &[u8]) {
    match planned.form {
        Form::Unchanged if planned.is_map() && !planned.is_unchanged() => {
            let entries: Vec<ReadAttribute<'_>> =
                map_entries(value).map(ReadAttribute::read).collect();
            out.message(any_value::KVLIST, |map| {
                write_attributes(map, any_value::VALUES, &planned.entries, &entries);
            });
        }
        Form::Unchanged => out.raw(value),
        Form::WithTexts => out.raw(&with_texts(value)),
        Form::Text => out.always_string(any_value::STRING, &scalar_text(value)),
        Form::Number => out.always_double(any_value::DOUBLE, read_number(value)),
    }
}

fn read_number(value: &[u8]) -> f64 {
    let field = fields(value).next();
    match field.map(|field| (field.number, field.value)) {
        #[expect(clippy::cast_precision_loss, reason = "the text has all digits")]
        Some((any_value::INT, Value::Varint(number))) => number.cast_signed() as f64,
        Some((any_value::DOUBLE, Value::Fixed64(bits))) => f64::from_bits(bits),
        _ => 0.0,
    }
}
