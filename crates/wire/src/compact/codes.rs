//! The codes of a skeleton, which writer and reader share.

use crate::signal::SignalKind;

pub(super) fn signal_number(kind: SignalKind) -> u8 {
    match kind {
        SignalKind::Traces => 1,
        SignalKind::Metrics => 2,
        SignalKind::Logs => 3,
    }
}

/// Ends a message, and a string.
pub(super) const END: u8 = 0;

/// A field whose bytes follow as they stand in the message.
pub(super) const RAW_FIELD: u8 = 0x7f;
/// Added to a field number: an attribute in the general form of a message, a repeated field that is packed, or an item like a
/// recent one. Added to a signal: a request as plain protobuf.
pub(super) const OTHER_FORM: u8 = 0x40;

/// Codes of numbers. Smaller codes are the number itself.
pub(super) mod number {
    pub(in super::super) const INLINE: u8 = 0xf0;
    pub(in super::super) const HOLE: u8 = 0xf1;
    pub(in super::super) const NEGATIVE: u8 = 0xf2;
    pub(in super::super) const TIME: u8 = 0xf3;
    pub(in super::super) const EIGHT_BYTES: u8 = 0xf4;
    pub(in super::super) const REST: u8 = 0xf5;
    pub(in super::super) const SAME: u8 = 0xf6;
}

/// Codes of doubles. Smaller codes are the decimal places of a number that follows.
pub(super) mod double {
    pub(in super::super) const MAX_PLACES: u8 = 9;
    pub(in super::super) const BITS: u8 = 10;
}

pub(super) fn power_of_ten(places: u8) -> f64 {
    const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
    POWERS.get(usize::from(places)).copied().unwrap_or(f64::NAN)
}

/// The double nearest to a decimal number whose digits, read as an integer, are below 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "writers use fewer digits; the checksum covers all others"
)]
pub(super) fn decimal(digits: i64, places: u8) -> f64 {
    digits as f64 / power_of_ten(places)
}

/// Codes of ids. Smaller codes are ranks among the recent ids: from 0 of 8 bytes, from 16 of 16 bytes.
pub(super) mod id {
    pub(in super::super) const RECENT_16: u8 = 16;
    pub(in super::super) const NEW_8: u8 = 32;
    pub(in super::super) const NEW_16: u8 = 33;
    pub(in super::super) const NEXT: u8 = 34;
    pub(in super::super) const NEAR: u8 = 35;
    pub(in super::super) const OTHER_LENGTH: u8 = 36;
}

/// Codes within strings. Tab, newline and carriage return stand for themselves.
pub(super) mod text {
    pub(in super::super) const ESCAPE: u8 = 1;
    pub(in super::super) const UUID: u8 = 2;
    pub(in super::super) const HEX_ID: u8 = 3;
    pub(in super::super) const HEX: u8 = 4;
    pub(in super::super) const XRAY: u8 = 5;
    pub(in super::super) const DECIMAL: u8 = 6;
    pub(in super::super) const IPV4: u8 = 7;
    pub(in super::super) const BASE_36: u8 = 8;
    pub(in super::super) const BASE_62: u8 = 11;
    pub(in super::super) const FUNCTION: u8 = 12;
    pub(in super::super) const ACCOUNT: u8 = 14;
    pub(in super::super) const LOG_STREAM: u8 = 15;
    pub(in super::super) const REGION: u8 = 16;
    pub(in super::super) const BASE_32: u8 = 17;

    /// Returns `true` if the byte is a code, so that it needs an escape where it is text.
    pub(in super::super) const fn is_code(byte: u8) -> bool {
        byte <= BASE_32 && !matches!(byte, b'\t' | b'\n' | b'\r')
    }
}

/// Digits of an alphanumeric run, packed in groups.
pub(super) struct Packing {
    pub(super) code: u8,
    pub(super) alphabet: &'static [u8],
    /// The number of characters of a group, and the number of bytes that hold it.
    pub(super) chars: u8,
    pub(super) bytes: u8,
}

pub(super) const BASE_32: Packing = Packing {
    code: text::BASE_32,
    alphabet: b"0123456789ABCDEFGHIJKLMNOPQRSTUV",
    chars: 8,
    bytes: 5,
};
pub(super) const BASE_36: Packing = Packing {
    code: text::BASE_36,
    alphabet: b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    chars: 3,
    bytes: 2,
};
pub(super) const BASE_62: Packing = Packing {
    code: text::BASE_62,
    alphabet: b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    chars: 4,
    bytes: 3,
};
