//! Turns lines in CloudWatch's embedded metric format (EMF) into OTLP metrics.
//!
//! Source: CloudWatch User Guide, "Specification: Embedded metric format". Where that leaves a choice, or OTLP lacks what it
//! has, this crate does so:
//! - A metric keeps its name, since a user searches for the name that the code says. The namespace becomes the attribute
//!   `aws.cloudwatch.namespace`.
//! - A point has all dimensions of all dimension sets as attributes. CloudWatch makes a metric of each set, but a metric
//!   with fewer dimensions is the sum over those with more, and as a point beside them it would count twice.
//! - A metric of unit `Count` becomes a delta sum, any other one a delta histogram: CloudWatch keeps count, sum,
//!   minimum and maximum of its values, and so does a histogram. A sum with a negative value is not monotonic.
//! - A statistic set, or values with counts, becomes a histogram whatever its unit, in a series of its own where it does not say
//!   how its values are spread: that histogram has one bucket.
//! - A line may stand behind a runtime's prefix, as Node's `console.log` writes it in text format.
//! - `StorageResolution` and `LogGroupName` have no meaning in OTLP and are ignored.

mod distribution;
mod figure;
pub(crate) mod line;
pub(crate) mod points;
#[cfg(test)]
mod tests;
