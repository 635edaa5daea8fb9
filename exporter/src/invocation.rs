//! The span of one invocation: how it starts, and that it ends whatever happens.

use crate::completion::TelemetryCompletionHandler;
use crate::deadline::Armed;
use crate::end_attributes::ending;
use crate::id_generator::with_trace_id;
use crate::trigger::{SpanAttributes, TriggerType};
use opentelemetry::trace::{Link, SpanKind, Status, TraceContextExt as _, TraceId, Tracer as _};
use opentelemetry::{Context, KeyValue, Value};
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use wire::ids::{XRayHeader, to_hex, trace_id_from_request_id};
use wire::resource as names;

/// What the handler's author says about the span.
#[derive(Debug, Clone)]
pub(crate) struct SpanOptions {
    /// The name where the event gives none.
    pub(crate) default_name: Cow<'static, str>,
    /// The name, whatever the event says.
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) kind: Option<SpanKind>,
    pub(crate) attributes: Vec<KeyValue>,
}

/// How an invocation ended.
pub(crate) enum Outcome {
    /// With a response, which may be one of HTTP.
    Response { status_code: Option<u16> },
    /// With an error of the handler.
    Error { error_type: String, message: String },
    /// With a panic of the handler.
    Panic { message: String },
    /// Its future was dropped before it was ready.
    Cancelled,
}

/// A running invocation. Dropped before it is finished, it ends as an error: no way out leaves the span open or the
/// telemetry unwritten.
pub(crate) struct Invocation {
    completion: TelemetryCompletionHandler,
    context: Context,
    span: tracing::Span,
    watched: Option<Armed>,
    deadline: SystemTime,
    is_finished: bool,
}

impl Invocation {
    /// Starts the span; `None` if a bug of ours panicked, since the handler must run all the same.
    pub(crate) fn start(
        completion: &TelemetryCompletionHandler,
        lambda: &lambda_runtime::Context,
        options: &SpanOptions,
        extracted: SpanAttributes,
    ) -> Option<Self> {
        let started = AssertUnwindSafe(|| {
            let new_span = NewSpan::of(completion, lambda, options, extracted);
            let (context, span) = new_span.start(completion);
            let root = context.span().span_context().clone();
            completion.telemetry.facts.root_record.leave(&lambda.request_id, &root);
            let deadline = lambda.deadline();
            let watched = completion.watch(deadline);
            let completion = completion.clone();
            Self { completion, context, span, watched, deadline, is_finished: false }
        });
        catch_unwind(started).ok()
    }

    /// The context in which the handler runs.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// The span as `tracing` knows it; disabled where no subscriber of ours is installed.
    pub(crate) fn span(&self) -> &tracing::Span {
        &self.span
    }

    /// Ends the span and writes the telemetry.
    pub(crate) fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        // The telemetry is written even if what describes the end panics.
        let described = AssertUnwindSafe(|| self.describe(outcome));
        let keys = catch_unwind(described).unwrap_or_default();
        let span = self.context.span();
        let id = span.span_context().span_id();
        drop(catch_unwind(AssertUnwindSafe(|| ending(id, keys, || span.end()))));
        drop(self.watched.take());
        self.completion.complete();
        self.completion.forget(self.deadline);
    }

    /// Says how the invocation ended; returns the keys of the attributes for that.
    fn describe(&self, outcome: Outcome) -> Vec<&'static str> {
        let span = self.context.span();
        let mut keys = Vec::new();
        if !span.is_recording() {
            return keys;
        }
        let mut set = |key: &'static str, value: Value| {
            keys.push(key);
            span.set_attribute(KeyValue::new(key, value));
        };
        let exception = |error_type: &str, message: &str| {
            let attributes = vec![
                KeyValue::new("exception.type", error_type.to_owned()),
                KeyValue::new("exception.message", message.to_owned()),
            ];
            span.add_event("exception", attributes);
            span.set_status(Status::error(message.to_owned()));
        };
        match outcome {
            // A success leaves the status unset, or it would overrule an error that the handler has set.
            Outcome::Response { status_code: None } => {}
            Outcome::Response { status_code: Some(code) } => {
                let value = i64::from(code);
                set("http.response.status_code", value.into());
                if self.completion.telemetry.facts.duplicate_http_names {
                    set("http.status_code", value.into());
                }
                // "HTTP spans", Status: of a server, 4xx is no error.
                if code >= 500 {
                    set("error.type", code.to_string().into());
                    span.set_status(Status::error(""));
                }
            }
            Outcome::Error { error_type, message } => {
                exception(&error_type, &message);
                set("error.type", error_type.into());
            }
            Outcome::Panic { message } => {
                exception("panic", &message);
                set("error.type", "panic".into());
            }
            Outcome::Cancelled => {
                set("error.type", "cancelled".into());
                span.set_status(Status::error(
                    "the handler's future was dropped before it was ready",
                ));
            }
        }
        keys
    }
}

impl Drop for Invocation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Whoever drops us unwinds from a panic that is not the handler's.
            self.end(Outcome::Panic { message: "the invocation's task panicked".to_owned() });
        } else {
            self.end(Outcome::Cancelled);
        }
    }
}

/// All that is known when the span starts.
struct NewSpan {
    name: Cow<'static, str>,
    kind: SpanKind,
    attributes: Vec<KeyValue>,
    links: Vec<Link>,
    parent: Context,
    /// The trace id where there is no parent.
    trace_id: Option<TraceId>,
    request_id: String,
}

