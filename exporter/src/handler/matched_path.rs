//! axum's matched path as the invocation's route.

use super::http_route::set_http_route;
use axum::extract::{MatchedPath, Request};
use lambda_runtime::tower::Layer;
use lambda_runtime::tower::util::MapRequest;

/// Names invocations' spans after the route that axum matched, `GET /orders/{id}`. A layer for axum's `Router::layer`, below
/// [`OtelTracingLayer`](crate::OtelTracingLayer), which wraps the whole function. A request without a matching route keeps the
/// event's name.
#[derive(Debug, Clone, Copy, Default)]
pub struct MatchedPathLayer;

impl MatchedPathLayer {
    /// The layer.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for MatchedPathLayer {
    type Service = MapRequest<S, fn(Request) -> Request>;

    fn layer(&self, inner: S) -> Self::Service {
        MapRequest::new(inner, |request| {
            if let Some(path) = request.extensions().get::<MatchedPath>() {
                set_http_route(path.as_str());
            }
            request
        })
    }
}
