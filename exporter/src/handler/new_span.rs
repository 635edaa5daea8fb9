//! The initial data of an invocation's spans: name, kind, attributes, parent and trace id.

use super::http_route::HttpInvocation;
use crate::invocations::Invocations;
use crate::output::stderr;
use crate::telemetry::Telemetry;
use crate::telemetry::id_generator::with_trace_id;
use crate::trigger::method_in_name;
use crate::trigger::span_attributes::{SpanAttributes, TriggerType, describe, kind_field};
use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanKind, TraceContextExt as _, TraceId, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use wire::arn::{Arn, account_id};
use wire::ids::{XRayHeader, to_hex, trace_id_from_request_id};
use wire::resource as names;

#[derive(Debug, Clone, Default)]
pub(super) struct SpanOptions {
    /// The fallback name; the function's name if unset.
    pub(super) default_name: Option<Cow<'static, str>>,
    /// The name, which overrides the event's.
    pub(super) name: Option<Cow<'static, str>>,
    pub(super) kind: Option<SpanKind>,
    pub(super) attributes: Vec<KeyValue>,
}

/// The context and the `tracing` span of each span of an invocation.
pub(super) struct StartedSpans {
    pub(super) root: (Context, tracing::Span),
    /// The CONSUMER span below it, of an invocation with messages.
    pub(super) consumer: Option<(Context, tracing::Span)>,
}

/// Starts the spans of an invocation, and none if the SDK is disabled.
pub(super) fn spans(
    telemetry: &Telemetry,
    lambda: &lambda_runtime::Context,
    options: &SpanOptions,
    mut extracted: SpanAttributes,
    number: u64,
) -> StartedSpans {
    let kind = options.kind.clone().or(extracted.kind.take());
    let messages = if kind.is_none() { Messages::of(&mut extracted) } else { None };
    let parent = parent(telemetry, lambda, extracted.carrier.as_ref());
    let caller = parent.span().span_context().clone();
    let parent = match extracted.trigger {
        TriggerType::Http => {
            let method = options.name.is_none().then(|| method_in_name(&extracted.attributes));
            parent.with_value(HttpInvocation::new(method.flatten()))
        }
        _ => parent,
    };
    if let Some(account) = account_id(&lambda.invoked_function_arn) {
        telemetry.line.set_account(account);
    }
    // The caller's context is passed on.
    if telemetry.environment.disabled {
        return StartedSpans { root: (parent, tracing::Span::none()), consumer: None };
    }
    let parent = Invocations::parent(number, &parent);

    let xray = lambda.xray_trace_id.as_deref().map(XRayHeader::parse).unwrap_or_default();
    let received_at = extracted.received_at.filter(|_| telemetry.environment.inferred_spans);
    let root = NewSpan {
        name: options
            .name
            .clone()
            .or(extracted.span_name.take().map(Cow::Owned))
            .or(options.default_name.clone())
            .unwrap_or_else(|| function_name(lambda)),
        kind: kind.unwrap_or(SpanKind::Server),
        links: std::mem::take(&mut extracted.links),
        fields: vec![KeyValue::new(names::FAAS_INVOCATION_ID, lambda.request_id.clone())],
        attributes: attributes(telemetry, lambda, options, extracted, &xray, &caller),
    };
    let root = with_trace_id(invocation_trace_id(&xray, &lambda.request_id), || {
        let in_tracing = |name: &str, kind: &str| tracing::info_span!(parent: None, "invocation", otel.name = name, otel.kind = kind, faas.invocation_id = lambda.request_id);
        let has_layer = telemetry.has_layer.load(Ordering::Relaxed);
        root.start(telemetry, &parent, has_layer.then_some(in_tracing))
    });
    if caller.is_valid() && !caller.is_sampled() && !root.0.span().span_context().is_sampled() {
        warn_of_unsampled(telemetry);
    }
    if let Some(received_at) = received_at {
        let waited_for = messages.as_ref().map_or("HTTP", |messages| &messages.source);
        write_wait(telemetry, waited_for, received_at, &root.0);
    }
    let consumer = messages.map(|Messages { source, attributes, links }| {
        let name = Cow::Owned(format!("{source} process").trim_start().to_owned());
        let consumer =
            NewSpan { name, kind: SpanKind::Consumer, fields: Vec::new(), attributes, links };
        let in_tracing = |name: &str, kind: &str| {
            tracing::info_span!(parent: &root.1, "messages", otel.name = name, otel.kind = kind)
        };
        consumer.start(telemetry, &root.0, (!root.1.is_none()).then_some(in_tracing))
    });
    StartedSpans { root, consumer }
}

