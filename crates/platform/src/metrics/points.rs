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

    pub(crate) fn start(self, shape: Shape) -> u64 {
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
    span: Measured,
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
    pub(crate) span: Measured,
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

    pub(crate) fn data_point(self, attributes: Vec<KeyValue>, shape: Shape) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes,
            start_time_unix_nano: self.span.start(shape),
            time_unix_nano: self.span.time,
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
        let new = || SumPoint { instrument, error_type, value: 0, span: measured };
        let point = known_or_new(&mut self.sums, is_it, new);
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
        known_or_new(&mut self.histograms, is_it, new).values.record(value, measured);
    }

    /// Sets a gauge, which keeps only the newest value.
    pub(crate) fn set(&mut self, instrument: &'static Instrument, value: f64, measured: Measured) {
        let points = self.gauge(instrument);
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
        self.gauge(instrument).push(gauge_point(value, measured));
    }

    /// The points of a gauge, created on demand.
    fn gauge(&mut self, instrument: &'static Instrument) -> &mut Vec<NumberDataPoint> {
        let is_it = |gauge: &(&Instrument, _)| std::ptr::eq(gauge.0, instrument);
        &mut known_or_new(&mut self.gauges, is_it, || (instrument, Vec::new())).1
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
    let new = || Metric {
        name: instrument.name.to_owned(),
        unit: instrument.unit.to_owned(),
        description: instrument.description.to_owned(),
        data: Some(empty()),
        ..Metric::default()
    };
    known_or_new(metrics, |metric| metric.name == instrument.name, new).data.as_mut()
}

impl SumPoint {
    fn data_point(&self, shape: Shape) -> NumberDataPoint {
        NumberDataPoint {
            attributes: attributes(self.error_type),
            start_time_unix_nano: self.span.start(shape),
            time_unix_nano: self.span.time,
            value: Some(number_data_point::Value::AsInt(self.value)),
            ..NumberDataPoint::default()
        }
    }
}

fn attributes(error_type: ErrorType) -> Vec<KeyValue> {
    error_type.map(|error_type| string(names::ERROR_TYPE, error_type)).into_iter().collect()
}

/// The element matching the predicate, appended if missing.
#[expect(clippy::indexing_slicing, reason = "the position was found, or is the last")]
fn known_or_new<P>(
    elements: &mut Vec<P>,
    is_it: impl FnMut(&P) -> bool,
    new: impl FnOnce() -> P,
) -> &mut P {
    let at = elements.iter().position(is_it).unwrap_or_else(|| {
        elements.push(new());
        elements.len() - 1
    });
    &mut elements[at]
}

fn gauge_point(value: f64, measured: Measured) -> NumberDataPoint {
    NumberDataPoint {
        time_unix_nano: measured.time,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}
