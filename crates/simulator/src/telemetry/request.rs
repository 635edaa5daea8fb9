//! Reads and checks a subscription request (AWS Lambda "Telemetry API reference").

use std::time::Duration;

use http::Uri;
use serde::Deserialize;
use thiserror::Error;

use super::category::Category;

/// The version of the events that a subscriber wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    V2022_07_01,
    V2022_12_13,
    V2025_01_29,
}

/// When a batch leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Buffering {
    pub(crate) max_items: usize,
    pub(crate) max_bytes: usize,
    pub(crate) timeout: Duration,
}

/// Where a batch goes; always on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    Http { port: u16, path: String, host: String },
    Tcp { port: u16 },
}

/// A subscription that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) schema: Schema,
    pub(crate) types: Vec<Category>,
    pub(crate) buffering: Buffering,
    pub(crate) destination: Destination,
}

/// Why a subscription is refused with 400.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum InvalidSubscription {
    #[error("the body is no subscription: {0}")]
    Json(String),
    #[error("schemaVersion `{0}` is unknown; use 2025-01-29")]
    Schema(String),
    #[error("types is empty; name platform, function or extension")]
    NoTypes,
    #[error("type `{0}` is unknown; use platform, function or extension")]
    Type(String),
    #[error("buffering.{name} is {value}, not within {min} and {max}")]
    OutOfRange { name: &'static str, value: u64, min: u64, max: u64 },
    #[error("destination.protocol `{0}` is unknown; use HTTP")]
    Protocol(String),
    #[error("destination `{0}` is not http://sandbox.localdomain:PORT")]
    Destination(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    schema_version: String,
    types: Vec<String>,
    #[serde(default)]
    buffering: Option<RequestedBuffering>,
    destination: RequestedDestination,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestedBuffering {
    max_items: Option<u64>,
    max_bytes: Option<u64>,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
struct RequestedDestination {
    protocol: String,
    #[serde(rename = "URI")]
    uri: Option<String>,
    port: Option<u16>,
}

/// The port of the Runtime API in Lambda.
const RESERVED_PORT: u16 = 9001;

impl Settings {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, InvalidSubscription> {
        let request: Request = serde_json::from_slice(body)
            .map_err(|error| InvalidSubscription::Json(error.to_string()))?;
        let schema = match request.schema_version.as_str() {
            "2022-07-01" => Schema::V2022_07_01,
            "2022-12-13" => Schema::V2022_12_13,
            "2025-01-29" => Schema::V2025_01_29,
            _ => return Err(InvalidSubscription::Schema(request.schema_version)),
        };
        if request.types.is_empty() {
            return Err(InvalidSubscription::NoTypes);
        }
        let types = request.types.iter().map(|name| {
            Category::parse(name).ok_or_else(|| InvalidSubscription::Type(name.clone()))
        });
        let types = types.collect::<Result<_, _>>()?;
        let buffering = buffering(&request.buffering.unwrap_or_default())?;
        let destination = destination(request.destination)?;
        Ok(Self { schema, types, buffering, destination })
    }
}

fn buffering(requested: &RequestedBuffering) -> Result<Buffering, InvalidSubscription> {
    let within = |name, value: Option<u64>, default, min, max| match value.unwrap_or(default) {
        value if (min..=max).contains(&value) => Ok(value),
        value => Err(InvalidSubscription::OutOfRange { name, value, min, max }),
    };
    let max_items = within("maxItems", requested.max_items, 10_000, 1000, 10_000)?;
    let max_bytes = within("maxBytes", requested.max_bytes, 262_144, 262_144, 1_048_576)?;
    let timeout_ms = within("timeoutMs", requested.timeout_ms, 1000, 25, 30_000)?;
    Ok(Buffering {
        max_items: usize::try_from(max_items).unwrap_or(usize::MAX),
        max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
        timeout: Duration::from_millis(timeout_ms),
    })
}

fn destination(requested: RequestedDestination) -> Result<Destination, InvalidSubscription> {
    match requested.protocol.as_str() {
        "HTTP" => {
            let text = requested.uri.unwrap_or_default();
            http_destination(&text).ok_or(InvalidSubscription::Destination(text))
        }
        "TCP" => match requested.port {
            Some(port) if port != RESERVED_PORT => Ok(Destination::Tcp { port }),
            port => Err(InvalidSubscription::Destination(format!("{port:?}"))),
        },
        _ => Err(InvalidSubscription::Protocol(requested.protocol)),
    }
}

/// `sandbox.localdomain` stands for this machine, as `sandbox` does; so do, outside Lambda, the loopback names.
fn http_destination(text: &str) -> Option<Destination> {
    let uri: Uri = text.parse().ok()?;
    let host = uri.host()?;
    let is_here = matches!(host, "sandbox.localdomain" | "sandbox" | "127.0.0.1" | "localhost");
    let port = uri.port_u16().unwrap_or(80);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    (uri.scheme_str() == Some("http") && is_here && port != RESERVED_PORT)
        .then(|| Destination::Http { port, path: path.to_owned(), host: format!("{host}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
        let mut request = serde_json::json!({
            "schemaVersion": "2025-01-29",
            "types": ["platform", "function"],
            "buffering": { "maxItems": 1000, "maxBytes": 262_144, "timeoutMs": 25 },
            "destination": { "protocol": "HTTP", "URI": "http://sandbox.localdomain:8080/secret" },
        });
        change(&mut request);
        request.to_string().into_bytes()
    }

    #[test]
    fn a_subscription_is_read_with_its_defaults() {
        let full = Settings::parse(&request(|_| ())).unwrap();
        assert_eq!(full.types, [Category::Platform, Category::Function]);
        let host = "sandbox.localdomain:8080".to_owned();
        assert_eq!(
            full.destination,
            Destination::Http { port: 8080, path: "/secret".to_owned(), host }
        );
        let bare = request(|request| drop(request.as_object_mut().unwrap().remove("buffering")));
        let bare = Settings::parse(&bare).unwrap().buffering;
        let timeout = Duration::from_secs(1);
        assert_eq!(bare, Buffering { max_items: 10_000, max_bytes: 262_144, timeout });
    }

    #[test]
    fn what_lambda_refuses_is_refused_by_name() {
        let check = |pointer: &str, value: serde_json::Value, message: &str| {
            let body = request(|request| {
                let (parent, key) = pointer.rsplit_once('/').unwrap();
                request.pointer_mut(parent).unwrap()[key] = value;
            });
            assert_eq!(Settings::parse(&body).unwrap_err().to_string(), message);
        };
        let out = |name, value, range| format!("buffering.{name} is {value}, not within {range}");
        let uri = "/destination/URI";
        let not =
            |text: &str| format!("destination `{text}` is not http://sandbox.localdomain:PORT");
        check("/schemaVersion", "2024".into(), "schemaVersion `2024` is unknown; use 2025-01-29");
        check(
            "/types",
            serde_json::json!([]),
            "types is empty; name platform, function or extension",
        );
        check(
            "/types",
            serde_json::json!(["logs"]),
            "type `logs` is unknown; use platform, function or extension",
        );
        check("/buffering/maxItems", 999.into(), &out("maxItems", 999, "1000 and 10000"));
        check("/buffering/maxItems", 10_001.into(), &out("maxItems", 10_001, "1000 and 10000"));
        check(
            "/buffering/maxBytes",
            262_143.into(),
            &out("maxBytes", 262_143, "262144 and 1048576"),
        );
        check(
            "/buffering/maxBytes",
            1_048_577.into(),
            &out("maxBytes", 1_048_577, "262144 and 1048576"),
        );
        check("/buffering/timeoutMs", 24.into(), &out("timeoutMs", 24, "25 and 30000"));
        check("/buffering/timeoutMs", 30_001.into(), &out("timeoutMs", 30_001, "25 and 30000"));
        check(
            "/destination/protocol",
            "UDP".into(),
            "destination.protocol `UDP` is unknown; use HTTP",
        );
        check(uri, "http://example.com:8080".into(), &not("http://example.com:8080"));
        check(uri, "https://sandbox:8080".into(), &not("https://sandbox:8080"));
        check(uri, "http://sandbox:9001".into(), &not("http://sandbox:9001"));
        check(uri, "8080".into(), &not("8080"));
        assert!(matches!(Settings::parse(b"{}"), Err(InvalidSubscription::Json(_))));
    }
}
