//! The initial data of an invocation's spans: name, kind, attributes, parent and trace id.

use super::execution::{Execution, Place};
use super::http_route::HttpInvocation;
use crate::invocations::{InvocationNumber, Invocations};
use crate::output::stderr;
use crate::state::Telemetry;
use crate::state::id_generator::with_trace_id;
use crate::trigger::method_in_name;
use crate::trigger::span_attributes::{SpanAttributes, TriggerType, add_to_span, kind_field};
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

/// A started span.
pub(super) struct StartedSpan {
    /// The context with the span.
    pub(super) context: Context,
    /// The same span in `tracing`; disabled without a subscriber of ours.
    pub(super) in_tracing: tracing::Span,
}

impl StartedSpan {
    /// A context whose span is not in `tracing`.
    pub(super) fn only(context: Context) -> Self {
        Self { context, in_tracing: tracing::Span::none() }
    }
}

/// The spans of an invocation.
pub(super) struct StartedSpans {
    pub(super) root: StartedSpan,
    /// The CONSUMER span below it, of an invocation with messages.
    pub(super) consumer: Option<StartedSpan>,
}

/// Starts the spans of an invocation.
pub(super) struct SpanStarter<'a> {
    pub(super) telemetry: &'a Telemetry,
    pub(super) lambda: &'a lambda_runtime::Context,
    pub(super) options: &'a SpanOptions,
    /// The number of the invocation among the running ones.
    pub(super) number: InvocationNumber,
}

impl SpanStarter<'_> {
    /// Starts the spans of an event with this data, and none if the SDK is disabled.
    pub(super) fn start(
        &self,
        mut extracted: SpanAttributes,
        execution: Option<&mut Execution>,
    ) -> StartedSpans {
        let kind = self.options.kind.clone().or(extracted.kind.take());
        // With a kind set, the messages belong to the invocation's span.
        let messages = if kind.is_none() { Messages::take_from(&mut extracted) } else { None };
        let caller_context = self.caller_context(extracted.carrier.as_ref());
        let caller = caller_context.span().span_context().clone();
        let Place { parent: context, link } = match execution {
            Some(execution) => {
                let xray_header = self.lambda.xray_trace_id.as_deref();
                execution.begin(self.telemetry, caller_context, xray_header)
            }
            None => Place { parent: caller_context, link: None },
        };
        extracted.links.extend(link);
        let context = self.with_http_invocation(context, &extracted);
        if let Some(account) = account_id(&self.lambda.invoked_function_arn) {
            self.telemetry.line.set_account(account);
        }
        // The caller's context is passed on.
        if self.telemetry.environment.disabled {
            return StartedSpans { root: StartedSpan::only(context), consumer: None };
        }
        let parent = Invocations::with_number(self.number, &context);
        let received_at =
            extracted.received_at.filter(|_| self.telemetry.environment.inferred_spans);
        let root = self.start_root(extracted, kind.as_ref(), &parent, &caller);
        if let Some(received_at) = received_at {
            let waited_for = messages.as_ref().map_or("HTTP", |messages| &messages.source);
            write_wait(self.telemetry, waited_for, received_at, &root.context);
        }
        let consumer = messages.map(|messages| messages.start(self.telemetry, &root));
        StartedSpans { root, consumer }
    }

    /// Returns the context with the span that invoked the function, and its baggage. Without one the invocation starts a trace.
    fn caller_context(&self, of_event: Option<&HashMap<String, String>>) -> Context {
        let propagation = &self.telemetry.propagation;
        // Lambda's API gives a caller no other place for it than the client context.
        let of_client = self.lambda.client_context.as_ref().map(|client| &client.custom);
        let names_parent = |headers: &&HashMap<String, String>| {
            propagation.parent(Some(headers), None).span().span_context().is_valid()
        };
        let carrier = match of_client.filter(names_parent) {
            Some(of_client) => of_event.filter(names_parent).or(Some(of_client)),
            None => of_event.filter(|headers| !headers.is_empty()).or(of_client),
        };
        propagation.parent(carrier, self.lambda.xray_trace_id.as_deref())
    }

    /// Adds the place for an HTTP request's method and route, if the event is one.
    fn with_http_invocation(&self, context: Context, extracted: &SpanAttributes) -> Context {
        match extracted.trigger {
            TriggerType::Http => {
                let has_own_name = self.options.name.is_some();
                let method = (!has_own_name).then(|| method_in_name(&extracted.attributes));
                context.with_value(HttpInvocation::new(method.flatten()))
            }
            _ => context,
        }
    }

    /// Starts the invocation's span. `caller` is the span that invoked the function.
    fn start_root(
        &self,
        mut extracted: SpanAttributes,
        kind: Option<&SpanKind>,
        parent: &Context,
        caller: &SpanContext,
    ) -> StartedSpan {
        let Self { telemetry, lambda, options, .. } = self;
        let xray = lambda.xray_trace_id.as_deref().map(XRayHeader::parse).unwrap_or_default();
        let new = NewSpan {
            name: options
                .name
                .clone()
                .or(extracted.span_name.take().map(Cow::Owned))
                .or(options.default_name.clone())
                .unwrap_or_else(|| function_name(lambda)),
            kind: kind.cloned().unwrap_or(SpanKind::Server),
            links: std::mem::take(&mut extracted.links),
            fields: vec![KeyValue::new(names::FAAS_INVOCATION_ID, lambda.request_id.clone())],
            attributes: self.root_attributes(extracted, &xray, caller),
        };
        let root = with_trace_id(invocation_trace_id(&xray, &lambda.request_id), || {
            let in_tracing = |name: &str, kind: &str| tracing::info_span!(parent: None, "invocation", otel.name = name, otel.kind = kind, faas.invocation_id = lambda.request_id);
            let has_layer = telemetry.has_layer.load(Ordering::Relaxed);
            new.start(telemetry, parent, has_layer.then_some(in_tracing))
        });
        let is_sampled = root.context.span().span_context().is_sampled();
        if caller.is_valid() && !caller.is_sampled() && !is_sampled {
            warn_of_unsampled(telemetry);
        }
        root
    }

    fn root_attributes(
        &self,
        extracted: SpanAttributes,
        xray: &XRayHeader,
        caller: &SpanContext,
    ) -> Vec<KeyValue> {
        let Self { telemetry, lambda, options, .. } = self;
        let version = telemetry.environment.lambda.function_version.as_deref();
        let mut attributes = function_attributes(lambda, version);
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
}

