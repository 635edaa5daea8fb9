//! The spans that last while their execution waits: an hour of waiting isn't time in which a span runs.

use super::attribute_text;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::collections::BTreeSet;

/// Attributes of INTERNAL spans that last while their execution waits; without values, with any. AWS's plugin writes
/// `durable.execution.arn` on its operations. An attempt of a state machine is INTERNAL if it's one of a Map or Parallel state.
const OF_WAITING: [(&str, &[&str]); 7] = [
    ("aws.step_functions.execution.arn", &[]),
    ("aws.step_functions.state.type", &["Wait", "Map", "Parallel"]),
    ("aws.step_functions.iteration", &[]),
    ("aws.step_functions.attempt", &[]),
    ("aws.lambda.durable_execution.arn", &[]),
    ("aws.lambda.durable_execution.operation.type", &["Wait", "Callback", "Context"]),
    ("durable.execution.arn", &[]),
];
/// Attributes of the attempts of a state or step, which waits between them.
const OF_ATTEMPTS: [&str; 2] =
    ["aws.step_functions.attempt", "aws.lambda.durable_execution.attempt"];
/// What a task calls, with its end if somebody else says when the task has ended.
const RESOURCE: &str = "aws.step_functions.resource";
const WAIT_FOR_TASK_TOKEN: &str = ".waitForTaskToken";

/// Tells the spans that last while their execution waits.
pub(crate) struct WaitingSpans<'s> {
    /// The ids of states and steps that have attempts.
    attempted: BTreeSet<&'s [u8]>,
}

impl<'s> WaitingSpans<'s> {
    /// Reads the spans of some traces.
    pub(crate) fn among(spans: impl Iterator<Item = &'s Span>) -> Self {
        let is_attempt = |span: &&Span| OF_ATTEMPTS.iter().any(|key| has(span, key));
        Self { attempted: spans.filter(is_attempt).map(|span| &*span.parent_span_id).collect() }
    }

    pub(crate) fn contains(&self, span: &Span) -> bool {
        let is_internal = matches!(span.kind(), SpanKind::Internal | SpanKind::Unspecified);
        let is_of_waiting = |(key, values): &(&str, &[&str])| {
            let value = attribute_text(&span.attributes, key);
            value.is_some_and(|value| values.is_empty() || values.contains(&value.as_str()))
        };
        let waits_for_somebody = || {
            let resource = attribute_text(&span.attributes, RESOURCE);
            resource.is_some_and(|resource| resource.ends_with(WAIT_FOR_TASK_TOKEN))
        };
        self.attempted.contains(span.span_id.as_slice())
            || is_internal && OF_WAITING.iter().any(is_of_waiting)
            || waits_for_somebody()
    }
}

fn has(span: &Span, key: &str) -> bool {
    span.attributes.iter().any(|attribute| attribute.key == key)
}
