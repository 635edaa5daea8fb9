//! Sends the buffer to the backend: the three signals concurrently, one attempt each, with an account of every item.

use super::buffer::TakenBatches;
use crate::config::Direct;
use crate::counts::{Count, Counts};
use crate::{clock, tasks};
use aws::{AwsSecrets, CachedSecret, SECRET_LIFETIME};
use backend::{
    Client, ClientError, Fate, HttpTransport, Outcome, Profile, Reason, Sanitized, Signals,
    Telemetry, UndeliveredPart, read_secret, sanitize,
};
use settings::Check;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use wire::Request;

/// The size limit of a request at the end of the environment.
pub(super) const LAST_BYTES: usize = 512 * 1024;

pub(super) struct Uploader {
    /// Sends OTLP.
    pub(super) client: Client,
    /// Sends unchanged events of the Telemetry API.
    pub(super) events: Option<Client>,
    /// The secret that both clients share.
    secret: Option<Arc<CachedSecret>>,
    profile: Profile,
    signals: Signals,
    /// The `service.name` of resources without one.
    service_name: String,
    max_request_bytes: usize,
    counts: Arc<Counts>,
    /// The log already says that the backend accepts nothing.
    has_warned: AtomicBool,
    /// The log already says that the backend refuses a signal.
    has_logged_refusal: AtomicBool,
    /// The log already says that the backend takes only some signals.
    has_named_untaken: AtomicBool,
}

/// A client, and the kind of backend to which requests are adapted.
#[derive(Clone, Copy)]
struct Recipient<'u> {
    client: &'u Client,
    profile: Profile,
}

/// The batches of a flush.
pub(super) struct FlushBatches {
    pub(super) traces: TakenBatches,
    pub(super) metrics: TakenBatches,
    pub(super) logs: TakenBatches,
    /// Unchanged events of the Telemetry API.
    pub(super) events: TakenBatches,
}

/// What the outcomes of a flush say about the backend, for the next flush.
#[derive(Debug, Default)]
pub(super) struct FlushResult {
    /// The worst of all signals.
    end: FlushEnd,
    /// The backend accepted items.
    has_accepted: bool,
    /// The backend accepted items, or refused some for their content.
    has_answered: bool,
    pub(super) retry_after: Option<Duration>,
}

/// The reason why no further requests were sent, from the best to the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum FlushEnd {
    /// All requests were sent.
    #[default]
    Complete,
    /// Requests remain for the next flush, because the time was over or a request failed after others were answered.
    Late,
    /// The backend refuses the signal regardless of its content.
    Refused,
    /// A request failed, and a later flush repeats it.
    Failed,
}

impl FlushResult {
    fn and(self, other: &Self) -> Self {
        Self {
            end: self.end.max(other.end),
            has_accepted: self.has_accepted || other.has_accepted,
            has_answered: self.has_answered || other.has_answered,
            retry_after: self.retry_after.max(other.retry_after),
        }
    }

    /// Returns `true` if the flush counts as failed for the backend's health. A backend that refuses one signal but accepts another
    /// is healthy.
    pub(super) fn has_failed(&self) -> bool {
        match self.end {
            FlushEnd::Complete => false,
            FlushEnd::Late => !self.has_answered,
            FlushEnd::Refused => !self.has_accepted,
            FlushEnd::Failed => true,
        }
    }
}

