//! Why an item is not sent.

use std::fmt;

/// Why an item is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// A data point whose value is missing, NaN or infinite: OpenObserve stores a row without a value, after which PromQL
    /// answers 400 for the metric.
    NotANumber,
    /// A span whose trace or span id has not 16 or 8 bytes: OpenObserve rejects it, with a text that speaks of retention.
    InvalidId,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "the value of the data point is no finite number",
            Self::InvalidId => "trace or span id of wrong length",
        })
    }
}
