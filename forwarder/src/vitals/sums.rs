//! Adds up the reports of several invocations, and converts them to OTLP with delta temporality.

use crate::report::Report;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use platform::{delta_sum, string_attribute};
use std::collections::BTreeMap;
use wire::SignalKind;

const DESTINATION: &str = "lambda_otlp.destination";
const FATE: &str = "lambda_otlp.fate";
const SIGNAL: &str = "lambda_otlp.signal";
const RULE: &str = "lambda_otlp.rule";

/// The reason why log events became no item.
const CONSUMED_BY: &str = "lambda_otlp.consumed_by";

/// A counter's name, unit (UCUM) and description.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Counter(&'static str, &'static str, &'static str);

const INVOCATIONS: Counter =
    Counter("lambda_otlp.forwarder.invocations", "{invocation}", "Invocations of the forwarder.");
const RECEIVED: Counter =
    Counter("lambda_otlp.forwarder.events.received", "{event}", "Log events received.");
const CONSUMED: Counter = Counter(
    "lambda_otlp.forwarder.events.consumed",
    "{event}",
    "Log events received that become no item.",
);
const HANDLED: Counter = Counter(
    "lambda_otlp.forwarder.items.handled",
    "{item}",
    "Spans, data points and log records on their way to a destination, and undecodable lines.",
);
const PLACED: Counter =
    Counter("lambda_otlp.forwarder.items.placed", "{item}", "The same items by fate.");
const DROPPED_BY_RULE: Counter = Counter(
    "lambda_otlp.forwarder.items.dropped_by_rule",
    "{item}",
    "Items that rules dropped, before they are multiplied by destinations.",
);
const AMBIGUOUS: Counter = Counter(
    "lambda_otlp.forwarder.items.ambiguous",
    "{item}",
    "Items that the backend may have stored twice.",
);
const RENAMED: Counter = Counter(
    "lambda_otlp.forwarder.attributes.renamed",
    "{attribute}",
    "Attributes whose key was changed, because OpenObserve stores another key in the same column.",
);
const REQUESTS: Counter = Counter(
    "lambda_otlp.forwarder.requests",
    "{request}",
    "Requests to destinations, repetitions included.",
);
const BYTES: Counter =
    Counter("lambda_otlp.forwarder.request.bytes", "By", "Bytes of their bodies, as compressed.");
const FAILURES: Counter = Counter(
    "lambda_otlp.forwarder.vitals.failures",
    "{request}",
    "Requests with these metrics that the backend did not take at first.",
);
const LAG: Counter = Counter(
    "lambda_otlp.forwarder.lag",
    "s",
    "Age of an invocation's oldest log event when the invocation began.",
);

/// From a usual second to the end of OpenObserve's ingest window.
const LAG_BOUNDS: [f64; 10] = [1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 18_000.0];

/// Attributes of a data point, ordered by key.
type Attributes<'a> = Vec<(&'static str, &'a str)>;

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
    pub(super) lag: Lag,
}

