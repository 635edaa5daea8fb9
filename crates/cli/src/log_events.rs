//! Converts log events to telemetry like the forwarder.

use crate::forward::invocation_at;
use anyhow::Context as _;
use backend::Outcome;
use forwarder::{
    Config, Event, Export, Forwarder, IngestPolicy, InvocationContext, LogEvent, NoQueue, Options,
    Queues,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use subscriber::{LoggedLine, delivery};
use tokio::time::Instant;
use wire::Request;

/// The forwarder's pipeline with a destination that keeps telemetry in memory.
pub(crate) struct Converter {
    forwarder: Forwarder<Kept, NoQueue>,
    kept: Kept,
}

#[derive(Default)]
pub(crate) struct Converted {
    pub(crate) requests: Vec<Request>,
    /// The errors of OTLP lines that cannot be decoded.
    pub(crate) undecodable: Vec<String>,
}

impl Converter {
    /// Makes a converter for log groups of this region, without rules and adaptations to a backend.
    pub(crate) fn new(region: Option<&str>) -> anyhow::Result<Self> {
        let variables = HashMap::from([
            ("LAMBDA_OTLP_ENDPOINT".to_owned(), "http://127.0.0.1/".to_owned()),
            ("LAMBDA_OTLP_BACKEND".to_owned(), "otlp".to_owned()),
        ]);
        let (config, _) = Config::from_source(&variables);
        let mut config = config.context("the forwarder's settings")?;
        config.old_records = IngestPolicy::any_time();
        config.region = region.map(str::to_owned);
        let kept = Kept::default();
        let destinations = vec![forwarder::default_destination(&config, kept.clone())];
        let forwarder = Forwarder::new(destinations, Queues::default(), options(&config));
        Ok(Self { forwarder, kept })
    }

    pub(crate) async fn convert(&self, events: &StreamOf<'_>) -> anyhow::Result<Converted> {
        let event = events.as_delivered()?;
        let report = self.forwarder.forward(event, &now()).await;
        let undecodable = report.undecodable.iter().map(|(_, line)| {
            format!("{}: {} ({} bytes)", events.log_group, line.reason, line.bytes)
        });
        Ok(Converted { undecodable: undecodable.collect(), requests: self.kept.take() })
    }
}

/// Log events of one stream, in order.
pub(crate) struct StreamOf<'a> {
    pub(crate) account: &'a str,
    pub(crate) log_group: &'a str,
    pub(crate) stream: &'a str,
    pub(crate) events: &'a [LogEvent],
}

impl StreamOf<'_> {
    /// Returns the event by which CloudWatch Logs would deliver these.
    pub(crate) fn as_delivered(&self) -> serde_json::Result<Event> {
        let lines = self.events.iter().map(|event| LoggedLine {
            id: &event.id,
            timestamp_ms: event.timestamp_ms,
            message: &event.message,
        });
        let event = delivery(self.account, self.log_group, self.stream, "replay", lines);
        serde_json::from_value(event)
    }
}

/// Options outside of a stack: the forwarder ignores no log group as its own, and lists every undecodable line.
pub(crate) fn options(config: &Config) -> Options {
    let mut options = Options::of(config);
    options.own_log_groups.clear();
    options.most_details = usize::MAX;
    options
}

pub(crate) fn now() -> InvocationContext {
    invocation_at(console::time_arguments::now_unix_nano())
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Request>>>);

impl Kept {
    fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Export for Kept {
    async fn export(&self, _stream: Option<&str>, request: Request, _: Instant) -> Outcome {
        let outcome = Outcome { accepted: request.items(), ..Outcome::default() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        outcome
    }
}

/// Log events of a log group by stream, as a subscription delivers them.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    streams: BTreeMap<String, Vec<LogEvent>>,
    bytes: usize,
    newest_ms: i64,
}

pub(crate) type StreamEvents = (String, Vec<LogEvent>);

impl Gathered {
    pub(crate) fn add(&mut self, stream: String, event: LogEvent) {
        self.bytes += event.message.len();
        self.newest_ms = self.newest_ms.max(event.timestamp_ms);
        self.streams.entry(stream).or_default().push(event);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Time of the newest event so far.
    pub(crate) fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    /// Removes the events before this time. Later events stay, because a line that begins there may continue in unread
    /// events.
    pub(crate) fn take_before(&mut self, cut_ms: i64) -> Vec<StreamEvents> {
        let mut taken = Vec::new();
        let mut rest = BTreeMap::new();
        for (stream, events) in std::mem::take(&mut self.streams) {
            let (before, after): (Vec<_>, Vec<_>) =
                events.into_iter().partition(|event| event.timestamp_ms < cut_ms);
            self.bytes -= before.iter().map(|event| event.message.len()).sum::<usize>();
            if !after.is_empty() {
                rest.insert(stream.clone(), after);
            }
            if !before.is_empty() {
                taken.push((stream, before));
            }
        }
        self.streams = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::compact::Names;
    use wire::{Envelope, LineEncoder, LineLimits, SignalKind};

    #[tokio::test]
    async fn a_compact_line_decodes_with_the_names_of_its_log_group() {
        let (account, stream) = ("123456789012", "2026/11/22/[$LATEST]abc");
        let mut request = Vec::new();
        wire::protobuf::Writer::new(&mut request).message(1, |container| {
            container.message(2, |scope| {
                scope.message(2, |span| {
                    span.bytes(1, &[1; 16]);
                    span.bytes(2, &[2; 8]);
                    span.string(5, &format!("orders {account} {stream}"));
                });
            });
        });
        let names = Names::of_function("orders", "eu-west-1", "/aws/lambda/orders", stream);
        let mut encoder = LineEncoder::compact(names.with_account(account), LineLimits::default());
        let mut line = Vec::new();
        let request = Request::trusted(SignalKind::Traces, request);
        assert_eq!(encoder.encode(&Envelope::default(), request, &mut line).lines, 1);
        let message = String::from_utf8(line).unwrap();
        let events = [LogEvent { id: "1".to_owned(), timestamp_ms: 1_790_000_000_000, message }];
        let converter = Converter::new(Some("eu-west-1")).unwrap();
        let convert = async |log_group: &str| {
            let events = StreamOf { account, log_group, stream, events: &events };
            let result = converter.convert(&events).await.unwrap();
            let is_traces = |request: &&Request| request.kind() == SignalKind::Traces;
            (result.requests.iter().filter(is_traces).count(), result.undecodable)
        };
        assert_eq!(convert("/aws/lambda/orders").await, (1, Vec::new()));
        let (traces, undecodable) = convert("/aws/lambda/payments").await;
        assert!(traces == 0 && undecodable.len() == 1, "{undecodable:?}");
        let expected =
            "the compact line was written with another function or account or log stream";
        assert!(undecodable.iter().all(|text| text.contains(expected)), "{undecodable:?}");
    }
}
