//! The record of an invocation's root span, passed from the exporter in the function to the extension in the same environment.
//!
//! Only the function knows its root span, only the extension receives Lambda's statements about the invocation, and in stdout
//! mode the exporter's spans do not pass through the extension. So the exporter writes 90 bytes when the root begins, and the
//! extension reads them when Lambda reports the end. The extension creates the file; without it the exporter writes nothing. One
//! file has [`SLOTS`] records, because the next invocation may have begun by then, and [`SLOTS_CONCURRENT`] on a managed instance,
//! which runs many at a time. One more byte marks a root span that is in a line. If an invocation is cut off before, the extension writes the span.

use crate::ids::{id, to_hex};

/// Size of a record in bytes, its newline included.
pub const RECORD_BYTES: usize = 90;

/// Number of records in the file; the oldest is overwritten.
pub const SLOTS: u64 = 64;

/// Number of records on a managed instance: for the invocations of one delivery of telemetry, which has at most 1,000 events, and
/// for the running ones, at most 1,600.
pub const SLOTS_CONCURRENT: u64 = 2048;

const VERSION: &str = "v1 ";
/// The last byte until the root's span is in a line. A writer without this feature leaves a newline. Both are white space, which
/// other readers ignore.
const OPEN: char = '\r';
/// The last byte once the root's span is in a line, complete or as a partial span.
pub const WRITTEN: u8 = b'\t';
/// Like [`WRITTEN`], if the handler failed, which Lambda does not report.
pub const WRITTEN_FAILED: u8 = 0x0b;
/// The last byte if the root is not sampled: nothing writes a span of the invocation.
const NOT_SAMPLED: char = '\x0c';
const REQUEST_ID_BYTES: usize = 36;

/// The file's path, derived from `AWS_LAMBDA_RUNTIME_API`: an environment has one `/tmp` and one such address, but a simulator
/// runs many environments on one machine.
///
/// ```
/// use lambda_otlp_wire::invocation_record::path;
/// assert_eq!(path("127.0.0.1:9001"), "/tmp/.lambda-otlp-invocations-127.0.0.1-9001");
/// ```
pub fn path(runtime_api: &str) -> String {
    environment_file("invocations", runtime_api)
}

pub fn environment_file(name: &str, runtime_api: &str) -> String {
    let safe = |character: char| {
        if character.is_ascii_alphanumeric() || character == '.' { character } else { '-' }
    };
    let environment: String = runtime_api.chars().take(100).map(safe).collect();
    format!("/tmp/.lambda-otlp-{name}-{environment}")
}

/// Byte offset of the record of the environment's n-th invocation in a file of this many records. One `write` stores it there.
pub const fn offset(invocation_number: u64, slots: u64) -> u64 {
    (invocation_number % slots) * RECORD_BYTES as u64
}

/// Byte offset of [`WRITTEN`] or [`WRITTEN_FAILED`] for that invocation.
pub const fn written_offset(invocation_number: u64, slots: u64) -> u64 {
    offset(invocation_number, slots) + RECORD_BYTES as u64 - 1
}

/// The content of a record about the root span of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootSpan {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    /// `true` if it is in no line yet.
    pub is_open: bool,
    /// `false` if the invocation has no span, by decision of the function or its caller.
    pub is_sampled: bool,
    /// `true` if the handler failed.
    pub has_failed: bool,
}

/// The record of a root that has begun; `None` for a request id that is not plain text of at most 36 bytes, which Lambda never
/// creates.
pub fn record(
    request_id: &str,
    trace_id: &[u8; 16],
    span_id: &[u8; 8],
    is_sampled: bool,
) -> Option<Vec<u8>> {
    let is_plain = request_id.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain || request_id.is_empty() || request_id.len() > REQUEST_ID_BYTES {
        return None;
    }
    let trace_id = to_hex(trace_id);
    let span_id = to_hex(span_id);
    let end = if is_sampled { OPEN } else { NOT_SAMPLED };
    let record = format!("{VERSION}{request_id:REQUEST_ID_BYTES$} {trace_id} {span_id}{end}");
    Some(record.into_bytes())
}

