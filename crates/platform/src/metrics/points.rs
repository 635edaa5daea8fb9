//! Adds up measurements to OTLP data points, one for each metric and set of attributes.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
    metric::Data, number_data_point,
};

use crate::attributes::string;
use crate::metrics::instrument::Instrument;
use crate::names;
use crate::options::Shape;

#[derive(Clone, Copy)]
pub(crate) struct Measured {
    /// Unix time in nanoseconds of the event.
    pub(crate) time: u64,
    /// Unix time in nanoseconds at which the measured phase began: the invocation or the init phase.
    pub(crate) since: u64,
}

/// The only attribute a data point may have: an error type from a fixed list.
pub(crate) type ErrorType = Option<&'static str>;

/// All points of one batch. Linear search suffices for the few metrics.
#[derive(Debug, Default)]
pub(crate) struct Points {
    sums: Vec<SumPoint>,
    histograms: Vec<HistogramPoint>,
    gauges: Vec<(&'static Instrument, Vec<NumberDataPoint>)>,
}

#[derive(Debug)]
struct SumPoint {
    instrument: &'static Instrument,
    error_type: ErrorType,
    value: i64,
    span: TimeSpan,
}

#[derive(Debug)]
struct HistogramPoint {
    instrument: &'static Instrument,
    error_type: ErrorType,
    values: Measurements,
}

/// The measurements of a series, added up.
#[derive(Debug)]
pub(crate) struct Measurements {
    count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    max: f64,
    bounds: &'static [f64],
    /// Count of each bucket, in the order of the bounds; the last bucket has no upper bound.
    buckets: Vec<u64>,
    pub(crate) span: TimeSpan,
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
            span: TimeSpan::of(measured),
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

    pub(crate) fn data_point(self, attributes: Vec<KeyValue>, shape: Shape) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes,
            start_time_unix_nano: self.span.start(shape),
            time_unix_nano: self.span.until,
            count: self.count,
            sum: Some(self.sum),
            min: Some(self.min),
            max: Some(self.max),
            bucket_counts: self.buckets,
            explicit_bounds: self.bounds.to_vec(),
            ..HistogramDataPoint::default()
        }
    }
}

/// From the start of the oldest measured phase to the newest event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeSpan {
    since: u64,
    pub(crate) until: u64,
}

impl TimeSpan {
    fn of(measured: Measured) -> Self {
        Self { since: measured.since, until: measured.time }
    }

    fn extend(&mut self, measured: Measured) {
        self.since = self.since.min(measured.since);
        self.until = self.until.max(measured.time);
    }

    pub(crate) fn start(self, shape: Shape) -> u64 {
        match shape {
            // 0 means "unknown" in OTLP. OpenObserve (0.60.5 tested, 0.92.2 read) makes the start time a label, so any other
            // value would create a new series for every point.
            Shape::OpenObserve => 0,
            // A delta point needs an interval, however short.
            Shape::Otlp => self.since.min(self.until.saturating_sub(1)),
        }
    }
}

impl Points {
    pub(crate) fn count(
        &mut self,
        instrument: &'static Instrument,
        error_type: ErrorType,
        measured: Measured,
    ) {
        self.add(instrument, error_type, 1, measured);
    }

    pub(crate) fn add(
        &mut self,
        instrument: &'static Instrument,
        error_type: ErrorType,
        value: i64,
        measured: Measured,
    ) {
        let is_it = |point: &SumPoint| {
            std::ptr::eq(point.instrument, instrument) && point.error_type == error_type
        };
        let new = || SumPoint { instrument, error_type, value: 0, span: TimeSpan::of(measured) };
        let Some(point) = known_or_new(&mut self.sums, is_it, new) else { return };
        point.value = point.value.saturating_add(value);
        point.span.extend(measured);
    }

    /// Adds a finite value to a histogram with the buckets of this shape.
    pub(crate) fn record(
        &mut self,
        instrument: &'static Instrument,
        error_type: ErrorType,
        value: f64,
        measured: Measured,
        shape: Shape,
    ) {
        let bounds = instrument.bounds(shape);
        let is_it = |point: &HistogramPoint| {
            std::ptr::eq(point.instrument, instrument) && point.error_type == error_type
        };
        let values = || Measurements::new(bounds, measured);
        let new = || HistogramPoint { instrument, error_type, values: values() };
        if let Some(point) = known_or_new(&mut self.histograms, is_it, new) {
            point.values.record(value, measured);
        }
    }

