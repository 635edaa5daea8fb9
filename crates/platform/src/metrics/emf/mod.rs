//! Converts lines in CloudWatch's embedded metric format (EMF) to OTLP metrics.
//!
//! Source: CloudWatch User Guide, "Specification: Embedded metric format". Where it leaves a choice, or OTLP lacks an equivalent:
//! - A metric keeps its name, because users search for the name in the code. The namespace becomes the attribute
//!   `aws.cloudwatch.namespace`.
//! - A point has all dimensions of all dimension sets as attributes. CloudWatch creates a metric for each set, but the metric
//!   with fewer dimensions is the sum of the others and would count twice.
//! - A metric with the unit `Count` becomes a delta sum, all others a delta histogram, because CloudWatch keeps count, sum,
//!   minimum and maximum. A sum with a negative value is not monotonic.
//! - A statistic set, or values with counts, becomes a histogram whatever its unit. If the distribution is unknown, the histogram
//!   has one bucket and a series of its own.
//! - A runtime's prefix may precede the line, as of Node's `console.log` in text format.
//! - `StorageResolution` and `LogGroupName` have no meaning in OTLP and are ignored.

pub(crate) mod line;
mod metadata;
pub(crate) mod points;
#[cfg(test)]
mod tests;
