//! The route that a router inside the function matched, which names the invocation's span better than the event.

use opentelemetry::trace::SpanRef;
use opentelemetry::{Context, KeyValue};
use std::sync::{Mutex, PoisonError};

/// Sets the route of this invocation's HTTP request, such as `/orders/{id}`. The invocation's span is then named `GET
/// /orders/{id}`, unless [`with_span_name`](crate::OtelTracingLayer::with_span_name) set another name, and has the attribute
/// `http.route`. For routers inside the function, whose routes are not in the event; with the feature `axum`, `MatchedPathLayer`
/// calls it. Without effect outside of HTTP invocations.
///
/// The route must have low cardinality, so never pass the path itself.
pub fn set_http_route(route: &str) {
    Context::map_current(|context| {
        if let Some(http) = context.get::<HttpInvocation>() {
            let mut noted = http.route.lock().unwrap_or_else(PoisonError::into_inner);
            *noted = Some(route.to_owned());
        }
    });
}

/// Part of the context of an HTTP invocation, and thereby of all spans below.
pub(super) struct HttpInvocation {
    /// The method in the span's name; `None` if the route must not change the name.
    pub(super) method: Option<String>,
    route: Mutex<Option<String>>,
}

impl HttpInvocation {
    pub(super) fn new(method: Option<String>) -> Self {
        Self { method, route: Mutex::new(None) }
    }
}

/// Names the span of an HTTP invocation after the route that was set, if any.
pub(super) fn apply(context: &Context, span: &SpanRef<'_>) {
    let Some(http) = context.get::<HttpInvocation>() else { return };
    let route = http.route.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(route) = route else { return };
    if let Some(method) = &http.method {
        span.update_name(format!("{method} {route}"));
    }
    span.set_attribute(KeyValue::new("http.route", route));
}
