//! Adds up metrics in the embedded metric format to OTLP data points.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
    metric::Data, number_data_point,
};

use crate::metrics::emf::line::Distribution;
use crate::metrics::emf::line::{EmfLine, EmfMetric, SeriesKey, Unit, Values};
use crate::metrics::instrument::duration_bounds;
use crate::options::Shape;

/// Maximum number of bytes for the names and attributes of a chunk's series. Without a limit, a short line could take many times
/// its length, because each metric repeats all dimensions.
pub(crate) const MAX_SERIES_BYTES: usize = 8 * 1024 * 1024;
const BOUNDS: [f64; 15] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0,
    10_000.0,
];

fn bounds(unit: Unit, shape: Shape) -> &'static [f64] {
    if unit.ucum == "s" { duration_bounds(shape) } else { &BOUNDS }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Total {
    Sum,
    Histogram,
    /// A histogram of one bucket, for an unknown distribution.
    Unspread,
}

impl Total {
    fn of(values: &Values, unit: Unit) -> Self {
        match values {
            Values::Single(_) if unit.is_count => Self::Sum,
            Values::Distribution(distribution) if distribution.values.is_empty() => Self::Unspread,
            Values::Single(_) | Values::Distribution(_) => Self::Histogram,
        }
    }

    fn bounds(self, unit: Unit, shape: Shape) -> &'static [f64] {
        match self {
            Self::Histogram => bounds(unit, shape),
            Self::Sum | Self::Unspread => &[],
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct EmfPoints {
    shape: Shape,
    pub(crate) series: Vec<Series>,
    /// The position in `series`, by [`SeriesKey::index`] and aggregation.
    index: BTreeMap<String, usize>,
    pub(crate) bytes: usize,
    dropped_values: usize,
}

#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) key: SeriesKey,
    total: Total,
    since: u64,
    until: u64,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    bounds: &'static [f64],
    buckets: Vec<u64>,
}

/// CloudWatch accepts metrics from two weeks ago to two hours ahead; other times are mistakes.
const MAX_AGE: u64 = 14 * 24 * 3600 * 1_000_000_000;
const MAX_AHEAD: u64 = 2 * 3600 * 1_000_000_000;

impl EmfPoints {
    /// Creates an empty collection of metrics in this shape.
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, ..Self::default() }
    }

    pub(crate) fn add(&mut self, line: EmfLine, logged: u64) {
        self.dropped_values += line.refused;
        let plausible = logged.saturating_sub(MAX_AGE)..=logged.saturating_add(MAX_AHEAD);
        let time = line.time.filter(|time| plausible.contains(time)).unwrap_or(logged);
        for metric in line.metrics {
            self.add_metric(metric, time);
        }
    }

    fn add_metric(&mut self, metric: EmfMetric, time: u64) {
        let EmfMetric { series: key, values } = metric;
        let bytes = key.bytes();
        let total = Total::of(&values, key.unit);
        let index = key.index(total);
        let at = match self.index.get(&index).copied() {
            Some(at) => at,
            None if self.takes(bytes) => {
                self.index.insert(index, self.series.len());
                self.series.push(Series::new(key, total, time, self.shape));
                self.series.len() - 1
            }
            None => {
                self.dropped_values += match values {
                    Values::Single(values) => values.len(),
                    Values::Distribution(_) => 1,
                };
                return;
            }
        };
        let values = match values {
            Values::Single(values) => values,
            Values::Distribution(distribution) => {
                if let Some(series) = self.series.get_mut(at) {
                    series.record_all(&distribution, time);
                }
                return;
            }
        };
        if let Some(series) = self.series.get_mut(at) {
            for value in values {
                series.record(value, time);
            }
        }
    }

    /// Uses up this many bytes of the limit; returns `false` beyond it.
    fn takes(&mut self, bytes: usize) -> bool {
        let sum = self.bytes.saturating_add(bytes);
        let fits = sum <= MAX_SERIES_BYTES;
        if fits {
            self.bytes = sum;
        }
        fits
    }

    pub(crate) fn dropped_values(&self) -> usize {
        self.dropped_values
    }

    /// Returns all metrics. Series with the same name and unit become points of one metric.
    pub(crate) fn into_metrics(self) -> Vec<Metric> {
        let shape = self.shape;
        let mut metrics: Vec<Metric> = Vec::new();
        let mut known: BTreeMap<(String, &'static str), usize> = BTreeMap::new();
        for series in self.series {
            let name = (series.key.name.clone(), series.key.unit.ucum);
            let metric = known.get(&name).and_then(|at| metrics.get_mut(*at));
            match (metric.and_then(|metric| metric.data.as_mut()), series.data(shape)) {
                (Some(Data::Sum(known)), Data::Sum(sum)) => {
                    known.is_monotonic &= sum.is_monotonic;
                    known.data_points.extend(sum.data_points);
                }
                (Some(Data::Histogram(known)), Data::Histogram(histogram)) => {
                    known.data_points.extend(histogram.data_points);
                }
                (_, data) => {
                    known.insert(name.clone(), metrics.len());
                    metrics.push(Metric {
                        name: name.0,
                        unit: name.1.to_owned(),
                        data: Some(data),
                        ..Metric::default()
                    });
                }
            }
        }
        metrics
    }
}

