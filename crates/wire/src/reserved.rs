//! Names that this project computes, all with the prefix `lambda_otlp.`. Content may not use them: callers influence the attributes of
//! spans and the keys of logged objects, and alerts and panels trust these names.
//!
//! Every reader of content asks here: of OTLP lines and received requests ([`Request::without_foreign_names`]), of other lines, of
//! embedded metrics and of X-Ray's documents. A queued request has our own names, so it is read as it is.
//!
//! Nobody can tell who wrote an OTLP line, so [`WRITERS`] says what a line may state: what the library, the layer, and an
//! earlier forwarder of a chain write.
//!
//! [`Request::without_foreign_names`]: crate::Request::without_foreign_names

use crate::field::{any_value, log_record, span};
use crate::ids::xray_trace_id;
use crate::protobuf::{Value, fields};
use crate::request::{LIBRARY_SCOPE, TRUNCATED, may_be_reserved};
use crate::resource::{EXCEPTION_FINGERPRINT, FAAS_INVOCATION_ID, PARTIAL};
use crate::sampling::{ALL, MAX_STATED_COUNT, OtelMember, count_of, sampling_hash};
use crate::stored_key::{stored_key, stored_stream};
use crate::timestamp;
use crate::view::{self, Item, ItemKind, key_and_value, map_entries};

/// The number of items that a sampled span or log record stands for.
pub const ADJUSTED_COUNT: &str = "lambda_otlp.adjusted_count";
/// The time of a span or log record before it was changed to the present.
pub const ORIGINAL_TIME: &str = "lambda_otlp.original_time";

/// The begin of a renamed key, which keeps its value: one that content has although this project computes it, or one of an attribute
/// whose column is taken.
pub const RENAMED_PREFIX: &str = "attr_";

/// `lambda_otlp` in OpenObserve's spelling: names are compared in it, because all spellings fill one column.
const PREFIX: &[u8] = b"lambda_otlp";

/// Returns `true` for a name that begins with `lambda_otlp`, in any spelling.
pub fn is_reserved(name: &[u8]) -> bool {
    // Excludes nearly all names.
    if !may_be_reserved(name) {
        return false;
    }
    let mut stored = stored_key(name);
    PREFIX.iter().all(|byte| stored.next() == Some(*byte))
        && matches!(stored.next(), None | Some(b'_'))
}

/// Returns `true` for the name of a metric that OpenObserve stores in a stream of ours: it folds what is no ASCII letter or digit.
pub fn is_reserved_metric(name: &[u8]) -> bool {
    is_reserved(name) || {
        let text = String::from_utf8_lossy(name);
        text.starts_with(['l', 'L']) && is_reserved(stored_stream(&text).as_bytes())
    }
}

/// Returns `true` if the keys of a map with this key may be reserved: `{"lambda": {"otlp": …}}` fills the same columns.
pub fn may_hold_reserved(key: &[u8]) -> bool {
    key.eq_ignore_ascii_case(b"lambda")
}

/// Returns `true` if this key in a map is reserved.
pub fn is_reserved_within(outer: &[u8], inner: &[u8]) -> bool {
    may_hold_reserved(outer) && is_reserved(&[outer, b".", inner].concat())
}

/// Returns `true` if an attribute of content is reserved.
pub(crate) fn is_reserved_attribute(key: &[u8], value: &[u8]) -> bool {
    is_reserved(key)
        || may_hold_reserved(key)
            && map_entries(value).any(|entry| is_reserved_within(key, key_and_value(entry).0))
}

/// The place of a name in a request.
#[derive(Clone, Copy)]
pub(crate) enum Place<'r> {
    /// A resource or a scope.
    Head,
    Item(Item<'r>),
    /// The metadata of a metric.
    Metric,
    /// The event of a span, a link or an exemplar.
    Other,
}

/// The content of a request around a name.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'r> {
    pub(crate) place: Place<'r>,
    /// The name of the item's scope.
    pub(crate) scope: &'r [u8],
    /// The name of the metric.
    pub(crate) metric_name: &'r [u8],
}

