//! Turns lines in CloudWatch's embedded metric format (EMF) into OTLP metrics.
//!
//! Source: CloudWatch User Guide, "Specification: Embedded metric format". What that leaves open,
//! or what OTLP lacks, is decided so:
//! - The metric keeps its name; the namespace is the attribute `aws.cloudwatch.namespace`, since a
//!   user searches for the name that the code says.
//! - The attributes are all dimensions of all dimension sets: CloudWatch makes a metric of each
//!   set, but the smaller ones are sums over the whole, and as points beside it would count twice.
//! - Unit `Count` is a delta sum. Anything else is a delta histogram: CloudWatch keeps count, sum,
//!   minimum and maximum of it, and so does a histogram. Negative values, which neither can hold,
//!   are points of a gauge.
//! - `StorageResolution` and `LogGroupName` mean nothing here.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
    metric::Data, number_data_point,
};
use serde_json::value::RawValue;

use crate::attributes::string;
use crate::fields::{Elements, Fields, text};
use crate::instrument::DURATION_BOUNDS;
use crate::metrics::Shape;
use crate::names;
use crate::time;

/// The key that makes a JSON line one of this format.
pub(crate) const KEY: &str = "_aws";

/// Of one line; the specification allows 100 a directive.
const MAX_METRICS: usize = 200;
/// Of one metric, by the specification.
const MAX_VALUES: usize = 100;
/// Of one metric, by the specification.
const MAX_DIMENSIONS: usize = 30;
/// Of a name or a dimension's value; the specification allows 1,024 characters.
const MAX_TEXT_BYTES: usize = 4096;
/// What the names and attributes of all series of a chunk may take: one short line can name many
/// metrics with all dimensions each.
const MAX_SERIES_BYTES: usize = 8 * 1024 * 1024;
/// Beyond it sums would not stay finite.
const MAX_VALUE: f64 = 1e18;

/// The advice of OpenTelemetry's SDK specification for histograms of unknown contents.
const BOUNDS: [f64; 15] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0,
    10_000.0,
];

/// The metrics of one line.
#[derive(Debug, Default)]
pub(crate) struct EmfLine {
    /// Unix time in nanoseconds.
    time: Option<u64>,
    metrics: Vec<EmfMetric>,
    /// Values that were none.
    refused: usize,
}

#[derive(Debug)]
struct EmfMetric {
    series: SeriesKey,
    values: Vec<f64>,
}

#[derive(Debug)]
struct SeriesKey {
    name: String,
    unit: Unit,
    attributes: Vec<KeyValue>,
}

/// A unit of CloudWatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit {
    ucum: &'static str,
    is_count: bool,
}

impl Unit {
    /// `None` and what CloudWatch does not know are no unit.
    fn of(text: Option<&str>) -> Self {
        let ucum = match text.unwrap_or_default() {
            "Seconds" => "s",
            "Milliseconds" => "ms",
            "Microseconds" => "us",
            "Bytes" => "By",
            "Kilobytes" => "kBy",
            "Megabytes" => "MBy",
            "Gigabytes" => "GBy",
            "Terabytes" => "TBy",
            "Bits" => "bit",
            "Kilobits" => "kbit",
            "Megabits" => "Mbit",
            "Gigabits" => "Gbit",
            "Terabits" => "Tbit",
            "Percent" => "%",
            "Count" => return Self { ucum: "{count}", is_count: true },
            "Bytes/Second" => "By/s",
            "Kilobytes/Second" => "kBy/s",
            "Megabytes/Second" => "MBy/s",
            "Gigabytes/Second" => "GBy/s",
            "Terabytes/Second" => "TBy/s",
            "Bits/Second" => "bit/s",
            "Kilobits/Second" => "kbit/s",
            "Megabits/Second" => "Mbit/s",
            "Gigabits/Second" => "Gbit/s",
            "Terabits/Second" => "Tbit/s",
            "Count/Second" => "{count}/s",
            _ => "",
        };
        Self { ucum, is_count: false }
    }

    fn bounds(self) -> &'static [f64] {
        if self.ucum == "s" { &DURATION_BOUNDS } else { &BOUNDS }
    }
}

/// Reads the metrics of a line, or answers `None` if it is not in this format, or so malformed
/// that it has none. Cheap for other lines: they are refused unread.
pub(crate) fn parse(line: &str) -> Option<EmfLine> {
    let line = line.trim();
    if !line.starts_with('{') || !line.contains("\"CloudWatchMetrics\"") {
        return None;
    }
    let root = Fields::of(line)?;
    let metadata = Fields::of(root.get(KEY)?.get())?;
    let mut read =
        EmfLine { time: metadata.get("Timestamp").and_then(timestamp), ..EmfLine::default() };
    for directive in Elements::of(metadata.get("CloudWatchMetrics")?.get()).values {
        if let Some(directive) = Fields::of(directive.get()) {
            read.directive(&directive, &root);
        }
    }
    (!read.metrics.is_empty()).then_some(read)
}