fn parent(
    telemetry: &Telemetry,
    lambda: &lambda_runtime::Context,
    of_event: Option<&HashMap<String, String>>,
) -> Context {
    // Lambda's API gives a caller no other place for it than the client context.
    let custom = lambda.client_context.as_ref().map(|caller| &caller.custom);
    let names_parent = |own: &&HashMap<String, String>| {
        telemetry.propagation.parent(Some(own), None).span().span_context().is_valid()
    };
    let carrier = match custom.filter(names_parent) {
        Some(custom) => of_event.filter(names_parent).or(Some(custom)),
        None => of_event.filter(|own| !own.is_empty()).or(custom),
    };
    telemetry.propagation.parent(carrier, lambda.xray_trace_id.as_deref())
}

fn attributes(
    telemetry: &Telemetry,
    lambda: &lambda_runtime::Context,
    options: &SpanOptions,
    extracted: SpanAttributes,
    xray: &XRayHeader,
    caller: &SpanContext,
) -> Vec<KeyValue> {
    let mut attributes =
        function_attributes(lambda, telemetry.environment.lambda.function_version.as_deref());
    attributes.push(KeyValue::new("faas.trigger", extracted.trigger.as_str()));
    attributes.push(KeyValue::new("faas.coldstart", telemetry.take_cold_start()));
    if let Some(tenant) = lambda.tenant_id.as_deref().filter(|tenant| !tenant.is_empty()) {
        attributes.push(KeyValue::new("aws.lambda.tenant_id", tenant.to_owned()));
    }
    if let Some(id) = xray.parent_id.filter(|id| *id != caller.span_id().to_bytes()) {
        attributes.push(KeyValue::new("aws.xray.parent_id", to_hex(&id)));
    }
    attributes.extend(extracted.attributes);
    attributes.extend_from_slice(&options.attributes);
    attributes
}

fn warn_of_unsampled(telemetry: &Telemetry) {
    if !telemetry.warned_of_unsampled.swap(true, Ordering::Relaxed) {
        stderr::warn(
            "the caller's trace is not sampled, so no spans of this invocation are written, nor of others like it: \
             OTEL_TRACES_SAMPLER=always_on writes them all the same",
        );
    }
}

struct NewSpan {
    name: Cow<'static, str>,
    kind: SpanKind,
    /// Attributes that are fields of the span in `tracing`, where other subscribers see them.
    fields: Vec<KeyValue>,
    attributes: Vec<KeyValue>,
    links: Vec<Link>,
}

impl NewSpan {
    /// Starts a `tracing` span if a subscriber has our layer, so that `Span::current()` in the handler is this span. Without the
    /// layer, or if the application's filter disables the span, starts a span of the SDK.
    fn start(
        self,
        telemetry: &Telemetry,
        parent: &Context,
        in_tracing: Option<impl FnOnce(&str, &str) -> tracing::Span>,
    ) -> (Context, tracing::Span) {
        let Self { name, kind, mut fields, attributes, links } = self;
        if let Some(in_tracing) = in_tracing {
            let span = in_tracing(&name, kind_field(&kind));
            // This fails without our layer; then the span has no valid context.
            drop(span.set_parent(parent.clone()));
            describe(&span, &attributes, &links);
            let context = span.context();
            if context.span().span_context().is_valid() && !span.is_disabled() {
                return (context, span);
            }
        }
        let builder = telemetry.tracer.span_builder(name).with_kind(kind);
        fields.extend(attributes);
        let builder = builder.with_attributes(fields).with_links(links);
        let span = telemetry.tracer.build_with_context(builder, parent);
        (parent.with_span(span), tracing::Span::none())
    }
}