impl Surroundings<'_> {
    fn is(&self, kind: ItemKind) -> bool {
        matches!(self.place, Place::Item(item) if item.kind == kind)
    }

    /// Returns `true` for a record that the forwarder or the layer made of a line. The attributes of such a record come from us.
    fn is_record_of_line(&self) -> bool {
        self.is(ItemKind::LogRecord) && self.scope == b"lambda-otlp/logs"
    }

    fn is_record_of_library(&self) -> bool {
        self.is(ItemKind::LogRecord) && self.scope == LIBRARY_SCOPE.as_bytes()
    }

    fn is_own_metric(&self) -> bool {
        match self.place {
            Place::Item(item) => is_own_metric(item.metric_name, self.scope),
            _ => false,
        }
    }
}

/// Returns `true` for the names of metrics that the library, the layer and the forwarder write about themselves.
pub(crate) fn is_own_metric(name: &[u8], scope: &[u8]) -> bool {
    let known: [(&[u8], &[u8]); 3] = [
        (LIBRARY_SCOPE.as_bytes(), b"lambda_otlp.exporter."),
        (b"lambda-otlp/extension", b"lambda_otlp.extension."),
        (b"lambda-otlp/forwarder", b"lambda_otlp.forwarder."),
    ];
    known.iter().any(|(own_scope, begin)| scope == *own_scope && name.starts_with(begin))
}

/// The name of the event of an undecodable line.
pub(crate) fn is_own_event(name: &[u8], scope: &[u8]) -> bool {
    name == b"lambda_otlp.undecodable" && scope == b"lambda-otlp/logs"
}

