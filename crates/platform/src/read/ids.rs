//! Reads request ids, X-Ray trace roots, and the trace ids that loggers write.

use crate::read::keys::{Role, role};
use memchr::memmem::Finder;
use std::borrow::Cow;
use std::sync::LazyLock;

pub(crate) const UUID_BYTES: usize = 36;

/// Returns `true` if the text is a UUID as Lambda writes request ids, in either case.
pub(crate) fn is_uuid(text: &str) -> bool {
    let Ok(bytes) = <&[u8; UUID_BYTES]>::try_from(text.as_bytes()) else { return false };
    // Reading all bytes is faster than stopping at the first mismatch.
    let hex = bytes.iter().map(|byte| u8::from(byte.is_ascii_hexdigit())).sum::<u8>();
    let dashes = [bytes[8], bytes[13], bytes[18], bytes[23]];
    hex == 32 && dashes == *b"----"
}

/// A request id in canonical form: a UUID in lower case. Ids of local Lambda emulators, which follow no format, stay unchanged.
pub(crate) fn request_id_of(text: &str) -> String {
    if is_uuid(text) { text.to_ascii_lowercase() } else { text.to_owned() }
}

/// [`request_id_of`] without a copy, for nearly all texts.
pub(crate) fn canonical(text: &str) -> Cow<'_, str> {
    match lower_case(text) {
        Cow::Owned(lower) if is_uuid(text) => Cow::Owned(lower),
        _ => Cow::Borrowed(text),
    }
}

pub(crate) fn lower_case(id: &str) -> Cow<'_, str> {
    let has_capitals = match <&[u8; UUID_BYTES]>::try_from(id.as_bytes()) {
        // Reads all bytes, too.
        Ok(id) => id.iter().map(|byte| u8::from(byte.is_ascii_uppercase())).sum::<u8>() > 0,
        Err(_) => id.bytes().any(|byte| byte.is_ascii_uppercase()),
    };
    if has_capitals { Cow::Owned(id.to_ascii_lowercase()) } else { Cow::Borrowed(id) }
}

/// The root in an X-Ray header, or the text itself if it is a root: `1-<8 hex>-<24 hex>`.
pub(crate) fn xray_root(text: &str) -> Option<String> {
    let root =
        text.split(';').find_map(|field| field.trim().strip_prefix("Root=")).unwrap_or(text).trim();
    wire::ids::xray_trace_id(root).map(|_| root.to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceIds {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: Option<[u8; 8]>,
}

impl TraceIds {
    /// Reads the trace id of a logger: hexadecimal digits, X-Ray's `1-…` with or without `@` and the segment, or the name of a
    /// trace in Google Cloud. An X-Ray header is none: Lambda gives one to every invocation, traced or not.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let (trace, segment) = text.split_once('@').unwrap_or((text, ""));
        let of_google = || trace.strip_prefix("projects/")?.rsplit_once("/traces/");
        let digits = of_google().map_or(trace, |(_, id)| id);
        let trace_id = wire::ids::id(digits).or_else(|| wire::ids::xray_trace_id(digits))?;
        Some(Self { trace_id, span_id: wire::ids::id(segment) })
    }

    /// Reads a `traceparent` (W3C Trace Context, 3.2).
    pub(crate) fn of_traceparent(text: &str) -> Option<Self> {
        /// Later versions may be longer.
        const BYTES: usize = 55;
        let text = text.trim();
        let mut parts = text.split('-');
        let version = parts.next().filter(|version| version.len() == 2 && *version != "ff")?;
        let trace_id = wire::ids::id(parts.next()?)?;
        let span_id = Some(wire::ids::id(parts.next()?)?);
        (text.len() == BYTES || version != "00").then_some(Self { trace_id, span_id })
    }

    /// Reads an id of Datadog's tracers: 64 bits in decimal, or 128 bits in hexadecimal digits.
    pub(crate) fn of_datadog(text: &str) -> Option<Self> {
        let of_number =
            || datadog_id(text).map(|id| u128::from(u64::from_be_bytes(id)).to_be_bytes());
        let trace_id = wire::ids::id(text).or_else(of_number)?;
        Some(Self { trace_id, span_id: None })
    }

    /// Reads the ids that a text names, such as `trace_id=… span_id=…`.
    pub(crate) fn in_text(text: &str) -> Option<Self> {
        // Finds `trace_id`, `traceId`, `traceparent` and `otelTraceID` in one search.
        let at = FIND_TRACE.find(text.as_bytes())?;
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.';
        let begin = text.get(..at)?.trim_end_matches(is_part).len();
        let (key, rest) = text.get(begin..)?.split_once(['=', ':', ' '])?;
        let value = value_at(rest);
        let span = || span_in(rest).or_else(|| span_in(text.get(..begin)?));
        match role(key.trim_end_matches('"'))? {
            Role::Traceparent => Self::of_traceparent(value),
            Role::DatadogTraceId => {
                let ids = Self::of_datadog(value)?;
                Some(Self { span_id: span().and_then(datadog_id), ..ids })
            }
            Role::TraceId => {
                let ids = Self::of_text(value)?;
                Some(Self { span_id: ids.span_id.or_else(|| wire::ids::id(span()?)), ..ids })
            }
            _ => None,
        }
    }
}

// A static, because creating a finder takes longer than one search.
static FIND_TRACE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("race"));

/// The span id that a text names, before or after the trace id.
fn span_in(text: &str) -> Option<&str> {
    let at = memchr::memmem::find(text.as_bytes(), b"pan")?;
    Some(value_at(text.get(at..)?.split_once(['=', ':', ' '])?.1))
}

/// The word after a key and its separator.
fn value_at(rest: &str) -> &str {
    let rest = rest.trim_start_matches(['"', ' ', '=', ':']);
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '@' | '/');
    rest.find(|c| !is_part(c)).and_then(|end| rest.get(..end)).unwrap_or(rest)
}

/// A span id of Datadog's tracers: a decimal number.
pub(crate) fn datadog_id(text: &str) -> Option<[u8; 8]> {
    text.parse().ok().filter(|id: &u64| *id != 0).map(u64::to_be_bytes)
}

/// The ids that Spring writes in brackets: `trace-span` since Boot 3, and `name,trace,span` before.
pub(crate) fn trace_ids_in_brackets(inner: &str) -> Option<TraceIds> {
    const BYTES: usize = 16 + 1 + 16;
    if inner.len() < BYTES {
        return None;
    }
    if inner.starts_with("1-") {
        return TraceIds::of_text(inner);
    }
    if let Some((key, id)) = inner.split_once(": ") {
        return role(key).filter(|role| *role == Role::TraceId).and_then(|_| TraceIds::of_text(id));
    }
    let parts: Vec<&str> = inner.splitn(5, [',', '-']).collect();
    let at = parts.iter().position(|part| wire::ids::id::<16>(part.trim()).is_some())?;
    let trace_id = wire::ids::id(parts.get(at)?.trim())?;
    let span_id = Some(wire::ids::id(parts.get(at + 1)?.trim())?);
    Some(TraceIds { trace_id, span_id })
}
