//! The layer in direct mode.

use super::backend::Backend;
use super::curve::{RateUnit, Sampling};
use super::{report, telemetry};
use crate::checks;
use crate::openobserve::Server;
use anyhow::{Context as _, ensure};
use http::{HeaderMap, Method};
use local_lambda::{FunctionSpec, Lambda, binaries};
use serde_json::json;
use std::collections::HashMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};

/// Requests a second into the layer's receiver, and their spans: 10,000 spans a second.
const REQUESTS_A_SECOND: u32 = 100;
const SPANS_OF_REQUEST: u32 = 100;
/// Lines that the function prints.
const LINES_A_SECOND: u32 = 5_000;
/// The number of the first line; spans have the numbers below.
const FIRST_LINE: u32 = 50_000_000;

/// The layer in direct mode with a function that prints lines, while a client sends spans to the layer's receiver.
pub(super) async fn sustained(
    programs: &HashMap<String, PathBuf>,
    duration: Duration,
) -> anyhow::Result<()> {
    let backend = Backend::start().await?;
    let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
    let layer = checks::layer(scratch.path(), programs)?;
    let lambda = Arc::new(Lambda::start().await?);
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let function = FunctionSpec::new("orders", binaries::find(programs, "simulated-function")?)
        .timeout(duration + Duration::from_secs(10))
        .layer(layer)
        .env("OTEL_LAMBDA_RECEIVER_PORT", port.to_string())
        .env("LAMBDA_OTLP_ENDPOINT", backend.endpoint())
        .env("LAMBDA_OTLP_OUTPUT", "otlp");
    lambda.create_function(function)?;
    lambda.invoke("orders", "{}").await?;
    let sent = Arc::new(AtomicU64::new(0));
    let sampling = Sampling::begin(Arc::clone(&sent), {
        let lambda = Arc::clone(&lambda);
        move || {
            let environments = lambda.environments("orders");
            let extensions = environments.iter().flat_map(|environment| &environment.extensions);
            extensions.map(|extension| extension.pid).collect()
        }
    });
    // The environment is not frozen while the handler prints.
    let seconds = u32::try_from(duration.as_secs())?;
    let lines = LINES_A_SECOND * seconds;
    let print = json!({"first": FIRST_LINE, "count": lines, "seconds": seconds});
    let printing = lambda.invoke("orders", json!({ "numbers": print }).to_string());
    let sending = async {
        let numbers = send_spans(port, duration, &sent).await?;
        anyhow::Ok((numbers, sampling.end("layer, with 5,000 lines/s", RateUnit::SPANS)?))
    };
    let (printed, sent) = tokio::join!(printing, sending);
    ensure!(printed?.is_success(), "the function that prints failed");
    let (numbers, curve) = sent?;
    lambda.recycle("orders").await?;
    let mut differences = backend.differences(0..numbers, 1);
    differences += backend.differences(FIRST_LINE..FIRST_LINE + lines, 1);
    report(&curve, (numbers + lines) as usize, &differences)
}

/// Sends requests at a constant rate; returns the number of spans.
async fn send_spans(port: u16, duration: Duration, sent: &AtomicU64) -> anyhow::Result<u32> {
    let receiver = Server::new(&format!("http://127.0.0.1:{port}"), "", "")?;
    let mut ticks = interval(Duration::from_secs(1) / REQUESTS_A_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begun = Instant::now();
    let mut numbers = 0;
    while begun.elapsed() < duration {
        ticks.tick().await;
        let request = telemetry::spans(numbers..numbers + SPANS_OF_REQUEST);
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, "application/x-protobuf".parse()?);
        let body = request.into_bytes().into();
        let answer = receiver.send(Method::POST, "/v1/traces", headers, body).await?;
        ensure!(answer.status().is_success(), "the receiver answered {}", answer.status());
        numbers += SPANS_OF_REQUEST;
        sent.fetch_add(u64::from(SPANS_OF_REQUEST), Ordering::Relaxed);
    }
    Ok(numbers)
}
