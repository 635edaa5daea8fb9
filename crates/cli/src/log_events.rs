//! Converts log events to telemetry like the forwarder.

use crate::forward::invocation_at;
use crate::shown::Incoming;
use anyhow::Context as _;
use backend::Outcome;
use forwarder::{
    Config, Event, Export, Forwarder, IngestPolicy, InvocationContext, Options, Queues, Report,
    ReportedLine, RuleSet,
};
use platform::{EventKind, PlatformEvent, platform_event};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use subscriber::{FilteredLogEvent, delivery};
use tokio::time::Instant;
use wire::Request;

/// The variable of the kind of backend.
pub(crate) const BACKEND: &str = "LAMBDA_OTLP_BACKEND";
/// A backend to which no request is adapted.
pub(crate) const OTLP_BACKEND: &str = "otlp";

/// The forwarder's pipeline with a destination that keeps telemetry in memory.
pub(crate) struct Converter {
    forwarder: Forwarder<KeptRequests>,
    kept: KeptRequests,
}

impl Converter {
    /// Makes a converter for log groups of this region, without rules.
    pub(crate) fn new(region: Option<&str>) -> anyhow::Result<Self> {
        let variables = [("LAMBDA_OTLP_ENDPOINT", "http://127.0.0.1/"), (BACKEND, OTLP_BACKEND)];
        let (read, _) = Config::from_source(&variables);
        let mut config = read.context("the forwarder's settings")?;
        config.region = region.map(str::to_owned);
        Ok(Self::of(config, RuleSet::default()))
    }

    /// Makes a converter with these settings and rules. Records of any age are kept.
    pub(crate) fn of(mut config: Config, rules: RuleSet) -> Self {
        config.old_records = IngestPolicy::any_time();
        let kept = KeptRequests::default();
        let destinations = vec![forwarder::default_destination(&config, kept.clone())];
        let mut forwarder =
            Forwarder::new(destinations.clone(), Queues::default(), options(&config));
        forwarder.set_rules(Arc::new(rules), destinations);
        Self { forwarder, kept }
    }

    pub(crate) async fn forward(&self, event: Event) -> Forwarded {
        let report = self.forwarder.forward(event, &invocation_now()).await;
        Forwarded { report, requests: self.kept.take() }
    }

    /// Returns the telemetry of an event of this log group, and the errors of OTLP lines that cannot be decoded.
    pub(crate) async fn convert(&self, log_group: &str, event: Event) -> Vec<Incoming> {
        let Forwarded { report, requests } = self.forward(event).await;
        let undecodable = report.undecodable.iter().map(|ReportedLine { line, .. }| {
            Incoming::Undecodable(format!("{log_group}: {} ({} bytes)", line.reason, line.bytes))
        });
        [Incoming::Requests(requests)].into_iter().chain(undecodable).collect()
    }
}

/// The result of an event.
pub(crate) struct Forwarded {
    pub(crate) report: Report,
    /// The telemetry of the event.
    pub(crate) requests: Vec<Request>,
}

/// Returns the event with which CloudWatch Logs would deliver these log events of a stream.
pub(crate) fn delivery_event(
    account: &str,
    log_group: &str,
    stream_events: &StreamEvents,
) -> serde_json::Result<Event> {
    let StreamEvents { stream, events } = stream_events;
    serde_json::from_value(delivery(account, log_group, stream, "replay", events))
}

/// Options outside of a stack: the forwarder ignores no log group as its own, and lists every undecodable line.
pub(crate) fn options(config: &Config) -> Options {
    let mut options = Options::of(config);
    options.own_log_groups.clear();
    options.max_details = usize::MAX;
    options
}

/// The context of an invocation that begins now.
pub(crate) fn invocation_now() -> InvocationContext {
    invocation_at(console::time_arguments::now_unix_nano())
}

/// A destination that keeps requests in memory.
#[derive(Clone, Default)]
struct KeptRequests {
    requests: Arc<Mutex<Vec<Request>>>,
}

