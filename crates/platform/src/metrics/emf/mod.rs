//! Turns lines in CloudWatch's embedded metric format (EMF) into OTLP metrics.
//!
//! Source: CloudWatch User Guide, "Specification: Embedded metric format". What that leaves open,
//! or what OTLP lacks, is decided so:
//! - The metric keeps its name; the namespace is the attribute `aws.cloudwatch.namespace`, since a
//!   user searches for the name that the code says.
//! - The attributes are all dimensions of all dimension sets: CloudWatch makes a metric of each
//!   set, but the smaller ones are sums over the whole, and as points beside it would count twice.
//! - Unit `Count` is a delta sum. Anything else is a delta histogram: CloudWatch keeps count, sum,
//!   minimum and maximum of it, and so does a histogram. Negative values, which neither can hold,
//!   are points of a gauge.
//! - `StorageResolution` and `LogGroupName` mean nothing here.

pub(crate) mod line;
pub(crate) mod points;
#[cfg(test)]
mod tests;
