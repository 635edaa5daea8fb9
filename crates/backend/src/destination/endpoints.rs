//! The URL of each signal.

use super::cloudwatch::CloudWatchEndpoint;
use super::variables::{
    ENDPOINT, O2_AUTHORIZATION, O2_ENDPOINT, O2_ORGANIZATION, OTEL_ENDPOINT, OTEL_LOGS_ENDPOINT,
    OTEL_METRICS_ENDPOINT, OTEL_TRACES_ENDPOINT,
};
use settings::{Reader, Setting, is_local};
use std::fmt;
use url::Url;
use wire::SignalKind;

#[derive(Clone, PartialEq, Eq)]
pub struct Endpoints {
    traces: Url,
    metrics: Url,
    logs: Url,
}

impl Endpoints {
    /// Appends `/v1/{signal}` to this base and keeps its query.
    pub(crate) fn from_base(base: &Url) -> Self {
        let cloudwatch = CloudWatchEndpoint::read(base);
        let of_signal = |kind: SignalKind| {
            // Each signal of CloudWatch has a host of its own.
            let own = cloudwatch.as_ref().and_then(|endpoint| endpoint.sibling(kind));
            let mut url = own.unwrap_or_else(|| base.clone());
            url.set_path(&format!("{}{}", base.path().trim_end_matches('/'), kind.path()));
            url
        };
        Self {
            traces: of_signal(SignalKind::Traces),
            metrics: of_signal(SignalKind::Metrics),
            logs: of_signal(SignalKind::Logs),
        }
    }

    /// Reads the URLs from the variables of this family. Returns `None` without a usable endpoint; the reader then holds the
    /// mistake.
    pub(super) fn read(reader: &mut Reader<'_>, family: Option<Family>) -> Option<Self> {
        match family {
            None => {
                reader.mistake(
                    ENDPOINT,
                    format!("missing; set it, or {OTEL_ENDPOINT}, or {O2_ORGANIZATION} with {O2_AUTHORIZATION}"),
                );
                None
            }
            Some(Family::Ours) => base(reader, ENDPOINT).map(|base| Self::from_base(&base)),
            Some(Family::OpenTelemetry) => {
                let shared = base(reader, OTEL_ENDPOINT).map(|base| Self::from_base(&base));
                // All are read, so that all mistakes are found.
                let traces = own_endpoint(reader, SignalKind::Traces, shared.as_ref());
                let metrics = own_endpoint(reader, SignalKind::Metrics, shared.as_ref());
                let logs = own_endpoint(reader, SignalKind::Logs, shared.as_ref());
                Some(Self { traces: traces?, metrics: metrics?, logs: logs? })
            }
            Some(Family::OpenObserve) => {
                let organization = reader.read(O2_ORGANIZATION);
                if organization.is_none() {
                    reader.mistake(O2_ORGANIZATION, format!("missing beside {O2_AUTHORIZATION}"));
                }
                let base = reader.url_or_default(O2_ENDPOINT)?;
                Some(Self::from_base(&of_organization(base, organization?.trim())?))
            }
        }
    }

    /// The URL for requests of this signal.
    pub fn of(&self, kind: SignalKind) -> &Url {
        match kind {
            SignalKind::Traces => &self.traces,
            SignalKind::Metrics => &self.metrics,
            SignalKind::Logs => &self.logs,
        }
    }

    pub(crate) fn set_logs(&mut self, url: Url) {
        self.logs = url;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Url> {
        SignalKind::ALL.into_iter().map(|kind| self.of(kind))
    }

    /// Warns about telemetry that leaves the machine without TLS. It is allowed, because a self-hosted OpenObserve in a VPC often
    /// has no TLS.
    pub(super) fn warn_of_plain_text(&self, reader: &mut Reader<'_>) {
        let is_plain = |kind: &SignalKind| {
            let url = self.of(*kind);
            url.scheme() == "http" && !is_local(url)
        };
        if let Some(kind) = SignalKind::ALL.into_iter().find(is_plain) {
            let host = self.of(kind).host_str().unwrap_or_default();
            let text = format!(
                "telemetry and credentials go to {host} without TLS; if it has TLS, use https://"
            );
            reader.warn(variable_of(reader, kind), text);
        }
    }

    /// Returns `true` if each URL of OpenObserve Cloud names an organization. Otherwise adds a mistake to the reader.
    pub(super) fn name_organizations(&self, reader: &mut Reader<'_>) -> bool {
        let missing_for = |kind| Some((kind, missing_organization(self.of(kind))?));
        let missing = SignalKind::ALL.into_iter().find_map(missing_for);
        if let Some((kind, problem)) = &missing {
            reader.mistake(variable_of(reader, *kind), problem);
        }
        missing.is_none()
    }
}

impl fmt::Debug for Endpoints {
    /// Omits user, password and query, which may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Url| {
            let query = if url.query().is_some() { "?****" } else { "" };
            let origin = url.origin().ascii_serialization();
            format!("{origin}{}{query}", url.path())
        };
        f.debug_list().entries(self.iter().map(shown)).finish()
    }
}

