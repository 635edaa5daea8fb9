//! Adds up metrics in the embedded metric format to OTLP data points.

use crate::metrics::emf::line::{COUNT, Distribution, EmfLine, EmfMetric, SeriesKey};
use crate::metrics::instrument::INVOKE_DURATION;
use crate::metrics::points::{Measured, Measurements, add_points, metric};
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Total {
    Sum,
    Histogram,
    /// A histogram of one bucket, for an unknown distribution.
    Unspread,
}

impl Total {
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
    /// The set of the previous metric. Metrics of a directive share theirs.
    last_set: Option<LastSet>,
    /// The position in `series`, by the number of the attributes' set, name, unit and aggregation.
    index: BTreeMap<(usize, String, &'static str, Total), usize>,
    pub(crate) bytes: usize,
    dropped_values: usize,
}

#[derive(Debug)]
struct LastSet {
    attributes: Arc<[KeyValue]>,
    text: String,
}

#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) key: SeriesKey,
    total: Total,
    measured: Measurements,
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
        let total = Total::of(&metric);
        let EmfMetric { series: key, values, .. } = metric;
        let bytes = key.bytes();
        let measured = Measured { time, since: time };
        let known = self.set(&key.attributes);
        // Only series that are taken need a set.
        let set = known.unwrap_or(self.sets.len());
        let index = (set, key.name.clone(), key.unit, total);
        let at = match self.index.get(&index).copied() {
            Some(at) => at,
            None if self.takes(bytes) => {
                if let Some(last) = self.last_set.as_ref().filter(|_| known.is_none()) {
                    self.sets.insert(last.text.clone(), set);
                }
                self.index.insert(index, self.series.len());
                let measured = Measurements::new(total.bounds(key.unit, self.shape), measured);
                self.series.push(Series { key, total, measured });
                self.series.len() - 1
            }
            None => {
                self.dropped_values += values.values.len().max(1);
                return;
            }
        };
        if let Some(series) = self.series.get_mut(at) {
            series.record(&values, measured);
        }
    }

    /// The number of these attributes, if a series has them.
    fn set(&mut self, attributes: &Arc<[KeyValue]>) -> Option<usize> {
        let is_last = |last: &LastSet| Arc::ptr_eq(&last.attributes, attributes);
        if !self.last_set.as_ref().is_some_and(is_last) {
            let mut text = String::new();
            for pair in attributes.iter() {
                text.extend([&pair.key, "\0", value_of(pair), "\0"]);
            }
            self.last_set = Some(LastSet { attributes: Arc::clone(attributes), text });
        }
        self.sets.get(&self.last_set.as_ref()?.text).copied()
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

    /// Returns all metrics in the order of their names. Series with the same name and unit become points of one metric.
    pub(crate) fn into_metrics(mut self) -> Vec<Metric> {
        let name = |series: &Series| (series.key.name.clone(), series.key.unit, series.total);
        self.series.sort_by_cached_key(name);
        let mut metrics = Vec::new();
        for Series { key: SeriesKey { name, unit, attributes }, total, measured } in self.series {
            let data = if total == Total::Sum {
                let value = number_data_point::Value::AsDouble(measured.sum);
                measured.into_sum(value, attributes.to_vec(), self.shape)
            } else {
                measured.into_histogram(attributes.to_vec(), self.shape)
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
    fn record(&mut self, distribution: &Distribution, measured: Measured) {
        let Distribution { count, sum, min, max, values } = distribution;
        self.measured.add_up(*count, *sum, (*min, *max), measured);
        for (value, count) in values {
            self.measured.fill(*value, *count);
        }
        if values.is_empty() {
            self.measured.fill(*max, *count);
        }
    }
}
