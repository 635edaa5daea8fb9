//! The choice of the output: stdout or a backend. With an invalid destination telemetry goes to stdout.

use super::variables::{
    ENDPOINT, FLUSH_INTERVAL, FLUSH_TIMEOUT, HTTP_PROXY, HTTPS_PROXY, MAX_BUFFER, MAX_RETRIES,
    O2_AUTHORIZATION, O2_ENDPOINT, O2_ORGANIZATION, OTEL_ENDPOINT, OTEL_PROTOCOL, OUTPUT, PROTOCOL,
    SECRET,
};
use super::{DEFAULT_GRPC_PORT, DEFAULT_RECEIVER_PORT, Function, MAX_BUFFER_BYTES, TABLE};
use aws::AwsSecretsSettings;
pub(super) use aws::{AWS, SECRETS};
use backend::direct_mode::{self, ChosenOutput, Endpoint, Output, endpoint, host_and_port};
use backend::{Advice, DestinationConfig, Profile, Protocol};
use settings::{Kind, Reader, Remark, Source};
use std::time::Duration;
use wire::SignalKind;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Direct {
    /// Unchanged events of the Telemetry API go to OpenObserve's JSON endpoint, in addition to received OTLP.
    pub(crate) is_json: bool,
    pub(crate) destination: DestinationConfig,
    /// The service of the destination's secret.
    pub(crate) secrets: AwsSecretsSettings,
    pub(crate) protocol: Protocol,
    pub(crate) flush: Flush,
    pub(crate) advice: Advice,
}

fn advice(reader: &Reader<'_>, endpoint: &'static str, profile: Profile) -> Advice {
    let credentials = match endpoint {
        _ if reader.is_set(SECRET) => "check the content of the secret in LAMBDA_OTLP_SECRET",
        ENDPOINT if profile == Profile::Otlp => "set LAMBDA_OTLP_HEADERS to HEADER=VALUE",
        OTEL_ENDPOINT if profile == Profile::Otlp => {
            "set OTEL_EXPORTER_OTLP_HEADERS to HEADER=VALUE"
        }
        ENDPOINT => {
            "for OpenObserve set LAMBDA_OTLP_HEADERS to authorization=Basic and the base64 of email:password"
        }
        OTEL_ENDPOINT => {
            "for OpenObserve set OTEL_EXPORTER_OTLP_HEADERS to authorization=Basic and the base64 of email:password"
        }
        _ => "set O2_AUTHORIZATION_HEADER to Basic and the base64 of email:password",
    };
    Advice {
        endpoint: reader.name_as_given(endpoint).into(),
        credentials: credentials.into(),
        signals: backend::SIGNALS.name().into(),
    }
}

