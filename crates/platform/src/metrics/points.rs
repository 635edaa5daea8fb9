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
use foldhash::HashMap;

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

/// The points of one batch. Linear search suffices for the few metrics.
#[derive(Debug, Default)]
pub(crate) struct Points {
    sums: Vec<Series<Total>>,
    histograms: Vec<Series<Measurements>>,
    gauges: Vec<Series<Vec<NumberDataPoint>>>,
}

#[derive(Debug)]
struct Series<T> {
    instrument: &'static Instrument,
    error_type: ErrorType,
    values: T,
}

#[derive(Debug)]
struct Total {
    value: i64,
    span: Measured,
}

/// The values of a series, which is created on demand.
#[expect(clippy::indexing_slicing, reason = "the position was found, or is the last")]
fn values_of<'a, T>(
    all: &'a mut Vec<Series<T>>,
    instrument: &'static Instrument,
    error_type: ErrorType,
    new: impl FnOnce() -> T,
) -> &'a mut T {
    let is_it = |series: &Series<T>| {
        std::ptr::eq(series.instrument, instrument) && series.error_type == error_type
    };
    let at = all.iter().position(is_it).unwrap_or_else(|| {
        all.push(Series { instrument, error_type, values: new() });
        all.len() - 1
    });
    &mut all[at].values
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
        let new = || Total { value: 0, span: measured };
        let total = values_of(&mut self.sums, instrument, error_type, new);
        total.value = total.value.saturating_add(value);
        total.span.extend(measured);
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
        let new = || Measurements::new(instrument.bounds(shape), measured);
        values_of(&mut self.histograms, instrument, error_type, new).record(value, measured);
    }

    /// Sets a gauge, which keeps only the newest value.
    pub(crate) fn set(&mut self, instrument: &'static Instrument, value: f64, measured: Measured) {
        let points = values_of(&mut self.gauges, instrument, None, Vec::new);
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
        let points = values_of(&mut self.gauges, instrument, None, Vec::new);
        points.push(gauge_point(value, measured));
    }

    pub(crate) fn into_metrics(self, shape: Shape) -> Vec<Metric> {
        let mut metrics = Metrics::default();
        let mut add = |instrument: &Instrument, data| {
            metrics.add(Metric {
                name: instrument.name.to_owned(),
                unit: instrument.unit.to_owned(),
                description: instrument.description.to_owned(),
                data: Some(data),
                ..Metric::default()
            });
        };
        for Series { instrument, error_type, values: Total { value, span } } in self.sums {
            let value = number_data_point::Value::AsInt(value);
            add(instrument, sum(value, span, attributes(error_type), shape, true));
        }
        for Series { instrument, error_type, values } in self.histograms {
            add(instrument, histogram(values.data_point(attributes(error_type), shape)));
        }
        for Series { instrument, values: data_points, .. } in self.gauges {
            add(instrument, Data::Gauge(Gauge { data_points }));
        }
        metrics.all
    }
}

/// Metrics, to which series are added.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) all: Vec<Metric>,
    /// The position of the last metric of a name and unit.
    known: HashMap<(String, String), usize>,
}

impl Metrics {
    /// Adds the points of a series. Series with the same name and unit become points of one metric, unless their kinds differ.
    pub(crate) fn add(&mut self, metric: Metric) {
        let key = (metric.name.clone(), metric.unit.clone());
        let known = self.known.get(&key).and_then(|at| self.all.get_mut(*at));
        match (known.and_then(|known| known.data.as_mut()), metric.data) {
            (Some(Data::Sum(known)), Some(Data::Sum(sum))) => {
                known.is_monotonic &= sum.is_monotonic;
                known.data_points.extend(sum.data_points);
            }
            (Some(Data::Histogram(known)), Some(Data::Histogram(histogram))) => {
                known.data_points.extend(histogram.data_points);
            }
            (_, data) => {
                self.known.insert(key, self.all.len());
                self.all.push(Metric { data, ..metric });
            }
        }
    }
}

pub(crate) fn sum(
    value: number_data_point::Value,
    span: Measured,
    attributes: Vec<KeyValue>,
    shape: Shape,
    is_monotonic: bool,
) -> Data {
    let point = NumberDataPoint {
        attributes,
        start_time_unix_nano: span.start(shape),
        time_unix_nano: span.time,
        value: Some(value),
        ..NumberDataPoint::default()
    };
    Data::Sum(Sum { is_monotonic, ..sum_of(vec![point]) })
}

pub(crate) fn histogram(point: HistogramDataPoint) -> Data {
    let aggregation_temporality = AggregationTemporality::Delta as i32;
    Data::Histogram(Histogram { aggregation_temporality, data_points: vec![point] })
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

fn attributes(error_type: ErrorType) -> Vec<KeyValue> {
    error_type.map(|error_type| string(names::ERROR_TYPE, error_type)).into_iter().collect()
}

fn gauge_point(value: f64, measured: Measured) -> NumberDataPoint {
    NumberDataPoint {
        time_unix_nano: measured.time,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}
