//! OpenObserve's stream for traces and logs.

use super::family::Family;
use super::variables::{O2_STREAM, STREAM};
use http::{HeaderName, HeaderValue};
use settings::Reader;

/// OpenObserve's header for the stream of traces and logs. Metrics need none, because each metric's name is a stream.
pub(crate) const STREAM_NAME: HeaderName = HeaderName::from_static("stream-name");

/// Returns the stream's name as a value of that header, or `None` if it is not visible ASCII, the only text that servers read in
/// headers.
pub(crate) fn stream_header(name: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(name).ok().filter(|value| value.to_str().is_ok())
}

/// Reads the stream's name. Returns `None` if it is missing or unusable in a header; the reader then holds the mistake.
pub(super) fn read(reader: &mut Reader<'_>, family: Option<Family>) -> Option<String> {
    let (name, stream) = match reader.string_if_set(STREAM) {
        None if family == Some(Family::OpenObserve) => (O2_STREAM, Some(reader.string(O2_STREAM))),
        stream => (STREAM, stream),
    };
    let stream = stream?;
    if stream_header(&stream).is_none() {
        reader.mistake(name, "contains characters that a header cannot");
        return None;
    }
    Some(stream)
}
