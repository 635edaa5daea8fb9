//! Tables of lines with their metrics, and what the tables do not show: chunks of any size, limits, times and buckets.

#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use super::*;
use crate::read::platform_event;
use crate::render::{self, check_table, unescaped};
use expect_test::{expect, expect_file};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric};
use proptest::prelude::*;

const T0: u64 = 1_790_000_000_000_000_000;
const MS: u64 = 1_000_000;

const A: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
const B: &str = "b2d4a1f0-0b57-4f5e-9f2d-7c1f5d9e0c22";

const WORDS: [(&str, &str); 11] = [
    ("START", "START RequestId: A Version: 1"),
    ("REPORT", "REPORT RequestId: A\tDuration: 5 ms"),
    ("REPORT_TIMEOUT", "REPORT RequestId: A\tDuration: 5 ms\tStatus: timeout"),
    (
        "REPORT_ERROR",
        "REPORT RequestId: A\tDuration: 5 ms\tStatus: error\tError Type: Runtime.ExitError",
    ),
    (
        "REPORT_OOM",
        "REPORT RequestId: A\tDuration: 5 ms\tStatus: error\tError Type: Runtime.OutOfMemory",
    ),
    ("TIMED_OUT", "2024-03-04T17:22:38.033Z A Task timed out after 3.00 seconds"),
    ("EXITED", "RequestId: A Error: Runtime exited with error: exit status 1\nRuntime.ExitError"),
    ("KILLED", "RequestId: A Error: Runtime exited with error: signal: killed\nRuntime.ExitError"),
    ("START_B", "START RequestId: B Version: 1"),
    ("REPORT_B", "REPORT RequestId: B\tDuration: 5 ms"),
    ("COLD_B", "REPORT RequestId: B\tDuration: 5 ms\tInit Duration: 1 ms"),
];

fn event_of(line: &str) -> PlatformEvent {
    let given = WORDS.iter().find(|(word, _)| *word == line).map_or(line, |(_, line)| line);
    let with_ids = given.replace(" A", &format!(" {A}")).replace(" B", &format!(" {B}"));
    let is_json = given.starts_with('{');
    let line = if is_json { with_ids.replace("{A}", A) } else { unescaped(&with_ids) };
    platform_event(&line).unwrap_or_else(|| panic!("not Lambda's: {line}"))
}

/// The metrics of each chunk of these lines, which are a millisecond apart.
fn metrics_of(chunks: &[Vec<&str>], aggregator: &dyn Fn() -> Aggregator) -> Vec<Vec<Metric>> {
    let mut invocations = Invocations::default();
    let mut at = T0;
    let mut found = Vec::new();
    for lines in chunks {
        let mut aggregator = aggregator();
        for line in lines {
            aggregator.add(&mut invocations, &event_of(line), at);
            at += MS;
        }
        found.push(aggregator.finish_chunk(&mut invocations));
        invocations.end_chunk();
    }
    found
}

/// The counters, `name=count`.
fn counters(metrics: Vec<Metric>) -> String {
    let sums = metrics.into_iter().filter(|metric| matches!(metric.data, Some(Data::Sum(_))));
    let counter = |line: &str| {
        let (name, rest) = line.split_once(" [").unwrap();
        let value = rest.split_once("] ").unwrap().1;
        let name = match name {
            "faas.invocations" => "ok",
            "aws.lambda.invocations" => "all",
            name => name.trim_start_matches("faas.").trim_start_matches("aws.lambda."),
        };
        format!("{name}={}", value.replace(" error.type=", ":"))
    };
    let points = render::points(&sums.collect::<Vec<_>>());
    let mut counters: Vec<String> = points.lines().map(counter).collect();
    counters.sort();
    counters.join(" ")
}

#[test]
fn lines_and_events_of_lambda_become_metrics() {
    check_table(&expect_file!["../../../fixtures/metrics.txt"], |case| {
        let (mut shape, mut names, mut owner) = Default::default();
        let mut shows_points = false;
        let mut is_taken = false;
        let mut chunks: Vec<Vec<&str>> = vec![Vec::new()];
        for line in case.lines() {
            if line == "points" {
                shows_points = true;
            } else if let Some(options) = line.strip_prefix("options ") {
                for option in options.split(' ') {
                    match option {
                        "otlp" => shape = Shape::Otlp,
                        "legacy" => names = Names::Legacy,
                        "extension" => owner = Owner::Extension,
                        "sole" => owner = Owner::ExtensionAlone,
                        "take" => is_taken = true,
                        _ => owner = Owner::Forwarder,
                    }
                }
            } else {
                let words: Vec<&str> = line.split(' ').collect();
                let is_words = words
                    .iter()
                    .all(|word| *word == "|" || WORDS.iter().any(|(known, _)| known == word));
                for line in if is_words { words } else { vec![line] } {
                    if line == "|" {
                        chunks.push(Vec::new());
                    } else {
                        chunks.last_mut().unwrap().push(line);
                    }
                }
            }
        }
        let aggregator = || Aggregator::new(shape, names).with_owner(owner);
        let metrics =
            if is_taken { taken(aggregator(), &chunks) } else { metrics_of(&chunks, &aggregator) };
        let show = |metrics: Vec<Metric>| {
            if shows_points { render::points(&metrics) } else { counters(metrics) }
        };
        let between = if shows_points { "--\n" } else { " | " };
        let shown: Vec<String> = metrics.into_iter().map(show).collect();
        shown.join(between).trim_end().to_owned()
    });
}

