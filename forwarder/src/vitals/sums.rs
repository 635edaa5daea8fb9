//! Adds up the metrics of several invocations and converts them to OTLP with delta temporality.

use crate::pipeline::report::Report;
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
const NOT_TOLD: Counter = Counter(
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
type Attributes = Vec<(&'static str, String)>;

/// The metrics since the last accepted request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) since_unix_nano: Option<u64>,
    counters: BTreeMap<(&'static Counter, Attributes), u64>,
    lag: Lag,
}

#[derive(Debug, Default, PartialEq)]
struct Lag {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    /// One bucket for each bound, and one for larger values.
    buckets: [u64; LAG_BOUNDS.len() + 1],
}

impl Sums {
    pub(super) fn add(&mut self, report: &Report, now_unix_nano: u64) {
        self.begin(now_unix_nano);
        let total = report.ledger();
        self.count(&INVOCATIONS, &[], 1);
        self.count(&RECEIVED, &[], total.events);
        // One zero point: panels and alerts fail if the metric does not exist.
        for (number, (rule, events)) in total.consumed.by_rule().into_iter().enumerate() {
            if number == 0 || events > 0 {
                self.count(&CONSUMED, &[(CONSUMED_BY, rule)], events);
            }
        }
        self.count(&REQUESTS, &[], report.requests_sent);
        self.count(&BYTES, &[], report.bytes_sent);
        self.count(&NOT_TOLD, &[], 0);
        for (destination, ledger) in &report.account.destinations {
            let items = ledger.items;
            for (signal, items) in [
                (SignalKind::Traces.as_str(), items.spans),
                (SignalKind::Metrics.as_str(), items.data_points),
                (SignalKind::Logs.as_str(), items.log_records),
                ("undecodable", items.undecodable),
            ] {
                self.count(&HANDLED, &[(DESTINATION, destination), (SIGNAL, signal)], items);
            }
            for (fate, items) in [
                ("accepted", ledger.accepted),
                ("parked", ledger.parked),
                ("dead_lettered", ledger.dead_lettered),
                ("dropped", ledger.dropped),
                ("returned", ledger.returned),
            ] {
                self.count(&PLACED, &[(DESTINATION, destination), (FATE, fate)], items);
            }
            self.count(&AMBIGUOUS, &[(DESTINATION, destination)], ledger.ambiguous);
        }
        for effect in report.rules.iter().filter(|effect| effect.dropped > 0) {
            self.count(&DROPPED_BY_RULE, &[(RULE, &effect.rule)], effect.dropped);
        }
        if report.renamed > 0 {
            self.count(&RENAMED, &[], report.renamed);
        }
        // A redrive has no log events.
        if let Some(oldest_ms) = report.oldest_event_ms {
            self.lag.record(seconds_since(oldest_ms, now_unix_nano));
        }
    }

    /// Counts a request that was not accepted.
    pub(super) fn add_failure(&mut self) {
        self.count(&NOT_TOLD, &[], 1);
    }

    pub(super) fn add_all(&mut self, other: Self) {
        let Self { since_unix_nano, counters, lag } = other;
        if let Some(since) = since_unix_nano {
            self.begin(since);
        }
        for (key, value) in counters {
            *self.counters.entry(key).or_default() += value;
        }
        self.lag.add(&lag);
    }

    /// Converts all values until now to metrics of this resource.
    pub(super) fn metrics(&self, resource: Resource, now_unix_nano: u64) -> ResourceMetrics {
        // A delta needs an interval.
        let start = self.since_unix_nano.unwrap_or(u64::MAX).min(now_unix_nano.saturating_sub(1));
        let mut metrics: Vec<Metric> = Vec::new();
        for ((counter, attributes), value) in &self.counters {
            let point = NumberDataPoint {
                attributes: attributes
                    .iter()
                    .map(|(key, text)| string_attribute(key, text))
                    .collect(),
                start_time_unix_nano: start,
                time_unix_nano: now_unix_nano,
                value: Some(number_data_point::Value::AsInt(
                    i64::try_from(*value).unwrap_or(i64::MAX),
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

    fn begin(&mut self, at_unix_nano: u64) {
        let since = self.since_unix_nano.unwrap_or(at_unix_nano);
        self.since_unix_nano = Some(since.min(at_unix_nano));
    }

    fn count(
        &mut self,
        counter: &'static Counter,
        attributes: &[(&'static str, &str)],
        count: usize,
    ) {
        let attributes = attributes.iter().map(|(key, text)| (*key, (*text).to_owned())).collect();
        *self.counters.entry((counter, attributes)).or_default() += count as u64;
    }
}

impl Lag {
    fn record(&mut self, seconds: f64) {
        let bucket = LAG_BOUNDS.iter().take_while(|bound| seconds > **bound).count();
        let mut one =
            Self { count: 1, sum: seconds, min: seconds, max: seconds, ..Self::default() };
        if let Some(count) = one.buckets.get_mut(bucket) {
            *count = 1;
        }
        self.add(&one);
    }

    fn add(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let is_first = self.count == 0;
        self.min = if is_first { other.min } else { self.min.min(other.min) };
        self.max = if is_first { other.max } else { self.max.max(other.max) };
        self.count += other.count;
        self.sum += other.sum;
        for (count, more) in self.buckets.iter_mut().zip(other.buckets) {
            *count += more;
        }
    }

    fn data_point(&self, start_time_unix_nano: u64, time_unix_nano: u64) -> HistogramDataPoint {
        HistogramDataPoint {
            start_time_unix_nano,
            time_unix_nano,
            count: self.count,
            sum: Some(self.sum),
            min: Some(self.min),
            max: Some(self.max),
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

/// 0 for a time in the future: the clocks of function and forwarder differ.
fn seconds_since(time_ms: i64, now_unix_nano: u64) -> f64 {
    let now_ms = i64::try_from(now_unix_nano / 1_000_000).unwrap_or(i64::MAX);
    let milliseconds = u64::try_from(now_ms.saturating_sub(time_ms)).unwrap_or(0);
    std::time::Duration::from_millis(milliseconds).as_secs_f64()
}
