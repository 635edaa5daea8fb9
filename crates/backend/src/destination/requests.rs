//! The headers of every request, including credentials, its stream, and its limits of time and size.

use super::endpoints::Family;
use super::variables::{
    ENDPOINT, HEADERS, O2_AUTHORIZATION, O2_ENDPOINT, O2_ORGANIZATION, O2_STREAM, O2_TIMEOUT,
    OTEL_HEADERS, OTEL_TIMEOUT, SECRET, STREAM,
};
use http::{HeaderName, HeaderValue};
use settings::{Headers, Reader, Secret};
use std::time::Duration;

/// Headers that describe the body's encoding and are therefore not configurable.
const OWN_HEADERS: &[&str] = &[
    "content-type",
    "content-encoding",
    "content-length",
    "transfer-encoding",
    "accept-encoding",
    "connection",
];

/// Reads the headers from our own variable, or else from the family of the endpoint's variable.
pub(super) fn headers(reader: &mut Reader<'_>, family: Option<Family>) -> Headers {
    let ours = reader.read(HEADERS).unwrap_or_default();
    let otel = reader.read(OTEL_HEADERS).unwrap_or_default();
    let o2 = reader.read(O2_AUTHORIZATION);
    for (name, headers) in [(HEADERS, &ours), (OTEL_HEADERS, &otel)] {
        for (header, _) in headers.iter().filter(|(header, _)| OWN_HEADERS.contains(header)) {
            reader.mistake(
                name,
                format!("{header} cannot be set, it follows from how the body is sent"),
            );
        }
    }
    let has_secret = reader.is_set(SECRET);
    for (name, headers) in [(HEADERS, &ours), (OTEL_HEADERS, &otel)] {
        let has_scheme = |value: &Secret| value.expose().trim().contains(' ');
        if headers.get("authorization").is_some_and(|value| !has_scheme(value)) {
            reader.warn(
                name,
                "authorization has no scheme; nearly all backends want `Basic …` or `Bearer …`",
            );
        }
    }
    if has_secret && ours.get("authorization").is_some() {
        reader.warn(HEADERS, format!("its authorization is ignored: {SECRET} replaces it"));
    }
    match family {
        Some(Family::OpenObserve) if ours.get("authorization").is_none() => {
            let mut headers = ours;
            let Some(value) = o2 else {
                if headers.is_empty() && !has_secret {
                    reader.mistake(O2_AUTHORIZATION, format!("missing beside {O2_ORGANIZATION}"));
                }
                return headers;
            };
            let given = value.expose().trim();
            let has_scheme = given.contains(' ');
            let value = if has_scheme { given.to_owned() } else { format!("Basic {given}") };
            if let Err(problem) = headers.push("authorization", value) {
                reader.mistake(O2_AUTHORIZATION, problem);
            }
            headers
        }
        _ if !ours.is_empty() => ours,
        Some(Family::OpenTelemetry) => otel,
        _ => {
            if !otel.is_empty() {
                reader.warn(OTEL_HEADERS, format!("not sent to {ENDPOINT}; set {HEADERS} for it"));
            }
            ours
        }
    }
}

/// OpenObserve's header for the stream of traces and logs. Metrics need none, because each metric's name is a stream.
pub(crate) const STREAM_NAME: HeaderName = HeaderName::from_static("stream-name");

/// Returns the stream's name as a value of that header, or `None` if it is not visible ASCII, the only text that servers read in
/// headers.
pub(crate) fn stream_header(name: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(name).ok().filter(|value| value.to_str().is_ok())
}

/// Reads the stream's name. Returns `None` if it is missing or unusable in a header; the reader then holds the mistake.
pub(super) fn stream(reader: &mut Reader<'_>, family: Option<Family>) -> Option<String> {
    let (name, stream) = match reader.read(STREAM) {
        None if family == Some(Family::OpenObserve) => {
            (O2_STREAM.name(), Some(reader.read(O2_STREAM)))
        }
        stream => (STREAM.name(), stream),
    };
    let stream = stream?;
    if stream_header(&stream).is_none() {
        reader.mistake(name, "contains characters that a header cannot");
        return None;
    }
    Some(stream)
}

pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the time limit of one request.
pub(super) fn request_timeout(reader: &mut Reader<'_>) -> Duration {
    let TimeLimit { variable, duration } = TimeLimit::read(reader);
    if duration.is_zero() {
        reader.mistake(variable, "must be longer than 0");
        return DEFAULT_TIMEOUT;
    }
    duration
}

/// A time limit, and the variable that has it.
struct TimeLimit {
    variable: &'static str,
    duration: Duration,
}

impl TimeLimit {
    fn read(reader: &mut Reader<'_>) -> Self {
        let of_o2 = reader.read(O2_TIMEOUT);
        if let Some(seconds) = seconds_of_o2(reader) {
            let text = format!(
                "read as {seconds} seconds because O2 variables are set; write {seconds}s or {seconds}ms"
            );
            reader.warn(OTEL_TIMEOUT, text);
            let duration = Duration::from_secs(seconds);
            return Self { variable: OTEL_TIMEOUT.name(), duration };
        }
        match of_o2 {
            Some(duration) if !reader.is_set(OTEL_TIMEOUT) => {
                Self { variable: O2_TIMEOUT.name(), duration }
            }
            _ => Self { variable: OTEL_TIMEOUT.name(), duration: reader.read(OTEL_TIMEOUT) },
        }
    }
}

/// Returns the seconds of `OTEL_EXPORTER_OTLP_TIMEOUT` if its user counted seconds. OpenTelemetry defines milliseconds, but
/// OpenObserve's extension read seconds. So a number of at most 60 without a unit is seconds if variables of that extension are
/// set too.
fn seconds_of_o2(reader: &Reader<'_>) -> Option<u64> {
    const MAX_SECONDS: u64 = 60;
    let has_o2_variables = reader.is_set(O2_ORGANIZATION)
        || reader.is_set(O2_AUTHORIZATION)
        || reader.is_set(O2_ENDPOINT);
    let number = reader.raw(OTEL_TIMEOUT)?.trim().parse().ok()?;
    (has_o2_variables && (1..=MAX_SECONDS).contains(&number)).then_some(number)
}
