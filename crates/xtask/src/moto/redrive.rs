//! A backend that is down: from PutLogEvents into the retry queue, and out of it when the backend is back.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::Workshop;
use super::aws::{ACCOUNT, Moto, REGION};
use super::queues::receive;
use super::subscription::{create_function, log_batch, put, subscribe};
use crate::checks::Tally;
use crate::rotel::{Received, Rotel};
use anyhow::{bail, ensure};
use serde_json::{Value, json};
use simulator::{FunctionSpec, InvocationResult, Lambda};
use std::time::Duration;

const FORWARDER: &str = "forwarder";
const REDRIVE: &str = "redrive";

const CASES: [(&str, Received); 2] = [
    ("text-mixed", Received { spans: 30, log_records: 8, data_points: 15 }),
    ("otlp-only", Received { spans: 530, log_records: 0, data_points: 0 }),
];

pub(super) async fn check(workshop: &Workshop, tally: &mut Tally) {
    for (name, expected) in CASES {
        tally.note(
            &format!("backend down, then redriven, {name}"),
            parked_and_redriven(workshop, name, expected).await,
        );
    }
}

async fn parked_and_redriven(
    workshop: &Workshop,
    name: &str,
    expected: Received,
) -> anyhow::Result<String> {
    let port = simulator::free_port();
    let lambda = Lambda::start().await?;
    let moto = Moto::start(workshop, Some(&lambda))?;
    let retry_queue = moto.create_queue("retry").await?;
    let dead_letter_queue = moto.create_queue("dead-letters").await?;
    for function in [FORWARDER, REDRIVE] {
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
    create_function(&moto, FORWARDER).await?;
    let event = log_batch(workshop, name)?;
    subscribe(&moto, &event).await?;
    put(&moto, &event).await?;
    lambda.wait_for_async_invocations().await;
    for invocation in lambda.invocations(FORWARDER) {
        ensure!(invocation.is_success(), "the forwarder failed: {:?}", invocation.result);
    }

    let messages = receive(&moto, &retry_queue).await?;
    ensure!(!messages.is_empty(), "nothing is in the retry queue");
    let rotel = Rotel::start_at(&workshop.environment, port)?;
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
    ensure!(dead.is_empty(), "{} dead letters", dead.len());
    Ok(format!("{received}, each once, by {} messages", messages.len()))
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
