//! One encoded `Export…ServiceRequest`, checked once, then counted, split and joined as bytes.
//!
//! Protobuf needs no decoding for this: concatenated requests are one request, and the three
//! signals share one shape down to their items ([`SignalKind::path_to_items`]).

use crate::SignalKind;
use crate::proto::{BadField, Reader, Value, Writer, packed_varints, plain_attribute};
use crate::schema::{self, Kind, Message, Presence};
use crate::split::{self, Sizes};
use std::fmt;

/// Bounds on what is decoded from one line or one delivery.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest inflated payload of one line, in bytes.
    pub inflated_bytes: usize,
    /// Deepest nesting of messages. Other protobuf readers stop at 100.
    pub nesting: usize,
    /// Most items (spans, data points, log records) of one request.
    pub items: usize,
    /// Most messages (attributes, values, events, data points, …) and repeated values of one request; 16 packed numbers
    /// count as one. An empty message has two bytes, and more than fifty as a struct.
    pub messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { inflated_bytes: 16 * 1024 * 1024, nesting: 64, items: 50_000, messages: 500_000 }
    }
}

/// Why bytes are no OTLP request of the expected signal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// Not protobuf at all.
    Field {
        /// The message that holds the bad bytes.
        message: &'static str,
        /// What is wrong with them.
        error: BadField,
    },
    /// A field has another wire type than OTLP gives it.
    WrongType {
        /// The message that holds the field.
        message: &'static str,
        /// The field's number.
        field: u32,
    },
    /// A string is not UTF-8.
    NotUtf8 {
        /// The message that holds the string.
        message: &'static str,
        /// The field's number.
        field: u32,
    },
    /// Messages are nested deeper than [`Limits::nesting`].
    TooDeep(usize),
    /// More items than [`Limits::items`].
    TooManyItems {
        /// Number of items found.
        found: usize,
        /// Number of items allowed.
        allowed: usize,
    },
    /// More messages than [`Limits::messages`], which is the number here.
    TooManyMessages(usize),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { message, error } => write!(f, "{message}: {error}"),
            Self::WrongType { message, field } => {
                write!(f, "{message}: field {field} has a wire type that OTLP does not give it")
            }
            Self::NotUtf8 { message, field } => {
                write!(f, "{message}: field {field} is not UTF-8 text")
            }
            Self::TooDeep(limit) => write!(f, "messages are nested deeper than {limit} levels"),
            Self::TooManyItems { found, allowed } => {
                write!(f, "{found} items in one request, at most {allowed} are read")
            }
            Self::TooManyMessages(limit) => {
                write!(f, "more than {limit} attributes, values and other messages in one request")
            }
        }
    }
}

impl std::error::Error for Malformed {}

/// One encoded `Export…ServiceRequest` whose structure was checked.
#[derive(Clone)]
pub struct Request {
    kind: SignalKind,
    bytes: Vec<u8>,
    items: usize,
    /// See [`Request::has_few_keys`].
    few_keys: bool,
}

impl PartialEq for Request {
    /// What is known of a request does not make it another.
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.bytes == other.bytes
    }
}

impl Eq for Request {}

impl fmt::Debug for Request {
    /// Sizes only: the content is a customer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({}, {} items, {} bytes)", self.kind, self.items, self.bytes.len())
    }
}

impl Request {
    /// Checks that `bytes` are a request of this signal as any protobuf reader would accept it.
    ///
    /// Unknown fields pass. Costs no allocation.
    pub fn check(kind: SignalKind, bytes: Vec<u8>, limits: &Limits) -> Result<Self, Malformed> {
        let items = check(kind, &bytes, limits)?;
        Ok(Self::counted(kind, bytes, items))
    }

    /// Takes bytes whose signal is not known: it is the one whose structure they have. `named`
    /// decides only between signals that fit alike: requests without items, and items of few fields.
    pub fn check_any(
        named: Option<SignalKind>,
        bytes: Vec<u8>,
        limits: &Limits,
    ) -> Result<Self, Malformed> {
        let first = named.unwrap_or(SignalKind::Traces);
        let as_first = check(first, &bytes, limits);
        let others = SignalKind::ALL.into_iter().filter(|kind| *kind != first);
        let (kind, items) = match as_first {
            Ok(items) => (first, items),
            Err(error) => others
                .map(|kind| (kind, check(kind, &bytes, limits)))
                .find_map(|(kind, result)| Some((kind, result.ok()?)))
                .ok_or(error)?,
        };
        Ok(Self::counted(kind, bytes, items))
    }

