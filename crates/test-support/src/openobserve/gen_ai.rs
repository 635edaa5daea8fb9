//! OpenObserve's processing of spans of generative AI: the attributes that it moves, adds and loses.
//!
//! Source: 0.93-dev, `core/src/traces/otel`. Without token counts of texts and prices of models.

use opentelemetry_proto::tonic::trace::v1::span::Event;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Any of these attributes makes OpenObserve process a span.
const TRIGGERS: &[&str] = &[
    "agent.name",
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
    "input",
    "input.value",
    "langchain.tool.name",
    "langfuse.observation.type",
    "llm.model_name",
    "llm.request.type",
    "mlflow.spanInputs",
    "openinference.span.kind",
    "prompt",
    "tool.name",
    "tool_call.function.name",
    "traceloop.span.kind",
];

/// Inputs with their outputs. The first input that a span has is kept with its output, all others are lost.
const PAIRS: &[(&str, &[&str])] = &[
    ("langfuse.observation.input", &["langfuse.observation.output"]),
    ("traceloop.entity.input", &["traceloop.entity.output"]),
    ("gen_ai.prompt", &["gen_ai.completion"]),
    ("gen_ai.input.messages", &["gen_ai.output.messages"]),
    ("gen_ai.tool.call.arguments", &["gen_ai.tool.call.result"]),
    ("gcp.vertex.agent.llm_request", &["gcp.vertex.agent.llm_response"]),
    ("prompt", &["all_messages_events"]),
    ("lk.input_text", &["lk.function_tool.output", "lk.response.text"]),
    ("mlflow.spanInputs", &["mlflow.spanOutputs"]),
    ("input.value", &["output.value"]),
    ("input", &["output"]),
    ("tool_arguments", &["tool_response"]),
    ("llm.input_messages", &["llm.output_messages"]),
];

/// Inputs and outputs of no pair.
const REMOVED: &[&str] = &[
    "ai.prompt",
    "ai.prompt.messages",
    "ai.response.object",
    "ai.response.text",
    "ai.response.toolCalls",
    "ai.result.object",
    "ai.result.text",
    "ai.result.toolCalls",
    "ai.toolCall.args",
    "ai.toolCall.result",
    "gcp.vertex.agent.tool_call_args",
    "gcp.vertex.agent.tool_response",
];

/// All attributes that begin so are of one input or output.
const PREFIXES: &[&str] =
    &["gen_ai.prompt", "gen_ai.completion", "llm.input_messages", "llm.output_messages"];

const OPERATIONS: &[&str] = &[
    "chat",
    "text_completion",
    "generate_content",
    "embeddings",
    "invoke_agent",
    "create_agent",
    "execute_tool",
    "invoke_workflow",
    "retrieval",
];

const VERSIONS: &[&str] =
    &["gen_ai.agent.version", "service.version", "app.version", "git.commit.sha"];
const ENVIRONMENTS: &[&str] = &[
    "deployment.environment.name",
    "deployment.environment",
    "env",
    "environment",
    "k8s.namespace.name",
];

/// Columns for numbers. Any other value becomes 0.
const INTEGERS: &[&str] = &[
    "gen_ai_usage_input_tokens",
    "gen_ai_usage_output_tokens",
    "gen_ai_usage_total_tokens",
    "gen_ai_usage_cache_read_input_tokens",
    "gen_ai_usage_cache_creation_input_tokens",
];
const FLOATS: &[&str] = &[
    "gen_ai_response_time_to_first_chunk",
    "gen_ai_usage_cost",
    "gen_ai_usage_cost_input",
    "gen_ai_usage_cost_output",
    "gen_ai_usage_cost_cache_read_input",
    "gen_ai_usage_cost_cache_creation_input",
    "gen_ai_usage_cost_estimated_without_cache",
    "gen_ai_usage_cost_cache_read_savings",
    "gen_ai_usage_cost_net_cache_impact",
];

type Attributes = BTreeMap<String, Value>;

