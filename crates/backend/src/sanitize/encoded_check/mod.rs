//! Checks without decoding whether a rule would change a request. Most requests need no change.
//!
//! Each `visit_…` returns `true` if no rule would change what it visits. `false` ends the check, because the request is decoded.

mod metric;

use super::gen_ai::{self, GenAi};
use super::hash::KeyHash;
use super::known_keys::{KnownKeys, with_known_keys};
use super::limits::SEARCHED_LEVELS;
use super::logs::needs_event_name;
use super::request_facts::RequestFacts;
use super::same_column::share_a_column;
use super::severity::{self, Severity};
use super::taken_columns::{KeyVerdict, SignalColumns, TakenColumns};
use super::text_values::needs_text;
use super::traces::{EVENT_FIELDS, LINK_FIELDS, has_valid_ids, is_valid_parent};
use super::typed_columns::{EncodedChange, Level, change_of, change_of_entries};
use wire::field::{any_value, event, link, log_record, span};
use wire::protobuf::{Value, fields, messages};
use wire::resource::SERVICE_NAME;
use wire::view::{holds_map, key_and_value, may_nest};
use wire::{Request, SignalKind};

/// Visits a span, log record or metric. Returns `true` if no rule would change it.
type Visit<'k> = fn(&mut EncodedCheck<'k>, &[u8], &TakenColumns<'_>) -> bool;

/// A request that needs no decoding.
pub(super) struct UndecodedRequest {
    pub(super) facts: RequestFacts,
    /// `true` if log records need texts or numbers, the only changes.
    pub(super) needs_edit: bool,
}

/// Checks a request. Returns `None` if a rule other than those of severities and types would change it: unless every resource has a
/// service name and no reserved key, and every item passes.
pub(super) fn check_encoded(request: &Request) -> Option<UndecodedRequest> {
    with_known_keys(|known| {
        let signal = SignalColumns::of(request.kind());
        let visit: Visit<'_> = match request.kind() {
            SignalKind::Traces => EncodedCheck::visit_span,
            SignalKind::Logs => EncodedCheck::visit_log_record,
            SignalKind::Metrics => EncodedCheck::visit_metric,
        };
        let mut check = EncodedCheck {
            facts: RequestFacts::NOTHING,
            known,
            item: ItemFlags::default(),
            has_types: signal.has_types,
            is_in_framework: false,
            needs_edit: false,
        };
        let is_traces = request.kind() == SignalKind::Traces;
        let is_passed = request.containers().all(|container| {
            let taken = TakenColumns::among(signal, container.attributes());
            check.visit_resource(&taken, signal)
                && container.scopes().all(|scope| {
                    check.is_in_framework = is_traces && gen_ai::is_of_framework(scope);
                    scope.messages().all(|item| visit(&mut check, item, &taken))
                })
        });
        let EncodedCheck { facts, needs_edit, .. } = check;
        is_passed.then_some(UndecodedRequest { facts, needs_edit })
    })
}

/// The check of one request. Each visit adds facts to it, and keys to those of earlier requests, until a rule would change
/// something.
pub(super) struct EncodedCheck<'k> {
    pub(super) facts: RequestFacts,
    known: &'k mut KnownKeys,
    item: ItemFlags,
    /// `true` if values keep their types.
    has_types: bool,
    /// `true` if the current scope is that of an AI framework.
    is_in_framework: bool,
    /// `true` if a log record needs another severity text, or a value another type.
    needs_edit: bool,
}

/// Facts about the current item that decide after its last attribute.
#[derive(Default)]
struct ItemFlags {
    /// `true` if attributes may have the same column.
    may_share: bool,
    /// `true` if a rule that needs the whole item decides about an attribute.
    is_watched: bool,
}

