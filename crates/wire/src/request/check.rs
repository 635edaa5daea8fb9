//! Checks without decoding that bytes have the structure of a request, as strictly as any protobuf reader.

use super::canonical::is_of_container;
use crate::field::{event, key_value, log_record, metric};
use crate::protobuf::{BadField, Field, Reader, Value, packed_varints, plain_attribute};
use crate::schema::{self, Kind, Message, Presence};
use crate::signal::SignalKind;

/// Limits on decoding one line or one delivery.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum inflated payload of one line, in bytes.
    pub inflated_bytes: usize,
    /// Bytes that undecodable lines may inflate to together. After that, each line may inflate to at most 64 times its size, so
    /// that lines made to fail cost little time, and leave room for good lines.
    pub refused_bytes: usize,
    /// Maximum nesting of messages. Other protobuf readers stop at 100.
    pub nesting: usize,
    /// Maximum number of items (spans, data points, log records) of one request, and of all lines of one text.
    pub items: usize,
    /// Minimum average size of an item in bytes, in lines with more than a hundred: a line with smaller ones is an attack that
    /// creates very many records. The smallest meaningful item, a log record with a time and a word, is larger.
    pub least_item_bytes: usize,
    /// Maximum number of messages (attributes, values, events, data points, …) and repeated values of one request; 4 packed
    /// integers, or 2 of fixed size, count as one. An empty message has two bytes here, and more than fifty as a struct.
    pub messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inflated_bytes: 16 * 1024 * 1024,
            refused_bytes: 16 * 1024 * 1024,
            nesting: 64,
            items: 50_000,
            least_item_bytes: 12,
            messages: 500_000,
        }
    }
}

/// The reason why bytes are not an OTLP request of the expected signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    #[error("{message}: {error}")]
    Field { message: &'static str, error: BadField },
    #[error("{message}: field {field} has a wire type that OTLP does not give it")]
    WrongType { message: &'static str, field: u32 },
    #[error("{message}: field {field} is not UTF-8 text")]
    NotUtf8 { message: &'static str, field: u32 },
    #[error("messages are nested deeper than {0} levels")]
    TooDeep(usize),
    #[error("{found} items in one request, but the limit leaves room for {allowed}")]
    TooManyItems { found: usize, allowed: usize },
    #[error("more than {0} attributes, values and other messages in one request")]
    TooManyMessages(usize),
}

impl Malformed {
    pub(super) fn is_about_limit(&self) -> bool {
        match self {
            Self::TooDeep(_) | Self::TooManyItems { .. } | Self::TooManyMessages(_) => true,
            Self::Field { .. } | Self::WrongType { .. } | Self::NotUtf8 { .. } => false,
        }
    }
}

/// The result of a check.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Checked {
    pub(super) items: usize,
    pub(super) is_canonical: bool,
    /// `false` if no name in the request is reserved, see `crate::reserved`.
    pub(super) may_have_reserved_names: bool,
}

/// Checks that bytes have the structure of a request and are within the limits.
pub(super) fn check(kind: SignalKind, bytes: &[u8], limits: &Limits) -> Result<Checked, Malformed> {
    let mut check = Check {
        kind,
        limits,
        messages: 0,
        items: 0,
        is_canonical: true,
        may_have_reserved_names: false,
    };
    check.message(schema::request(kind), bytes, limits.nesting, kind.path_to_items())?;
    let Check { items, is_canonical, may_have_reserved_names, .. } = check;
    if items > limits.items {
        return Err(Malformed::TooManyItems { found: items, allowed: limits.items });
    }
    Ok(Checked { items, is_canonical, may_have_reserved_names })
}

/// Returns `false` for a readable request that isn't in the canonical form.
pub(super) fn is_canonical(kind: SignalKind, bytes: &[u8]) -> bool {
    const NONE: usize = usize::MAX;
    let limits = Limits {
        inflated_bytes: NONE,
        refused_bytes: NONE,
        items: NONE,
        least_item_bytes: 0,
        messages: NONE,
        ..Limits::default()
    };
    check(kind, bytes, &limits).map_or(true, |checked| checked.is_canonical)
}

/// Returns `true` for reserved names, the keys of maps that may hold some, and a few others. Cheap, because it looks at each key of a
/// request.
#[inline]
pub(crate) fn may_be_reserved(name: &[u8]) -> bool {
    matches!(name.first(), Some(b'l' | b'L')) && may_follow_prefix(name)
}

#[cold]
fn may_follow_prefix(name: &[u8]) -> bool {
    let Some((_, rest)) = name.split_at_checked(6) else { return false };
    let may_follow = match rest {
        [joint, rest @ ..] if joint.is_ascii() => {
            rest.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"otlp"))
        }
        // The key of a map, or a longer joint.
        _ => true,
    };
    may_follow && begins_like_prefix(name)
}

struct Check<'l> {
    kind: SignalKind,
    limits: &'l Limits,
    /// Number of messages so far, see [`Limits::messages`](crate::Limits::messages).
    messages: usize,
    items: usize,
    is_canonical: bool,
    may_have_reserved_names: bool,
}