impl KeptRequests {
    fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Export for KeptRequests {
    async fn export(&self, _stream: Option<&str>, request: Request, _: Instant) -> Outcome {
        let outcome = Outcome { accepted: request.items(), ..Outcome::default() };
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        outcome
    }
}

/// Log events of a log group by stream, as a subscription delivers them.
#[derive(Debug, Default)]
pub(crate) struct GatheredEvents {
    streams: BTreeMap<String, Vec<FilteredLogEvent>>,
    bytes: usize,
    newest_ms: i64,
}

impl GatheredEvents {
    pub(crate) fn add(&mut self, event: FilteredLogEvent) {
        self.bytes += event.message.len();
        self.newest_ms = self.newest_ms.max(event.timestamp_ms);
        self.streams.entry(event.log_stream.clone()).or_default().push(event);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    /// Removes the events before this time. Later events stay, because a line that begins there may continue in unread
    /// events.
    pub(crate) fn take_before(&mut self, cut_ms: i64) -> Vec<StreamEvents> {
        let mut taken = Vec::new();
        for (stream, events) in &mut self.streams {
            let mut earlier: Vec<FilteredLogEvent> =
                events.extract_if(.., |event| event.timestamp_ms < cut_ms).collect();
            self.bytes -= earlier.iter().map(|event| event.message.len()).sum::<usize>();
            while !earlier.is_empty() {
                let later = earlier.split_off(earlier.len().min(MAX_EVENTS));
                taken.push(StreamEvents { stream: stream.clone(), events: earlier });
                earlier = later;
            }
        }
        self.streams.retain(|_, events| !events.is_empty());
        taken
    }
}

/// Maximum number of log events that are converted at once: as many as CloudWatch Logs takes in a batch (API Reference,
/// PutLogEvents).
const MAX_EVENTS: usize = 10_000;

/// Log events of one log stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamEvents {
    pub(crate) stream: String,
    pub(crate) events: Vec<FilteredLogEvent>,
}

/// The invocations that began in earlier deliveries of their log streams.
///
/// Each delivery is converted alone, and a line belongs to the invocation whose start precedes it. So the starts of invocations
/// that still run are repeated before later events of their stream.
#[derive(Debug, Default)]
pub(crate) struct RunningInvocations {
    starts: BTreeMap<String, Vec<Start>>,
}

#[derive(Clone, Debug)]
struct Start {
    request_id: String,
    event: FilteredLogEvent,
}

/// Maximum number of invocations that a log stream has at a time.
const MAX_RUNNING: usize = 64;

impl RunningInvocations {
    /// Returns the events of a stream after the starts of its running invocations.
    pub(crate) fn with_starts(&mut self, new: StreamEvents) -> StreamEvents {
        let StreamEvents { stream, events } = new;
        let running = self.starts.entry(stream.clone()).or_default();
        let mut all: Vec<FilteredLogEvent> =
            running.iter().map(|start| start.event.clone()).collect();
        for event in &events {
            update_running(running, event);
        }
        if running.is_empty() {
            self.starts.remove(&stream);
        }
        all.extend(events);
        StreamEvents { stream, events: all }
    }
}

/// Adds the invocation that an event starts, or removes the one that it ends.
fn update_running(running: &mut Vec<Start>, event: &FilteredLogEvent) {
    let Some(PlatformEvent { kind, request_id: Some(request_id), .. }) =
        platform_event(&event.message)
    else {
        return;
    };
    match kind {
        EventKind::Start if running.len() < MAX_RUNNING => {
            running.push(Start { request_id, event: event.clone() });
        }
        EventKind::End | EventKind::Report => {
            running.retain(|start| start.request_id != request_id);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_invocation_begins_each_delivery_of_its_stream() {
        let mut running = RunningInvocations::default();
        let mut deliver = |stream: &str, lines: &[&str]| {
            let event = |line: &&str| FilteredLogEvent {
                message: (*line).to_owned(),
                ..FilteredLogEvent::default()
            };
            let events = lines.iter().map(event).collect();
            let new = StreamEvents { stream: stream.to_owned(), events };
            let with_starts = running.with_starts(new);
            with_starts.events.into_iter().map(|event| event.message).collect::<Vec<_>>()
        };
        let start = "START RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 Version: $LATEST";
        let end = "END RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
        assert_eq!(deliver("a", &[start, "one"]), [start, "one"]);
        assert_eq!(deliver("b", &["other"]), ["other"]);
        assert_eq!(deliver("a", &["two"]), [start, "two"]);
        assert_eq!(deliver("a", &["three", end]), [start, "three", end]);
        assert_eq!(deliver("a", &["four"]), ["four"]);
    }
}
