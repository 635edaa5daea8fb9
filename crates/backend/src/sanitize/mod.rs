//! Adapts telemetry so that OpenObserve stores it as intended.
//!
//! [`sanitize`] takes a request as it was received. It returns a request whose items OpenObserve stores whole, and the items that
//! it cannot store.
//!
//! `adapter` walks through the encoded request. It reads each item once, with its `shape`: the keys and the classes of the values. For a
//! new shape, the rules about keys and types make a `plan` of `planned` attributes, which `write` carries out for each item of the
//! shape. Most plans leave everything as it is, and nothing is copied then. Rules about single values belong to the walk.
//!
//! | module | rule | consequence of its absence in OpenObserve |
//! |---|---|---|
//! | `adapter` | each resource has a `service.name` | items get the name of the previous resource |
//! | `traces` | a span ends after its start, and an invalid parent is none | durations of nearly 2^64 µs; a root span seems to lack its parent |
//! | `severity` | the text of a severity is the name of its class | `INFO`, `info` and `0` in one column |
//! | `logs`, `traces` | the name of an event, and the counts of what an SDK dropped from a span, are attributes | they are not stored |
//! | `metrics`, `histograms` | deltas have no start time, histograms have explicit buckets, and points have finite values | series that cannot be added up; PromQL answers 400 |
//! | `typed_columns` | log attributes are texts, and numbers again under `NAME_number` | columns of two types, which hide all rows |
//! | `text_values` | values that JSON lacks are text | empty texts, lists of numbers, or nothing |
//! | `taken_columns`, `reserved_columns` | an item's attribute has no column of OpenObserve or of the resource | a record in 1970, or one of another function |
//! | `gen_ai` | no attribute of a span looks like one of an AI framework, unless it is one | the value is moved or lost |
//! | `same_column` | no two keys of an item have one column | one of two values is lost |
//!
//! The rules of the last three rows rename an attribute: `severity` becomes `attr_severity`. `typed_columns` adds an end to a name, and
//! `text_values` renames one key of maps. `plan` calls each rule about keys or types; a rule for one signal is a fact in its
//! `SignalColumns`. If a rule asks for more than the signal, keys and classes, what it asks belongs to the shape; and if it asks that of
//! some keys alone, they belong to the signal's `KeyFilter`, because the shape looks at the values of no others.
//!
//! Sources: OpenObserve 0.60.5 and 0.92.2 as measured and read, or the version that a module names.

mod adapter;
mod gen_ai;
pub(crate) mod hash;
mod histograms;
pub(crate) mod limits;
mod logs;
mod metrics;
mod names;
mod plan;
mod planned;
mod request_facts;
mod reserved_columns;
pub(crate) mod same_column;
mod severity;
mod shape;
mod taken_columns;
mod text_values;
mod traces;
mod typed_columns;
mod write;

use crate::destination::Profile;
use adapter::Adapter;
pub use names::{stored_byte, stored_key, stored_stream};
use plan::Plans;
pub use request_facts::{RequestFacts, TimeRange};
pub(crate) use reserved_columns::number_of_reserved_columns;
use traces::InvalidSpans;
use wire::Request;
use wire::edit::Edit;

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
    /// Facts about the `request`; `None` for other backends than OpenObserve.
    pub facts: Option<RequestFacts>,
}

/// Adapts a request to the backend.
///
/// [`Profile::Otlp`] changes nothing. [`Profile::OpenObserve`] applies the rules of this module. A resource without a
/// `service.name` gets that of `fallback_service`.
pub fn sanitize(profile: Profile, request: Request, fallback_service: &str) -> Sanitized {
    if profile == Profile::Otlp {
        let request = (request.items() > 0).then_some(request);
        return Sanitized { request, ..Sanitized::default() };
    }
    Plans::with(|plans| {
        let kind = request.kind();
        let mut walk = Adapter::new(plans, kind, fallback_service);
        let edit = walk.adapt(&request);
        let Adapter { facts, renamed, dropped, invalid, .. } = walk;
        let refused = if invalid > 0 { request.clone().edit(&mut InvalidSpans) } else { None };
        let items = request.items().saturating_sub(dropped + invalid);
        let adapted = match edit {
            Edit::Keep => Some(request),
            Edit::Replace(bytes) => Some(Request::counted(kind, bytes, items)),
            Edit::Drop | Edit::Split(_) => None,
        };
        let request = adapted.filter(|request| request.items() > 0);
        Sanitized { request, dropped, renamed, refused, facts: Some(facts) }
    })
}

#[cfg(test)]
pub(crate) mod tests;
