//! Durations, histograms, times, and older names.

#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use expect_test::{Expect, expect};
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, NumberDataPoint};

use super::*;

fn durations_of(lines: &[&str]) -> String {
    let metrics = metrics_of(lines, Shape::default(), Names::default());
    let durations: Vec<Metric> = metrics
        .into_iter()
        .filter(|metric| metric.name.ends_with("init_duration") || metric.name.contains("restore"))
        .collect();
    render::points(&durations)
}

#[expect(clippy::needless_pass_by_value, reason = "as expect_test's macro gives it")]
fn check_durations(lines: &[&str], expected: Expect) {
    expected.assert_eq(&durations_of(lines));
}

#[test]
fn each_init_or_restore_is_measured_once() {
    check_durations(
        &[
            "INIT_REPORT Init Duration: 100 ms Phase: init",
            "REPORT RequestId: A\tInit Duration: 100 ms",
        ],
        expect![[r#"
            faas.init_duration [s] n=1 sum=0.10000 min=0.10000 max=0.10000
        "#]],
    );
    check_durations(
        &["INIT_REPORT Init Duration: 100 ms Phase: snap-start"],
        expect![[r#"
        faas.init_duration [s] n=1 sum=0.10000 min=0.10000 max=0.10000
    "#]],
    );
    check_durations(
        &[
            "INIT_REPORT Init Duration: 100 ms Phase: init Status: error Error Type: Extension.Crash",
            "INIT_REPORT Init Duration: 200 ms Phase: invoke Status: timeout",
        ],
        expect![[r#"
            faas.init_duration [s] n=1 sum=0.10000 min=0.10000 max=0.10000 error.type=Extension.Crash
            faas.init_duration [s] n=1 sum=0.20000 min=0.20000 max=0.20000 error.type=timeout
        "#]],
    );
    check_durations(
        &[
            "RESTORE_REPORT Restore Duration: 100 ms",
            "REPORT RequestId: A\tRestore Duration: 100 ms\tBilled Restore Duration: 90 ms",
        ],
        expect![[r#"
            aws.lambda.restore_duration [s] n=1 sum=0.10000 min=0.10000 max=0.10000
            aws.lambda.billed_restore_duration [s] n=1 sum=0.09000 min=0.09000 max=0.09000
        "#]],
    );
    check_durations(
        &["RESTORE_REPORT Restore Duration: 100 ms Status: timeout"],
        expect![[r#"
        aws.lambda.restore_duration [s] n=1 sum=0.10000 min=0.10000 max=0.10000 error.type=timeout
    "#]],
    );
}

fn histogram<'a>(metrics: &'a [Metric], name: &str) -> &'a HistogramDataPoint {
    let metric = metrics.iter().find(|metric| metric.name == name).unwrap();
    let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{name} is no histogram") };
    &histogram.data_points[0]
}

fn sum<'a>(metrics: &'a [Metric], name: &str) -> &'a NumberDataPoint {
    let metric = metrics.iter().find(|metric| metric.name == name).unwrap();
    let Some(Data::Sum(sum)) = &metric.data else { panic!("{name} is no sum") };
    &sum.data_points[0]
}

#[test]
fn bucket_upper_bounds_are_inclusive() {
    let report = |ms: &str| format!("REPORT RequestId: A\tDuration: {ms} ms");
    let reports: Vec<String> = ["0", "5", "5.01", "10000", "10000.01", "900000"].map(report).into();
    let reports: Vec<&str> = reports.iter().map(String::as_str).collect();
    let metrics = metrics_of(&reports, Shape::Otlp, Names::default());
    let point = histogram(&metrics, "faas.invoke_duration");
    assert_eq!(point.bucket_counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!((point.count, point.min, point.max), (6, Some(0.0), Some(900.0)));
}

/// `histogram_quantile` for one point: linear within the bucket, and the last bound beyond it.
fn quantile(point: &HistogramDataPoint, quantile: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let to_f64 = |count: u64| count as f64;
    let rank = quantile * to_f64(point.count);
    let (mut below, mut lower) = (0.0, 0.0);
    for (count, upper) in point.bucket_counts.iter().zip(&point.explicit_bounds) {
        if below + to_f64(*count) >= rank {
            return lower + (upper - lower) * (rank - below) / to_f64(*count);
        }
        below += to_f64(*count);
        lower = *upper;
    }
    lower
}

#[test]
fn a_percentile_of_equal_durations_approximates_them() {
    let check = |ms: f64, lowest_ms: f64, highest_ms: f64| {
        let report = format!("REPORT RequestId: A\tDuration: {ms} ms\tInit Duration: {ms} ms");
        let metrics = metrics_of(&[report.as_str(); 100], Shape::OpenObserve, Names::default());
        for name in ["faas.invoke_duration", "faas.init_duration"] {
            let read_ms = quantile(histogram(&metrics, name), 0.95) * 1000.0;
            assert!((lowest_ms..=highest_ms).contains(&read_ms), "{ms} ms reads {read_ms} ms");
        }
    };
    check(1.2, 1.0, 2.0);
    check(7.0, 6.0, 8.0);
    check(20.0, 19.0, 20.0);
    check(48.0, 45.0, 50.0);
    check(100.0, 95.0, 100.0);
    check(330.0, 300.0, 400.0);
    // The advised bounds end at ten seconds; Lambda's longest timeout is fifteen minutes.
    check(29_000.0, 27_000.0, 30_000.0);
    check(900_000.0, 800_000.0, 900_000.0);
}

#[test]
fn request_ids_appear_in_no_metric() {
    let lines = [REPORT_ERROR, "REPORT RequestId: B\tDuration: 2000 ms\tInit Duration: 7 ms"];
    let metrics = format!("{:?}", metrics_of(&lines, Shape::default(), Names::default()));
    assert!(!metrics.contains(A) && !metrics.contains(B));
}

#[test]
fn a_point_has_the_time_of_its_newest_event() {
    let lines = [REPORT, "REPORT RequestId: B\tDuration: 300 ms"];
    let metrics = metrics_of(&lines, Shape::OpenObserve, Names::default());
    let point = histogram(&metrics, "faas.invoke_duration");
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (0, T0 + MS));
    let point = sum(&metrics, "faas.invocations");
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (0, T0 + MS));
}

#[test]
fn otlp_points_start_with_their_oldest_invocation() {
    let lines = [REPORT, "REPORT RequestId: B\tDuration: 300 ms"];
    let metrics = metrics_of(&lines, Shape::Otlp, Names::default());
    let point = histogram(&metrics, "faas.invoke_duration");
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (T0 + MS - 300 * MS, T0 + MS));
    let metrics =
        metrics_of(&["REPORT RequestId: A\tStatus: timeout"], Shape::Otlp, Names::default());
    let point = sum(&metrics, "faas.timeouts");
    assert!(point.start_time_unix_nano < point.time_unix_nano);
}

#[test]
fn the_newest_memory_limit_is_reported() {
    let lines =
        ["REPORT RequestId: A\tMemory Size: 128 MB", "REPORT RequestId: B\tMemory Size: 256 MB"];
    let metrics = metrics_of(&lines, Shape::default(), Names::default());
    assert!(render::points(&metrics).contains("aws.lambda.memory_limit [By] 268435456\n"));
}

#[test]
fn invalid_figures_are_counted_and_omitted() {
    let mut event = PlatformEvent::new(EventKind::Report);
    event.request_id = Some(A.to_owned());
    event.figures.duration_ms = Some(f64::NAN);
    event.figures.billed_duration_ms = Some(f64::INFINITY);
    event.figures.memory_size_mb = Some(-1.0);
    event.figures.max_memory_used_mb = Some(1e300);
    let mut aggregator = Aggregator::default();
    aggregator.add(&event, T0);
    // Billed GB-seconds derive from two of them.
    assert_eq!(aggregator.dropped_values(), 5);
    expect![[r#"
        aws.lambda.invocations [{invocation}] 1
        faas.invocations [{invocation}] 1
    "#]]
    .assert_eq(&render::points(&aggregator.finish_chunk().0));
}

#[test]
fn each_report_without_a_request_id_counts() {
    let report = PlatformEvent::new(EventKind::Report);
    let mut aggregator = Aggregator::default();
    aggregator.add(&report, T0);
    aggregator.add(&report, T0);
    expect![[r#"
        aws.lambda.invocations [{invocation}] 2
        faas.invocations [{invocation}] 2
    "#]]
    .assert_eq(&render::points(&aggregator.finish_chunk().0));
}

#[test]
fn legacy_names_add_the_older_gauges() {
    let lines = [
        "REPORT RequestId: A\tDuration: 102.25 ms\tBilled Duration: 356 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB\tInit Duration: 253.61 ms",
        "REPORT RequestId: B\tDuration: 2 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB",
    ];
    let current = metrics_of(&lines, Shape::default(), Names::Current);
    let legacy = metrics_of(&lines, Shape::default(), Names::Legacy);
    let added: Vec<Metric> =
        legacy.iter().filter(|metric| !current.contains(metric)).cloned().collect();
    expect![[r#"
        faas.init_duration [ms] 253.61
        aws.lambda.init_duration [ms] 253.61
        faas.duration [ms] 102.25
        faas.duration [ms] 2
        faas.invocation.duration [ms] 102.25
        faas.invocation.duration [ms] 2
        faas.billed_duration [ms] 356
        faas.billed_duration [ms] 3
        faas.max_memory [MB] 64
        faas.max_memory [MB] 64
        aws.lambda.max_memory_used [By] 67108864
        aws.lambda.max_memory_used [By] 67108864
        faas.coldstart [1] 1
        faas.coldstart [1] 0
    "#]]
    .assert_eq(&render::points(&added));
    let gone: Vec<&str> = current
        .iter()
        .filter(|metric| !legacy.contains(metric))
        .map(|metric| metric.name.as_str())
        .collect();
    assert_eq!(gone, ["faas.init_duration"]);
    let mut names: Vec<&str> = legacy.iter().map(|metric| metric.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), legacy.len(), "no name twice");
}
