use super::*;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint, Sum,
    Summary, SummaryDataPoint, number_data_point, summary_data_point,
};

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;

fn gauge(data_points: Vec<NumberDataPoint>) -> Metric {
    metric(Data::Gauge(Gauge { data_points }))
}

fn without_start(point: NumberDataPoint) -> NumberDataPoint {
    NumberDataPoint { start_time_unix_nano: 0, ..point }
}

/// Returns the adapted metrics.
fn shaped_metrics(given: Vec<Metric>) -> (Vec<Metric>, usize) {
    let sanitized = for_openobserve(&metrics(given));
    let dropped = dropped_items(&sanitized);
    if sanitized.request.is_none() {
        return (vec![], dropped);
    }
    let mut decoded = decoded::<Metrics>(&sanitized);
    (decoded.resource_metrics.remove(0).scope_metrics.remove(0).metrics, dropped)
}

#[test]
fn points_without_a_finite_value_are_dropped_and_counted() {
    let numbers = vec![
        point(f64::NAN, &[]),
        point(1.0, &[]),
        point(f64::INFINITY, &[]),
        point(f64::NEG_INFINITY, &[]),
        NumberDataPoint { value: None, ..point(0.0, &[]) },
        NumberDataPoint { value: Some(Number::AsInt(3)), ..point(0.0, &[]) },
    ];
    let (left, dropped) = shaped_metrics(vec![gauge(numbers)]);
    let expected = vec![
        without_start(point(1.0, &[])),
        without_start(NumberDataPoint { value: Some(Number::AsInt(3)), ..point(0.0, &[]) }),
    ];
    assert_eq!((left, dropped), (vec![gauge(expected)], 4));

    let flags = 1;
    let unrecorded = [
        Data::Gauge(Gauge { data_points: vec![NumberDataPoint { flags, ..point(0.0, &[]) }] }),
        Data::Sum(Sum {
            data_points: vec![NumberDataPoint { flags, ..point(0.0, &[]) }],
            ..Default::default()
        }),
        Data::Histogram(Histogram {
            data_points: vec![HistogramDataPoint { flags, ..Default::default() }],
            ..Default::default()
        }),
        Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![ExponentialHistogramDataPoint { flags, ..Default::default() }],
            ..Default::default()
        }),
        Data::Summary(Summary {
            data_points: vec![SummaryDataPoint { flags, ..Default::default() }],
        }),
    ];
    assert_eq!(shaped_metrics(unrecorded.map(metric).to_vec()), (vec![], 5));

    let lost = gauge(vec![point(f64::NAN, &[])]);
    assert_eq!(shaped_metrics(vec![lost.clone(), lost]), (vec![], 2));
    assert_eq!(shaped_metrics(vec![gauge(vec![]), Metric::default()]), (vec![], 0));
}

#[test]
fn a_summary_keeps_its_sum_without_a_quantile_and_its_count_without_a_sum() {
    let quantile = |value| summary_data_point::ValueAtQuantile { quantile: 0.5, value };
    let summary = |sum, values: &[f64]| SummaryDataPoint {
        sum,
        quantile_values: values.iter().map(|value| quantile(*value)).collect(),
        ..Default::default()
    };
    let without_sum =
        SummaryDataPoint { count: 7, time_unix_nano: 9, ..summary(f64::NAN, &[f64::NAN]) };
    let given = vec![summary(3.0, &[f64::NAN, 2.0]), without_sum];
    let (left, dropped) =
        shaped_metrics(vec![metric(Data::Summary(Summary { data_points: given }))]);
    let count = NumberDataPoint {
        value: Some(number_data_point::Value::AsInt(7)),
        time_unix_nano: 9,
        ..Default::default()
    };
    let counts = metric(Data::Gauge(Gauge { data_points: vec![count] }));
    let counts = Metric { name: format!("{}_count", counts.name), ..counts };
    let expected = metric(Data::Summary(Summary { data_points: vec![summary(3.0, &[2.0])] }));
    assert_eq!((left, dropped), (vec![counts, expected], 0));
}

#[test]
fn only_cumulative_sums_keep_their_start_time() {
    let sum = |temporality, point| {
        metric(Data::Sum(Sum {
            data_points: vec![point],
            aggregation_temporality: temporality,
            is_monotonic: true,
        }))
    };
    let given = vec![sum(DELTA, point(1.0, &["value", "route"])), sum(CUMULATIVE, point(1.0, &[]))];
    let expected = vec![
        sum(DELTA, without_start(point(1.0, &["attr_value", "route"]))),
        sum(CUMULATIVE, point(1.0, &[])),
    ];
    assert_eq!(shaped_metrics(given), (expected, 0));
}

#[test]
fn a_gauge_is_split_by_attribute_keys() {
    let points = vec![
        point(1.0, &["a"]),
        point(2.0, &[]),
        point(3.0, &["b", "a"]),
        point(4.0, &["a", "b"]),
        point(5.0, &["a"]),
    ];
    let (left, _) = shaped_metrics(vec![gauge(points)]);
    let values = |metric: &Metric| -> Vec<f64> {
        let Some(Data::Gauge(gauge)) = &metric.data else { panic!("{metric:?}") };
        let value = |point: &NumberDataPoint| match point.value {
            Some(Number::AsDouble(value)) => value,
            ref other => panic!("{other:?}"),
        };
        gauge.data_points.iter().map(value).collect()
    };
    let values: Vec<_> = left.iter().map(values).collect();
    assert_eq!(values, [vec![2.0], vec![1.0, 5.0], vec![3.0, 4.0]]);
}