impl Uploader {
    /// Prepares the clients, without using the network. Each makes one attempt: a later flush repeats failed requests.
    pub(super) fn new(
        direct: &Direct,
        service_name: &str,
        counts: &Arc<Counts>,
    ) -> Result<Self, ClientError> {
        let Direct { destination, protocol, .. } = direct;
        let secret = secret(direct);
        let otlp = HttpTransport::with_protocol(destination, *protocol)?;
        let events = match destination.json_stream().filter(|_| direct.is_json) {
            Some(destination) => {
                let client = Client::with_transport(&destination, otlp.for_events(&destination)?)?;
                Some(client.without_retries().with_secret(secret.clone()))
            }
            None => None,
        };
        let otlp = Client::with_transport(destination, otlp)?.without_retries();
        Ok(Self {
            client: otlp.with_secret(secret.clone()),
            events,
            secret,
            profile: destination.profile,
            signals: destination.signals.clone(),
            service_name: service_name.to_owned(),
            max_request_bytes: destination.max_request_bytes,
            counts: Arc::clone(counts),
            has_warned: AtomicBool::new(false),
            has_logged_refusal: AtomicBool::new(false),
            has_named_untaken: AtomicBool::new(false),
        })
    }

    /// Reads the secret in the background. The function's init mostly takes longer. If it does not, or a freeze interrupts the
    /// read, the first flush waits for the secret within its own time limit.
    pub(super) fn read_secret_ahead(&self) {
        if let Some(secret) = self.secret.clone() {
            drop(tasks::spawn(async move { drop(secret.current().await) }));
        }
    }

    pub(super) fn drop_connections(&self) {
        for client in self.events.iter().chain([&self.client]) {
            drop(client.drop_connections());
        }
    }

    /// Sends all of it until `end`. The last flush of an environment sends spans and metrics first, in small requests: this thread
    /// compresses them, and has to notice in between that the time is over.
    pub(super) async fn send(
        &self,
        batches: FlushBatches,
        end: Instant,
        is_last: bool,
    ) -> FlushResult {
        let FlushBatches { traces, metrics, logs, events } = batches;
        let otlp = Some(Recipient { client: &self.client, profile: self.profile });
        // Unchanged events are no OTLP, so they are not adapted to OpenObserve.
        let json = self.events.as_ref().map(|client| Recipient { client, profile: Profile::Otlp });
        let max_bytes = if is_last { LAST_BYTES } else { usize::MAX }.min(self.max_request_bytes);
        let first = async {
            let (traces, metrics) = tokio::join!(
                self.send_in_turn(otlp, traces, max_bytes, end),
                self.send_in_turn(otlp, metrics, max_bytes, end),
            );
            traces.and(&metrics)
        };
        let others = async {
            let (logs, events) = tokio::join!(
                self.send_in_turn(otlp, logs, max_bytes, end),
                self.send_in_turn(json, events, max_bytes, end),
            );
            logs.and(&events)
        };
        let result = if is_last {
            let first = first.await;
            if first.end == FlushEnd::Failed { first } else { first.and(&others.await) }
        } else {
            let (first, others) = tokio::join!(first, others);
            first.and(&others)
        };
        if result.end < FlushEnd::Refused {
            self.has_logged_refusal.store(false, Ordering::Relaxed);
        }
        if result.has_failed() {
            self.counts.add(Count::FailedFlushes, 1);
        } else {
            self.has_warned.store(false, Ordering::Relaxed);
        }
        result
    }

    /// Sends the requests of one signal in turn until one fails. Each is settled at once, and stays settled if a later one is
    /// aborted.
    async fn send_in_turn(
        &self,
        recipient: Option<Recipient<'_>>,
        taken: TakenBatches,
        max_bytes: usize,
        end: Instant,
    ) -> FlushResult {
        let Some(recipient) = recipient else { return FlushResult::default() };
        let began = Instant::now();
        let mut result = FlushResult::default();
        for part in taken.parts(max_bytes) {
            // Skipped parts return to the buffer.
            if result.end > FlushEnd::Complete {
                break;
            }
            let mut undelivered = Vec::new();
            let merged = wire::merge(part.requests(), max_bytes).into_iter();
            for request in merged.flat_map(|request| self.leave_out_untaken(request)) {
                let Sanitized { request, refused, .. } = self.sanitize(recipient.profile, request);
                let mut outcome = refused
                    .map(|refused| Outcome::unsent(refused, Reason::InvalidIds, Fate::DeadLetter))
                    .unwrap_or_default();
                let sent = Instant::now();
                if let Some(request) = request {
                    outcome += recipient.client.export(None, request, end).await;
                }
                let had_time = sent.elapsed() > (end - began) / 2;
                undelivered.extend(self.note_outcome(outcome, had_time, &mut result));
            }
            part.settle(undelivered);
        }
        result
    }

