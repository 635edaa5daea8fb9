use super::*;
use crate::config::Config;
use crate::convert::PANICS;
use crate::destination::DryRun;
use crate::parking::{Content, Message, Parked, QueueError};
use serde_json::json;
use std::collections::HashMap;
use wire::{Limits, SignalKind};

/// A queue that keeps the bodies of its messages.
#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

impl Queue for Kept {
    async fn send(
        &self,
        messages: Vec<Message>,
        _: Duration,
        _: Instant,
    ) -> Vec<Result<(), QueueError>> {
        let results = messages.iter().map(|_| Ok(())).collect();
        self.0.lock().unwrap().extend(messages.into_iter().map(|message| message.body));
        results
    }

    async fn postpone(&self, _: &str, _: Duration, _: Instant) -> Result<(), QueueError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_dead_letters_only_its_own_chunk() {
    let endpoint = ("LAMBDA_OTLP_ENDPOINT".to_owned(), "http://127.0.0.1:9/api/o".to_owned());
    let mut config = Config::from_source(&HashMap::from([endpoint])).0.unwrap();
    config.old_records = crate::destination::ingest_window::IngestPolicy::any_time();
    let mut options = Options::of(&config);
    // Each log event is a chunk.
    options.source.chunk_bytes = 1;
    let dead_letters = Arc::new(Kept::default());
    let queues = Queues { retry: None, dead_letters: Some(Arc::clone(&dead_letters)) };
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
    let parked: Vec<_> = bodies.iter().map(|body| Parked::from_body(body).unwrap()).collect();
    let [Parked { content: Content::Events(batch), reason, .. }] = parked.as_slice() else {
        panic!("{parked:?}");
    };
    assert!(reason.contains("panicked"), "{reason}");
    assert_eq!(batch.origin.log_group, "g");
    let messages: Vec<_> = batch.events.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(messages, [PANICS]);
}

#[tokio::test]
async fn a_completed_span_replaces_its_partial_span_in_a_delivery() {
    let endpoint = ("LAMBDA_OTLP_ENDPOINT".to_owned(), "http://127.0.0.1:9/api/o".to_owned());
    let mut config = Config::from_source(&HashMap::from([endpoint])).0.unwrap();
    config.old_records = crate::destination::ingest_window::IngestPolicy::any_time();
    let destination = crate::default_destination(&config, DryRun);
    let forwarder = Forwarder::new(
        vec![destination],
        Queues { retry: None, dead_letters: None::<Arc<Kept>> },
        Options::of(&config),
    );
    // A line with spans of these ids.
    let line = |ids: &[u8], partial: bool| {
        let mut request = Vec::new();
        wire::protobuf::Writer::new(&mut request).message(1, |resource| {
            resource.message(2, |scope| {
                for id in ids {
                    scope.message(2, |span| {
                        span.bytes(1, &[1; 16]);
                        span.bytes(2, &[*id; 8]);
                        span.fixed64(7, 1_790_000_000_000_000_000);
                    });
                }
            });
        });
        let request = wire::Request::check(SignalKind::Traces, request, &Limits::default());
        let envelope = wire::Envelope { source: "orders", partial, ..wire::Envelope::default() };
        let mut line = Vec::new();
        let written = wire::LineEncoder::new(6, wire::LineLimits::default()).encode(
            &envelope,
            request.unwrap(),
            &mut line,
        );
        assert_eq!(written.lines, 1);
        String::from_utf8(line).unwrap()
    };
    let check = async |lines: &[String], sent: usize, superseded: usize| {
        let log_events: Vec<_> = lines
            .iter()
            .map(|line| json!({"id": "1", "timestamp": 1_790_000_000_000_u64, "message": line}))
            .collect();
        let delivery = json!({"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "g",
            "logStream": "s", "logEvents": log_events});
        let gzip = wire::gzip::compress(6, delivery.to_string().as_bytes());
        let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, gzip);
        let event = serde_json::from_value(json!({"awslogs": {"data": data}})).unwrap();
        let invocation = InvocationContext {
            observed_unix_nano: 1_790_000_000_000_000_000,
            deadline: Instant::now() + Duration::from_mins(1),
            queue_deadline: Instant::now() + Duration::from_mins(1),
            account: None,
        };
        let report = forwarder.forward(event, &invocation).await;
        let ledger = report.ledger();
        assert_eq!(
            (ledger.accepted, ledger.superseded, ledger.items.spans, ledger.lost()),
            (sent, superseded, sent + superseded, 0)
        );
        assert!(report.account.balances() && report.is_complete());
    };
    // No final version.
    check(&[line(&[1, 2], true)], 2, 0).await;
    // The handler ended after all: final versions of both, or of the second.
    check(&[line(&[1, 2], true), line(&[2], false), line(&[1], false)], 2, 2).await;
    check(&[line(&[1, 2], true), line(&[3, 2], false)], 3, 1).await;
    check(&[line(&[2], false), line(&[1, 2], true)], 2, 1).await;
    // Completed spans stay, even as duplicates.
    check(&[line(&[2], false), line(&[2], false)], 2, 0).await;
}