/// Reads a base URL. A base that ends in a signal's path is a mistake: it would become `/v1/traces/v1/traces`.
fn base(reader: &mut Reader<'_>, name: Setting<Url>) -> Option<Url> {
    let url = reader.read(name)?;
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

/// The URL of one signal: from its own variable, or else from the shared base.
fn own_endpoint(
    reader: &mut Reader<'_>,
    kind: SignalKind,
    shared: Option<&Endpoints>,
) -> Option<Url> {
    let name = own_variable(kind);
    if reader.is_set(name) {
        return reader.read(name);
    }
    if shared.is_none() && !reader.is_set(OTEL_ENDPOINT) {
        reader
            .mistake(name, format!("missing, and so is {OTEL_ENDPOINT}: {kind} have no endpoint"));
    }
    shared.map(|shared| shared.of(kind).clone())
}

fn own_variable(kind: SignalKind) -> Setting<Url> {
    match kind {
        SignalKind::Traces => OTEL_TRACES_ENDPOINT,
        SignalKind::Metrics => OTEL_METRICS_ENDPOINT,
        SignalKind::Logs => OTEL_LOGS_ENDPOINT,
    }
}

fn variable_of(reader: &Reader<'_>, kind: SignalKind) -> &'static str {
    let own = own_variable(kind);
    match Family::of(reader) {
        Some(Family::OpenTelemetry) if reader.is_set(own) => own.name(),
        Some(Family::OpenTelemetry) => OTEL_ENDPOINT.name(),
        Some(Family::OpenObserve) => O2_ENDPOINT.name(),
        Some(Family::Ours) | None => ENDPOINT.name(),
    }
}

/// OpenObserve's URL with the organization, as other variables and OpenObserve's own pages show it.
fn of_organization(mut base: Url, organization: &str) -> Option<Url> {
    base.path_segments_mut().ok()?.pop_if_empty();
    let mut extended = base.clone();
    extended.path_segments_mut().ok()?.push("api").push(organization);
    let suffix = extended.path().get(base.path().trim_end_matches('/').len()..)?;
    if base.path().ends_with(suffix) { Some(base) } else { Some(extended) }
}

/// The variables that name the endpoint. Credentials of one family never go to an endpoint of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// `LAMBDA_OTLP_…`
    Ours,
    /// `OTEL_EXPORTER_OTLP_…`
    OpenTelemetry,
    /// `O2_…`, of OpenObserve's extension.
    OpenObserve,
}

impl Family {
    /// The first family whose endpoint is set. The endpoint of one signal may be meant for the function's SDK only.
    pub(super) fn of(reader: &Reader<'_>) -> Option<Self> {
        let signals = SignalKind::ALL.map(own_variable);
        let is_set = |variable: &Setting<Url>| reader.is_set(variable);
        if reader.is_set(ENDPOINT) {
            Some(Self::Ours)
        } else if reader.is_set(OTEL_ENDPOINT) || signals.iter().all(is_set) {
            Some(Self::OpenTelemetry)
        } else if reader.is_set(O2_ORGANIZATION) || reader.is_set(O2_AUTHORIZATION) {
            Some(Self::OpenObserve)
        } else {
            signals.iter().any(is_set).then_some(Self::OpenTelemetry)
        }
    }
}

/// The domain of OpenObserve Cloud. Any other host may be a collector or a proxy that adds the organization.
const CLOUD: &str = "openobserve.ai";

/// Returns the mistake in an OpenObserve Cloud URL without an organization, which the service answers with 404.
///
/// Source: OpenObserve's documentation, "OTLP/HTTP": the endpoint is `https://{host}/api/{organization}/v1/{signal}`.
pub fn missing_organization(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    let is_cloud = host.strip_suffix(CLOUD).is_some_and(|it| it.is_empty() || it.ends_with('.'));
    let segments: Vec<&str> = url.path_segments()?.filter(|it| !it.is_empty()).collect();
    // `v1` begins the path of a signal.
    let is_named = |pair: &[&str]| matches!(pair, ["api", organization] if *organization != "v1");
    (is_cloud && !segments.windows(2).any(is_named)).then(|| {
        format!(
            "the URL of OpenObserve Cloud names no organization; give it as OpenObserve shows it under Data sources: \
             https://{host}/api/{{organization}}"
        )
    })
}
