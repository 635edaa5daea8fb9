//! The totals of Lambda's metrics, as they should be and as they are in the backend.

use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};

/// The metrics that only the extension can make. The forwarder makes the others.
pub(crate) const EXTENSION_METRICS: [&str; 5] = [
    "aws.lambda.response_latency",
    "aws.lambda.response_duration",
    "aws.lambda.runtime_overhead",
    "aws.lambda.extension_overhead",
    "aws.lambda.produced_bytes",
];

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Total {
    /// The value of a sum, the count of a histogram, or the number of points of a gauge.
    pub(crate) count: f64,
    pub(crate) sum: f64,
}

impl Total {
    pub(crate) fn count(self, service: &str, name: &str) -> String {
        format!("{service} {name} {}", self.count)
    }

    /// Rounded to microseconds, the precision of Lambda's reports.
    pub(crate) fn in_full(self, service: &str, name: &str) -> String {
        format!("{service} {name} {}, sum {:.6}", self.count, self.sum)
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub(crate) fn add(&mut self, data: Option<&Data>) {
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
