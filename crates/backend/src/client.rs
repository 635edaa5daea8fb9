//! The client of a binary: a destination, its credentials and connections, and the account of each export.

use crate::destination::{Compression, DestinationConfig, STREAM_NAME, stream_header};
use crate::export::{
    BUDGET, Delivery, Fate, Learned, Outcome, RETRIES, Step, Terms, UndeliveredPart,
};
use crate::http::{ClientError, HttpRequest, HttpTransport, Transport, TransportError, header_map};
use crate::judge::Reason;
use crate::mask::Mask;
use aws::{CachedSecret, CurrentSecret, SecretError, SecretService};
use http::{HeaderMap, HeaderValue};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};
use wire::{Request, SignalKind};

/// Sends requests of all signals to one destination, with that destination's credentials only.
#[derive(Debug)]
pub struct Client<T = HttpTransport> {
    transport: T,
    /// The secret replaces the authorization in its headers.
    destination: DestinationConfig,
    /// The destination's default stream.
    stream: Option<HeaderValue>,
    learned: Learned,
    retries: u32,
    /// The seed of the next delivery's delays.
    seed: AtomicU64,
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
            destination: destination.clone(),
            stream,
            learned: Learned::new(),
            retries: RETRIES,
            seed: AtomicU64::new(RandomState::new().hash_one(RETRIES)),
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
        Self { seed: AtomicU64::new(seed), ..self }
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
            let mut headers = self.destination.headers.clone();
            headers.set("authorization", secret.authorization.expose())?;
            let map = header_map(&headers).map_err(|error| error.to_string())?;
            let mask = sent.mask.and(&headers);
            *sent = Arc::new(SentHeaders { version: secret.version, map, mask });
        }
        Ok(Arc::clone(&sent))
    }

    /// Delivers the request with these headers: carries out the decisions of [`Delivery`].
    async fn deliver(
        &self,
        headers: &SentHeaders,
        stream: Option<&str>,
        request: Request,
        deadline: Instant,
    ) -> Outcome {
        let start = Instant::now();
        let deadline = deadline.min(start + BUDGET);
        let (stream, warning) = self.stream_for(stream, request.kind());
        let terms = Terms {
            profile: self.destination.profile,
            max_bytes: self.destination.max_request_bytes,
            stream: stream.as_ref().map_or(&[], |stream| stream.as_bytes()),
            mask: &headers.mask,
            learned: &self.learned,
            most_retries: self.retries,
            seed: self.seed.fetch_add(1, Ordering::Relaxed),
            deadline: deadline.saturating_duration_since(start),
        };
        let mut delivery = Delivery::new(terms, request);
        let (mut requests_sent, mut bytes_sent) = (0, 0);
        let compression = self.destination.compression;
        loop {
            match delivery.next(start.elapsed()) {
                Step::Send(part) => {
                    let body = part.body(|request| self.transport.encode(request, compression));
                    requests_sent += 1;
                    bytes_sent += body.len();
                    let request = HttpRequest {
                        kind: part.request().kind(),
                        items: part.request().items(),
                        body,
                        gzip: compression == Compression::Gzip,
                        headers: headers.map.clone(),
                        stream: stream.clone(),
                        timeout: self.destination.request_timeout.min(transport_time(deadline)),
                    };
                    let response = timeout_at(deadline, self.transport.send(request)).await;
                    let response = response.unwrap_or_else(|_| {
                        let text = "no answer before the deadline".to_owned();
                        Err(TransportError { sent: true, text })
                    });
                    delivery.answered(start.elapsed(), response);
                }
                Step::WaitUntil(time) => sleep_until(start + time).await,
                Step::Done => break,
            }
        }
        let mut outcome = Outcome { requests_sent, bytes_sent, ..delivery.finish() };
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

/// The time that a request has before `deadline`, a little less than is left: only the transport's own error names the host,
/// and says whether anything was sent.
fn transport_time(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left.saturating_sub((left / 20).min(Duration::from_millis(20)))
}

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
    use crate::destination::Profile;
    use crate::http::HttpResponse;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use std::sync::atomic::AtomicUsize;
    use url::Url;

    /// A backend that answers a request of so many items with a status and a body, and keeps streams and numbers of items.
    struct Fake<A> {
        answer: A,
        streams: Mutex<Vec<String>>,
        sizes: Mutex<Vec<usize>>,
    }

    impl<A: Fn(usize) -> (u16, &'static str) + Sync> Transport for Fake<A> {
        async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
            let stream = request.stream.as_ref().map_or("-", |stream| stream.to_str().unwrap());
            self.streams.lock().unwrap().push(stream.to_owned());
            let bytes = wire::gzip::inflate(&request.body, 1 << 20).unwrap();
            let items = Request::trusted(request.kind, bytes).items();
            self.sizes.lock().unwrap().push(items);
            let (status, body) = (self.answer)(items);
            let json = HeaderValue::from_static("application/json");
            let json = (!body.is_empty()).then_some((http::header::CONTENT_TYPE, json));
            let headers = json.into_iter().collect();
            Ok(HttpResponse { status, headers, body: body.into(), cut: false })
        }
    }

    fn client<A: Fn(usize) -> (u16, &'static str) + Sync>(
        profile: Profile,
        stream: Option<&str>,
        answer: A,
    ) -> Client<Fake<A>> {
        let mut destination = DestinationConfig::new(&Url::parse("http://127.0.0.1:9/").unwrap());
        destination.profile = profile;
        destination.stream = stream.map(str::to_owned);
        let fake = Fake { answer, streams: Mutex::default(), sizes: Mutex::default() };
        Client::with_transport(&destination, fake).unwrap()
    }

    fn one_record() -> Request {
        Request::of_log_records(None, vec![LogRecord::default()])
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test(start_paused = true)]
    async fn the_stream_of_a_request_overrides_the_default_stream() {
        let long = "é".repeat(200);
        let warning = r#"stream "a\nb" is not used: it contains characters that a header cannot"#;
        let cut = format!(
            r#"stream "{}"… is not used: it contains characters that a header cannot"#,
            "é".repeat(60)
        );
        for (own, asked, expected, expected_warning) in [
            (None, None, "-", ""),
            (Some("own"), None, "own", ""),
            (Some("own"), Some("shop"), "shop", ""),
            (Some("own"), Some(""), "own", ""),
            (None, Some("a\nb"), "-", warning),
            (Some("own"), Some("a\nb"), "own", warning),
            (None, Some(long.as_str()), "-", &cut),
        ] {
            let client = client(Profile::OpenObserve, own, |_| (200, ""));
            let outcome = client.export(asked, one_record(), soon()).await;
            assert_eq!(*client.transport.streams.lock().unwrap(), [expected], "{asked:?}");
            assert_eq!(outcome.warning, expected_warning);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeated_warning_is_reported_once() {
        let own = "accepted, but the answer is not OTLP: {\"ok\":true}";
        let partial = r#"{"partialSuccess":{"errorMessage":"old schema"}}"#;
        for (profile, body, first) in [
            (Profile::Otlp, "{\"ok\":true}", own),
            (Profile::Otlp, partial, "old schema"),
            (Profile::OpenObserve, partial, "old schema"),
        ] {
            let client = client(profile, None, |_| (200, body));
            for expected in [first, "", ""] {
                let outcome = client.export(None, one_record(), soon()).await;
                let Outcome { accepted, requests_sent, warning, .. } = outcome;
                assert_eq!((accepted, requests_sent, warning.as_str()), (1, 1, expected));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_accepted_size_is_learned() {
        // A backend that accepts no size teaches none.
        let most = AtomicUsize::new(0);
        let answer = |items| (if items > most.load(Ordering::Relaxed) { 413 } else { 200 }, "");
        let client = client(Profile::OpenObserve, None, answer);
        let span = || Span { name: "x".repeat(8000), ..Span::default() };
        let request = Request::of_spans(None, (0..64).map(|_| span()).collect());
        assert_eq!(client.export(None, request.clone(), soon()).await.accepted, 0);
        client.transport.sizes.lock().unwrap().clear();
        most.store(10, Ordering::Relaxed);
        for expected in [[vec![64, 32, 16], vec![8; 8]].concat(), vec![8; 8]] {
            let outcome = client.export(None, request.clone(), soon()).await;
            assert_eq!(outcome.accepted, 64);
            assert_eq!(std::mem::take(&mut *client.transport.sizes.lock().unwrap()), expected);
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

    /// Four gauges, of which the last one has this name and keys.
    fn gauges(name: &str, names: &str) -> Request {
        let gauge = |(name, names): (&str, &str)| {
            let point = NumberDataPoint { attributes: keys(names), ..Default::default() };
            let data = Data::Gauge(Gauge { data_points: vec![point] });
            Metric { name: name.to_owned(), data: Some(data), ..Default::default() }
        };
        let four = [("m", "a"), ("m", "a"), ("m", "a"), (name, names)];
        Request::of_metrics(None, four.map(gauge).into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_items_with_all_new_columns_are_sent_ahead() {
        let refusals = AtomicUsize::new(0);
        let next = |left: usize| left.checked_sub(1);
        let is_refused =
            || refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok();
        let answer = |_| (if is_refused() { 400 } else { 200 }, "");
        let client = client(Profile::OpenObserve, None, answer);
        let with = |span| [vec!["a", "a b"], vec![span; 4]].concat();
        let records = (0..4).map(|_| LogRecord { attributes: keys("z"), ..Default::default() });
        for (stream, request, sizes) in [
            (None, spans("r", &with("a")), &[1, 5][..]),
            (None, spans("r", &with("b a")), &[6]),
            (None, spans("r", &with("c b")), &[1, 5]),
            (None, spans("r", &with("c b a")), &[6]),
            // A new key of the resource, another stream.
            (None, spans("r s", &with("a")), &[1, 5]),
            (Some("other"), spans("r", &with("a")), &[1, 5]),
            // If half of the items or more would go first, the request is sent whole. A combination of known columns is not new.
            (None, spans("r", &["d", "e", "f", "a"]), &[4]),
            (None, spans("r", &["d", "e", "f", "d e f"]), &[4]),
            // Each metric is a stream.
            (None, gauges("m", "a"), &[1, 3]),
            (None, gauges("m", "a"), &[4]),
            (None, gauges("n", "a"), &[1, 3]),
            (None, gauges("m", "b"), &[1, 3]),
            (None, Request::of_log_records(None, records.collect()), &[4]),
        ] {
            let items = request.items();
            let outcome = client.export(stream, request, soon()).await;
            assert_eq!(outcome.accepted, items, "{outcome:?}");
            assert_eq!(std::mem::take(&mut *client.transport.sizes.lock().unwrap()), sizes);
        }
        // A refused item does not make its columns known.
        for (refused, accepted) in [(1, 5), (0, 6)] {
            refusals.store(refused, Ordering::Relaxed);
            let outcome = client.export(None, spans("r", &with("g")), soon()).await;
            assert_eq!((outcome.accepted, outcome.parts.len()), (accepted, refused));
            assert_eq!(std::mem::take(&mut *client.transport.sizes.lock().unwrap()), [1, 5]);
        }
        // A few accepted items do not show that the others are at fault.
        let requests = AtomicUsize::new(0);
        let first = || requests.fetch_add(1, Ordering::Relaxed) == 0;
        let client =
            self::client(Profile::OpenObserve, None, |_| (if first() { 200 } else { 400 }, ""));
        let outcome = client.export(None, spans("r", &with("a")), soon()).await;
        assert_eq!(outcome.accepted, 1);
        assert!(outcome.parts.iter().all(|part| part.fate != Fate::DeadLetter), "{outcome:?}");
    }
}
