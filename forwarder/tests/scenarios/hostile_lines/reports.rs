//! REPORT lines without their START or END, and those that the function prints itself.

use crate::support::deliver;
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
fn a_report_counts_without_its_start_or_end_line() {
    assert_eq!(figures(&[report(REQUEST, 2)]), (1, 0.002, 0));
    assert_eq!(figures(&[end(REQUEST), report(REQUEST, 2)]), (1, 0.002, 0));
    assert_eq!(figures(&[start(REQUEST), report(REQUEST, 2)]), (1, 0.002, 0));
    assert_eq!(
        figures(&[report(REQUEST, 2), start(NEXT), end(NEXT), report(NEXT, 2)]),
        (2, 0.004, 0)
    );
    // Concurrent requests in one environment.
    let beside =
        [start(REQUEST), start(NEXT), end(REQUEST), report(REQUEST, 2), end(NEXT), report(NEXT, 2)];
    assert_eq!(figures(&beside), (2, 0.004, 0));
}

#[test]
fn a_printed_report_line_counts_like_lambdas_and_stays_a_record() {
    let all = [start(REQUEST), forged(REQUEST), end(REQUEST), report(REQUEST, 2)];
    assert_eq!(figures(&all), (2, 900.002, 1));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(deliver(&all).records().count(), 2);
}
