//! Attributes of spans that OpenObserve's processing of generative AI would move or lose.
//!
//! OpenObserve processes a span that has an attribute of an AI framework. It moves one pair of input and output to
//! `gen_ai.input.messages` and `gen_ai.output.messages`, removes all others, and adds columns for tokens and cost. It counts
//! ordinary names such as `input` as such attributes, so that a span of any function is processed. Such spans get other names,
//! and are left alone. Spans of AI frameworks are processed, and only what would be lost gets another name.
//!
//! Source: OpenObserve 0.93-dev, `core/src/traces/otel`.

use super::names::stored_key;
use super::planned::Planned;
use super::reserved_columns::KeyFilter;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use prost::Message as _;
use wire::field::{event, span};
use wire::protobuf::messages;
use wire::view::{ScopeContainer, key_and_value};

/// Attributes of AI frameworks, each of which makes OpenObserve process a span.
const OF_FRAMEWORKS: &[&str] = &[
    "ai.model.id",
    "ai.prompt",
    "ai.prompt.messages",
    "crewai.task.agent",
    "crewai.task.tools",
    "gcp.vertex.agent.llm_request",
    "gcp.vertex.agent.name",
    "gen_ai.agent.id",
    "gen_ai.agent.name",
    "gen_ai.input.messages",
    "gen_ai.operation.name",
    "gen_ai.request.model",
    "langchain.tool.name",
    "langfuse.observation.type",
    "llm.model_name",
    "llm.request.type",
    "mlflow.spanInputs",
    "openinference.span.kind",
    "traceloop.span.kind",
];

/// The scope of the Vercel AI SDK makes OpenObserve process a span too.
const SCOPE_OF_A_FRAMEWORK: &[u8] = b"ai";

/// Names that other programs use as well, each of which makes OpenObserve process a span.
const ORDINARY: [&str; 6] =
    ["agent.name", "input", "input.value", "prompt", "tool.name", "tool_call.function.name"];

/// An input and its outputs.
struct Pair {
    input: &'static str,
    outputs: &'static [&'static str],
    /// `true` if the names begin the keys of several attributes, or if OpenObserve keeps the keys.
    is_left_alone: bool,
    /// `true` if OpenObserve takes the pair only in the scope of the Vercel AI SDK.
    needs_scope: bool,
}