/// The function's name, which exists only in Lambda.
fn function_name(lambda: &lambda_runtime::Context) -> Cow<'static, str> {
    let name = &lambda.env_config.function_name;
    if name.is_empty() { Cow::Borrowed("invocation") } else { Cow::Owned(name.clone()) }
}

/// The trace id of the platform's own spans: from the X-Ray root, or else derived from the request id.
fn invocation_trace_id(xray: &XRayHeader, request_id: &str) -> Option<TraceId> {
    let from_request_id = || (!request_id.is_empty()).then(|| trace_id_from_request_id(request_id));
    xray.trace_id.or_else(from_request_id).map(TraceId::from_bytes)
}

/// The attributes and links of messages, which belong to the CONSUMER span.
struct Messages {
    /// The name of their destination; empty for one message without any.
    source: String,
    attributes: Vec<KeyValue>,
    links: Vec<Link>,
}

impl Messages {
    /// Takes them out of the event's. `None` without messages.
    fn of(extracted: &mut SpanAttributes) -> Option<Self> {
        let is = |own: &KeyValue, key: &str| own.key.as_str() == key;
        if !extracted.attributes.iter().any(|own| is(own, "messaging.system")) {
            return None;
        }
        let is_of_messages =
            |own: &mut KeyValue| own.key.as_str().split('.').next() == Some("messaging");
        let attributes: Vec<_> = extracted.attributes.extract_if(.., is_of_messages).collect();
        let source = attributes.iter().find(|own| is(own, "messaging.destination.name"));
        let source = source.map(|source| source.value.as_str().into_owned());
        let is_batch = attributes.iter().any(|own| is(own, "messaging.batch.message_count"));
        let unknown = if is_batch { "multiple_sources" } else { "" };
        let source = source.unwrap_or_else(|| unknown.to_owned());
        Some(Self { source, attributes, links: std::mem::take(&mut extracted.links) })
    }
}

/// Attributes from the invoked ARN: `arn:aws:lambda:<region>:<account>:function:<name>[:<version or alias>]` (semantic
/// conventions 1.44, `docs/faas/aws-lambda.md`).
fn function_attributes(
    lambda: &lambda_runtime::Context,
    function_version: Option<&str>,
) -> Vec<KeyValue> {
    let text = lambda.invoked_function_arn.as_str();
    let Some(arn) = Arn::parse(text) else { return Vec::new() };
    let mut attributes = vec![KeyValue::new("aws.lambda.invoked_arn", text.to_owned())];
    if let Some(account) = arn.account_id() {
        attributes.push(KeyValue::new(names::CLOUD_ACCOUNT_ID, account.to_owned()));
    }
    let resource_id = function_version.and_then(|version| arn.with_version(version));
    let resource_id = resource_id.unwrap_or_else(|| text.to_owned());
    attributes.push(KeyValue::new(names::CLOUD_RESOURCE_ID, resource_id));
    attributes
}

/// OpenObserve rejects spans older than five hours.
const LONGEST: Duration = Duration::from_secs(4 * 60 * 60);

/// Writes the span below the invocation's, although it begins earlier: as its parent, it would hide the caller from service maps.
fn write_wait(
    telemetry: &Telemetry,
    waited_for: &str,
    received_at: SystemTime,
    invocation: &Context,
) {
    let now = opentelemetry::time::now();
    // The clocks of AWS's services differ from the function's.
    if !now.duration_since(received_at).is_ok_and(|waited| waited <= LONGEST) {
        return;
    }
    let tracer = &telemetry.tracer;
    let builder = tracer
        .span_builder(format!("{waited_for} wait").trim_start().to_owned())
        .with_start_time(received_at)
        .with_attributes([KeyValue::new("lambda_otlp.inferred", true)]);
    tracer.build_with_context(builder, invocation).end_with_timestamp(now);
}