fn only_histogram(given: Metric) -> HistogramDataPoint {
    let (left, dropped) = shaped_metrics(vec![given]);
    assert_eq!(dropped, 0);
    match left.into_iter().next().unwrap().data {
        Some(Data::Histogram(mut histogram)) => histogram.data_points.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_histogram_gets_missing_sum_minimum_and_maximum() {
    #[track_caller]
    fn check(counts: &[u64], bounds: &[f64], given: [Option<f64>; 3], expected: [f64; 3]) {
        let [sum, min, max] = given;
        let point = HistogramDataPoint {
            start_time_unix_nano: 3,
            bucket_counts: counts.to_vec(),
            explicit_bounds: bounds.to_vec(),
            count: counts.iter().sum(),
            sum,
            min,
            max,
            ..Default::default()
        };
        let histogram = Histogram { data_points: vec![point], aggregation_temporality: DELTA };
        let point = only_histogram(metric(Data::Histogram(histogram)));
        assert_eq!([point.sum, point.min, point.max], expected.map(Some));
        assert_eq!((point.start_time_unix_nano, point.bucket_counts.as_slice()), (0, counts));
    }
    let none = [None; 3];
    check(&[1, 0, 2], &[10.0, 20.0], [Some(70.0), Some(1.0), Some(44.0)], [70.0, 1.0, 44.0]);
    check(&[2, 1, 0], &[10.0, 20.0], none, [25.0, 0.0, 20.0]);
    check(&[0, 1, 2], &[10.0, 20.0], none, [55.0, 10.0, 20.0]);
    check(&[1, 0], &[-10.0], none, [-10.0, -10.0, -10.0]);
    check(
        &[0, 1, 2],
        &[10.0, 20.0],
        [Some(f64::NAN), Some(f64::INFINITY), None],
        [55.0, 10.0, 20.0],
    );
    check(&[0, 0, 0], &[10.0, 20.0], none, [0.0, 0.0, 0.0]);
    check(&[1, 1], &[f64::INFINITY], none, [0.0, 0.0, 0.0]);
    check(&[1, 1, 1, 1, 1], &[1.0], none, [4.5, 0.0, 1.0]);
}

#[test]
fn a_histogram_without_bounds_gets_no_invented_figures() {
    for bucket_counts in [vec![], vec![5]] {
        let given =
            HistogramDataPoint { count: 5, sum: Some(9.0), bucket_counts, ..Default::default() };
        let histogram =
            Histogram { data_points: vec![given.clone()], aggregation_temporality: DELTA };
        assert_eq!(only_histogram(metric(Data::Histogram(histogram))), given);
    }
}

fn exponential(
    scale: i32,
    zero_count: u64,
    offset: i32,
    counts: &[u64],
) -> ExponentialHistogramDataPoint {
    let positive = Some(Buckets { offset, bucket_counts: counts.to_vec() });
    let count = zero_count + counts.iter().sum::<u64>();
    ExponentialHistogramDataPoint { scale, zero_count, count, positive, ..Default::default() }
}

/// The counts of the non-empty buckets, by upper bound.
fn explicit(point: ExponentialHistogramDataPoint, unit: &str) -> Vec<(f64, u64)> {
    let exponential =
        ExponentialHistogram { data_points: vec![point], aggregation_temporality: DELTA };
    let given = Metric { unit: unit.to_owned(), ..metric(Data::ExponentialHistogram(exponential)) };
    let point = only_histogram(given);
    assert!(point.sum.is_some() && point.min.is_some() && point.max.is_some());
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    let bounds = point.explicit_bounds.into_iter().chain([f64::INFINITY]);
    bounds.zip(point.bucket_counts).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn exponential_buckets_become_explicit_buckets() {
    // Scale 0: (1, 2], (2, 4], (4, 8].
    assert_eq!(explicit(exponential(0, 1, 0, &[2, 0, 3]), "s"), [(0.0, 1), (2.0, 2), (8.0, 3)]);
    // Scale 1: (0.5, 0.71], (0.71, 1], (1, 1.41], (1.41, 2], (2, 2.83].
    assert_eq!(
        explicit(exponential(1, 0, -2, &[1, 1, 1, 1, 1]), "s"),
        [(1.0, 2), (2.0, 2), (4.0, 1)]
    );
    // Scale -1: (1, 4], (4, 16].
    assert_eq!(explicit(exponential(-1, 0, 0, &[1, 1]), "s"), [(4.0, 1), (16.0, 1)]);
    // Beyond the bounds of the unit.
    assert_eq!(explicit(exponential(0, 0, -40, &[1]), "s"), [(2.0_f64.powi(-20), 1)]);
    assert_eq!(explicit(exponential(0, 0, 14, &[1]), "s"), [(f64::INFINITY, 1)]);
    assert_eq!(explicit(exponential(20, 0, i32::MAX, &[1, 1]), "By"), [(f64::INFINITY, 2)]);
    assert_eq!(explicit(exponential(i32::MIN, 0, i32::MIN, &[1]), ""), [(2.0_f64.powi(-20), 1)]);
    let negative = Some(Buckets { offset: 3, bucket_counts: vec![2, 5] });
    let point = ExponentialHistogramDataPoint { negative, ..exponential(0, 1, 0, &[]) };
    assert_eq!(explicit(point, "s"), [(0.0, 8)]);
}

#[test]
fn a_gauge_with_a_long_description_is_not_split() {
    let keys: Vec<String> = (0..100).map(|number| format!("key{number}")).collect();
    let points = || keys.iter().map(|key| point(1.0, &[key.as_str()])).collect();
    let groups = |description: &str| {
        let gauge = Metric { description: description.to_owned(), ..gauge(points()) };
        let (left, dropped) = shaped_metrics(vec![gauge]);
        assert_eq!(dropped, 0);
        left.len()
    };
    assert_eq!(groups("seconds"), 100);
    assert_eq!(groups(&"d".repeat(200_000)), 1);
}
