//! Spans for calls with AWS's SDK for Rust (semantic conventions 1.44, `docs/cloud-providers/aws-sdk.md` and `docs/messaging/`).

mod request;
#[cfg(test)]
mod tests;

use super::fields::ContextFields;
use crate::state::completion::TelemetryCompletionHandler;
use crate::state::scope;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
    BeforeTransmitInterceptorContextRef, Error, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::{
    HttpRequest, HttpResponse, Metadata, OrchestratorError,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use opentelemetry::trace::{SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue, global};
use request::Payload;
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

/// Creates a span for each call of an AWS SDK client, and propagates the trace to the callee.
///
/// The span is named after service and operation, `SQS.SendMessage`; the content of messages, items and payloads is never recorded.
///
/// The span's context is written into the attributes of SQS messages and of messages to SNS topics, within the limits of ten
/// attributes and 256 KiB a request, and into the client context of synchronously invoked functions. EventBridge events, inputs of
/// state machines and records of Kinesis can only carry it in their content: see [`inject_json`](crate::propagation::inject_json).
///
/// The interceptor never makes a call fail.
#[derive(Debug, Clone, Default)]
pub struct AwsSdkInterceptor {
    completion_handler: Option<TelemetryCompletionHandler>,
    leaves_requests: bool,
}

impl AwsSdkInterceptor {
    /// Uses the global tracer provider and propagator, which [`init`](crate::init()) sets.
    #[must_use]
    pub const fn new() -> Self {
        Self { completion_handler: None, leaves_requests: false }
    }

    /// Uses these instead of the globals.
    #[must_use]
    pub fn with_completion_handler(self, handler: &TelemetryCompletionHandler) -> Self {
        Self { completion_handler: Some(handler.clone()), ..self }
    }

    /// Sets whether the context is written into requests. On by default. It adds about 150 bytes to a message, which may exceed
    /// the limit of a queue for small messages (`MaximumMessageSize`).
    #[must_use]
    pub fn with_context_in_requests(self, injects: bool) -> Self {
        Self { leaves_requests: !injects, ..self }
    }

    /// Starts the span of a call, with its request if it exists yet.
    fn start(&self, call: &Call, operation: &Metadata, payload: &Payload<'_>) -> Context {
        let mut attributes = attributes(operation);
        attributes.extend(payload.attributes(operation));
        attributes.extend(request::peer(operation, &attributes));
        let builder =
            SpanBuilder::from_name(format!("{}.{}", operation.service(), operation.name()))
                .with_kind(span_kind(operation))
                .with_start_time(call.started_at)
                .with_attributes(attributes);
        let parent = &call.parent;
        if let Some(handler) = &self.completion_handler {
            parent.with_span(handler.tracer().build_with_context(builder, parent))
        } else {
            let tracer = global::tracer_with_scope(scope());
            parent.with_span(tracer.build_with_context(builder, parent))
        }
    }

    fn fields(&self, context: &Context) -> ContextFields {
        let propagation =
            self.completion_handler.as_ref().map(|handler| &handler.telemetry.propagation);
        ContextFields::of(context, propagation.map(|propagation| propagation as _))
    }

    fn begin(&self, request: &mut HttpRequest, cfg: &mut ConfigBag) {
        let Some(operation) = cfg.load::<Metadata>().cloned() else { return };
        let Some(call) = cfg.get_mut_from_interceptor_state::<Call>() else { return };
        let payload = Payload::of(&operation, request);
        let span = self.start(call, &operation, &payload);
        let edit = if self.leaves_requests {
            None
        } else {
            payload.with_context(&operation, &self.fields(&span))
        };
        if let Some(edit) = edit {
            edit.apply(request);
        }
        call.span = Some(span);
    }

    fn end(&self, context: &FinalizerInterceptorContextRef<'_>, cfg: &mut ConfigBag) {
        let operation = cfg.load::<Metadata>().cloned();
        let Some(call) = cfg.get_mut_from_interceptor_state::<Call>() else { return };
        if call.span.is_none() {
            // The request was not built, because the call failed before.
            call.span = operation.map(|operation| self.start(call, &operation, &Payload::Other));
        }
        let Some(context_of_span) = call.span.take() else { return };
        let span = context_of_span.span();
        let resend_count = call.times_sent.saturating_sub(1);
        if resend_count > 0 {
            span.set_attribute(KeyValue::new("http.request.resend_count", i64::from(resend_count)));
        }
        if let Some(response) = context.response() {
            span.set_attributes(response_attributes(response));
        }
        if let Some(Err(error)) = context.output_or_error() {
            let error_type = error_type(error, context.response());
            span.set_attribute(KeyValue::new("error.type", error_type.clone()));
            // The service's text may repeat the request.
            span.set_status(Status::error(error_type));
        }
        span.end();
    }
}

/// The services' headers for the request id.
const REQUEST_ID: [&str; 3] = ["x-amzn-requestid", "x-amzn-request-id", "x-amz-request-id"];

fn response_attributes(response: &HttpResponse) -> Vec<KeyValue> {
    let status = i64::from(response.status().as_u16());
    let mut attributes = vec![KeyValue::new("http.response.status_code", status)];
    let header = |name: &str| response.headers().get(name).map(str::to_owned);
    let request_id = REQUEST_ID.into_iter().find_map(header);
    attributes.extend(request_id.map(|id| KeyValue::new("aws.request_id", id)));
    let extended = header("x-amz-id-2");
    attributes.extend(extended.map(|id| KeyValue::new("aws.extended_request_id", id)));
    attributes
}

/// The state of a call, stored by the SDK.
#[derive(Debug)]
struct Call {
    parent: Context,
    started_at: SystemTime,
    /// The context with the call's span, while it is open.
    span: Option<Context>,
    times_sent: u32,
}

impl Storable for Call {
    type Storer = StoreReplace<Self>;
}

impl Drop for Call {
    /// The caller stopped waiting.
    fn drop(&mut self) {
        if let Some(context_of_span) = self.span.take() {
            contained(|| {
                let span = context_of_span.span();
                span.set_attribute(KeyValue::new("error.type", "cancelled"));
                span.set_status(Status::error("the call was dropped before it was answered"));
                span.end();
            });
        }
    }
}

/// A panic in the application's processor or sampler costs the span, not the call.
fn contained(step: impl FnOnce()) {
    catch_unwind(AssertUnwindSafe(step)).ok();
}

impl Intercept for AwsSdkInterceptor {
    fn name(&self) -> &'static str {
        "LambdaOtlpInterceptor"
    }

    fn read_before_execution(
        &self,
        _context: &BeforeSerializationInterceptorContextRef<'_>,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let started_at = opentelemetry::time::now();
        let call = Call { parent: Context::current(), started_at, span: None, times_sent: 0 };
        cfg.interceptor_state().store_put(call);
        Ok(())
    }

    /// At this point the request exists and is not yet copied for its attempts.
    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        contained(|| self.begin(context.request_mut(), cfg));
        Ok(())
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        contained(|| {
            let Some(operation) = cfg.load::<Metadata>().cloned() else { return };
            let Some(call) = cfg.get_mut_from_interceptor_state::<Call>() else { return };
            call.times_sent += 1;
            // The address is known from the first attempt on.
            if let Some(span) = call.span.as_ref().filter(|_| call.times_sent == 1) {
                span.span().set_attributes(request::server(&operation, context.request()));
            }
        });
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        contained(|| self.end(context, cfg));
        Ok(())
    }
}

