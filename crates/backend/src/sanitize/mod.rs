//! Adapts telemetry so that OpenObserve stores it as intended.
//!
//! [`sanitize`] takes a request as it was received. It returns a request whose items OpenObserve stores whole, and the items that
//! it cannot store. It takes these steps:
//!
//! 1. `encoded_check` reads the encoded request. If no rule would change it, it is returned as it is, with a [`RequestFacts`] of its
//!    items. Most requests end here. If only severities and types change, `logs` rewrites the encoded records.
//! 2. `traces` takes out the spans with invalid ids. They are `refused`.
//! 3. The rest is decoded. `traces`, `logs` or `metrics` applies these rules to each resource and its items:
//!
//! | module | rule | consequence of its absence in OpenObserve |
//! |---|---|---|
//! | `attributes` | each resource has a `service.name` | items get the name of the previous resource |
//! | `traces` | a span ends after its start, and an invalid parent is none | durations of nearly 2^64 µs; a root span seems to lack its parent |
//! | `severity` | the text of a severity is the name of its class | `INFO`, `info` and `0` in one column |
//! | `logs`, `traces` | the name of an event, and the counts of what an SDK dropped from a span, are attributes | they are not stored |
//! | `metrics` | deltas have no start time, histograms have explicit buckets, and points have finite values | series that cannot be added up; PromQL answers 400 |
//! | `typed_columns` | log attributes are texts, and numbers again under `NAME_number` | columns of two types, which hide all rows |
//! | `text_values` | values that JSON lacks are text | empty texts, lists of numbers, or nothing |
//! | `taken_columns`, `reserved_columns` | an item's attribute has no column of OpenObserve or of the resource | a record in 1970, or one of another function |
//! | `gen_ai` | no attribute of a span looks like one of an AI framework, unless it is one | the value is moved or lost |
//! | `same_column` | no two keys of an item have one column | one of two values is lost |
//!
//! The last three rename an attribute: `severity` becomes `attr_severity`. A new rule needs its condition in `encoded_check` too.
//! Properties in the tests compare both.
//!
//! Sources: OpenObserve 0.60.5 and 0.92.2 as measured and read, or the version that a module names.

mod attributes;
mod encoded_check;
mod gen_ai;
pub(crate) mod hash;
mod known_keys;
pub(crate) mod limits;
mod logs;
mod metrics;
mod names;
mod request_facts;
mod reserved_columns;
pub(crate) mod same_column;
mod severity;
mod taken_columns;
mod text_values;
mod traces;
mod typed_columns;

use crate::destination::Profile;
use encoded_check::{UndecodedRequest, check_encoded};
use logs::EncodedRecords;
pub use names::{stored_byte, stored_key, stored_stream};
pub use request_facts::{RequestFacts, TimeRange};
pub(crate) use reserved_columns::number_of_reserved_columns;
use traces::SpansByIds;
use wire::{Logs, Metrics, Request, Signal, SignalKind, Traces};

/// A request in a form that the backend accepts, and the items that the backend cannot store.
#[must_use]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sanitized {
    /// `None` if no item is left.
    pub request: Option<Request>,
    /// Number of data points without a finite value: OpenObserve stores a row without a value, after which PromQL answers 400 for
    /// the metric. They and the items of `request` and `refused` add up to the original request.
    pub dropped: usize,
    /// Number of attributes whose key was changed, because OpenObserve stores the value of another key in the same column.
    pub renamed: usize,
    /// Spans without valid ids, unchanged: [`Reason::InvalidIds`].
    ///
    /// [`Reason::InvalidIds`]: crate::Reason::InvalidIds
    pub refused: Option<Request>,
    /// Facts about a `request` that was not decoded; `None` if it was.
    pub facts: Option<RequestFacts>,
}

/// Adapts a request to the backend.
///
/// [`Profile::Otlp`] changes nothing. [`Profile::OpenObserve`] applies the rules of this module. A resource without a
/// `service.name` gets that of `fallback_service`. Requests that need no change are not decoded.
pub fn sanitize(profile: Profile, request: Request, fallback_service: &str) -> Sanitized {
    if profile == Profile::Otlp {
        return whole(request);
    }
    // Most requests need no change: this costs no decoding, and less than a walk that could change them.
    if let Some(UndecodedRequest { facts, needs_edit }) = check_encoded(&request) {
        let request =
            if needs_edit { request.edit(&mut EncodedRecords::new()) } else { Some(request) };
        return Sanitized { facts: Some(facts), ..request.map(whole).unwrap_or_default() };
    }
    let SpansByIds { valid, invalid: refused } = traces::separate_invalid_ids(request);
    let Some(request) = valid else {
        return Sanitized { refused, ..Sanitized::default() };
    };
    let sanitized = match request.kind() {
        SignalKind::Traces => adapt_decoded::<Traces>(request, traces::adapt, fallback_service),
        SignalKind::Logs => adapt_decoded::<Logs>(request, logs::adapt, fallback_service),
        SignalKind::Metrics => adapt_decoded::<Metrics>(request, metrics::adapt, fallback_service),
    };
    Sanitized { refused, ..sanitized }
}

/// A request that is sent as it is.
fn whole(request: Request) -> Sanitized {
    let request = (request.items() > 0).then_some(request);
    Sanitized { request, ..Sanitized::default() }
}

/// Adapts the request with `adapt`, which returns the number of renamed keys.
fn adapt_decoded<S: Signal>(
    request: Request,
    adapt: fn(&mut S::Request, &str) -> usize,
    fallback_service: &str,
) -> Sanitized {
    // The structure was checked when the request was created. If prost cannot decode it nevertheless, it is sent unchanged.
    let Some(Ok(mut decoded)) = request.decode::<S>() else { return whole(request) };
    let renamed = adapt(&mut decoded, fallback_service);
    let adapted = Request::encode::<S>(&decoded);
    let dropped = request.items().saturating_sub(adapted.items());
    Sanitized { dropped, renamed, ..whole(adapted) }
}

#[cfg(test)]
pub(crate) mod tests;
