//! Sends the buffer to the backend: the three signals concurrently, one attempt each, with an account of every item.

use super::buffer::TakenBatches;
use crate::config::{Direct, Secrets};
use crate::counts::{Count, Counts};
use crate::{clock, tasks};
use aws::{AwsSecrets, CachedSecret};
use backend::{
    Authorized, Client, ClientError, Compression, DestinationConfig, Fate, HttpTransport, Outcome,
    Profile, Protocol, Reason, RetryPolicy, Sanitized, read_secret, sanitize,
};
use settings::{Check, Headers};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use wire::Request;

/// The size limit of a request at the end of the environment.
pub(super) const LAST_BYTES: usize = 512 * 1024;

pub(super) struct Uploader {
    client: Sending,
    /// The client for unchanged events of the Telemetry API.
    events: Option<Sending>,
    profile: Profile,
    /// The `service.name` of resources without one.
    service_name: String,
    max_request_bytes: usize,
    counts: Arc<Counts>,
    /// The log already says that the backend accepts nothing.
    has_told: AtomicBool,
    /// The log already says that the backend refuses a signal.
    has_logged_refusal: AtomicBool,
}

/// The result of a flush, as far as the next one depends on it.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct FlushResult {
    pub(super) failed: bool,
    /// The backend refuses a signal regardless of its content.
    refused: bool,
    delivered: bool,
    /// The backend accepted items, or refused some for their content.
    answered: bool,
    /// Requests remain for the next flush, because the time was over or a request failed after others were answered.
    is_late: bool,
    pub(super) retry_after: Option<Duration>,
}

impl FlushResult {
    fn and(self, other: &Self) -> Self {
        Self {
            failed: self.failed || other.failed,
            refused: self.refused || other.refused,
            delivered: self.delivered || other.delivered,
            answered: self.answered || other.answered,
            is_late: self.is_late || other.is_late,
            retry_after: self.retry_after.max(other.retry_after),
        }
    }
}

/// The undelivered rest of one request.
#[derive(Default)]
struct Account {
    again: Vec<Request>,
    never: Vec<Request>,
}

impl Uploader {
    pub(super) fn new(
        client: Sending,
        events: Option<Sending>,
        destination: &DestinationConfig,
        service_name: &str,
        counts: &Arc<Counts>,
    ) -> Self {
        Self {
            client,
            events,
            profile: destination.profile,
            service_name: service_name.to_owned(),
            max_request_bytes: destination.max_request_bytes,
            counts: Arc::clone(counts),
            has_told: AtomicBool::new(false),
            has_logged_refusal: AtomicBool::new(false),
        }
    }

    /// Opens new connections from now on.
    pub(super) fn drop_connections(&self) {
        drop_connections(&self.client);
        if let Some(events) = &self.events {
            drop_connections(events);
        }
    }

    /// Sends all of it until `end`. The last flush of an environment sends spans and metrics first, in small requests: this thread
    /// compresses them, and has to notice in between that the time is over.
    pub(super) async fn send(
        &self,
        [traces, metrics, logs]: [TakenBatches; 3],
        events: TakenBatches,
        end: Instant,
        is_last: bool,
    ) -> FlushResult {
        let otlp = Some((&self.client, self.profile));
        // Unchanged events are no OTLP.
        let json = self.events.as_ref().map(|client| (client, Profile::Otlp));
        let max_bytes = if is_last { LAST_BYTES } else { usize::MAX }.min(self.max_request_bytes);
        let first = async {
            let (traces, metrics) = tokio::join!(
                self.lane(otlp, traces, max_bytes, end),
                self.lane(otlp, metrics, max_bytes, end),
            );
            traces.and(&metrics)
        };
        let others = async {
            let (logs, events) = tokio::join!(
                self.lane(otlp, logs, max_bytes, end),
                self.lane(json, events, max_bytes, end),
            );
            logs.and(&events)
        };
        let result = if is_last {
            let first = first.await;
            if first.failed { first } else { first.and(&others.await) }
        } else {
            let (first, others) = tokio::join!(first, others);
            first.and(&others)
        };
        if !result.refused {
            self.has_logged_refusal.store(false, Ordering::Relaxed);
        }
        // The backend is healthy if it refuses one signal but accepts another.
        let failed = result.failed
            || (result.refused && !result.delivered)
            || (result.is_late && !result.answered);
        if failed {
            self.counts.add(Count::FailedFlushes, 1);
        } else {
            self.has_told.store(false, Ordering::Relaxed);
        }
        FlushResult { failed, ..result }
    }

