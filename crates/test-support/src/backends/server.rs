//! A server in a backend's place, which checks requests as the backend's documentation says.

use super::{Backend, Deltas, SizeLimit};
use crate::lock;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::Incoming;
use local_lambda::HttpServer;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric};
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use wire::{Limits, Metrics, SignalKind};

/// What a backend accepted, and the statuses of its refusals.
#[derive(Debug, Default)]
struct Seen {
    accepted: Vec<wire::Request>,
    refused: Vec<u16>,
}

/// The stand-in for one backend.
#[derive(Debug)]
pub struct StandIn {
    server: HttpServer,
    seen: Arc<Mutex<Seen>>,
}

impl StandIn {
    /// Starts on a free port. `base` is the path before that of a signal.
    pub async fn start(backend: &Backend, base: &str) -> std::io::Result<Self> {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (backend, base) = (Arc::new(backend.clone()), Arc::new(base.to_owned()));
        let same = Arc::clone(&seen);
        let server = HttpServer::start(move |request| {
            respond(Arc::clone(&backend), Arc::clone(&base), Arc::clone(&same), request)
        });
        Ok(Self { server: server.await?, seen })
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The accepted requests.
    pub fn accepted(&self) -> Vec<wire::Request> {
        lock(&self.seen).accepted.clone()
    }

    /// The statuses of refused requests.
    pub fn refused(&self) -> Vec<u16> {
        lock(&self.seen).refused.clone()
    }
}

async fn respond(
    backend: Arc<Backend>,
    base: Arc<String>,
    seen: Arc<Mutex<Seen>>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let result = backend.check(&base, &parts, &body);
    let mut seen = lock(&seen);
    let (status, text) = match result {
        Ok(request) => {
            seen.accepted.push(request);
            (200, "")
        }
        Err(Refusal(status, text)) => {
            seen.refused.push(status);
            (status, text)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response
}

/// A status and a text.
struct Refusal(u16, &'static str);

impl Backend {
    /// Returns the request if the backend takes it.
    fn check(&self, base: &str, parts: &Parts, body: &Bytes) -> Result<wire::Request, Refusal> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let signal = parts.uri.path().strip_prefix(base);
        let kind = SignalKind::ALL.into_iter().find(|kind| signal == Some(kind.path()));
        let kind = kind.ok_or(Refusal(self.answers.path, "no such path"))?;
        if parts.method != Method::POST {
            return Err(Refusal(405, "POST only"));
        }
        if header(CONTENT_TYPE.as_str()) != Some("application/x-protobuf") {
            return Err(Refusal(415, "unknown type of content"));
        }
        let (name, expected) = &self.credentials;
        let given = header(name).unwrap_or_default();
        let is_right = match expected.strip_suffix('*') {
            Some(start) => given.starts_with(start),
            None => given == expected,
        };
        if !is_right {
            return Err(Refusal(self.answers.credentials, "unknown credentials"));
        }
        if self.on_request.iter().any(|signal| signal == kind.as_str()) {
            return Err(Refusal(self.answers.on_request, "not enabled for you"));
        }
        if !self.takes(kind) {
            return Err(Refusal(self.answers.path, "no such path"));
        }
        let required = self.headers.get(kind.as_str()).into_iter().flatten();
        if required.into_iter().any(|name| header(name).is_none()) {
            return Err(Refusal(400, "a header is missing"));
        }
        let text = self.inflate(kind, header(CONTENT_ENCODING.as_str()), body)?;
        let request = wire::Request::check(kind, text.into(), &Limits::default())
            .map_err(|_| Refusal(400, "not OTLP"))?;
        let most_items = self.items.get(kind.as_str()).copied().unwrap_or(usize::MAX);
        if request.items() > most_items {
            return Err(Refusal(400, "too many items"));
        }
        self.check_temporality(&request)?;
        Ok(request)
    }

    /// Returns the body without compression, if it isn't too large.
    fn inflate(
        &self,
        kind: SignalKind,
        encoding: Option<&str>,
        body: &Bytes,
    ) -> Result<Bytes, Refusal> {
        let limit = self.limit(kind);
        let check = |size: usize, is_compressed: bool| {
            let is_over =
                |limit: &SizeLimit| limit.of_compressed == is_compressed && size > limit.bytes;
            let too_large = Refusal(self.answers.size, "the request is too large");
            if limit.is_some_and(is_over) { Err(too_large) } else { Ok(()) }
        };
        check(body.len(), true)?;
        let inflated = match encoding {
            None => body.clone(),
            Some("gzip") => {
                let mut inflated = Vec::new();
                #[expect(
                    clippy::disallowed_types,
                    reason = "the stand-in must not share wire's inflate"
                )]
                let mut decoder = flate2::bufread::GzDecoder::new(&body[..]);
                let read = decoder.read_to_end(&mut inflated);
                read.map_err(|_| Refusal(400, "not gzip"))?;
                inflated.into()
            }
            Some(_) => return Err(Refusal(415, "unknown encoding")),
        };
        check(inflated.len(), false)?;
        Ok(inflated)
    }

    fn check_temporality(&self, request: &wire::Request) -> Result<(), Refusal> {
        let refused = match self.deltas {
            Deltas::Refused => AggregationTemporality::Delta,
            Deltas::Required => AggregationTemporality::Cumulative,
            Deltas::Taken | Deltas::Preferred | Deltas::NotStated => return Ok(()),
        };
        let Some(Ok(metrics)) = request.decode::<Metrics>() else { return Ok(()) };
        let mut all = metrics.resource_metrics.iter().flat_map(|of| &of.scope_metrics);
        let is_refused = |metric: &Metric| temporality(metric) == Some(refused as i32);
        if all.any(|scope| scope.metrics.iter().any(is_refused)) {
            return Err(Refusal(400, "temporality not supported"));
        }
        Ok(())
    }
}

fn temporality(metric: &Metric) -> Option<i32> {
    match metric.data.as_ref()? {
        Data::Sum(sum) => Some(sum.aggregation_temporality),
        Data::Histogram(histogram) => Some(histogram.aggregation_temporality),
        Data::ExponentialHistogram(histogram) => Some(histogram.aggregation_temporality),
        Data::Gauge(_) | Data::Summary(_) => None,
    }
}
