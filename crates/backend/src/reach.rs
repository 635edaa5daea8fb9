//! Checks that a backend answers, accepts the credentials and speaks OTLP, and explains the results to a person.

use crate::client::Client;
use crate::destination::{Compression, DestinationConfig, Profile};
use crate::http::{
    ClientError, GRPC_STATUS_TEXT, HttpRequest, HttpResponse, HttpTransport, Transport as _,
    TransportError, header_map,
};
use crate::judge::{Failure, GRPC_STATUS, Next, excerpt, judge};
use crate::mask::Mask;
use aws::RequestSigner;
use http::HeaderMap;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use settings::{Check, is_local};
use std::borrow::Cow;
use std::io::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;
use url::{Position, Url};
use wire::{Request, SignalKind};

/// Time limit of one question.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The likely mistake if OpenObserve answers 404.
pub const ORGANIZATION_MISSING: &str = "answered 404: the endpoint has to end in /api/{organization}, without a slash, and the organization to exist";

/// The name of the check that shows that the backend accepted a request.
pub const CREDENTIALS: &str = "credentials";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    pub endpoint: Cow<'static, str>,
    /// The remedy for refused credentials, as the end of a sentence: `set LAMBDA_OTLP_HEADERS to …`.
    pub credentials: Cow<'static, str>,
    /// The setting that leaves out signals.
    pub signals: Cow<'static, str>,
}

/// A backend and the means to ask it.
#[derive(Debug)]
pub struct Reach {
    pub destination: DestinationConfig,
    pub transport: HttpTransport,
    /// The headers of each request, including credentials.
    pub headers: HeaderMap,
    pub advice: Advice,
    signer: Option<Arc<RequestSigner>>,
}

impl Reach {
    /// Creates a backend that is asked through this transport.
    pub fn new(
        destination: DestinationConfig,
        transport: HttpTransport,
        advice: Advice,
    ) -> Result<Self, ClientError> {
        let headers = header_map(&destination.headers)?;
        Ok(Self { destination, transport, headers, advice, signer: None })
    }

    /// Signs requests to CloudWatch's endpoints.
    #[must_use]
    pub fn signed_by(self, signer: Option<Arc<RequestSigner>>) -> Self {
        let Some(signer) = signer else { return self };
        let transport = self.transport.signed_by(&signer);
        Self { transport, signer: Some(signer), ..self }
    }

    /// A client of the same backend.
    pub fn client(&self) -> Result<Client, ClientError> {
        let client = Client::new(&self.destination)?;
        Ok(match &self.signer {
            Some(signer) => client.signed_by(signer),
            None => client,
        })
    }

    /// Replaces the advice for refused credentials.
    #[must_use]
    pub fn advised(mut self, credentials: Cow<'static, str>) -> Self {
        self.advice.credentials = credentials;
        self
    }

    /// Makes a text of the backend printable: its first 200 characters on one line, with credentials masked.
    pub fn printable(&self, text: &str) -> String {
        excerpt(text.as_bytes(), &Mask::of(&self.destination))
    }

    /// The endpoint of logs.
    pub fn logs(&self) -> &Url {
        self.destination.endpoints.of(SignalKind::Logs)
    }

    /// Checks that the name of the endpoint's host resolves.
    pub async fn check_name(&self) -> Check {
        let url = self.logs();
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default();
        if let Some(proxy) = self.destination.proxy.as_ref().and_then(|proxy| proxy.proxy_for(url))
        {
            let proxy = &proxy[Position::BeforeHost..Position::AfterPort];
            return Check::ok("endpoint", format!("{host} is reached through the proxy {proxy}"));
        }
        let host = host.trim_matches(['[', ']']);
        let found = timeout(REQUEST_TIMEOUT, lookup_host((host, port.unwrap_or(443))))
            .await
            .unwrap_or_else(|_| Err(Error::other("no answer of the name service")));
        let addresses: Vec<String> = match found {
            Ok(addresses) => addresses.map(|address| address.ip().to_string()).collect(),
            Err(cause) => {
                let text =
                    format!("{host} has no address ({cause}): check {}", self.advice.endpoint);
                return Check::failed("endpoint", text);
            }
        };
        let text = match addresses.as_slice() {
            [address] if address == host => format!("{host} is an address"),
            _ => format!("{host} is {}", addresses.join(", ")),
        };
        if url.scheme() == "http" && !is_local(url) {
            let text = format!("{text}; without TLS everybody on the way reads the credentials");
            return Check::warning("endpoint", text);
        }
        Check::ok("endpoint", text)
    }

    /// Sends an empty request of each signal, which a backend accepts like any other. After a failure the remaining signals are not
    /// asked, unless the backend may merely not take this signal.
    pub async fn check_signals(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut accepted = Vec::new();
        let mut not_taken = Vec::new();
        let signals = &self.destination.signals;
        for kind in SignalKind::ALL.into_iter().filter(|kind| signals.include(*kind)) {
            let answer = match self.send_nothing(kind).await {
                Ok(answer) => answer,
                Err(error) => {
                    checks.push(Check::failed("connection", self.unreachable(&error)));
                    break;
                }
            };
            if checks.is_empty() {
                checks.push(self.connected(&answer));
            }
            match self.refusal(kind, &answer) {
                Some(Refusal { check, unless: Some(unless) }) => {
                    not_taken.push((kind, check, unless));
                }
                Some(Refusal { check, unless: None }) => {
                    checks.push(check);
                    break;
                }
                None => {
                    if accepted.is_empty() {
                        checks.push(Check::ok(CREDENTIALS, "accepted"));
                    }
                    accepted.push(kind.as_str());
                }
            }
        }
        if accepted.is_empty() {
            checks.extend(not_taken.into_iter().next().map(|(_, check, _)| check));
        } else {
            let lacks = |(kind, check, unless): (SignalKind, Check, &str)| {
                let taken = accepted.join(" and ");
                let text = format!(
                    "the backend takes {taken}, but no {kind}, unless {unless}: leave them out of {} ({})",
                    self.advice.signals, check.text
                );
                Check::failed("signals", text)
            };
            checks.extend(not_taken.into_iter().map(lacks));
        }
        checks
    }

