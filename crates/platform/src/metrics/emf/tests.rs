#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use crate::read::line::function_line;
use expect_test::{Expect, expect};

use opentelemetry_proto::tonic::metrics::v1::metric::Data;

use super::line::*;
use super::points::{EmfPoints, MAX_SERIES_BYTES};
use crate::options::Shape;
use crate::render;

const LOGGED: u64 = 1_790_000_000_000_000_000;

#[expect(clippy::needless_pass_by_value, reason = "as expect_test's macro gives it")]
fn check(lines: &[&str], dropped: usize, expected: Expect) {
    let mut points = EmfPoints::new(Shape::OpenObserve);
    for line in lines {
        points.add(parse(line).unwrap_or_else(|| panic!("not EMF: {line}")), LOGGED);
    }
    assert_eq!(points.dropped_values(), dropped, "{lines:#?}");
    expected.assert_eq(&render::points(&points.into_metrics()));
}

fn line(dimensions: &str, metrics: &str, keys: &str) -> String {
    format!(
        r#"{{"_aws":{{"Timestamp":1790000000123,"CloudWatchMetrics":[{{"Namespace":"shop","Dimensions":{dimensions},"Metrics":{metrics}}}]}},{keys}}}"#
    )
}

#[test]
fn the_emf_specification_example_is_parsed() {
    check(
        &[
            r#"{"_aws":{"Timestamp":1574109732004,"CloudWatchMetrics":[{"Namespace":"lambda-function-metrics","Dimensions":[["functionVersion"]],"Metrics":[{"Name":"time","Unit":"Milliseconds","StorageResolution":60}]}]},"functionVersion":"$LATEST","time":100,"requestId":"989ffbf8-9ace-4817-a57c-e4dd734019ee"}"#,
        ],
        0,
        expect![[r#"
            time [ms] n=1 sum=100.00000 min=100.00000 max=100.00000 aws.cloudwatch.namespace=lambda-function-metrics functionVersion=$LATEST
        "#]],
    );
}

#[test]
fn count_metrics_become_sums_and_others_histograms() {
    let metrics = r#"[{"Name":"orders","Unit":"Count"},{"Name":"latency","Unit":"Seconds"},{"Name":"depth"}]"#;
    check(
        &[
            &line(
                r#"[["service"]]"#,
                metrics,
                r#""service":"api","orders":2,"latency":[0.02,0.3],"depth":7.5"#,
            ),
            &line(r#"[["service"]]"#, metrics, r#""service":"api","orders":[1,1,1],"latency":4"#),
            &line(r#"[["service"]]"#, metrics, r#""service":"web","orders":1"#),
        ],
        0,
        expect![[r#"
            orders [{count}] 5 aws.cloudwatch.namespace=shop service=api
            orders [{count}] 1 aws.cloudwatch.namespace=shop service=web
            latency [s] n=3 sum=4.32000 min=0.02000 max=4.00000 aws.cloudwatch.namespace=shop service=api
            depth [] n=1 sum=7.50000 min=7.50000 max=7.50000 aws.cloudwatch.namespace=shop service=api
        "#]],
    );
}

#[test]
fn all_dimension_sets_merge_into_one_data_point() {
    let metrics = r#"[{"Name":"orders","Unit":"Count"}]"#;
    check(
        &[
            &line(
                r#"[["service"],["region","service"],[],["missing"],["n"]]"#,
                metrics,
                r#""service":"api","region":"eu","n":7,"orders":1"#,
            ),
            &line(
                r#"[["n","region"],["service"]]"#,
                metrics,
                r#""service":"api","region":"eu","n":"7","orders":1"#,
            ),
            &line("[]", metrics, r#""orders":1"#),
        ],
        0,
        expect![[r#"
            orders [{count}] 2 aws.cloudwatch.namespace=shop n=7 region=eu service=api
            orders [{count}] 1 aws.cloudwatch.namespace=shop
        "#]],
    );
}

#[test]
fn a_metric_with_negative_values_keeps_its_kind() {
    let metrics = r#"[{"Name":"balance","Unit":"None"},{"Name":"stock","Unit":"Count"}]"#;
    let lines = [
        line(r#"[["a"]]"#, metrics, r#""a":"1","balance":[1,2,3,-1],"stock":[1,2,3,-1]"#),
        line(r#"[["a"]]"#, metrics, r#""a":"2","balance":-7,"stock":-7"#),
        line(r#"[["a"]]"#, metrics, r#""a":"3","stock":7"#),
    ];
    check(
        &lines.each_ref().map(String::as_str),
        0,
        expect![[r#"
            balance [] n=4 sum=5.00000 min=-1.00000 max=3.00000 aws.cloudwatch.namespace=shop a=1
            balance [] n=1 sum=-7.00000 min=-7.00000 max=-7.00000 aws.cloudwatch.namespace=shop a=2
            stock [{count}] 5 not monotonic aws.cloudwatch.namespace=shop a=1
            stock [{count}] -7 not monotonic aws.cloudwatch.namespace=shop a=2
            stock [{count}] 7 not monotonic aws.cloudwatch.namespace=shop a=3
        "#]],
    );
    let metrics = |shape| {
        let mut points = EmfPoints::new(shape);
        for line in &lines {
            points.add(parse(line).unwrap(), LOGGED);
        }
        points.into_metrics()
    };
    let [balance, stock] = <[_; 2]>::try_from(metrics(Shape::Otlp)).unwrap();
    let Some(Data::Histogram(balance)) = balance.data else { panic!("{balance:?}") };
    // OTLP has no sum of negative measurements.
    assert_eq!(balance.data_points[0].sum, None);
    assert_eq!(balance.data_points[0].bucket_counts[0], 1);
    let Some(Data::Sum(stock)) = stock.data else { panic!("{stock:?}") };
    assert!(!stock.is_monotonic);
}

#[test]
fn directives_and_namespaces_stay_separate() {
    check(
        &[
            r#"{"_aws":{"CloudWatchMetrics":[{"Namespace":"a","Metrics":[{"Name":"x","Unit":"Count"}]},{"Namespace":"b","Dimensions":[["d"]],"Metrics":[{"Name":"x","Unit":"Bytes"},{"Name":"gone"}]}]},"x":3,"d":"e"}"#,
        ],
        0,
        expect![[r#"
            x [{count}] 3 aws.cloudwatch.namespace=a
            x [By] n=1 sum=3.00000 min=3.00000 max=3.00000 aws.cloudwatch.namespace=b d=e
        "#]],
    );
}

#[test]
fn invalid_emf_values_are_counted_and_valid_ones_kept() {
    let metrics = r#"[{"Name":"a","Unit":"Count"},{"Name":"b"},{"Name":"c"},{"Name":"missing"},{"Unit":"Count"},7,{"Name":""}]"#;
    check(
        &[&line("[]", metrics, r#""a":[1,"2",null,1e400,1e19,[3]],"b":"12","c":{"d":1},"":5"#)],
        10,
        expect![[r#"
            a [{count}] 1 aws.cloudwatch.namespace=shop
        "#]],
    );
    let many = vec!["1"; 150].join(",");
    check(
        &[&line("[]", r#"[{"Name":"a","Unit":"Count"}]"#, &format!(r#""a":[{many}]"#))],
        50,
        expect![[r#"
            a [{count}] 100 aws.cloudwatch.namespace=shop
        "#]],
    );
}

#[test]
fn a_distribution_becomes_a_histogram_for_every_unit() {
    let metrics = r#"[{"Name":"set","Unit":"Milliseconds"},{"Name":"counted","Unit":"Count"}]"#;
    let set = r#"{"Count":5,"Sum":25.0,"Min":1,"Max":10}"#;
    let counted =
        r#"{"Values":[1.2,1.7,2.4],"Counts":[1.0,2,1],"Count":4,"Sum":7.1,"Min":1,"Max":2.8}"#;
    check(
        &[
            &line("[]", metrics, &format!(r#""set":{set},"counted":{counted}"#)),
            &line("[]", metrics, &format!(r#""set":{set},"counted":{counted}"#)),
            // Beside it the single values, whose buckets are known.
            &line("[]", metrics, r#""set":[7,8],"counted":2"#),
        ],
        0,
        expect![[r#"
            set [ms] n=10 sum=50.00000 min=1.00000 max=10.00000 aws.cloudwatch.namespace=shop
            set [ms] n=2 sum=15.00000 min=7.00000 max=8.00000 aws.cloudwatch.namespace=shop
            counted [{count}] n=8 sum=14.20000 min=1.00000 max=2.80000 aws.cloudwatch.namespace=shop
            counted [{count}] 2 aws.cloudwatch.namespace=shop
        "#]],
    );
}

#[test]
fn a_distribution_fills_the_buckets_of_its_values() {
    let buckets_of = |value: &str| {
        let mut points = EmfPoints::new(Shape::Otlp);
        let line = line("[]", r#"[{"Name":"m"}]"#, &format!(r#""m":{value}"#));
        points.add(parse(&line).unwrap(), LOGGED);
        let metrics = points.into_metrics();
        let Some(Data::Histogram(histogram)) = &metrics[0].data else { panic!("{metrics:?}") };
        let point = &histogram.data_points[0];
        let filled = point.bucket_counts.iter().enumerate().filter(|(_, count)| **count > 0);
        (point.explicit_bounds.len(), filled.map(|(at, count)| (at, *count)).collect::<Vec<_>>())
    };
    let counted =
        r#"{"Values":[3,7,80,20000],"Counts":[1,2,3,4],"Count":10,"Sum":1,"Min":1,"Max":9}"#;
    assert_eq!(buckets_of(counted), (15, vec![(1, 1), (2, 2), (6, 3), (15, 4)]));
    let of_values_alone = r#"{"Values":[3,7],"Counts":[1,2]}"#;
    assert_eq!(buckets_of(of_values_alone), (15, vec![(1, 1), (2, 2)]));
    // A statistic set has an unknown distribution, so nothing is invented.
    assert_eq!(buckets_of(r#"{"Count":5,"Sum":25,"Min":1,"Max":10}"#), (0, vec![(0, 5)]));
}

#[test]
fn an_invalid_distribution_counts_as_dropped() {
    let dropped = |value: &str, expected: usize| {
        let line = line("[]", r#"[{"Name":"m"}]"#, &format!(r#""m":{value}"#));
        let mut points = EmfPoints::new(Shape::OpenObserve);
        points.add(parse(&line).unwrap(), LOGGED);
        assert_eq!(points.dropped_values(), expected, "{value}");
        render::points(&points.into_metrics())
    };
    for value in [
        "{}",
        r#"{"Count":1}"#,
        r#"{"Count":1,"Sum":1,"Min":1}"#,
        r#"{"Count":"1","Sum":1,"Min":1,"Max":1}"#,
        r#"{"Count":-1,"Sum":1,"Min":1,"Max":1}"#,
        r#"{"Count":1.5,"Sum":1,"Min":1,"Max":1}"#,
        r#"{"Count":1e300,"Sum":1,"Min":1,"Max":1}"#,
        r#"{"Count":2,"Sum":1e400,"Min":1,"Max":1}"#,
        r#"{"Count":2,"Sum":1,"Min":2,"Max":1}"#,
        r#"{"Values":[],"Counts":[]}"#,
        r#"{"Values":7,"Counts":[1]}"#,
    ] {
        assert_eq!(dropped(value, 1), "", "{value}");
    }
    // Without measurements nothing is lost.
    assert_eq!(dropped(r#"{"Count":0,"Sum":0,"Min":0,"Max":0}"#, 0), "");
    assert_eq!(dropped(r#"{"Values":[1],"Counts":[0]}"#, 0), "");
    // Valid values count, but the figures of an incomplete set would be wrong.
    assert_eq!(
        dropped(
            r#"{"Values":[1,"x",3,-4,5],"Counts":[1,1,2,1],"Count":9,"Sum":90,"Min":0,"Max":50}"#,
            2
        ),
        "m [] n=4 sum=3.00000 min=-4.00000 max=3.00000 aws.cloudwatch.namespace=shop\n"
    );
    let many = |item: &str| vec![item; 150].join(",");
    let many = format!(r#"{{"Values":[{}],"Counts":[{}]}}"#, many("2"), many("3"));
    assert_eq!(
        dropped(&many, 50),
        "m [] n=300 sum=600.00000 min=2.00000 max=2.00000 aws.cloudwatch.namespace=shop\n"
    );
}

#[test]
fn emf_after_a_runtime_prefix_is_parsed() {
    let without_time =
        line("[]", r#"[{"Name":"m"}]"#, r#""m":7"#).replace(r#""Timestamp":1790000000123,"#, "");
    let parsed = |text: &str| function_line(text, true).json.and_then(parse);
    for prefix in [
        "2026-09-21T14:13:20.500Z\t8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\tINFO\t",
        "2026-09-21T14:13:20.500Z\tundefined\tWARN\t",
        "2026-09-21T14:13:20.500Z\t8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\tinfo\t",
        "[INFO]\t2026-09-21T14:13:20.500Z\t8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\t",
    ] {
        let text = format!("{prefix}{without_time}\n");
        let line = parsed(&text).unwrap_or_else(|| panic!("not EMF: {text}"));
        assert_eq!((line.time, line.metrics.len()), (None, 1));
    }
    for not_a_prefix in [
        "x\t",
        "order 7: ",
        "2026-09-21T14:13:20.500Z\t8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\tINFO\tsaid ",
        "2026-09-21T14:13:20.500Z\t8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\tINFO\tsaid\t",
    ] {
        assert!(parsed(&format!("{not_a_prefix}{without_time}")).is_none(), "{not_a_prefix}");
    }
}

#[test]
fn malformed_emf_lines_yield_no_metrics() {
    for (text, dropped) in [
        ("", None),
        ("CloudWatchMetrics", None),
        (r#"{"CloudWatchMetrics":[]}"#, None),
        (r#"{"_aws":{"CloudWatchMetrics":[]},"x":1}"#, Some(0)),
        (r#"{"_aws":{"CloudWatchMetrics":{}},"x":1}"#, Some(0)),
        (r#"{"_aws":"CloudWatchMetrics","CloudWatchMetrics":1}"#, None),
        (r#"{"_aws":{"CloudWatchMetrics":[{"Metrics":[{"Name":"x"}]}]}}"#, Some(0)),
        (r#"{"_aws":{"CloudWatchMetrics":[{"Metrics":[{"Name":"x"}]}]},"x":"1"}"#, Some(1)),
        (r#"{"_aws":{"CloudWatchMetrics":[{"Metrics":"x"}]},"x":1}"#, Some(0)),
        (r#"{"message":"\"CloudWatchMetrics\"","_aws":null}"#, None),
        // A directive within a directive, as one of Powertools' examples has it.
        (
            r#"{"_aws":{"CloudWatchMetrics":[{"Metrics":[{"Namespace":"n","Metrics":[{"Name":"x"}]}]}]},"x":1}"#,
            Some(1),
        ),
    ] {
        let read = parse(text);
        assert!(read.as_ref().is_none_or(|line| line.metrics.is_empty()), "{text}");
        assert_eq!(read.map(|line| line.refused), dropped, "{text}");
    }
}

#[test]
fn an_emf_timestamp_is_used_only_if_plausible() {
    let time_of = |timestamp: &str| {
        let line = format!(
            r#"{{"_aws":{{"Timestamp":{timestamp},"CloudWatchMetrics":[{{"Metrics":[{{"Name":"x"}}]}}]}},"x":1}}"#
        );
        let mut points = EmfPoints::new(Shape::Otlp);
        points.add(parse(&line).unwrap(), LOGGED);
        let metrics = points.into_metrics();
        let Some(Data::Histogram(histogram)) = &metrics[0].data else { panic!("{metrics:?}") };
        let point = &histogram.data_points[0];
        assert!(point.start_time_unix_nano < point.time_unix_nano);
        point.time_unix_nano
    };
    assert_eq!(time_of("1790000000123"), LOGGED + 123_000_000);
    assert_eq!(time_of("1789999000000"), LOGGED - 1_000_000_000_000);
    for mistaken in ["0", "1574109732004", "1790000000", "1890000000000", "\"now\"", "null", "-1"] {
        assert_eq!(time_of(mistaken), LOGGED, "{mistaken}");
    }
}

#[test]
fn emf_series_of_a_chunk_are_bounded() {
    let metrics: Vec<String> = (0..300).map(|n| format!(r#"{{"Name":"m{n}"}}"#)).collect();
    let names: Vec<String> = (0..50).map(|n| format!(r#""d{n}""#)).collect();
    let values: Vec<String> = (0..300).map(|n| format!(r#""m{n}":1"#)).collect();
    let mut points = EmfPoints::new(Shape::OpenObserve);
    for line_number in 0..100 {
        let dimensions: Vec<String> =
            (0..50).map(|n| format!(r#""d{n}":"{line_number}{}""#, "x".repeat(200))).collect();
        let line = line(
            &format!("[[{}]]", names.join(",")),
            &format!("[{}]", metrics.join(",")),
            &[values.join(","), dimensions.join(",")].join(","),
        );
        let read = parse(&line).unwrap();
        assert_eq!((read.metrics.len(), read.refused), (MAX_METRICS, 300 - MAX_METRICS));
        points.add(read, LOGGED);
    }
    assert!(points.bytes <= MAX_SERIES_BYTES);
    assert!(points.series.iter().all(|series| series.key.attributes.len() == MAX_DIMENSIONS + 1));
    assert_eq!(points.dropped_values() + points.series.len(), 100 * 300);
    assert!(points.series.len() > 500);
}

#[test]
fn dimension_lookup_is_bounded() {
    let dimensions = |unknown: usize| {
        let names = vec![r#""none""#; unknown].join(",");
        let line = line(&format!(r#"[[{names},"d"]]"#), r#"[{"Name":"m"}]"#, r#""m":1,"d":"x""#);
        let mut points = EmfPoints::new(Shape::OpenObserve);
        points.add(parse(&line).unwrap(), LOGGED);
        points.series[0].key.attributes.iter().any(|attribute| attribute.key == "d")
    };
    assert!(dimensions(500));
    assert!(!dimensions(2_000));
}
