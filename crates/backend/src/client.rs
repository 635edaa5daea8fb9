//! The client of a binary: a destination, its credentials and connections, and the account of each export.

use crate::destination::{Compression, DestinationConfig, Profile, STREAM_NAME, stream_header};
use crate::export::{
    Attempt, BUDGET, Delivery, Fate, Jitter, Learned, Outcome, RETRIES, UndeliveredPart, export,
};
use crate::http::{ClientError, HttpTransport, Transport, header_map};
use crate::judge::Reason;
use crate::mask::Mask;
use aws::{CachedSecret, CurrentSecret, SecretError, SecretService};
use http::{HeaderMap, HeaderValue};
use settings::Headers;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use wire::{Request, SignalKind};

/// Sends requests of all signals to one destination, with that destination's credentials only.
#[derive(Debug)]
pub struct Client<T = HttpTransport> {
    transport: T,
    profile: Profile,
    compression: Compression,
    request_timeout: Duration,
    max_request_bytes: usize,
    learned: Learned,
    retries: u32,
    /// The seed of the next delivery's delays; `None` for random delays.
    jitter_seed: Option<AtomicU64>,
    /// The destination's default stream.
    stream: Option<HeaderValue>,
    /// The destination's headers; the secret replaces their authorization.
    headers: Headers,
    secret: Option<Arc<CachedSecret>>,
    /// The lock is held only to read or replace the inner `Arc`.
    sent: Mutex<Arc<SentHeaders>>,
}

/// The headers of each request, and the mask that keeps their values out of texts.
#[derive(Debug)]
struct SentHeaders {
    /// The version of the secret; 0 for the destination's own headers.
    version: u64,
    map: HeaderMap,
    mask: Mask,
}

impl Client {
    /// Creates a client without network access, which does not use the destination's secret. The first export resolves names and
    /// connects.
    pub fn new(destination: &DestinationConfig) -> Result<Self, ClientError> {
        Self::with_transport(destination, HttpTransport::new(destination)?)
    }

    /// Creates a client that reads the destination's secret, if any, from this service, which several destinations may share.
    pub fn authorized<S: SecretService + 'static>(
        destination: &DestinationConfig,
        service: &Arc<S>,
        lifetime: Duration,
    ) -> Result<Self, ClientError> {
        let secret = destination.secret.as_ref().map(|reference| {
            let service = Arc::clone(service);
            Arc::new(CachedSecret::new(service, reference.clone(), lifetime))
        });
        Ok(Self::new(destination)?.with_secret(secret))
    }
}

impl<T: Transport> Client<T> {
    pub fn with_transport(
        destination: &DestinationConfig,
        transport: T,
    ) -> Result<Self, ClientError> {
        let invalid = || ClientError::Header { name: STREAM_NAME.to_string() };
        let own_stream = |name: &String| stream_header(name).ok_or_else(invalid);
        let stream = destination.stream.as_ref().map(own_stream).transpose()?;
        let map = header_map(&destination.headers)?;
        let sent = SentHeaders { version: 0, map, mask: Mask::of(destination) };
        Ok(Self {
            transport,
            profile: destination.profile,
            compression: destination.compression,
            request_timeout: destination.request_timeout,
            max_request_bytes: destination.max_request_bytes,
            learned: Learned::new(destination.max_columns),
            retries: RETRIES,
            jitter_seed: None,
            stream,
            headers: destination.headers.clone(),
            secret: None,
            sent: Mutex::new(Arc::new(sent)),
        })
    }

    /// Makes one attempt of each request. The caller repeats it.
    #[must_use]
    pub fn without_retries(self) -> Self {
        Self { retries: 0, ..self }
    }

    /// Puts this secret, which several clients of one destination may share, in place of the authorization header.
    #[must_use]
    pub fn with_secret(self, secret: Option<Arc<CachedSecret>>) -> Self {
        Self { secret, ..self }
    }