fn span_kind(operation: &Metadata) -> SpanKind {
    match MessagingOperation::of(operation) {
        Some(MessagingOperation { operation_type: "send", .. }) => SpanKind::Producer,
        _ => SpanKind::Client,
    }
}

/// The attributes of sent, received and settled messages.
struct MessagingOperation {
    system: &'static str,
    operation_type: &'static str,
    operation_name: &'static str,
}

impl MessagingOperation {
    fn of(operation: &Metadata) -> Option<Self> {
        let (operation_type, operation_name) = match operation.name() {
            "SendMessage" | "SendMessageBatch" => ("send", "send"),
            "Publish" | "PublishBatch" => ("send", "publish"),
            "PutEvents" | "PutRecord" | "PutRecords" => ("send", "put"),
            "ReceiveMessage" | "GetRecords" => ("receive", "receive"),
            "DeleteMessage" | "DeleteMessageBatch" => ("settle", "delete"),
            "ChangeMessageVisibility" | "ChangeMessageVisibilityBatch" => ("settle", "postpone"),
            _ => return None,
        };
        let system = match operation.service() {
            "SQS" => "aws_sqs",
            "SNS" => "aws.sns",
            "EventBridge" => "aws_eventbridge",
            "Kinesis" => "aws_kinesis",
            _ => return None,
        };
        Some(Self { system, operation_type, operation_name })
    }
}

