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

/// The columns of the stored rows, in order, whose names contain `of`: `took="12" took_number=12.0`.
fn columns(backend: &FakeOpenObserve, of: &str) -> String {
    let rows = backend.log_rows("default").unwrap_or_else(|hidden| panic!("{hidden}"));
    let found = rows.iter().flatten().filter(|(column, _)| column.contains(of));
    found.map(|(column, value)| format!("{column}={value}")).collect::<Vec<_>>().join(" ")
}

/// A forwarder with a client of its own for the stream `default`.
fn environment(backend: &FakeOpenObserve) -> Stack<Client> {
    let base = Url::parse(backend.base()).unwrap();
    let config = DestinationConfig::new(&base);
    let client = Client::new(&config).unwrap();
    let destination = Destination::new("default", client, &config, IngestPolicy::any_time());
    Stack::with(vec![destination], default_options())
}

#[tokio::test]
async fn the_name_of_a_log_column_decides_its_type() {
    for (lines, expected) in [
        (&[r#"{"took":"3 s"}"#][..], r#"took="3 s""#),
        (&[r#"{"took":12}"#], r#"took="12" took_number=12.0"#),
        (&[r#"{"took":1.5}"#], r#"took="1.5" took_number=1.5"#),
        (&[r#"{"took":true}"#], r#"took="true""#),
        (&[r#"{"took":[1,"a"]}"#], r#"took="[1,\"a\"]""#),
        (&[r#"{"took":null}"#, r#"{"took":[]}"#], ""),
        // Each value is found, in any order.
        (
            &[r#"{"took":12}"#, r#"{"took":"3 s"}"#, r#"{"took":1.5}"#, r#"{"took":false}"#],
            r#"took="12" took_number=12.0 took="3 s" took="1.5" took_number=1.5 took="false""#,
        ),
        // The text has all digits.
        (
            &[r#"{"took":9007199254740993}"#],
            r#"took="9007199254740993" took_number=9007199254740992.0"#,
        ),
        (&[r#"{"took":1e300}"#], r#"took="1e300" took_number=1e+300"#),
        // Entries of maps are columns down to the third level.
        (
            &[r#"{"took":{"ms":5,"of":{"db":6,"all":{"x":7}}}}"#],
            r#"took_ms="5" took_ms_number=5.0 took_of_all="{\"x\":7}" took_of_db="6" took_of_db_number=6.0"#,
        ),
        // Numbers stay under a name that ends so, and other values go to a column of texts.
        (
            &[r#"{"took_number":7}"#, r#"{"took_number":"A-7"}"#, r#"{"took.Number":true}"#],
            r#"took_number=7.0 took_number_text="A-7" took_number_text="true""#,
        ),
        (
            &[r#"{"took":{"number":9007199254740993}}"#],
            r#"took_number=9007199254740992.0 took_number_text="9007199254740993""#,
        ),
        // A column of the record's own is not replaced.
        (&[r#"{"took":5,"took_number":7}"#], r#"took="5" took_number=7.0"#),
        (&[r#"{"took":{"number":7},"TOOK":5}"#], r#"took="5" took_number=7.0"#),
    ] {
        let backend = FakeOpenObserve::builder().no_window().start().await.unwrap();
        let stack = environment(&backend);
        let report = stack.forward(incoming(&payload("/aws/lambda/orders", lines))).await;
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(columns(&backend, "took"), expected, "{lines:?}");
    }
}

#[tokio::test]
async fn six_environments_with_other_types_hide_no_row() {
    let backend = FakeOpenObserve::builder().no_window().start().await.unwrap();
    let values = ["12", "1.5", "\"3 s\"", "true", "9007199254740993", "{\"ms\":1}", "[1]"];
    let environments: Vec<_> = (0..6).map(|_| environment(&backend)).collect();
    for (number, value) in values.iter().cycle().take(60).enumerate() {
        // Later requests have older records.
        let time = 1_790_000_000_000_u64 - number as u64 * 60_000;
        let line = format!(r#"{{"time":{time},"key{}":{value}}}"#, number % 3);
        let lines = [line.as_str(), r#"{"without":"a key"}"#];
        let event = incoming(&payload("/aws/lambda/orders", &lines));
        let report = environments[number % 6].forward(event).await;
        assert!(report.is_complete(), "{report:?}");
    }
    assert_eq!(backend.log_rows("default").unwrap_or_else(|error| panic!("{error}")).len(), 120);
}

/// A message of a version that sent numbers under their own names.
#[tokio::test(start_paused = true)]
async fn a_queued_request_of_an_earlier_version_gets_the_same_columns() {
    let backend = FakeOpenObserve::builder().no_window().start().await.unwrap();
    let stack = environment(&backend);
    for took in [json_number(12), json_number(13)] {
        stack.park(parked("default", Content::Request(took), 1));
        let report = stack.redrive().await;
        assert!(report.is_complete(), "{report:?}");
    }
    let expected = r#"took="12" took_number=12.0 took="13" took_number=13.0"#;
    assert_eq!(columns(&backend, "took"), expected);
}

fn json_number(number: i64) -> Request {
    let json = serde_json::json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "orders"}}]},
        "scopeLogs": [{"logRecords": [{
            "timeUnixNano": NOW.to_string(), "severityText": "INFO", "severityNumber": 9,
            "attributes": [{"key": "took", "value": {"intValue": number}}],
        }]}],
    }]});
    Request::from_json(SignalKind::Logs, json.to_string().as_bytes(), &wire::Limits::default())
        .unwrap()
}
