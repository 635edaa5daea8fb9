//! The ingest window is checked at the time of sending.

use backend::Outcome;
use lambda_otlp_forwarder::{
    Config, Destination, Event, Export, Forwarder, InvocationContext, NoQueue, Options, Queues,
    time_range,
};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use wire::Request;

const NOW_MS: u64 = 1_790_000_000_000;
const WINDOW_MS: u64 = 5 * 3_600_000;

/// A backend that takes nine seconds for each request, and notes by how many milliseconds it was too old.
struct Slow {
    began: Instant,
    too_old_ms: Arc<Mutex<Vec<u64>>>,
}

impl Export for Slow {
    async fn export(&self, _stream: Option<&str>, request: Request, _: Instant) -> Outcome {
        let now_ms = NOW_MS + u64::try_from(self.began.elapsed().as_millis()).unwrap();
        let (oldest, _) = time_range(&request).unwrap();
        let age_ms = now_ms - oldest / 1_000_000;
        self.too_old_ms.lock().unwrap().push(age_ms.saturating_sub(WINDOW_MS));
        sleep(Duration::from_secs(9)).await;
        Outcome { accepted: request.items(), ..Outcome::default() }
    }
}

/// A line in a separate Kinesis record, this old at the start of the invocation.
fn record(number: u64, age_ms: u64) -> serde_json::Value {
    json!({
        "kinesis": {"sequenceNumber": number.to_string(), "data": "bGluZQ==",
            "approximateArrivalTimestamp": (NOW_MS - age_ms) / 1000},
        "eventSource": "aws:kinesis",
        "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/logs",
    })
}

#[tokio::test(start_paused = true)]
async fn records_expiring_during_an_invocation_are_not_sent() {
    let endpoint = ("LAMBDA_OTLP_ENDPOINT".to_owned(), "http://127.0.0.1:9/api/o".to_owned());
    let config = Config::from_source(&HashMap::from([endpoint])).0.unwrap();
    let began = Instant::now();
    let too_old_ms = Arc::default();
    let slow = Slow { began, too_old_ms: Arc::clone(&too_old_ms) };
    let destination = Destination::new("default", slow, &config.destination, config.old_records);
    let mut options = Options::of(&config);
    // Each record is delivered before the next one is read.
    options.enough_to_deliver = 1;
    let queues = Queues::<NoQueue>::default();
    let forwarder = Forwarder::new(vec![Arc::new(destination)], queues, options);
    let invocation = InvocationContext {
        observed_unix_nano: NOW_MS * 1_000_000,
        deadline: began + Duration::from_secs(100),
        queue_deadline: began + Duration::from_secs(110),
        account: None,
    };
    // The last record is sent after 18 seconds, one second after it left the window.
    let records = [record(1, 0), record(2, 0), record(3, WINDOW_MS - 17_000)];
    let event: Event = serde_json::from_value(json!({"Records": records})).unwrap();
    let report = forwarder.forward(event, &invocation).await;
    assert_eq!(*too_old_ms.lock().unwrap(), [0, 0], "nothing was sent that OpenObserve discards");
    assert_eq!((report.ledger().accepted, report.ledger().returned), (2, 1));
}