    /// Sends the requests of one signal in turn until one fails. Each is settled at once, and stays settled if a later one is
    /// aborted.
    async fn lane(
        &self,
        client: Option<(&Sending, Profile)>,
        taken: TakenBatches,
        max_bytes: usize,
        end: Instant,
    ) -> FlushResult {
        let Some((client, profile)) = client else { return FlushResult::default() };
        let (began, mut result) = (Instant::now(), FlushResult::default());
        for part in taken.parts(max_bytes) {
            // Skipped parts return to the buffer.
            if result.failed || result.refused || result.is_late {
                break;
            }
            let mut account = Account::default();
            for request in wire::merge(part.requests(), max_bytes) {
                let Some(request) = self.adapted(profile, request, &mut account) else { continue };
                let sent = Instant::now();
                let outcome = client.export(None, request, end).await;
                let had_time = sent.elapsed() > (end - began) / 2;
                self.settle(outcome, had_time, &mut account, &mut result);
            }
            part.settle(account.again, account.never);
        }
        result
    }

    /// Adapts a request to the backend. Returns `None` if the backend can store none of its items.
    fn adapted(
        &self,
        profile: Profile,
        request: Request,
        account: &mut Account,
    ) -> Option<Request> {
        let sanitized = sanitize(profile, request, &self.service_name);
        let Sanitized { request, dropped, renamed, refused, .. } = sanitized;
        self.counts.add(Count::Renamed, renamed);
        if dropped > 0 {
            self.counts.add(Count::Rejected, dropped);
            tracing::warn!(dropped, "data points dropped, because their values are not finite");
        }
        if let Some(refused) = refused {
            let what = "spans with invalid ids are in the log";
            tell_of_refusal(&Reason::InvalidIds, refused.items(), what);
            account.never.push(refused);
        }
        request
    }

    /// Notes the outcome of a request. `had_time` is `true` if the backend had most of the flush's time for it.
    fn settle(
        &self,
        outcome: Outcome,
        had_time: bool,
        account: &mut Account,
        result: &mut FlushResult,
    ) {
        self.counts.add(Count::Delivered, outcome.accepted);
        self.counts.add(Count::SentBytes, outcome.bytes_sent);
        result.delivered |= outcome.accepted > 0;
        result.answered |=
            outcome.accepted > 0 || outcome.parts.iter().any(|part| part.reason.refuses_content());
        result.retry_after = result.retry_after.max(outcome.retry_after);
        if !outcome.warning.is_empty() {
            tracing::info!(
                warning = outcome.warning,
                "the backend accepted telemetry with a warning"
            );
        }
        // The backend works, and the rest had too little time.
        let answered = result.answered;
        let is_late = |reason: &Reason| match reason {
            Reason::Deadline => true,
            Reason::NoAnswer(_) => outcome.accepted > 0 || (answered && !had_time),
            reason => reason.refuses_content(),
        };
        for part in outcome.parts {
            let fate = match part.reason {
                // The backend has not refused a request that lacked credentials.
                Reason::Credentials { .. } => Fate::Park,
                _ => part.fate,
            };
            match fate {
                // If the backend accepted none of the records, the next flush would repeat the search.
                Fate::Park if part.reason.refuses_content() && outcome.accepted == 0 => {
                    let what = "the backend refused records for their content; the whole request is in the log";
                    tell_of_refusal(&part.reason, part.items, what);
                    account.never.push(part.request);
                }
                Fate::Park if is_late(&part.reason) => {
                    result.is_late = true;
                    account.again.push(part.request);
                }
                Fate::Park => {
                    let what = "cannot deliver, will try again";
                    tell_once(&self.has_told, &part.reason, what);
                    result.failed = true;
                    account.again.push(part.request);
                }
                Fate::ParkWithAlarm => {
                    let what = "the backend refuses this signal, its telemetry is in the log";
                    tell_once(&self.has_logged_refusal, &part.reason, what);
                    result.refused = true;
                    account.never.push(part.request);
                }
                Fate::ParkRefused | Fate::DeadLetter => {
                    tell_of_refusal(
                        &part.reason,
                        part.items,
                        "the backend refused a request for its content, it is in the log",
                    );
                    account.never.push(part.request);
                }
                // The backend stored the other items, so a repetition would store them twice.
                Fate::DeadLetterPartial => {
                    tell_of_refusal(&part.reason, part.items, "rejected by the backend");
                    self.counts.add(Count::Rejected, part.items);
                }
            }
        }
    }
}

