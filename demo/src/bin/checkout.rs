//! The demo's function "checkout": an axum router that sends each parcel of an order to a queue, over plain HTTP.
//!
//! The body of `POST /checkouts/{id}` is `{"parcels": 3, "first_number": 30000}`; the last parcel is fragile.
//! `PARCELS_QUEUE_URL` names the queue.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::routing::post;
use exporter::handler::MatchedPathLayer;
use exporter::propagation::inject_message_attributes;
use exporter::{OtelTracingLayer, init};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lambda_http::Adapter;
use lambda_otlp_demo::ledger::{Ledger, number_invocation, telemetry};
use lambda_otlp_demo::{Parcel, numbered_log, numbered_span};
use lambda_runtime::Error;
use lambda_runtime::tower::ServiceBuilder;
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use tracing::Instrument as _;

#[derive(Deserialize)]
struct Checkout {
    parcels: u32,
    first_number: i64,
}

#[derive(Clone)]
struct Queue {
    client: Client<HttpConnector, String>,
    url: String,
    ledger: Ledger,
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::disallowed_methods, reason = "the demo's own variable")]
async fn main() -> Result<(), Error> {
    let ledger = Ledger::open()?;
    let completion_handler = init(telemetry(&ledger));
    let url = std::env::var("PARCELS_QUEUE_URL")?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let app = Router::new()
        .route("/checkouts/{id}", post(check_out))
        .layer(MatchedPathLayer::new())
        .with_state(Queue { client, url, ledger });
    let traced = OtelTracingLayer::new(completion_handler).with_default_name("checkout");
    lambda_runtime::run(ServiceBuilder::new().layer(traced).service(Adapter::from(app))).await
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
        let span = numbered_span!(
            queue.ledger,
            "send parcel",
            otel.kind = "producer",
            messaging.system = "aws_sqs",
            messaging.destination.name = "parcels",
            parcel = position
        );
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

/// Sends a message with the current span's context (Amazon SQS API Reference, `SendMessage`).
///
/// A function with AWS's SDK needs none of this: the library's `AwsSdkInterceptor` creates the span and adds its context.
async fn send(queue: &Queue, parcel: &Parcel) -> Result<(), Error> {
    let mut attributes = HashMap::new();
    inject_message_attributes(&mut attributes, |text| {
        Ok::<_, Error>(json!({ "DataType": "String", "StringValue": text }))
    });
    let message = json!({
        "QueueUrl": queue.url,
        "MessageBody": serde_json::to_string(parcel)?,
        "MessageAttributes": attributes,
    });
    let request = Request::post(&queue.url)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", "AmazonSQS.SendMessage")
        .body(message.to_string())?;
    let response = queue.client.request(request).await?;
    if !response.status().is_success() {
        return Err(format!("the queue answered {}", response.status()).into());
    }
    numbered_log!(info, queue.ledger, parcel = parcel.position, "parcel waits for the carrier");
    Ok(())
}