impl EncodedCheck<'_> {
    /// Adds a key and its value. Returns `false` if a rule would change the value.
    #[inline]
    fn visit_key(&mut self, key: &[u8], hash: KeyHash, value: &[u8]) -> bool {
        self.facts.add_key(hash);
        self.item.may_share |= !self.known.note(key, hash);
        if self.has_types && !self.visit_type(key, hash, value) {
            return false;
        }
        !may_change(value) || self.visit_nested(value, &Level::ENTRIES)
    }

    /// Visits the type of a log record's value. Returns `false` if only the decoded attribute shows how it changes.
    #[inline(never)]
    fn visit_type(&mut self, key: &[u8], hash: KeyHash, value: &[u8]) -> bool {
        let change = change_of(key, value);
        if change == EncodedChange::TextAndNumber {
            self.facts.add_key(hash.with_number());
        }
        self.note_change(change)
    }

    /// Returns `false` if only the decoded attribute shows how a value changes.
    #[inline]
    fn note_change(&mut self, change: EncodedChange) -> bool {
        self.needs_edit |= change != EncodedChange::Nothing;
        change != EncodedChange::Unknown
    }

    /// Visits a value that may be a map with entries of this level. Returns `false` if a rule would change it.
    #[inline(never)]
    fn visit_nested(&mut self, value: &[u8], level: &Level<'_>) -> bool {
        if holds_map(value) {
            self.facts.add_map();
            self.item.may_share = true;
            if self.has_types && !self.note_change(change_of_entries(value, level)) {
                return false;
            }
        }
        !needs_text(value, SEARCHED_LEVELS)
    }

    /// Ends the visit of an item or resource with these attributes, all of which were visited. Returns `false` if two of them have
    /// the same column.
    pub(super) fn end_attributes<'a>(
        &mut self,
        attributes: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> bool {
        !(std::mem::take(&mut self.item.may_share) && share_a_column(attributes))
    }

    /// Visits a resource. Returns `true` if no rule would change it.
    fn visit_resource(&mut self, taken: &TakenColumns<'_>, signal: &SignalColumns) -> bool {
        let mut has_service_name = false;
        for (key, value) in taken.of_resource() {
            if signal.is_reserved_in_resources(key) {
                return false;
            }
            if !self.visit_key(key, KeyHash::of_resource(key), value) {
                return false;
            }
            // Only the first of several counts, as in `attributes`.
            if !has_service_name && *key == SERVICE_NAME.as_bytes() {
                has_service_name = true;
                if messages(value, any_value::STRING).next().is_none_or(<[u8]>::is_empty) {
                    return false;
                }
            }
        }
        self.end_attributes(taken.of_resource().iter().copied()) && has_service_name
    }

    /// Visits an item's attribute. Returns `false` if a rule would change it.
    #[inline]
    pub(super) fn visit_attribute(&mut self, attribute: &[u8], taken: &TakenColumns<'_>) -> bool {
        let (key, value) = key_and_value(attribute);
        let verdict = taken.judge(key, value);
        self.item.is_watched |= verdict == KeyVerdict::Watched;
        verdict != KeyVerdict::Taken
            && self.visit_key(key, KeyHash::of_item(key), value)
            && !(may_nest(value) && holds_map(value) && taken.has_within(key, value))
    }
}

/// Returns `false` for text, finite numbers and Booleans, as most values are.
#[inline]
fn may_change(value: &[u8]) -> bool {
    // The last two bytes of a double have its exponent, whose bits are all set if it is not finite.
    let is_not_finite = matches!(value, [0x21, .., exponent, sign]
        if *exponent >= 0xf0 && sign & 0x7f == 0x7f);
    is_not_finite || may_nest(value)
}

/// Returns `true` if attributes of an event or link hide a field or have a value that OpenObserve cannot store.
fn hides(message: &[u8], number: u32, fields: &[&[u8]]) -> bool {
    messages(message, number).map(key_and_value).any(|(key, value)| {
        fields.contains(&key) || (may_change(value) && needs_text(value, SEARCHED_LEVELS))
    })
}