    /// Takes bytes that our own encoder has just written.
    pub fn trusted(kind: SignalKind, bytes: Vec<u8>) -> Self {
        let items = count(&bytes, kind.path_to_items());
        Self::counted(kind, bytes, items)
    }

    /// Takes bytes whose items were counted while they were put together.
    pub fn counted(kind: SignalKind, bytes: Vec<u8>, items: usize) -> Self {
        Self { kind, bytes, items, few_keys: false }
    }

    /// Notes that whoever looked at all items found few different attribute keys, maps left out.
    #[must_use]
    pub fn with_few_keys(self) -> Self {
        Self { few_keys: true, ..self }
    }

    /// Whether this was noted of the request, or of the one that it is a part of; false says nothing.
    pub fn has_few_keys(&self) -> bool {
        self.few_keys
    }

    /// Encodes a request of structs.
    #[cfg(feature = "decode")]
    pub fn encode<S: crate::Signal>(request: &S::Request) -> Self {
        Self::trusted(S::KIND, prost::Message::encode_to_vec(request))
    }

    /// Decodes the request into structs; `None` if it is of another signal.
    #[cfg(feature = "decode")]
    pub fn decode<S: crate::Signal>(&self) -> Option<Result<S::Request, prost::DecodeError>> {
        (self.kind == S::KIND).then(|| prost::Message::decode(self.bytes.as_slice()))
    }

    /// The signal.
    pub fn kind(&self) -> SignalKind {
        self.kind
    }

    /// The protobuf bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The protobuf bytes, by value.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Number of spans, data points or log records.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Gives the trace id of each span; other signals have none, and ids of another length are none.
    pub fn each_trace_id(&self, take: &mut dyn FnMut([u8; 16])) {
        const TRACE_ID: u32 = 1;
        if self.kind == SignalKind::Traces {
            each_item(&self.bytes, self.kind.path_to_items(), &mut |span| {
                let fields = Reader::new(span).map_while(Result::ok);
                let ids = fields.filter(|field| field.number == TRACE_ID);
                let id = ids.filter_map(|field| field.as_len()).last();
                if let Some(Ok(id)) = id.map(<[u8; 16]>::try_from) {
                    take(id);
                }
            });
        }
    }

    /// Splits after the first `items` items; both parts keep resource, scope and metric heads.
    /// Parts without items are empty requests.
    pub fn split_at(self, items: usize) -> (Self, Self) {
        let path = self.kind.path_to_items();
        let mut left = items.min(self.items);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        split_message(&self.bytes, path, &mut left, &mut first, &mut second);
        let taken = items.min(self.items);
        (self.part(first, taken), self.part(second, self.items - taken))
    }

    /// Cuts into parts of at most `max_bytes`; a single item may be larger, and so may a part whose
    /// resource, scope and metric heads have half of that: its cuts would repeat them. All parts together
    /// have at most three times the bytes.
    pub fn split_by_size(self, max_bytes: usize) -> Vec<Self> {
        if self.bytes.len() <= max_bytes || self.items <= 1 {
            return vec![self];
        }
        let sizes = Sizes { max_bytes, max_head_bytes: max_bytes / 2, halves: true };
        split::split(&self, sizes)
    }

    /// A part of this request that was just cut out of it.
    pub(crate) fn part(&self, bytes: Vec<u8>, items: usize) -> Self {
        Self { kind: self.kind, bytes, items, few_keys: self.few_keys }
    }
}

/// Counts the items of a request whose structure is right.
fn check(kind: SignalKind, bytes: &[u8], limits: &Limits) -> Result<usize, Malformed> {
    let mut check = Check { limits, messages: 0, items: 0 };
    check.message(schema::request(kind), bytes, limits.nesting, kind.path_to_items())?;
    let found = check.items;
    if found > limits.items {
        return Err(Malformed::TooManyItems { found, allowed: limits.items });
    }
    Ok(found)
}

struct Check<'l> {
    limits: &'l Limits,
    /// Messages so far, and what counts as such.
    messages: usize,
    /// Items so far.
    items: usize,
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
        for field in Reader::new(bytes) {
            let field = field.map_err(|error| Malformed::Field { message: message.name, error })?;
            let Some(known) = message.field(field.number) else { continue };
            let (name, number) = (message.name, field.number);
            let is_repeated = known.presence == Presence::Repeated;
            match (known.kind, field.value) {
                (Kind::Message(inner), Value::Len(bytes)) => {
                    if depth_left >= 2 && schema::is_key_value(inner) && is_plain(bytes) {
                        // Its value is a message, too.
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
                    self.message(inner, bytes, depth_left, path)?;
                }
                (Kind::String, Value::Len(text)) => {
                    if !text.is_ascii() && std::str::from_utf8(text).is_err() {
                        return Err(Malformed::NotUtf8 { message: name, field: number });
                    }
                    self.messages += usize::from(is_repeated);
                }
                (kind, value) if has_wire_type(kind, value) => {
                    self.messages += usize::from(is_repeated);
                }
                (kind, Value::Len(packed)) if is_repeated && are_packed(kind, packed) => {
                    self.messages += packed.len() / PACKED_BYTES_AS_ONE;
                }
                _ => return Err(Malformed::WrongType { message: name, field: number }),
            }
        }
        // Once a message: what is within one is no more than its bytes.
        if self.messages > self.limits.messages {
            return Err(Malformed::TooManyMessages(self.limits.messages));
        }
        Ok(())
    }
}

