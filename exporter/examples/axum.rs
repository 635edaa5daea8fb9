//! A function on axum, behind API Gateway, a load balancer or a function URL. `OtelTracingLayer` creates the span, and
//! `MatchedPathLayer` names it after the route that axum matched.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::{Router, routing};
use lambda_http::Adapter;
use lambda_otlp_exporter::handler::MatchedPathLayer;
use lambda_otlp_exporter::{OtelTracingLayer, TelemetryConfig, init};
use lambda_runtime::Error;
use lambda_runtime::tower::ServiceBuilder;

async fn order(Path(id): Path<u64>) -> Result<String, StatusCode> {
    tracing::info!(id, "order found");
    if id > 0 { Ok(format!("order {id}")) } else { Err(StatusCode::NOT_FOUND) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let app =
        Router::new().route("/orders/{id}", routing::get(order)).layer(MatchedPathLayer::new());
    let completion_handler = init(TelemetryConfig::default());
    let traced = OtelTracingLayer::new(completion_handler).with_default_name("shop");
    lambda_runtime::run(ServiceBuilder::new().layer(traced).service(Adapter::from(app))).await
}
