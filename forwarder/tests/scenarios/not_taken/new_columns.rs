//! Requests that add columns to OpenObserve's streams. OpenObserve 0.92 loses the columns that concurrent requests add.

use super::*;
use test_support::openobserve::{FakeOpenObserve, ScriptedResponse, Signal};

const REPORT: &str = "REPORT RequestId: 6f1a1c3b-1f5b-4d68-9a70-9a0d5f3f1a11\tDuration: 12.00 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB\n";

/// A backend that takes its time, so that requests in flight at the same time overlap.
async fn slow_backend() -> FakeOpenObserve {
    let backend = FakeOpenObserve::builder().no_window().racing_schemas().start().await.unwrap();
    let slow = ScriptedResponse::Delayed(Duration::from_millis(20), Box::new(ScriptedResponse::Ok));
    backend.script(vec![slow; 5_000]);
    backend
}

/// A destination for this organization, with this stream template.
fn organization(
    backend: &FakeOpenObserve,
    name: &str,
    number: usize,
    stream: &str,
) -> Destination<Client> {
    let base = Url::parse(&format!("{}/api/o{number}", backend.url())).unwrap();
    let config = DestinationConfig::new(&base);
    let client = Client::new(&config).unwrap();
    Destination::new(name, client, &config, IngestPolicy::any_time())
        .with_stream(Some(Template::parse(stream).unwrap()))
}

/// Checks that no attribute is lost and no data point is stored twice.
#[track_caller]
fn check(backend: &FakeOpenObserve) {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for metric in backend.metrics() {
        let what = (&metric.organization, &metric.resource.attributes, &metric.item);
        *times.entry(format!("{what:?}")).or_default() += 1;
    }
    let repeated = times.values().filter(|times| **times > 1).count();
    assert_eq!((repeated, backend.lost_columns()), (0, 0), "repeated points, lost columns");
}

#[tokio::test]
async fn destinations_sharing_a_stream_are_served_sequentially() {
    let backend = slow_backend().await;
    let rules = r#"
        [destination.other]
        endpoint = "http://127.0.0.1:9/other"
        [[route]]
        log_group = "*stock"
        to = ["other"]
        "#;
    for number in 0..20 {
        // OpenObserve stores both streams as `all_functions`.
        let destinations = [("default", "all_functions"), ("other", "All.Functions")]
            .map(|(name, stream)| Arc::new(organization(&backend, name, number, stream)));
        let mut stack = Stack::with(Vec::new(), default_options());
        stack.forwarder.set_rules(Arc::new(RuleSet::parse(rules).unwrap()), destinations.into());
        let spans = deliveries::span_line();
        let lines = [REPORT, &spans];
        let report = stack.forward(kinesis(&["orders", "stock"], &lines)).await;
        assert_eq!(report.ledger().accepted, report.ledger().items.total(), "{report:?}");
    }
    check(&backend);
    let counts =
        backend.requests().iter().filter(|request| request.signal == Some(Signal::Traces)).count();
    assert_eq!(counts, 40);
}

#[tokio::test]
async fn lines_with_many_keys_are_stored_without_a_rejection() {
    let backend = FakeOpenObserve::builder().no_window().start().await.unwrap();
    let stack = Stack::with(vec![organization(&backend, "default", 0, "keys")], default_options());
    let line = |line: usize| {
        let keys = (0..30).map(|key| (format!("key_{line}_{key}"), key.into()));
        serde_json::Value::Object(keys.collect()).to_string()
    };
    let lines: Vec<String> = (0..300).map(line).collect();
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    let report = stack.forward(incoming(&payload("/aws/lambda/keys", &texts))).await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(backend.counts().log_records, 300);
    assert!(backend.requests().iter().all(|request| request.stored > 0), "none was refused first");
}