/// True for an attribute that is ASCII text or a number under a key of ASCII, as most are; such a one needs no closer look.
fn is_plain(key_value: &[u8]) -> bool {
    let Some((key, value)) = plain_attribute(key_value) else { return false };
    match value {
        // Tags and lengths are below 0x80 as well.
        [0x0a, len, text @ ..] => text.len() == usize::from(*len) && key_value.is_ascii(),
        // Ten bytes may be too many.
        [0x18, more @ .., last] => {
            let is_varint = *last < 0x80 && more.iter().all(|byte| *byte >= 0x80);
            more.len() < 9 && is_varint && key.is_ascii()
        }
        _ => false,
    }
}

/// A packed number has one byte at least, and eight when decoded.
const PACKED_BYTES_AS_ONE: usize = 16;

/// True for a scalar of the wire type that its kind has.
fn has_wire_type(kind: Kind, value: Value<'_>) -> bool {
    match kind {
        Kind::Bool
        | Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Enum(_) => matches!(value, Value::Varint(_)),
        Kind::Fixed32 => matches!(value, Value::Fixed32(_)),
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => matches!(value, Value::Fixed64(_)),
        Kind::Bytes | Kind::Id => matches!(value, Value::Len(_)),
        Kind::String | Kind::Message(_) => false,
    }
}

/// True if `bytes` are packed values of this kind; OTLP packs these three.
fn are_packed(kind: Kind, bytes: &[u8]) -> bool {
    match kind {
        Kind::Fixed64 | Kind::Double => bytes.len().is_multiple_of(8),
        Kind::Uint64 => packed_varints(bytes).all(|varint| varint.is_ok()),
        _ => false,
    }
}

/// Counts the items below `message`, whose structure was checked.
pub(crate) fn count(message: &[u8], path: &[&[u32]]) -> usize {
    let Some((level, deeper)) = path.split_first() else { return 1 };
    Reader::new(message)
        .map_while(Result::ok)
        .filter(|field| level.contains(&field.number))
        .filter_map(|field| field.as_len())
        .map(|inner| count(inner, deeper))
        .sum()
}

/// Gives the items below `message`, whose structure was checked.
fn each_item(message: &[u8], path: &[&[u32]], take: &mut dyn FnMut(&[u8])) {
    let Some((level, deeper)) = path.split_first() else { return take(message) };
    let fields = Reader::new(message).map_while(Result::ok);
    for field in fields.filter(|field| level.contains(&field.number)) {
        if let Some(inner) = field.as_len() {
            each_item(inner, deeper, take);
        }
    }
}

/// Copies the first `left` items of `message` to `first` and the others to `second`; fields that
/// lead to no item go to both, messages that would hold no item to neither.
fn split_message(
    message: &[u8],
    path: &[&[u32]],
    left: &mut usize,
    first: &mut Vec<u8>,
    second: &mut Vec<u8>,
) {
    let Some((level, deeper)) = path.split_first() else { return };
    for field in Reader::new(message).map_while(Result::ok) {
        let inner = match field.as_len() {
            Some(inner) if level.contains(&field.number) => inner,
            _ => {
                first.extend_from_slice(field.raw);
                second.extend_from_slice(field.raw);
                continue;
            }
        };
        let items = count(inner, deeper);
        if items == 0 {
            continue;
        }
        if items <= *left {
            *left -= items;
            first.extend_from_slice(field.raw);
        } else if *left == 0 {
            second.extend_from_slice(field.raw);
        } else {
            let (mut inner_first, mut inner_second) = (Vec::new(), Vec::new());
            split_message(inner, deeper, left, &mut inner_first, &mut inner_second);
            Writer::new(first).always_bytes(field.number, &inner_first);
            Writer::new(second).always_bytes(field.number, &inner_second);
        }
    }
}

#[cfg(test)]
mod tests;
