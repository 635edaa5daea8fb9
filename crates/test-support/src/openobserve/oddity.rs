//! Items that OpenObserve accepts silently and then shows wrongly or not at all.

use std::fmt;

/// One thing in a request that OpenObserve answers with success and that its user will miss or misread.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Oddity {
    pub kind: OddityKind,
    /// Index of the request in [`Sink::requests`](super::Sink::requests).
    pub request: usize,
    pub detail: String,
}

impl fmt::Display for Oddity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "request {}: {:?}: {}", self.request, self.kind, self.detail)
    }
}

/// Measured on a running OpenObserve v0.60.5, except where a variant names another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum OddityKind {
    /// Bytes after the first member of a gzip body: never decoded.
    BytesAfterGzip,
    /// The spans' resource has no `service.name`: they are shown under the previous resource's.
    NoServiceName,
    /// The span ends before it starts, or never: its duration is stored as 18446744073709552 µs.
    EndBeforeStart,
    /// An id of zeros, or of a wrong length where that is not rejected: stored as it is, or without the id.
    InvalidId,
    AttributeReplacesColumn,
    /// No severity text: the column holds the number as text.
    NoSeverityText,
    /// More distinct columns than the stream may have in one request: all log records of the request are gone.
    TooManyColumns,
    /// NaN, an infinity, or no value: the row is stored without value.
    NoValue,
    /// A histogram without sum, min or max: a row without value.
    IncompleteHistogram,
    /// Exponential histograms get meaningless bounds and buckets that are not cumulative.
    ExponentialHistogram,
    /// A gauge with different attribute keys among its points: the keys of the first leak into the second.
    GaugeAttributesDiffer,
    /// Delta with a start time: every start time makes a series of its own.
    DeltaStartTime,
    /// A metric without data points makes an empty stream.
    EmptyMetric,
    /// The values of metrics sent as JSON are lost.
    JsonMetrics,
    /// Another request added the same columns to the stream at the same time (v0.92.2): spans lose them, and metrics are answered
    /// 500 although those of other streams are stored.
    StaleSchema,
}

#[derive(Debug)]
pub(super) struct Oddities {
    request: usize,
    found: Vec<Oddity>,
}

impl Oddities {
    pub(super) fn new(request: usize) -> Self {
        Self { request, found: Vec::new() }
    }

    pub(super) fn add(&mut self, kind: OddityKind, detail: impl Into<String>) {
        self.found.push(Oddity { kind, request: self.request, detail: detail.into() });
    }

    pub(super) fn into_vec(self) -> Vec<Oddity> {
        self.found
    }
}
