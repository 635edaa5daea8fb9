//! The route by which a router inside the function has found the handler: a better name of the invocation's span than any that
//! the event has.

use opentelemetry::trace::SpanRef;
use opentelemetry::{Context, KeyValue};
use std::sync::{Mutex, PoisonError};

/// Says by which route this invocation's HTTP request is handled, such as `/orders/{id}`: the invocation's span is called
/// `GET /orders/{id}` then, unless [`with_span_name`](crate::OtelTracingLayer::with_span_name) says another name, and has it as
/// `http.route`. It is for routers inside the function, whose routes the event does not know; with the feature `axum`,
/// `MatchedPathLayer` calls it. Outside an invocation by HTTP nothing happens.
///
/// The route must be of low cardinality, so never the path itself.
///
/// ```
/// use lambda_otlp_exporter::set_http_route;
///
/// fn route(path: &str) -> &'static str {
///     let route = if path.starts_with("/orders/") { "/orders/{id}" } else { "/" };
///     set_http_route(route);
///     route
/// }
/// # assert_eq!(route("/orders/7"), "/orders/{id}");
/// ```
pub fn set_http_route(route: &str) {
    Context::map_current(|context| {
        if let Some(http) = context.get::<HttpInvocation>() {
            let mut own = http.route.lock().unwrap_or_else(PoisonError::into_inner);
            *own = Some(route.to_owned());
        }
    });
}

/// Stands in the context of an invocation by HTTP, and so in those of all spans below its own.
pub(super) struct HttpInvocation {
    /// As it stands in the span's name; `None` where the route must not change the name.
    pub(super) method: Option<String>,
    route: Mutex<Option<String>>,
}

impl HttpInvocation {
    pub(super) fn new(method: Option<String>) -> Self {
        Self { method, route: Mutex::new(None) }
    }
}

/// Says the route on the span of the invocation that this context is of.
pub(super) fn describe(context: &Context, span: &SpanRef<'_>) {
    let Some(http) = context.get::<HttpInvocation>() else { return };
    let route = http.route.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(route) = route else { return };
    if let Some(method) = &http.method {
        span.update_name(format!("{method} {route}"));
    }
    span.set_attribute(KeyValue::new("http.route", route));
}
