//! The client of a binary: a destination, its credentials and connections, and the account of each export.

use crate::destination::{Compression, DestinationConfig, STREAM_NAME, stream_header};
use crate::export::{
    Attempts, BUDGET, Fate, Learned, Outcome, Repeats, Step, Terms, UndeliveredPart,
};
use crate::http::{
    ClientError, HttpRequest, HttpResponse, HttpTransport, Transport, TransportError, header_map,
};
use crate::judge::Reason;
use crate::mask::Mask;
use aws::{CachedSecret, CurrentSecret, RequestSigner, SecretError, SecretHeader, SecretService};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use settings::{InvalidValue, quoted};
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
    repeats: Repeats,
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

/// The reason why a request cannot have the secret in its headers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableSecret {
    #[error("the secret was not read before the deadline")]
    Late,
    #[error(transparent)]
    Unread(#[from] SecretError),
    #[error(transparent)]
    Invalid(#[from] InvalidValue),
    #[error(transparent)]
    Header(#[from] ClientError),
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

impl Client {
    /// Signs requests to CloudWatch's endpoints.
    #[must_use]
    pub fn signed_by(self, signer: &Arc<RequestSigner>) -> Self {
        Self { transport: self.transport.signed_by(signer), ..self }
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
            repeats: Repeats::Client,
            seed: AtomicU64::new(RandomState::new().hash_one("seed")),
            secret: None,
            sent: Mutex::new(Arc::new(sent)),
        })
    }

    /// Makes one attempt of each request. The caller repeats it.
    #[must_use]
    pub fn without_retries(self) -> Self {
        Self { repeats: Repeats::Caller, ..self }
    }

    /// Puts this secret, which several clients of one destination may share, in place of the header of its name.
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

    /// Delivers the request with retries, splits and halves until each item is accepted or accounted for. Ends at `deadline`. Each
    /// delivery takes at most ten seconds.
    ///
    /// `stream` replaces the destination's OpenObserve stream for traces and logs. A name that no header can hold is ignored with
    /// a warning.
    ///
    /// The secret is read before the first request. Without one, the request is returned unsent. After 401 or 403 it is read
    /// again. If it has changed, each refused part is delivered again.
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
        let used = match self.headers_of(secret.current(), deadline).await {
            Ok(used) => used,
            Err(error) => {
                let reason = Reason::Credentials { text: error.to_string() };
                return Outcome::unsent(request, reason, Fate::ParkWithAlarm);
            }
        };
        let mut outcome = self.deliver(&used.headers, stream, request, deadline).await;
        let has_refused = outcome.parts.iter().any(|part| part.reason.refuses_credentials());
        let failure = if has_refused {
            let reread = self.headers_of(secret.reread(), deadline).await;
            // After the deadline nothing is sent, and the refusal is the more useful reason.
            if let Ok(newer) = &reread
                && newer.secret.version > used.secret.version
                && Instant::now() < deadline
            {
                self.resend_refused(&newer.headers, stream, &mut outcome, deadline).await;
            }
            reread.map_or_else(|error| Some(error.to_string()), |newer| newer.failure())
        } else {
            used.failure()
        };
        if let Some(failure) = failure {
            outcome.prepend_warning(format!("the previous secret stays in use: {failure}"));
        }
        outcome
    }

    /// Delivers the parts whose credentials the backend refused again, with these headers.
    async fn resend_refused(
        &self,
        headers: &SentHeaders,
        stream: Option<&str>,
        outcome: &mut Outcome,
        deadline: Instant,
    ) {
        let refused: Vec<UndeliveredPart> =
            outcome.parts.extract_if(.., |part| part.reason.refuses_credentials()).collect();
        for part in refused {
            *outcome += self.deliver(headers, stream, part.request, deadline).await;
        }
    }

    /// Returns the secret, read before the deadline, and headers for it.
    async fn headers_of(
        &self,
        reading: impl Future<Output = Result<CurrentSecret, SecretError>>,
        deadline: Instant,
    ) -> Result<AuthorizedHeaders, UnusableSecret> {
        let read = timeout_at(deadline, reading).await.map_err(|_| UnusableSecret::Late)?;
        let secret = read?;
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if secret.version > sent.version {
            // Values of older versions stay masked.
            let mut headers = self.destination.headers.clone();
            headers.set(&secret.header.name, secret.header.value.expose())?;
            let map = header_map(&headers)?;
            let mask = sent.mask.and(&headers);
            *sent = Arc::new(SentHeaders { version: secret.version, map, mask });
        }
        Ok(AuthorizedHeaders { headers: Arc::clone(&sent), secret })
    }

    /// Delivers the request with these headers: carries out the decisions of [`Attempts`].
    async fn deliver(
        &self,
        headers: &SentHeaders,
        stream: Option<&str>,
        request: Request,
        deadline: Instant,
    ) -> Outcome {
        let start = Instant::now();
        let deadline = deadline.min(start + BUDGET);
        let ChosenStream { stream, warning } = self.stream_for(stream, request.kind());
        let terms = Terms {
            profile: self.destination.profile,
            max_bytes: self.destination.max_request_bytes,
            max_items: self.destination.max_items(request.kind()),
            stream: stream.as_ref().map_or(&[], |stream| stream.as_bytes()),
            mask: &headers.mask,
            learned: &self.learned,
            repeats: self.repeats,
            seed: self.seed.fetch_add(1, Ordering::Relaxed),
            deadline: deadline.saturating_duration_since(start),
        };
        let kind = request.kind();
        let mut attempts = Attempts::new(terms, request);
        let mut requests_sent = 0;
        let mut bytes_sent = 0;
        let compression = self.destination.compression;
        loop {
            match attempts.next(start.elapsed()) {
                Step::Send(request) => {
                    let body = self.transport.encode(request, compression);
                    requests_sent += 1;
                    bytes_sent += body.len();
                    let response =
                        self.send(headers, stream.as_ref(), request, body, deadline).await;
                    attempts.answered(start.elapsed(), response);
                }
                Step::Probe => {
                    let probe = Request::trusted(kind, Vec::new());
                    let body = self.transport.encode(&probe, compression);
                    requests_sent += 1;
                    bytes_sent += body.len();
                    let response =
                        self.send(headers, stream.as_ref(), &probe, body, deadline).await;
                    attempts.probed(start.elapsed(), response);
                }
                Step::WaitUntil(time) => sleep_until(start + time).await,
                Step::Done => break,
            }
        }
        let mut outcome = Outcome { requests_sent, bytes_sent, ..attempts.finish() };
        outcome.prepend_warning(warning);
        outcome
    }

    /// Makes one attempt of a request with this body, until the deadline.
    async fn send(
        &self,
        headers: &SentHeaders,
        stream: Option<&HeaderValue>,
        request: &Request,
        body: Bytes,
        deadline: Instant,
    ) -> Result<HttpResponse, TransportError> {
        let request = HttpRequest {
            kind: request.kind(),
            items: request.items(),
            body,
            gzip: self.destination.compression == Compression::Gzip,
            headers: headers.map.clone(),
            stream: stream.cloned(),
            timeout: self.destination.request_timeout.min(transport_time(deadline)),
        };
        let response = timeout_at(deadline, self.transport.send(request)).await;
        response.unwrap_or_else(|_| {
            let text = "no answer before the deadline".to_owned();
            Err(TransportError { sent: true, is_closed: false, text })
        })
    }

    /// Chooses the stream for a request of this signal: the wanted one, or else the destination's.
    fn stream_for(&self, wanted: Option<&str>, kind: SignalKind) -> ChosenStream {
        let mut chosen = ChosenStream { stream: None, warning: String::new() };
        if kind == SignalKind::Metrics {
            return chosen;
        }
        if let Some(name) = wanted.filter(|name| !name.is_empty()) {
            chosen.stream = stream_header(name);
            if chosen.stream.is_none() {
                chosen.warning = format!(
                    "stream {} is not used: it contains characters that a header cannot",
                    quoted(name)
                );
            }
        }
        if chosen.stream.is_none() {
            chosen.stream.clone_from(&self.stream);
        }
        chosen
    }
}

/// A secret, and the headers with this version of it, or a newer one.
struct AuthorizedHeaders {
    headers: Arc<SentHeaders>,
    secret: CurrentSecret,
}

impl AuthorizedHeaders {
    /// The reason why a newer version of the secret could not be read.
    fn failure(&self) -> Option<String> {
        self.secret.failure.as_ref().map(ToString::to_string)
    }
}

/// The stream of a request.
struct ChosenStream {
    stream: Option<HeaderValue>,
    /// The mistake in the wanted name; empty if there is none.
    warning: String,
}

/// The time that a request has before `deadline`, a little less than is left: only the transport's own error names the host,
/// and says whether anything was sent.
fn transport_time(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left.saturating_sub((left / 20).min(Duration::from_millis(20)))
}

/// Reads the secret once into the destination's headers, for one-off checks of a backend.
pub async fn read_secret(
    destination: &mut DestinationConfig,
    secret: &CachedSecret,
) -> Result<SecretHeader, UnusableSecret> {
    destination.secret = None;
    let current = secret.current().await?;
    destination.headers.set(&current.header.name, current.header.value.expose())?;
    Ok(current.header)
}

#[cfg(test)]
mod tests;
