//! Assigns ids to the spans of an invocation.

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::options::SpanOptions;
use crate::spans::invocation::{FunctionRoot, Invocation};

/// Name of the span if it is a child of the function's own root span.
pub(crate) const INTERNAL_NAME: &str = "aws.lambda.invocation";

/// W3C trace flags: sampled.
const SAMPLED: u32 = 1;

pub(crate) struct InvocationIds<'a> {
    pub(crate) request: &'a str,
    pub(crate) trace: [u8; 16],
    pub(crate) span: [u8; 8],
    /// Id of the parent of the invocation's span; empty if that span is a root.
    pub(crate) parent: Vec<u8>,
}

impl<'a> InvocationIds<'a> {
    /// The ids of an invocation; `None` if it is not sampled by X-Ray or by the function, whichever decides.
    pub(crate) fn of(invocation: &'a Invocation, options: &SpanOptions) -> Option<Self> {
        let tracing = &invocation.tracing;
        let request = invocation.request_id.as_str();
        let is_dropped = match invocation.function_root {
            None => options.only_sampled,
            Some(root) => !root.is_sampled,
        };
        if is_dropped || options.xray_lambda && tracing.sampled == Some(false) {
            return None;
        }
        if let Some(FunctionRoot { trace_id: trace, span_id: root, .. }) = invocation.function_root
        {
            if invocation.is_root_missing() {
                // Its children are already written, and name it as their parent.
                return Some(Self { request, trace, span: root, parent: Vec::new() });
            }
            // The invocation's span id from Lambda may be the parent of the function's root. Using it here would make each span
            // the other's parent.
            let span = match invocation.xray_segment {
                // With propagation by X-Ray's header, the segment is the parent of the function's root too.
                Some(segment) if segment.trace_id == trace && !options.xray_lambda => {
                    segment.span_id
                }
                _ => derived_span_id(&trace, request, INTERNAL_NAME, u64::from_be_bytes(root)),
            };
            return Some(Self { request, trace, span, parent: root.to_vec() });
        }
        let segment = invocation.xray_segment;
        let xray = segment.map(|segment| segment.trace_id).or_else(|| tracing.xray_trace_id());
        let trace = xray.unwrap_or_else(|| wire::ids::trace_id_from_request_id(request));
        let of_tracing =
            || tracing.span_id.as_deref().or(tracing.segment_id.as_deref()).and_then(wire::ids::id);
        let stated = segment.map(|segment| segment.span_id).or_else(of_tracing);
        // A retry has the request id of the first attempt but another start time, so each attempt gets its own id.
        let attempt = invocation.started.unwrap_or(0);
        let span =
            stated.unwrap_or_else(|| derived_span_id(&trace, request, INTERNAL_NAME, attempt));
        let parent = tracing
            .parent_id
            .as_deref()
            .filter(|_| options.xray_lambda)
            .and_then(wire::ids::id)
            .filter(|parent| *parent != span);
        Some(Self { request, trace, span, parent: parent.map(Vec::from).unwrap_or_default() })
    }

    /// A span of kind INTERNAL that ends no earlier than it starts.
    pub(crate) fn internal(&self, span_id: [u8; 8], start: u64, end: u64) -> Span {
        Span {
            trace_id: self.trace.to_vec(),
            span_id: span_id.to_vec(),
            flags: SAMPLED,
            kind: SpanKind::Internal as i32,
            start_time_unix_nano: start,
            end_time_unix_nano: end.max(start),
            ..Span::default()
        }
    }

    pub(crate) fn child(&self, parent: [u8; 8], name: &str, start: u64, end: u64) -> Span {
        let id = derived_span_id(&self.trace, self.request, name, start);
        Span {
            name: name.to_owned(),
            parent_span_id: parent.to_vec(),
            ..self.internal(id, start, end)
        }
    }
}

/// A span id derived from the identity of the span. It needs no randomness, and a span that is written twice keeps its id.
pub(crate) fn derived_span_id(
    trace_id: &[u8; 16],
    request_id: &str,
    name: &str,
    time: u64,
) -> [u8; 8] {
    let trace_id = wire::ids::to_hex(trace_id);
    let mixed =
        wire::ids::trace_id_from_request_id(&format!("{trace_id} {request_id} {name} {time}"));
    let mut id = [0; 8];
    id.iter_mut().zip(mixed).for_each(|(to, from)| *to = from);
    if id == [0; 8] { [1; 8] } else { id }
}