    /// Leaves out the telemetry that the backend does not take, and counts it.
    fn leave_out_untaken(&self, request: Request) -> Vec<Request> {
        if self.signals.take_all() {
            return vec![request];
        }
        let mut taken = Vec::new();
        for (telemetry, part) in Telemetry::divide(request) {
            if self.signals.take(telemetry) {
                taken.push(part);
                continue;
            }
            self.counts.add(Count::Rejected, part.items());
            if !self.has_named_untaken.swap(true, Ordering::Relaxed) {
                let missing = self.signals.missing();
                tracing::warn!(
                    missing,
                    "not sent: the backend does not take it (LAMBDA_OTLP_SIGNALS)"
                );
            }
        }
        taken
    }

    /// Adapts a request to the backend, and counts the data points that it loses by that.
    fn sanitize(&self, profile: Profile, request: Request) -> Sanitized {
        let sanitized = sanitize(profile, request, &self.service_name);
        let dropped = sanitized.dropped;
        if dropped > 0 {
            self.counts.add(Count::Rejected, dropped);
            tracing::warn!(dropped, "data points dropped, because their values are not finite");
        }
        sanitized
    }

    /// Counts and logs the outcome of a request, and returns its undelivered parts. `had_time` is `true` if the backend had most of
    /// the flush's time for it.
    fn note_outcome(
        &self,
        mut outcome: Outcome,
        had_time: bool,
        result: &mut FlushResult,
    ) -> Vec<UndeliveredPart> {
        self.counts.add(Count::Delivered, outcome.accepted);
        self.counts.add(Count::SentBytes, outcome.bytes_sent);
        let has_accepted = outcome.accepted > 0;
        let has_refused_content = outcome.parts.iter().any(|part| part.reason.refuses_content());
        result.has_accepted |= has_accepted;
        result.has_answered |= has_accepted || has_refused_content;
        result.retry_after = result.retry_after.max(outcome.retry_after);
        if !outcome.warning.is_empty() {
            tracing::warn!(
                warning = outcome.warning,
                "the backend accepted telemetry with a warning"
            );
        }
        // The backend works, and this request had too little time for an answer.
        let was_hurried = has_accepted || (result.has_answered && !had_time);
        for part in &mut outcome.parts {
            part.fate = fate_of(part.fate, &part.reason, has_accepted);
            let end = end_of(part.fate, &part.reason, was_hurried);
            result.end = result.end.max(end);
            self.note_part(part, end);
        }
        outcome.parts
    }

    /// Counts and logs a part that was not delivered. `end` is the end of the flush by this part alone.
    fn note_part(&self, part: &UndeliveredPart, end: FlushEnd) {
        match part.fate {
            // The next flush has the time for it.
            Fate::Park if end == FlushEnd::Late => {}
            Fate::Park => {
                warn_once(&self.has_warned, &part.reason, "cannot deliver, will try again");
            }
            Fate::ParkWithAlarm => {
                let what = "the backend refuses this signal, its telemetry is in the log";
                warn_once(&self.has_logged_refusal, &part.reason, what);
            }
            Fate::ParkRefused | Fate::DeadLetter => {
                log_refusal(part, "refused for its content, the telemetry is in the log");
            }
            Fate::DeadLetterPartial => {
                log_refusal(part, "rejected by the backend");
                self.counts.add(Count::Rejected, part.items);
            }
        }
    }
}

