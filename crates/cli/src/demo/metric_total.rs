//! The totals of Lambda's own metrics, by which what is owed is compared with what the backend has.

use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};

/// The metrics that the extension makes, since only it can know them. The forwarder makes all others of Lambda's metrics.
pub(super) const EXTENSION_METRICS: [&str; 5] = [
    "aws.lambda.response_latency",
    "aws.lambda.response_duration",
    "aws.lambda.runtime_overhead",
    "aws.lambda.extension_overhead",
    "aws.lambda.produced_bytes",
];

/// What the data points of one metric add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Total {
    /// Of a sum its value, of a histogram how much was measured, of a gauge its points.
    pub(super) count: f64,
    /// Of a histogram the sum of what was measured.
    pub(super) sum: f64,
}

impl Total {
    pub(super) fn count(self, service: &str, name: &str) -> String {
        format!("{service} {name} {}", self.count)
    }

    /// To the microsecond, which is as much as Lambda says.
    pub(super) fn in_full(self, service: &str, name: &str) -> String {
        format!("{service} {name} {}, sum {:.6}", self.count, self.sum)
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub(super) fn add(&mut self, data: Option<&Data>) {
        match data {
            Some(Data::Sum(sum)) => {
                self.count += sum
                    .data_points
                    .iter()
                    .map(|point| match point.value {
                        Some(number_data_point::Value::AsInt(value)) => value as f64,
                        Some(number_data_point::Value::AsDouble(value)) => value,
                        None => 0.0,
                    })
                    .sum::<f64>();
            }
            Some(Data::Histogram(histogram)) => {
                for point in &histogram.data_points {
                    self.count += point.count as f64;
                    self.sum += point.sum.unwrap_or_default();
                }
            }
            Some(Data::Gauge(gauge)) => self.count += gauge.data_points.len() as f64,
            _ => {}
        }
    }
}