impl NewSpan {
    fn of(
        completion: &TelemetryCompletionHandler,
        lambda: &lambda_runtime::Context,
        options: &SpanOptions,
        extracted: SpanAttributes,
    ) -> Self {
        let telemetry = &completion.telemetry;
        let ambient = lambda.xray_trace_id.as_deref();
        let parent = telemetry.propagation.parent(extracted.carrier.as_ref(), ambient);
        let xray = ambient.map(XRayHeader::parse).unwrap_or_default();
        let name = options
            .name
            .clone()
            .or(extracted.span_name.map(Cow::Owned))
            .unwrap_or_else(|| options.default_name.clone());

        let mut attributes =
            function_attributes(lambda, telemetry.facts.function_version.as_deref());
        attributes.push(KeyValue::new("faas.trigger", extracted.trigger.as_str()));
        attributes.push(KeyValue::new("faas.coldstart", telemetry.facts.take_cold_start()));
        let parent_span = parent.span().span_context().span_id();
        if let Some(id) = xray.parent_id.filter(|id| *id != parent_span.to_bytes()) {
            attributes.push(KeyValue::new("aws.xray.parent_id", to_hex(&id)));
        }
        let has_parent = parent.span().span_context().is_valid();
        attributes.extend(extracted.attributes);
        attributes.extend_from_slice(&options.attributes);
        if telemetry.facts.duplicate_http_names && extracted.trigger == TriggerType::Http {
            attributes.extend(deprecated_names(&attributes));
        }
        Self {
            name,
            kind: options.kind.clone().or(extracted.kind).unwrap_or(SpanKind::Server),
            attributes,
            links: extracted.links,
            parent,
            // With a parent nobody would take it but a span that a processor starts meanwhile.
            trace_id: if has_parent {
                None
            } else {
                invocation_trace_id(&xray, &lambda.request_id)
            },
            request_id: lambda.request_id.clone(),
        }
    }

    /// As a `tracing` span where a subscriber has our layer, so that `Span::current()` in the handler is this span;
    /// else, or where a filter of the application's disables it, directly.
    fn start(mut self, completion: &TelemetryCompletionHandler) -> (Context, tracing::Span) {
        let telemetry = &completion.telemetry;
        if telemetry.has_layer.load(std::sync::atomic::Ordering::Relaxed) {
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
        let kind = match self.kind {
            SpanKind::Client => "client",
            SpanKind::Server => "server",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
            SpanKind::Internal => "internal",
        };
        let span = tracing::info_span!(
            parent: None,
            "invocation",
            faas.invocation_id = self.request_id,
            otel.name = self.name.as_ref(),
            otel.kind = kind,
        );
        // It cannot have started before, and without our layer `context` finds nothing either.
        drop(span.set_parent(self.parent.clone()));
        for attribute in &self.attributes {
            span.set_attribute(attribute.key.clone(), attribute.value.clone());
        }
        for link in &self.links {
            span.add_link_with_attributes(link.span_context.clone(), link.attributes.clone());
        }
        span
    }
}

/// The trace id that the platform's own spans have: the X-Ray root, else one made of the request id.
fn invocation_trace_id(xray: &XRayHeader, request_id: &str) -> Option<TraceId> {
    let from_request_id = || (!request_id.is_empty()).then(|| trace_id_from_request_id(request_id));
    xray.trace_id.or_else(from_request_id).map(TraceId::from_bytes)
}

/// What the invoked ARN says: `arn:aws:lambda:<region>:<account>:function:<name>[:<version or alias>]`
/// (semantic conventions 1.44, `docs/faas/aws-lambda.md`).
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
    // An alias may point elsewhere tomorrow; the version that runs now is known.
    if let (Some(qualifier), Some(version)) = (parts.get_mut(7), function_version) {
        *qualifier = version;
    }
    attributes.push(KeyValue::new(names::CLOUD_RESOURCE_ID, parts.join(":")));
    attributes
}

/// The names of HTTP attributes before they became stable, for `OTEL_SEMCONV_STABILITY_OPT_IN=http/dup`
/// (semantic conventions, "HTTP migration guide").
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

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn the_arn_is_taken_apart_and_an_alias_replaced() {
        let check = |arn: &str, version: Option<&str>, expected: Expect| {
            let mut context = lambda_runtime::Context::default();
            context.invoked_function_arn = arn.to_owned();
            let attributes = function_attributes(&context, version);
            let lines = attributes.iter().map(|own| format!("{} {}\n", own.key, own.value));
            expected.assert_eq(&lines.collect::<String>());
        };
        check(
            "arn:aws:lambda:eu-west-1:123456789012:function:orders",
            Some("7"),
            expect![[r"
            aws.lambda.invoked_arn arn:aws:lambda:eu-west-1:123456789012:function:orders
            cloud.account.id 123456789012
            cloud.resource_id arn:aws:lambda:eu-west-1:123456789012:function:orders
        "]],
        );
        check(
            "arn:aws:lambda:eu-west-1:123456789012:function:orders:live",
            Some("7"),
            expect![[r"
            aws.lambda.invoked_arn arn:aws:lambda:eu-west-1:123456789012:function:orders:live
            cloud.account.id 123456789012
            cloud.resource_id arn:aws:lambda:eu-west-1:123456789012:function:orders:7
        "]],
        );
        check("No header lambda-runtime-invoked-function-arn found.", None, expect![""]);
    }

    #[test]
    fn the_trace_id_is_the_one_that_the_platform_derives() {
        let request_id = "3da1f2dc-3222-475e-9205-e2e6c6318895";
        let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";
        let check = |header: &str, request_id, expected: Option<[u8; 16]>| {
            let trace_id = invocation_trace_id(&XRayHeader::parse(header), request_id);
            assert_eq!(trace_id.map(TraceId::to_bytes), expected);
        };
        check(header, request_id, XRayHeader::parse(header).trace_id);
        check("", request_id, Some(trace_id_from_request_id(request_id)));
        check("", "", None);
    }
}