    /// Makes the delays reproducible: each delivery derives them from this seed and its number.
    #[must_use]
    pub fn with_seeded_waits(self, seed: u64) -> Self {
        Self { jitter_seed: Some(AtomicU64::new(seed)), ..self }
    }

    fn jitter(&self) -> Jitter {
        match &self.jitter_seed {
            Some(next) => Jitter::seeded(next.fetch_add(1, Ordering::Relaxed)),
            None => Jitter::random(),
        }
    }

    /// Uses new connections from now on. Old ones may be dead after a freeze of the environment, and only a lost request would
    /// show it.
    pub fn drop_connections(&self) -> Result<(), ClientError> {
        self.transport.drop_connections()
    }

    /// Delivers the request with retries, splits and halves until each item is accepted or accounted for. Ends at `deadline`, or
    /// after ten seconds.
    ///
    /// `stream` replaces the destination's OpenObserve stream for traces and logs. A name that no header can hold is ignored with
    /// a warning.
    ///
    /// The secret is read before the first request. Without one, the request is returned unsent. After 401 or 403 it is read
    /// again, and the refused parts are sent again if it has changed.
    pub async fn export(
        &self,
        stream: Option<&str>,
        request: Request,
        deadline: Instant,
    ) -> Outcome {
        let Some(secret) = &self.secret else {
            let sent = Arc::clone(&self.sent.lock().unwrap_or_else(PoisonError::into_inner));
            return self.deliver(&sent, stream, request, deadline).await;
        };
        let first = within(deadline, secret.current()).await;
        let (used, sent) = match first.and_then(|used| Ok((self.headers(&used)?, used))) {
            Ok((sent, used)) => (used, sent),
            Err(text) => {
                return Outcome::unsent(request, Reason::Credentials { text }, Fate::ParkWithAlarm);
            }
        };
        let mut outcome = self.deliver(&sent, stream, request, deadline).await;
        let refused: Vec<UndeliveredPart> =
            outcome.parts.extract_if(.., |part| part.reason.refuses_credentials()).collect();
        let mut failure = used.failure.map(|failure| failure.to_string());
        if !refused.is_empty() {
            let newer = within(deadline, secret.reread()).await;
            let newer = newer.and_then(|newer| Ok((self.headers(&newer)?, newer)));
            match &newer {
                // After the deadline nothing is sent, and the refusal is the more useful reason.
                Ok((sent, newer)) if newer.version > used.version && Instant::now() < deadline => {
                    for part in refused {
                        outcome += self.deliver(sent, stream, part.request, deadline).await;
                    }
                }
                _ => outcome.parts.extend(refused),
            }
            failure = match newer {
                Ok((_, newer)) => newer.failure.map(|failure| failure.to_string()),
                Err(text) => Some(text),
            };
        }
        if let Some(failure) = failure {
            outcome.warn(format!("the previous secret stays in use: {failure}"));
        }
        outcome
    }

