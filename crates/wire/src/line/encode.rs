//! Writes requests as OTLP lines, split to keep each line below a size.

use super::envelope::{Envelope, LINE_END};
use crate::base64;
use crate::compact::{self, OwnedContext};
use crate::gzip::{Compressor, TooLarge};
use crate::request::split::{self, Sizes};
use crate::request::{Request, Shortened};

/// Sizes of lines, in bytes, newline included.
#[derive(Clone, Copy, Debug)]
pub struct LineLimits {
    /// A request with a larger line is split. 60 KiB: a raw stdout line above 65,536 bytes (the pipe's buffer) may arrive as
    /// several log events.
    pub max_bytes: usize,
    /// Maximum line size of a single item, or with a resource and scope of more than half of `max_bytes`. 250 KiB: a log event of
    /// Lambda holds at most 262,118 bytes. Beyond that, items are shortened.
    pub max_item_bytes: usize,
}

impl Default for LineLimits {
    fn default() -> Self {
        Self { max_bytes: 60 * 1024, max_item_bytes: 250 * 1024 }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "truncated and dropped items have to be counted"]
pub struct Written {
    pub lines: usize,
    /// Number of items (spans, data points, log records) in them.
    pub items: usize,
    /// Number of texts that were shortened, and of attributes, events, links and other parts that were left out.
    pub truncated_values: usize,
    /// Number of items too large for a line even when shortened.
    pub dropped_items: usize,
}

/// Encodes requests as lines; keeps its buffers and compression state between calls.
#[derive(Debug)]
pub struct LineEncoder {
    format: Format,
    limits: LineLimits,
    compressed: Vec<u8>,
    /// Bytes given to the compressor of standard lines; a test bounds them.
    bytes_to_compress: usize,
}

#[derive(Debug)]
enum Format {
    Standard(Box<Compressor>),
    Compact(Box<compact::Encoder>, OwnedContext),
}

impl LineEncoder {
    /// Creates an encoder of compact lines for a function with these names.
    pub fn compact(names: OwnedContext, limits: LineLimits) -> Self {
        Self::with_format(Format::Compact(Box::default(), names), limits)
    }

    /// Creates an encoder of gzip level 0 (stored) to 9 (smallest).
    pub fn new(level: u32, limits: LineLimits) -> Self {
        Self::with_format(Format::Standard(Box::new(Compressor::new(level))), limits)
    }

    fn with_format(format: Format, limits: LineLimits) -> Self {
        Self { format, limits, compressed: Vec::new(), bytes_to_compress: 0 }
    }

    /// Adds the account to the names of compact lines, for writers that learn it late.
    pub fn set_account(&mut self, account: &str) {
        if let Format::Compact(_, names) = &mut self.format {
            names.set_account(account);
        }
    }

    /// Appends one compact line with all of these requests, of any signals, and returns the number of items in it.
    ///
    /// `None` if the requests do not fit into one line, or if lines are standard ones, which hold one request each. Then `out` is
    /// as before, and [`encode`](Self::encode) writes the lines of each request.
    pub fn encode_together(
        &mut self,
        envelope: &Envelope<'_>,
        requests: &[&Request],
        out: &mut Vec<u8>,
    ) -> Option<Written> {
        let Format::Compact(encoder, names) = &mut self.format else { return None };
        let items = requests.iter().map(|request| request.items()).sum();
        if items == 0 {
            return None;
        }
        compact_line(encoder, names, envelope, requests, self.limits.max_bytes, out).ok()?;
        Some(Written { lines: 1, items, ..Written::default() })
    }

    /// Appends the lines of `request` to `out`, each with its newline. A request without items writes nothing.
    pub fn encode(
        &mut self,
        envelope: &Envelope<'_>,
        request: Request,
        out: &mut Vec<u8>,
    ) -> Written {
        let mut written = Written::default();
        let LineLimits { max_bytes, max_item_bytes } = self.limits;
        let mut waiting = vec![WaitingRequest { request, max_bytes }];
        while let Some(WaitingRequest { request, max_bytes }) = waiting.pop() {
            if request.items() == 0 {
                continue;
            }
            let max_bytes = if request.items() == 1 { max_item_bytes } else { max_bytes };
            let Err(too_large) = self.line(envelope, &request, max_bytes, out) else {
                written.lines += 1;
                written.items += request.items();
                continue;
            };
            let parts = cut(&request, &too_large, max_bytes);
            let bytes: usize = parts.iter().map(|part| part.bytes().len()).sum();
            if parts.len() > 1 || bytes < request.bytes().len() {
                let parts = parts.into_iter().rev();
                waiting.extend(parts.map(|request| WaitingRequest { request, max_bytes }));
            } else {
                let shorter = self.write_shortened(envelope, &request, out, &mut written);
                let max_bytes = max_item_bytes;
                waiting.extend(shorter.map(|request| WaitingRequest { request, max_bytes }));
            }
        }
        written
    }

