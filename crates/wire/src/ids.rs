//! Trace ids and X-Ray headers, read alike by the exporter, the extension and the forwarder.

use crate::fnv;

/// The fields of `Root=…;Parent=…;Sampled=…` (AWS X-Ray Developer Guide, "Tracing header"). Services omit different fields, so
/// all are optional.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XRayHeader {
    /// The 16 bytes of the trace id: epoch seconds and 12 random bytes.
    pub trace_id: Option<[u8; 16]>,
    /// The 8 bytes of the parent segment's id. That segment belongs to X-Ray and is never exported as a span.
    pub parent_id: Option<[u8; 8]>,
    /// `Sampled=1` or `Sampled=0`; `None` for `?` or if it is missing.
    pub sampled: Option<bool>,
}

impl XRayHeader {
    /// Reads the header: keys in any order, spaces tolerated, other keys (`Self`, `Lineage`) and malformed values ignored.
    pub fn parse(header: &str) -> Self {
        let mut parsed = Self::default();
        for part in header.split(';') {
            let Some((key, value)) = part.split_once('=') else { continue };
            let value = value.trim();
            match key.trim() {
                "Root" => parsed.trace_id = xray_trace_id(value),
                "Parent" => parsed.parent_id = id(value),
                "Sampled" => {
                    parsed.sampled = match value {
                        "1" => Some(true),
                        "0" => Some(false),
                        _ => None,
                    }
                }
                _ => {}
            }
        }
        parsed
    }
}

/// The trace id in X-Ray's spelling `1-5759e988-bd862e3fe1be46a994272793`.
pub fn xray_trace_id(text: &str) -> Option<[u8; 16]> {
    let (seconds, random) = text.strip_prefix("1-")?.split_once('-')?;
    let mut id = [0; 16];
    let (head, tail) = id.split_first_chunk_mut::<4>()?;
    *head = hex(seconds.as_bytes())?;
    tail.copy_from_slice(&hex::<12>(random.as_bytes())?);
    Some(id).filter(is_valid)
}

/// An id in hexadecimal digits, in either case. All zeros are invalid (W3C Trace Context, 3.2.2.3).
pub fn id<const N: usize>(digits: &str) -> Option<[u8; N]> {
    hex(digits.as_bytes()).filter(is_valid)
}

/// Derives the trace id of an invocation without an X-Ray header from its request id, so that the function's spans and the
/// platform's share a trace.
///
/// A request id is a random UUID with six fixed bits, which would bias samplers that compare trace ids; hence the mixing. It is a
/// bijection: different UUIDs give different ids.
pub fn trace_id_from_request_id(request_id: &str) -> [u8; 16] {
    let digits: Vec<u8> = request_id.bytes().filter(|byte| *byte != b'-').collect();
    let (high, low) = match hex::<16>(&digits) {
        Some(uuid) => halves(uuid),
        None => (fnv1a(request_id, fnv::START), fnv1a(request_id, 0x6c62_272e_07bb_0142)),
    };
    let high = mix(high ^ 0x9e37_79b9_7f4a_7c15);
    let low = mix(low ^ high);
    let id = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
    // An all-zero trace id is invalid (W3C Trace Context, 3.2.2.3).
    if is_valid(&id) { id } else { [1; 16] }
}

/// Returns the id of this number in SplitMix64's sequence. Compact lines leave out the ids of consecutive numbers.
///
/// Different numbers give different ids. Only the number 0 gives the invalid id of zeros.
pub fn id_of_number(number: u64) -> [u8; 8] {
    mix(number.wrapping_mul(GAMMA)).to_be_bytes()
}

/// The number of an id in SplitMix64's sequence: the inverse of [`id_of_number`].
pub(crate) fn number_of_id(id: u64) -> u64 {
    unmix(id).wrapping_mul(INVERSE_GAMMA)
}

/// The increment of SplitMix64's counter, and its inverse modulo 2^64.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
const INVERSE_GAMMA: u64 = 0xf1de_83e1_9937_733d;

/// Appends the lower-case hexadecimal digits of `bytes`.
pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    out.extend(digits.filter_map(|value| DIGITS.get(usize::from(value))));
}