/// Milliseconds since 1970.
fn timestamp(value: &RawValue) -> Option<u64> {
    let ms: f64 = value.get().parse().ok()?;
    (0.0..=time::MAX_MS).contains(&ms).then(|| time::of_millis(ms))
}

impl EmfLine {
    fn directive(&mut self, directive: &Fields<'_>, root: &Fields<'_>) {
        let namespace = directive.text("Namespace").filter(|text| is_short(text));
        let namespace = namespace.map(|text| string(names::CLOUDWATCH_NAMESPACE, text));
        let mut attributes: Vec<KeyValue> = namespace.into_iter().collect();
        attributes.extend(dimensions(directive, root));
        let Some(metrics) = directive.get("Metrics") else { return };
        for metric in Elements::of(metrics.get()).values {
            let Some(metric) = Fields::of(metric.get()) else { continue };
            let Some(name) = metric.text("Name").filter(|name| is_short(name)) else { continue };
            let Some(value) = root.get(&name) else { continue };
            if self.metrics.len() == MAX_METRICS {
                self.refused += 1;
                continue;
            }
            let values = self.values(value);
            if !values.is_empty() {
                let unit = Unit::of(metric.text("Unit").as_deref());
                let series = SeriesKey { name, unit, attributes: attributes.clone() };
                self.metrics.push(EmfMetric { series, values });
            }
        }
    }

    /// A number, or an array of numbers.
    fn values(&mut self, value: &RawValue) -> Vec<f64> {
        let many = Elements::of(value.get());
        let given = if value.get().starts_with('[') { many.values } else { vec![value] };
        let values: Vec<f64> = given
            .iter()
            .take(MAX_VALUES)
            .filter_map(|value| value.get().parse::<f64>().ok())
            .filter(|value| value.abs() <= MAX_VALUE)
            .collect();
        self.refused += given.len() - values.len();
        values
    }
}

/// Not empty, and not longer than anything that CloudWatch takes.
fn is_short(text: &str) -> bool {
    (1..=MAX_TEXT_BYTES).contains(&text.len())
}

/// The dimensions of all sets, each once, with the values that the line gives them.
fn dimensions(directive: &Fields<'_>, root: &Fields<'_>) -> Vec<KeyValue> {
    let mut dimensions: Vec<KeyValue> = Vec::new();
    let Some(sets) = directive.get("Dimensions") else { return dimensions };
    for set in Elements::of(sets.get()).values {
        for name in Elements::of(set.get()).values.into_iter().filter_map(text) {
            let is_known = dimensions.iter().any(|known| known.key == name);
            if is_known || !is_short(&name) || dimensions.len() == MAX_DIMENSIONS {
                continue;
            }
            // Strings by the specification; numbers are taken for their text.
            let Some(value) = root.get(&name) else { continue };
            let value = text(value).unwrap_or_else(|| value.get().to_owned());
            if is_short(&value) {
                dimensions.push(string(&name, value));
            }
        }
    }
    // Writers do not keep an order, and series are equal by their attributes.
    dimensions.sort_by(|a, b| a.key.cmp(&b.key));
    dimensions
}

/// The points of all lines of a chunk.
#[derive(Debug, Default)]
pub(crate) struct EmfPoints {
    series: Vec<Series>,
    /// Where each series stands.
    index: BTreeMap<String, usize>,
    bytes: usize,
    dropped_values: usize,
}

#[derive(Debug)]
struct Series {
    key: SeriesKey,
    since: u64,
    until: u64,
    /// Count, sum, minimum, maximum and buckets of the values that are not negative.
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    buckets: Vec<u64>,
    negative: Vec<(u64, f64)>,
}

/// CloudWatch takes metrics of two weeks ago and of two hours ahead; a time beyond is a mistake.
const MAX_AGE: u64 = 14 * 24 * 3600 * 1_000_000_000;
const MAX_AHEAD: u64 = 2 * 3600 * 1_000_000_000;

