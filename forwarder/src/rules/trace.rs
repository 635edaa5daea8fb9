//! Conditions on whole traces, as far as one event has their items.
//!
//! [`TraceReading`] reads the items of the event before the first rule runs. The order of its requests therefore does not matter, and
//! rules see a trace as it was before any rule changed it.

use super::condition::{AttributeCondition, Test, ValueCondition};
use super::item::{ItemView, SpanView};
use super::value_range::ValueRange;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;
use wire::resource::FAAS_INVOCATION_ID;
use wire::view::{self, ScopeContainer};
use wire::{Request, SignalKind};

/// Limit on the traces of one event, and on its invocations. Both together take about 20 MB.
const MAX_TRACES: usize = 50_000;
/// Limit on a request id. Lambda's have 36 bytes.
const MAX_ID_BYTES: usize = 128;
/// Limit on the conditions on attributes of traces in one file. Each has a bit in a [`ConditionSet`].
pub(super) const MAX_ATTRIBUTES: usize = 64;

/// The lowest severity number of `ERROR` (OpenTelemetry, "Logs Data Model", field `SeverityNumber`).
const ERROR: i32 = 17;

const FAAS_COLDSTART: &str = "faas.coldstart";
const DURATION_MS: &str = "aws.lambda.duration_ms";
const XRAY_TRACE_ID: &str = "aws.xray.trace_id";

pub(super) type TraceId = [u8; 16];

/// Conditions on a trace that must all hold.
#[derive(Clone, Debug, Default)]
pub(super) struct TraceConditions {
    pub(super) has_failed: Option<bool>,
    pub(super) is_cold: Option<bool>,
    pub(super) duration: ValueRange<Duration>,
    pub(super) attributes: Vec<AttributeCondition>,
    /// The number of the first of these attributes, among all in the file.
    pub(super) first_attribute: usize,
}

impl TraceConditions {
    pub(super) fn is_met(&self, traces: Option<&SeenTraces>, item: &ItemView<'_>) -> bool {
        traces.and_then(|traces| traces.of(item)).is_some_and(|facts| self.is_met_by(facts))
    }

    fn is_met_by(&self, facts: &TraceFacts) -> bool {
        let mut numbers = self.first_attribute..self.first_attribute + self.attributes.len();
        self.has_failed.is_none_or(|wanted| wanted == facts.has_failed)
            && self.is_cold.is_none_or(|wanted| wanted == facts.is_cold)
            && self.duration.contains(&facts.duration())
            && numbers.all(|number| facts.meets_condition(number))
    }
}

/// The conditions on attributes of traces in a rules file, in its order.
#[derive(Debug, Default)]
pub(super) struct TraceAttributes {
    conditions: Vec<AttributeCondition>,
}

impl TraceAttributes {
    /// Adds the conditions of a rule. Returns `false` if the file has more than [`MAX_ATTRIBUTES`].
    pub(super) fn add(&mut self, conditions: &mut TraceConditions) -> bool {
        conditions.first_attribute = self.conditions.len();
        self.conditions.extend(conditions.attributes.iter().cloned());
        self.conditions.len() <= MAX_ATTRIBUTES
    }
}

/// A set of numbers of conditions, all below [`MAX_ATTRIBUTES`].
#[derive(Clone, Copy, Debug, Default)]
struct ConditionSet(u64);

impl ConditionSet {
    fn add(&mut self, number: usize) {
        self.0 |= 1 << number;
    }

    fn add_all(&mut self, others: Self) {
        self.0 |= others.0;
    }

    fn contains(self, number: usize) -> bool {
        self.0 & 1 << number != 0
    }
}

/// What conditions ask about a trace or an invocation.
#[derive(Clone, Copy, Debug)]
struct TraceFacts {
    has_failed: bool,
    is_cold: bool,
    /// The earliest start of its spans.
    start_unix_nano: u64,
    /// The latest end of its spans.
    end_unix_nano: u64,
    /// The longest duration of its invocations in Lambda's reports.
    reported: Duration,
    /// Conditions on attributes whose tests for a value are all met by one item.
    met: ConditionSet,
    /// Conditions on attributes that exclude the value of one item.
    excluding: ConditionSet,
}

impl Default for TraceFacts {
    fn default() -> Self {
        Self {
            has_failed: false,
            is_cold: false,
            start_unix_nano: u64::MAX,
            end_unix_nano: 0,
            reported: Duration::ZERO,
            met: ConditionSet::default(),
            excluding: ConditionSet::default(),
        }
    }
}