/// What an OTLP line may state under a reserved key.
struct Writer {
    key: &'static str,
    /// Returns `true` if one of our programs writes this value there.
    may_write: fn(&Surroundings<'_>, value: &[u8]) -> bool,
}

const WRITERS: [Writer; 18] = [
    // Library and layer.
    Writer { key: PARTIAL, may_write: |of, value| of.is(ItemKind::Span) && is_true(value) },
    Writer {
        key: "lambda_otlp.inferred",
        may_write: |of, value| of.is(ItemKind::Span) && is_true(value),
    },
    // Whoever shortens content that is too large for a line or a request.
    Writer {
        key: TRUNCATED,
        may_write: |of, value| !matches!(of.place, Place::Other) && is_true(value),
    },
    // Records of lines, which a layer in direct mode writes as OTLP if its backend fails.
    Writer {
        key: EXCEPTION_FINGERPRINT,
        // Also the library's record of a handler's error, and the exceptions of X-Ray's documents, which the layer writes as events
        // of spans.
        may_write: |of, value| {
            let is_of_xray = matches!(of.place, Place::Other) && of.scope == b"lambda-otlp/xray";
            (of.is_record_of_line() || of.is_record_of_library() || is_of_xray)
                && view::text(value).is_some()
        },
    },
    record_text("lambda_otlp.prefix"),
    Writer {
        key: "lambda_otlp.rest",
        // Also spans of the log group `aws/spans`, which an earlier forwarder may have read.
        may_write: |of, value| {
            (of.is_record_of_line() || of.is(ItemKind::Span)) && view::text(value).is_some()
        },
    },
    record_text("lambda_otlp.undecodable.reason"),
    record_text("lambda_otlp.undecodable.sha256"),
    Writer {
        key: "lambda_otlp.undecodable.size_bytes",
        may_write: |of, value| of.is_record_of_line() && is_number(value),
    },
    // An earlier forwarder.
    Writer {
        key: "lambda_otlp.severity_text",
        may_write: |of, value| of.is(ItemKind::LogRecord) && view::text(value).is_some(),
    },
    Writer { key: ORIGINAL_TIME, may_write: |of, value| is_original_time(of, value) },
    Writer { key: ADJUSTED_COUNT, may_write: |of, value| is_adjusted_count(of, value) },
    // Metrics about ourselves.
    metric_text("lambda_otlp.fate"),
    metric_text("lambda_otlp.reason"),
    metric_text("lambda_otlp.destination"),
    metric_text("lambda_otlp.signal"),
    metric_text("lambda_otlp.rule"),
    metric_text("lambda_otlp.consumed_by"),
];

const fn record_text(key: &'static str) -> Writer {
    Writer { key, may_write: |of, value| of.is_record_of_line() && view::text(value).is_some() }
}

const fn metric_text(key: &'static str) -> Writer {
    Writer { key, may_write: |of, value| of.is_own_metric() && view::text(value).is_some() }
}

/// Returns `true` if one of our programs writes this reserved attribute.
pub(crate) fn may_state(key: &[u8], value: &[u8], surroundings: &Surroundings<'_>) -> bool {
    let mut writers = WRITERS.iter().filter(|writer| writer.key.as_bytes() == key);
    writers.any(|writer| (writer.may_write)(surroundings, value))
}

fn is_true(value: &[u8]) -> bool {
    let value = fields(value).find(|field| field.number == any_value::BOOL);
    value.is_some_and(|field| matches!(field.value, Value::Varint(1)))
}

fn is_number(value: &[u8]) -> bool {
    fields(value).any(|field| field.number == any_value::INT)
}

/// Returns `true` for a time before that of the item.
fn is_original_time(of: &Surroundings<'_>, value: &[u8]) -> bool {
    let Place::Item(item) = of.place else { return false };
    let time = view::text(value).and_then(timestamp::parse);
    matches!(item.kind, ItemKind::Span | ItemKind::LogRecord)
        && time.is_some_and(|time| time < item.time_unix_nano())
}

/// Returns `true` for a count that the span's `tracestate` states too, or that the log record's id agrees with: an earlier forwarder
/// with that share would have kept the record.
fn is_adjusted_count(of: &Surroundings<'_>, value: &[u8]) -> bool {
    let Place::Item(item) = of.place else { return false };
    let number = fields(value).find(|field| field.number == any_value::DOUBLE);
    let Some(Value::Fixed64(bits)) = number.map(|field| field.value) else { return false };
    let count = f64::from_bits(bits);
    (1.0..=MAX_STATED_COUNT).contains(&count)
        && match item.kind {
            ItemKind::Span => span_states_count(item.bytes, count),
            ItemKind::LogRecord => record_agrees_with_count(item, count),
            _ => false,
        }
}

fn span_states_count(bytes: &[u8], count: f64) -> bool {
    /// Shares are rounded to 32 bits before they are written as a threshold.
    const TOLERANCE: f64 = 1e-4;
    let Ok(trace_state) = str::from_utf8(view::message(bytes, span::TRACE_STATE)) else {
        return false;
    };
    let member = OtelMember::read(trace_state);
    let kept = member.kept_values(view::message(bytes, span::TRACE_ID));
    member.randomness.is_some() && kept < ALL && (count_of(kept) / count - 1.0).abs() < TOLERANCE
}

fn record_agrees_with_count(record: Item<'_>, count: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "shares are compared with 32 bits")]
    let is_kept = |id: &[u8]| (sampling_hash(id) >> 32) as f64 * count < 2_f64.powi(32);
    let trace_id = view::message(record.bytes, log_record::TRACE_ID);
    if trace_id.len() == 16 {
        return is_kept(trace_id);
    }
    record.attributes().any(|attribute| {
        let (key, value) = key_and_value(attribute);
        let Some(text) = view::text(value) else { return false };
        match str::from_utf8(key) {
            Ok("aws.xray.trace_id") => xray_trace_id(text).is_some_and(|id| is_kept(&id)),
            Ok(FAAS_INVOCATION_ID | "log.record.uid") => is_kept(text.as_bytes()),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_reserved_in_every_spelling_that_fills_our_columns() {
        let reserved = [
            "lambda_otlp.adjusted_count",
            "lambda_otlp",
            "LAMBDA_OTLP.x",
            "lambda-otlp-x",
            "Lambda.Otlp x",
            "lambda名otlp名x",
            "lambda_otlp_",
        ];
        for name in reserved {
            assert!(is_reserved(name.as_bytes()), "{name}");
        }
        for name in [
            "",
            "lambda",
            "lambda_otlpx",
            "lambdaotlp.x",
            "aws.lambda_otlp",
            "attr_lambda_otlp.x",
            "lambda__otlp",
        ] {
            assert!(!is_reserved(name.as_bytes()), "{name}");
        }
        // OpenObserve folds them in the names of metrics.
        for name in
            ["lambda..otlp.x", "lambda.-otlp", "lambda \tOTLP.x", "lambdaßotlp.x", "lambda_otlp"]
        {
            assert!(is_reserved_metric(name.as_bytes()), "{name}");
        }
        for name in ["lambda__otlp.x", "lambda_otlpx", "a.lambda_otlp", "", "lambda"] {
            assert!(!is_reserved_metric(name.as_bytes()), "{name}");
        }
        assert!(is_reserved_within(b"Lambda", b"otlp"));
        assert!(is_reserved_within(b"lambda", b"otlp.adjusted_count"));
        assert!(!is_reserved_within(b"lambda", b"name"));
        assert!(!is_reserved_within(b"aws", b"otlp"));
    }
}