fn endpoint_variable(source: &WithoutSdkEndpoint<'_>) -> &'static str {
    let is_set = |name: &&str| source.get(name).is_some();
    [ENDPOINT, OTEL_ENDPOINT].into_iter().find(is_set).unwrap_or(O2_ENDPOINT)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flush {
    pub(crate) timeout: Duration,
    /// The time telemetry may wait while a handler runs.
    pub(crate) interval: Duration,
    pub(crate) retries: u32,
    pub(crate) buffer_bytes: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutputChoice {
    /// `None` for stdout.
    pub(crate) direct: Option<Box<Direct>>,
    pub(crate) because: String,
}

impl OutputChoice {
    pub(crate) fn word(&self) -> &'static str {
        match &self.direct {
            None => "stdout",
            Some(direct) if direct.is_json => "json",
            Some(_) => "otlp",
        }
    }
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    source: &dyn Source,
    function: &Function,
    receiver_port: u16,
) -> OutputChoice {
    let asked = reader.choice_if_set(OUTPUT, &Output::WORDS);
    let flush = flush(reader, function);
    let ChosenOutput { output: chosen, variable } =
        direct_mode::choose(asked, |name| reader.raw(name));
    let mut because = match variable {
        None => "no endpoint of another host is set".to_owned(),
        Some(name) => format!("{} is set", reader.name_as_given(name)),
    };
    if chosen == Output::Stdout {
        if asked.is_none() {
            warn_of_missing_half(reader);
            warn_of_own_environment(reader);
        }
        return OutputChoice { direct: None, because };
    }
    let source = WithoutSdkEndpoint(source);
    let Some((destination, secrets)) = destination(reader, &source, receiver_port) else {
        because.push_str(", but the destination is invalid");
        reader.warn(OUTPUT, "telemetry goes to stdout, since the destination is invalid");
        return OutputChoice { direct: None, because };
    };
    let endpoint = endpoint_variable(&source);
    let mut protocol = protocol(reader, endpoint);
    // OpenObserve 0.92.2 refuses doubles in JSON: "invalid type: map, expected f64".
    if protocol == Protocol::HttpJson && destination.profile == Profile::OpenObserve {
        let problem = "OpenObserve refuses numbers with a fraction in http/json: telemetry is sent as http/protobuf; for another backend set LAMBDA_OTLP_BACKEND=otlp";
        reader.warn(
            if reader.is_set(PROTOCOL) { PROTOCOL.name() } else { OTEL_PROTOCOL.name() },
            problem,
        );
        protocol = Protocol::HttpProtobuf;
    }
    let mut is_json = chosen == Output::Json;
    if is_json && destination.json_stream().is_none() {
        let problem = "json needs OpenObserve's base URL, which ends in /api/{organization}: telemetry is sent as otlp";
        reader.mistake(OUTPUT, problem);
        is_json = false;
    }
    if is_json && protocol != Protocol::HttpProtobuf {
        reader.mistake(PROTOCOL, "telemetry that json does not cover is sent as http/protobuf");
        protocol = Protocol::HttpProtobuf;
    }
    let advice = advice(reader, endpoint, destination.profile);
    let direct = Direct { is_json, destination, secrets, protocol, flush, advice };
    OutputChoice { direct: Some(Box::new(direct)), because }
}

/// Warns if only one of the two variables of OpenObserve's extension is set.
fn warn_of_missing_half(reader: &mut Reader<'_>) {
    for (set, missing) in [(O2_ORGANIZATION, O2_AUTHORIZATION), (O2_AUTHORIZATION, O2_ORGANIZATION)]
    {
        if reader.is_set(set) && !reader.is_set(missing) {
            let text = format!("missing beside {set}: telemetry goes to stdout");
            reader.warn(missing, text);
        }
    }
}

/// Warns if `LAMBDA_OTLP_ENDPOINT` leads to this environment, which is probably a mistake: no SDK reads it.
fn warn_of_own_environment(reader: &mut Reader<'_>) {
    if reader.is_set(ENDPOINT) {
        let text = "leads to this environment: telemetry goes to stdout, unless LAMBDA_OTLP_OUTPUT is otlp";
        reader.warn(ENDPOINT, text);
    }
    // The extension's own endpoint for SDKs has no path.
    if reader.raw(OTEL_ENDPOINT).is_some_and(|url| url.contains("/api/")) {
        let text = "leads to this environment: telemetry goes to stdout; for a backend there, set LAMBDA_OTLP_ENDPOINT and LAMBDA_OTLP_OUTPUT=otlp";
        reader.warn(OTEL_ENDPOINT, text);
    }
}

fn protocol(reader: &mut Reader<'_>, endpoint: &str) -> Protocol {
    let words = [
        ("http/protobuf", Protocol::HttpProtobuf),
        ("http/json", Protocol::HttpJson),
        ("grpc", Protocol::Grpc),
    ];
    if let Some(own) = reader.choice_if_set(PROTOCOL, &words) {
        return own;
    }
    // OpenTelemetry's variable applies to OpenTelemetry's endpoint. With another one it is meant for the function's SDK.
    if endpoint != OTEL_ENDPOINT {
        return Protocol::HttpProtobuf;
    }
    let url = reader.raw(OTEL_ENDPOINT).unwrap_or_default();
    let (_, port) = host_and_port(&url);
    let is_grpc = port == Some(DEFAULT_GRPC_PORT);
    let of_port = if is_grpc { Protocol::Grpc } else { Protocol::HttpProtobuf };
    reader.choice_if_set(OTEL_PROTOCOL, &words).unwrap_or(of_port)
}

/// Returns the destination, unless it has a mistake without a default.
fn destination(
    reader: &mut Reader<'_>,
    source: &WithoutSdkEndpoint<'_>,
    receiver_port: u16,
) -> Option<(DestinationConfig, AwsSecretsSettings)> {
    let mut own = Reader::new(source, TABLE);
    let destination = DestinationConfig::read(&mut own);
    // Wrong AWS variables must not affect destinations without a secret.
    let has_secret = destination.as_ref().is_some_and(|destination| destination.secret.is_some());
    let secrets =
        if has_secret { AwsSecretsSettings::read(&mut own) } else { AwsSecretsSettings::default() };
    let warnings = own.warnings().to_vec();
    let mut is_wrong = destination.is_none();
    for Remark { name, text } in own.finish() {
        if destination.as_ref().is_some_and(|destination| is_for_others(&name, destination)) {
            continue;
        }
        is_wrong |= !has_default(&name);
        reader.mistake(&name, text);
    }
    for warning in warnings {
        reader.warn(&warning.name, warning.text);
    }
    let destination = destination.filter(|_| !is_wrong)?;
    if destination.is_signed() {
        let problem = "CloudWatch wants requests signed with the function's role, which only the forwarder does: leave the endpoint out, and deploy the stack with it";
        reader.mistake(endpoint_variable(source), problem);
        return None;
    }
    if let Some(port) = own_receiver(&destination, receiver_port) {
        let problem = format!(
            "port {port} of this environment is the extension's own receiver, not a backend"
        );
        reader.mistake(endpoint_variable(source), problem);
        return None;
    }
    Some((destination, secrets))
}

/// Returns the receiver's port if requests would come back to it, in an endless loop.
fn own_receiver(destination: &DestinationConfig, receiver_port: u16) -> Option<u16> {
    let receivers = [receiver_port, DEFAULT_RECEIVER_PORT, DEFAULT_GRPC_PORT];
    SignalKind::ALL.into_iter().find_map(|kind| {
        let url = destination.endpoints.of(kind);
        let port = url.port_or_known_default().filter(|port| receivers.contains(port))?;
        (endpoint(url.as_str()) != Endpoint::Elsewhere).then_some(port)
    })
}

/// Returns `true` if no request uses this variable. The function's proxy for other hosts may be of an unknown kind.
fn is_for_others(name: &str, destination: &DestinationConfig) -> bool {
    let goes_by = |scheme| {
        SignalKind::ALL.into_iter().any(|kind| destination.endpoints.of(kind).scheme() == scheme)
    };
    match name {
        HTTP_PROXY => !goes_by("http"),
        HTTPS_PROXY => !goes_by("https") && destination.secret.is_none(),
        _ => false,
    }
}

fn has_default(name: &str) -> bool {
    let kind = TABLE.find(name).map(|row| row.kind);
    matches!(kind, Some(Kind::Bytes | Kind::Count | Kind::Duration | Kind::Choice(_)))
}

fn flush(reader: &mut Reader<'_>, function: &Function) -> Flush {
    const RETRY_LIMIT: usize = 100;
    let megabytes = reader.read(MAX_BUFFER);
    if megabytes == Some(0) {
        reader.mistake(MAX_BUFFER, "must be at least 1");
    }
    let asked = megabytes
        .filter(|megabytes| *megabytes > 0)
        .map(|megabytes| megabytes.saturating_mul(1 << 20));
    Flush {
        timeout: reader.read(FLUSH_TIMEOUT),
        interval: reader.read(FLUSH_INTERVAL),
        retries: u32::try_from(reader.read(MAX_RETRIES).min(RETRY_LIMIT)).unwrap_or_default(),
        // A shutdown of 2 s must have time to write all of it, at the share of a processor that Lambda gives to this memory.
        buffer_bytes: asked.unwrap_or(function.buffer_bytes()).min(MAX_BUFFER_BYTES),
    }
}

/// The variables for the extension: without those that point the function's SDK to this extension.
struct WithoutSdkEndpoint<'a>(&'a dyn Source);

impl Source for WithoutSdkEndpoint<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let value = self.0.get(name)?;
        let is_here = |url: &str| endpoint(url) != Endpoint::Elsewhere;
        let is_own_endpoint =
            name.starts_with(OTEL) && name.ends_with("_ENDPOINT") && is_here(&value);
        // Headers go with the endpoint.
        let is_of_sdk = name == "OTEL_EXPORTER_OTLP_HEADERS"
            && self.0.get(OTEL_ENDPOINT).is_some_and(|url| is_here(&url));
        (!is_own_endpoint && !is_of_sdk).then_some(value)
    }

    /// Misspelt names are reported elsewhere.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

const OTEL: &str = "OTEL_EXPORTER_OTLP_";
