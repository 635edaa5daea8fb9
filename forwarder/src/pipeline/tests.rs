use super::*;
use crate::config::Config;
use crate::convert::PANICS;
use crate::delivery::destination::DryRun;
use crate::queues::{Content, Message, QueueError, QueuedTelemetry};
use serde_json::json;
use std::collections::HashMap;

/// A queue that keeps the bodies of its messages.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl Queue for Kept {
    async fn send(&self, messages: Vec<&mut Message>, _: Duration, _: Instant) {
        for message in messages {
            self.0.lock().unwrap().push(message.body.clone());
            message.answer = Some(Ok(()));
        }
    }

    async fn postpone(&self, _: &str, _: Duration, _: Instant) -> Result<(), QueueError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_dead_letters_only_its_own_chunk() {
    let endpoint = ("LAMBDA_OTLP_ENDPOINT".to_owned(), "http://127.0.0.1:9/api/o".to_owned());
    let mut config = Config::from_source(&HashMap::from([endpoint])).0.unwrap();
    config.old_records = crate::delivery::ingest_window::IngestPolicy::any_time();
    let mut options = Options::of(&config);
    // Each log event is a chunk.
    options.source.batch_bytes = 1;
    let dead_letters = Kept::default();
    let queues = Queues { retry: None, dead_letters: Some(dead_letters.clone()) };
    let destination = crate::default_destination(&config, DryRun);
    let forwarder = Forwarder::new(vec![destination], queues, options);

    let log_events = ["one", PANICS, "three"]
        .map(|message| format!(r#"{{"id":"1","timestamp":1,"message":"{message}"}}"#));
    // In CloudWatch's order. With the envelope at the end, everything would be one chunk.
    let delivery = format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[{}]}}"#,
        log_events.join(",")
    );
    let gzip = wire::gzip::compress(6, delivery.as_bytes());
    let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, gzip);
    let event = serde_json::from_value(json!({"awslogs": {"data": data}})).unwrap();
    let invocation = InvocationContext {
        observed_unix_nano: 1_790_000_000_000_000_000,
        deadline: Instant::now() + Duration::from_secs(10),
        queue_deadline: Instant::now() + Duration::from_secs(10),
        account: None,
    };
    let report = forwarder.forward(event, &invocation).await;

    let ledger = report.ledger();
    assert_eq!((report.panics, ledger.events, ledger.lost()), (1, 3, 0));
    assert_eq!((ledger.accepted, ledger.dead_lettered, ledger.returned), (2, 1, 0));
    let bodies = dead_letters.0.lock().unwrap();
    let parked: Vec<_> =
        bodies.iter().map(|body| QueuedTelemetry::from_body(body).unwrap()).collect();
    let [QueuedTelemetry { content: Content::Events(batch), reason, .. }] = parked.as_slice()
    else {
        panic!("{parked:?}");
    };
    assert!(reason.contains("panicked"), "{reason}");
    assert_eq!(batch.origin.log_group, "g");
    let messages: Vec<_> = batch.events.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(messages, [PANICS]);
}
