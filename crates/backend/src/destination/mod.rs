//! The settings of one backend, shared by all senders.

pub(crate) mod cloudwatch;
mod endpoints;
mod own_authority;
mod requests;
mod signals;
pub(crate) mod variables;

pub use cloudwatch::{CloudWatchEndpoint, WrittenLogGroup};
pub use endpoints::Endpoints;
use endpoints::Family;
pub use endpoints::missing_organization;
pub use own_authority::{InvalidAuthority, OwnAuthority};
pub(crate) use requests::{STREAM_NAME, stream_header};
use settings::{Headers, Proxy, Reader, SecretReference};
use signals::database_of_totals;
pub use signals::{Signals, Telemetry, UnknownSignal};
use std::time::Duration;
use url::Url;
use variables::{BACKEND, HEADERS, OTEL_COMPRESSION, PROXY, SECRET};
pub use variables::{DESTINATION, O2_DESTINATION, SIGNALS, STREAM};
use wire::SignalKind;

/// One backend and its connection settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationConfig {
    pub endpoints: Endpoints,
    /// Headers of every request, including credentials.
    pub headers: Headers,
    /// The location of the authorization header, which replaces the one in `headers`.
    pub secret: Option<SecretReference>,
    /// Certificate authorities trusted in addition to the system's.
    pub own_authority: Option<OwnAuthority>,
    pub proxy: Option<Proxy>,
    /// OpenObserve's stream for traces and logs.
    pub stream: Option<String>,
    pub profile: Profile,
    /// The telemetry that it takes. Other telemetry is counted and not sent.
    pub signals: Signals,
    pub request_timeout: Duration,
    pub compression: Compression,
    /// Maximum size of a request before compression, in bytes.
    pub max_request_bytes: usize,
}

/// Backends and proxies accept this size, or state with 413 that it is too large.
const MAX_REQUEST_BYTES: usize = 4 << 20;

impl DestinationConfig {
    /// Creates a destination with this base URL and default settings.
    pub fn new(base: &Url) -> Self {
        Self {
            endpoints: Endpoints::from_base(base),
            headers: Headers::new(),
            secret: None,
            own_authority: None,
            proxy: None,
            stream: None,
            profile: Profile::default(),
            signals: Signals::default(),
            request_timeout: requests::DEFAULT_TIMEOUT,
            compression: Compression::default(),
            max_request_bytes: MAX_REQUEST_BYTES,
        }
        .within_limits_of_cloudwatch()
    }

    /// Returns `true` if a request of any signal needs AWS's signature.
    pub fn is_signed(&self) -> bool {
        self.endpoints.iter().any(|url| CloudWatchEndpoint::read(url).is_some())
    }

    /// The largest number of items in a request.
    pub(crate) fn max_items(&self, kind: SignalKind) -> usize {
        let is_cloudwatch = CloudWatchEndpoint::read(self.endpoints.of(kind)).is_some();
        if is_cloudwatch { cloudwatch::max_items(kind) } else { usize::MAX }
    }

    /// The log groups to which the destination writes itself: those of CloudWatch's endpoints.
    pub fn written_log_groups(&self) -> Vec<WrittenLogGroup> {
        cloudwatch::written_log_groups(&self.endpoints, &self.headers)
    }

    fn within_limits_of_cloudwatch(self) -> Self {
        let max_request_bytes =
            if self.is_signed() { cloudwatch::MAX_REQUEST_BYTES } else { self.max_request_bytes };
        Self { max_request_bytes, ..self }
    }

    /// Derives the destination of OpenObserve's older log endpoint, `…/api/{organization}/{stream}/_json`. `None` if the log
    /// endpoint is not OpenObserve's.
    pub fn json_stream(&self) -> Option<Self> {
        const DEFAULT_STREAM: &str = "default";
        let mut url = self.endpoints.of(SignalKind::Logs).clone();
        let base = url.path().strip_suffix(SignalKind::Logs.path())?.to_owned();
        url.set_path(&base);
        let stream = self.stream.as_deref().unwrap_or(DEFAULT_STREAM);
        url.path_segments_mut().ok()?.pop_if_empty().push(stream).push("_json");
        let mut destination = self.clone();
        destination.endpoints.set_logs(url);
        // The transport translates the endpoint's answers to those of OpenObserve's OTLP endpoints. The path names the stream.
        destination.profile = Profile::OpenObserve;
        destination.stream = None;
        Some(destination)
    }

    /// Reads the rows of [`DESTINATION`] and [`O2_DESTINATION`]. Returns `None` without a usable endpoint; the reader then holds
    /// the mistake.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let family = Family::of(reader);
        let profiles = [("openobserve", Profile::OpenObserve), ("otlp", Profile::Otlp)];
        let compressions = [("gzip", Compression::Gzip), ("none", Compression::None)];
        let profile = reader.choice(BACKEND, &profiles, Profile::default());
        let signals = Signals::read(reader);
        let compression = reader.choice(OTEL_COMPRESSION, &compressions, Compression::default());
        let request_timeout = requests::request_timeout(reader);
        let secret = reader.read(SECRET);
        let headers = requests::headers(reader, family);
        let own_authority = OwnAuthority::read(reader);
        let proxy = proxy(reader);
        let stream = requests::stream(reader, family);
        let endpoints = Endpoints::read(reader, family)?;
        // Over gRPC, a header names the organization.
        if headers.get("organization").is_none() && !endpoints.name_organizations(reader) {
            return None;
        }
        endpoints.warn_of_plain_text(reader);
        let logs = CloudWatchEndpoint::read(endpoints.of(SignalKind::Logs));
        let names_log_stream = ["x-aws-log-group", "x-aws-log-stream"]
            .into_iter()
            .all(|name| headers.get(name).is_some());
        if logs.is_some() && signals.include(SignalKind::Logs) && !names_log_stream {
            let text = "CloudWatch needs a log group and a log stream that exist for log records: x-aws-log-group=NAME,x-aws-log-stream=NAME";
            reader.mistake(HEADERS, text);
        }
        if !reader.is_set(SIGNALS)
            && let Some(database) = database_of_totals(endpoints.of(SignalKind::Metrics))
        {
            let text = format!(
                "{database} refuses delta metrics, perhaps without an error, and ours are deltas: send metrics to a collector with deltatocumulative, or leave them out with traces,cumulative_metrics,logs"
            );
            reader.warn(SIGNALS, text);
        }
        let destination = Self {
            endpoints,
            headers,
            secret,
            own_authority,
            proxy,
            stream,
            profile,
            signals,
            request_timeout,
            compression,
            max_request_bytes: MAX_REQUEST_BYTES,
        };
        Some(destination.within_limits_of_cloudwatch())
    }
}

/// Returns the proxy of our own variable, which only applies to the backend, or else the one of the standard variables.
fn proxy(reader: &mut Reader<'_>) -> Option<Proxy> {
    let proxy = reader.read(PROXY);
    if reader.is_set(PROXY) { proxy.as_ref().map(Proxy::new) } else { Proxy::read(reader) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    None,
    #[default]
    Gzip,
}

/// The kind of backend, which determines the adaptation of requests and the meaning of responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// OpenObserve: an empty `partial_success` for logs means that nothing was written, and metrics are adapted so that they add
    /// up.
    #[default]
    OpenObserve,
    /// Any other OTLP backend: responses mean what the specification says, and telemetry is sent unchanged.
    Otlp,
}

#[cfg(test)]
mod tests;
