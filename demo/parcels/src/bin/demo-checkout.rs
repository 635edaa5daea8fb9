//! The demo's function "checkout": an axum router that sends each parcel of an order to a queue with AWS's SDK.
//!
//! The body of `POST /checkouts/{id}` is `{"parcels": 3, "first_number": 30000}`; the last parcel is fragile.
//! `PARCELS_QUEUE_URL` names the queue.

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use demo::ledger::{Ledger, number_invocation, telemetry};
use demo::{numbered_log, numbered_span};
use exporter::{AwsSdkInterceptor, MatchedPathLayer, OtelTracingLayer, init_telemetry};
use lambda_http::Adapter;
use lambda_otlp_demo_parcels::Parcel;
use lambda_runtime::Error;
use lambda_runtime::tower::ServiceBuilder;
use serde::Deserialize;
use tracing::Instrument as _;

#[derive(Deserialize)]
struct Checkout {
    parcels: u32,
    first_number: i64,
}

#[derive(Clone)]
struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
    ledger: Ledger,
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::disallowed_methods, reason = "the demo's own variable")]
async fn main() -> Result<(), Error> {
    let ledger = Ledger::open()?;
    let (_tracer, completion_handler) = init_telemetry(telemetry(&ledger)).await?;
    let url = std::env::var("PARCELS_QUEUE_URL")?;
    let app = Router::new()
        .route("/checkouts/{id}", post(check_out))
        .layer(MatchedPathLayer::new())
        .with_state(Queue { client: client(&url), url, ledger });
    let traced = OtelTracingLayer::new(completion_handler).with_name("checkout");
    lambda_runtime::run(ServiceBuilder::new().layer(traced).service(Adapter::from(app))).await
}

/// A client for the demo's local queue, which needs no TLS and checks no credentials.
fn client(url: &str) -> aws_sdk_sqs::Client {
    let endpoint = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("demo", "demo", None, None, "demo"))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .interceptor(AwsSdkInterceptor::new())
        .build();
    aws_sdk_sqs::Client::from_conf(config)
}

async fn check_out(
    State(queue): State<Queue>,
    Path(id): Path<String>,
    body: String,
) -> Result<(StatusCode, String), (StatusCode, String)> {
    let broken = |error: serde_json::Error| (StatusCode::BAD_REQUEST, error.to_string());
    let Checkout { parcels, first_number } = serde_json::from_str(&body).map_err(broken)?;
    queue.ledger.continue_at(first_number);
    number_invocation(&queue.ledger);
    numbered_log!(info, queue.ledger, order = id, "order is packed");
    for position in 1..=parcels {
        let span = numbered_span!(queue.ledger, "pack parcel", parcel = position);
        let parcel = Parcel {
            position: position.into(),
            is_fragile: position == parcels,
            first_number: first_number + 100 * i64::from(position),
        };
        let sent = send(&queue, &parcel).instrument(span).await;
        sent.map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))?;
    }
    Ok((StatusCode::ACCEPTED, format!("{parcels} parcels of {id}")))
}

async fn send(queue: &Queue, parcel: &Parcel) -> Result<(), Error> {
    let message = serde_json::to_string(parcel)?;
    queue.client.send_message().queue_url(&queue.url).message_body(message).send().await?;
    numbered_log!(info, queue.ledger, parcel = parcel.position, "parcel waits for the carrier");
    Ok(())
}
