//! Writes the skeleton and the holes of requests.

use super::codes::{self, END, OTHER_FORM, RAW_FIELD};
use super::context::{Context, UsedNames};
use super::history::{History, RecentValues, Unit};
use crate::field::key_value;
use crate::protobuf::{self, Field, Reader, Value, push_varint};
use crate::schema::{self, Kind, Message, Presence};
use crate::signal::SignalKind;

/// Deeper messages are written as plain protobuf.
const DEEPEST: usize = 64;
/// Times of this century have more nanoseconds; counts and sums do not.
const LEAST_TIME: u64 = 1 << 60;
/// Smaller numbers take two bytes of a hole, as many as most differences to the expected number.
const LEAST_REST: u64 = 1 << 14;
const MAX_PAST_REST: u64 = 1 << 13;
/// Ports of servers, which are the same in each invocation.
const PORTS: [u64; 10] = [80, 443, 1433, 3306, 5432, 5672, 6379, 8080, 9092, 27017];

/// The skeleton and the holes of requests, while they are written.
pub(super) struct LineParts<'b> {
    pub(super) skeleton: &'b mut Vec<u8>,
    pub(super) holes: &'b mut Vec<u8>,
    pub(super) context: Context<'b>,
    pub(super) history: History,
    /// The skeletons of recent items.
    items: RecentValues<SkeletonPart>,
    pub(super) used: UsedNames,
}

/// A part of the skeleton.
#[derive(Clone, Copy, Default)]
struct SkeletonPart {
    begin: usize,
    end: usize,
}

impl SkeletonPart {
    fn of(self, skeleton: &[u8]) -> Option<&[u8]> {
        skeleton.get(self.begin..self.end)
    }
}

/// A name of the context that begins a text.
pub(super) struct ContextName {
    pub(super) bytes: usize,
    pub(super) code: u8,
}

/// Why a message was not written.
pub(super) enum Unwritten {
    /// A time is no multiple of the unit, but of this one.
    Unit(Unit),
    /// No protobuf, or too many nested messages.
    Inexpressible,
}

impl<'b> LineParts<'b> {
    pub(super) fn new(
        skeleton: &'b mut Vec<u8>,
        holes: &'b mut Vec<u8>,
        context: Context<'b>,
        unit: Unit,
    ) -> Self {
        skeleton.clear();
        holes.clear();
        Self {
            skeleton,
            holes,
            context,
            history: History::new(unit),
            items: RecentValues::default(),
            used: UsedNames::default(),
        }
    }

    pub(super) fn request(&mut self, kind: SignalKind, bytes: &[u8]) -> Result<(), Unwritten> {
        self.skeleton.push(codes::signal_number(kind));
        self.message(schema::request(kind), bytes, DEEPEST)
    }

    /// Writes a request as it is.
    pub(super) fn plain(&mut self, kind: SignalKind, bytes: &[u8]) {
        self.skeleton.push(codes::signal_number(kind) | OTHER_FORM);
        self.sized(bytes);
    }

    fn sized(&mut self, bytes: &[u8]) {
        push_varint(self.skeleton, bytes.len() as u64);
        self.skeleton.extend_from_slice(bytes);
    }

    fn message(
        &mut self,
        message: &'static Message,
        bytes: &[u8],
        depth_left: usize,
    ) -> Result<(), Unwritten> {
        let depth_left = depth_left.checked_sub(1).ok_or(Unwritten::Inexpressible)?;
        for field in Reader::new(bytes) {
            let field = field.map_err(|_| Unwritten::Inexpressible)?;
            let known = message.field(field.number).filter(|_| is_shortest(&field));
            let is_written = match known {
                Some(known) => self.field(known, &field, depth_left)?,
                None => false,
            };
            if !is_written {
                self.skeleton.push(RAW_FIELD);
                self.sized(field.raw);
            }
        }
        self.skeleton.push(END);
        Ok(())
    }