/// The metrics that one aggregator returns after each batch, and at its end.
fn taken(mut aggregator: Aggregator, batches: &[Vec<&str>]) -> Vec<Vec<Metric>> {
    let mut found = Vec::new();
    let mut invocations = Invocations::default();
    for batch in batches {
        for line in batch {
            aggregator.add(&mut invocations, &event_of(line), T0);
        }
        found.push(aggregator.take(&mut invocations));
    }
    found.push(aggregator.finish_chunk(&mut invocations));
    found
}

#[test]
fn the_newest_open_invocations_survive_between_batches() {
    let mut aggregator = Aggregator::default();
    let mut invocations = Invocations::default();
    let mut event = PlatformEvent::new(EventKind::Timeout);
    let ids: Vec<String> =
        (0..1000).map(|n| format!("8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e{n:04}")).collect();
    for (at, id) in (0..).zip(&ids) {
        event.request_id = Some(id.clone());
        aggregator.add(&mut invocations, &event, T0 + at);
    }
    expect![[r#"
        faas.timeouts [{timeout}] 744
    "#]]
    .assert_eq(&render::points(&aggregator.take(&mut invocations)));
    let metrics = aggregator.finish_chunk(&mut invocations);
    assert_eq!(invocations.counted().count(), 256);
    assert!(ids[1000 - 256..].iter().all(|id| invocations.is_counted(id)));
    expect![[r#"
        faas.timeouts [{timeout}] 256
    "#]]
    .assert_eq(&render::points(&metrics));
}

#[test]
fn a_runtimes_message_counts_once_across_batches() {
    let mut aggregator = Aggregator::default();
    let mut invocations = Invocations::default();
    aggregator.add_out_of_memory(&mut invocations, Some(A), T0);
    assert_eq!(counters(aggregator.take(&mut invocations)), "out_of_memory=1");
    aggregator.add(&mut invocations, &event_of("REPORT_OOM"), T0);
    assert_eq!(counters(aggregator.take(&mut invocations)), "all=1 errors=1:Runtime.OutOfMemory");
}

proptest! {
    /// The numbers of invocations, ends and exhausted memories do not depend on the cut into chunks. The kind of end may: a
    /// counted end stays counted.
    #[test]
    fn totals_do_not_depend_on_the_cut_into_chunks(
        lines in proptest::collection::vec(0..9usize, 0..30),
        size in 1..10usize,
    ) {
        const KINDS: [&str; 9] = [
            "START", "REPORT", "REPORT_TIMEOUT", "REPORT_OOM", "TIMED_OUT", "EXITED", "KILLED", "START_B", "COLD_B",
        ];
        let lines: Vec<&str> = lines.into_iter().map(|at| KINDS[at]).collect();
        let chunks: Vec<Vec<&str>> = lines.chunks(size).map(<[_]>::to_vec).collect();
        let totals = |chunks: &[Vec<&str>]| {
            let metrics = metrics_of(chunks, &Aggregator::default).into_iter().flatten();
            let mut totals = [0; 4];
            for metric in metrics {
                let place = match metric.name.as_str() {
                    "aws.lambda.invocations" => 0,
                    "faas.invocations" | "faas.errors" | "faas.timeouts" => 1,
                    "faas.coldstarts" => 2,
                    "aws.lambda.out_of_memory" => 3,
                    _ => continue,
                };
                let Some(Data::Sum(sum)) = metric.data else { panic!("no counter") };
                let values = sum.data_points.iter().map(|point| render::number(point.value.as_ref()));
                totals[place] += values.map(|value| value.parse::<u64>().unwrap()).sum::<u64>();
            }
            totals
        };
        prop_assert_eq!(totals(&chunks), totals(&[lines]));
    }
}

fn histogram<'a>(metrics: &'a [Metric], name: &str) -> &'a HistogramDataPoint {
    let metric = metrics.iter().find(|metric| metric.name == name).unwrap();
    let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{name} is no histogram") };
    &histogram.data_points[0]
}

#[test]
fn bucket_upper_bounds_are_inclusive() {
    let report = |ms: &str| format!("REPORT RequestId: A\tDuration: {ms} ms");
    let reports = ["0", "5", "5.01", "10000", "10000.01", "900000"].map(report);
    let lines = reports.each_ref().map(String::as_str).to_vec();
    let metrics = metrics_of(&[lines], &|| Aggregator::new(Shape::Otlp, Names::Current));
    let point = histogram(&metrics[0], "faas.invoke_duration");
    assert_eq!(point.bucket_counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!((point.count, point.min, point.max), (6, Some(0.0), Some(900.0)));
}

/// A point has the time of its newest event. Its start is that of its oldest invocation, which OpenObserve would make a label.
#[test]
fn points_have_the_times_of_their_events() {
    for (shape, start) in [(Shape::OpenObserve, 0), (Shape::Otlp, T0 + MS - 300 * MS)] {
        let lines = vec!["REPORT", "REPORT RequestId: B\tDuration: 300 ms\tStatus: timeout"];
        let metrics = metrics_of(&[lines], &|| Aggregator::new(shape, Names::Current));
        let point = histogram(&metrics[0], "faas.invoke_duration");
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (start, T0 + MS));
        let timeouts = metrics[0].iter().find(|metric| metric.name == "faas.timeouts").unwrap();
        let Some(Data::Sum(timeouts)) = &timeouts.data else { panic!("{timeouts:?}") };
        let point = &timeouts.data_points[0];
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (start, T0 + MS));
    }
}
