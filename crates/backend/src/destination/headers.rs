//! The headers of every request, including credentials.

use super::family::Family;
use super::variables::{
    ENDPOINT, HEADERS, O2_AUTHORIZATION, O2_ORGANIZATION, OTEL_HEADERS, SECRET,
};
use settings::{Headers, Reader};

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
pub(super) fn read(reader: &mut Reader<'_>, family: Option<Family>) -> Headers {
    let ours = reader.headers(HEADERS);
    let otel = reader.headers(OTEL_HEADERS);
    let o2 = reader.secret(O2_AUTHORIZATION);
    for (name, headers) in [(HEADERS, &ours), (OTEL_HEADERS, &otel)] {
        for (header, _) in headers.iter().filter(|(header, _)| OWN_HEADERS.contains(header)) {
            reader.mistake(
                name,
                format!("{header} cannot be set, it follows from how the body is sent"),
            );
        }
    }
    let has_secret = reader.is_set(SECRET);
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
            let value = value.expose().trim();
            let has_scheme = value.contains(' ');
            let value = if has_scheme { value.to_owned() } else { format!("Basic {value}") };
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
