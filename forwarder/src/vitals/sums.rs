//! Adds up the reports of several invocations, and converts them to OTLP with delta temporality.

use crate::ledger::Ledger;
use crate::report::Report;
use crate::rules::Effect;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use platform::{delta_sum, string_attribute};
use wire::SignalKind;

/// From a usual second to the end of OpenObserve's ingest window.
const LAG_BOUNDS: [f64; 10] = [1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 18_000.0];

/// A value with its attributes, ordered by key.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Point<'a> {
    attributes: Vec<(&'static str, &'a str)>,
    value: usize,
}

/// The sums of several invocations.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) since_unix_nano: Option<u64>,
    pub(super) invocations: usize,
    /// Requests with these metrics that were not accepted.
    pub(super) failures: usize,
    /// The numbers of all reports.
    pub(super) report: Report,
    /// The sum of [`Report::taken_of_returned`].
    pub(super) taken_of_returned: usize,
    pub(super) lag: Option<Lag>,
}

#[derive(Clone, Debug)]
pub(super) struct Lag {
    count: u64,
    sum_ms: u64,
    pub(super) min_ms: u64,
    pub(super) max_ms: u64,
    /// One bucket for each bound, and one for larger values.
    buckets: [u64; LAG_BOUNDS.len() + 1],
}

impl Sums {
    pub(super) fn add(&mut self, report: &Report, now_unix_nano: u64) {
        self.since_unix_nano = self.since_unix_nano.into_iter().chain([now_unix_nano]).min();
        self.invocations += 1;
        self.taken_of_returned += report.taken_of_returned();
        // A redrive has no log events, and must not lower the average.
        if let Some(oldest_ms) = report.oldest_event_ms {
            self.add_lag(oldest_ms, now_unix_nano);
        }
        self.report.ledgers += report.ledgers.clone();
        Effect::add_all(&mut self.report.rules, report.rules.clone());
        self.report.renamed += report.renamed;
        self.report.panics += report.panics;
        self.report.requests_sent += report.requests_sent;
        self.report.bytes_sent += report.bytes_sent;
    }

    /// Adds 0 for a time in the future: the clocks of function and forwarder differ.
    fn add_lag(&mut self, oldest_ms: i64, now_unix_nano: u64) {
        let now_ms = i64::try_from(now_unix_nano / 1_000_000).unwrap_or(i64::MAX);
        let lag_ms = u64::try_from(now_ms.saturating_sub(oldest_ms)).unwrap_or(0);
        let lag = self.lag.get_or_insert(Lag {
            count: 0,
            sum_ms: 0,
            min_ms: lag_ms,
            max_ms: lag_ms,
            buckets: [0; LAG_BOUNDS.len() + 1],
        });
        lag.count += 1;
        lag.sum_ms = lag.sum_ms.saturating_add(lag_ms);
        lag.min_ms = lag.min_ms.min(lag_ms);
        lag.max_ms = lag.max_ms.max(lag_ms);
        let bucket = LAG_BOUNDS.iter().take_while(|bound| seconds(lag_ms) > **bound).count();
        if let Some(count) = lag.buckets.get_mut(bucket) {
            *count += 1;
        }
    }