impl EmfPoints {
    /// Adds the metrics of a line that was logged at this time.
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
        let index = key.index();
        let at = match self.index.get(&index).copied() {
            Some(at) => at,
            None if self.takes(bytes) => {
                self.index.insert(index, self.series.len());
                self.series.push(Series::new(key, time));
                self.series.len() - 1
            }
            None => {
                self.dropped_values += values.len();
                return;
            }
        };
        for value in values {
            // Each negative value is a point with attributes of its own.
            if value < 0.0 && !self.takes(bytes) {
                self.dropped_values += 1;
            } else if let Some(series) = self.series.get_mut(at) {
                series.record(value, time);
            }
        }
    }

    /// Whether so many bytes more are within the bound; if so they are taken.
    fn takes(&mut self, bytes: usize) -> bool {
        let sum = self.bytes.saturating_add(bytes);
        let fits = sum <= MAX_SERIES_BYTES;
        if fits {
            self.bytes = sum;
        }
        fits
    }

    /// Values that are left out.
    pub(crate) fn dropped_values(&self) -> usize {
        self.dropped_values
    }

    /// All metrics: those of one name and unit are one, except gauges.
    pub(crate) fn into_metrics(self, shape: Shape) -> Vec<Metric> {
        let mut metrics: Vec<Metric> = Vec::new();
        let mut known: BTreeMap<(String, &'static str), usize> = BTreeMap::new();
        for series in self.series {
            let name = (series.key.name.clone(), series.key.unit.ucum);
            for data in series.data(shape) {
                let metric = known.get(&name).and_then(|at| metrics.get_mut(*at));
                match (metric.and_then(|metric| metric.data.as_mut()), data) {
                    (Some(Data::Sum(known)), Data::Sum(sum)) => {
                        known.data_points.extend(sum.data_points);
                    }
                    (Some(Data::Histogram(known)), Data::Histogram(histogram)) => {
                        known.data_points.extend(histogram.data_points);
                    }
                    (_, data) => {
                        // A gauge has one attribute set: OpenObserve mixes those of its points
                        // (openobserve.md 3).
                        if !matches!(data, Data::Gauge(_)) {
                            known.insert(name.clone(), metrics.len());
                        }
                        metrics.push(Metric {
                            name: name.0.clone(),
                            unit: name.1.to_owned(),
                            data: Some(data),
                            ..Metric::default()
                        });
                    }
                }
            }
        }
        metrics
    }
}

impl SeriesKey {
    /// What a series takes, roughly: its texts, here and as its index, and its buckets.
    fn bytes(&self) -> usize {
        let attribute = |pair: &KeyValue| 64 + 2 * (pair.key.len() + value_of(pair).len());
        512 + 2 * self.name.len() + self.attributes.iter().map(attribute).sum::<usize>()
    }

    /// The same text for the same series.
    fn index(&self) -> String {
        let mut index = format!("{}\0{}", self.name, self.unit.ucum);
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
    fn new(key: SeriesKey, time: u64) -> Self {
        let buckets = if key.unit.is_count { 0 } else { key.unit.bounds().len() + 1 };
        Self {
            key,
            since: time,
            until: time,
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            buckets: vec![0; buckets],
            negative: Vec::new(),
        }
    }

    fn record(&mut self, value: f64, time: u64) {
        self.since = self.since.min(time);
        self.until = self.until.max(time);
        if value < 0.0 {
            self.negative.push((time, value));
            return;
        }
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let bucket = self.key.unit.bounds().iter().take_while(|bound| value > **bound).count();
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
    }

    fn data(&self, shape: Shape) -> Vec<Data> {
        let start_time_unix_nano = match shape {
            // See `points::TimeSpan::start`.
            Shape::OpenObserve => 0,
            Shape::Otlp => self.since.min(self.until.saturating_sub(1)),
        };
        let number = |time: u64, value: f64| NumberDataPoint {
            attributes: self.key.attributes.clone(),
            time_unix_nano: time,
            value: Some(number_data_point::Value::AsDouble(value)),
            ..NumberDataPoint::default()
        };
        let temporality = AggregationTemporality::Delta as i32;
        let mut data = Vec::new();
        if self.count > 0 && self.key.unit.is_count {
            let point = NumberDataPoint { start_time_unix_nano, ..number(self.until, self.sum) };
            data.push(Data::Sum(Sum {
                aggregation_temporality: temporality,
                is_monotonic: true,
                data_points: vec![point],
            }));
        } else if self.count > 0 {
            let point = HistogramDataPoint {
                attributes: self.key.attributes.clone(),
                start_time_unix_nano,
                time_unix_nano: self.until,
                count: self.count,
                sum: Some(self.sum),
                min: Some(self.min),
                max: Some(self.max),
                bucket_counts: self.buckets.clone(),
                explicit_bounds: self.key.unit.bounds().to_vec(),
                ..HistogramDataPoint::default()
            };
            data.push(Data::Histogram(Histogram {
                aggregation_temporality: temporality,
                data_points: vec![point],
            }));
        }
        if !self.negative.is_empty() {
            let points = self.negative.iter().map(|(time, value)| number(*time, *value));
            data.push(Data::Gauge(Gauge { data_points: points.collect() }));
        }
        data
    }
}

#[cfg(test)]
#[path = "emf_tests.rs"]
mod tests;
