//! Random requests for tests: every field of the tables of `schema`, with text and numbers in every form that the compact encoder
//! treats in its own way.

use crate::ids::id_of_number;
use crate::protobuf::{Writer, push_varint};
use crate::request::{Limits, Request};
use crate::schema::{self, Field, Kind, Message, Presence};
use crate::signal::SignalKind;

/// Words in which each `x` becomes a lower-case hexadecimal digit, `H` one in either case, `9` a digit, `A` a capital or digit, `V` a
/// digit of base 32, `z` a letter or digit, and `?` a printable character. The names of [`CONTEXT`](crate::compact) are in them.
const WORDS: [&str; 24] = [
    "",
    "????????????",
    "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
    "HHHHHHHH-xxxx-xxxx-HHHH-xxxxxxxxxxxx",
    "1-xxxxxxxx-xxxxxxxxxxxxxxxxxxxxxxxx",
    "xxxxxxx",
    "xxxxxxxxxxxxxxxx",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "9999",
    "0999",
    "9999999999999999999999",
    "99.999.9.99",
    "AAAAAAAAAAAAAAAAAAAAAA",
    "VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV",
    "VVVVVVVVVVVVVVVVVVVVVVVVVVVV4KQNSO5AEMVJF66Q9ASUAAJG",
    "VV4KQNSO5AEMVJF66Q9ASUAAJG",
    "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
    "\u{1}\u{2}\t\u{b}\u{11}é🦀",
    "\n\u{5}?????",
    "orders-api",
    "arn:aws:lambda:eu-west-1:012345678901:function:orders-api",
    "2026/11/22/[$LATEST]0123456789abcdef0123456789abcdef",
    "eu-west-1a eu-west-10",
];
/// The number of a field that OTLP doesn't have.
const UNKNOWN_FIELD: u32 = 200;

const BETWEEN: [&str; 5] = ["", " ", "/", "-", "\n"];