impl Pair {
    const fn new(input: &'static str, outputs: &'static [&'static str]) -> Self {
        Self { input, outputs, is_left_alone: false, needs_scope: false }
    }

    const fn left_alone(input: &'static str, outputs: &'static [&'static str]) -> Self {
        Self { input, outputs, is_left_alone: true, needs_scope: false }
    }

    const fn only_in_scope(self) -> Self {
        Self { needs_scope: true, ..self }
    }

    /// Returns `true` if OpenObserve takes this pair from a span with this key, in the Vercel AI SDK's scope or another.
    fn is_taken_for(&self, key: &[u8], is_in_scope: bool) -> bool {
        if self.needs_scope && !is_in_scope {
            return false;
        }
        if self.is_left_alone {
            let mut names = self.outputs.iter().chain([&self.input]);
            return names.any(|name| key.starts_with(name.as_bytes()));
        }
        key == self.input.as_bytes()
    }

    fn has(&self, key: &[u8]) -> bool {
        self.outputs.iter().chain([&self.input]).any(|name| name.as_bytes() == key)
    }
}

/// OpenObserve keeps the first pair that it finds in a span, and removes all others. It searches these pairs after
/// [`MESSAGE_EVENTS`] and before [`CONTENT_EVENTS`].
static PAIRS_BEFORE_CONTENT_EVENTS: [Pair; 5] = [
    Pair::new("langfuse.observation.input", &["langfuse.observation.output"]),
    Pair::new("traceloop.entity.input", &["traceloop.entity.output"]),
    Pair::left_alone("gen_ai.prompt", &["gen_ai.completion"]),
    Pair::new("gen_ai.input.messages", &["gen_ai.output.messages"]),
    Pair::left_alone("gen_ai.tool.call.arguments", &["gen_ai.tool.call.result"]),
];

/// The pairs that OpenObserve searches last.
static PAIRS_AFTER_CONTENT_EVENTS: [Pair; 9] = [
    Pair::left_alone("ai.prompt", &["ai.response.", "ai.result.", "ai.toolCall."]).only_in_scope(),
    Pair::new("gcp.vertex.agent.llm_request", &["gcp.vertex.agent.llm_response"]),
    Pair::new("prompt", &["all_messages_events"]),
    Pair::new("lk.input_text", &["lk.function_tool.output", "lk.response.text"]),
    Pair::new("mlflow.spanInputs", &["mlflow.spanOutputs"]),
    Pair::new("input.value", &["output.value"]),
    Pair::new("input", &["output"]),
    Pair::new("tool_arguments", &["tool_response"]),
    Pair::left_alone("llm.input_messages", &["llm.output_messages"]),
];

/// All pairs, in the order in which OpenObserve searches them.
fn pairs() -> impl Iterator<Item = &'static Pair> {
    PAIRS_BEFORE_CONTENT_EVENTS.iter().chain(&PAIRS_AFTER_CONTENT_EVENTS)
}

/// Events with an input or output, which OpenObserve takes before any pair.
const MESSAGE_EVENTS: [&str; 5] = [
    "gen_ai.assistant.message",
    "gen_ai.choice",
    "gen_ai.system.message",
    "gen_ai.tool.message",
    "gen_ai.user.message",
];

/// Semantic Kernel's events with an input or output.
const CONTENT_EVENTS: [&str; 2] = ["gen_ai.content.completion", "gen_ai.content.prompt"];

/// `session.id` replaces it.
const CONVERSATION: &str = "gen_ai.conversation.id";
const SESSION: &[u8] = b"session.id";

/// Columns for numbers, of all spans. OpenObserve stores 0 for any other value.
const NUMBERS: [&str; 14] = [
    "gen_ai_response_time_to_first_chunk",
    "gen_ai_usage_cache_creation_input_tokens",
    "gen_ai_usage_cache_read_input_tokens",
    "gen_ai_usage_cost",
    "gen_ai_usage_cost_cache_creation_input",
    "gen_ai_usage_cost_cache_read_input",
    "gen_ai_usage_cost_cache_read_savings",
    "gen_ai_usage_cost_estimated_without_cache",
    "gen_ai_usage_cost_input",
    "gen_ai_usage_cost_net_cache_impact",
    "gen_ai_usage_cost_output",
    "gen_ai_usage_input_tokens",
    "gen_ai_usage_output_tokens",
    "gen_ai_usage_total_tokens",
];

/// All keys that may get another name.
pub(super) const KEYS: KeyFilter = {
    let keys = KeyFilter::of(&ORDINARY).and(&NUMBERS).and(&[CONVERSATION]);
    let keys = with_pairs(keys, &PAIRS_BEFORE_CONTENT_EVENTS);
    with_pairs(keys, &PAIRS_AFTER_CONTENT_EVENTS)
};

/// Adds the keys of pairs that are not left alone.
const fn with_pairs(mut keys: KeyFilter, pairs: &[Pair]) -> KeyFilter {
    let mut rest = pairs;
    while let [pair, after @ ..] = rest {
        if !pair.is_left_alone {
            keys = keys.and(&[pair.input]).and(pair.outputs);
        }
        rest = after;
    }
    keys
}

/// Returns `true` if [`GenAi::loses`] has to decide about a key.
pub(super) fn may_lose(key: &[u8]) -> bool {
    let is_key = |name: &str| name.as_bytes() == key;
    ORDINARY.iter().copied().any(is_key)
        || is_key(CONVERSATION)
        || pairs().any(|pair| !pair.is_left_alone && pair.has(key))
        || number_column(key).is_some()
}

/// The column for numbers that has this key's value.
fn number_column(key: &[u8]) -> Option<&'static str> {
    // Most keys begin with another letter.
    if !matches!(key.first(), Some(b'g' | b'G')) {
        return None;
    }
    NUMBERS.into_iter().find(|column| column.bytes().eq(stored_key(key)))
}

