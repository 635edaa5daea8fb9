//! The description of a message in the tables: its fields, their kinds, and the encoding of absence.

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Bool,
    /// Varint of the two's complement, as [`Kind::Int64`].
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    #[cfg_attr(not(feature = "decode"), expect(dead_code, reason = "only JSON has the names"))]
    Enum(&'static Enum),
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    /// Text, which must be UTF-8; otherwise other protobuf readers refuse the whole request.
    String,
    Bytes,
    /// Bytes that OTLP/JSON writes in hexadecimal, not base64 (OTLP, "JSON Protobuf Encoding").
    Id,
    Message(&'static Message),
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Presence {
    /// Zero means absent.
    Implicit,
    /// `optional`: zero is a value.
    Optional,
    /// A member of a oneof; no message has two of them.
    Oneof,
    /// Any number of times; numbers may be packed.
    Repeated,
}

/// An enumeration, whose names in OTLP/JSON begin with `prefix`.
#[cfg_attr(not(feature = "decode"), expect(dead_code, reason = "only JSON has the names"))]
pub(crate) struct Enum {
    pub(crate) prefix: &'static str,
    /// By number, from 0.
    pub(crate) names: &'static [&'static str],
}

pub(crate) struct Field {
    pub(crate) number: u32,
    /// The key in OTLP/JSON, which functions do not need.
    #[cfg(feature = "decode")]
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
}

pub(crate) struct Message {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
}

impl Message {
    pub(crate) fn field(&self, number: u32) -> Option<&'static Field> {
        // Most messages have all numbers from 1.
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        match self.fields.get(at) {
            Some(field) if field.number == number => Some(field),
            _ => self.fields.iter().find(|field| field.number == number),
        }
    }

    /// The field of this key, in lowerCamelCase or as the `.proto` files spell it, or of its name before OTLP 0.15.
    #[cfg(feature = "decode")]
    pub(crate) fn field_of_key(&self, key: &str) -> Option<&'static Field> {
        let key = match key {
            "instrumentationLibrarySpans" => "scopeSpans",
            "instrumentationLibraryLogs" => "scopeLogs",
            "instrumentationLibraryMetrics" => "scopeMetrics",
            "instrumentationLibrary" => "scope",
            _ => key,
        };
        let exact = self.fields.iter().find(|field| field.name == key);
        exact.or_else(|| {
            let spelled_as_in_proto = key.contains('_');
            let mut fields = self.fields.iter();
            fields.find(|field| spelled_as_in_proto && is_snake_case_of(key, field.name))
        })
    }
}

/// Returns `true` if `snake` is `camel` in the spelling of the `.proto` files.
#[cfg(feature = "decode")]
fn is_snake_case_of(snake: &str, camel: &str) -> bool {
    let mut snake = snake.bytes();
    let same = camel.bytes().all(|byte| {
        if byte.is_ascii_uppercase() {
            snake.next() == Some(b'_') && snake.next() == Some(byte.to_ascii_lowercase())
        } else {
            snake.next() == Some(byte)
        }
    });
    same && snake.next().is_none()
}

pub(super) const fn one(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, kind, Presence::Implicit)
}

pub(super) const fn optional(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, kind, Presence::Optional)
}

pub(super) const fn either(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, kind, Presence::Oneof)
}

pub(super) const fn many(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, kind, Presence::Repeated)
}

const fn field(number: u32, name: &'static str, kind: Kind, presence: Presence) -> Field {
    #[cfg(not(feature = "decode"))]
    let _ = name;
    Field {
        number,
        #[cfg(feature = "decode")]
        name,
        kind,
        presence,
    }
}
