//! Assigns ids to the spans of an invocation.

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::options::SpanOptions;
use crate::spans::open_span::{FunctionRoot, OpenSpan};

/// Name of the span if it is a child of the function's own root span.
pub(crate) const INTERNAL_NAME: &str = "aws.lambda.invocation";

/// W3C trace flags: sampled.
const SAMPLED: u32 = 1;

#[expect(clippy::struct_field_names, reason = "OpenTelemetry's and Lambda's names")]
pub(crate) struct InvocationIds<'a> {
    request_id: &'a str,
    trace_id: [u8; 16],
    /// Id of the invocation's span.
    pub(crate) span_id: [u8; 8],
    /// Id of the parent of the invocation's span; empty if that span is a root.
    pub(crate) parent_span_id: Vec<u8>,
}

impl<'a> InvocationIds<'a> {
    /// The ids of an invocation; `None` if X-Ray or the function decided not to sample it.
    pub(crate) fn choose(invocation: &'a OpenSpan, options: &SpanOptions) -> Option<Self> {
        let is_sampled_by_function = match invocation.function_root {
            None => !options.only_sampled,
            Some(root) => root.is_sampled,
        };
        let is_dropped_by_xray = options.xray_lambda && invocation.tracing.sampled == Some(false);
        if !is_sampled_by_function || is_dropped_by_xray {
            return None;
        }
        Some(match invocation.function_root {
            Some(root) => Self::around_root(invocation, root, options),
            None => Self::without_root(invocation, options),
        })
    }

    /// The ids of an invocation whose function has a root span.
    fn around_root(invocation: &'a OpenSpan, root: FunctionRoot, options: &SpanOptions) -> Self {
        let request_id = &*invocation.request_id;
        let trace_id = root.trace_id;
        if invocation.is_root_missing() {
            // Its children are already written, and name it as their parent.
            return Self {
                request_id,
                trace_id,
                span_id: root.span_id,
                parent_span_id: Vec::new(),
            };
        }
        // The invocation's span id from Lambda may be the parent of the function's root. Using it here would make each span the
        // other's parent.
        let span_id = match invocation.xray_segment {
            // With propagation by X-Ray's header, the segment is the parent of the function's root too.
            Some(segment) if segment.trace_id == trace_id && !options.xray_lambda => {
                segment.span_id
            }
            _ => {
                let root = u64::from_be_bytes(root.span_id);
                derived_span_id(&trace_id, request_id, INTERNAL_NAME, root)
            }
        };
        Self { request_id, trace_id, span_id, parent_span_id: root.span_id.to_vec() }
    }

    /// The ids of an invocation without a root span of the function: Lambda or X-Ray's SDK may state some.
    fn without_root(invocation: &'a OpenSpan, options: &SpanOptions) -> Self {
        let tracing = &invocation.tracing;
        let request_id = &*invocation.request_id;
        let segment = invocation.xray_segment;
        let trace_id = segment
            .map(|segment| segment.trace_id)
            .or_else(|| tracing.xray_trace_id())
            .unwrap_or_else(|| wire::ids::trace_id_from_request_id(request_id));
        let stated_by_lambda = || {
            let id = tracing.span_id.as_deref().or(tracing.segment_id.as_deref())?;
            wire::ids::id(id)
        };
        // A retry has the request id of the first attempt but another start time, so each attempt gets its own id.
        let attempt = invocation.started.unwrap_or(0);
        let span_id = segment
            .map(|segment| segment.span_id)
            .or_else(stated_by_lambda)
            .unwrap_or_else(|| derived_span_id(&trace_id, request_id, INTERNAL_NAME, attempt));
        let parent_span_id = tracing
            .parent_id
            .as_deref()
            .filter(|_| options.xray_lambda)
            .and_then(wire::ids::id)
            .filter(|parent| *parent != span_id);
        Self {
            request_id,
            trace_id,
            span_id,
            parent_span_id: parent_span_id.map(Vec::from).unwrap_or_default(),
        }
    }

    /// A span of kind INTERNAL that ends no earlier than it starts.
    pub(crate) fn internal(&self, span_id: [u8; 8], start: u64, end: u64) -> Span {
        Span {
            trace_id: self.trace_id.to_vec(),
            span_id: span_id.to_vec(),
            flags: SAMPLED,
            kind: SpanKind::Internal as i32,
            start_time_unix_nano: start,
            end_time_unix_nano: end.max(start),
            ..Span::default()
        }
    }

    pub(crate) fn child(&self, parent: [u8; 8], name: &str, start: u64, end: u64) -> Span {
        Span {
            name: name.to_owned(),
            parent_span_id: parent.to_vec(),
            ..self.internal(self.child_id(name, start), start, end)
        }
    }

    /// The id of the child span with this name and start.
    pub(crate) fn child_id(&self, name: &str, start: u64) -> [u8; 8] {
        derived_span_id(&self.trace_id, self.request_id, name, start)
    }
}

/// A span id derived from the identity of the span. It needs no randomness, and a span that is written twice keeps its id.
fn derived_span_id(trace_id: &[u8; 16], request_id: &str, name: &str, time: u64) -> [u8; 8] {
    let trace_id = wire::ids::to_hex(trace_id);
    let mixed =
        wire::ids::trace_id_from_request_id(&format!("{trace_id} {request_id} {name} {time}"));
    let mut id = [0; 8];
    id.iter_mut().zip(mixed).for_each(|(to, from)| *to = from);
    if id == [0; 8] { [1; 8] } else { id }
}
