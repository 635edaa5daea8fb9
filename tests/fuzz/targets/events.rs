//! Events, log lines and rules of the forwarder. Every event goes through the whole forwarder: its items balance, no chunk
//! panics, each request is valid, and each message can be read.

use super::fields;
use backend::Outcome;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forwarder::{
    Config, Event, Export, Forwarder, InvocationContext, MAX_MESSAGE_BYTES, Message, Options,
    Origin, Queue, QueueError, QueuedTelemetry, Queues, Report, RuleSet, default_destination,
};
use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::time::Instant;
use wire::{Limits, Logs, Metrics, Request, Signal, SignalKind, Traces, gzip};

/// A backend that accepts valid requests.
struct Valid;

impl Export for Valid {
    async fn export(&self, _: Option<&str>, request: Request, _: Instant) -> Outcome {
        check(&request);
        Outcome { accepted: request.items(), ..Outcome::default() }
    }
}

/// A request is valid for OpenTelemetry's reader.
pub fn check(request: &Request) {
    fn decodes<S: Signal>(request: &Request) -> bool {
        request.decode::<S>().is_some_and(|decoded| decoded.is_ok())
    }
    let is_decoded = match request.kind() {
        SignalKind::Traces => decodes::<Traces>(request),
        SignalKind::Metrics => decodes::<Metrics>(request),
        SignalKind::Logs => decodes::<Logs>(request),
    };
    assert!(is_decoded, "a {} request is invalid", request.kind());
}

/// A queue that takes readable messages.
struct Readable;

impl Queue for Readable {
    async fn send(&self, messages: Vec<&mut Message>, _: Duration, _: Instant) {
        for message in messages {
            let parked = QueuedTelemetry::from_body(&message.body).expect("a message of ours");
            assert_eq!(parked.items, message.items);
            assert!(message.body.len() <= MAX_MESSAGE_BYTES);
            message.answer = Some(Ok(()));
        }
    }

    async fn postpone(&self, _: &str, _: Duration, _: Instant) -> Result<(), QueueError> {
        Ok(())
    }
}

fn forward(event: &Value) {
    forward_by(event, None);
}

/// Forwards an event with these rules.
fn forward_by(event: &Value, rules: Option<Arc<RuleSet>>) {
    let Ok(event) = serde_json::from_value::<Event>(event.clone()) else { return };
    let endpoint = ("LAMBDA_OTLP_ENDPOINT".to_owned(), "http://127.0.0.1:9/api/o".to_owned());
    let config = Config::from_source(&HashMap::from([endpoint])).0.expect("the settings are valid");
    let queues = Queues { retry: Some(Readable), dead_letters: Some(Readable) };
    let destination = default_destination(&config, Valid);
    let destinations = vec![Arc::clone(&destination)];
    let mut forwarder = Forwarder::new(destinations, queues, Options::of(&config));
    if let Some(rules) = rules {
        forwarder.set_rules(rules, vec![destination]);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let deadline = Instant::now() + Duration::from_mins(1);
        let invocation = InvocationContext {
            observed_unix_nano: 1_790_000_000_000_000_000,
            deadline,
            queue_deadline: deadline,
            account: None,
        };
        let report = forwarder.forward(event, &invocation).await;
        assert_eq!(report.panics, 0, "a chunk panicked");
        assert!(report.ledgers.balances(), "{:?}", report.ledgers);
    });
}

fn in_base64(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// Gzip as it is, and other data as gzip.
fn zipped(data: &[u8]) -> String {
    if gzip::is_gzip(data) { in_base64(data) } else { in_base64(&gzip::compress(1, data)) }
}

/// The delivery of a subscription, or an event of another kind.
pub fn awslogs(data: &[u8]) {
    forward(&json!({"awslogs": {"data": zipped(data)}}));
    if let Ok(event) = serde_json::from_slice(data) {
        forward(&event);
    }
}

/// One log event of this log group.
pub fn log_event(log_group: &str, message: &str) {
    forward(&delivery_of(log_group, message));
}

/// A log event of a function, whose record is redacted with all presets.
pub fn redacted(message: &str) {
    static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
        let text = "[[rule]]\nname = \"all\"\nredact = [\"email\", \"ip\", \"card\", \"aws_keys\", \"bearer\", \"jwt\"]\n";
        Arc::new(RuleSet::parse(text).expect("the rules are valid"))
    });
    forward_by(&delivery_of("/aws/lambda/orders", message), Some(Arc::clone(&RULES)));
}