    /// Converts all values until now to metrics of this resource, ordered by name. Those without a value are left out.
    pub(super) fn metrics(&self, resource: Resource, now_unix_nano: u64) -> ResourceMetrics {
        let report = &self.report;
        let total = report.ledger();
        // A delta needs an interval.
        let start = self.since_unix_nano.unwrap_or(u64::MAX).min(now_unix_nano.saturating_sub(1));
        let point = |Point { attributes, value }: Point<'_>| NumberDataPoint {
            attributes: attributes.iter().map(|(key, text)| string_attribute(key, *text)).collect(),
            start_time_unix_nano: start,
            time_unix_nano: now_unix_nano,
            value: Some(number_data_point::Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX))),
            ..NumberDataPoint::default()
        };
        let one = |value| vec![Point { attributes: Vec::new(), value }];
        // One zero point: panels and alerts fail if the metric does not exist.
        let mut consumed: Vec<Point<'_>> = total
            .consumed
            .by_rule()
            .into_iter()
            .enumerate()
            .filter(|(number, (_, events))| *number == 0 || *events > 0)
            .map(|(_, (rule, events))| Point {
                attributes: vec![("lambda_otlp.consumed_by", rule)],
                value: events,
            })
            .collect();
        consumed.sort();
        let dropping = report.rules.iter().filter(|effect| effect.dropped > 0);
        let dropped = dropping.map(|effect| Point {
            attributes: vec![("lambda_otlp.rule", &*effect.rule)],
            value: effect.dropped,
        });
        let mut ambiguous = Vec::new();
        let mut handled = Vec::new();
        let mut placed = Vec::new();
        for (destination, ledger) in &report.ledgers.destinations {
            let of = ("lambda_otlp.destination", destination.as_str());
            ambiguous.push(Point { attributes: vec![of], value: ledger.ambiguous });
            let of_signal = |(signal, items)| Point {
                attributes: vec![of, ("lambda_otlp.signal", signal)],
                value: items,
            };
            handled.extend(by_signal(ledger).map(of_signal));
            let of_fate = |(fate, items)| Point {
                attributes: vec![of, ("lambda_otlp.fate", fate)],
                value: items,
            };
            placed.extend(by_fate(ledger).map(of_fate));
        }
        let above_zero = |count: usize| if count > 0 { one(count) } else { Vec::new() };
        // The name after `lambda_otlp.forwarder.`, the unit (UCUM), the description, and the values.
        let counters = [
            (
                "attributes.renamed",
                "{attribute}",
                "Attributes with a changed key.",
                above_zero(report.renamed),
            ),
            ("events.consumed", "{event}", "Log events that became no item.", consumed),
            ("events.cut", "{event}", "Log events with a cut message.", above_zero(total.cut)),
            ("events.received", "{event}", "Log events received.", one(total.events)),
            (
                "events.undivided",
                "{event}",
                "Log events with too many JSON lines.",
                above_zero(total.undivided),
            ),
            ("invocations", "{invocation}", "Invocations of the forwarder.", one(self.invocations)),
            ("items.ambiguous", "{item}", "Items that may be stored twice.", ambiguous),
            ("items.dropped_by_rule", "{item}", "Items that rules dropped.", dropped.collect()),
            ("items.handled", "{item}", "Items for a destination, and undecodable lines.", handled),
            ("items.placed", "{item}", "The same items by fate.", placed),
            ("request.bytes", "By", "Compressed size of the requests.", one(report.bytes_sent)),
            ("requests", "{request}", "Requests, including retries.", one(report.requests_sent)),
            ("vitals.failures", "{request}", "Failed requests of vitals.", one(self.failures)),
        ];
        let with_points = counters.into_iter().filter(|(.., points)| !points.is_empty());
        let sums = with_points.map(|(name, unit, description, points)| {
            let points = points.into_iter().map(point).collect();
            delta_sum(&format!("lambda_otlp.forwarder.{name}"), unit, description, points)
        });
        let lag = self.lag.as_ref().map(|lag| lag.metric(start, now_unix_nano));
        let scope = InstrumentationScope {
            name: "lambda-otlp/forwarder".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics: sums.chain(lag).collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }
    }
}

fn by_signal(Ledger { items, .. }: &Ledger) -> [(&'static str, usize); 4] {
    [
        (SignalKind::Logs.as_str(), items.log_records),
        (SignalKind::Metrics.as_str(), items.data_points),
        (SignalKind::Traces.as_str(), items.spans),
        ("undecodable", items.undecodable),
    ]
}

fn by_fate(ledger: &Ledger) -> [(&'static str, usize); 5] {
    [
        ("accepted", ledger.accepted),
        ("dead_lettered", ledger.dead_lettered),
        ("dropped", ledger.dropped),
        ("parked", ledger.parked),
        ("returned", ledger.returned),
    ]
}

impl Lag {
    fn metric(&self, start_time_unix_nano: u64, time_unix_nano: u64) -> Metric {
        let point = HistogramDataPoint {
            start_time_unix_nano,
            time_unix_nano,
            count: self.count,
            sum: Some(seconds(self.sum_ms)),
            min: Some(seconds(self.min_ms)),
            max: Some(seconds(self.max_ms)),
            bucket_counts: self.buckets.to_vec(),
            explicit_bounds: LAG_BOUNDS.to_vec(),
            ..HistogramDataPoint::default()
        };
        Metric {
            name: "lambda_otlp.forwarder.lag".to_owned(),
            unit: "s".to_owned(),
            description: "Age of an invocation's oldest log event when the invocation began."
                .to_owned(),
            data: Some(Data::Histogram(Histogram {
                aggregation_temporality: AggregationTemporality::Delta as i32,
                data_points: vec![point],
            })),
            ..Metric::default()
        }
    }
}

fn seconds(milliseconds: u64) -> f64 {
    std::time::Duration::from_millis(milliseconds).as_secs_f64()
}