impl SeriesKey {
    /// Approximate size of a series: its texts, here and in the index, and its buckets.
    fn bytes(&self) -> usize {
        let attribute = |pair: &KeyValue| 64 + 2 * (pair.key.len() + value_of(pair).len());
        768 + 2 * self.name.len() + self.attributes.iter().map(attribute).sum::<usize>()
    }

    /// A text shared by equal series only.
    fn index(&self, total: Total) -> String {
        let mut index = format!("{}\0{}\0{total:?}", self.name, self.unit.ucum);
        for pair in &self.attributes {
            index.extend(["\0", &pair.key, "\0", value_of(pair)]);
        }
        index
    }
}

fn value_of(pair: &KeyValue) -> &str {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

impl Series {
    fn new(key: SeriesKey, total: Total, time: u64, shape: Shape) -> Self {
        let bounds = total.bounds(key.unit, shape);
        Self {
            key,
            total,
            since: time,
            until: time,
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            bounds,
            buckets: vec![0; bounds.len() + 1],
        }
    }

    fn record(&mut self, value: f64, time: u64) {
        self.since = self.since.min(time);
        self.until = self.until.max(time);
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.fill(value, 1);
    }

    fn record_all(&mut self, distribution: &Distribution, time: u64) {
        self.since = self.since.min(time);
        self.until = self.until.max(time);
        self.count += distribution.count;
        self.sum += distribution.sum;
        self.min = self.min.min(distribution.min);
        self.max = self.max.max(distribution.max);
        for (value, count) in &distribution.values {
            self.fill(*value, *count);
        }
        if distribution.values.is_empty() {
            self.fill(distribution.max, distribution.count);
        }
    }

    fn fill(&mut self, value: f64, values: u64) {
        let bucket = self.bounds.iter().take_while(|bound| value > **bound).count();
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += values;
        }
    }

    fn data(&self, shape: Shape) -> Data {
        let start_time_unix_nano = match shape {
            // See `TimeSpan::start` in `metrics::points`.
            Shape::OpenObserve => 0,
            Shape::Otlp => self.since.min(self.until.saturating_sub(1)),
        };
        let has_negative = self.min < 0.0;
        let attributes = self.key.attributes.clone();
        let aggregation_temporality = AggregationTemporality::Delta as i32;
        if self.total == Total::Sum {
            return Data::Sum(Sum {
                aggregation_temporality,
                is_monotonic: !has_negative,
                data_points: vec![NumberDataPoint {
                    attributes,
                    start_time_unix_nano,
                    time_unix_nano: self.until,
                    value: Some(number_data_point::Value::AsDouble(self.sum)),
                    ..NumberDataPoint::default()
                }],
            });
        }
        Data::Histogram(Histogram {
            aggregation_temporality,
            data_points: vec![HistogramDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano: self.until,
                count: self.count,
                // OTLP forbids a sum for negative values; without a sum OpenObserve stores a row without a value.
                sum: (shape == Shape::OpenObserve || !has_negative).then_some(self.sum),
                min: Some(self.min),
                max: Some(self.max),
                bucket_counts: self.buckets.clone(),
                explicit_bounds: self.bounds.to_vec(),
                ..HistogramDataPoint::default()
            }],
        })
    }
}
