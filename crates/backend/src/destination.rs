//! Where telemetry goes: the variables of a destination, shared by everything that sends.

mod authority;
mod variables;

#[cfg(test)]
mod tests;

use crate::answer::Profile;
use crate::client::stream_header;
use crate::export::Compression;
use settings::{Headers, Proxy, Reader, SecretReference};
use std::{fmt, time::Duration};
use url::{Host, Url};
use wire::SignalKind;

pub use authority::OwnAuthority;
pub use variables::DESTINATION;
use variables::{
    BACKEND, ENDPOINT, HEADERS, MAX_REQUEST_BYTES, O2_AUTHORIZATION, O2_ENDPOINT, O2_ORGANIZATION,
    O2_STREAM, O2_TIMEOUT, OTEL_COMPRESSION, OTEL_ENDPOINT, OTEL_HEADERS, OTEL_LOGS_ENDPOINT,
    OTEL_METRICS_ENDPOINT, OTEL_TIMEOUT, OTEL_TRACES_ENDPOINT, PROXY, SECRET, STREAM,
};

/// Headers that say how a body is sent, which is not for a variable to decide.
const OWN_HEADERS: &[&str] = &[
    "content-type",
    "content-encoding",
    "content-length",
    "transfer-encoding",
    "accept-encoding",
    "connection",
];

/// One backend and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// A URL a signal.
    pub endpoints: Endpoints,
    /// Headers of every request, the credentials among them.
    pub headers: Headers,
    /// Where the authorization header is kept; it replaces the one in `headers`.
    pub secret: Option<SecretReference>,
    /// Trusted beside the system's authorities.
    pub own_authority: Option<OwnAuthority>,
    /// On the way to the endpoints.
    pub proxy: Option<Proxy>,
    /// OpenObserve's stream for traces and logs.
    pub stream: Option<String>,
    /// What the backend asks of OTLP.
    pub profile: Profile,
    /// Longest time one request may take.
    pub request_timeout: Duration,
    /// How request bodies are sent.
    pub compression: Compression,
    /// Largest request before compression.
    pub max_request_bytes: usize,
}

/// A URL a signal.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoints {
    traces: Url,
    metrics: Url,
    logs: Url,
}

impl Endpoints {
    /// `/v1/{signal}` appended to this base; its query, if it has one, is kept.
    pub fn from_base(base: &Url) -> Self {
        let endpoint = |kind: SignalKind| {
            let mut url = base.clone();
            url.set_path(&format!("{}{}", base.path().trim_end_matches('/'), kind.path()));
            url
        };
        Self {
            traces: endpoint(SignalKind::Traces),
            metrics: endpoint(SignalKind::Metrics),
            logs: endpoint(SignalKind::Logs),
        }
    }

    /// Where requests of this signal go.
    pub fn of(&self, kind: SignalKind) -> &Url {
        match kind {
            SignalKind::Traces => &self.traces,
            SignalKind::Metrics => &self.metrics,
            SignalKind::Logs => &self.logs,
        }
    }

    /// All three.
    pub fn iter(&self) -> impl Iterator<Item = &Url> {
        SignalKind::ALL.into_iter().map(|kind| self.of(kind))
    }
}

impl fmt::Debug for Endpoints {
    /// Without user, password and query, which may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Url| {
            let query = if url.query().is_some() { "?****" } else { "" };
            let origin = url.origin().ascii_serialization();
            format!("{origin}{}{query}", url.path())
        };
        f.debug_list().entries(self.iter().map(shown)).finish()
    }
}

/// Which variables the endpoint came from: credentials of one family never go to an endpoint of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Ours,
    OpenTelemetry,
    OpenObserve,
}

impl Destination {
    /// A destination with this base URL, and the defaults of the table.
    pub fn new(base: &Url) -> Self {
        Self {
            endpoints: Endpoints::from_base(base),
            headers: Headers::new(),
            secret: None,
            own_authority: None,
            proxy: None,
            stream: None,
            profile: Profile::default(),
            request_timeout: Duration::from_secs(10),
            compression: Compression::default(),
            max_request_bytes: 4 << 20,
        }
    }

    /// Reads the rows of [`DESTINATION`]. `None` where there is no usable endpoint; then the reader has the mistake.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let family = family(reader);
        let profiles = [("openobserve", Profile::OpenObserve), ("otlp", Profile::Otlp)];
        let compressions = [("gzip", Compression::Gzip), ("none", Compression::None)];
        let profile = reader.choice(BACKEND, &profiles, Profile::default());
        let compression = reader.choice(OTEL_COMPRESSION, &compressions, Compression::default());
        let max_request_bytes = max_request_bytes(reader);
        let request_timeout = request_timeout(reader);
        let secret = reader.secret_reference(SECRET);
        let headers = headers(reader, family);
        let own_authority = OwnAuthority::read(reader);
        let proxy = proxy(reader);
        let stream = stream(reader, family);
        let endpoints = endpoints(reader, family)?;
        warn_of_plain_text(reader, &endpoints);
        Some(Self {
            endpoints,
            headers,
            secret,
            own_authority,
            proxy,
            stream,
            profile,
            request_timeout,
            compression,
            max_request_bytes,
        })
    }
}

/// The one for the backend alone, else the one of everything.
fn proxy(reader: &mut Reader<'_>) -> Option<Proxy> {
    let proxy = reader.proxy(PROXY);
    if reader.is_set(PROXY) { proxy.as_ref().map(Proxy::new) } else { Proxy::read(reader) }
}