    /// Appends a line of the largest size, shortened if needed. Returns the request instead if it can be cut into such
    /// lines.
    fn write_shortened(
        &mut self,
        envelope: &Envelope<'_>,
        request: &Request,
        out: &mut Vec<u8>,
        written: &mut Written,
    ) -> Option<Request> {
        let max_bytes = self.limits.max_item_bytes;
        // A single item did not fit into a line of this size.
        let whole = (request.items() > 1).then(|| Shortened { request: request.clone(), parts: 0 });
        for Shortened { request: shorter, parts } in whole.into_iter().chain(request.shortened()) {
            if self.line(envelope, &shorter, max_bytes, out).is_ok() {
                written.lines += 1;
                written.items += request.items();
                written.truncated_values += parts;
                return None;
            }
            if request.items() > 1 && split::largest_heads(&shorter) < max_bytes / 2 {
                written.truncated_values += parts;
                return Some(shorter);
            }
        }
        written.dropped_items += request.items();
        None
    }

    /// Appends one line, unless it exceeds `max_bytes`.
    fn line(
        &mut self,
        envelope: &Envelope<'_>,
        request: &Request,
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), LineTooLarge> {
        let compressor = match &mut self.format {
            Format::Standard(compressor) => compressor,
            Format::Compact(encoder, names) => {
                return compact_line(encoder, names, envelope, &[request], max_bytes, out);
            }
        };
        let start = out.len();
        envelope.push_head(request.kind(), out);
        let envelope_bytes = out.len() - start + LINE_END.len();
        self.compressed.clear();
        // Base64 writes four bytes for up to three.
        let max_compressed = max_bytes.saturating_sub(envelope_bytes) / 4 * 3;
        let input = request.bytes();
        let resource = request.resource_place();
        let compressed = compressor.compress(input, resource, max_compressed, &mut self.compressed);
        self.bytes_to_compress +=
            compressed.map_or_else(|too_large| too_large.input_bytes, |()| input.len());
        if let Err(TooLarge { input_bytes, bytes }) = compressed {
            out.truncate(start);
            let payload_bytes = base64::encoded_len(bytes);
            return Err(LineTooLarge { encoded: input_bytes, payload_bytes, envelope_bytes });
        }
        base64::push(out, &self.compressed);
        out.extend_from_slice(LINE_END);
        Ok(())
    }
}

/// Appends one compact line, unless it exceeds `max_bytes`.
fn compact_line(
    encoder: &mut compact::Encoder,
    names: &OwnedContext,
    envelope: &Envelope<'_>,
    requests: &[&Request],
    max_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), LineTooLarge> {
    let mut end = Vec::new();
    envelope.push_compact_end(&mut end);
    let start = out.len();
    Envelope::push_compact_head(out);
    let envelope_bytes = out.len() - start + end.len();
    let max_content = max_bytes.saturating_sub(envelope_bytes);
    let result = encoder.encode(&names.context(), requests, max_content, out);
    if let Err(TooLarge { input_bytes, bytes: payload_bytes }) = result {
        out.truncate(start);
        return Err(LineTooLarge { encoded: input_bytes, payload_bytes, envelope_bytes });
    }
    out.extend_from_slice(&end);
    Ok(())
}

/// A request that is in no line yet.
struct WaitingRequest {
    request: Request,
    /// The maximum size of its line.
    max_bytes: usize,
}

#[derive(Debug)]
struct LineTooLarge {
    /// Number of bytes of the request that were encoded before the line exceeded its limit.
    encoded: usize,
    /// Number of bytes of the payload that they became.
    payload_bytes: usize,
    envelope_bytes: usize,
}

/// Splits a request by the factor by which its line exceeds the limit.
fn cut(request: &Request, too_large: &LineTooLarge, max_bytes: usize) -> Vec<Request> {
    let LineTooLarge { encoded, payload_bytes, envelope_bytes } = *too_large;
    // Smaller parts compress worse and unevenly: an oversized part is compressed twice.
    let target_bytes = max_bytes.saturating_sub(envelope_bytes) / 8 * 7;
    let wanted = encoded.saturating_mul(target_bytes) / payload_bytes.max(1);
    let sizes = Sizes {
        max_bytes: wanted.min(request.bytes().len() / 8 * 7),
        max_head_bytes: max_bytes / 2,
        halves: false,
    };
    split::split(request, sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::Writer;
    use crate::signal::SignalKind;

    /// Printable bytes that gzip reduces to three quarters.
    fn noise(bytes: usize, state: &mut u64) -> String {
        let next = || {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            char::from(b'!' + u8::try_from(*state % 90).unwrap())
        };
        std::iter::repeat_with(next).take(bytes).collect()
    }

    /// Spans with values of these sizes, below a resource with attributes of those sizes.
    fn spans(
        attributes: &[usize],
        values: impl Iterator<Item = usize>,
        state: &mut u64,
    ) -> Request {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).message(1, |container| {
            container.message(1, |resource| {
                for bytes in attributes {
                    resource.text_attribute(1, "key", &noise(*bytes, state));
                }
            });
            container.message(2, |scope| {
                for value in values {
                    scope.message(2, |span| span.text_attribute(9, "", &noise(value, state)));
                }
            });
        });
        Request::trusted(SignalKind::Traces, bytes)
    }

    fn encoder(is_compact: bool, limits: LineLimits) -> LineEncoder {
        if is_compact {
            LineEncoder::compact(OwnedContext::default(), limits)
        } else {
            LineEncoder::new(6, limits)
        }
    }

    #[test]
    fn splitting_a_request_compresses_each_byte_about_once() {
        let check = |request: &Request, least_lines: usize, is_compact| {
            let mut encoder = encoder(is_compact, LineLimits::default());
            let mut out = Vec::new();
            let written = encoder.encode(&Envelope::default(), request.clone(), &mut out);
            assert_eq!((written.items, written.dropped_items), (request.items(), 0));
            assert!(written.lines >= least_lines, "{written:?}");
            assert!(out.split(|byte| *byte == b'\n').all(|line| line.len() < 60 * 1024));
            // A slightly oversized line is detected only at its end; each line repeats the heads.
            let heads = written.lines * split::largest_heads(request);
            let compressed = encoder.bytes_to_compress;
            let bytes = request.bytes().len();
            assert!(
                is_compact || (bytes..=bytes * 5 / 4 + 100_000 + heads).contains(&compressed),
                "{written:?}: {compressed} of {bytes} bytes"
            );
            // Full lines, except if a part compresses worse than the average.
            assert!(written.lines <= 1 + out.len() / (30 * 1024), "{written:?}: {}", out.len());
        };
        let state = &mut 7;
        check(&spans(&[100], std::iter::repeat_n(300, 2000), state), 8, true);
        check(&spans(&[100], std::iter::repeat_n(300, 250), state), 2, false);
        check(&spans(&[100], std::iter::repeat_n(300, 8000), state), 30, false);
        check(&spans(&[100], (0..8000).map(|index| index / 16), state), 20, false);
        check(&spans(&[20_000], std::iter::repeat_n(300, 4000), state), 20, false);
    }

    #[test]
    fn no_line_exceeds_its_limit() {
        for (items, is_compact) in [(1, false), (2, false), (1, true), (2, true)] {
            let request = spans(&[10], std::iter::repeat_n(100, items), &mut 7);
            let written = |max_bytes| {
                let mut limits = LineLimits::default();
                *(if items == 1 { &mut limits.max_item_bytes } else { &mut limits.max_bytes }) =
                    max_bytes;
                let mut out = Vec::new();
                let mut encoder = encoder(is_compact, limits);
                let written = encoder.encode(&Envelope::default(), request.clone(), &mut out);
                (written.lines, written.dropped_items, out.len())
            };
            let (_, _, len) = written(10_000);
            // Base91 reserves for the longest text of the same number of bytes.
            let fits = if is_compact { len + 16 } else { len };
            assert_eq!(written(fits), (1, 0, len), "{items} {is_compact}");
            let (lines, dropped, _) = written(len - 1);
            let expected = if items == 1 { (0, 1) } else { (2, 0) };
            assert_eq!((lines, dropped), expected, "{items} {is_compact}");
        }
    }

    #[test]
    fn large_resources_get_larger_lines_or_truncated_values() {
        let check = |attributes: &[usize], (items, bytes): (usize, usize), expected: [usize; 3]| {
            let request = spans(attributes, std::iter::repeat_n(bytes, items), &mut 7);
            let mut out = Vec::new();
            let mut encoder = LineEncoder::new(6, LineLimits::default());
            let written = encoder.encode(&Envelope::default(), request.clone(), &mut out);
            let Written { lines, truncated_values, dropped_items, .. } = written;
            assert_eq!(
                [lines, truncated_values, dropped_items],
                expected,
                "{attributes:?} {items}"
            );
            assert_eq!(written.items + dropped_items, items);
            assert!(out.len() <= 3 * request.bytes().len(), "{items} of {bytes}: {}", out.len());
        };
        check(&[40_000], (100, 20), [1, 0, 0]);
        // More than half a line.
        check(&[80_000], (200, 20), [1, 0, 0]);
        check(&[80_000], (1000, 300), [4, 0, 0]);
        check(&[200; 200], (400, 1000), [4, 0, 0]);
        // More than half of the largest line.
        check(&[4_300_000], (300, 20), [1, 1, 0]);
        check(&[4_300_000], (2000, 300), [4, 1, 0]);
        check(&[4_300_000, 20], (6, 40_000), [1, 7, 0]);
        // With values too short to be truncated: the resource loses some.
        check(&[200; 700], (1200, 250), [2, 547, 0]);
    }
}
