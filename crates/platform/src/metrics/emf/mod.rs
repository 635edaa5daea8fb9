//! Turns lines in CloudWatch's embedded metric format (EMF) into OTLP metrics.
//!
//! Source: CloudWatch User Guide, "Specification: Embedded metric format". Where that leaves a choice, or OTLP lacks what it
//! has, this crate does so:
//! - A metric keeps its name, since a user searches for the name that the code says. The namespace becomes the attribute
//!   `aws.cloudwatch.namespace`.
//! - A point has all dimensions of all dimension sets as attributes. CloudWatch makes a metric of each set, but a metric
//!   with fewer dimensions is the sum over those with more, and as a point beside them it would count twice.
//! - A metric of unit `Count` becomes a delta sum, any other one a delta histogram: CloudWatch keeps count, sum,
//!   minimum and maximum of its values, and so does a histogram. Neither can hold negative values; these become points of a
//!   gauge.
//! - `StorageResolution` and `LogGroupName` have no meaning in OTLP and are ignored.

pub(crate) mod line;
pub(crate) mod points;
#[cfg(test)]
mod tests;