fn family(reader: &Reader<'_>) -> Option<Family> {
    let any_set = |names: &[&str]| names.iter().any(|name| reader.is_set(name));
    if any_set(&[ENDPOINT]) {
        Some(Family::Ours)
    } else if any_set(&[
        OTEL_ENDPOINT,
        OTEL_TRACES_ENDPOINT,
        OTEL_METRICS_ENDPOINT,
        OTEL_LOGS_ENDPOINT,
    ]) {
        Some(Family::OpenTelemetry)
    } else if any_set(&[O2_ORGANIZATION, O2_AUTHORIZATION]) {
        Some(Family::OpenObserve)
    } else {
        None
    }
}

fn endpoints(reader: &mut Reader<'_>, family: Option<Family>) -> Option<Endpoints> {
    match family {
        None => {
            reader.mistake(
                ENDPOINT,
                format!("missing; set it, or {OTEL_ENDPOINT}, or {O2_ORGANIZATION} with {O2_AUTHORIZATION}"),
            );
            None
        }
        Some(Family::Ours) => base(reader, ENDPOINT).map(|base| Endpoints::from_base(&base)),
        Some(Family::OpenTelemetry) => {
            let shared = base(reader, OTEL_ENDPOINT).map(|base| Endpoints::from_base(&base));
            let traces =
                own_endpoint(reader, OTEL_TRACES_ENDPOINT, SignalKind::Traces, shared.as_ref());
            let metrics =
                own_endpoint(reader, OTEL_METRICS_ENDPOINT, SignalKind::Metrics, shared.as_ref());
            let logs = own_endpoint(reader, OTEL_LOGS_ENDPOINT, SignalKind::Logs, shared.as_ref());
            Some(Endpoints { traces: traces?, metrics: metrics?, logs: logs? })
        }
        Some(Family::OpenObserve) => {
            let organization = reader.string_if_set(O2_ORGANIZATION);
            if organization.is_none() {
                reader.mistake(O2_ORGANIZATION, format!("missing beside {O2_AUTHORIZATION}"));
            }
            let mut base = reader.url_or_default(O2_ENDPOINT)?;
            base.path_segments_mut().ok()?.pop_if_empty().push("api").push(organization?.trim());
            Some(Endpoints::from_base(&base))
        }
    }
}

/// A base URL; one that names a signal already would become `/v1/traces/v1/traces`.
fn base(reader: &mut Reader<'_>, name: &str) -> Option<Url> {
    let url = reader.url(name)?;
    if let Some(kind) =
        SignalKind::ALL.iter().find(|kind| url.path().trim_end_matches('/').ends_with(kind.path()))
    {
        reader.mistake(
            name,
            format!("ends in {}, which is appended; give the URL without it", kind.path()),
        );
        return None;
    }
    Some(url)
}

fn own_endpoint(
    reader: &mut Reader<'_>,
    name: &str,
    kind: SignalKind,
    shared: Option<&Endpoints>,
) -> Option<Url> {
    if reader.is_set(name) {
        return reader.url(name);
    }
    if shared.is_none() && !reader.is_set(OTEL_ENDPOINT) {
        reader
            .mistake(name, format!("missing, and so is {OTEL_ENDPOINT}: {kind} have no endpoint"));
    }
    shared.map(|shared| shared.of(kind).clone())
}

fn headers(reader: &mut Reader<'_>, family: Option<Family>) -> Headers {
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
        reader.warn(HEADERS, format!("its authorization is replaced by that of {SECRET}"));
    }
    if !ours.is_empty() {
        return ours;
    }
    match family {
        Some(Family::OpenTelemetry) => otel,
        Some(Family::OpenObserve) => {
            let mut headers = Headers::new();
            let Some(value) = o2 else {
                if has_secret {
                    return headers;
                }
                reader.mistake(O2_AUTHORIZATION, format!("missing beside {O2_ORGANIZATION}"));
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
        Some(Family::Ours) | None => {
            if !otel.is_empty() {
                reader.warn(OTEL_HEADERS, format!("not sent to {ENDPOINT}; set {HEADERS} for it"));
            }
            ours
        }
    }
}

fn stream(reader: &mut Reader<'_>, family: Option<Family>) -> Option<String> {
    let (name, stream) = match reader.string_if_set(STREAM) {
        None if family == Some(Family::OpenObserve) => (O2_STREAM, Some(reader.string(O2_STREAM))),
        stream => (STREAM, stream),
    };
    let stream = stream?;
    if stream_header(&stream).is_none() {
        reader.mistake(name, "holds characters that a header cannot");
        return None;
    }
    Some(stream)
}

/// The OTLP plan of OpenObserve's extension counted `OTEL_EXPORTER_OTLP_TIMEOUT` in seconds, OpenTelemetry counts in
/// milliseconds. A small bare number beside O2 variables was written for the former.
fn request_timeout(reader: &mut Reader<'_>) -> Duration {
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
    }
    timeout
}

fn max_request_bytes(reader: &mut Reader<'_>) -> usize {
    const LEAST: usize = 1024;
    let bytes = reader.bytes(MAX_REQUEST_BYTES);
    if bytes < LEAST {
        reader.mistake(MAX_REQUEST_BYTES, "must be at least 1KiB");
    }
    bytes.max(LEAST)
}

/// A self-hosted OpenObserve in a VPC often has no TLS; whoever sends over other networks should know.
fn warn_of_plain_text(reader: &mut Reader<'_>, endpoints: &Endpoints) {
    let is_plain = |url: &&Url| url.scheme() == "http" && !is_loopback(url);
    if let Some(url) = endpoints.iter().find(is_plain) {
        let host = url.host_str().unwrap_or_default();
        reader.warn(ENDPOINT, format!("telemetry and credentials go to {host} without TLS"));
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
