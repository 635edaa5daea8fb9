//! Common code for tests of event files.

use backend::{Fate, Outcome, Reason};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_otlp_forwarder::{
    Config, Event, Export, Forwarder, Handler, IngestPolicy, InvocationContext, InvocationError,
    Options, Queues, Report, RuleSet, SqsQueue, default_destination, wall_clock_now,
};
use lambda_runtime::{Context, LambdaEvent};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, ResourceMetrics, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use serde_json::json;
use std::collections::HashMap;
use std::fs::read_to_string;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};
use test_support::openobserve::FakeOpenObserve;
use tokio::time::{Instant, sleep, timeout_at};
use wire::{Logs, Metrics, Request, Traces};

pub(crate) fn config() -> Config {
    let mut config =
        Config::from_source(&variables("http://127.0.0.1:9/api/default", &[])).0.unwrap();
    // The samples have different times.
    config.old_records = IngestPolicy::any_time();
    config
}

/// The variables of a forwarder with this endpoint.
pub(crate) fn variables(endpoint: &str, others: &[(&str, &str)]) -> HashMap<String, String> {
    let all = [("LAMBDA_OTLP_ENDPOINT", endpoint)].into_iter().chain(others.iter().copied());
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(crate) fn default_options() -> Options {
    Options::of(&config())
}

pub(crate) fn incoming(payload: &serde_json::Value) -> Event {
    event_of(&payload.to_string())
}

/// The event of a subscription with this text, compressed.
pub(crate) fn event_of(text: &str) -> Event {
    serde_json::from_value(json!({"awslogs": {"data": gzip_base64(text)}})).unwrap()
}

pub(crate) fn gzip_base64(text: &str) -> String {
    STANDARD.encode(wire::gzip::compress(6, text.as_bytes()))
}

/// A Kinesis event with these data.
pub(crate) fn kinesis_event(data: impl IntoIterator<Item = String>) -> Event {
    let record = |(number, data): (usize, String)| {
        json!({"eventSource": "aws:kinesis", "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/logs",
            "kinesis": {"sequenceNumber": number.to_string(), "data": data,
                "approximateArrivalTimestamp": 1_790_000_000.5}})
    };
    let records: Vec<_> = data.into_iter().enumerate().map(record).collect();
    serde_json::from_value(json!({"Records": records})).unwrap()
}

/// An OTLP line with this encoded request.
pub(crate) fn line_of(request: &[u8], signal: &str) -> String {
    json!({
        "__otel_otlp_stdout": "0.1.0",
        "source": "orders",
        "endpoint": format!("http://localhost:4318/v1/{signal}"),
        "method": "POST",
        "content-type": "application/x-protobuf",
        "content-encoding": "gzip",
        "payload": STANDARD.encode(wire::gzip::compress(9, request)),
        "base64": true,
    })
    .to_string()
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The OTLP line of a fixture.
pub(crate) fn line_fixture(name: &str) -> String {
    let line = read_to_string(repository(&format!("tests/fixtures/lines/{name}.jsonl"))).unwrap();
    line.trim_end().to_owned()
}

/// The event of a fixture.
pub(crate) fn fixture(name: &str) -> Event {
    let event = read_to_string(repository(&format!("tests/fixtures/events/{name}.json")));
    serde_json::from_str(&event.unwrap()).unwrap()
}

pub(crate) fn payload(log_group: &str, messages: &[&str]) -> serde_json::Value {
    let events: Vec<_> = messages
        .iter()
        .enumerate()
        .map(|(n, message)| json!({"id": format!("{n:056}"), "timestamp": 1_790_000_000_000_u64 + n as u64, "message": message}))
        .collect();
    json!({"messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": log_group,
        "logStream": "2026/09/21/[$LATEST]abc", "subscriptionFilters": ["f"], "logEvents": events})
}

/// Log records with these texts.
pub(crate) fn logs(texts: impl Iterator<Item = String>) -> Request {
    let record = |severity_text| LogRecord {
        time_unix_nano: 1_790_000_000_000_000_000,
        severity_text,
        ..LogRecord::default()
    };
    Request::of_log_records(None, texts.map(record).collect())
}

/// The texts of [`logs`].
pub(crate) fn texts(request: &Request) -> Vec<String> {
    let telemetry = Telemetry::of(std::slice::from_ref(request));
    telemetry.records().map(|record| record.severity_text.clone()).collect()
}

/// The deployed forwarder, with this backend and additional variables.
pub(crate) fn handler(backend: &FakeOpenObserve, variables: &[(&str, &str)]) -> Handler {
    let mut source = self::variables(backend.base(), variables);
    source.insert("AWS_LAMBDA_FUNCTION_NAME".to_owned(), "forwarder".to_owned());
    Handler::new(Config::from_source(&source).0.unwrap(), wall_clock_now).unwrap()
}

/// Invokes it with these lines at the current time.
pub(crate) async fn invoke(
    handler: &Handler,
    messages: &[&str],
) -> Result<serde_json::Value, InvocationError> {
    let now = wall_clock_now();
    let mut payload = payload("/aws/lambda/orders", messages);
    let now_ms = u64::try_from(now.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    for event in payload["logEvents"].as_array_mut().unwrap() {
        event["timestamp"] = now_ms.into();
    }
    let mut context = Context::default();
    context.deadline = now_ms + 60_000;
    handler.handle(LambdaEvent::new(incoming(&payload), context)).await
}

/// A backend that decides at once about each request.
pub(crate) struct Backend<F>(pub(crate) F);

impl<F: Fn(&Request) -> Outcome + Sync> Export for Backend<F> {
    async fn export(&self, _: Option<&str>, request: Request, _: Instant) -> Outcome {
        (self.0)(&request)
    }
}

/// A backend that takes this time for each request, and accepts it or not. Beyond the deadline it accepts nothing.
pub(crate) struct Slow<F>(pub(crate) F);

/// Longer than any deadline.
pub(crate) const HANGS: (Duration, bool) = (Duration::MAX, false);

impl<F: Fn(&Request) -> (Duration, bool) + Sync> Export for Slow<F> {
    async fn export(&self, _: Option<&str>, request: Request, deadline: Instant) -> Outcome {
        if Instant::now() >= deadline {
            return Outcome::unsent(request, Reason::Deadline, Fate::Park);
        }
        let (time, accepts) = (self.0)(&request);
        let is_late = timeout_at(deadline, sleep(time)).await.is_err();
        if accepts && !is_late { takes(&request) } else { refuses(&request, 503, Fate::Park) }
    }
}

pub(crate) fn takes(request: &Request) -> Outcome {
    let accepted = request.items();
    let bytes_sent = request.bytes().len();
    Outcome { accepted, requests_sent: 1, bytes_sent, ..Outcome::default() }
}

pub(crate) fn refuses(request: &Request, status: u16, fate: Fate) -> Outcome {
    let reason = Reason::Status { status, text: String::new(), hint: "" };
    let bytes_sent = request.bytes().len();
    Outcome { requests_sent: 1, bytes_sent, ..Outcome::unsent(request.clone(), reason, fate) }
}

/// Decoded requests.
#[derive(Default)]
pub(crate) struct Telemetry {
    pub(crate) traces: Vec<ResourceSpans>,
    pub(crate) metrics: Vec<ResourceMetrics>,
    pub(crate) logs: Vec<ResourceLogs>,
}

impl Telemetry {
    pub(crate) fn of(requests: &[Request]) -> Self {
        let mut telemetry = Self::default();
        for request in requests {
            if let Some(request) = request.decode::<Traces>() {
                telemetry.traces.extend(request.unwrap().resource_spans);
            } else if let Some(request) = request.decode::<Metrics>() {
                telemetry.metrics.extend(request.unwrap().resource_metrics);
            } else if let Some(request) = request.decode::<Logs>() {
                telemetry.logs.extend(request.unwrap().resource_logs);
            }
        }
        telemetry
    }

    pub(crate) fn spans(&self) -> impl Iterator<Item = &Span> {
        self.traces.iter().flat_map(|of| &of.scope_spans).flat_map(|scope| &scope.spans)
    }

    pub(crate) fn metrics(&self) -> impl Iterator<Item = &Metric> {
        self.metrics.iter().flat_map(|of| &of.scope_metrics).flat_map(|scope| &scope.metrics)
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &LogRecord> {
        self.logs.iter().flat_map(|of| &of.scope_logs).flat_map(|scope| &scope.log_records)
    }
}

/// An invocation at the time of the samples, with a minute for the backend.
pub(crate) fn invocation() -> InvocationContext {
    let deadline = Instant::now() + Duration::from_mins(1);
    InvocationContext {
        observed_unix_nano: 1_790_000_000_000_000_000,
        deadline,
        queue_deadline: deadline + Duration::from_secs(10),
        account: Some("123456789012".to_owned()),
    }
}

/// A forwarded event, and what arrived at the backend.
pub(crate) struct Delivered {
    pub(crate) report: Report,
    pub(crate) telemetry: Telemetry,
}

impl Deref for Delivered {
    type Target = Telemetry;

    fn deref(&self) -> &Telemetry {
        &self.telemetry
    }
}

/// Forwards lines of the function `orders`, with the default options.
pub(crate) fn deliver(messages: &[&str]) -> Delivered {
    deliver_event(incoming(&payload("/aws/lambda/orders", messages)), default_options())
}

/// Forwards an event without loss.
pub(crate) fn deliver_event(event: Event, options: Options) -> Delivered {
    deliver_within(event, options, IngestPolicy::any_time())
}

/// Forwards an event to a backend with this window, without loss.
pub(crate) fn deliver_within(event: Event, options: Options, policy: IngestPolicy) -> Delivered {
    deliver_by(event, options, policy, RuleSet::default())
}

/// The same by these rules, to the default destination.
pub(crate) fn deliver_by(
    event: Event,
    options: Options,
    policy: IngestPolicy,
    rules: RuleSet,
) -> Delivered {
    let requests = Mutex::new(Vec::new());
    let keeps = Backend(|request: &Request| {
        requests.lock().unwrap().push(request.clone());
        takes(request)
    });
    // The clock stands still, so the times of items are the same in each run.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let report = runtime.block_on(async {
        let config = Config { old_records: policy, ..config() };
        let destination = default_destination(&config, keeps);
        let queues = Queues::<SqsQueue>::default();
        let mut forwarder = Forwarder::new(Vec::new(), queues, options);
        forwarder.set_rules(Arc::new(rules), vec![destination]);
        forwarder.forward(event, &invocation()).await
    });
    assert_eq!(report.ledger().lost(), 0);
    Delivered { report, telemetry: Telemetry::of(&requests.into_inner().unwrap()) }
}

/// The body of a log record, if it is text.
pub(crate) fn body(record: &LogRecord) -> &str {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

/// The value of an attribute, if it is text.
pub(crate) fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// A value as text.
pub(crate) fn value_text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        Some(Value::ArrayValue(list)) => {
            list.values.iter().map(|value| value_text(Some(value))).collect::<Vec<_>>().join(",")
        }
        Some(Value::KvlistValue(map)) => {
            let pair = |it: &KeyValue| format!("{}={}", it.key, value_text(it.value.as_ref()));
            format!("{{{}}}", map.values.iter().map(pair).collect::<Vec<_>>().join(","))
        }
        other => format!("{other:?}"),
    }
}

/// ` key=value` for each attribute.
pub(crate) fn pairs<'a>(attributes: impl IntoIterator<Item = &'a KeyValue>) -> String {
    let pair = |it: &KeyValue| format!(" {}={}", it.key, value_text(it.value.as_ref()));
    attributes.into_iter().map(pair).collect()
}

/// The sum of a metric's values, or the last value of a gauge.
pub(crate) fn sum(metric: &Metric) -> f64 {
    let number = |value: &Option<number_data_point::Value>| match value {
        Some(number_data_point::Value::AsDouble(value)) => *value,
        Some(number_data_point::Value::AsInt(value)) => value.to_string().parse().unwrap(),
        None => f64::NAN,
    };
    match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => sum.data_points.iter().map(|point| number(&point.value)).sum(),
        Data::Gauge(gauge) => {
            gauge.data_points.last().map_or(f64::NAN, |point| number(&point.value))
        }
        Data::Histogram(of) => of.data_points.iter().filter_map(|point| point.sum).sum(),
        other => panic!("{other:?}"),
    }
}
