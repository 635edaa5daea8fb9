//! Promise 2: with every sequence of faults, each item is in the backend or in the account of undelivered items. Duplicates come
//! only from requests without a complete answer.

use lambda_otlp_forwarder::{
    Config, Event, Forwarder, IngestPolicy, InvocationContext, NoQueue, Options, Queues, Report,
    default_destination,
};
use simulator::sink::{Faults, ScriptedResponse, Sink};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

fn event(name: &str) -> Event {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/events")
        .join(format!("awslogs-{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// All faults, except those of OpenObserve's logs endpoint.
fn faults() -> Vec<ScriptedResponse> {
    let mut faults = Faults::transient();
    faults.extend(Faults::lasting());
    faults.extend([
        ScriptedResponse::Status(400),
        ScriptedResponse::TooLarge,
        ScriptedResponse::PartialSuccess(3),
        ScriptedResponse::Huge { status: 200, bytes: 100_000 },
    ]);
    faults
}

async fn forward(name: &str, sink: &Sink) -> Report {
    // A small limit divides an event into many requests. A Retry-After of a second is beyond the deadline.
    forward_event(event(name), sink, "8KiB", Duration::from_millis(900)).await
}

async fn forward_event(
    event: Event,
    sink: &Sink,
    max_request_bytes: &str,
    time: Duration,
) -> Report {
    let variables = HashMap::from([
        ("LAMBDA_OTLP_ENDPOINT".to_owned(), sink.base().to_owned()),
        ("LAMBDA_OTLP_MAX_REQUEST_BYTES".to_owned(), max_request_bytes.to_owned()),
    ]);
    let mut config = Config::from_source(&variables).0.unwrap();
    config.old_records = IngestPolicy::any_time();
    let policy = backend::RetryPolicy::new(
        2,
        Duration::from_millis(1),
        Duration::from_millis(2),
        Duration::from_secs(5),
    );
    let client =
        backend::Client::new(&config.destination).unwrap().with_retry_policy(policy.unwrap());
    let invocation = InvocationContext {
        observed_unix_nano: 1_790_000_000_000_000_000,
        deadline: Instant::now() + time,
        queue_deadline: Instant::now() + time,
        account: None,
    };
    let destination = default_destination(&config, client);
    let queues = Queues::<NoQueue>::default();
    Forwarder::new(vec![destination], queues, Options::of(&config))
        .forward(event, &invocation)
        .await
}

/// Number of copies of each item, and number of copies from requests without a complete answer.
fn stored(sink: &Sink) -> BTreeMap<String, (usize, usize)> {
    let requests = sink.requests();
    let mut stored: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut add = |mark: String, request: usize| {
        let times = stored.entry(mark).or_default();
        times.0 += 1;
        times.1 += usize::from(!requests[request].answered_whole);
    };
    for span in sink.spans() {
        add(format!("span {:?} {:?}", span.item.trace_id, span.item.span_id), span.request);
    }
    for record in sink.log_records() {
        let uid = record.item.attributes.iter().find(|attribute| attribute.key == "log.record.uid");
        add(format!("log record {:?}", uid.unwrap().value), record.request);
    }
    stored
}

#[tokio::test]
async fn items_are_accounted_for_under_random_faults() {
    for (name, seeds) in [("text-mixed", 0..60), ("otlp-only", 60..80)] {
        for seed in seeds {
            let sink = Sink::builder().no_window().start().await.unwrap();
            sink.inject(Faults::seeded(seed, 0.5).among(faults()));
            let report = forward(name, &sink).await;
            let ledger = report.account.total;
            assert_eq!(ledger.lost(), 0, "{name}, seed {seed}: {ledger:?}");
            let counted = ledger.accepted + ledger.returned + ledger.dropped + ledger.dead_lettered;
            assert_eq!(counted, ledger.items.total(), "{name}, seed {seed}: {ledger:?}");

            let stored = stored(&sink);
            let marked = ledger.items.spans + ledger.items.log_records;
            let missing = marked - stored.len();
            assert!(
                missing <= ledger.returned + ledger.dropped,
                "{name}, seed {seed}: {missing} are in no account: {ledger:?}"
            );
            for (mark, (times, unanswered)) in &stored {
                // One copy may have been answered; all others were not.
                assert!(
                    times - unanswered <= 1,
                    "{name}, seed {seed}: {mark} is stored {times} times"
                );
            }
            let repeated: usize = stored.values().map(|(times, _)| times - 1).sum();
            assert!(
                repeated <= ledger.ambiguous,
                "{name}, seed {seed}: {repeated} repeated: {ledger:?}"
            );
        }
    }
}

/// An event with this number of JSON log lines, each with its own keys.
fn event_of_many_keys(lines: usize, keys: usize) -> Event {
    use base64::Engine as _;
    let events: Vec<_> = (0..lines)
        .map(|line| {
            let object: serde_json::Map<_, _> =
                (0..keys).map(|key| (format!("key_{line}_{key}"), key.into())).collect();
            let message = serde_json::Value::from(object).to_string();
            serde_json::json!({"id": format!("{line:056}"), "timestamp": 1_790_000_000_000_u64, "message": message})
        })
        .collect();
    let delivery = serde_json::json!({"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "/aws/lambda/keys",
        "logStream": "2026/09/21/[$LATEST]abc", "subscriptionFilters": [], "logEvents": events});
    let gzip = wire::gzip::compress(6, delivery.to_string().as_bytes());
    let data = base64::engine::general_purpose::STANDARD.encode(gzip);
    serde_json::from_value(serde_json::json!({"awslogs": {"data": data}})).unwrap()
}

#[tokio::test]
async fn lines_with_many_keys_are_stored_without_a_rejection() {
    let sink = Sink::builder().no_window().start().await.unwrap();
    let report =
        forward_event(event_of_many_keys(300, 30), &sink, "4MiB", Duration::from_mins(1)).await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(sink.counts().log_records, 300);
    assert!(sink.requests().iter().all(|request| request.stored > 0), "none was refused first");
}

#[tokio::test]
async fn returned_items_are_delivered_by_the_next_attempt() {
    let sink = Sink::builder().no_window().start().await.unwrap();
    sink.script([
        ScriptedResponse::Status(401),
        ScriptedResponse::Status(401),
        ScriptedResponse::Status(401),
    ]);
    let first = forward("text-mixed", &sink).await;
    assert!(!first.is_complete());
    let second = forward("text-mixed", &sink).await;
    assert!(second.is_complete(), "{second:?}");
    assert!(stored(&sink).len() == 38, "30 spans and 8 log records");
}