impl Check<'_> {
    fn message(
        &mut self,
        message: &'static Message,
        bytes: &[u8],
        depth_left: usize,
        path_to_items: &[&[u32]],
    ) -> Result<(), Malformed> {
        let Some(depth_left) = depth_left.checked_sub(1) else {
            return Err(Malformed::TooDeep(self.limits.nesting));
        };
        let is_value = schema::is_any_value(message);
        // The slots that have their values.
        let mut filled = 0_u64;
        let mut begins_with_known = true;
        for field in Reader::new(bytes) {
            let field = field.map_err(|error| Malformed::Field { message: message.name, error })?;
            let Some(known) = message.field(field.number) else {
                begins_with_known = filled != 0;
                continue;
            };
            if filled & known.slot != 0
                || (is_value && (!begins_with_known || has_long_tag(&field)))
            {
                self.is_canonical = false;
            }
            filled |= known.slot;
            let name = message.name;
            let number = field.number;
            let is_repeated = known.presence == Presence::Repeated;
            match (known.kind, field.value) {
                (Kind::Message(inner), Value::Len(bytes)) => {
                    if depth_left >= 2
                        && schema::is_key_value(inner)
                        && let Some(key) = key_of_plain(bytes)
                    {
                        self.may_have_reserved_names |= may_be_reserved(key);
                        // The attribute is one message, and its value another.
                        self.messages += 2;
                        continue;
                    }
                    self.messages += 1;
                    let path = match path_to_items.split_first() {
                        Some((level, deeper)) if level.contains(&number) => {
                            self.items += usize::from(deeper.is_empty());
                            deeper
                        }
                        _ => &[],
                    };
                    let items_before = self.items;
                    self.message(inner, bytes, depth_left, path)?;
                    let is_container = !path.is_empty() && is_of_container(self.kind, path);
                    if is_container && self.items == items_before {
                        self.is_canonical = false;
                    }
                }
                (Kind::String, Value::Len(text)) => {
                    if !text.is_ascii() && std::str::from_utf8(text).is_err() {
                        return Err(Malformed::NotUtf8 { message: name, field: number });
                    }
                    self.may_have_reserved_names |= may_be_reserved_name(text, name, number);
                    self.messages += usize::from(is_repeated);
                }
                (kind, value) if kind.has_wire_type(value) => {
                    self.messages += usize::from(is_repeated);
                }
                (kind, Value::Len(packed)) if is_repeated && are_packed(kind, packed) => {
                    self.messages += packed.len() / packed_bytes_as_one(kind);
                }
                _ => return Err(Malformed::WrongType { message: name, field: number }),
            }
        }
        // Checked once a message, not once a field: a message adds no more than the number of its bytes.
        if self.messages > self.limits.messages {
            return Err(Malformed::TooManyMessages(self.limits.messages));
        }
        Ok(())
    }
}

/// Returns `true` if the tag of a known field has more bytes than it needs. All numbers below 16 need one.
fn has_long_tag(field: &Field<'_>) -> bool {
    field.number < 16 && field.raw.first().is_some_and(|byte| *byte >= 0x80)
}

/// The same for a text that is a name: of an attribute, an event or a metric.
#[inline]
fn may_be_reserved_name(text: &[u8], message: &str, field: u32) -> bool {
    matches!(text.first(), Some(b'l' | b'L'))
        && match (message, field) {
            // OpenObserve folds what may stand between the two words.
            ("Metric", metric::NAME) => begins_like_prefix(text),
            ("KeyValue", key_value::KEY)
            | ("Span.Event", event::NAME)
            | ("LogRecord", log_record::EVENT_NAME) => may_follow_prefix(text),
            _ => false,
        }
}

fn begins_like_prefix(name: &[u8]) -> bool {
    name.get(..6).is_some_and(|begin| begin.eq_ignore_ascii_case(b"lambda"))
}

/// The key of an attribute with an ASCII key and an ASCII text or number, as most are: it is valid without reading its fields one
/// by one.
fn key_of_plain(key_value: &[u8]) -> Option<&[u8]> {
    let (key, value) = plain_attribute(key_value)?;
    let is_plain = match value {
        // Includes tags and lengths, which are below 0x80 here.
        [0x0a, len, text @ ..] => text.len() == usize::from(*len) && key_value.is_ascii(),
        // A varint of ten bytes may be out of range.
        [0x18, more @ .., last] => {
            let is_varint = *last < 0x80 && more.iter().all(|byte| *byte >= 0x80);
            more.len() < 9 && is_varint && key.is_ascii()
        }
        _ => false,
    };
    is_plain.then_some(key)
}

/// Packed numbers of this many bytes count as one message. A decoded number has eight bytes, also if it is a varint of one.
const fn packed_bytes_as_one(kind: Kind) -> usize {
    match kind {
        Kind::Uint64 => 4,
        _ => 16,
    }
}

/// Returns `true` if `bytes` are packed values of this kind; OTLP packs these three.
fn are_packed(kind: Kind, bytes: &[u8]) -> bool {
    match kind {
        Kind::Fixed64 | Kind::Double => bytes.len().is_multiple_of(8),
        Kind::Uint64 => packed_varints(bytes).all(|varint| varint.is_ok()),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