impl EncodedCheck<'_> {
    /// Visits a span. Returns `true` if no rule would change it.
    fn visit_span(&mut self, span: &[u8], taken: &TakenColumns<'_>) -> bool {
        let mut trace_id: &[u8] = &[];
        let mut span_id: &[u8] = &[];
        let mut parent: &[u8] = &[];
        let mut start = 0;
        let mut end = 0;
        self.item.is_watched = self.is_in_framework;
        for field in fields(span) {
            match (field.number, field.value) {
                (span::TRACE_ID, Value::Len(id)) => trace_id = id,
                (span::SPAN_ID, Value::Len(id)) => span_id = id,
                (span::PARENT_SPAN_ID, Value::Len(id)) => parent = id,
                (span::START_TIME, Value::Fixed64(time)) => start = time,
                (span::END_TIME, Value::Fixed64(time)) => end = time,
                (span::ATTRIBUTES, Value::Len(attribute))
                    if !self.visit_attribute(attribute, taken) =>
                {
                    return false;
                }
                (span::EVENTS, Value::Len(event))
                    if hides(event, event::ATTRIBUTES, EVENT_FIELDS) =>
                {
                    return false;
                }
                (
                    span::DROPPED_ATTRIBUTES_COUNT
                    | span::DROPPED_EVENTS_COUNT
                    | span::DROPPED_LINKS_COUNT,
                    Value::Varint(1..),
                ) => return false,
                (span::LINKS, Value::Len(link)) if hides(link, link::ATTRIBUTES, LINK_FIELDS) => {
                    return false;
                }
                _ => {}
            }
        }
        self.facts.times.add(start);
        self.end_attributes(messages(span, span::ATTRIBUTES).map(key_and_value))
            && has_valid_ids(trace_id, span_id)
            && is_valid_parent(parent)
            && end >= start
            && !(self.item.is_watched && GenAi::of(span, self.is_in_framework).loses_any(span))
    }

    /// Visits a log record. Returns `true` if no rule but those of severities and types would change it.
    fn visit_log_record(&mut self, log_record: &[u8], taken: &TakenColumns<'_>) -> bool {
        let mut severity = Severity::default();
        self.item.is_watched = false;
        let mut time = 0;
        let mut observed = 0;
        let mut body = None;
        let mut event_name: &[u8] = &[];
        for field in fields(log_record) {
            match (field.number, field.value) {
                (log_record::TIME, Value::Fixed64(value)) => time = value,
                (log_record::OBSERVED_TIME, Value::Fixed64(value)) => observed = value,
                (log_record::SEVERITY_NUMBER, Value::Varint(number)) => {
                    severity.number = severity::to_number(number);
                }
                (log_record::SEVERITY_TEXT, Value::Len(text)) => severity.text = text,
                (log_record::EVENT_NAME, Value::Len(name)) => event_name = name,
                (log_record::BODY, Value::Len(value)) if may_change(value) => {
                    if !self.visit_nested(value, &Level::BODY) {
                        return false;
                    }
                    body = Some((b"body".as_slice(), value));
                }
                (log_record::ATTRIBUTES, Value::Len(attribute))
                    if !self.visit_attribute(attribute, taken) =>
                {
                    return false;
                }
                _ => {}
            }
        }
        if needs_event_name(event_name, log_record) {
            return false;
        }
        self.facts.times.add(if time == 0 { observed } else { time });
        let attributes = messages(log_record, log_record::ATTRIBUTES).map(key_and_value);
        if !self.end_attributes(attributes.chain(body)) {
            return false;
        }
        let Some(new_text) = severity.new_text() else { return true };
        self.needs_edit = true;
        !severity.is_shortened_by(new_text) || self.add_original_severity(taken)
    }

    /// Adds the attribute with the record's own severity text. Returns `false` if another attribute has its column.
    #[cold]
    fn add_original_severity(&mut self, taken: &TakenColumns<'_>) -> bool {
        let key = severity::ORIGINAL.as_bytes();
        !self.item.is_watched
            && !taken.has(key, &[])
            && self.visit_key(key, KeyHash::of_item(key), &[])
    }
}
