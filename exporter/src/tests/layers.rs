//! A service of `tower` layers: its invocations have the same spans as a wrapped handler's, and streamed responses open spans as
//! long as the body.

use super::driver::{Function, attribute, block_on, context, event, status};
use super::triggers::PARENT;
use crate::handler::tracing_layer::OtelTracingLayer;
use crate::trigger::SpanAttributesExtractor as _;
use futures_core::Stream;
use lambda_runtime::tower::ServiceBuilder;
use lambda_runtime::{Error, LambdaEvent, Service as _, StreamResponse};
use opentelemetry::trace::SpanKind;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

#[test]
fn work_and_panics_before_the_future_belong_to_the_span() {
    let function = Function::new();
    let layer = OtelTracingLayer::new(function.completion.clone()).with_span_name("mine");
    let mut service = ServiceBuilder::new().layer(layer).service_fn(|event: LambdaEvent<Value>| {
        tracing::info_span!("at once").in_scope(|| ());
        assert!(event.payload.is_null(), "on fire");
        std::future::ready(Ok::<_, Error>(Value::Null))
    });
    block_on(service.call(event(Value::Null))).unwrap();
    assert_eq!(function.written().span_names(), ["at once", "mine"]);
    let call = service.call(event(json!(1)));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| block_on(call)));
    assert!(panic.is_err(), "the runtime reports it");
    let written = function.written();
    assert_eq!(status(written.span_named("mine")), "error: on fire");
}

#[test]
fn an_extractor_describes_events_of_any_type() {
    struct Opaque(Value);
    let function = Function::new();
    let layer = OtelTracingLayer::new(function.completion.clone())
        .with_kind(SpanKind::Consumer)
        .with_extractor(|event: &Opaque| event.0.extract_span_attributes());
    let mut service = ServiceBuilder::new()
        .layer(layer)
        .service_fn(async |_: LambdaEvent<Opaque>| Ok::<_, Error>(json!(null)));
    let payload = Opaque(json!({ "headers": { "traceparent": PARENT } }));
    let mut context = context();
    let function_name = "orders-live".to_owned();
    let environment = lambda_runtime::Config { function_name, ..Default::default() };
    context.env_config = Arc::new(environment);
    block_on(service.call(LambdaEvent::new(payload, context))).unwrap();
    let span = function.span();
    assert_eq!((span.name.as_str(), span.kind), ("orders-live", 5), "the function's own name");
    assert_eq!(wire::ids::to_hex(&span.parent_span_id), "b7ad6b7169203331");
}

#[cfg(all(feature = "axum", feature = "lambda_http"))]
#[test]
fn axums_matched_route_names_the_span() {
    use crate::handler::matched_path::MatchedPathLayer;
    use axum::{Router, routing::get};
    use lambda_http::Adapter;
    let function = Function::new();
    let check = |route_key: &str, layer: OtelTracingLayer, name: &str, route: Option<&str>| {
        let app = Router::new()
            .route("/orders/{id}", get(async || tracing::info_span!("store").in_scope(|| ())))
            .layer(MatchedPathLayer::new());
        let mut service = ServiceBuilder::new().layer(layer).service(Adapter::from(app));
        let mut request = super::triggers::trigger("http-api-default-route");
        request["rawPath"] = json!("/orders/7");
        request["requestContext"]["stage"] = json!("$default");
        request["routeKey"] = json!(route_key);
        let request = serde_json::from_value(request).unwrap();
        block_on(service.call(LambdaEvent::new(request, context()))).unwrap();
        let written = function.written();
        let root = written.span_named(name);
        assert_eq!(attribute(root, "http.route"), route.map(|route| format!("{route:?}")));
        let routes = root.attributes.iter().filter(|own| own.key == "http.route");
        assert_eq!(routes.count(), usize::from(route.is_some()), "{root:?}");
    };
    let layer = || OtelTracingLayer::new(function.completion.clone()).with_name("shop");
    check("$default", layer(), "GET /orders/{id}", Some("/orders/{id}"));
    check("ANY /{proxy+}", layer(), "GET /orders/{id}", Some("/orders/{id}"));
    check("$default", layer().with_span_name("mine"), "mine", Some("/orders/{id}"));
}

