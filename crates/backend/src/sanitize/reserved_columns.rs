//! OpenObserve's own columns, which no attribute may overwrite.

use super::names::{stored_byte, stored_key};
use super::{gen_ai, severity};
use wire::SignalKind;

/// OpenObserve's own columns in the rows of a signal.
pub(super) struct ReservedColumns {
    columns: &'static [&'static str],
    /// Names that are no columns: OpenObserve 0.93-dev panics at a log record whose `_id` is no text, and closes the connection.
    forbidden: &'static [&'static str],
    filter: KeyFilter,
}

/// Excludes nearly all keys that are not in a set, by their first and last letters and their lengths.
#[derive(Clone, Copy)]
pub(super) struct KeyFilter {
    /// A bit for each pair of a first and a last letter.
    letters: [u64; WORDS],
    /// A bit for each pair of letters with a length. Different ones may share a bit.
    letters_with_length: [u64; WORDS],
}

const WORDS: usize = 16;

/// Ten bits for the first and the last letter. Bytes that OpenObserve folds into one have the same bits.
#[inline]
const fn letters(first: u8, last: u8) -> usize {
    (stored_byte(first) as usize & 31) << 5 | (stored_byte(last) as usize & 31)
}

#[inline]
const fn with_length(letters: usize, length: usize) -> usize {
    (letters ^ (length * 37)) % (WORDS * 64)
}

/// Columns that OpenObserve fills itself in some streams: a record's id, its original text, the text for full-text search.
const INTERNAL: &[&str] = &[
    "_all",
    "_all_values",
    "_o2_id",
    "_o2_ingest_ts",
    "_original",
    "_serde_json__private__number",
];

impl ReservedColumns {
    const fn new(columns: &'static [&'static str]) -> Self {
        Self::with(KeyFilter::of(&[]), columns, &[])
    }

    /// `others` has keys that are no columns, but need the attention of a rule.
    const fn with(
        others: KeyFilter,
        columns: &'static [&'static str],
        forbidden: &'static [&'static str],
    ) -> Self {
        let filter = others.and(columns).and(forbidden).and(INTERNAL);
        Self { columns, forbidden, filter }
    }

    pub(super) const fn filter(&self) -> KeyFilter {
        self.filter
    }

    /// The names, including OpenObserve's internal columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().chain(self.forbidden).chain(INTERNAL).copied()
    }
}

impl KeyFilter {
    pub(super) const fn of(keys: &[&str]) -> Self {
        Self { letters: [0; WORDS], letters_with_length: [0; WORDS] }.and(keys)
    }

    /// Adds keys.
    pub(super) const fn and(mut self, keys: &[&str]) -> Self {
        let mut rest = keys;
        while let [key, after @ ..] = rest {
            self.add(key.as_bytes());
            rest = after;
        }
        self
    }

    const fn add(&mut self, column: &[u8]) {
        if let (Some(first), Some(last)) = (column.first(), column.last()) {
            self.add_letters(*first, *last, column.len());
        }
    }

    pub(super) fn add_with_prefix(&mut self, prefix: &[u8], key: &[u8]) {
        let other = if key.is_ascii() { Vec::new() } else { stored_key(key).collect() };
        let stored = if key.is_ascii() { key } else { &other };
        if let Some((first, last)) = prefix.first().or(stored.first()).zip(stored.last()) {
            self.add_letters(*first, *last, prefix.len() + stored.len());
        }
    }

    #[expect(clippy::indexing_slicing, reason = "there are as many words")]
    const fn add_letters(&mut self, first: u8, last: u8, length: usize) {
        let letters = letters(first, last);
        let with_length = with_length(letters, length);
        self.letters[letters / 64] |= 1 << (letters % 64);
        self.letters_with_length[with_length / 64] |= 1 << (with_length % 64);
    }

