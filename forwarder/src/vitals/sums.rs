//! Adds up the reports of several invocations, and converts them to OTLP with delta temporality.

use crate::ledger::{Ledger, Ledgers};
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

/// The points of the counters of destinations.
#[derive(Default)]
struct DestinationPoints<'a> {
    ambiguous: Vec<Point<'a>>,
    handled: Vec<Point<'a>>,
    placed: Vec<Point<'a>>,
}

/// A counter with its points.
struct Counter<'a> {
    /// The name after `lambda_otlp.forwarder.`.
    name: &'static str,
    /// In UCUM's notation.
    unit: &'static str,
    description: &'static str,
    points: Vec<Point<'a>>,
}

/// The sums of several invocations.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) since_unix_nano: Option<u64>,
    pub(super) invocations: usize,
    /// Requests with these metrics that were not accepted.
    pub(super) failures: usize,
    pub(super) reports: ReportSums,
    /// The sum of [`Report::taken_of_returned`].
    pub(super) taken_of_returned: usize,
    pub(super) lag: Option<Lag>,
}

/// The sums of those numbers of reports that are metrics.
#[derive(Debug, Default)]
pub(super) struct ReportSums {
    pub(super) ledgers: Ledgers,
    pub(super) rules: Vec<Effect>,
    pub(super) renamed: usize,
    pub(super) panics: usize,
    pub(super) requests_sent: usize,
    pub(super) bytes_sent: usize,
}

impl ReportSums {
    fn add(&mut self, report: &Report) {
        self.ledgers += report.ledgers.clone();
        Effect::add_all(&mut self.rules, report.rules.clone());
        self.renamed += report.renamed;
        self.panics += report.panics;
        self.requests_sent += report.requests_sent;
        self.bytes_sent += report.bytes_sent;
    }
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
        self.reports.add(report);
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
        // A delta needs an interval.
        let start = self.since_unix_nano.unwrap_or(u64::MAX).min(now_unix_nano.saturating_sub(1));
        let point = |Point { attributes, value }: Point<'_>| NumberDataPoint {
            attributes: attributes.iter().map(|(key, text)| string_attribute(key, *text)).collect(),
            start_time_unix_nano: start,
            time_unix_nano: now_unix_nano,
            value: Some(number_data_point::Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX))),
            ..NumberDataPoint::default()
        };
        let counters = self.counters().into_iter().filter(|counter| !counter.points.is_empty());
        let sums = counters.map(|Counter { name, unit, description, points }| {
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

    fn counters(&self) -> [Counter<'_>; 13] {
        let reports = &self.reports;
        let total = &reports.ledgers.total;
        let of_destinations = self.of_destinations();
        [
            Counter {
                name: "attributes.renamed",
                unit: "{attribute}",
                description: "Attributes with a changed key.",
                points: above_zero(reports.renamed),
            },
            Counter {
                name: "events.consumed",
                unit: "{event}",
                description: "Log events that became no item.",
                points: self.consumed(),
            },
            Counter {
                name: "events.cut",
                unit: "{event}",
                description: "Log events with a cut message.",
                points: above_zero(total.cut),
            },
            Counter {
                name: "events.received",
                unit: "{event}",
                description: "Log events received.",
                points: one(total.events),
            },
            Counter {
                name: "events.undivided",
                unit: "{event}",
                description: "Log events with too many JSON lines.",
                points: above_zero(total.undivided),
            },
            Counter {
                name: "invocations",
                unit: "{invocation}",
                description: "Invocations of the forwarder.",
                points: one(self.invocations),
            },
            Counter {
                name: "items.ambiguous",
                unit: "{item}",
                description: "Items that may be stored twice.",
                points: of_destinations.ambiguous,
            },
            Counter {
                name: "items.dropped_by_rule",
                unit: "{item}",
                description: "Items that rules dropped.",
                points: self.dropped_by_rule(),
            },
            Counter {
                name: "items.handled",
                unit: "{item}",
                description: "Items for a destination, and undecodable lines.",
                points: of_destinations.handled,
            },
            Counter {
                name: "items.placed",
                unit: "{item}",
                description: "The same items by fate.",
                points: of_destinations.placed,
            },
            Counter {
                name: "request.bytes",
                unit: "By",
                description: "Compressed size of the requests.",
                points: one(reports.bytes_sent),
            },
            Counter {
                name: "requests",
                unit: "{request}",
                description: "Requests, including retries.",
                points: one(reports.requests_sent),
            },
            Counter {
                name: "vitals.failures",
                unit: "{request}",
                description: "Failed requests of vitals.",
                points: one(self.failures),
            },
        ]
    }

    fn consumed(&self) -> Vec<Point<'_>> {
        let by_cause = self.reports.ledgers.total.consumed.by_cause().into_iter().enumerate();
        // One zero point: panels and alerts fail if the metric does not exist.
        let shown = by_cause.filter(|(position, (_, events))| *position == 0 || *events > 0);
        let point = |(_, (cause, events))| Point {
            attributes: vec![("lambda_otlp.consumed_by", cause)],
            value: events,
        };
        let mut points: Vec<Point<'_>> = shown.map(point).collect();
        points.sort();
        points
    }

    fn dropped_by_rule(&self) -> Vec<Point<'_>> {
        let dropping = self.reports.rules.iter().filter(|effect| effect.dropped > 0);
        let points = dropping.map(|effect| Point {
            attributes: vec![("lambda_otlp.rule", &*effect.rule)],
            value: effect.dropped,
        });
        points.collect()
    }

    fn of_destinations(&self) -> DestinationPoints<'_> {
        let mut points = DestinationPoints::default();
        for (destination, ledger) in &self.reports.ledgers.destinations {
            let name = ("lambda_otlp.destination", destination.as_str());
            points.ambiguous.push(Point { attributes: vec![name], value: ledger.ambiguous });
            points.handled.extend(by_signal(ledger).map(|(signal, items)| Point {
                attributes: vec![name, ("lambda_otlp.signal", signal)],
                value: items,
            }));
            points.placed.extend(by_fate(ledger).map(|(fate, items)| Point {
                attributes: vec![name, ("lambda_otlp.fate", fate)],
                value: items,
            }));
        }
        points
    }
}

/// One point without attributes.
fn one(value: usize) -> Vec<Point<'static>> {
    vec![Point { attributes: Vec::new(), value }]
}

fn above_zero(value: usize) -> Vec<Point<'static>> {
    if value > 0 { one(value) } else { Vec::new() }
}

fn by_signal(Ledger { items, .. }: &Ledger) -> impl Iterator<Item = (&'static str, usize)> + use<> {
    let waiting = Some(("executions", items.executions)).filter(|(_, count)| *count > 0);
    let always = [
        (SignalKind::Logs.as_str(), items.log_records),
        (SignalKind::Metrics.as_str(), items.data_points),
        (SignalKind::Traces.as_str(), items.spans),
        ("undecodable", items.undecodable),
    ];
    always.into_iter().chain(waiting)
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