    /// Returns the headers with this version of the secret, or a newer one. Values of older ones stay masked. The error is for a
    /// person.
    fn headers(&self, secret: &CurrentSecret) -> Result<Arc<SentHeaders>, String> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if secret.version > sent.version {
            let mut headers = self.headers.clone();
            headers.set("authorization", secret.authorization.expose())?;
            let map = header_map(&headers).map_err(|error| error.to_string())?;
            let mask = sent.mask.and(&headers);
            *sent = Arc::new(SentHeaders { version: secret.version, map, mask });
        }
        Ok(Arc::clone(&sent))
    }

    async fn deliver(
        &self,
        headers: &SentHeaders,
        stream: Option<&str>,
        request: Request,
        deadline: Instant,
    ) -> Outcome {
        let now = Instant::now();
        let deadline = deadline.min(now + BUDGET);
        let (stream, warning) = self.stream_for(stream, request.kind());
        let delivery = Delivery::new(
            self.profile,
            self.retries,
            self.jitter(),
            deadline.saturating_duration_since(now),
            self.max_request_bytes,
            self.learned.clone(),
            request,
        )
        .for_stream(stream.as_ref().map_or(&[], |stream| stream.as_bytes()))
        .masking(headers.mask.clone());
        let attempt = Attempt {
            compression: self.compression,
            timeout: self.request_timeout,
            headers: &headers.map,
            stream: stream.as_ref(),
        };
        let mut outcome = export(&self.transport, &attempt, deadline, delivery).await;
        outcome.warn(warning);
        outcome
    }

    /// Returns the stream for a request of this signal, and the mistake in the requested name.
    fn stream_for(&self, asked: Option<&str>, kind: SignalKind) -> (Option<HeaderValue>, String) {
        if kind == SignalKind::Metrics {
            return (None, String::new());
        }
        match asked.filter(|stream| !stream.is_empty()).map(|name| (name, stream_header(name))) {
            None => (self.stream.clone(), String::new()),
            Some((_, Some(stream))) => (Some(stream), String::new()),
            Some((name, None)) => {
                let head: String = name.chars().take(MOST_STREAM_CHARS).collect();
                let cut = if head.len() < name.len() { "…" } else { "" };
                let warning = format!(
                    "stream {head:?}{cut} is not used: it contains characters that a header cannot"
                );
                (self.stream.clone(), warning)
            }
        }
    }
}

const MOST_STREAM_CHARS: usize = 60;

/// Reads the secret once into the destination's headers, for one-off checks of a backend. The error is for a person.
pub async fn read_secret(
    destination: &mut DestinationConfig,
    secret: &CachedSecret,
) -> Result<(), String> {
    destination.secret = None;
    let current = secret.current().await.map_err(|error| error.to_string())?;
    destination.headers.set("authorization", current.authorization.expose())
}

