//! Adds up measurements to OTLP data points, one for each metric and set of attributes.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
    metric::Data, number_data_point::Value,
};

use crate::attributes::string;
use crate::metrics::instrument::{Instrument, InstrumentKind};
use crate::names;
use crate::options::Shape;

/// The time of one event, or of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    /// Unix time in nanoseconds of the newest event.
    pub(crate) time: u64,
    /// Unix time in nanoseconds at which the first measured phase began: the invocation or the init phase.
    pub(crate) since: u64,
}

impl Measured {
    fn extend(&mut self, other: Self) {
        self.since = self.since.min(other.since);
        self.time = self.time.max(other.time);
    }

    fn start(self, shape: Shape) -> u64 {
        match shape {
            // 0 means "unknown" in OTLP. OpenObserve (0.60.5 tested, 0.92.2 read) makes the start time a label, so any other
            // value would create a new series for every point.
            Shape::OpenObserve => 0,
            // A delta point needs an interval, however short.
            Shape::Otlp => self.since.min(self.time.saturating_sub(1)),
        }
    }
}

/// The only attribute a data point may have: an error type from a fixed list.
pub(crate) type ErrorType = Option<&'static str>;

/// The points of one batch. Linear search suffices for the few metrics.
#[derive(Debug, Default)]
pub(crate) struct Points {
    shape: Shape,
    /// Sums and histograms; the series of a metric are neighbours.
    series: Vec<Series>,
    gauges: Vec<(&'static Instrument, Vec<NumberDataPoint>)>,
}

#[derive(Debug)]
struct Series {
    instrument: &'static Instrument,
    error_type: ErrorType,
    measured: Measurements,
}

impl Points {
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, ..Self::default() }
    }

    pub(crate) fn count(
        &mut self,
        instrument: &'static Instrument,
        error_type: ErrorType,
        measured: Measured,
    ) {
        self.record(instrument, error_type, Some(1.0), measured);
    }

    /// Adds a finite value that is not negative, if there is one.
    pub(crate) fn record(
        &mut self,
        instrument: &'static Instrument,
        error_type: ErrorType,
        value: Option<f64>,
        measured: Measured,
    ) {
        let Some(value) = value else { return };
        if matches!(instrument.kind, InstrumentKind::Newest | InstrumentKind::Each) {
            return self.set(instrument, value, measured);
        }
        let is_own = |series: &&mut Series| std::ptr::eq(series.instrument, instrument);
        let mut own = self.series.iter_mut().filter(is_own);
        if let Some(series) = own.find(|series| series.error_type == error_type) {
            return series.measured.record(value, measured);
        }
        let mut new = Measurements::new(instrument.bounds(self.shape), measured);
        new.record(value, measured);
        let last =
            self.series.iter().rposition(|series| std::ptr::eq(series.instrument, instrument));
        let at = last.map_or(self.series.len(), |last| last + 1);
        self.series.insert(at, Series { instrument, error_type, measured: new });
    }

    fn set(
        &mut self,
        instrument: &'static Instrument,
        value: f64,
        Measured { time, .. }: Measured,
    ) {
        let value = Some(Value::AsDouble(value));
        let point = NumberDataPoint { time_unix_nano: time, value, ..NumberDataPoint::default() };
        let known = self.gauges.iter_mut().find(|(known, _)| std::ptr::eq(*known, instrument));
        match known.map(|(_, points)| points) {
            None => self.gauges.push((instrument, vec![point])),
            Some(points) if instrument.kind == InstrumentKind::Each => points.push(point),
            Some(points) => {
                points.retain(|known| known.time_unix_nano > time);
                if points.is_empty() {
                    points.push(point);
                }
            }
        }
    }

    pub(crate) fn take_metrics(&mut self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        let mut add = |instrument: &Instrument, data| {
            let metric = metric(instrument.name, instrument.unit, instrument.description, data);
            add_points(&mut metrics, metric);
        };
        self.series.sort_by_key(|series| series.instrument.kind);
        for Series { instrument, error_type, measured } in std::mem::take(&mut self.series) {
            let attribute = error_type.map(|error_type| string(names::ERROR_TYPE, error_type));
            let attributes = attribute.into_iter().collect();
            let data = if instrument.kind == InstrumentKind::Sum {
                let value = Value::AsInt(whole(measured.sum));
                measured.into_sum(value, attributes, self.shape)
            } else {
                measured.into_histogram(attributes, self.shape)
            };
            add(instrument, data);
        }
        for (instrument, data_points) in std::mem::take(&mut self.gauges) {
            add(instrument, Data::Gauge(Gauge { data_points }));
        }
        metrics
    }
}

