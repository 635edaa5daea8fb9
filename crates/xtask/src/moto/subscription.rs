//! PutLogEvents, a subscription filter, the real forwarder, rotel.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::Workshop;
use super::aws::{ACCOUNT, Moto, REGION};
use crate::checks::Tally;
use crate::rotel::{Received, Rotel};
use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use simulator::{FunctionSpec, Lambda};
use std::time::Duration;

pub(super) const FUNCTION: &str = "forwarder";
const MAX_INFLATED_BYTES: usize = 16 << 20;

const CASES: [(&str, Received); 3] = [
    ("text-mixed", Received { spans: 30, log_records: 8, data_points: 15 }),
    ("otlp-only", Received { spans: 530, log_records: 0, data_points: 0 }),
    ("one-garbage", Received { spans: 0, log_records: 1, data_points: 0 }),
];

pub(super) async fn check(workshop: &Workshop, tally: &mut Tally) {
    for (name, expected) in CASES {
        let received = put_log_events(workshop, name, expected).await;
        tally.note(&format!("PutLogEvents to rotel, {name}"), received);
    }
}

async fn put_log_events(
    workshop: &Workshop,
    name: &str,
    expected: Received,
) -> anyhow::Result<String> {
    let rotel = Rotel::start(&workshop.environment)?;
    let lambda = Lambda::start().await?;
    let forwarder = FunctionSpec::new(FUNCTION, &workshop.forwarder)
        .timeout(Duration::from_mins(1))
        .env("LAMBDA_OTLP_ENDPOINT", rotel.endpoint())
        .env("LAMBDA_OTLP_BACKEND", "otlp");
    lambda.create_function(forwarder)?;
    let moto = Moto::start(workshop, Some(&lambda))?;
    create_function(&moto, FUNCTION).await?;

    let event = log_batch(workshop, name)?;
    subscribe(&moto, &event).await?;
    put(&moto, &event).await?;
    lambda.wait_for_async_invocations().await;

    let invocations = lambda.invocations(FUNCTION);
    for invocation in &invocations {
        ensure!(invocation.is_success(), "the forwarder failed: {:?}", invocation.result);
    }
    lambda.shut_down().await;
    let received = rotel.stop()?;
    ensure!(
        received == expected,
        "{received:?} of {} invocations, not {expected:?}",
        invocations.len()
    );
    Ok(format!("{received}, {} log events", event["logEvents"].as_array().map_or(0, Vec::len)))
}

/// The function as moto knows it; its code is the local Lambda's.
pub(super) async fn create_function(moto: &Moto, name: &str) -> anyhow::Result<()> {
    // An empty zip archive: the end of its central directory.
    let mut archive = b"PK\x05\x06".to_vec();
    archive.resize(22, 0);
    let function = json!({
        "FunctionName": name,
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "Role": format!("arn:aws:iam::{ACCOUNT}:role/forwarder"),
        "Code": { "ZipFile": STANDARD.encode(archive) },
    });
    moto.lambda(Method::POST, "/2015-03-31/functions", &function).await.map(drop)
}

pub(super) fn log_batch(workshop: &Workshop, name: &str) -> anyhow::Result<Value> {
    let file = workshop.root.join(format!("tests/fixtures/events/awslogs-{name}.json"));
    let event: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let encoded = event["awslogs"]["data"].as_str().context("no data")?;
    let inflated = wire::gzip::inflate(&STANDARD.decode(encoded)?, MAX_INFLATED_BYTES)?;
    Ok(serde_json::from_slice(&inflated)?)
}

pub(super) async fn subscribe(moto: &Moto, event: &Value) -> anyhow::Result<()> {
    let (group, stream) = (&event["logGroup"], &event["logStream"]);
    moto.call("logs", "Logs_20140328.CreateLogGroup", &json!({ "logGroupName": group })).await?;
    let names = json!({ "logGroupName": group, "logStreamName": stream });
    moto.call("logs", "Logs_20140328.CreateLogStream", &names).await?;
    let filter = json!({
        "logGroupName": group, "filterName": "lambda-otlp", "filterPattern": "",
        "destinationArn": format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}"),
    });
    moto.call("logs", "Logs_20140328.PutSubscriptionFilter", &filter).await.map(drop)
}

/// Puts the log events as of now: CloudWatch Logs refuses old ones.
pub(super) async fn put(moto: &Moto, event: &Value) -> anyhow::Result<()> {
    let now_ms = crate::clock::unix_nanos() / 1_000_000;
    let events: Vec<Value> = event["logEvents"]
        .as_array()
        .context("no log events")?
        .iter()
        .map(|event| json!({ "timestamp": now_ms, "message": event["message"] }))
        .collect();
    let put = json!({
        "logGroupName": event["logGroup"], "logStreamName": event["logStream"], "logEvents": events,
    });
    let answer = moto.call("logs", "Logs_20140328.PutLogEvents", &put).await?;
    ensure!(
        answer["rejectedLogEventsInfo"].is_null(),
        "refused: {}",
        answer["rejectedLogEventsInfo"]
    );
    Ok(())
}
