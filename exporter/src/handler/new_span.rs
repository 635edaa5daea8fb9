//! The initial data of an invocation's spans: name, kind, attributes, parent and trace id.

use super::http_route::HttpInvocation;
use super::trigger::method_in_name;
use super::trigger::span_attributes::{SpanAttributes, TriggerType, describe, kind_field};
use crate::output::stderr;
use crate::telemetry::completion::TelemetryCompletionHandler;
use crate::telemetry::id_generator::with_trace_id;
use crate::telemetry::invocations::Invocations;
use opentelemetry::trace::{Link, Span as _, SpanKind, TraceContextExt as _, TraceId, Tracer as _};
use opentelemetry::{Context, KeyValue, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
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

pub(super) struct NewSpan {
    name: Cow<'static, str>,
    kind: SpanKind,
    attributes: Vec<KeyValue>,
    links: Vec<Link>,
    consumer: Option<ConsumerSpan>,
    parent: Context,
    /// The trace id of a span without a parent.
    trace_id: Option<TraceId>,
    request_id: String,
    received_at: Option<SystemTime>,
}

impl NewSpan {
    pub(super) fn of(
        completion: &TelemetryCompletionHandler,
        lambda: &lambda_runtime::Context,
        options: &SpanOptions,
        mut extracted: SpanAttributes,
    ) -> Self {
        let kind = options.kind.clone().or(extracted.kind.take());
        let consumer = if kind.is_none() { ConsumerSpan::of(&mut extracted) } else { None };
        let telemetry = &completion.telemetry;
        let ambient = lambda.xray_trace_id.as_deref();
        // Lambda's API gives a caller no other place for it than the client context.
        let custom = lambda.client_context.as_ref().map(|caller| &caller.custom);
        let names_parent = |own: &&HashMap<String, String>| {
            telemetry.propagation.parent(Some(own), None).span().span_context().is_valid()
        };
        let of_event = extracted.carrier.as_ref();
        let carrier = match custom.filter(names_parent) {
            Some(custom) => of_event.filter(names_parent).or(Some(custom)),
            None => of_event.filter(|own| !own.is_empty()).or(custom),
        };
        let parent = telemetry.propagation.parent(carrier, ambient);
        let xray = ambient.map(XRayHeader::parse).unwrap_or_default();
        let name = options
            .name
            .clone()
            .or(extracted.span_name.map(Cow::Owned))
            .or(options.default_name.clone())
            .unwrap_or_else(|| function_name(lambda));

        if let Some(account) = account(lambda) {
            telemetry.signals.line.set_account(account);
        }
        let mut attributes =
            function_attributes(lambda, telemetry.facts.function_version.as_deref());
        attributes.push(KeyValue::new("faas.trigger", extracted.trigger.as_str()));
        attributes.push(KeyValue::new("faas.coldstart", telemetry.facts.take_cold_start()));
        if let Some(tenant) = lambda.tenant_id.as_deref().filter(|tenant| !tenant.is_empty()) {
            attributes.push(KeyValue::new("aws.lambda.tenant_id", tenant.to_owned()));
        }
        let parent_span = parent.span().span_context().span_id();
        if let Some(id) = xray.parent_id.filter(|id| *id != parent_span.to_bytes()) {
            attributes.push(KeyValue::new("aws.xray.parent_id", to_hex(&id)));
        }
        let parent = match extracted.trigger {
            TriggerType::Http => {
                let method = options.name.is_none().then(|| method_in_name(&extracted.attributes));
                parent.with_value(HttpInvocation::new(method.flatten()))
            }
            _ => parent,
        };
        attributes.extend(extracted.attributes);
        attributes.extend_from_slice(&options.attributes);
        if telemetry.facts.duplicate_http_names && extracted.trigger == TriggerType::Http {
            attributes.extend(deprecated_names(&attributes));
        }
        Self {
            name,
            kind: kind.unwrap_or(SpanKind::Server),
            attributes,
            links: extracted.links,
            consumer,
            parent,
            trace_id: invocation_trace_id(&xray, &lambda.request_id),
            request_id: lambda.request_id.clone(),
            received_at: extracted.received_at.filter(|_| telemetry.facts.inferred_spans),
        }
    }

    /// Starts no span if the SDK is disabled. Starts a `tracing` span if a subscriber has our layer, so that `Span::current()` in
    /// the handler is this span. Without the layer, or if the application's filter disables the span, starts a span of the SDK.
    pub(super) fn start(
        mut self,
        completion: &TelemetryCompletionHandler,
        number: u64,
    ) -> StartedSpans {
        if completion.telemetry.is_disabled {
            let root = (self.parent, tracing::Span::none());
            return StartedSpans { root, consumer: None };
        }
        let parent = self.parent.span().span_context().clone();
        self.parent = Invocations::parent(number, &self.parent);
        let consumer = self.consumer.take();
        let received_at = self.received_at.take();
        let root = self.start_any(completion);
        let is_left_out = !root.0.span().span_context().is_sampled();
        let has_warned = &completion.telemetry.facts.warned_of_unsampled;
        if parent.is_valid()
            && !parent.is_sampled()
            && is_left_out
            && !has_warned.swap(true, Ordering::Relaxed)
        {
            stderr::warn(
                "the caller's trace is not sampled, so no spans of this invocation are written, nor of others like it: \
                 OTEL_TRACES_SAMPLER=always_on writes them all the same",
            );
        }
        if let Some(received_at) = received_at {
            let waited_for = consumer.as_ref().map_or("HTTP", |consumer| &consumer.source);
            write_wait(completion, waited_for, received_at, &root.0);
        }
        let consumer = consumer.map(|consumer| consumer.start(completion, &root));
        StartedSpans { root, consumer }
    }

    fn start_any(mut self, completion: &TelemetryCompletionHandler) -> (Context, tracing::Span) {
        let telemetry = &completion.telemetry;
        if telemetry.has_layer.load(Ordering::Relaxed) {
            let span = self.tracing_span();
            let context = with_trace_id(self.trace_id, || span.context());
            if context.span().span_context().is_valid() {
                return (context, span);
            }
        }
        self.attributes.push(KeyValue::new(names::FAAS_INVOCATION_ID, self.request_id));
        let builder = telemetry
            .tracer
            .span_builder(self.name)
            .with_kind(self.kind)
            .with_attributes(self.attributes)
            .with_links(self.links);
        let span = with_trace_id(self.trace_id, || {
            telemetry.tracer.build_with_context(builder, &self.parent)
        });
        (self.parent.with_span(span), tracing::Span::none())
    }

    fn tracing_span(&self) -> tracing::Span {
        let span = tracing::info_span!(
            parent: None,
            "invocation",
            faas.invocation_id = self.request_id,
            otel.name = self.name.as_ref(),
            otel.kind = kind_field(&self.kind),
        );
        // This fails if the span has started already, which is impossible here, or without our layer; then `start` finds no valid
        // context.
        drop(span.set_parent(self.parent.clone()));
        describe(&span, &self.attributes, &self.links);
        span
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

struct ConsumerSpan {
    source: String,
    attributes: Vec<KeyValue>,
    links: Vec<Link>,
}

impl ConsumerSpan {
    /// Takes the attributes and links of messages. `None` without messages.
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
        let source = source.unwrap_or_else(|| "multiple_sources".to_owned());
        Some(Self { source, attributes, links: std::mem::take(&mut extracted.links) })
    }

    /// Starts the span below the invocation's, by the same means.
    fn start(
        self,
        completion: &TelemetryCompletionHandler,
        (context, root): &(Context, tracing::Span),
    ) -> (Context, tracing::Span) {
        let name = format!("{} process", self.source);
        if !root.is_none() {
            let span = tracing::info_span!(
                parent: root,
                "messages",
                otel.name = name,
                otel.kind = "consumer",
            );
            describe(&span, &self.attributes, &self.links);
            // Keeps the values of the invocation's context, such as its baggage.
            let own = span.context().span().span_context().clone();
            if own.is_valid() && own != *context.span().span_context() {
                return (span.context(), span);
            }
        }
        let tracer = &completion.telemetry.tracer;
        let builder = tracer
            .span_builder(name)
            .with_kind(SpanKind::Consumer)
            .with_attributes(self.attributes)
            .with_links(self.links);
        let span = tracer.build_with_context(builder, context);
        (context.with_span(span), root.clone())
    }
}

/// The account in the invoked ARN.
fn account(lambda: &lambda_runtime::Context) -> Option<&str> {
    let arn = lambda.invoked_function_arn.as_str();
    let account = arn.strip_prefix("arn:")?.split(':').nth(3)?;
    (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())).then_some(account)
}

/// Attributes from the invoked ARN: `arn:aws:lambda:<region>:<account>:function:<name>[:<version or alias>]` (semantic
/// conventions 1.44, `docs/faas/aws-lambda.md`).
fn function_attributes(
    lambda: &lambda_runtime::Context,
    function_version: Option<&str>,
) -> Vec<KeyValue> {
    let arn = lambda.invoked_function_arn.as_str();
    if !arn.starts_with("arn:") {
        return Vec::new();
    }
    let mut attributes = vec![KeyValue::new("aws.lambda.invoked_arn", arn.to_owned())];
    let mut parts: Vec<&str> = arn.split(':').collect();
    if let Some(account) = parts.get(4) {
        attributes.push(KeyValue::new(names::CLOUD_ACCOUNT_ID, (*account).to_owned()));
    }
    // An alias may later point to another version, so the running version replaces it.
    if let (Some(qualifier), Some(version)) = (parts.get_mut(7), function_version) {
        *qualifier = version;
    }
    attributes.push(KeyValue::new(names::CLOUD_RESOURCE_ID, parts.join(":")));
    attributes
}

/// The former names of HTTP attributes, for `OTEL_SEMCONV_STABILITY_OPT_IN=http/dup` (semantic conventions, "HTTP migration
/// guide").
fn deprecated_names(attributes: &[KeyValue]) -> Vec<KeyValue> {
    const DEPRECATED: [(&str, &str); 7] = [
        ("http.request.method", "http.method"),
        ("url.scheme", "http.scheme"),
        ("user_agent.original", "http.user_agent"),
        ("client.address", "http.client_ip"),
        ("server.address", "net.host.name"),
        ("server.port", "net.host.port"),
        ("network.protocol.version", "http.flavor"),
    ];
    let value_of =
        |name: &str| attributes.iter().find(|own| own.key.as_str() == name).map(|own| &own.value);
    let mut old: Vec<KeyValue> = DEPRECATED
        .into_iter()
        .filter_map(|(new, old)| Some(KeyValue::new(old, value_of(new)?.clone())))
        .collect();
    if let Some(path) = value_of("url.path") {
        let query = value_of("url.query").map(|query| format!("?{query}")).unwrap_or_default();
        old.push(KeyValue::new("http.target", Value::from(format!("{path}{query}"))));
    }
    old
}

/// OpenObserve rejects spans older than five hours.
const LONGEST: Duration = Duration::from_secs(4 * 60 * 60);

/// Writes the span below the invocation's, although it begins earlier: as its parent, it would hide the caller from service maps.
fn write_wait(
    completion: &TelemetryCompletionHandler,
    waited_for: &str,
    received_at: SystemTime,
    invocation: &Context,
) {
    let now = opentelemetry::time::now();
    // The clocks of AWS's services differ from the function's.
    if !now.duration_since(received_at).is_ok_and(|waited| waited <= LONGEST) {
        return;
    }
    let tracer = &completion.telemetry.tracer;
    let builder = tracer
        .span_builder(format!("{waited_for} wait"))
        .with_start_time(received_at)
        .with_attributes([KeyValue::new("lambda_otlp.inferred", true)]);
    tracer.build_with_context(builder, invocation).end_with_timestamp(now);
}