/// The bytes of these lower-case hexadecimal digits; `None` for another number of digits, or other characters.
pub(crate) fn lower_hex<const N: usize>(mut digits: impl Iterator<Item = u8>) -> Option<[u8; N]> {
    let mut digit = || match digits.next()? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for byte in &mut bytes {
        *byte = digit()? << 4 | digit()?;
    }
    digits.next().is_none().then_some(bytes)
}

pub fn to_hex(id: &[u8]) -> String {
    let mut digits = Vec::with_capacity(2 * id.len());
    push_hex(&mut digits, id);
    String::from_utf8(digits).unwrap_or_default()
}

fn is_valid<const N: usize>(id: &[u8; N]) -> bool {
    id.iter().any(|byte| *byte != 0)
}

fn halves(id: [u8; 16]) -> (u64, u64) {
    let value = u128::from_be_bytes(id);
    let low = value & u128::from(u64::MAX);
    (u64::try_from(value >> 64).unwrap_or(u64::MAX), u64::try_from(low).unwrap_or(u64::MAX))
}

/// The finalizer of SplitMix64: a bijection on 64 bits that changes half of them for each.
pub(crate) fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The inverse of [`mix`].
pub(crate) fn unmix(mut value: u64) -> u64 {
    value = value ^ (value >> 31) ^ (value >> 62);
    value = value.wrapping_mul(0x3196_42b2_d24d_8ec3);
    value = value ^ (value >> 27) ^ (value >> 54);
    value = value.wrapping_mul(0x96de_1b17_3f11_9089);
    value ^ (value >> 30) ^ (value >> 60)
}

fn fnv1a(text: &str, basis: u64) -> u64 {
    text.bytes().fold(basis, fnv::with_byte)
}

fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    lower_hex(digits.iter().map(u8::to_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tests of the layer's code for Python and Node read the same rows.
    #[test]
    fn xray_headers_are_parsed_and_malformed_fields_ignored() {
        let json = include_str!("../../../tests/fixtures/xray-headers.json");
        let rows: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
        for row in &rows {
            let XRayHeader { trace_id, parent_id, sampled } =
                XRayHeader::parse(row["header"].as_str().unwrap());
            let trace = trace_id.map(|id| to_hex(&id));
            let parent = parent_id.map(|id| to_hex(&id));
            let found = [trace.into(), parent.into(), serde_json::Value::from(sampled)];
            let expected = ["traceId", "parentId", "sampled"].map(|key| row[key].clone());
            assert_eq!(found, expected, "{row}");
        }
        assert!(rows.len() > 15, "{}", rows.len());
    }

    #[test]
    fn request_ids_give_stable_distinct_trace_ids() {
        let id = trace_id_from_request_id("8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11");
        assert_eq!(to_hex(&id), "f1801db93ff575a2b52ce34876676ebb");
        let other = trace_id_from_request_id("8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a12");
        assert_ne!(id, other);
        assert_ne!(trace_id_from_request_id("x"), trace_id_from_request_id("y"));
        assert_ne!(trace_id_from_request_id(""), [0; 16]);
    }

    #[test]
    fn numbered_ids_follow_splitmix64_and_convert_back() {
        // SplitMix64's first three numbers for the seed 0, in every implementation of it.
        let expected = ["e220a8397b1dcdaf", "6e789e6aa1b965f4", "06c45d188009454f"];
        assert_eq!([1, 2, 3].map(|number| to_hex(&id_of_number(number))), expected);
        assert_eq!(number_of_id(u64::from_be_bytes(id_of_number(77))), 77);
        assert_eq!(GAMMA.wrapping_mul(INVERSE_GAMMA), 1);
    }

    #[test]
    fn trace_ids_from_request_ids_do_not_bias_ratio_samplers() {
        // opentelemetry_sdk compares the low 63 bits with the ratio.
        let below_half = (0..1000u32)
            .filter(|n| {
                let id = trace_id_from_request_id(&format!("8f507cfc-c7a1-4d2e-8c3b-0d4b{n:08x}"));
                halves(id).1 >> 1 < u64::MAX / 4
            })
            .count();
        assert!((400..600).contains(&below_half), "{below_half}");
    }
}
