//! Extension and forwarder together, as processes, beside a function without an SDK. The demo's tests have functions with one.

use lambda_otlp_tests::forwarded;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use test_support::openobserve::StoredMetric;

const AMPLE: Duration = Duration::from_mins(1);

fn attribute(attributes: &[KeyValue], key: &str) -> Option<Value> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    let value = serde_json::to_value(&found.value).unwrap();
    Some(value.as_object().unwrap().values().next().unwrap().clone())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// How many points of this metric there are: for a histogram its counts, for a sum its values.
fn points(metrics: &[StoredMetric], name: &str) -> f64 {
    let of_name = metrics.iter().filter(|metric| metric.item.name == name);
    let data = of_name.map(|metric| serde_json::to_value(&metric.item).unwrap());
    let points = data.flat_map(|metric| {
        let kind = ["sum", "histogram", "gauge"].into_iter().find(|kind| metric[kind].is_object());
        metric[kind.unwrap()]["dataPoints"].as_array().unwrap().clone()
    });
    let number = |value: &Value| text(value).parse::<f64>().ok();
    points.map(|point| number(&point["count"]).or(number(&point["asInt"])).unwrap_or(1.0)).sum()
}

/// A shell script has no SDK: the layer alone makes spans and metrics, and printed lines become log records.
#[tokio::test]
async fn a_custom_runtime_without_an_sdk_has_all_signals() {
    let bootstrap = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/custom-runtime/bootstrap");
    let directory = tempfile::tempdir().unwrap();
    let events = ["a book", "a sold out book"];
    let (fake, invocations) = forwarded(directory.path(), bootstrap, AMPLE, &events).await;
    let request_ids: Vec<String> =
        invocations.into_iter().map(|invocation| invocation.request_id).collect();

    let spans = fake.spans();
    let server_spans = spans.iter().filter(|span| span.item.kind == SpanKind::Server as i32);
    let served = server_spans.map(|span| {
        assert_eq!(span.item.name, "orders");
        let has_failed = span.item.status.as_ref().is_some_and(|status| status.code == 2);
        (text(&attribute(&span.item.attributes, "faas.invocation_id").unwrap()), has_failed)
    });
    let expected = request_ids.iter().cloned().zip([false, true]);
    assert_eq!(served.collect::<BTreeMap<_, _>>(), expected.collect::<BTreeMap<_, _>>());

    let metrics = fake.metrics();
    for (name, expected) in [
        ("aws.lambda.invocations", 2.0),
        ("faas.invoke_duration", 2.0),
        ("aws.lambda.response_latency", 2.0),
        ("faas.coldstarts", 1.0),
    ] {
        assert!(
            (points(&metrics, name) - expected).abs() < 0.1,
            "{name}: {}",
            points(&metrics, name)
        );
    }
    let records = fake.log_records();
    for (body, request_id) in
        ["a parcel is packed", "no parcel is left"].into_iter().zip(&request_ids)
    {
        let is_it = |own: &serde_json::Value| own["body"]["stringValue"] == body;
        let record =
            records.iter().filter(|record| is_it(&serde_json::to_value(&record.item).unwrap()));
        let ids = record
            .map(|record| text(&attribute(&record.item.attributes, "faas.invocation_id").unwrap()));
        assert_eq!(ids.collect::<Vec<_>>(), [request_id.as_str()], "{body}: {records:?}");
    }
}