fn warn_of_unsampled(telemetry: &Telemetry) {
    if !telemetry.warned_of_unsampled.swap(true, Ordering::Relaxed) {
        stderr::warn(
            "the caller's trace is not sampled, so no spans of this invocation are written, nor of others like it: \
             OTEL_TRACES_SAMPLER=always_on writes them all the same",
        );
    }
}

/// The data of a span that has not started.
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
    ) -> StartedSpan {
        let Self { name, kind, mut fields, attributes, links } = self;
        if let Some(in_tracing) = in_tracing {
            let span = in_tracing(&name, kind_field(&kind));
            // This fails without our layer; then the span has no valid context.
            drop(span.set_parent(parent.clone()));
            add_to_span(&span, &attributes, &links);
            let context = span.context();
            if context.span().span_context().is_valid() && !span.is_disabled() {
                return StartedSpan { context, in_tracing: span };
            }
        }
        fields.extend(attributes);
        let builder = telemetry
            .tracer
            .span_builder(name)
            .with_kind(kind)
            .with_attributes(fields)
            .with_links(links);
        let span = telemetry.tracer.build_with_context(builder, parent);
        StartedSpan::only(parent.with_span(span))
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
    /// Takes the attributes and links of messages out of an event's data. `None` without messages.
    fn take_from(extracted: &mut SpanAttributes) -> Option<Self> {
        let has_key = |attribute: &KeyValue, key: &str| attribute.key.as_str() == key;
        if !extracted.attributes.iter().any(|attribute| has_key(attribute, "messaging.system")) {
            return None;
        }
        let is_of_messages = |attribute: &mut KeyValue| {
            attribute.key.as_str().split('.').next() == Some("messaging")
        };
        let attributes: Vec<_> = extracted.attributes.extract_if(.., is_of_messages).collect();
        let destination =
            attributes.iter().find(|attribute| has_key(attribute, "messaging.destination.name"));
        let is_batch =
            attributes.iter().any(|attribute| has_key(attribute, "messaging.batch.message_count"));
        let source = match destination {
            Some(destination) => destination.value.as_str().into_owned(),
            None if is_batch => "multiple_sources".to_owned(),
            None => String::new(),
        };
        Some(Self { source, attributes, links: std::mem::take(&mut extracted.links) })
    }

    /// Starts the CONSUMER span below the invocation's.
    fn start(self, telemetry: &Telemetry, root: &StartedSpan) -> StartedSpan {
        let Self { source, attributes, links } = self;
        let name = Cow::Owned(format!("{source} process").trim_start().to_owned());
        let new = NewSpan { name, kind: SpanKind::Consumer, fields: Vec::new(), attributes, links };
        let in_tracing = |name: &str, kind: &str| tracing::info_span!(parent: &root.in_tracing, "messages", otel.name = name, otel.kind = kind);
        let is_in_tracing = !root.in_tracing.is_none();
        new.start(telemetry, &root.context, is_in_tracing.then_some(in_tracing))
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
    let resource_id = function_version
        .and_then(|version| arn.with_version(version))
        .unwrap_or_else(|| text.to_owned());
    attributes.push(KeyValue::new(names::CLOUD_RESOURCE_ID, resource_id));
    attributes
}

/// The longest wait that is written: OpenObserve rejects spans older than five hours.
const LONGEST_WAIT: Duration = Duration::from_secs(4 * 60 * 60);

/// Writes the span of the time that the request or the messages waited for the function. It is below the invocation's span, although
/// it begins earlier: as the parent, it would hide the caller from service maps.
fn write_wait(
    telemetry: &Telemetry,
    waited_for: &str,
    received_at: SystemTime,
    invocation: &Context,
) {
    let now = opentelemetry::time::now();
    // The clocks of AWS's services differ from the function's.
    if !now.duration_since(received_at).is_ok_and(|waited| waited <= LONGEST_WAIT) {
        return;
    }
    let tracer = &telemetry.tracer;
    let builder = tracer
        .span_builder(format!("{waited_for} wait").trim_start().to_owned())
        .with_start_time(received_at)
        .with_attributes([KeyValue::new("lambda_otlp.inferred", true)]);
    tracer.build_with_context(builder, invocation).end_with_timestamp(now);
}
