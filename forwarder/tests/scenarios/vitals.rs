//! The forwarder's own metrics as OTLP, which never affect delivery.

use crate::support::{HANGS, Slow, Telemetry, config, handler, invoke, pairs};
use expect_test::expect;
use lambda_otlp_forwarder::{
    Destination, Export, InvocationContext, Items, Ledger, Report, Vitals, VitalsSettings,
    default_destination,
};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use test_support::openobserve::{FakeOpenObserve, ScriptedResponse, Signal};
use tokio::time::Instant;
use wire::Request;

const SECOND: u64 = 1_000_000_000;

/// An invocation with seven log events and six items.
fn report() -> Report {
    let mut report =
        Report { oldest_event_ms: Some(1_000_000), requests_sent: 2, ..Report::default() };
    report.bytes_sent = 300;
    report.ledgers.total.events = 7;
    report.ledgers.total.cut = 1;
    report.ledgers.total.undivided = 2;
    report.ledgers.total.consumed.empty_lines = 1;
    let items = Items { spans: 2, log_records: 4, ..Items::default() };
    let ledger = Ledger { items, accepted: 3, parked: 2, dropped: 1, ..Ledger::default() };
    report.ledgers.add("default", ledger);
    report
}

fn vitals() -> Vitals {
    let region = Some("eu-west-1".to_owned());
    Vitals::new(VitalsSettings { function: "forwarder".to_owned(), region, emf: false, otlp: true })
}

/// A destination that answers like this, then accepts at once, and the requests that it gets.
fn destination(
    script: &[(Duration, bool)],
) -> (Arc<Destination<impl Export>>, Arc<Mutex<Vec<Request>>>) {
    let requests = Arc::<Mutex<Vec<Request>>>::default();
    let kept = Arc::clone(&requests);
    let script = script.to_vec();
    let export = Slow(move |request: &Request| {
        let mut kept = kept.lock().unwrap();
        kept.push(request.clone());
        script.get(kept.len() - 1).copied().unwrap_or((Duration::ZERO, true))
    });
    (default_destination(&config(), export), requests)
}

fn invocation(at_unix_nano: u64) -> InvocationContext {
    let deadline = Instant::now() + Duration::from_secs(40);
    let account = Some("123456789012".to_owned());
    InvocationContext {
        observed_unix_nano: at_unix_nano,
        deadline,
        queue_deadline: deadline + Duration::from_secs(15),
        account,
    }
}

/// The resource, then `name attributes value unit`, one point per line.
fn shown(request: &Request) -> String {
    let telemetry = Telemetry::of(std::slice::from_ref(request));
    let [of] = telemetry.metrics.as_slice() else { panic!("one resource") };
    let mut lines = vec![format!("resource{}", pairs(&of.resource.as_ref().unwrap().attributes))];
    for metric in telemetry.metrics() {
        let name = metric.name.trim_start_matches("lambda_otlp.forwarder");
        match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => {
                assert!(sum.aggregation_temporality == 1 && sum.is_monotonic, "{metric:?}");
                for point in &sum.data_points {
                    assert_eq!(point.start_time_unix_nano, 0, "a new series of each point");
                    let Some(number_data_point::Value::AsInt(value)) = point.value else {
                        panic!("{point:?}")
                    };
                    let attributes = pairs(&point.attributes);
                    lines.push(format!("{name}{attributes} {value} {}", metric.unit));
                }
            }
            Data::Histogram(histogram) => {
                assert_eq!(histogram.aggregation_temporality, 1);
                for point in &histogram.data_points {
                    let buckets = &point.bucket_counts;
                    assert_eq!(buckets.iter().sum::<u64>(), point.count);
                    assert_eq!(buckets.len(), point.explicit_bounds.len() + 1);
                    let count = point.count;
                    let sum = point.sum.unwrap();
                    let min = point.min.unwrap();
                    let max = point.max.unwrap();
                    lines.push(format!("{name} {count} of {min} to {max}, {sum} {}", metric.unit));
                }
            }
            other => panic!("{other:?}"),
        }
    }
    lines.join("\n").replace("lambda_otlp.", "")
}

