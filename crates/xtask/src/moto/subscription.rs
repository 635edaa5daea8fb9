//! From PutLogEvents by a subscription filter through the real forwarder to rotel; with a backend that is down at first, by the
//! retry queue.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::Workshop;
use super::aws::{ACCOUNT, Moto, REGION};
use super::queues::receive;
use super::rotel::{Received, Rotel};
use crate::checks::Tally;
use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use simulator::{FunctionSpec, InvocationResult, Lambda};
use std::time::Duration;

pub(super) const FUNCTION: &str = "forwarder";
const REDRIVE: &str = "redrive";
const MAX_INFLATED_BYTES: usize = 16 << 20;

/// Events, their items, and whether the backend is down at first.
const CASES: [(&str, Received, bool); 6] = [
    ("text-mixed", Received { spans: 30, log_records: 8, data_points: 15 }, false),
    ("otlp-only", Received { spans: 530, log_records: 0, data_points: 0 }, false),
    ("large", Received { spans: 530, log_records: 997, data_points: 0 }, false),
    ("one-garbage", Received { spans: 0, log_records: 1, data_points: 0 }, false),
    ("text-mixed", Received { spans: 30, log_records: 8, data_points: 15 }, true),
    ("otlp-only", Received { spans: 530, log_records: 0, data_points: 0 }, true),
];

pub(super) async fn check(workshop: &Workshop, tally: &mut Tally) {
    for (name, expected, is_down) in CASES {
        let way = if is_down { "backend down, then redriven" } else { "PutLogEvents to rotel" };
        let delivered = delivered(workshop, name, expected, is_down).await;
        tally.note(&format!("{way}, {name}"), delivered);
    }
}

async fn delivered(
    workshop: &Workshop,
    name: &str,
    expected: Received,
    is_down: bool,
) -> anyhow::Result<String> {
    let port = simulator::free_port();
    let start = || Rotel::start(&workshop.environment, port);
    let rotel = if is_down { None } else { Some(start()?) };
    let lambda = Lambda::start().await?;
    let moto = Moto::start(workshop, Some(&lambda))?;
    let retry_queue = moto.create_queue("retry").await?;
    let dead_letter_queue = moto.create_queue("dead-letters").await?;
    for function in [FUNCTION, REDRIVE] {
        lambda.create_function(
            FunctionSpec::new(function, &workshop.forwarder)
                .timeout(Duration::from_mins(1))
                .region(REGION)
                .env("LAMBDA_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}"))
                .env("LAMBDA_OTLP_BACKEND", "otlp")
                .env("LAMBDA_OTLP_RETRY_QUEUE_URL", &retry_queue)
                .env("LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL", &dead_letter_queue)
                .env("AWS_ENDPOINT_URL", &moto.endpoint),
        )?;
    }
    create_function(&moto, FUNCTION).await?;
    let event = log_batch(workshop, name)?;
    subscribe(&moto, &event).await?;
    put(&moto, &event).await?;
    lambda.wait_for_async_invocations().await;
    for invocation in lambda.invocations(FUNCTION) {
        ensure!(invocation.is_success(), "the forwarder failed: {:?}", invocation.result);
    }

    let messages = receive(&moto, &retry_queue).await?;
    ensure!(messages.is_empty() != is_down, "{} messages in the retry queue", messages.len());
    let rotel = rotel.map_or_else(start, Ok)?;
    for message in &messages {
        let invocation = lambda.invoke(REDRIVE, sqs_event(message).to_string()).await?;
        let InvocationResult::Response(answer) = invocation.result else {
            bail!("the redrive function failed: {:?}", invocation.result);
        };
        let answer: Value = serde_json::from_slice(&answer)?;
        let failures = answer["batchItemFailures"].as_array().map_or(0, Vec::len);
        ensure!(failures == 0, "not redriven: {answer}");
    }
    lambda.shut_down().await;
    let received = rotel.stop()?;
    ensure!(received == expected, "{received}, not {expected}");
    let dead = receive(&moto, &dead_letter_queue).await?;
    ensure!(dead.len() == usize::from(name == "one-garbage"), "{} dead letters", dead.len());
    Ok(format!("{received}, each once, {} by the queue", messages.len()))
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
    let now_ms = crate::checks::unix_nanos() / 1_000_000;
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

/// The event with which Lambda passes a message on (Lambda Developer Guide, "Using Lambda with Amazon SQS").
fn sqs_event(message: &Value) -> Value {
    json!({ "Records": [{
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1790000000000",
            "SenderId": "AROASIMULATED:forwarder",
            "ApproximateFirstReceiveTimestamp": "1790000000001",
        },
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:retry"),
        "awsRegion": REGION,
    }] })
}