/// Returns each root of this invocation in the file: several attempts of one request have a record each.
pub fn find<'f>(file: &'f [u8], request_id: &'f str) -> impl Iterator<Item = RootSpan> + 'f {
    let is_named = move |record: &&[u8]| {
        let named = record.get(VERSION.len()..VERSION.len() + request_id.len());
        named.is_some_and(|named| named.eq_ignore_ascii_case(request_id.as_bytes()))
    };
    file.chunks_exact(RECORD_BYTES).filter(is_named).filter_map(move |record| {
        let mut words = std::str::from_utf8(record).ok()?.strip_prefix(VERSION)?.split_whitespace();
        let is_it = words.next()?.eq_ignore_ascii_case(request_id);
        let trace_id = id(words.next()?)?;
        let span_id = id(words.next()?)?;
        let is_open = record.ends_with(&[OPEN as u8]);
        let is_sampled = !record.ends_with(&[NOT_SAMPLED as u8]);
        let has_failed = record.ends_with(&[WRITTEN_FAILED]);
        is_it.then_some(RootSpan { trace_id, span_id, is_open, is_sampled, has_failed })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(file: &[u8], request_id: &str) -> Option<([u8; 16], [u8; 8])> {
        find(file, request_id).next().map(|root| (root.trace_id, root.span_id))
    }

    const FIRST: &str = "3da1f2dc-3222-475e-9205-e2e6c6318895";

    #[test]
    fn only_unmarked_roots_of_current_writers_are_open() {
        let written = |end: Option<u8>, is_sampled| {
            let mut bytes = record(FIRST, &[0xab; 16], &[0xcd; 8], is_sampled).unwrap();
            let last = usize::try_from(written_offset(SLOTS, SLOTS)).unwrap();
            bytes[last] = end.unwrap_or(bytes[last]);
            let found = find(&bytes, FIRST).next();
            found.map(|root| (root.is_open, root.is_sampled, root.has_failed))
        };
        assert_eq!(written(None, true), Some((true, true, false)));
        assert_eq!(written(Some(WRITTEN), true), Some((false, true, false)));
        assert_eq!(written(Some(WRITTEN_FAILED), true), Some((false, true, true)));
        assert_eq!(written(Some(b'\n'), true), Some((false, true, false)));
        assert_eq!(written(None, false), Some((false, false, false)));
    }

    #[test]
    fn a_record_of_fixed_size_is_found_by_request_id() {
        let check = |request_id: &str| {
            let bytes = record(request_id, &[0xab; 16], &[0xcd; 8], true).unwrap();
            assert_eq!(bytes.len(), RECORD_BYTES, "{request_id}");
            assert_eq!(first(&bytes, request_id), Some(([0xab; 16], [0xcd; 8])), "{request_id}");
        };
        check(FIRST);
        check("1");
        assert_eq!(
            record(FIRST, &[0xab; 16], &[0xcd; 8], true).unwrap(),
            b"v1 3da1f2dc-3222-475e-9205-e2e6c6318895 abababababababababababababababab cdcdcdcdcdcdcdcd\r"
        );
        for no_id in ["", "a b", "ü", &"x".repeat(37)] {
            assert_eq!(record(no_id, &[1; 16], &[1; 8], true), None, "{no_id}");
        }
    }

    #[test]
    fn only_the_complete_record_of_the_invocation_is_found() {
        let mut file = vec![0; RECORD_BYTES * 3];
        let second = usize::try_from(offset(SLOTS + 1, SLOTS)).unwrap();
        file[second..second + RECORD_BYTES]
            .copy_from_slice(&record(FIRST, &[1; 16], &[2; 8], true).unwrap());
        assert_eq!(first(&file, FIRST), Some(([1; 16], [2; 8])));
        assert_eq!(first(&file, &FIRST.to_ascii_uppercase()), Some(([1; 16], [2; 8])));
        assert_eq!(first(&file, "3da1f2dc-3222-475e-9205-e2e6c6318896"), None);
        assert_eq!(first(&file[..second + 50], FIRST), None, "a record that is being written");
        let zero = record(FIRST, &[0; 16], &[2; 8], true).unwrap();
        assert_eq!(first(&zero, FIRST), None);
        assert_eq!(first(b"", FIRST), None);
        assert_eq!(first(&[0xff; 200], FIRST), None);
    }
}
