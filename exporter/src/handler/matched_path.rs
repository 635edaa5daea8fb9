//! axum's matched path as the invocation's route.

use super::http_route::set_http_route;
use axum::extract::MatchedPath;
use lambda_runtime::Service;
use lambda_runtime::tower::Layer;
use std::task::{self, Poll};

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
    type Service = MatchedPathService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MatchedPathService { inner }
    }
}

/// An axum service that sets its route, created by [`MatchedPathLayer`].
#[derive(Debug, Clone)]
pub struct MatchedPathService<S> {
    inner: S,
}

impl<S, B> Service<axum::http::Request<B>> for MatchedPathService<S>
where
    S: Service<axum::http::Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, task: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: axum::http::Request<B>) -> S::Future {
        if let Some(path) = request.extensions().get::<MatchedPath>() {
            set_http_route(path.as_str());
        }
        self.inner.call(request)
    }
}
