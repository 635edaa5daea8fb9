//! Reads and checks a subscription request (AWS Lambda "Telemetry API reference").

use std::time::Duration;

use http::Uri;
use serde::Deserialize;

use super::category::Category;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Buffering {
    pub(crate) max_items: usize,
    pub(crate) max_bytes: usize,
    pub(crate) timeout: Duration,
}

/// Where a batch goes; always on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) host: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) types: Vec<Category>,
    pub(crate) buffering: Buffering,
    pub(crate) destination: Destination,
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
}

const SCHEMA_VERSIONS: [&str; 2] = ["2022-12-13", "2025-01-29"];

const RESERVED_PORT: u16 = 9001;

impl Settings {
    /// Returns an error if Lambda would answer 400.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let request: Request = serde_json::from_slice(body)
            .map_err(|error| format!("the body is no subscription: {error}"))?;
        let version = request.schema_version;
        if !SCHEMA_VERSIONS.contains(&version.as_str()) {
            return Err(format!("schemaVersion `{version}` is unknown; use 2025-01-29"));
        }
        if request.types.is_empty() {
            return Err("types is empty; name platform, function or extension".to_owned());
        }
        let unknown =
            |name| format!("type `{name}` is unknown; use platform, function or extension");
        let types =
            request.types.iter().map(|name| Category::parse(name).ok_or_else(|| unknown(name)));
        let types = types.collect::<Result<_, _>>()?;
        let buffering = buffering(&request.buffering.unwrap_or_default())?;
        let destination = destination(request.destination)?;
        Ok(Self { types, buffering, destination })
    }
}

fn buffering(requested: &RequestedBuffering) -> Result<Buffering, String> {
    let within = |name, value: Option<u64>, default, min, max| match value.unwrap_or(default) {
        value if (min..=max).contains(&value) => Ok(value),
        value => Err(format!("buffering.{name} is {value}, not within {min} and {max}")),
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

fn destination(requested: RequestedDestination) -> Result<Destination, String> {
    let RequestedDestination { protocol, uri } = requested;
    if protocol != "HTTP" {
        return Err(format!("destination.protocol `{protocol}` is not simulated; use HTTP"));
    }
    let text = uri.unwrap_or_default();
    let wrong = || format!("destination `{text}` is not http://sandbox.localdomain:PORT");
    http_destination(&text).ok_or_else(wrong)
}

/// `sandbox.localdomain` stands for this machine, as `sandbox` does; so do, outside Lambda, the loopback names.
fn http_destination(text: &str) -> Option<Destination> {
    let uri: Uri = text.parse().ok()?;
    let host = uri.host()?;
    let is_here = matches!(host, "sandbox.localdomain" | "sandbox" | "127.0.0.1" | "localhost");
    let port = uri.port_u16().unwrap_or(80);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    (uri.scheme_str() == Some("http") && is_here && port != RESERVED_PORT).then(|| Destination {
        port,
        path: path.to_owned(),
        host: format!("{host}:{port}"),
    })
}
