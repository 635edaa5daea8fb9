//! Every handler and service that `lambda_runtime::run` accepts without the library compiles and runs with it.

use super::driver::{
    Function, Written, attribute, block_on, context, event, shown, status, succeed,
};
use crate::handler::TracedHandler;
use crate::handler::tracing_layer::OtelTracingLayer;
use crate::lambda_otel_lite::create_traced_handler;
use crate::trigger::JsonExtractor;
use aws_lambda_events::activemq::ActiveMqEvent;
use futures_core::Stream;
use lambda_runtime::tower::ServiceBuilder;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, Service, StreamResponse, service_fn};
use serde_json::{Value, json};
use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The service, if the runtime accepts another one like it.
macro_rules! accepted {
    ($service:expr) => {{
        drop(lambda_runtime::run($service));
        $service
    }};
}

async fn refuse(_: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    tokio::task::yield_now().await;
    Err(Diagnostic { error_type: "OutOfStock".to_owned(), error_message: "no stock".to_owned() })
}

/// The failed span of an invocation whose error is a [`Diagnostic`].
fn assert_refused(function: &Function) {
    let span = function.span();
    assert_eq!(status(&span), "error: no stock");
    assert_eq!(attribute(&span, "error.type").as_deref(), Some(r#""OutOfStock""#));
    let exception = shown(&span.events[0].attributes);
    assert_eq!(exception, "exception.message=\"no stock\"\nexception.type=\"OutOfStock\"\n");
}

#[test]
fn a_diagnostic_is_an_error_of_handlers_and_services() {
    let function = Function::new();
    let completion = || function.completion.clone();
    let mut service = accepted!(service_fn(create_traced_handler("orders", completion(), refuse)));
    assert_eq!(block_on(service.call(event(json!({})))).unwrap_err().error_type, "OutOfStock");
    assert_refused(&function);
    let mut service = accepted!(TracedHandler::new("orders", completion(), refuse));
    block_on(service.call(event(json!({})))).unwrap_err();
    assert_refused(&function);
    let layer = || OtelTracingLayer::new(completion()).with_name("orders");
    let mut service = accepted!(ServiceBuilder::new().layer(layer()).service_fn(refuse));
    block_on(service.call(event(json!({})))).unwrap_err();
    assert_refused(&function);
    let layer = || OtelTracingLayer::new(completion()).for_streaming();
    let refuse_to_stream = async |event| refuse(event).await.map(|_| StreamResponse::from(Parts));
    let mut service = accepted!(ServiceBuilder::new().layer(layer()).service_fn(refuse_to_stream));
    assert!(block_on(service.call(event(json!({})))).is_err());
    assert_refused(&function);
}

/// A body.
struct Parts;

impl Stream for Parts {
    type Item = Result<Vec<u8>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}

#[test]
fn a_closure_may_change_what_it_captures() {
    let function = Function::new();
    let mut handled = 0;
    let count = move |_: LambdaEvent<Value>| {
        handled += 1;
        std::future::ready(Ok::<_, Error>(handled))
    };
    let mut service = accepted!(TracedHandler::new("orders", function.completion.clone(), count));
    block_on(service.call(event(json!({})))).unwrap();
    assert_eq!(block_on(service.call(event(json!({})))).unwrap(), 2);
    assert_eq!(function.written().span_names(), ["orders", "orders"]);
}

#[test]
fn a_handler_may_borrow_and_need_not_be_send() {
    let function = Function::new();
    let stored = Cell::new(0);
    let own = String::from("kept on this thread");
    let store = async |_: LambdaEvent<Value>| {
        let text = Rc::new(own.as_str());
        tokio::task::yield_now().await;
        stored.set(stored.get() + text.len());
        Ok::<_, Error>(Value::Null)
    };
    let completion = || function.completion.clone();
    let mut service = accepted!(service_fn(create_traced_handler("orders", completion(), &store)));
    block_on(service.call(event(json!({})))).unwrap();
    let layer = || OtelTracingLayer::new(completion()).with_name("orders");
    let mut service = accepted!(ServiceBuilder::new().layer(layer()).service_fn(&store));
    block_on(service.call(event(json!({})))).unwrap();
    assert_eq!(stored.get(), 2 * own.len());
    assert_eq!(function.written().span_names(), ["orders", "orders"]);
}

/// What a managed instance needs: the handler can be cloned and sent, and so can its futures.
#[test]
fn a_handler_that_can_be_shared_stays_so() {
    fn is_concurrent<S>(_: &S)
    where
        S: Service<LambdaEvent<Value>> + Clone + Send + 'static,
        S::Future: Send + 'static,
    {
    }
    let function = Function::new();
    let completion = || function.completion.clone();
    let table = Arc::new(json!({}));
    let handler = move |event: LambdaEvent<Value>| {
        let table = Arc::clone(&table);
        async move { Ok::<_, Error>(json!([*table, event.payload])) }
    };
    is_concurrent(&service_fn(create_traced_handler("orders", completion(), handler.clone())));
    is_concurrent(&TracedHandler::new("orders", completion(), handler.clone()));
    let layer = OtelTracingLayer::new(completion());
    is_concurrent(&ServiceBuilder::new().layer(layer).service_fn(handler));
}

/// `cargo lambda new` has templates for such events, and an `impl` for another crate's type is impossible.
#[test]
fn an_event_of_a_type_without_a_feature_is_described_as_its_json() {
    let function = Function::new();
    let payload = json!({
        "eventSource": "aws:amq",
        "eventSourceArn": "arn:aws:mq:eu-west-1:123456789012:broker:b:c",
        "messages": [{
            "messageID": "ID:1", "timestamp": 0, "deliveryMode": 1, "redelivered": false, "expiration": 0,
            "priority": 0, "brokerInTime": 0, "brokerOutTime": 0, "properties": {},
            "destination": { "physicalName": "jobs" }
        }]
    });
    let typed: ActiveMqEvent = serde_json::from_value(payload.clone()).unwrap();
    let handler = async |_: LambdaEvent<ActiveMqEvent>| Ok::<_, Error>(());
    let completion = function.completion.clone();
    let mut service = accepted!(
        TracedHandler::new("orders", completion.clone(), handler).with_extractor(JsonExtractor)
    );
    block_on(service.call(LambdaEvent::new(typed, context()))).unwrap();
    let of_type = function.written();
    function.handle(event(payload), succeed).unwrap();
    let of_json = function.written();
    assert_eq!(of_type.span_names(), of_json.span_names());
    let consumer = |written: &Written| shown(&written.span_named("jobs process").attributes);
    assert_eq!(consumer(&of_type), consumer(&of_json));
}