    /// Writes a field. Returns `false` if its value is of another type than the `known` field's.
    fn field(
        &mut self,
        known: &schema::Field,
        field: &Field<'_>,
        depth_left: usize,
    ) -> Result<bool, Unwritten> {
        let code = field.number.to_le_bytes()[0];
        let is_repeated = known.presence == Presence::Repeated;
        match (known.kind, field.value) {
            (Kind::Message(inner), Value::Len(bytes)) => {
                let is_attribute = schema::is_key_value(inner);
                if is_attribute && let Some(attribute) = SimpleAttribute::read(bytes) {
                    self.skeleton.push(code);
                    self.text(attribute.key);
                    return self.field(attribute.known, &attribute.value, depth_left);
                }
                self.skeleton.push(if is_attribute { code | OTHER_FORM } else { code });
                let begin = self.skeleton.len();
                self.message(inner, bytes, depth_left)?;
                if schema::is_item(inner) {
                    self.shorten_item(begin);
                }
            }
            (kind, Value::Len(packed)) if is_repeated && is_number(kind) => {
                return self.numbers(kind, code, packed);
            }
            (kind, value) if kind.has_wire_type(value) => {
                self.skeleton.push(code);
                self.scalar(kind, value)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Replaces the item at the end of the skeleton by the rank of a recent one with the same skeleton, if there is one. The code of
    /// its field stands before `begin`.
    fn shorten_item(&mut self, begin: usize) {
        let item = SkeletonPart { begin, end: self.skeleton.len() };
        let skeleton = &*self.skeleton;
        let bytes = item.of(skeleton);
        if let Some(rank) = self.items.use_equal(|recent| recent.of(skeleton) == bytes) {
            self.skeleton.truncate(begin);
            if let Some(code) = self.skeleton.last_mut() {
                *code |= OTHER_FORM;
            }
            self.skeleton.push(rank);
        } else {
            self.items.push(item);
        }
    }

    fn scalar(&mut self, kind: Kind, value: Value<'_>) -> Result<(), Unwritten> {
        match (kind, value) {
            (Kind::Double, Value::Fixed64(bits)) => self.double(bits, false),
            (_, Value::Varint(value) | Value::Fixed64(value)) => self.number(value)?,
            (_, Value::Fixed32(value)) => self.number(u64::from(value))?,
            (Kind::String, Value::Len(text)) => self.text(text),
            (Kind::Id, Value::Len(id)) => self.id(id),
            (_, Value::Len(bytes)) => {
                push_varint(self.skeleton, bytes.len() as u64);
                self.holes.extend_from_slice(bytes);
            }
        }
        Ok(())
    }

    fn number(&mut self, value: u64) -> Result<(), Unwritten> {
        use codes::number::{EIGHT_BYTES, HOLE, NEGATIVE, REST, SAME, TIME};
        match value {
            _ if is_constant(value) => self.constant(value),
            LEAST_TIME..=0x7fff_ffff_ffff_ffff => {
                if let Some(difference) = self.history.note_time(value) {
                    self.skeleton.push(TIME);
                    self.difference(difference);
                } else {
                    return Err(Unwritten::Unit(Unit::of(value)));
                }
            }
            0x8000_0000_0000_0000.. if !value < LEAST_TIME => {
                self.skeleton.push(NEGATIVE);
                push_varint(self.holes, !value);
            }
            0x8000_0000_0000_0000.. => {
                self.skeleton.push(EIGHT_BYTES);
                self.holes.extend_from_slice(&value.to_le_bytes());
            }
            _ if value == self.history.number => self.skeleton.push(SAME),
            _ => {
                let past_rest = value.wrapping_sub(self.history.rest()).cast_signed();
                if value >= LEAST_REST && past_rest.unsigned_abs() < MAX_PAST_REST {
                    self.skeleton.push(REST);
                    self.difference(past_rest);
                } else {
                    self.history.number = value;
                    self.skeleton.push(HOLE);
                    push_varint(self.holes, value);
                }
            }
        }
        Ok(())
    }

    /// A number that tends to be the same in each invocation.
    fn constant(&mut self, value: u64) {
        use codes::number::INLINE;
        match u8::try_from(value) {
            Ok(byte) if byte < INLINE => self.skeleton.push(byte),
            _ => {
                self.skeleton.push(INLINE);
                push_varint(self.skeleton, value);
            }
        }
    }

    /// A difference as a varint, small for small amounts (protobuf's `sint64`).
    fn difference(&mut self, difference: i64) {
        let zigzag = (difference.cast_unsigned() << 1) ^ (difference >> 63).cast_unsigned();
        push_varint(self.holes, zigzag);
    }

    fn double(&mut self, bits: u64, is_constant: bool) {
        use codes::double::{BITS, MAX_PLACES};
        let value = f64::from_bits(bits);
        let decimal = (0..=MAX_PLACES).find_map(|places| {
            let scaled = (value * codes::power_of_ten(places)).round();
            #[expect(clippy::cast_possible_truncation, reason = "bounded by the filter")]
            let digits = Some(scaled).filter(|d| d.abs() < MAX_EXACT_INTEGER).map(|d| d as i64)?;
            (codes::decimal(digits, places).to_bits() == bits).then_some((places, digits))
        });
        // The number of a decimal is never a time.
        if let Some((places, digits)) = decimal {
            self.skeleton.push(places);
            if is_constant && digits >= 0 {
                self.constant(digits.cast_unsigned());
            } else {
                let _is_never_a_time = self.number(digits.cast_unsigned());
            }
        } else {
            self.skeleton.push(BITS);
            self.holes.extend_from_slice(&bits.to_le_bytes());
        }
    }

    pub(super) fn id(&mut self, id: &[u8]) {
        use codes::id::{NEAR, NEW_8, NEW_16, NEXT, OTHER_LENGTH, RECENT_16};
        if let Ok(id) = <[u8; 8]>::try_from(id) {
            let number = u64::from_be_bytes(id);
            if let Some(rank) = self.history.short.use_equal(|id| id == number) {
                self.skeleton.push(rank);
            } else {
                match self.history.note_id(number) {
                    Some(1) => self.skeleton.push(NEXT),
                    Some(difference) => {
                        self.skeleton.push(NEAR);
                        self.difference(difference);
                    }
                    None => {
                        self.skeleton.push(NEW_8);
                        self.holes.extend_from_slice(&id);
                    }
                }
            }
        } else if let Ok(id) = <[u8; 16]>::try_from(id) {
            let number = u128::from_be_bytes(id);
            if let Some(rank) = self.history.long.use_equal(|id| id == number) {
                self.skeleton.push(RECENT_16 + rank);
            } else {
                self.history.long.push(number);
                self.skeleton.push(NEW_16);
                self.holes.extend_from_slice(&id);
            }
        } else {
            self.skeleton.push(OTHER_LENGTH);
            push_varint(self.skeleton, id.len() as u64);
            self.holes.extend_from_slice(id);
        }
    }

    /// Writes the values of a packed field, unless they are none of its kind.
    fn numbers(&mut self, kind: Kind, code: u8, packed: &[u8]) -> Result<bool, Unwritten> {
        let (words, rest) = packed.as_chunks::<8>();
        match kind {
            Kind::Double | Kind::Fixed64 if rest.is_empty() => {
                self.skeleton.push(code | OTHER_FORM);
                push_varint(self.skeleton, words.len() as u64);
                for word in words {
                    match u64::from_le_bytes(*word) {
                        // A bound of a histogram.
                        bits if matches!(kind, Kind::Double) => self.double(bits, true),
                        count => self.number(count)?,
                    }
                }
            }
            Kind::Uint64 => {
                let mut bytes = 0;
                let mut values = Vec::new();
                for value in protobuf::packed_varints(packed) {
                    let Ok(value) = value else { return Ok(false) };
                    bytes += protobuf::varint_len(value);
                    values.push(value);
                }
                if bytes != packed.len() {
                    return Ok(false);
                }
                self.skeleton.push(code | OTHER_FORM);
                push_varint(self.skeleton, values.len() as u64);
                for value in values {
                    self.number(value)?;
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Uses the name of the context that begins the text, if there is one.
    pub(super) fn use_name(&mut self, text: &[u8]) -> Option<ContextName> {
        use codes::text::{ACCOUNT, FUNCTION, LOG_STREAM, REGION};
        const SHORTEST: usize = 3;
        let Context { function, account, log_stream, region } = self.context;
        let names = [
            (function, FUNCTION, UsedNames::FUNCTION),
            (account, ACCOUNT, UsedNames::ACCOUNT),
            (log_stream, LOG_STREAM, UsedNames::LOG_STREAM),
            (region, REGION, UsedNames::REGION),
        ];
        let (name, code, used) = names.into_iter().find(|(name, ..)| {
            let follows = text.get(name.len());
            name.len() >= SHORTEST
                && text.starts_with(name.as_bytes())
                && !follows.is_some_and(u8::is_ascii_alphanumeric)
        })?;
        self.used.add(used);
        Some(ContextName { bytes: name.len(), code })
    }
}

/// 2^53: a double holds all integers below it exactly.
const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

/// Returns `true` if tag and length of a field have no more bytes than they need.
fn is_shortest(field: &Field<'_>) -> bool {
    let value = match field.value {
        Value::Varint(value) => protobuf::varint_len(value),
        Value::Fixed64(_) => 8,
        Value::Fixed32(_) => 4,
        Value::Len(bytes) => protobuf::varint_len(bytes.len() as u64) + bytes.len(),
    };
    field.raw.len() == protobuf::varint_len(u64::from(field.number << 3)) + value
}

/// Returns `true` for numbers that tend to be the same in each invocation: small counts, statuses, ports and configured sizes.
fn is_constant(value: u64) -> bool {
    match value {
        // The larger ones are flags of spans: sampled, and whether the parent is known to be remote.
        0..32 | 0x101 | 0x300 | 0x301 => true,
        200..600 => value % 100 < 32,
        _ => {
            PORTS.contains(&value)
                || (value.is_power_of_two() && value < LEAST_TIME)
                || (value.is_multiple_of(1 << 20) && value < 1 << 40)
        }
    }
}

fn is_number(kind: Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Id | Kind::Message(_))
}

/// An attribute that consists of a key and a value of one field, of the right type.
struct SimpleAttribute<'b> {
    key: &'b [u8],
    value: Field<'b>,
    /// The field of `AnyValue` that the value is.
    known: &'static schema::Field,
}

impl<'b> SimpleAttribute<'b> {
    fn read(bytes: &'b [u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes);
        let mut next_content = |number| {
            let field = fields.next()?.ok()?;
            field.as_len().filter(|_| field.number == number && is_shortest(&field))
        };
        let key = next_content(key_value::KEY)?;
        let any_value = next_content(key_value::VALUE)?;
        let mut of_value = Reader::new(any_value);
        let value = of_value.next()?.ok().filter(is_shortest)?;
        let known = schema::any_value().field(value.number)?;
        let is_known = known.kind.has_wire_type(value.value);
        let is_all = of_value.next().is_none() && fields.next().is_none();
        (is_known && is_all).then_some(Self { key, value, known })
    }
}