    /// Sets a gauge, which keeps only the newest value.
    pub(crate) fn set(&mut self, instrument: &'static Instrument, value: f64, measured: Measured) {
        let Some(points) = self.gauge(instrument) else { return };
        match points.first_mut() {
            Some(point) if point.time_unix_nano > measured.time => {}
            Some(point) => *point = gauge_point(value, measured),
            None => points.push(gauge_point(value, measured)),
        }
    }

    /// Adds a point to a gauge with one point per event.
    pub(crate) fn append(
        &mut self,
        instrument: &'static Instrument,
        value: f64,
        measured: Measured,
    ) {
        if let Some(points) = self.gauge(instrument) {
            points.push(gauge_point(value, measured));
        }
    }

    /// The points of a gauge, created on demand; always `Some`.
    fn gauge(&mut self, instrument: &'static Instrument) -> Option<&mut Vec<NumberDataPoint>> {
        let is_it = |gauge: &(&Instrument, _)| std::ptr::eq(gauge.0, instrument);
        let gauge = known_or_new(&mut self.gauges, is_it, || (instrument, Vec::new()));
        gauge.map(|(_, points)| points)
    }

    pub(crate) fn into_metrics(self, shape: Shape) -> Vec<Metric> {
        let mut metrics: Vec<Metric> = Vec::new();
        for point in self.sums {
            let data_point = point.data_point(shape);
            let data =
                metric_data(&mut metrics, point.instrument, || Data::Sum(sum_of(Vec::new())));
            if let Some(Data::Sum(sum)) = data {
                sum.data_points.push(data_point);
            }
        }
        for point in self.histograms {
            let instrument = point.instrument;
            let data_point = point.values.data_point(attributes(point.error_type), shape);
            let data = metric_data(&mut metrics, instrument, || {
                Data::Histogram(Histogram {
                    aggregation_temporality: AggregationTemporality::Delta as i32,
                    data_points: Vec::new(),
                })
            });
            if let Some(Data::Histogram(histogram)) = data {
                histogram.data_points.push(data_point);
            }
        }
        for (instrument, data_points) in self.gauges {
            metric_data(&mut metrics, instrument, || Data::Gauge(Gauge { data_points }));
        }
        metrics
    }
}

/// A monotonic counter with delta temporality. The unit is in UCUM's notation.
pub fn delta_sum(
    name: &str,
    unit: &str,
    description: &str,
    data_points: Vec<NumberDataPoint>,
) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        description: description.to_owned(),
        data: Some(Data::Sum(sum_of(data_points))),
        ..Metric::default()
    }
}

fn sum_of(data_points: Vec<NumberDataPoint>) -> Sum {
    Sum {
        aggregation_temporality: AggregationTemporality::Delta as i32,
        is_monotonic: true,
        data_points,
    }
}

fn metric_data<'a>(
    metrics: &'a mut Vec<Metric>,
    instrument: &'static Instrument,
    empty: impl FnOnce() -> Data,
) -> Option<&'a mut Data> {
    let at = metrics.iter().position(|metric| metric.name == instrument.name);
    if at.is_none() {
        metrics.push(Metric {
            name: instrument.name.to_owned(),
            unit: instrument.unit.to_owned(),
            description: instrument.description.to_owned(),
            data: Some(empty()),
            ..Metric::default()
        });
    }
    let metric = match at {
        Some(at) => metrics.get_mut(at),
        None => metrics.last_mut(),
    };
    metric.and_then(|metric| metric.data.as_mut())
}

impl SumPoint {
    fn data_point(&self, shape: Shape) -> NumberDataPoint {
        NumberDataPoint {
            attributes: attributes(self.error_type),
            start_time_unix_nano: self.span.start(shape),
            time_unix_nano: self.span.until,
            value: Some(number_data_point::Value::AsInt(self.value)),
            ..NumberDataPoint::default()
        }
    }
}

fn attributes(error_type: ErrorType) -> Vec<KeyValue> {
    error_type.map(|error_type| string(names::ERROR_TYPE, error_type)).into_iter().collect()
}

/// The element matching the predicate, appended if missing.
fn known_or_new<P>(
    elements: &mut Vec<P>,
    is_it: impl FnMut(&P) -> bool,
    new: impl FnOnce() -> P,
) -> Option<&mut P> {
    let at = elements.iter().position(is_it).unwrap_or_else(|| {
        elements.push(new());
        elements.len() - 1
    });
    elements.get_mut(at)
}

fn gauge_point(value: f64, measured: Measured) -> NumberDataPoint {
    NumberDataPoint {
        time_unix_nano: measured.time,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}