pub(super) fn is_of_framework(scope: ScopeContainer<'_>) -> bool {
    scope.name() == SCOPE_OF_A_FRAMEWORK
}

/// OpenObserve's processing of one span.
pub(super) struct GenAi {
    is_processed: bool,
    kept: Option<&'static Pair>,
    has_session: bool,
}

impl GenAi {
    /// Of an encoded span.
    pub(super) fn of(span: &[u8], is_in_scope: bool) -> Self {
        let keys = messages(span, span::ATTRIBUTES).map(|attribute| key_and_value(attribute).0);
        let events = messages(span, span::EVENTS);
        let names = events.filter_map(|event| messages(event, event::NAME).last());
        Self::new(keys, names, is_in_scope)
    }

    fn new<'s>(
        keys: impl Iterator<Item = &'s [u8]>,
        event_names: impl Iterator<Item = &'s [u8]>,
        is_in_scope: bool,
    ) -> Self {
        let mut is_processed = is_in_scope;
        let mut has_session = false;
        let mut first = usize::MAX;
        for key in keys {
            is_processed |= OF_FRAMEWORKS.iter().any(|name| name.as_bytes() == key);
            has_session |= key == SESSION;
            if let Some(place) = pairs().position(|pair| pair.is_taken_for(key, is_in_scope)) {
                first = first.min(place);
            }
        }
        // An event ends the search for a pair at its own place in the order.
        let mut end = usize::MAX;
        for name in event_names.filter(|_| is_processed) {
            if MESSAGE_EVENTS.iter().any(|message| message.as_bytes() == name) {
                end = 0;
            } else if CONTENT_EVENTS.iter().any(|content| content.as_bytes() == name) {
                end = end.min(PAIRS_BEFORE_CONTENT_EVENTS.len());
            }
        }
        let kept = pairs().nth(first).filter(|_| first < end);
        Self { is_processed, kept, has_session }
    }

    /// The facts that decide about attributes, as a number.
    pub(super) fn as_fact(&self) -> u64 {
        let kept = self.kept.and_then(|kept| pairs().position(|pair| std::ptr::eq(pair, kept)));
        let kept = kept.map_or(0, |place| place as u64 + 1);
        kept << 2 | u64::from(self.is_processed) << 1 | u64::from(self.has_session)
    }

    /// Returns `true` if OpenObserve would move or lose an attribute.
    pub(super) fn loses(&self, attribute: &Planned<'_>) -> bool {
        let key = attribute.key.as_bytes();
        if !self.is_processed && ORDINARY.iter().any(|name| name.as_bytes() == key) {
            return true;
        }
        if self.is_processed {
            let mut pairs = pairs().filter(|pair| !pair.is_left_alone);
            let is_kept = self.kept.is_some_and(|pair| pair.has(key));
            let is_replaced = self.has_session && key == CONVERSATION.as_bytes();
            if is_replaced || (!is_kept && pairs.any(|pair| pair.has(key))) {
                return true;
            }
        }
        number_column(key).is_some() && !attribute.reads_as_number
    }
}

/// Returns `true` if a key has a column for numbers, and OpenObserve reads one from its value.
pub(super) fn reads_as_number(key: &[u8], value: &[u8]) -> bool {
    let is_read = |column: &str| {
        AnyValue::decode(value).is_ok_and(|value| is_number(&value, column.ends_with("_tokens")))
    };
    number_column(key).is_some_and(is_read)
}

/// Returns `true` if OpenObserve reads this number from the value's text.
fn is_number(value: &AnyValue, is_integer: bool) -> bool {
    let text = match &value.value {
        Some(Value::IntValue(_)) => return true,
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::StringValue(text)) => text.clone(),
        _ => return false,
    };
    if is_integer {
        return text.parse::<i64>().is_ok();
    }
    text.parse::<f64>().is_ok_and(f64::is_finite)
}