#[tokio::test(start_paused = true)]
async fn vitals_are_summed_and_sent_once_a_minute() {
    let (vitals, (destination, requests)) = (vitals(), destination(&[]));
    for second in [1_002, 1_003, 1_061, 1_062, 1_063] {
        vitals.record(&report(), &invocation(second * SECOND), &destination).await;
    }
    let sent = std::mem::take(&mut *requests.lock().unwrap());
    let [first, second] = sent.as_slice() else { panic!("{} requests", sent.len()) };
    let first = shown(first);
    assert!(first.contains(".invocations 1 {invocation}"), "{first}");
    // The three invocations that began at 1,003, 1,061 and 1,062 s.
    expect![[r"
        resource service.name=forwarder cloud.provider=aws cloud.platform=aws_lambda cloud.region=eu-west-1 cloud.account.id=123456789012 faas.name=forwarder
        .events.consumed consumed_by=empty_lines 3 {event}
        .events.consumed consumed_by=platform_lines 0 {event}
        .events.cut 3 {event}
        .events.received 21 {event}
        .events.undivided 6 {event}
        .invocations 3 {invocation}
        .items.ambiguous destination=default 0 {item}
        .items.handled destination=default signal=logs 12 {item}
        .items.handled destination=default signal=metrics 0 {item}
        .items.handled destination=default signal=traces 6 {item}
        .items.handled destination=default signal=undecodable 0 {item}
        .items.placed destination=default fate=accepted 9 {item}
        .items.placed destination=default fate=dead_lettered 0 {item}
        .items.placed destination=default fate=dropped 3 {item}
        .items.placed destination=default fate=parked 6 {item}
        .items.placed destination=default fate=returned 0 {item}
        .request.bytes 900 By
        .requests 6 {request}
        .vitals.failures 0 {request}
        .lag 3 of 3 to 62, 126 s"]]
    .assert_eq(&shown(second));
    // Sending continues after the clock was set back.
    vitals.record(&report(), &invocation(SECOND), &destination).await;
    assert_eq!(requests.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn rejected_vitals_are_added_to_the_next_minute() {
    let (vitals, (destination, requests)) =
        (vitals(), destination(&[(Duration::ZERO, false), HANGS]));
    for second in [0, 60, 119, 120] {
        let begin = Instant::now();
        vitals.record(&report(), &invocation(second * SECOND), &destination).await;
        assert!(begin.elapsed() <= Duration::from_secs(2), "the function is paid for meanwhile");
    }
    let requests = requests.lock().unwrap();
    let [_, _, third] = requests.as_slice() else { panic!("{} requests", requests.len()) };
    let third = shown(third);
    for expected in [
        ".invocations 4 {invocation}",
        ".events.received 28 {event}",
        ".items.placed destination=default fate=accepted 12 {item}",
        ".vitals.failures 2 {request}",
        ".lag 4 of 0 to 0, 0 s",
    ] {
        assert!(third.lines().any(|line| line == expected), "{expected} in {third}");
    }
}

#[tokio::test(start_paused = true)]
async fn sending_vitals_ends_by_the_queue_deadline() {
    let (vitals, (destination, requests)) = (vitals(), destination(&[HANGS]));
    let begin = Instant::now();
    let queue_deadline = begin + Duration::from_millis(300);
    let short = InvocationContext { deadline: begin, queue_deadline, ..invocation(0) };
    vitals.record(&report(), &short, &destination).await;
    assert!(Instant::now() <= queue_deadline);
    assert_eq!(requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn renamed_attribute_keys_are_counted_in_vitals() {
    let backend = FakeOpenObserve::start().await.unwrap();
    let handler = handler(&backend, &[("LAMBDA_OTLP_VITALS", "otlp")]);
    let lines =
        [r#"{"message":"packed","order id":1,"order-id":2}"#, r#"{"a b":1,"a-b":2,"A_B":3}"#];
    assert_eq!(invoke(&handler, &lines).await.unwrap(), Value::Null);
    let metrics = backend.metrics();
    let renamed =
        metrics.iter().find(|stored| stored.item.name.ends_with(".attributes.renamed")).unwrap();
    let Some(Data::Sum(sum)) = &renamed.item.data else { panic!("{renamed:?}") };
    assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsInt(3)));
}

#[tokio::test]
async fn a_backend_rejecting_vitals_fails_no_invocation() {
    let backend = FakeOpenObserve::start().await.unwrap();
    for refusal in [
        ScriptedResponse::Status(500),
        ScriptedResponse::Status(401),
        ScriptedResponse::CloseAfterBody,
    ] {
        backend.script_for(Signal::Metrics, std::iter::repeat_n(refusal, 9));
        // Without queues, an undelivered item would be returned and fail the invocation.
        let handler = handler(&backend, &[("LAMBDA_OTLP_VITALS", "both")]);
        let answer = invoke(&handler, &["hello"]).await;
        assert_eq!(answer.unwrap(), Value::Null);
        backend.heal();
    }
    assert_eq!(backend.log_records().len(), 3);
    assert!(backend.metrics().is_empty());
}