/// A body of these parts; `None` panics.
struct Body(VecDeque<Option<Result<&'static str, Error>>>);

impl Stream for Body {
    type Item = Result<&'static str, Error>;

    fn poll_next(mut self: Pin<&mut Self>, _task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        tracing::info_span!("part").in_scope(|| tracing::info!("made"));
        Poll::Ready(self.0.pop_front().map(|part| part.expect("on fire")))
    }
}

type Parts = Vec<Option<Result<&'static str, Error>>>;

/// The response of a function that streams these parts with this status.
fn streamed(
    function: &Function,
    status_code: u16,
    parts: Parts,
) -> StreamResponse<impl Stream<Item = Result<&'static str, Error>> + Unpin + use<>> {
    let layer = OtelTracingLayer::new(function.completion.clone()).with_name("shop");
    let parts = std::sync::Mutex::new(Some(parts));
    let mut service = ServiceBuilder::new().layer(layer.for_streaming()).service_fn(
        move |_: LambdaEvent<Value>| {
            let parts = parts.lock().unwrap().take().unwrap();
            async move {
                let mut response = StreamResponse::from(Body(parts.into()));
                response.metadata_prelude.status_code = status_code.try_into().unwrap();
                Ok::<_, Error>(response)
            }
        },
    );
    block_on(service.call(event(json!({})))).unwrap()
}

fn next<S: Stream + Unpin>(body: &mut S) -> Option<S::Item> {
    block_on(poll_fn(|task| Pin::new(&mut *body).poll_next(task)))
}

#[test]
fn the_span_is_written_when_the_streamed_body_ends() {
    let function = Function::new();
    let mut response = streamed(&function, 201, vec![Some(Ok("an ")), Some(Ok("order"))]);
    assert_eq!(next(&mut response.stream).unwrap().unwrap(), "an ");
    assert_eq!(next(&mut response.stream).unwrap().unwrap(), "order");
    assert!(function.written().lines.is_empty(), "the invocation goes on");
    assert!(next(&mut response.stream).is_none());
    let written = function.written();
    assert_eq!(written.span_names(), ["part", "part", "part", "shop"]);
    let root = written.span_named("shop");
    assert_eq!(written.span_named("part").parent_span_id, root.span_id);
    assert_eq!((written.logs.len(), status(root).as_str()), (3, "unset"));
    assert_eq!(attribute(root, "http.response.status_code").as_deref(), Some("201"));
    drop(response);
    assert!(function.written().lines.is_empty(), "it ends once");
}

#[test]
fn a_failed_dropped_or_panicking_body_is_a_span_error() {
    let check = |parts: Parts, polls: usize, expected: &str, error_type: &str| {
        let function = Function::new();
        let mut response = streamed(&function, 200, parts);
        let mut panicked = false;
        for _ in 0..polls {
            let polled = std::panic::AssertUnwindSafe(|| drop(next(&mut response.stream)));
            panicked |= std::panic::catch_unwind(polled).is_err();
        }
        assert_eq!(panicked, error_type == "panic", "the runtime reports it");
        drop(response);
        let written = function.written();
        let root = written.span_named("shop");
        assert_eq!(status(root), expected);
        assert_eq!(attribute(root, "error.type").unwrap(), format!("{error_type:?}"));
        assert_eq!(root.events.len(), 1);
        let status_code = attribute(root, "http.response.status_code");
        assert_eq!(status_code.as_deref(), (error_type == "_OTHER").then_some("200"));
    };
    let dropped = "error: the response's body was dropped before its end";
    check(vec![Some(Ok("an ")), Some(Ok("order"))], 1, dropped, "cancelled");
    check(vec![], 0, dropped, "cancelled");
    let failing = || vec![Some(Ok("an ")), Some(Err("the shelf is empty".into())), None];
    check(failing(), 2, "error: the shelf is empty", "_OTHER");
    check(vec![Some(Ok("an ")), None], 2, "error: on fire", "panic");
}

#[test]
fn a_service_failure_before_the_body_is_a_span_error() {
    let function = Function::new();
    let layer = OtelTracingLayer::new(function.completion.clone()).with_name("shop");
    let mut service = ServiceBuilder::new().layer(layer.for_streaming()).service_fn(
        async |_: LambdaEvent<Value>| Err::<StreamResponse<Body>, _>(Error::from("sold out")),
    );
    let failed = block_on(service.call(event(Value::Null)));
    assert_eq!(failed.err().unwrap().to_string(), "sold out");
    assert_eq!(status(&function.span()), "error: sold out");
}