    /// Describes a request without an answer, with a remedy if the cause names none.
    pub fn unreachable(&self, error: &TransportError) -> String {
        let text = error.to_string();
        if text.ends_with("connection refused") {
            format!("{text}: check {}, and that the backend runs", self.advice.endpoint)
        } else {
            text
        }
    }

    async fn send_nothing(&self, kind: SignalKind) -> Result<HttpResponse, TransportError> {
        let request = HttpRequest {
            kind,
            items: 0,
            body: self.transport.encode(&Request::trusted(kind, Vec::new()), Compression::None),
            gzip: false,
            headers: self.headers.clone(),
            stream: None,
            timeout: REQUEST_TIMEOUT,
        };
        self.transport.send(request).await
    }

    /// Describes the connection by which the backend sent this answer.
    pub fn connected(&self, answer: &HttpResponse) -> Check {
        let tls = if self.logs().scheme() == "https" { "TLS, " } else { "" };
        // The HTTP status of an answer by gRPC is ours.
        let status = match answer.header(GRPC_STATUS).as_str() {
            "" => format!("HTTP {}", answer.status),
            code => format!("{GRPC_STATUS_TEXT} {code}"),
        };
        Check::ok("connection", format!("{tls}{status}"))
    }

    /// Returns the problem of an answer to an empty request, unless the backend accepts telemetry.
    fn refusal(&self, kind: SignalKind, answer: &HttpResponse) -> Option<Refusal> {
        let mask = Mask::of(&self.destination);
        let Failure { reason, next, .. } =
            judge(self.destination.profile, kind, 0, answer, &mask).err()?;
        let Advice { endpoint, credentials, .. } = &self.advice;
        let again = match next {
            // The request was empty.
            Next::OnceMore => return None,
            Next::Retry { .. } => "try again, then ",
            Next::Alarm | Next::HalveTooLarge | Next::HalveRefused => "",
        };
        let unless = match self.destination.profile {
            Profile::Otlp if reason.finds_nothing() => Some("the endpoint is wrong"),
            // Datadog answers 403 to traces unless it has enabled them.
            Profile::Otlp if reason.refuses_credentials() => Some("the credentials lack a right"),
            _ => None,
        };
        let check = if reason.refuses_credentials() {
            Check::failed(CREDENTIALS, format!("{reason}; {credentials}"))
        } else if answer.status == 404 && self.destination.profile == Profile::OpenObserve {
            Check::failed("organization", ORGANIZATION_MISSING)
        } else {
            let reason = reason.to_string();
            let then = if reason.ends_with('?') { " " } else { "; " };
            Check::failed("connection", format!("{kind}: {reason}{then}{again}check {endpoint}"))
        };
        Some(Refusal { check, unless })
    }
}

/// The problem of an answer to an empty request.
struct Refusal {
    check: Check,
    /// What else is wrong, if the backend perhaps doesn't take this signal.
    unless: Option<&'static str>,
}

/// The fields shared by the records of one test.
#[derive(Clone, Copy, Debug)]
pub struct Canary {
    pub service: &'static str,
    /// The trace id of each record.
    pub trace_id: [u8; 16],
    /// Their time, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
}

impl Canary {
    /// Derives the trace id from this time, which is unique enough for manual tests.
    pub fn at(time_unix_nano: u64, service: &'static str) -> Self {
        let mut trace_id = [0xca; 16];
        for (to, from) in trace_id.iter_mut().skip(8).zip(time_unix_nano.to_be_bytes()) {
            *to = from;
        }
        Self { service, trace_id, time_unix_nano }
    }

    /// The trace id as 32 hexadecimal digits.
    pub fn trace_id_text(&self) -> String {
        wire::ids::to_hex(&self.trace_id)
    }

    /// The span id in that trace.
    pub fn span_id(&self) -> Vec<u8> {
        self.trace_id.iter().skip(8).copied().collect()
    }

    pub fn resource(&self) -> Resource {
        let value = Some(AnyValue { value: Some(Value::StringValue(self.service.to_owned())) });
        let key = wire::resource::SERVICE_NAME.to_owned();
        Resource {
            attributes: vec![KeyValue { key, value, ..KeyValue::default() }],
            ..Resource::default()
        }
    }

    pub fn log_record(&self, body: &str) -> Request {
        let record = LogRecord {
            time_unix_nano: self.time_unix_nano,
            severity_number: 9,
            severity_text: "INFO".to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue(body.to_owned())) }),
            trace_id: self.trace_id.to_vec(),
            span_id: self.span_id(),
            ..LogRecord::default()
        };
        Request::of_log_records(self.resource(), vec![record])
    }
}