pub(crate) struct Random {
    state: u64,
    /// `true` if doubles are eighths: opentelemetry-proto's reader of JSON does not round other numbers exactly.
    pub(crate) eighths: bool,
    /// `true` if messages may say things twice, with a field of a later version between.
    pub(crate) repeats: bool,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, eighths: false, repeats: false }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(1);
        u64::from_be_bytes(id_of_number(self.state))
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    fn text(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.below(4) {
            for c in self.one_of(&WORDS).chars() {
                let digits: &[u8] = match c {
                    'x' => b"0123456789abcdef",
                    'H' => b"0123456789abcdefABCDEF",
                    '9' => b"0123456789",
                    'A' => b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                    'V' => b"0123456789ABCDEFGHIJKLMNOPQRSTUV",
                    'z' => b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                    '?' => b" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~aB0",
                    _ => &[],
                };
                text.push(if digits.is_empty() { c } else { self.one_of(digits).into() });
            }
            text += self.one_of(&BETWEEN);
        }
        text
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// An id, often a repeated one, and sometimes of another length.
    fn id(&mut self) -> Vec<u8> {
        match self.below(10) {
            0 => {
                let length = self.below(20);
                self.bytes(length)
            }
            1 | 2 => id_of_number(self.state / 100).to_vec(),
            3 | 4 => u64::to_be_bytes(self.next() % 3).to_vec(),
            5 | 6 => u128::to_be_bytes(u128::from(self.next() % 3)).to_vec(),
            _ => {
                let length = self.one_of(&[8, 16]);
                self.bytes(length)
            }
        }
    }

    /// A time, a small or a large number, a power of two, or bytes like those of text.
    fn number(&mut self) -> u64 {
        let now = 1_790_000_000_000_000_000;
        match self.below(8) {
            0 => now,
            1 => now + self.next() % 1_000_000 * 1_000_000,
            2 => now + self.next() % 1_000_000_000,
            3 => self.next() % 70_000,
            4 => 1 << self.below(64),
            5 => 0x2020_2020_2020_2020 | self.next() & 0x5f5f_5f5f_5f5f_5f5f,
            6 => (self.next() % 300).wrapping_neg(),
            _ => self.next(),
        }
    }

    fn double(&mut self) -> f64 {
        let small = i32::from_le_bytes(self.next().to_le_bytes()[..4].try_into().unwrap());
        match self.below(3) {
            _ if self.eighths => f64::from(small) / 8.0,
            0 => self.one_of(&[-0.0, 0.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 9.1e15, 0.1]),
            1 => f64::from(small) / 10_f64.powi(i32::try_from(self.below(9)).unwrap()),
            _ => f64::from_bits(self.next()),
        }
    }

    fn varint(&mut self, kind: Kind) -> u64 {
        match kind {
            Kind::Bool => self.next() % 2,
            Kind::Uint32 => self.number() & u64::from(u32::MAX),
            // Negative 32-bit integers take ten bytes.
            Kind::Int32 | Kind::Enum(_) => {
                (self.number() << 32).cast_signed().wrapping_shr(32).cast_unsigned()
            }
            _ => self.number(),
        }
    }

    fn fixed64(&mut self, kind: Kind) -> u64 {
        if matches!(kind, Kind::Double) { self.double().to_bits() } else { self.number() }
    }

    fn field(&mut self, field: &Field, depth_left: usize, out: &mut Vec<u8>) {
        let number = field.number;
        let is_packed = field.presence == Presence::Repeated;
        let mut out = Writer::new(out);
        match field.kind {
            Kind::Message(inner) => out.always_bytes(number, &self.message(inner, depth_left)),
            Kind::String => out.always_string(number, &self.text()),
            Kind::Bytes => {
                let length = self.below(20);
                out.always_bytes(number, &self.bytes(length));
            }
            Kind::Id => out.always_bytes(number, &self.id()),
            Kind::Fixed32 => out.fixed32(number, self.number().to_le_bytes()[0].into()),
            Kind::Sint32 => out.sint32(number, i32::from(self.number().to_le_bytes()[0]) - 128),
            kind @ (Kind::Fixed64 | Kind::Sfixed64 | Kind::Double) if is_packed => {
                let values: Vec<u64> = (0..self.below(20)).map(|_| self.fixed64(kind)).collect();
                out.packed_fixed64(number, values.into_iter());
            }
            kind @ (Kind::Fixed64 | Kind::Sfixed64 | Kind::Double) => {
                out.always_fixed64(number, self.fixed64(kind));
            }
            kind if is_packed => {
                let mut packed = Vec::new();
                (0..self.below(20)).for_each(|_| push_varint(&mut packed, self.varint(kind)));
                out.bytes(number, &packed);
            }
            kind => out.always_varint(number, self.varint(kind)),
        }
    }

    fn message(&mut self, message: &'static Message, depth_left: usize) -> Vec<u8> {
        let mut bytes = self.plain_message(message, depth_left);
        while self.repeats && self.below(4) == 0 {
            Writer::new(&mut bytes).always_string(UNKNOWN_FIELD, "later");
            bytes.extend(self.plain_message(message, depth_left));
        }
        bytes
    }

    fn plain_message(&mut self, message: &'static Message, depth_left: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let choices = message.fields.iter().filter(|field| field.presence == Presence::Oneof);
        let chosen = self.below(choices.count().max(1));
        let mut choice = 0;
        // Profiles alone have indices into a table of strings.
        for field in message.fields.iter().filter(|field| !field.name.ends_with("Strindex")) {
            let is_nested = matches!(field.kind, Kind::Message(_));
            let is_list = field.presence == Presence::Repeated
                && (is_nested || matches!(field.kind, Kind::String));
            let mut count = if is_list { self.below(3) } else { usize::from(self.below(4) > 0) };
            if field.presence == Presence::Oneof {
                count = usize::from(choice == chosen && self.below(10) > 0);
                choice += 1;
            }
            if is_nested && depth_left == 0 {
                continue;
            }
            for _ in 0..count {
                self.field(field, depth_left.saturating_sub(1), &mut out);
            }
        }
        out
    }

    pub(crate) fn written_request(&mut self) -> (SignalKind, Vec<u8>) {
        let kind = self.one_of(&SignalKind::ALL);
        (kind, self.message(schema::request(kind), 9))
    }

    pub(crate) fn request(&mut self) -> Request {
        let (kind, bytes) = self.written_request();
        Request::check(kind, bytes, &Limits::default()).unwrap()
    }
}
