use super::*;
use crate::config::Config;
use crate::convert::PANICS;
use crate::delivery::destination::DryRun;
use crate::delivery::ingest_window::IngestPolicy;
use base64::Engine as _;
use serde_json::json;
use std::collections::HashMap;

#[tokio::test(start_paused = true)]
async fn a_panic_dead_letters_only_its_own_chunk() {
    let endpoint = ("LAMBDA_OTLP_ENDPOINT".to_owned(), "http://127.0.0.1:9/api/o".to_owned());
    let mut config = Config::from_source(&HashMap::from([endpoint])).0.unwrap();
    config.old_records = IngestPolicy::any_time();
    let mut options = Options::of(&config);
    // Each log event is a chunk.
    options.source.chunk_bytes = 1;
    let destination = crate::default_destination(&config, DryRun);
    let forwarder = Forwarder::new(vec![destination], Queues::<SqsQueue>::default(), options);
    let log_events = ["one", PANICS, "three"]
        .map(|it| format!(r#"{{"id":"1","timestamp":1,"message":"{it}"}}"#));
    // In CloudWatch's order. With the envelope at the end, everything would be one chunk.
    let delivery = format!(
        r#"{{"owner":"1","logGroup":"g","logStream":"s","logEvents":[{}]}}"#,
        log_events.join(",")
    );
    let gzip = wire::gzip::compress(6, delivery.as_bytes());
    let data = base64::engine::general_purpose::STANDARD.encode(gzip);
    let event = serde_json::from_value(json!({"awslogs": {"data": data}})).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let invocation = InvocationContext {
        observed_unix_nano: 1_790_000_000_000_000_000,
        deadline,
        queue_deadline: deadline,
        account: None,
    };
    let report = forwarder.forward(event, &invocation).await;

    let ledger = report.ledger();
    assert_eq!((report.panics, ledger.events, ledger.lost()), (1, 3, 0));
    // Without a dead-letter queue, it is returned.
    assert_eq!((ledger.accepted, ledger.returned), (2, 1));
    let [returned] = report.undelivered.as_slice() else { panic!("{:?}", report.undelivered) };
    assert!(returned.items == 1 && returned.reason.contains("panicked"), "{returned:?}");
}