/// Logs one line until the backend accepts something again.
fn tell_once(has_told: &AtomicBool, reason: &Reason, what: &'static str) {
    if !has_told.swap(true, Ordering::Relaxed) {
        let reason = reason.to_string();
        tracing::warn!(reason, "{what}");
    }
}

fn tell_of_refusal(reason: &Reason, items: usize, what: &'static str) {
    let reason = reason.to_string();
    tracing::error!(reason, items, "{what}");
}

/// Each client makes one attempt. A later flush repeats failed requests.
pub(crate) struct Clients {
    pub(crate) otlp: Sending,
    /// `None` unless unchanged events are sent.
    pub(crate) events: Option<Sending>,
    /// `None` if the destination has no secret.
    pub(crate) secret: Option<KeptSecret>,
}

impl Clients {
    /// Makes the clients, without using the network.
    pub(crate) fn new(direct: &Direct, is_json: bool) -> Result<Self, ClientError> {
        let Direct { destination, protocol, secrets, .. } = direct;
        let secret = KeptSecret::of(destination, secrets);
        let otlp = HttpTransport::by(destination, *protocol)?;
        let events = match destination.json_stream().filter(|_| is_json) {
            Some(destination) => {
                let transport = otlp.for_events(&destination)?;
                Some(client(&destination, transport, true, secret.clone())?)
            }
            None => None,
        };
        let is_json = *protocol == Protocol::HttpJson;
        let otlp = client(destination, otlp, is_json, secret.clone())?;
        Ok(Self { otlp, events, secret })
    }
}

/// Makes a client. A transport that makes JSON compresses its bodies itself.
fn client(
    destination: &DestinationConfig,
    transport: HttpTransport,
    makes_json: bool,
    secret: Option<KeptSecret>,
) -> Result<Sending, ClientError> {
    let compression = if makes_json { Compression::None } else { destination.compression };
    let destination = DestinationConfig { compression, ..destination.clone() };
    let client = Client::with_transport(&destination, transport)?;
    let client = client.with_retry_policy(RetryPolicy::default().once());
    Ok(sending(client, destination.headers, secret))
}

/// A client with the stored credentials.
pub(crate) type Sending = Authorized<HttpTransport>;

/// The secret that all clients of the destination share.
#[derive(Clone)]
pub(crate) struct KeptSecret(Arc<CachedSecret<AwsSecrets>>);

impl KeptSecret {
    /// Returns the secret of a destination, if it has one, without reading it.
    pub(crate) fn of(
        destination: &DestinationConfig,
        Secrets { settings, lifetime }: &Secrets,
    ) -> Option<Self> {
        let reference = destination.secret.clone()?;
        let service = AwsSecrets::new(settings.clone(), clock::now);
        Some(Self(Arc::new(CachedSecret::new(service, reference, *lifetime))))
    }

    /// Reads the secret in the background. The function's init mostly takes longer. If it does not, or a freeze interrupts the
    /// read, the first flush waits for the secret within its own time limit.
    pub(crate) fn read_ahead(self) {
        drop(tasks::spawn(async move { drop(self.0.current().await) }));
    }
}

/// Makes a client that sends this secret in place of the authorization in `headers`.
pub(crate) fn sending(
    client: Client<HttpTransport>,
    headers: Headers,
    secret: Option<KeptSecret>,
) -> Sending {
    Authorized::with_client(client, headers, secret.map(|secret| secret.0))
}

/// Opens new connections from now on.
pub(crate) fn drop_connections(sending: &Sending) {
    drop(sending.client().drop_connections());
}

/// Reads the destination's secret, if it has one, and adds it to the headers.
pub(crate) async fn check_secret(direct: &mut Direct) -> Option<Check> {
    let KeptSecret(secret) = KeptSecret::of(&direct.destination, &direct.secrets)?;
    Some(match read_secret(&mut direct.destination, &secret).await {
        Ok(()) => Check::ok("secret", format!("{} can be read", secret.reference())),
        Err(problem) => Check::failed("secret", problem),
    })
}
