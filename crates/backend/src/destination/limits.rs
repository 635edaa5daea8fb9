//! Limits on the duration and size of a request.

use super::variables::{
    MAX_REQUEST_BYTES, O2_AUTHORIZATION, O2_ENDPOINT, O2_ORGANIZATION, O2_TIMEOUT, OTEL_TIMEOUT,
};
use settings::Reader;
use std::time::Duration;

pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit of one request.
///
/// OpenTelemetry defines `OTEL_EXPORTER_OTLP_TIMEOUT` in milliseconds, OpenObserve's extension used seconds. A number of at most
/// 60 without a unit is read as seconds if variables of that extension are set too.
pub(super) fn request_timeout(reader: &mut Reader<'_>) -> Duration {
    const MOST_SECONDS: u64 = 60;
    let in_seconds = reader
        .raw(OTEL_TIMEOUT)
        .and_then(|text| text.trim().parse().ok())
        .filter(|number| (1..=MOST_SECONDS).contains(number));
    let beside_o2 =
        [O2_ORGANIZATION, O2_AUTHORIZATION, O2_ENDPOINT].iter().any(|name| reader.is_set(name));
    let o2_timeout = reader.duration_if_set(O2_TIMEOUT);
    let (name, timeout) = match (in_seconds, o2_timeout) {
        (Some(seconds), _) if beside_o2 => {
            let text = format!(
                "read as {seconds} seconds because O2 variables are set; write {seconds}s or {seconds}ms"
            );
            reader.warn(OTEL_TIMEOUT, text);
            (OTEL_TIMEOUT, Duration::from_secs(seconds))
        }
        (_, Some(timeout)) if !reader.is_set(OTEL_TIMEOUT) => (O2_TIMEOUT, timeout),
        _ => (OTEL_TIMEOUT, reader.duration(OTEL_TIMEOUT)),
    };
    if timeout.is_zero() {
        reader.mistake(name, "must be longer than 0");
        return DEFAULT_TIMEOUT;
    }
    timeout
}

/// Maximum size of a request before compression.
pub(super) fn max_request_bytes(reader: &mut Reader<'_>) -> usize {
    const LEAST: usize = 1024;
    let bytes = reader.bytes(MAX_REQUEST_BYTES);
    if bytes < LEAST {
        reader.mistake(MAX_REQUEST_BYTES, "must be at least 1KiB");
    }
    bytes.max(LEAST)
}