    /// Returns `false` if first letter, last letter and length exclude that the key is in the set. The length of a key beyond ASCII
    /// is no evidence, because a character of several bytes may be one `_` in the column.
    #[inline]
    pub(super) fn may_have(&self, key: &[u8]) -> bool {
        let (Some(first), Some(last)) = (key.first(), key.last()) else { return false };
        // OpenObserve may store this letter as another one.
        if !(first | last).is_ascii() {
            return true;
        }
        let has = |bits: &[u64; WORDS], at: usize| {
            bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
        };
        let letters = letters(*first, *last);
        has(&self.letters, letters)
            && (has(&self.letters_with_length, with_length(letters, key.len())) || !key.is_ascii())
    }
}

/// Columns of a span. A span attribute `service.name` would replace the service's name, and `flags` would turn that column into
/// text.
pub(super) static SPAN: ReservedColumns = ReservedColumns::with(
    gen_ai::KEYS,
    &[
        "_timestamp",
        "duration",
        "end_time",
        "events",
        "flags",
        "links",
        "operation_name",
        "reference_parent_span_id",
        "reference_parent_trace_id",
        "reference_ref_type",
        "service_name",
        "span_id",
        "span_kind",
        "span_status",
        "start_time",
        "status_code",
        "status_message",
        "trace_id",
    ],
    &[],
);

/// A span's resource attributes get the prefix `service_`; this one would become `service_name`.
pub(super) static SPAN_RESOURCE: ReservedColumns = ReservedColumns::new(&["name"]);

/// Columns of a log record. An attribute `_timestamp` would move the row to 1970; `body` and `severity` would replace the
/// record's.
pub(super) static LOG_RECORD: ReservedColumns = ReservedColumns::with(
    KeyFilter::of(&[severity::ORIGINAL]),
    &[
        "_timestamp",
        "body",
        "dropped_attributes_count",
        "instrumentation_library_name",
        "instrumentation_library_version",
        "service_name",
        "severity",
        "span_id",
        "trace_id",
    ],
    &["_id"],
);

pub(super) static DATA_POINT: ReservedColumns = ReservedColumns::new(&[
    "__hash__",
    "__name__",
    "_timestamp",
    "aggregation_temporality",
    "exemplars",
    "flag",
    "instrumentation_library_name",
    "instrumentation_library_version",
    "is_monotonic",
    "le",
    "quantile",
    "service_name",
    "start_time",
    "value",
]);

/// Number of columns that each row of a signal has besides those of attributes.
pub(crate) fn number_of_reserved_columns(kind: SignalKind) -> usize {
    let reserved = match kind {
        SignalKind::Traces => &SPAN,
        SignalKind::Logs => &LOG_RECORD,
        SignalKind::Metrics => &DATA_POINT,
    };
    reserved.columns.len()
}

/// Returns `true` if a key, normalised by OpenObserve to lower case and `_`, is one of these columns.
#[inline]
pub(super) fn is_reserved(key: &[u8], reserved: &ReservedColumns) -> bool {
    reserved.filter.may_have(key) && is_one_of(key, reserved)
}

#[inline(never)]
fn is_one_of(key: &[u8], reserved: &ReservedColumns) -> bool {
    reserved.names().any(|column| column.bytes().eq(stored_key(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_keys_are_matched_in_openobserve_spelling() {
        let check = |key: &str, expected| {
            assert_eq!(is_reserved(key.as_bytes(), &LOG_RECORD), expected, "{key}");
        };
        check("body", true);
        check("Body", true);
        check("service.name", true);
        check("service-name", true);
        check("service名name", true);
        check("serviceéname", false);
        check("SERVICEÉNAME", false);
        check("service.names", false);
        check("_id", true);
        check("-id", true);
        check(".Id", true);
        check("名ID", true);
        check("id", false);
        check("__id", false);
        check("body.text", false);
        check("attr_body", false);
        check("", false);
        for column in [&SPAN, &LOG_RECORD, &DATA_POINT].iter().flat_map(|list| list.columns) {
            let list = [&SPAN, &LOG_RECORD, &DATA_POINT];
            let reserved = |key: &str| list.iter().any(|list| is_reserved(key.as_bytes(), list));
            assert!(reserved(column) && reserved(&column.to_uppercase()), "{column}");
            assert!(reserved(&column.replace('_', "名")), "{column}");
        }
    }
}
