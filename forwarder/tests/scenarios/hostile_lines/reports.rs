//! REPORT lines printed by the function itself.

use crate::support::{attribute, body, deliver};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

const REQUEST: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
const NEXT: &str = "00000000-c7a1-4d2e-8c3b-0d4b8f1e9a11";

fn start(id: &str) -> String {
    format!("START RequestId: {id} Version: $LATEST\n")
}

fn end(id: &str) -> String {
    format!("END RequestId: {id}\n")
}

fn report(id: &str, duration_ms: u32) -> String {
    format!(
        "REPORT RequestId: {id}\tDuration: {duration_ms}.00 ms\tBilled Duration: {duration_ms} ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\t\n"
    )
}

fn forged(id: &str) -> String {
    format!("{}Status: timeout\n", report(id, 900_000).trim_end_matches('\n'))
}

/// Number and sum of the durations in seconds, and the number of timeouts.
fn figures(messages: &[String]) -> (u64, f64, u64) {
    let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
    let (mut count, mut sum, mut timeouts) = (0, 0.0, 0);
    for metric in deliver(&messages).metrics() {
        match (metric.name.as_str(), metric.data.as_ref().unwrap()) {
            ("faas.invoke_duration", Data::Histogram(histogram)) => {
                for point in &histogram.data_points {
                    count += point.count;
                    sum += point.sum.unwrap_or_default();
                }
            }
            ("faas.invoke_duration", other) => panic!("{other:?}"),
            ("faas.timeouts", Data::Sum(sum)) => timeouts += sum.data_points.len() as u64,
            _ => {}
        }
    }
    (count, sum, timeouts)
}

#[test]
fn a_forged_report_line_counts_only_if_its_request_seems_to_have_ended() {
    let (real, wrong) = ((1, 0.002, 0), (1, 900.0, 1));
    let line = || "hello".to_owned();
    for (printed, expected) in [
        (vec![forged(REQUEST)], real),
        (vec![forged(REQUEST), line(), forged(REQUEST)], real),
        (vec![start(NEXT), forged(REQUEST)], real),
        // The function prints the end too.
        (vec![end(REQUEST), forged(REQUEST)], wrong),
    ] {
        let all = [vec![start(REQUEST)], printed, vec![end(REQUEST), report(REQUEST, 2)]].concat();
        assert_eq!(figures(&all), expected, "{all:?}");
        // A delivery may begin in the middle of an invocation.
        assert_eq!(figures(&all[1..]), wrong, "{all:?}");
    }
    // The function prints the beginning of another request during its init.
    let all = [start(NEXT), start(REQUEST), forged(REQUEST), end(REQUEST), report(REQUEST, 2)];
    assert_eq!(figures(&all), real);
    // A later invocation prints a REPORT line of the previous request.
    let later = [
        start(REQUEST),
        end(REQUEST),
        report(REQUEST, 2),
        start(NEXT),
        end(REQUEST),
        forged(REQUEST),
        end(NEXT),
        report(NEXT, 2),
    ];
    assert_eq!(figures(&later), (2, 0.004, 0));
}

#[test]
fn a_forged_report_line_remains_a_log_record() {
    let all =
        [start(REQUEST), forged(REQUEST), "hello".to_owned(), end(REQUEST), report(REQUEST, 2)];
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let delivered = deliver(&all);
    let texts: Vec<&str> = delivered.records().map(body).collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    for record in delivered.records() {
        assert_eq!(attribute(&record.attributes, "faas.invocation_id"), Some(REQUEST));
    }
    let platform = delivered.records().filter(|record| record.event_name == "platform.report");
    assert_eq!(platform.count(), 1);
}

#[test]
fn a_report_counts_without_its_start_or_end_line() {
    assert_eq!(figures(&[report(REQUEST, 2)]), (1, 0.002, 0));
    assert_eq!(figures(&[end(REQUEST), report(REQUEST, 2)]), (1, 0.002, 0));
    assert_eq!(
        figures(&[report(REQUEST, 2), start(NEXT), end(NEXT), report(NEXT, 2)]),
        (2, 0.004, 0)
    );
    // Concurrent requests in one environment.
    let beside =
        [start(REQUEST), start(NEXT), end(REQUEST), report(REQUEST, 2), end(NEXT), report(NEXT, 2)];
    assert_eq!(figures(&beside), (2, 0.004, 0));
}
