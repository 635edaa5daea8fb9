//! The durable execution to which an invocation belongs: its place in the trace, and its span.

use crate::state::Telemetry;
use crate::state::id_generator::with_span_ids;
use crate::trigger::span_attributes::SpanAttributes;
use crate::trigger::{DESCRIPTION, DurableEvent, DurableExecution, fill};
use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags,
    TraceId, TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use settings::{Env, Source as _};
use sha2::{Digest as _, Sha256};
use std::time::{Duration, UNIX_EPOCH};
use wire::arn::Arn;
use wire::ids::XRayHeader;

const PLACES: &DurableEvent = &DESCRIPTION.durable;
/// The address of a local runner, whose ids of executions are no ARNs.
const RUNNER: &str = "AWS_ENDPOINT_URL_LAMBDA";

/// The durable execution of a running invocation.
pub(super) struct Execution {
    described: DurableExecution,
    function_name: String,
    /// The place of the execution's span, if it has one.
    span: Option<ExecutionSpan>,
}

struct ExecutionSpan {
    /// The context with the span's parent.
    caller: Context,
    context: SpanContext,
    started_ms: u64,
}

/// The place of an invocation's span in its trace.
pub(super) struct Place {
    pub(super) parent: Context,
    pub(super) link: Option<Link>,
}

impl Execution {
    /// Takes the execution out of an event's data, in which the description of the event that started it replaces that of the
    /// envelope.
    ///
    /// The ARN must name this function: anybody who may send the function an event can write one.
    pub(super) fn take_from(
        extracted: &mut SpanAttributes,
        lambda: &lambda_runtime::Context,
    ) -> Option<Self> {
        let mut described = extracted.durable_execution.take()?;
        if !is_of_function(&described.arn, &lambda.invoked_function_arn) {
            return None;
        }
        if let Some(input) = described.input.take() {
            *extracted = input;
        }
        let arn = KeyValue::new(PLACES.attributes.arn.as_str(), described.arn.clone());
        let is_first = described.is_first;
        let is_first = is_first.map(|is| KeyValue::new(PLACES.attributes.is_first.as_str(), is));
        extracted.attributes.extend([arn].into_iter().chain(is_first));
        let function_name = lambda.env_config.function_name.clone();
        Some(Self { described: *described, function_name, span: None })
    }

    /// Returns the place of the invocation's span. It hangs below that of its caller, as for any event, with a link to the execution's
    /// span; without a caller, below the execution's span.
    pub(super) fn begin(
        &mut self,
        telemetry: &Telemetry,
        caller: Context,
        xray_header: Option<&str>,
    ) -> Place {
        let seconds = |ms: u64| u32::try_from(ms / 1000).ok();
        // The ids of another provider aren't ours to choose.
        let (Some(sampler), Some(started_ms), Some(start)) = (
            &telemetry.sampler,
            self.described.started_ms,
            self.described.started_ms.and_then(seconds),
        ) else {
            return Place { parent: caller, link: None };
        };
        let called_by = caller.span().span_context().clone();
        let trace_id = if called_by.is_valid() {
            called_by.trace_id()
        } else {
            self.trace_id(start, &xray_header.map(XRayHeader::parse).unwrap_or_default())
        };
        let is_sampled = if called_by.is_valid() {
            called_by.is_sampled()
        } else {
            let decided =
                sampler.should_sample(None, trace_id, &self.name(), &SpanKind::Internal, &[], &[]);
            decided.decision == opentelemetry_sdk::trace::SamplingDecision::RecordAndSample
        };
        let flags = TraceFlags::default().with_sampled(is_sampled);
        let context =
            SpanContext::new(trace_id, self.span_id(), flags, true, TraceState::default());
        self.span =
            Some(ExecutionSpan { caller: caller.clone(), context: context.clone(), started_ms });
        if called_by.is_valid() {
            return Place { parent: caller, link: Some(Link::with_context(context)) };
        }
        Place { parent: caller.with_remote_span_context(context), link: None }
    }

    /// Returns X-Ray's trace id if X-Ray samples the execution, or else that of ARN and start.
    fn trace_id(&self, start: u32, xray: &XRayHeader) -> TraceId {
        if let (Some(id), Some(true)) = (xray.trace_id, xray.sampled) {
            return TraceId::from_bytes(id);
        }
        let hash = Sha256::digest(&self.described.arn);
        let mut id = [0; 16];
        id.iter_mut()
            .zip(start.to_be_bytes().iter().chain(&hash))
            .for_each(|(to, byte)| *to = *byte);
        TraceId::from_bytes(id)
    }

    fn span_id(&self) -> SpanId {
        let hash = Sha256::digest(format!("{}{}", PLACES.span_seed.as_str(), self.described.arn));
        let id = hash.first_chunk().copied().map(SpanId::from_bytes);
        id.filter(|id| *id != SpanId::INVALID).unwrap_or(SpanId::from(1))
    }

    fn name(&self) -> String {
        fill(PLACES.span_name.as_str(), |_| Some(self.function_name.clone())).unwrap_or_default()
    }

    /// Writes the execution's span, once it has ended with this status. `failure` is the type and message of a failed one.
    pub(super) fn write_span(
        &self,
        telemetry: &Telemetry,
        status: &'static str,
        failure: Option<(&str, &str)>,
    ) {
        let Some(ExecutionSpan { caller, context, started_ms }) = &self.span else { return };
        let Some(started) = UNIX_EPOCH.checked_add(Duration::from_millis(*started_ms)) else {
            return;
        };
        let names = &PLACES.attributes;
        let mut attributes = vec![
            KeyValue::new(names.arn.as_str(), self.described.arn.clone()),
            KeyValue::new(names.status.as_str(), status),
        ];
        if let Some((error_type, _)) = failure {
            attributes.push(KeyValue::new("error.type", error_type.to_owned()));
        }
        let tracer = &telemetry.tracer;
        let builder =
            tracer.span_builder(self.name()).with_start_time(started).with_attributes(attributes);
        let mut span = with_span_ids(context, || tracer.build_with_context(builder, caller));
        if let Some((_, message)) = failure {
            span.set_status(Status::error(message.to_owned()));
        }
        span.end();
    }
}

fn is_of_function(arn: &str, invoked_arn: &str) -> bool {
    if !arn.contains(PLACES.within_function.as_str()) {
        return !arn.starts_with("arn:") && Env.get(RUNNER).is_some();
    }
    let parsed = Arn::parse(arn).zip(Arn::parse(invoked_arn));
    parsed.is_some_and(|(execution, function)| execution.is_same_function(&function))
}
