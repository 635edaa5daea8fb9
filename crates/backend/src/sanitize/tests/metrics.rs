use super::*;
use opentelemetry_proto::tonic::metrics::v1::{Histogram, HistogramDataPoint, Sum};
use std::fmt::Display;
use wire::view::{Container, Item, ScopeContainer};

/// A request with these metrics of a service, in OTLP/JSON.
fn metrics(metrics: &str) -> Request {
    let json = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},
            "scopeMetrics":[{{"metrics":[{metrics}]}}]}}]}}"#
    );
    Request::from_json(SignalKind::Metrics, json.as_bytes(), &wire::Limits::default()).unwrap()
}

/// A metric with this kind of data and these points.
fn metric(data: &str, points: &str) -> String {
    format!(r#"{{"name":"m","{data}":{{"aggregationTemporality":1,"dataPoints":[{points}]}}}}"#)
}

#[track_caller]
fn check(given: &str, expected: &str, dropped: usize) {
    let sanitized = for_openobserve(&metrics(given));
    assert_eq!(dropped_items(&sanitized), dropped);
    if expected.is_empty() {
        return assert_eq!(sanitized.request, None);
    }
    assert_eq!(sanitized.request.as_ref().map(Request::to_json), Some(metrics(expected).to_json()));
}

#[test]
fn points_without_a_finite_value_are_dropped_and_counted() {
    let given = r#"{"asDouble":"NaN"},{"startTimeUnixNano":3,"asDouble":1},{"asDouble":"Infinity"},{"asDouble":"-Infinity"},{},{"asInt":3}"#;
    check(&metric("gauge", given), &metric("gauge", r#"{"asDouble":1},{"asInt":3}"#), 4);
    for (data, point) in [
        ("gauge", r#"{"flags":1,"asDouble":0}"#),
        ("sum", r#"{"flags":1,"asDouble":0}"#),
        ("histogram", r#"{"flags":1}"#),
        ("exponentialHistogram", r#"{"flags":1}"#),
        ("summary", r#"{"flags":1}"#),
    ] {
        check(&metric(data, point), "", 1);
    }
    let lost = metric("gauge", r#"{"asDouble":"NaN"}"#);
    check(&format!("{lost},{lost}"), "", 2);
    check(&format!("{},{{}}", metric("gauge", "")), "", 0);
}

#[test]
fn a_summary_keeps_its_sum_without_a_quantile_and_its_count_without_a_sum() {
    let nan = r#"{"quantile":0.5,"value":"NaN"}"#;
    let two = r#"{"quantile":0.5,"value":2}"#;
    let without_sum =
        format!(r#"{{"count":7,"timeUnixNano":9,"sum":"NaN","quantileValues":[{nan}]}}"#);
    let given = format!(r#"{{"sum":3,"quantileValues":[{nan},{two}]}},{without_sum}"#);
    let count = r#"{"name":"m_count","gauge":{"dataPoints":[{"timeUnixNano":9,"asInt":7}]}}"#;
    let summary = metric("summary", &format!(r#"{{"sum":3,"quantileValues":[{two}]}}"#));
    check(&metric("summary", &given), &format!("{count},{summary}"), 0);
}

/// A data point with attributes of these keys.
fn point(value: impl Display, others: &str, keys: &str) -> String {
    let attribute = |key| format!(r#"{{"key":"{key}","value":{{"stringValue":"x"}}}}"#);
    let attributes: Vec<String> = keys.split_whitespace().map(attribute).collect();
    format!(r#"{{"asDouble":{value},{others}"attributes":[{}]}}"#, attributes.join(","))
}

#[test]
fn only_cumulative_sums_keep_their_start_time() {
    let start = r#""startTimeUnixNano":3,"#;
    let delta = |others, keys| metric("sum", &point(1, others, keys));
    check(&delta(start, "value route"), &delta("", "attr_value route"), 0);
    let cumulative = delta(start, "").replace(r#"Temporality":1"#, r#"Temporality":2"#);
    check(&cumulative, &cumulative, 0);
}

#[test]
fn a_gauge_is_split_by_attribute_keys() {
    let gauge = |points: &[(u32, &str)]| {
        let points: Vec<String> =
            points.iter().map(|(value, keys)| point(value, "", keys)).collect();
        metric("gauge", &points.join(","))
    };
    let expected =
        [gauge(&[(2, "")]), gauge(&[(1, "a"), (5, "a")]), gauge(&[(3, "b a"), (4, "a b")])];
    let given = gauge(&[(1, "a"), (2, ""), (3, "b a"), (4, "a b"), (5, "a")]);
    check(&given, &expected.join(","), 0);

    // Unless it would repeat a long description.
    let keys: Vec<String> = (0..100).map(|number| format!("key{number:02}")).collect();
    let points: Vec<(u32, &str)> = (0..).zip(keys.iter().map(String::as_str)).collect();
    let description = format!(r#"{{"description":"{}","#, "d".repeat(200_000));
    let long = gauge(&points).replacen('{', &description, 1);
    check(&long, &long, 0);
}

#[test]
fn a_histogram_gets_missing_sum_minimum_and_maximum() {
    #[track_caller]
    fn estimated(buckets: &str, given: &str, expected: [f64; 3]) {
        let [sum, min, max] = expected;
        let of = |figures: &str| metric("histogram", &format!("{{{figures}{buckets}}}"));
        let expected = of(&format!(r#""sum":{sum},"min":{min},"max":{max},"#));
        check(&of(&format!(r#""startTimeUnixNano":3,{given}"#)), &expected, 0);
    }
    let [low, middle, high] = ["[1,0,2]", "[2,1,0]", "[0,1,2]"]
        .map(|counts| format!(r#""bucketCounts":{counts},"explicitBounds":[10,20]"#));
    estimated(&low, r#""sum":70,"min":1,"max":44,"#, [70.0, 1.0, 44.0]);
    estimated(&middle, "", [25.0, 0.0, 20.0]);
    estimated(&high, "", [55.0, 10.0, 20.0]);
    estimated(r#""bucketCounts":[1,0],"explicitBounds":[-10]"#, "", [-10.0, -10.0, -10.0]);
    estimated(&high, r#""sum":"NaN","min":"Infinity","#, [55.0, 10.0, 20.0]);
    estimated(r#""bucketCounts":[0,0,0],"explicitBounds":[10,20]"#, "", [0.0, 0.0, 0.0]);
    estimated(r#""bucketCounts":[1,1],"explicitBounds":["Infinity"]"#, "", [0.0, 0.0, 0.0]);
    estimated(r#""bucketCounts":[1,1,1,1,1],"explicitBounds":[1]"#, "", [4.5, 0.0, 1.0]);
    // Without bounds, nothing is invented.
    for counts in ["", "5"] {
        let point = format!(r#"{{"count":5,"sum":9,"bucketCounts":[{counts}]}}"#);
        let histogram = metric("histogram", &point);
        check(&histogram, &histogram, 0);
        let without_figures = point.replace(r#""sum":9,"#, "");
        let not_finite = point.replace('9', r#""NaN","min":"Infinity""#);
        check(&metric("histogram", &not_finite), &metric("histogram", &without_figures), 0);
    }
}

/// The counts of the non-empty buckets, by upper bound.
fn explicit(unit: &str, point: &str) -> Vec<(f64, u64)> {
    let given = metric("exponentialHistogram", &format!("{{{point}}}")).replacen(
        '{',
        &format!(r#"{{"unit":"{unit}","#),
        1,
    );
    let request = for_openobserve(&metrics(&given)).request.unwrap();
    let adapted = request.decode::<Metrics>().unwrap().unwrap();
    let metric = &adapted.resource_metrics[0].scope_metrics[0].metrics[0];
    let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{metric:?}") };
    let point = &histogram.data_points[0];
    assert!(point.sum.is_some() && point.min.is_some() && point.max.is_some());
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    let bounds = point.explicit_bounds.iter().copied().chain([f64::INFINITY]);
    bounds.zip(point.bucket_counts.iter().copied()).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn exponential_buckets_become_explicit_buckets() {
    let least = 2.0_f64.powi(-20);
    for (unit, scale, offset, counts, expected) in [
        // Scale 0: (1, 2], (2, 4], (4, 8].
        ("s", 0, 0, "2,0,3", &[(2.0, 2), (8.0, 3)][..]),
        // Scale 1: (0.5, 0.71], (0.71, 1], (1, 1.41], (1.41, 2], (2, 2.83].
        ("s", 1, -2, "1,1,1,1,1", &[(1.0, 2), (2.0, 2), (4.0, 1)]),
        // Scale -1: (1, 4], (4, 16].
        ("s", -1, 0, "1,1", &[(4.0, 1), (16.0, 1)]),
        // Beyond the bounds of the unit.
        ("s", 0, -40, "1", &[(least, 1)]),
        ("s", 0, 14, "1", &[(f64::INFINITY, 1)]),
        ("By", 20, i32::MAX, "1,1", &[(f64::INFINITY, 2)]),
        ("", i32::MIN, i32::MIN, "1", &[(least, 1)]),
    ] {
        let positive = format!(r#""positive":{{"offset":{offset},"bucketCounts":[{counts}]}}"#);
        let point = format!(r#""scale":{scale},{positive}"#);
        assert_eq!(explicit(unit, &point), expected, "{point}");
    }
    let not_positive = r#""zeroCount":1,"negative":{"offset":3,"bucketCounts":[2,5]}"#;
    assert_eq!(explicit("s", not_positive), [(0.0, 8)]);
}

// Most values need no change, so that many requests need none.

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![12 => Just(1.0), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)]
}

fn mostly(usual: &'static [&str]) -> impl Strategy<Value = Vec<KeyValue>> {
    prop_oneof![8 => prop::sample::select(usual).prop_map(attributes), 1 => any_attributes()]
}

fn any_point() -> impl Strategy<Value = NumberDataPoint> {
    let value = prop_oneof![
        8 => any_number().prop_map(|number| Some(Number::AsDouble(number))),
        4 => Just(Some(Number::AsInt(3))),
        1 => Just(None),
    ];
    let start = prop_oneof![4 => Just(0), 1 => Just(1)];
    let flags = prop_oneof![12 => Just(0), 1 => 0_u32..4];
    (mostly(&["", "a", "a, b", "b, a"]), value, start, 0_u64..3, flags).prop_map(
        |(attributes, value, start_time_unix_nano, time_unix_nano, flags)| NumberDataPoint {
            attributes,
            value,
            start_time_unix_nano,
            time_unix_nano,
            flags,
            ..Default::default()
        },
    )
}

fn any_histogram_point() -> impl Strategy<Value = HistogramDataPoint> {
    let figure = || prop::option::weighted(0.9, any_number());
    (any_point(), figure(), figure(), figure(), any::<bool>()).prop_map(
        |(point, sum, min, max, has_bounds)| HistogramDataPoint {
            attributes: point.attributes,
            start_time_unix_nano: point.start_time_unix_nano,
            time_unix_nano: point.time_unix_nano,
            flags: point.flags,
            sum,
            min,
            max,
            explicit_bounds: if has_bounds { vec![1.0] } else { Vec::new() },
            ..Default::default()
        },
    )
}

pub(crate) fn any_metric() -> impl Strategy<Value = Metric> {
    let points = || prop::collection::vec(any_point(), 0..3);
    let histogram_points = prop::collection::vec(any_histogram_point(), 0..3);
    let data = prop_oneof![
        Just(None),
        points().prop_map(|data_points| Some(Data::Gauge(Gauge { data_points }))),
        (points(), 1..3).prop_map(|(data_points, aggregation_temporality)| {
            Some(Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true }))
        }),
        (histogram_points, 1..3).prop_map(|(data_points, aggregation_temporality)| {
            Some(Data::Histogram(Histogram { data_points, aggregation_temporality }))
        }),
    ];
    data.prop_map(|data| Metric { name: "m".to_owned(), data, ..Default::default() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn adapted_metrics_need_no_second_adaptation(
        resource_attributes in mostly(&["service.name=shop"]),
        metrics in prop::collection::vec(any_metric(), 1..3),
    ) {
        let resource = Resource { attributes: resource_attributes, ..Default::default() };
        let request = Request::of_metrics(resource, metrics);
        let once = for_openobserve(&request);
        if let Some(adapted) = once.request {
            let scopes = adapted.containers().flat_map(Container::scopes);
            let times = scopes.flat_map(ScopeContainer::items).map(Item::time_unix_nano);
            prop_assert_eq!(once.facts.map(|facts| facts.times), TimeRange::of(times));
            let twice = for_openobserve(&adapted);
            prop_assert_eq!((twice.request, twice.dropped), (Some(adapted), 0));
        }
    }
}
