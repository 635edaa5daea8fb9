//! Tests of the aggregator by topic, with shared helpers in this file.

mod chunks;
mod ends;
mod figures;
mod telemetry;

use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};

use super::*;
use crate::read::text;
use crate::render;

const T0: u64 = 1_790_000_000_000_000_000;
const MS: u64 = 1_000_000;

const A: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
const B: &str = "b2d4a1f0-0b57-4f5e-9f2d-7c1f5d9e0c22";

/// The metrics of these lines, a millisecond apart; `A` and `B` stand for request ids.
fn metrics_of(lines: &[&str], shape: Shape, names: Names) -> Vec<Metric> {
    let mut aggregator = Aggregator::new(shape, names);
    for (at, line) in (0..).zip(lines) {
        let line = line.replace(" A", &format!(" {A}")).replace(" B", &format!(" {B}"));
        let event = text::parse(&line).unwrap_or_else(|| panic!("not Lambda's: {line}"));
        aggregator.add(&event, T0 + at * MS);
    }
    aggregator.finish_chunk().0
}

/// The counters of these lines, `name=count` without `faas.` and `aws.lambda.`.
fn counters_of(lines: &[&str]) -> String {
    let metrics = metrics_of(lines, Shape::default(), Names::default());
    let sums: Vec<Metric> =
        metrics.into_iter().filter(|metric| matches!(metric.data, Some(Data::Sum(_)))).collect();
    let mut counters: Vec<String> = render::points(&sums)
        .lines()
        .map(|line| {
            let (name, rest) = line.split_once(" [").unwrap();
            let value = rest.split_once("] ").unwrap().1;
            let name = match name {
                "faas.invocations" => "ok",
                "aws.lambda.invocations" => "all",
                name => name.trim_start_matches("faas.").trim_start_matches("aws.lambda."),
            };
            format!("{name}={}", value.replace(" error.type=", ":"))
        })
        .collect();
    counters.sort();
    counters.join(" ")
}

#[track_caller]
fn check(lines: &[&str], expected: &str) {
    assert_eq!(counters_of(lines), expected, "{lines:#?}");
}

const START: &str = "START RequestId: A Version: 1";
const REPORT: &str = "REPORT RequestId: A\tDuration: 5 ms";
const REPORT_TIMEOUT: &str = "REPORT RequestId: A\tDuration: 5 ms\tStatus: timeout";
const REPORT_ERROR: &str =
    "REPORT RequestId: A\tDuration: 5 ms\tStatus: error\tError Type: Runtime.ExitError";
const REPORT_OOM: &str =
    "REPORT RequestId: A\tDuration: 5 ms\tStatus: error\tError Type: Runtime.OutOfMemory";
const TIMED_OUT: &str = "2024-03-04T17:22:38.033Z A Task timed out after 3.00 seconds";
const EXITED: &str =
    "RequestId: A Error: Runtime exited with error: exit status 1\nRuntime.ExitError";
const KILLED: &str =
    "RequestId: A Error: Runtime exited with error: signal: killed\nRuntime.ExitError";