#[derive(Clone, Debug, Default)]
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
        let mut lag = Lag::default();
        // A redrive has no log events, and must not lower the average.
        if let Some(oldest_ms) = report.oldest_event_ms {
            lag.record(oldest_ms, now_unix_nano);
        }
        let numbers = Report {
            account: report.account.clone(),
            rules: report.rules.clone(),
            renamed: report.renamed,
            panics: report.panics,
            requests_sent: report.requests_sent,
            bytes_sent: report.bytes_sent,
            ..Report::default()
        };
        self.add_all(Self {
            since_unix_nano: Some(now_unix_nano),
            invocations: 1,
            failures: 0,
            report: numbers,
            taken_of_returned: report.taken_of_returned(),
            lag,
        });
    }

    pub(super) fn add_all(&mut self, other: Self) {
        let Self { since_unix_nano, invocations, failures, report, taken_of_returned, lag } = other;
        self.since_unix_nano = self.since_unix_nano.into_iter().chain(since_unix_nano).min();
        self.invocations += invocations;
        self.failures += failures;
        self.report += report;
        self.taken_of_returned += taken_of_returned;
        self.lag.add(&lag);
    }

    /// All counters with their attributes and values, in order.
    fn counters(&self) -> BTreeMap<(&'static Counter, Attributes<'_>), usize> {
        let report = &self.report;
        let total = report.ledger();
        let mut counters = BTreeMap::from([
            ((&INVOCATIONS, vec![]), self.invocations),
            ((&RECEIVED, vec![]), total.events),
            ((&REQUESTS, vec![]), report.requests_sent),
            ((&BYTES, vec![]), report.bytes_sent),
            ((&FAILURES, vec![]), self.failures),
        ]);
        // One zero point: panels and alerts fail if the metric does not exist.
        for (number, (rule, events)) in total.consumed.by_rule().into_iter().enumerate() {
            if number == 0 || events > 0 {
                counters.insert((&CONSUMED, vec![(CONSUMED_BY, rule)]), events);
            }
        }
        for (destination, ledger) in &report.account.destinations {
            let of = (DESTINATION, destination.as_str());
            let items = ledger.items;
            for (signal, items) in [
                (SignalKind::Traces.as_str(), items.spans),
                (SignalKind::Metrics.as_str(), items.data_points),
                (SignalKind::Logs.as_str(), items.log_records),
                ("undecodable", items.undecodable),
            ] {
                counters.insert((&HANDLED, vec![of, (SIGNAL, signal)]), items);
            }
            for (fate, items) in [
                ("accepted", ledger.accepted),
                ("parked", ledger.parked),
                ("dead_lettered", ledger.dead_lettered),
                ("dropped", ledger.dropped),
                ("returned", ledger.returned),
            ] {
                counters.insert((&PLACED, vec![of, (FATE, fate)]), items);
            }
            counters.insert((&AMBIGUOUS, vec![of]), ledger.ambiguous);
        }
        for effect in report.rules.iter().filter(|effect| effect.dropped > 0) {
            counters.insert((&DROPPED_BY_RULE, vec![(RULE, &effect.rule)]), effect.dropped);
        }
        if report.renamed > 0 {
            counters.insert((&RENAMED, vec![]), report.renamed);
        }
        counters
    }

    /// Converts all values until now to metrics of this resource.
    pub(super) fn metrics(&self, resource: Resource, now_unix_nano: u64) -> ResourceMetrics {
        // A delta needs an interval.
        let start = self.since_unix_nano.unwrap_or(u64::MAX).min(now_unix_nano.saturating_sub(1));
        let mut metrics: Vec<Metric> = Vec::new();
        for ((counter, attributes), value) in self.counters() {
            let point = NumberDataPoint {
                attributes: attributes
                    .iter()
                    .map(|(key, text)| string_attribute(key, *text))
                    .collect(),
                start_time_unix_nano: start,
                time_unix_nano: now_unix_nano,
                value: Some(number_data_point::Value::AsInt(
                    i64::try_from(value).unwrap_or(i64::MAX),
                )),
                ..NumberDataPoint::default()
            };
            // Points of one counter are adjacent.
            match metrics.last_mut() {
                Some(Metric { name, data: Some(Data::Sum(sum)), .. }) if name == counter.0 => {
                    sum.data_points.push(point);
                }
                _ => metrics.push(delta_sum(counter.0, counter.1, counter.2, vec![point])),
            }
        }
        if self.lag.count > 0 {
            metrics.push(LAG.metric(Data::Histogram(Histogram {
                aggregation_temporality: AggregationTemporality::Delta as i32,
                data_points: vec![self.lag.data_point(start, now_unix_nano)],
            })));
        }
        let scope = InstrumentationScope {
            name: "lambda-otlp/forwarder".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }
    }
}

impl Lag {
    pub(super) fn is_known(&self) -> bool {
        self.count > 0
    }

    /// 0 for a time in the future: the clocks of function and forwarder differ.
    fn record(&mut self, oldest_ms: i64, now_unix_nano: u64) {
        let now_ms = i64::try_from(now_unix_nano / 1_000_000).unwrap_or(i64::MAX);
        let lag_ms = u64::try_from(now_ms.saturating_sub(oldest_ms)).unwrap_or(0);
        let bucket = LAG_BOUNDS.iter().take_while(|bound| seconds(lag_ms) > **bound).count();
        let mut buckets = [0; LAG_BOUNDS.len() + 1];
        if let Some(count) = buckets.get_mut(bucket) {
            *count = 1;
        }
        self.add(&Self { count: 1, sum_ms: lag_ms, min_ms: lag_ms, max_ms: lag_ms, buckets });
    }

    fn add(&mut self, other: &Self) {
        self.min_ms = match (self.count, other.count) {
            (_, 0) => return,
            (0, _) => other.min_ms,
            _ => self.min_ms.min(other.min_ms),
        };
        self.max_ms = self.max_ms.max(other.max_ms);
        self.count += other.count;
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
        for (count, more) in self.buckets.iter_mut().zip(other.buckets) {
            *count += more;
        }
    }

    fn data_point(&self, start_time_unix_nano: u64, time_unix_nano: u64) -> HistogramDataPoint {
        HistogramDataPoint {
            start_time_unix_nano,
            time_unix_nano,
            count: self.count,
            sum: Some(seconds(self.sum_ms)),
            min: Some(seconds(self.min_ms)),
            max: Some(seconds(self.max_ms)),
            bucket_counts: self.buckets.to_vec(),
            explicit_bounds: LAG_BOUNDS.to_vec(),
            ..HistogramDataPoint::default()
        }
    }
}

impl Counter {
    fn metric(&self, data: Data) -> Metric {
        let Self(name, unit, description) = *self;
        Metric {
            name: name.to_owned(),
            unit: unit.to_owned(),
            description: description.to_owned(),
            data: Some(data),
            ..Metric::default()
        }
    }
}

fn seconds(milliseconds: u64) -> f64 {
    std::time::Duration::from_millis(milliseconds).as_secs_f64()
}
