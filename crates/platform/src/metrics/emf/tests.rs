//! A table of lines with their metrics, and what it does not show: buckets, times and limits.

use super::line::*;
use super::points::{EmfPoints, MAX_SERIES_BYTES};
use crate::options::Shape;
use crate::read::line::function_line;
use crate::render::{self, check_table, unescaped};
use expect_test::expect_file;
use opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

const LOGGED: u64 = 1_790_000_000_000_000_000;

fn line(dimensions: &str, metrics: &str, keys: &str) -> String {
    format!(
        r#"{{"_aws":{{"Timestamp":1790000000123,"CloudWatchMetrics":[{{"Namespace":"shop","Dimensions":{dimensions},"Metrics":{metrics}}}]}},{keys}}}"#
    )
}

fn read(text: &str) -> Option<EmfLine> {
    let line = function_line(text, true);
    parse(line.json?, line.emf_fields.as_ref())
}

#[test]
fn embedded_metrics_become_data_points() {
    check_table(&expect_file!["../../../fixtures/emf.txt"], |lines| {
        let mut points = EmfPoints::new(Shape::OpenObserve);
        let mut is_emf = false;
        for text in lines.lines() {
            let parts: Vec<&str> = text.split(" | ").collect();
            let text = match parts.as_slice() {
                [dimensions, metrics, keys] => line(dimensions, metrics, keys),
                _ => unescaped(text),
            };
            if let Some(read) = read(&text) {
                is_emf = true;
                points.add(read, LOGGED);
            }
        }
        if !is_emf {
            return "-".to_owned();
        }
        let count = points.dropped_values();
        let refused = if count > 0 { format!("{count} refused\n") } else { String::new() };
        (refused + &render::points(&points.into_metrics())).trim_end().to_owned()
    });
}

/// The first data point of a line's only metric, a histogram.
fn histogram(line: &str, shape: Shape) -> HistogramDataPoint {
    let mut points = EmfPoints::new(shape);
    points.add(read(line).unwrap(), LOGGED);
    let metrics = points.into_metrics();
    let Some(Data::Histogram(histogram)) = &metrics[0].data else { panic!("{metrics:?}") };
    histogram.data_points[0].clone()
}

#[test]
fn a_distribution_fills_the_buckets_of_its_values() {
    let buckets_of = |value: &str| {
        let line = line("[]", r#"[{"Name":"m"}]"#, &format!(r#""m":{value}"#));
        let point = histogram(&line, Shape::Otlp);
        let buckets = point.bucket_counts.iter().copied().enumerate();
        let filled = buckets.filter(|(_, count)| *count > 0).collect::<Vec<_>>();
        (point.explicit_bounds.len(), filled, point.sum)
    };
    let counted =
        r#"{"Values":[3,7,80,20000],"Counts":[1,2,3,4],"Count":10,"Sum":1,"Min":1,"Max":9}"#;
    assert_eq!(buckets_of(counted), (15, vec![(1, 1), (2, 2), (6, 3), (15, 4)], Some(1.0)));
    let of_values_alone = r#"{"Values":[3,7],"Counts":[1,2]}"#;
    assert_eq!(buckets_of(of_values_alone), (15, vec![(1, 1), (2, 2)], Some(17.0)));
    // A statistic set has an unknown distribution, so nothing is invented.
    let set = r#"{"Count":5,"Sum":25,"Min":1,"Max":10}"#;
    assert_eq!(buckets_of(set), (0, vec![(0, 5)], Some(25.0)));
    // OTLP has no sum of negative measurements.
    assert_eq!(buckets_of("[1,2,3,-1]"), (15, vec![(0, 1), (1, 3)], None));
}

#[test]
fn an_emf_timestamp_is_used_only_if_plausible() {
    let time_of = |timestamp: &str| {
        let line = format!(
            r#"{{"_aws":{{"Timestamp":{timestamp},"CloudWatchMetrics":[{{"Metrics":[{{"Name":"x"}}]}}]}},"x":1}}"#
        );
        let point = histogram(&line, Shape::Otlp);
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
        let read = read(&line).unwrap();
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
        points.add(read(&line).unwrap(), LOGGED);
        points.series[0].key.attributes.iter().any(|attribute| attribute.key == "d")
    };
    assert!(dimensions(500));
    assert!(!dimensions(2_000));
}

#[test]
fn the_values_of_a_metric_are_bounded() {
    let many = |item: &str| vec![item; 150].join(",");
    let distribution = format!(r#"{{"Values":[{}],"Counts":[{}]}}"#, many("2"), many("3"));
    for (value, count) in [(format!("[{}]", many("1")), 100), (distribution, 300)] {
        let line = line("[]", r#"[{"Name":"m"}]"#, &format!(r#""m":{value}"#));
        assert_eq!(read(&line).unwrap().refused, 50);
        assert_eq!(histogram(&line, Shape::OpenObserve).count, count);
    }
}

#[test]
fn the_metrics_of_a_directive_share_its_dimensions() {
    let line = line(r#"[["d"]]"#, r#"[{"Name":"m"},{"Name":"n"}]"#, r#""m":1,"n":2,"d":"x""#);
    let [first, second] = &read(&line).unwrap().metrics[..] else { panic!("two metrics") };
    assert!(std::sync::Arc::ptr_eq(&first.series.attributes, &second.series.attributes));
}