impl TraceFacts {
    /// The facts that one item shows.
    fn of(item: &ItemView<'_>, conditions: &[AttributeCondition]) -> Self {
        let mut facts = Self { has_failed: item.severity() >= ERROR, ..Self::default() };
        // Any line may have the attribute of a cold start, but only Lambda's report has a duration.
        let mut is_of_invocation = false;
        if let Some(SpanView { status, start_unix_nano, end_unix_nano, .. }) = item.span() {
            is_of_invocation = true;
            facts.has_failed = status == StatusCode::Error as i32;
            if start_unix_nano > 0 {
                facts.start_unix_nano = start_unix_nano;
                // A span may have no end, or one before its start.
                facts.end_unix_nano = end_unix_nano.max(start_unix_nano);
            }
        } else if let Some(Value::DoubleValue(millis)) = value_of(item, DURATION_MS) {
            is_of_invocation = true;
            facts.reported = Duration::try_from_secs_f64(millis / 1000.0).unwrap_or_default();
        }
        facts.is_cold = is_of_invocation
            && matches!(value_of(item, FAAS_COLDSTART), Some(Value::BoolValue(true)));
        for (number, AttributeCondition { key, value }) in conditions.iter().enumerate() {
            facts.note_condition(number, value, value_of(item, key).as_ref());
        }
        facts
    }

    /// Notes whether the value of an item meets a condition, or is excluded by it.
    fn note_condition(&mut self, number: usize, condition: &ValueCondition, value: Option<&Value>) {
        let ValueCondition(tests) = condition;
        let excludes_values = |test: &&Test| matches!(test, Test::Not(_) | Test::Exists(false));
        let is_met = |test: &Test| test.is_met(value);
        if tests.iter().filter(|test| !excludes_values(test)).all(is_met) {
            self.met.add(number);
        }
        if !tests.iter().filter(excludes_values).all(is_met) {
            self.excluding.add(number);
        }
    }

    fn add(&mut self, other: &Self) {
        self.has_failed |= other.has_failed;
        self.is_cold |= other.is_cold;
        self.start_unix_nano = self.start_unix_nano.min(other.start_unix_nano);
        self.end_unix_nano = self.end_unix_nano.max(other.end_unix_nano);
        self.reported = self.reported.max(other.reported);
        self.met.add_all(other.met);
        self.excluding.add_all(other.excluding);
    }

    fn duration(&self) -> Duration {
        let of_spans = self.end_unix_nano.saturating_sub(self.start_unix_nano);
        Duration::from_nanos(of_spans).max(self.reported)
    }

    /// Returns `true` if the condition of this number is met.
    fn meets_condition(&self, number: usize) -> bool {
        self.met.contains(number) && !self.excluding.contains(number)
    }
}

fn value_of(item: &ItemView<'_>, key: &str) -> Option<Value> {
    item.value_of(key).and_then(|AnyValue { value }| value)
}

/// The traces of an invocation's items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum InvocationTraces {
    #[default]
    None,
    One(TraceId),
    /// A batch of messages, each with its sender's trace.
    Several,
}

