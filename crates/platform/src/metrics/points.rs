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

/// The time that measurements cover, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// The beginning of the first measured phase: the invocation or the init phase.
    pub(crate) begin: u64,
    /// The time of the newest event.
    pub(crate) end: u64,
}

impl Period {
    /// The period of an event without a duration.
    pub(crate) fn at(time_unix_nano: u64) -> Self {
        Self { begin: time_unix_nano, end: time_unix_nano }
    }

    fn extend(&mut self, other: Self) {
        self.begin = self.begin.min(other.begin);
        self.end = self.end.max(other.end);
    }

    /// The start time of a data point.
    fn start_of_point(self, shape: Shape) -> u64 {
        match shape {
            // 0 means "unknown" in OTLP. OpenObserve (0.60.5 tested, 0.92.2 read) makes the start time a label, so any other
            // value would create a new series for every point.
            Shape::OpenObserve => 0,
            // A delta point needs an interval, however short.
            Shape::Otlp => self.begin.min(self.end.saturating_sub(1)),
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
    gauges: Vec<GaugePoints>,
}

#[derive(Debug)]
struct Series {
    instrument: &'static Instrument,
    error_type: ErrorType,
    measurements: Measurements,
}

#[derive(Debug)]
struct GaugePoints {
    instrument: &'static Instrument,
    points: Vec<NumberDataPoint>,
}

impl Points {
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, ..Self::default() }
    }

    pub(crate) fn count(
        &mut self,
        instrument: &'static Instrument,
        error_type: ErrorType,
        period: Period,
    ) {
        self.record(instrument, error_type, Some(1.0), period);
    }

    /// Adds a finite value that is not negative, if there is one.
    pub(crate) fn record(
        &mut self,
        instrument: &'static Instrument,
        error_type: ErrorType,
        value: Option<f64>,
        period: Period,
    ) {
        let Some(value) = value else { return };
        if matches!(instrument.kind, InstrumentKind::Newest | InstrumentKind::Each) {
            return self.set_gauge(instrument, value, period.end);
        }
        let is_own = |series: &Series| std::ptr::eq(series.instrument, instrument);
        let mut own = self.series.iter_mut().filter(|series| is_own(series));
        if let Some(series) = own.find(|series| series.error_type == error_type) {
            return series.measurements.record(value, period);
        }
        let mut measurements = Measurements::new(instrument.bounds(self.shape), period);
        measurements.record(value, period);
        let last = self.series.iter().rposition(is_own);
        let at = last.map_or(self.series.len(), |last| last + 1);
        self.series.insert(at, Series { instrument, error_type, measurements });
    }

    fn set_gauge(&mut self, instrument: &'static Instrument, value: f64, time_unix_nano: u64) {
        let value = Some(Value::AsDouble(value));
        let point = NumberDataPoint { time_unix_nano, value, ..NumberDataPoint::default() };
        let is_own = |gauge: &&mut GaugePoints| std::ptr::eq(gauge.instrument, instrument);
        let Some(gauge) = self.gauges.iter_mut().find(is_own) else {
            self.gauges.push(GaugePoints { instrument, points: vec![point] });
            return;
        };
        if instrument.kind == InstrumentKind::Each {
            gauge.points.push(point);
            return;
        }
        gauge.points.retain(|known| known.time_unix_nano > time_unix_nano);
        if gauge.points.is_empty() {
            gauge.points.push(point);
        }
    }

    pub(crate) fn take_metrics(&mut self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        let mut add = |instrument: &Instrument, data| {
            let metric = metric(instrument.name, instrument.unit, instrument.description, data);
            add_points(&mut metrics, metric);
        };
        self.series.sort_by_key(|series| series.instrument.kind);
        for Series { instrument, error_type, measurements } in std::mem::take(&mut self.series) {
            let attribute = error_type.map(|error_type| string(names::ERROR_TYPE, error_type));
            let attributes = attribute.into_iter().collect();
            let data = if instrument.kind == InstrumentKind::Sum {
                let value = Value::AsInt(whole(measurements.sum()));
                measurements.into_sum(value, attributes, self.shape)
            } else {
                measurements.into_histogram(attributes, self.shape)
            };
            add(instrument, data);
        }
        for GaugePoints { instrument, points } in std::mem::take(&mut self.gauges) {
            add(instrument, Data::Gauge(Gauge { data_points: points }));
        }
        metrics
    }
}

/// Measurements that were added up, in CloudWatch's term.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StatisticSet {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl StatisticSet {
    /// The statistic set of no measurements.
    pub(crate) const EMPTY: Self =
        Self { count: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY };

    pub(crate) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

#[derive(Debug)]
pub(crate) struct Measurements {
    statistics: StatisticSet,
    bounds: &'static [f64],
    /// Count of each bucket, in the order of the bounds; the last bucket has no upper bound.
    buckets: Vec<u64>,
    period: Period,
}

impl Measurements {
    pub(crate) fn new(bounds: &'static [f64], period: Period) -> Self {
        Self { statistics: StatisticSet::EMPTY, bounds, buckets: vec![0; bounds.len() + 1], period }
    }

    pub(crate) fn sum(&self) -> f64 {
        self.statistics.sum
    }

    fn record(&mut self, value: f64, period: Period) {
        self.add(StatisticSet { count: 1, sum: value, min: value, max: value }, period);
        self.fill_bucket(value, 1);
    }

    /// Adds values that were added up before. Their buckets follow with [`Measurements::fill_bucket`].
    pub(crate) fn add(&mut self, statistics: StatisticSet, period: Period) {
        self.statistics.add(statistics);
        self.period.extend(period);
    }

    /// Adds values to the bucket of this value.
    pub(crate) fn fill_bucket(&mut self, value: f64, count: u64) {
        let bucket = self.bounds.iter().take_while(|bound| value > **bound).count();
        if let Some(filled) = self.buckets.get_mut(bucket) {
            *filled += count;
        }
    }

    /// A sum with this value, which is the sum of the measurements.
    pub(crate) fn into_sum(self, value: Value, attributes: Vec<KeyValue>, shape: Shape) -> Data {
        let point = NumberDataPoint {
            attributes,
            start_time_unix_nano: self.period.start_of_point(shape),
            time_unix_nano: self.period.end,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        Data::Sum(Sum { is_monotonic: self.statistics.min >= 0.0, ..sum_of(vec![point]) })
    }

    pub(crate) fn into_histogram(self, attributes: Vec<KeyValue>, shape: Shape) -> Data {
        // OTLP forbids a sum of negative values; without a sum OpenObserve stores a row without a value.
        let has_sum = self.statistics.min >= 0.0 || shape == Shape::OpenObserve;
        let point = HistogramDataPoint {
            attributes,
            start_time_unix_nano: self.period.start_of_point(shape),
            time_unix_nano: self.period.end,
            count: self.statistics.count,
            sum: has_sum.then_some(self.statistics.sum),
            min: Some(self.statistics.min),
            max: Some(self.statistics.max),
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