#[derive(Debug)]
pub(crate) struct Measurements {
    count: u64,
    pub(crate) sum: f64,
    min: f64,
    max: f64,
    bounds: &'static [f64],
    /// Count of each bucket, in the order of the bounds; the last bucket has no upper bound.
    buckets: Vec<u64>,
    span: Measured,
}

impl Measurements {
    pub(crate) fn new(bounds: &'static [f64], measured: Measured) -> Self {
        Self {
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            bounds,
            buckets: vec![0; bounds.len() + 1],
            span: measured,
        }
    }

    pub(crate) fn record(&mut self, value: f64, measured: Measured) {
        self.add_up(1, value, (value, value), measured);
        self.fill(value, 1);
    }

    /// Adds values that were added up before. Their buckets follow with [`Measurements::fill`].
    pub(crate) fn add_up(
        &mut self,
        count: u64,
        sum: f64,
        (min, max): (f64, f64),
        measured: Measured,
    ) {
        self.count += count;
        self.sum += sum;
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        self.span.extend(measured);
    }

    pub(crate) fn fill(&mut self, value: f64, values: u64) {
        let bucket = self.bounds.iter().take_while(|bound| value > **bound).count();
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += values;
        }
    }

    /// A sum with this value, which is the sum of the measurements.
    pub(crate) fn into_sum(self, value: Value, attributes: Vec<KeyValue>, shape: Shape) -> Data {
        let point = NumberDataPoint {
            attributes,
            start_time_unix_nano: self.span.start(shape),
            time_unix_nano: self.span.time,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        Data::Sum(Sum { is_monotonic: self.min >= 0.0, ..sum_of(vec![point]) })
    }

    pub(crate) fn into_histogram(self, attributes: Vec<KeyValue>, shape: Shape) -> Data {
        // OTLP forbids a sum of negative values; without a sum OpenObserve stores a row without a value.
        let has_sum = self.min >= 0.0 || shape == Shape::OpenObserve;
        let point = HistogramDataPoint {
            attributes,
            start_time_unix_nano: self.span.start(shape),
            time_unix_nano: self.span.time,
            count: self.count,
            sum: has_sum.then_some(self.sum),
            min: Some(self.min),
            max: Some(self.max),
            bucket_counts: self.buckets,
            explicit_bounds: self.bounds.to_vec(),
            ..HistogramDataPoint::default()
        };
        let aggregation_temporality = AggregationTemporality::Delta as i32;
        Data::Histogram(Histogram { aggregation_temporality, data_points: vec![point] })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "sums of plausible values are below 2^63")]
fn whole(value: f64) -> i64 {
    value as i64
}

/// Adds the points of a series to the last metric if that has its name, unit and kind, or else as another metric.
pub(crate) fn add_points(metrics: &mut Vec<Metric>, metric: Metric) {
    let is_same = |last: &&mut Metric| last.name == metric.name && last.unit == metric.unit;
    let last = metrics.last_mut().filter(is_same).and_then(|last| last.data.as_mut());
    match (last, metric.data) {
        (Some(Data::Sum(last)), Some(Data::Sum(sum))) => {
            last.is_monotonic &= sum.is_monotonic;
            last.data_points.extend(sum.data_points);
        }
        (Some(Data::Histogram(last)), Some(Data::Histogram(histogram))) => {
            last.data_points.extend(histogram.data_points);
        }
        (_, data) => metrics.push(Metric { data, ..metric }),
    }
}

pub(crate) fn metric(name: &str, unit: &str, description: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        description: description.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

/// A monotonic counter with delta temporality. The unit is in UCUM's notation.
pub fn delta_sum(
    name: &str,
    unit: &str,
    description: &str,
    data_points: Vec<NumberDataPoint>,
) -> Metric {
    metric(name, unit, description, Data::Sum(sum_of(data_points)))
}

fn sum_of(data_points: Vec<NumberDataPoint>) -> Sum {
    Sum {
        aggregation_temporality: AggregationTemporality::Delta as i32,
        is_monotonic: true,
        data_points,
    }
}