impl InvocationTraces {
    fn and(self, trace_id: TraceId) -> Self {
        match self {
            Self::None => Self::One(trace_id),
            Self::One(known) if known == trace_id => Self::One(known),
            Self::One(_) | Self::Several => Self::Several,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct SeenInvocation {
    facts: TraceFacts,
    traces: InvocationTraces,
    /// The trace id in Lambda's report, which is X-Ray's. Spans may have another one.
    xray_trace_id: Option<TraceId>,
}

impl SeenInvocation {
    fn add(
        &mut self,
        facts: &TraceFacts,
        trace_id: Option<TraceId>,
        xray_trace_id: Option<TraceId>,
    ) {
        self.facts.add(facts);
        if let Some(trace_id) = trace_id {
            self.traces = self.traces.and(trace_id);
        }
        // The smallest of several, so that the order of the items does not matter.
        self.xray_trace_id = self.xray_trace_id.into_iter().chain(xray_trace_id).min();
    }
}

/// Reads the items of one event.
#[derive(Debug)]
pub struct TraceReading {
    attributes: Arc<TraceAttributes>,
    seen: SeenTraces,
}

impl TraceReading {
    pub(super) fn new(attributes: Arc<TraceAttributes>) -> Self {
        Self { attributes, seen: SeenTraces::default() }
    }

    pub fn add(&mut self, request: &Request) {
        if request.kind() == SignalKind::Metrics {
            return;
        }
        let scopes = request.containers().flat_map(view::Container::scopes);
        for item in scopes.flat_map(ScopeContainer::items) {
            self.add_item(&ItemView::read(item));
        }
    }

    fn add_item(&mut self, item: &ItemView<'_>) {
        let own_trace_id = trace_id(item);
        let xray_trace_id = xray_trace_id(item);
        let request_id = item.text_of(FAAS_INVOCATION_ID).filter(|id| id.len() <= MAX_ID_BYTES);
        let trace_id = own_trace_id.or(xray_trace_id);
        if trace_id.is_none() && request_id.is_none() {
            return;
        }
        let facts = TraceFacts::of(item, &self.attributes.conditions);
        let SeenTraces { traces, invocations, items_beyond_limit } = &mut self.seen;
        let mut is_beyond_limit = false;
        if let Some(trace_id) = trace_id {
            match entry(traces, trace_id) {
                Some(trace) => trace.add(&facts),
                None => is_beyond_limit = true,
            }
        }
        if let Some(request_id) = request_id {
            match entry(invocations, request_id.into()) {
                Some(invocation) => invocation.add(&facts, own_trace_id, xray_trace_id),
                None => is_beyond_limit = true,
            }
        }
        *items_beyond_limit += usize::from(is_beyond_limit);
    }

    /// Ends the reading: an invocation's lines without a trace id count for its trace.
    #[must_use]
    pub fn finish(mut self) -> SeenTraces {
        for invocation in self.seen.invocations.values() {
            if let InvocationTraces::One(trace_id) = &invocation.traces
                && let Some(trace) = self.seen.traces.get_mut(trace_id)
            {
                trace.add(&invocation.facts);
            }
        }
        self.seen
    }
}

/// The entry of this key; `None` if it is new and the map is full.
fn entry<K: std::hash::Hash + Eq, V: Default>(map: &mut HashMap<K, V>, key: K) -> Option<&mut V> {
    let is_full = map.len() >= MAX_TRACES;
    match map.entry(key) {
        Entry::Occupied(entry) => Some(entry.into_mut()),
        Entry::Vacant(_) if is_full => None,
        Entry::Vacant(entry) => Some(entry.insert(V::default())),
    }
}

/// The traces and invocations of one event.
#[derive(Debug, Default)]
pub struct SeenTraces {
    traces: HashMap<TraceId, TraceFacts>,
    /// By request id.
    invocations: HashMap<Box<str>, SeenInvocation>,
    /// Items of traces or invocations that are not here, because there were too many.
    items_beyond_limit: usize,
}

impl SeenTraces {
    /// The note about items beyond the limit on traces, if there are any.
    pub(crate) fn warning(&self) -> Option<String> {
        (self.items_beyond_limit > 0).then(|| {
            format!(
                "rules about traces did not match {} items: an event may have {MAX_TRACES} traces and as many invocations",
                self.items_beyond_limit
            )
        })
    }

    /// The trace of an item, or the invocation of an item without a trace.
    fn of(&self, item: &ItemView<'_>) -> Option<&TraceFacts> {
        if let Some(trace_id) = trace_id(item) {
            return self.traces.get(&trace_id);
        }
        if let Some(request_id) = item.text_of(FAAS_INVOCATION_ID) {
            let invocation = self.invocations.get(request_id)?;
            return match &invocation.traces {
                InvocationTraces::One(trace_id) => self.traces.get(trace_id),
                InvocationTraces::None | InvocationTraces::Several => Some(&invocation.facts),
            };
        }
        self.traces.get(&xray_trace_id(item)?)
    }

    /// The trace id by which all items of this invocation are sampled.
    pub(super) fn trace_of_invocation(&self, request_id: &str) -> Option<TraceId> {
        let invocation = self.invocations.get(request_id)?;
        match invocation.traces {
            InvocationTraces::One(trace_id) => Some(trace_id),
            InvocationTraces::None => invocation.xray_trace_id,
            InvocationTraces::Several => None,
        }
    }
}

/// The valid trace id of an item.
pub(super) fn trace_id(item: &ItemView<'_>) -> Option<TraceId> {
    TraceId::try_from(item.trace_id()).ok().filter(|id| *id != [0; 16])
}

/// The trace id that Lambda's report names.
pub(super) fn xray_trace_id(item: &ItemView<'_>) -> Option<TraceId> {
    wire::ids::xray_trace_id(item.text_of(XRAY_TRACE_ID)?)
}
