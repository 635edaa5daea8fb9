//! The extension's own metrics: its cost for the function, and the telemetry it passed on, refused or dropped.
//!
//! They share requests with the platform's metrics, at most once a minute, because each byte of a line costs money, and
//! everything is reported at SHUTDOWN.

use crate::counts::{Count, Counts, DROPPED};
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, number_data_point::Value};
use platform::{Shape, delta_sum, string_attribute};
use std::sync::Arc;

/// Time between reports.
const EVERY_MS: u64 = 60_000;

struct Figure {
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    /// The key of the points' attribute; empty for a single point without attributes.
    key: &'static str,
    points: &'static [Point],
}

/// A data point.
struct Point {
    /// The value of the attribute.
    value: &'static str,
    /// The counters that the data point sums up.
    counts: &'static [Count],
}

const FIGURES: [Figure; 6] = [
    Figure {
        name: "lambda_otlp.extension.held",
        unit: "s",
        description: "Hold time of the environment after handlers ended.",
        key: "",
        points: &[Point { value: "", counts: &[Count::HeldMs] }],
    },
    Figure {
        name: "lambda_otlp.extension.received.bytes",
        unit: "By",
        description: "Inflated bytes of the OTLP requests received.",
        key: "",
        points: &[Point { value: "", counts: &[Count::ReceivedBytes] }],
    },
    Figure {
        name: "lambda_otlp.extension.written.bytes",
        unit: "By",
        description: "Bytes of the lines written.",
        key: "",
        points: &[Point { value: "", counts: &[Count::LineBytes] }],
    },
    Figure {
        name: "lambda_otlp.extension.sent.bytes",
        unit: "By",
        description: "Compressed bytes of the bodies sent to the backend, including repetitions.",
        key: "",
        points: &[Point { value: "", counts: &[Count::SentBytes] }],
    },
    Figure {
        name: "lambda_otlp.extension.items",
        unit: "{item}",
        description: "Spans, data points and log records by their fate.",
        key: "lambda_otlp.fate",
        points: &[
            Point { value: "written", counts: &[Count::Written] },
            Point { value: "accepted", counts: &[Count::Delivered] },
            Point { value: "spilled", counts: &[Count::Spilled] },
            Point { value: "rejected", counts: &[Count::Rejected] },
            Point { value: "dropped", counts: &DROPPED },
        ],
    },
    Figure {
        name: "lambda_otlp.extension.requests.refused",
        unit: "{request}",
        description: "Requests that the extension refused. Their senders know it.",
        key: "lambda_otlp.reason",
        points: &[
            Point { value: "full", counts: &[Count::RefusedFull, Count::ConnectionsClosed] },
            Point { value: "invalid", counts: &[Count::RefusedInvalid] },
            Point {
                value: "telemetry",
                counts: &[
                    Count::TelemetryRefused,
                    Count::TelemetryMisaddressed,
                    Count::TelemetryBrokenOff,
                ],
            },
        ],
    },
];

#[derive(Debug)]
pub(crate) struct OwnMetrics {
    counts: Arc<Counts>,
    shape: Shape,
    /// The sums at the last report, in the order of the data points in [`FIGURES`].
    reported: Vec<u64>,
    /// The time of the last report, or of the start.
    since_ms: u64,
}

impl OwnMetrics {
    pub(crate) fn new(counts: Arc<Counts>, shape: Shape, now_ms: u64) -> Self {
        let points = FIGURES.iter().map(|figure| figure.points.len()).sum();
        Self { counts, shape, reported: vec![0; points], since_ms: now_ms }
    }

    /// Returns the changes since the last report, if a report is due.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Vec<Metric> {
        let is_due = now_ms.saturating_sub(self.since_ms) >= EVERY_MS;
        if is_due { self.take(now_ms) } else { Vec::new() }
    }

    pub(crate) fn take(&mut self, now_ms: u64) -> Vec<Metric> {
        let time_unix_nano = now_ms.saturating_mul(1_000_000);
        let start_time_unix_nano = match self.shape {
            // A start time would make each point a series of its own.
            Shape::OpenObserve => 0,
            Shape::Otlp => {
                self.since_ms.saturating_mul(1_000_000).min(time_unix_nano.saturating_sub(1))
            }
        };
        self.since_ms = now_ms;
        let mut metrics = Vec::new();
        let mut reported = self.reported.iter_mut();
        for figure in &FIGURES {
            let mut data_points = Vec::new();
            for (point, reported) in figure.points.iter().zip(reported.by_ref()) {
                let sum = point.sum(&self.counts);
                let change = sum.saturating_sub(*reported);
                *reported = sum;
                if change > 0 {
                    let key = Some(figure.key).filter(|key| !key.is_empty());
                    let attribute = key.map(|key| string_attribute(key, point.value));
                    data_points.push(NumberDataPoint {
                        attributes: attribute.into_iter().collect(),
                        start_time_unix_nano,
                        time_unix_nano,
                        value: Some(figure.value(change)),
                        ..NumberDataPoint::default()
                    });
                }
            }
            if !data_points.is_empty() {
                let Figure { name, unit, description, .. } = *figure;
                metrics.push(delta_sum(name, unit, description, data_points));
            }
        }
        metrics
    }
}

impl Figure {
    fn value(&self, count: u64) -> Value {
        if self.unit == "s" {
            return Value::AsDouble(std::time::Duration::from_millis(count).as_secs_f64());
        }
        Value::AsInt(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl Point {
    fn sum(&self, counts: &Counts) -> u64 {
        self.counts.iter().map(|count| counts.get(*count)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;

    fn shown(metrics: Vec<Metric>) -> String {
        let mut lines = Vec::new();
        for metric in metrics {
            let Some(Data::Sum(sum)) = metric.data else { panic!("{}", metric.name) };
            assert!(sum.is_monotonic && sum.aggregation_temporality == 1);
            for point in sum.data_points {
                let attributes: Vec<_> =
                    point.attributes.iter().map(|attribute| &attribute.value).collect();
                let start = point.start_time_unix_nano;
                let name = metric.name.trim_start_matches("lambda_otlp.extension.");
                let value = format!("{:?}", point.value.unwrap());
                let shown = format!("{attributes:?}");
                let attribute = shown.split('"').nth(1).unwrap_or_default();
                lines.push(format!("{name} {attribute} {value} since {start}"));
            }
        }
        lines.join("\n")
    }

    #[test]
    fn own_metrics_are_reported_once_a_minute_without_repetition() {
        let counts = Arc::new(Counts::default());
        let mut own = OwnMetrics::new(Arc::clone(&counts), Shape::OpenObserve, 0);
        assert_eq!(shown(own.take_due(60_000)), "", "nothing has happened");
        counts.add(Count::HeldMs, 28);
        counts.add(Count::Written, 3);
        counts.add(Count::LineBytes, 700);
        assert_eq!(shown(own.take_due(119_999)), "");
        expect_test::expect![[r"
            held  AsDouble(0.028) since 0
            written.bytes  AsInt(700) since 0
            items written AsInt(3) since 0"]]
        .assert_eq(&shown(own.take_due(120_000)));
        counts.add(Count::Written, 1);
        assert_eq!(shown(own.take_due(130_000)), "");
        assert_eq!(shown(own.take(131_000)), "items written AsInt(1) since 0");
        assert_eq!(shown(own.take(132_000)), "");
    }
}