/// Returns the fate of a part in the buffer. `has_accepted` is `true` if the backend accepted another part of its request.
fn fate_of(fate: Fate, reason: &Reason, has_accepted: bool) -> Fate {
    if matches!(reason, Reason::Credentials { .. }) {
        // The backend has not refused a request that lacked credentials.
        return Fate::Park;
    }
    // If the backend accepted none of the records, the next flush would repeat the search for the refused ones.
    let finds_same_again = fate == Fate::Park && reason.refuses_content() && !has_accepted;
    if finds_same_again { Fate::ParkRefused } else { fate }
}

/// Returns the end of a flush with a part of this fate. `was_hurried` is `true` if a missing answer says nothing about the backend.
fn end_of(fate: Fate, reason: &Reason, was_hurried: bool) -> FlushEnd {
    let is_late = match reason {
        Reason::Deadline => true,
        Reason::NoAnswer(_) => was_hurried,
        _ => reason.refuses_content(),
    };
    match fate {
        Fate::Park if is_late => FlushEnd::Late,
        Fate::Park => FlushEnd::Failed,
        Fate::ParkWithAlarm => FlushEnd::Refused,
        Fate::ParkRefused | Fate::DeadLetter | Fate::DeadLetterPartial => FlushEnd::Complete,
    }
}

/// Logs one line until the backend accepts something again.
fn warn_once(has_warned: &AtomicBool, reason: &Reason, what: &'static str) {
    if !has_warned.swap(true, Ordering::Relaxed) {
        let reason = reason.to_string();
        tracing::warn!(reason, "{what}");
    }
}

fn log_refusal(part: &UndeliveredPart, what: &'static str) {
    let reason = part.reason.to_string();
    let items = part.items;
    tracing::error!(reason, items, "{what}");
}

/// Returns the secret of a destination, if it has one, without reading it.
fn secret(direct: &Direct) -> Option<Arc<CachedSecret>> {
    let reference = direct.destination.secret.clone()?;
    let service = Arc::new(AwsSecrets::new(direct.secrets.clone(), clock::now));
    Some(Arc::new(CachedSecret::new(service, reference, SECRET_LIFETIME)))
}

/// Reads the destination's secret, if it has one, and adds it to the headers.
pub(crate) async fn check_secret(direct: &mut Direct) -> Option<Check> {
    let secret = secret(direct)?;
    Some(match read_secret(&mut direct.destination, &secret).await {
        Ok(header) => {
            let (reference, header) = (secret.reference(), header.outline());
            Check::ok("secret", format!("{reference} can be read, and becomes `{header}`"))
        }
        Err(error) => Check::failed("secret", error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> Reason {
        Reason::Status { status, text: String::new(), hint: "" }
    }

    #[test]
    fn refused_content_and_missing_credentials_change_the_fate() {
        let credentials = Reason::Credentials { text: String::new() };
        assert_eq!(fate_of(Fate::ParkWithAlarm, &credentials, false), Fate::Park);
        assert_eq!(fate_of(Fate::Park, &status(400), false), Fate::ParkRefused);
        // The refused records are known, and the others are sent again.
        assert_eq!(fate_of(Fate::Park, &status(400), true), Fate::Park);
        assert_eq!(fate_of(Fate::Park, &status(503), false), Fate::Park);
        assert_eq!(fate_of(Fate::DeadLetter, &status(400), false), Fate::DeadLetter);
    }

    #[test]
    fn a_part_that_is_sent_again_makes_the_flush_late_or_failed() {
        let end = |fate, reason| end_of(fate, &reason, false);
        assert_eq!(end(Fate::Park, status(503)), FlushEnd::Failed);
        assert_eq!(end(Fate::Park, status(400)), FlushEnd::Late);
        assert_eq!(end(Fate::Park, Reason::Deadline), FlushEnd::Late);
        assert_eq!(end(Fate::ParkWithAlarm, status(401)), FlushEnd::Refused);
        for fate in [Fate::ParkRefused, Fate::DeadLetter, Fate::DeadLetterPartial] {
            assert_eq!(end(fate, status(400)), FlushEnd::Complete);
        }
    }
}