/// Processes the attributes of a span, which have their own keys as those of its resource do.
pub(super) fn process(
    attributes: &mut Attributes,
    resource: &Attributes,
    scope: &str,
    events: &[Event],
) {
    let is_triggered = TRIGGERS.iter().any(|key| attributes.contains_key(*key));
    if !is_triggered && scope != "ai" {
        return;
    }
    let of_messages = events.iter().any(|event| {
        event.name == "gen_ai.choice"
            || (event.name.starts_with("gen_ai.") && event.name.ends_with(".message"))
    });
    let mut moved = Vec::new();
    let pair = PAIRS.iter().find(|(input, _)| value_of(attributes, input).is_some());
    if let Some((input, outputs)) = pair.filter(|_| !of_messages) {
        moved.push(("gen_ai.input.messages", value_of(attributes, input)));
        let output = outputs.iter().find_map(|output| value_of(attributes, output));
        moved.push(("gen_ai.output.messages", output));
    }
    let first = |keys: &[&str]| keys.iter().find_map(|key| attributes.get(*key).cloned());
    let model =
        first(&["gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "model"]);
    let or_of_resource = |keys: &[&str]| {
        first(keys).or_else(|| keys.iter().find_map(|key| resource.get(*key).cloned()))
    };
    let operation =
        first(&["gen_ai.operation.name"]).filter(|it| OPERATIONS.iter().any(|known| it == known));
    moved.extend([
        ("gen_ai.operation.name", operation.or(Some(json!("span")))),
        ("gen_ai.response.model", model),
        ("gen_ai.conversation.id", first(&["session.id", "gen_ai.conversation.id"])),
        ("gen_ai.agent.name", first(&["gen_ai.agent.name", "agent.name", "crewai.task.agent"])),
        ("gen_ai.agent.version", or_of_resource(VERSIONS)),
        ("deployment.environment.name", or_of_resource(ENVIRONMENTS)),
        ("gen_ai.tool.name", first(&["gen_ai.tool.name", "tool.name", "tool_call.function.name"])),
        ("gen_ai.tool.call.arguments", first(&["gen_ai.tool.call.arguments"])),
        ("gen_ai.tool.call.result", first(&["gen_ai.tool.call.result"])),
    ]);
    attributes.retain(|key, _| !is_removed(key));
    attributes.extend(moved.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    for key in ["input_tokens", "output_tokens", "total_tokens"] {
        attributes.entry(format!("gen_ai.usage.{key}")).or_insert_with(|| json!(0));
    }
    attributes.entry("gen_ai.usage.cost".to_owned()).or_insert_with(|| json!(0.0));
}

fn value_of(attributes: &Attributes, key: &str) -> Option<Value> {
    if !PREFIXES.contains(&key) {
        return attributes.get(key).cloned();
    }
    // OpenObserve nests the values by their keys. No test reads the form.
    let of_prefix = attributes.iter().filter(|(own, _)| own.starts_with(key));
    let values: Vec<Value> = of_prefix.map(|(_, value)| value.clone()).collect();
    if values.is_empty() { None } else { Some(Value::Array(values)) }
}

fn is_removed(key: &str) -> bool {
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
        || REMOVED.contains(&key)
        || PAIRS.iter().any(|(input, outputs)| *input == key || outputs.contains(&key))
}

/// Makes the columns for numbers numbers.
pub(super) fn make_numbers(columns: &mut Attributes) {
    for column in INTEGERS {
        if let Some(value) = columns.get_mut(*column).filter(|value| !value.is_i64()) {
            *value = json!(value.as_str().and_then(|it| it.parse::<i64>().ok()).unwrap_or(0));
        }
    }
    for column in FLOATS {
        if let Some(value) = columns.get_mut(*column).filter(|value| !value.is_f64()) {
            *value = json!(value.as_str().and_then(|it| it.parse::<f64>().ok()).unwrap_or(0.0));
        }
    }
}
