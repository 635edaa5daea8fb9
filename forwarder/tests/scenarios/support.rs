//! Common code for tests of event files.

use backend::Outcome;
use base64::Engine as _;
use lambda_otlp_forwarder::{
    Config, DryRun, Event, Export, Forwarder, IngestPolicy, InvocationContext, InvocationError,
    NoQueue, Options, Queues, Report, Response, Service, default_destination, wall_clock_now,
};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::json;
use simulator::sink::Sink;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;
use wire::protobuf::{Reader, Writer};
use wire::{Request, SignalKind};

pub(crate) fn config() -> Config {
    let variables = HashMap::from([(
        "LAMBDA_OTLP_ENDPOINT".to_owned(),
        "http://127.0.0.1:9/api/default".to_owned(),
    )]);
    let mut config = Config::from_source(&variables).0.unwrap();
    // The samples have different times.
    config.old_records = IngestPolicy::any_time();
    config
}

pub(crate) fn default_options() -> Options {
    Options::of(&config())
}

pub(crate) fn incoming(payload: &serde_json::Value) -> Event {
    let gzip = wire::gzip::compress(6, payload.to_string().as_bytes());
    let data = base64::engine::general_purpose::STANDARD.encode(gzip);
    serde_json::from_value(json!({"awslogs": {"data": data}})).unwrap()
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

/// Log records with these bodies.
pub(crate) fn logs(bodies: impl Iterator<Item = String>) -> Request {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| {
            for body in bodies {
                scope.message(2, |record| {
                    record.fixed64(1, 1_790_000_000_000_000_000);
                    record.string(3, &body);
                });
            }
        });
    });
    Request::trusted(SignalKind::Logs, bytes)
}

pub(crate) fn bodies(request: &Request) -> Vec<String> {
    let inner = |message: &[u8], number| -> Vec<Vec<u8>> {
        let fields = Reader::new(message).map(|field| field.unwrap());
        let wanted = fields.filter(|field| field.number == number);
        wanted.map(|field| field.as_len().unwrap().to_vec()).collect()
    };
    let containers = inner(request.bytes(), 1);
    let scopes = containers.iter().flat_map(|container| inner(container, 2));
    let records = scopes.flat_map(|scope| inner(&scope, 2));
    let texts = records.flat_map(|record| inner(&record, 3));
    texts.map(|text| String::from_utf8(text).unwrap()).collect()
}

/// The deployed forwarder, with this backend and additional variables.
pub(crate) fn service(sink: &Sink, variables: &[(&str, &str)]) -> Service {
    let own = [("LAMBDA_OTLP_ENDPOINT", sink.base()), ("AWS_LAMBDA_FUNCTION_NAME", "forwarder")];
    let all = own.iter().chain(variables);
    let all: HashMap<String, String> =
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Service::new(Config::from_source(&all).0.unwrap(), wall_clock_now).unwrap()
}

/// Invokes it with these lines at the current time.
pub(crate) async fn invoke(
    service: &Service,
    messages: &[&str],
) -> Result<Response, InvocationError> {
    let now = wall_clock_now();
    let mut payload = payload("/aws/lambda/orders", messages);
    let now_ms = u64::try_from(now.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    for event in payload["logEvents"].as_array_mut().unwrap() {
        event["timestamp"] = now_ms.into();
    }
    let mut context = Context::default();
    context.deadline = now_ms + 60_000;
    service.handle(LambdaEvent::new(incoming(&payload), context)).await
}

pub(crate) fn forward(incoming: Event, options: Options) -> Report {
    forward_to(DryRun, incoming, options)
}

pub(crate) fn forward_to(export: impl Export, incoming: Event, options: Options) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let invocation = InvocationContext {
            observed_unix_nano: 1_790_000_000_000_000_000,
            deadline: Instant::now() + Duration::from_secs(10),
            queue_deadline: Instant::now() + Duration::from_secs(10),
            account: Some("123456789012".to_owned()),
        };
        let destination = default_destination(&config(), export);
        let queues = Queues::<NoQueue>::default();
        Forwarder::new(vec![destination], queues, options).forward(incoming, &invocation).await
    })
}

pub(crate) fn fixture(name: &str) -> Event {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/events")
        .join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn ledger(report: &Report) -> String {
    let ledger = report.ledger();
    let items = ledger.items;
    format!(
        "{} events, {} consumed: {} spans, {} data points, {} log records, {} undecodable",
        ledger.events,
        ledger.consumed.total(),
        items.spans,
        items.data_points,
        items.log_records,
        items.undecodable
    )
}

/// Accepts and keeps everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture(pub(crate) Arc<Mutex<Vec<Request>>>);

impl Export for Capture {
    async fn export(&self, _stream: Option<&str>, request: Request, _: Instant) -> Outcome {
        let accepted = request.items();
        self.0.lock().unwrap().push(request);
        Outcome { accepted, ..Outcome::default() }
    }
}