/// The attributes known without the request.
fn attributes(operation: &Metadata) -> Vec<KeyValue> {
    let service = operation.service();
    let name = operation.name().to_owned();
    let mut attributes = vec![
        KeyValue::new("rpc.system", "aws-api"),
        KeyValue::new("rpc.service", service.to_owned()),
        KeyValue::new("rpc.method", name.clone()),
    ];
    if let Some(messaging) = MessagingOperation::of(operation) {
        attributes.extend([
            KeyValue::new("messaging.system", messaging.system),
            KeyValue::new("messaging.operation.type", messaging.operation_type),
            KeyValue::new("messaging.operation.name", messaging.operation_name),
        ]);
    }
    if service == "DynamoDB" {
        attributes.extend([
            KeyValue::new("db.system.name", "aws.dynamodb"),
            KeyValue::new("db.operation.name", name),
        ]);
    }
    attributes
}

/// The value of `error.type`: AWS's error code, or else the stage of the failure.
fn error_type(error: &OrchestratorError<Error>, response: Option<&HttpResponse>) -> String {
    let is_timeout = || error.as_connector_error().is_some_and(ConnectorError::is_timeout);
    if error.is_timeout_error() || is_timeout() {
        return "timeout".to_owned();
    }
    if let Some(response) = response.filter(|response| !response.status().is_success()) {
        let code = code_of(response).filter(|code| is_code(code));
        return code.unwrap_or_else(|| response.status().as_u16().to_string());
    }
    let other = match error {
        _ if error.is_connector_error() => "connection",
        _ if error.is_response_error() => "response",
        _ if error.is_interceptor_error() => "interceptor",
        _ => "_OTHER",
    };
    other.to_owned()
}

/// Each protocol has its own place for the code (Smithy, "AWS protocols"): a header, a member of a JSON object, an XML element.
fn code_of(response: &HttpResponse) -> Option<String> {
    let header = response.headers().get("x-amzn-errortype").map(str::to_owned);
    let code = header.or_else(|| {
        let body = std::str::from_utf8(response.body().bytes()?).ok()?;
        code_of_json(body).or_else(|| code_of_xml(body))
    })?;
    // `com.amazonaws.sqs#QueueDoesNotExist`, `ResourceNotFoundException:http://…`
    let code = code.rsplit('#').next()?;
    Some(code.split(':').next()?.to_owned())
}

fn code_of_json(body: &str) -> Option<String> {
    if !body.trim_start().starts_with('{') {
        return None;
    }
    let body: Value = serde_json::from_str(body).ok()?;
    ["__type", "code", "Code"]
        .into_iter()
        .find_map(|key| body.get(key)?.as_str().map(str::to_owned))
}

fn code_of_xml(body: &str) -> Option<String> {
    let (_, rest) = body.split_once("<Code>")?;
    Some(rest.split_once("</Code>")?.0.to_owned())
}

/// Returns `true` for an error code. A proxy's answer, which does not come from AWS, may have any text in its place.
fn is_code(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && text.len() <= 128 && text.chars().all(is_allowed)
}
