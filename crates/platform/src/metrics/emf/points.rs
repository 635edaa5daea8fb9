//! Adds up metrics in the embedded metric format to OTLP data points.

use crate::metrics::emf::line::{COUNT, CountedValue, Distribution, EmfLine, EmfMetric, SeriesKey};
use crate::metrics::instrument::INVOKE_DURATION;
use crate::metrics::points::{Measurements, Period, add_points, metric};
use crate::options::Shape;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, number_data_point};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Maximum number of bytes for the names and attributes of a chunk's series. Without a limit, a short line could take many times
/// its length, because each metric repeats all dimensions.
pub(crate) const MAX_SERIES_BYTES: usize = 8 * 1024 * 1024;
const BOUNDS: [f64; 15] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0,
    10_000.0,
];

/// The data points made from a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Aggregation {
    Sum,
    Histogram,
    /// A histogram of one bucket, for an unknown distribution.
    Unspread,
}

impl Aggregation {
    fn of(metric: &EmfMetric) -> Self {
        if metric.values.values.is_empty() {
            Self::Unspread
        } else if metric.series.unit == COUNT && !metric.is_added_up {
            Self::Sum
        } else {
            Self::Histogram
        }
    }

    fn bounds(self, unit: &str, shape: Shape) -> &'static [f64] {
        match self {
            Self::Histogram if unit == "s" => INVOKE_DURATION.bounds(shape),
            Self::Histogram => &BOUNDS,
            Self::Sum | Self::Unspread => &[],
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct EmfPoints {
    shape: Shape,
    pub(crate) series: Vec<Series>,
    /// The numbers of the sets of attributes, by their texts.
    sets: BTreeMap<String, usize>,
    /// The set of the last metric. Metrics of a directive share theirs.
    last_set: Option<LastSet>,
    /// The positions in `series`.
    index: BTreeMap<SeriesId, usize>,
    /// Approximate size of the series.
    pub(crate) bytes: usize,
    dropped_values: usize,
}

/// Distinguishes the series of a chunk.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SeriesId {
    /// The number of the attributes' set.
    set: usize,
    name: String,
    unit: &'static str,
    aggregation: Aggregation,
}

#[derive(Debug)]
struct LastSet {
    attributes: Arc<[KeyValue]>,
    text: String,
}

#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) key: SeriesKey,
    aggregation: Aggregation,
    measurements: Measurements,
}

/// CloudWatch accepts metrics from two weeks ago to two hours ahead; other times are mistakes.
const MAX_AGE: u64 = 14 * 24 * 3600 * 1_000_000_000;
const MAX_AHEAD: u64 = 2 * 3600 * 1_000_000_000;

impl EmfPoints {
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
        let aggregation = Aggregation::of(&metric);
        let EmfMetric { series: key, values: distribution, .. } = metric;
        let bytes = key.bytes();
        let period = Period::at(time);
        self.note_set(&key.attributes);
        let known_set = self.last_set.as_ref().and_then(|last| self.sets.get(&last.text)).copied();
        // Only a new series that has room needs a new set.
        let set = known_set.unwrap_or(self.sets.len());
        let id = SeriesId { set, name: key.name.clone(), unit: key.unit, aggregation };
        let at = match self.index.get(&id).copied() {
            Some(at) => at,
            None if self.take_room(bytes) => {
                if let Some(last) = self.last_set.as_ref().filter(|_| known_set.is_none()) {
                    self.sets.insert(last.text.clone(), set);
                }
                let at = self.series.len();
                self.index.insert(id, at);
                let bounds = aggregation.bounds(key.unit, self.shape);
                let measurements = Measurements::new(bounds, period);
                self.series.push(Series { key, aggregation, measurements });
                at
            }
            None => {
                self.dropped_values += distribution.values.len().max(1);
                return;
            }
        };
        if let Some(series) = self.series.get_mut(at) {
            series.add(&distribution, period);
        }
    }

    /// Makes these attributes the last set.
    fn note_set(&mut self, attributes: &Arc<[KeyValue]>) {
        let is_last = |last: &LastSet| Arc::ptr_eq(&last.attributes, attributes);
        if self.last_set.as_ref().is_some_and(is_last) {
            return;
        }
        let mut text = String::new();
        for pair in attributes.iter() {
            text.extend([&pair.key, "\0", value_of(pair), "\0"]);
        }
        self.last_set = Some(LastSet { attributes: Arc::clone(attributes), text });
    }

    /// Takes this many bytes of [`MAX_SERIES_BYTES`]. Returns `false` if fewer are left.
    fn take_room(&mut self, bytes: usize) -> bool {
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

    /// Returns all metrics in the order of their names. Series with the same name and unit become points of one metric.
    pub(crate) fn into_metrics(mut self) -> Vec<Metric> {
        let order =
            |series: &Series| (series.key.name.clone(), series.key.unit, series.aggregation);
        self.series.sort_by_cached_key(order);
        let mut metrics = Vec::new();
        for Series { key, aggregation, measurements } in self.series {
            let SeriesKey { name, unit, attributes } = key;
            let data = if aggregation == Aggregation::Sum {
                let value = number_data_point::Value::AsDouble(measurements.sum());
                measurements.into_sum(value, attributes.to_vec(), self.shape)
            } else {
                measurements.into_histogram(attributes.to_vec(), self.shape)
            };
            add_points(&mut metrics, metric(&name, unit, "", data));
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
}

fn value_of(pair: &KeyValue) -> &str {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

impl Series {
    fn add(&mut self, distribution: &Distribution, period: Period) {
        let Distribution { statistics, values } = distribution;
        self.measurements.add(*statistics, period);
        for CountedValue { value, count } in values {
            self.measurements.fill_bucket(*value, *count);
        }
        if values.is_empty() {
            self.measurements.fill_bucket(statistics.max, statistics.count);
        }
    }
}
