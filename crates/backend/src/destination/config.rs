//! One backend and how it is spoken to, read from variables.

use super::family::Family;
use super::variables::{BACKEND, OTEL_COMPRESSION, PROXY, SECRET};
use super::{Compression, Endpoints, OwnAuthority, Profile, headers, limits, stream};
use settings::{Headers, Proxy, Reader, SecretReference};
use std::time::Duration;
use url::Url;
#[cfg(feature = "lean")]
use wire::SignalKind;

/// One backend and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationConfig {
    /// The URL of each signal.
    pub endpoints: Endpoints,
    /// Headers of every request, the credentials among them.
    pub headers: Headers,
    /// Where the authorization header is kept; it replaces the one in `headers`.
    pub secret: Option<SecretReference>,
    /// Authorities that are trusted beside the system's.
    pub own_authority: Option<OwnAuthority>,
    /// The proxy on the way to the endpoints.
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
    /// Most columns of one stream in one request, of OpenObserve; a lower limit that it names itself counts instead.
    pub max_columns: usize,
}

impl DestinationConfig {
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
            max_columns: 1000,
        }
    }

    /// OpenObserve's older endpoint for logs, beside the OTLP endpoints of this destination: `…/api/{organization}/{stream}/_json`.
    /// `None` where the logs' endpoint is none of OpenObserve's.
    #[cfg(feature = "lean")]
    pub fn json_stream(&self) -> Option<Self> {
        const DEFAULT_STREAM: &str = "default";
        let mut url = self.endpoints.of(SignalKind::Logs).clone();
        let base = url.path().strip_suffix(SignalKind::Logs.path())?.to_owned();
        url.set_path(&base);
        let stream = self.stream.as_deref().unwrap_or(DEFAULT_STREAM);
        url.path_segments_mut().ok()?.pop_if_empty().push(stream).push("_json");
        let mut destination = self.clone();
        destination.endpoints.set(SignalKind::Logs, url);
        // What the endpoint answers is said in the words of OpenObserve's OTLP endpoints; the stream is in the path.
        destination.profile = Profile::OpenObserve;
        destination.stream = None;
        Some(destination)
    }

    /// Reads the rows of [`DESTINATION`](super::DESTINATION), and those of [`SECRET_ROW`](super::SECRET_ROW) and
    /// [`PROXY_ROW`](super::PROXY_ROW) where the table has them. `None` where there is no usable endpoint; then the reader has
    /// the mistake.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let family = Family::of(reader);
        let profiles = [("openobserve", Profile::OpenObserve), ("otlp", Profile::Otlp)];
        let compressions = [("gzip", Compression::Gzip), ("none", Compression::None)];
        let profile = reader.choice(BACKEND, &profiles, Profile::default());
        let compression = reader.choice(OTEL_COMPRESSION, &compressions, Compression::default());
        let max_request_bytes = limits::max_request_bytes(reader);
        let max_columns = limits::max_columns(reader);
        let request_timeout = limits::request_timeout(reader);
        let secret = reader.has_row(SECRET).then(|| reader.secret_reference(SECRET)).flatten();
        let headers = headers::read(reader, family);
        let own_authority = OwnAuthority::read(reader);
        let proxy = reader.has_row(PROXY).then(|| proxy(reader)).flatten();
        let stream = stream::read(reader, family);
        let endpoints = Endpoints::read(reader, family)?;
        // Over gRPC, a header names the organization.
        if headers.get("organization").is_none() && !endpoints.name_organizations(reader) {
            return None;
        }
        endpoints.warn_of_plain_text(reader);
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
            max_columns,
        })
    }
}

/// The proxy that our own variable names, for the backend alone; else that of the standard variables, which is for everything.
fn proxy(reader: &mut Reader<'_>) -> Option<Proxy> {
    let proxy = reader.proxy(PROXY);
    if reader.is_set(PROXY) { proxy.as_ref().map(Proxy::new) } else { Proxy::read(reader) }
}