fn delivery_of(log_group: &str, message: &str) -> Value {
    let delivery = json!({"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": log_group,
        "logStream": "2026/09/21/[$LATEST]abc",
        "logEvents": [{"id": "1", "timestamp": 1_790_000_000_000_u64, "message": message}]});
    json!({"awslogs": {"data": zipped(delivery.to_string().as_bytes())}})
}

/// Log events of one stream, one a line.
pub fn lines(data: &[u8]) {
    let ([log_group], bytes) = fields(data);
    let text = String::from_utf8_lossy(bytes);
    let log_event = |(number, line): (usize, &str)| json!({"id": number.to_string(), "timestamp": 1_790_000_000_000_u64, "message": line});
    let log_events: Vec<Value> = text.split('\n').enumerate().map(log_event).collect();
    let delivery = json!({"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": log_group,
        "logStream": "2026/09/21/[$LATEST]abc", "logEvents": log_events});
    let data = zipped(delivery.to_string().as_bytes());
    forward(&json!({"awslogs": {"data": data}}));
}

/// The data of a Kinesis record, with the checksum of one that the Kinesis Producer Library aggregated.
pub fn kinesis(data: &[u8]) {
    const MAGIC: &[u8] = &[0xf3, 0x89, 0x9a, 0xc2];
    let data = match data.strip_prefix(MAGIC) {
        Some(content) => [MAGIC, content, Md5::digest(content).as_slice()].concat(),
        None => data.to_vec(),
    };
    forward(&json!({"Records": [{
        "eventSource": "aws:kinesis", "awsRegion": "eu-west-1",
        "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/logs",
        "kinesis": {"sequenceNumber": "1", "data": in_base64(&data), "approximateArrivalTimestamp": 1_790_000_000.5},
    }]}));
}

/// The body of a message: any text, or the fields of a queued one and the content of its `body`.
pub fn sqs(data: &[u8]) {
    let ([message], content) = fields(data);
    let mut body = message.to_owned();
    if let Ok(Value::Object(mut message)) = serde_json::from_str(message) {
        message.insert("body".to_owned(), zipped(content).into());
        body = Value::Object(message).to_string();
    }
    forward(&json!({"Records": [{
        "messageId": "m", "receiptHandle": "r", "body": body, "eventSource": "aws:sqs",
        "attributes": {"ApproximateReceiveCount": "2", "ApproximateFirstReceiveTimestamp": "1790000000000"},
    }]}));
}

/// A rules file, applied to a line as text.
pub fn rules(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let rules = match RuleSet::parse(&text) {
        Ok(rules) => rules,
        Err(mistakes) => {
            let lines = text.lines().count() + 1;
            assert!(mistakes.iter().len() > 0);
            assert!(
                mistakes.iter().all(|mistake| (1..=lines).contains(&mistake.line)),
                "{mistakes}"
            );
            return;
        }
    };
    let origin = Origin::new("123456789012", "eu-west-1", "/aws/lambda/orders", "s");
    drop((rules.service_name(&origin), rules.routes(&origin)));
    let samples = [
        (SignalKind::Logs, include_str!("../../fixtures/otlp/logs.json")),
        (SignalKind::Traces, include_str!("../../fixtures/otlp/traces.json")),
        (SignalKind::Metrics, include_str!("../../fixtures/otlp/metrics.json")),
    ];
    let read = |(kind, json): (SignalKind, &str)| {
        Request::from_json(kind, json.as_bytes(), &Limits::default()).expect("a valid sample")
    };
    let requests: Vec<Request> = samples.into_iter().map(read).collect();
    let items: usize = requests.iter().map(Request::items).sum();
    let mut report = Report::default();
    let remaining = rules.apply(&origin, requests, None, &mut report);
    let left: usize = remaining.iter().map(Request::items).sum();
    assert_eq!(left + report.dropped_by_rules(), items);
    remaining.iter().for_each(check);
}