/// Reads the secret before the deadline. The error is for a person.
async fn within(
    deadline: Instant,
    reading: impl Future<Output = Result<CurrentSecret, SecretError>>,
) -> Result<CurrentSecret, String> {
    match timeout_at(deadline, reading).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the secret was not read before the deadline".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HttpRequest, HttpResponse, TransportError};
    use bytes::Bytes;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use std::sync::Mutex;
    use url::Url;

    /// Answers each request with a 401 that repeats its authorization header, and keeps the requests.
    #[derive(Debug, Default)]
    struct Echo {
        seen: Mutex<Vec<String>>,
    }

    impl Transport for Echo {
        async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
            let text = |value: Option<&HeaderValue>| {
                value.map_or("-".to_owned(), |value| value.to_str().unwrap().to_owned())
            };
            let authorization = text(request.headers.get("authorization"));
            let stream = text(request.stream.as_ref());
            self.seen.lock().unwrap().push(format!("{}: {authorization}, {stream}", request.kind));
            let body = Bytes::from(format!("who is {authorization} or Basic first-secret"));
            Ok(HttpResponse { status: 401, headers: HeaderMap::new(), body, cut: false })
        }
    }

    fn authorization(value: &str) -> Headers {
        let mut headers = Headers::new();
        headers.push("authorization", value).unwrap();
        headers
    }

    fn client(stream: Option<&str>) -> Client<Echo> {
        let mut destination = DestinationConfig::new(&Url::parse("http://127.0.0.1:9/").unwrap());
        destination.headers = authorization("Basic first-secret");
        destination.stream = stream.map(str::to_owned);
        Client::with_transport(&destination, Echo::default()).unwrap()
    }

    fn one_record() -> Request {
        Request::of_log_records(None, vec![LogRecord::default()])
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test(start_paused = true)]
    async fn the_stream_of_a_request_overrides_the_default_stream() {
        let check = async |own, asked, expected: &str, expected_warning: &str| {
            let client = client(own);
            let outcome = client.export(asked, one_record(), soon()).await;
            let seen = client.transport.seen.lock().unwrap().join("; ");
            assert_eq!(seen, format!("logs: Basic first-secret, {expected}"), "{asked:?}");
            assert_eq!(outcome.warning, expected_warning);
        };
        check(None, None, "-", "").await;
        check(Some("own"), None, "own", "").await;
        check(Some("own"), Some("shop"), "shop", "").await;
        check(Some("own"), Some(""), "own", "").await;
        let warning = r#"stream "a\nb" is not used: it contains characters that a header cannot"#;
        check(None, Some("a\nb"), "-", warning).await;
        check(Some("own"), Some("a\nb"), "own", warning).await;
        let long = "é".repeat(200);
        let warning = format!(
            r#"stream "{}"… is not used: it contains characters that a header cannot"#,
            "é".repeat(60)
        );
        check(None, Some(long.as_str()), "-", &warning).await;
    }

    /// A backend that answers each request with 200 and this body.
    struct Answers(&'static str);

    impl Transport for Answers {
        async fn send(&self, _: HttpRequest) -> Result<HttpResponse, TransportError> {
            let headers = HeaderMap::from_iter([(
                http::header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )]);
            let body = Bytes::from_static(self.0.as_bytes());
            Ok(HttpResponse { status: 200, headers, body, cut: false })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeated_warning_is_reported_once() {
        let check = async |profile, body, expected: [&str; 3]| {
            let mut destination =
                DestinationConfig::new(&Url::parse("http://127.0.0.1:9/").unwrap());
            destination.profile = profile;
            let client = Client::with_transport(&destination, Answers(body)).unwrap();
            for expected in expected {
                let outcome = client.export(None, one_record(), soon()).await;
                let Outcome { accepted, requests_sent, warning, .. } = outcome;
                assert_eq!((accepted, requests_sent, warning.as_str()), (1, 1, expected));
            }
        };
        let own = "accepted, but the answer is not OTLP: {\"ok\":true}";
        check(Profile::Otlp, "{\"ok\":true}", [own, "", ""]).await;
        let partial = r#"{"partialSuccess":{"errorMessage":"old schema"}}"#;
        check(Profile::Otlp, partial, ["old schema", "", ""]).await;
        check(Profile::OpenObserve, partial, ["old schema", "", ""]).await;
    }

    /// A backend that notes the number of items of each request. It refuses the next `refusals` ones, and those of more than
    /// `most_items` items.
    #[derive(Default)]
    struct Sizes {
        seen: Mutex<Vec<usize>>,
        refusals: Mutex<usize>,
        most_items: Mutex<Option<usize>>,
    }

    impl Transport for Sizes {
        async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
            let bytes = wire::gzip::inflate(&request.body, 1 << 20).unwrap();
            let items = Request::trusted(request.kind, bytes).items();
            self.seen.lock().unwrap().push(items);
            let mut refusals = self.refusals.lock().unwrap();
            let status = match *self.most_items.lock().unwrap() {
                Some(most) if items > most => 413,
                _ if *refusals > 0 => 400,
                _ => 200,
            };
            *refusals = refusals.saturating_sub(1);
            Ok(HttpResponse { status, headers: HeaderMap::new(), body: Bytes::new(), cut: false })
        }
    }

    fn keys(names: &str) -> Vec<KeyValue> {
        let value = || Some(AnyValue { value: Some(any_value::Value::BoolValue(true)) });
        let key =
            |name: &str| KeyValue { key: name.to_owned(), value: value(), ..Default::default() };
        names.split_whitespace().map(key).collect()
    }

    fn spans(resource: &str, keys_of_items: &[&str]) -> Request {
        let resource = Resource { attributes: keys(resource), ..Default::default() };
        let span = |names: &&str| Span { attributes: keys(names), ..Default::default() };
        Request::of_spans(resource, keys_of_items.iter().map(span).collect())
    }

    fn gauges(names_and_keys: &[(&str, &str)]) -> Request {
        let gauge = |(name, names): &(&str, &str)| {
            let point = NumberDataPoint { attributes: keys(names), ..Default::default() };
            let data = Data::Gauge(Gauge { data_points: vec![point] });
            Metric { name: (*name).to_owned(), data: Some(data), ..Default::default() }
        };
        Request::of_metrics(None, names_and_keys.iter().map(gauge).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn the_accepted_size_is_learned() {
        let destination = DestinationConfig::new(&Url::parse("http://127.0.0.1:9/").unwrap());
        let client = Client::with_transport(&destination, Sizes::default()).unwrap();
        let event = "x".repeat(8000);
        let span = || Span { name: event.clone(), ..Span::default() };
        let request = Request::of_spans(None, (0..64).map(|_| span()).collect());
        // A backend that accepts no size teaches none.
        *client.transport.most_items.lock().unwrap() = Some(0);
        let outcome = client.export(None, request.clone(), soon()).await;
        assert_eq!(outcome.accepted, 0);
        client.transport.seen.lock().unwrap().clear();
        *client.transport.most_items.lock().unwrap() = Some(10);
        for expected in [[vec![64, 32, 16], vec![8; 8]].concat(), vec![8; 8]] {
            let outcome = client.export(None, request.clone(), soon()).await;
            assert_eq!(outcome.accepted, 64);
            assert_eq!(std::mem::take(&mut *client.transport.seen.lock().unwrap()), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_items_with_all_new_columns_are_sent_ahead() {
        let mut destination = DestinationConfig::new(&Url::parse("http://127.0.0.1:9/").unwrap());
        destination.profile = Profile::OpenObserve;
        let client = Client::with_transport(&destination, Sizes::default()).unwrap();
        let check = async |stream, request: Request, sizes: &[usize]| {
            let items = request.items();
            let outcome = client.export(stream, request, soon()).await;
            assert_eq!(outcome.accepted, items, "{outcome:?}");
            assert_eq!(std::mem::take(&mut *client.transport.seen.lock().unwrap()), sizes);
        };
        let with = |span| [vec!["a", "a b"], vec![span; 4]].concat();
        check(None, spans("r", &with("a")), &[1, 5]).await;
        check(None, spans("r", &with("b a")), &[6]).await;
        check(None, spans("r", &with("c b")), &[1, 5]).await;
        check(None, spans("r", &with("c b a")), &[6]).await;
        // A new key of the resource, another stream.
        check(None, spans("r s", &with("a")), &[1, 5]).await;
        check(Some("other"), spans("r", &with("a")), &[1, 5]).await;
        // If half of the items or more would go first, the request is sent whole. A combination of known columns is not new.
        check(None, spans("r", &["d", "e", "f", "a"]), &[4]).await;
        check(None, spans("r", &["d", "e", "f", "d e f"]), &[4]).await;
        // A refused item does not make its columns known.
        *client.transport.refusals.lock().unwrap() = 1;
        let outcome = client.export(None, spans("r", &with("g")), soon()).await;
        assert_eq!((outcome.accepted, outcome.parts.len()), (5, 1));
        assert_eq!(std::mem::take(&mut *client.transport.seen.lock().unwrap()), [1, 5]);
        check(None, spans("r", &with("g")), &[1, 5]).await;
        // Each metric is a stream.
        let four = |name, names| [("m", "a"), ("m", "a"), ("m", "a"), (name, names)];
        check(None, gauges(&four("m", "a")), &[1, 3]).await;
        check(None, gauges(&four("m", "a")), &[4]).await;
        check(None, gauges(&four("n", "a")), &[1, 3]).await;
        check(None, gauges(&four("m", "b")), &[1, 3]).await;
        let records = (0..4).map(|_| LogRecord { attributes: keys("z"), ..Default::default() });
        check(None, Request::of_log_records(None, records.collect()), &[4]).await;
    }
}
