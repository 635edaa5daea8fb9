//! `lambda-otlp doctor` on moto: for a running function, and for a stopped pipeline.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::Workshop;
use super::aws::{ACCOUNT, REGION};
use super::cli::{Stand, function_resource};
use super::front::Front;
use super::subscription::{FUNCTION, create_function, log_batch, put, subscribe};
use crate::checks::Tally;
use anyhow::{Context as _, ensure};
use http::Method;
use serde_json::{Value, json};
use simulator::sink::Sink;

pub(super) async fn check(workshop: &Workshop, tally: &mut Tally) {
    tally.note("doctor of a deployed function", deployed(workshop).await);
    tally.note("doctor of a stopped pipeline", stopped(workshop).await);
    tally.note("doctor of a stack with a subscriber", of_stack(workshop).await);
}

/// The forwarder, and the log group of an event that leads to it.
async fn subscribed(workshop: &Workshop) -> anyhow::Result<(Stand<'_>, Value)> {
    let stand = Stand::start(workshop)?;
    create_function(&stand.moto, FUNCTION).await?;
    let event = log_batch(workshop, "text-mixed")?;
    subscribe(&stand.moto, &event).await?;
    // The function runs nowhere.
    put(&stand.moto, &event).await.ok();
    Ok((stand, event))
}

async fn configure(stand: &Stand<'_>, variables: &Value) -> anyhow::Result<()> {
    let path = format!("/2015-03-31/functions/{FUNCTION}/configuration");
    let variables = json!({ "Environment": { "Variables": variables }, "Timeout": 60 });
    stand.moto.lambda(Method::PUT, &path, &variables).await.map(drop)
}

const REDRIVE: &str = "redrive";
const SUBSCRIBER: &str = "subscriber";
const SOURCES: &str = "/2015-03-31/event-source-mappings/";

/// Has the redrive function read this queue; returns the id of the mapping.
async fn read_by_redrive(stand: &Stand<'_>, queue: &str, enabled: bool) -> anyhow::Result<String> {
    create_function(&stand.moto, REDRIVE).await?;
    let source = json!({
        "EventSourceArn": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"),
        "FunctionName": REDRIVE, "BatchSize": 1, "Enabled": enabled,
    });
    let source = stand.moto.lambda(Method::POST, SOURCES, &source).await?;
    Ok(source["UUID"].as_str().context("no UUID")?.to_owned())
}

async fn deployed(workshop: &Workshop) -> anyhow::Result<String> {
    let sink = Sink::start().await?;
    let (stand, event) = subscribed(workshop).await?;
    let group = event["logGroup"].as_str().context("no group")?;
    let doctor = ["doctor", "--canary", "--function", FUNCTION, "--log-group", group];
    let front = Front::start(&stand.moto, "").await?;
    let run = async || stand.run_with(&doctor, sink.base(), &front.endpoint).await;
    let (code, before) = run().await?;
    ensure!(code == 1 && verdict(&before, "permission") == "failed", "{before}");
    let permission = json!({
        "StatementId": "logs", "Action": "lambda:InvokeFunction",
        "Principal": "logs.amazonaws.com", "SourceAccount": ACCOUNT,
    });
    let path = format!("/2015-03-31/functions/{FUNCTION}/policy");
    stand.moto.lambda(Method::POST, &path, &permission).await?;
    let (_, after) = run().await?;
    for name in ["permission", "subscription", "canary", "organization"] {
        ensure!(verdict(&after, name) == "ok", "{name}: {after}");
    }
    // As deployed, and without a backend in this shell: settings and backend are the function's.
    let queue = stand.moto.create_queue("waiting").await?;
    let variables =
        json!({ "LAMBDA_OTLP_ENDPOINT": sink.base(), "LAMBDA_OTLP_RETRY_QUEUE_URL": queue });
    configure(&stand, &variables).await?;
    read_by_redrive(&stand, "waiting", true).await?;
    let (code, deployed) = stand.run_with(&doctor, "", &front.endpoint).await?;
    for name in ["settings", "canary", "queue", "subscription"] {
        ensure!(verdict(&deployed, name) == "ok", "{name}: {deployed}");
    }
    ensure!(code == 0, "{deployed}");
    // A policy of the account that leads to the forwarder too, and then alone.
    let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}");
    let document = json!({ "DestinationArn": arn, "FilterPattern": "" }).to_string();
    front.set_account_policies(vec![json!({
        "policyName": "all", "policyType": "SUBSCRIPTION_FILTER_POLICY", "policyDocument": document,
        "selectionCriteria": r#"LogGroupName NOT IN ["/lambda-otlp/x/forwarder"]"#,
    })]);
    let (_, twice) = run().await?;
    ensure!(verdict(&twice, "subscription") == "failed", "{twice}");
    let filters = json!({ "logGroupName": group });
    let target = "Logs_20140328.DescribeSubscriptionFilters";
    let filters = stand.moto.call("logs", target, &filters).await?;
    for filter in filters["subscriptionFilters"].as_array().into_iter().flatten() {
        let delete = json!({ "logGroupName": group, "filterName": filter["filterName"] });
        stand.moto.call("logs", "Logs_20140328.DeleteSubscriptionFilter", &delete).await?;
    }
    let (_, by_policy) = run().await?;
    ensure!(verdict(&by_policy, "subscription") == "ok", "{by_policy}");
    Ok("permission, subscription by a filter and by the account's policy, canary".to_owned())
}

const BUCKET: &str = "on-failure-of-stopped";

async fn stopped(workshop: &Workshop) -> anyhow::Result<String> {
    let sink = Sink::start().await?;
    let (stand, event) = subscribed(workshop).await?;
    let moto = &stand.moto;
    let group = event["logGroup"].as_str().context("no group")?;
    let (retry, dead) =
        (stand.moto.create_queue("retry").await?, stand.moto.create_queue("dead").await?);
    configure(
        &stand,
        &json!({
            "LAMBDA_OTLP_ENDPOINT": sink.base(),
            "LAMBDA_OTLP_RETRY_QUEUE_URL": retry,
            "LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL": dead,
        }),
    )
    .await?;
    let uuid = read_by_redrive(&stand, "retry", false).await?;
    let bucket = json!({ "DestinationConfig": { "OnFailure": { "Destination": format!("arn:aws:s3:::{BUCKET}") } } });
    let path = format!("/2019-09-25/functions/{FUNCTION}/event-invoke-config");
    moto.lambda(Method::PUT, &path, &bucket).await?;
    stand.create_bucket(BUCKET).await?;
    let front = Front::start(moto, "").await?;
    let doctor = ["doctor", "--function", FUNCTION, "--log-group", group];
    let run = async || stand.run_with(&doctor, "", &front.endpoint).await;

    let concurrency = format!("/2017-10-31/functions/{FUNCTION}/concurrency");
    let none = json!({ "ReservedConcurrentExecutions": 0 });
    moto.lambda(Method::PUT, &concurrency, &none).await?;
    for message in [&dead, &retry] {
        moto.sqs("SendMessage", &json!({ "QueueUrl": message, "MessageBody": "{}" })).await?;
    }
    moto.put_s3(&format!("/{BUCKET}/one"), "{}").await?;
    set_alarm(&stand, FUNCTION, "ALARM").await?;
    let set_filter = async |pattern: &str| {
        let filter = json!({
            "logGroupName": group, "filterName": "lambda-otlp", "filterPattern": pattern,
            "destinationArn": format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}"),
        });
        moto.call("logs", "Logs_20140328.PutSubscriptionFilter", &filter).await
    };
    set_filter("\"no such words\"").await?;
    let log = format!("/aws/lambda/{FUNCTION}");
    let error = r#"{"level":"ERROR","message":"not delivered, returned to Lambda"}"#;
    let info = r#"{"level":"INFO","message":"it was no ERROR"}"#;
    stand.write_lines(&log, &[error, info]).await?;

    let (code, found) = run().await?;
    ensure!(code == 1, "{found}");
    let redrive_dead = format!("`lambda-otlp redrive --from {dead} --to {retry}`");
    let redrive_bucket = format!("`lambda-otlp redrive --bucket {BUCKET} --to {retry}`");
    let enable = format!("--enabled --uuid {uuid}`");
    expect(&found, "concurrency", "failed", &[FUNCTION, "delete-function-concurrency"])?;
    expect(&found, "event source", "failed", &["redrive does not read retry", &enable])?;
    expect(&found, "queue", "warning", &["dead: 1 messages", &redrive_dead])?;
    expect(&found, "queue", "warning", &["retry: 1 messages"])?;
    expect(&found, "bucket", "warning", &["1 objects", &redrive_bucket])?;
    expect(&found, "alarms", "failed", &["errors is in state ALARM: The forwarder fails."])?;
    expect(&found, "filter", "failed", &[group, "no such words", "Collect=all"])?;
    expect(
        &found,
        "log",
        "failed",
        &[&log, "1 errors in the last 1h", "not delivered, returned to Lambda"],
    )?;

    moto.lambda(Method::DELETE, &concurrency, &Value::Null).await?;
    for queue in [&dead, &retry] {
        moto.sqs("PurgeQueue", &json!({ "QueueUrl": queue })).await?;
    }
    moto.lambda(Method::PUT, &format!("{SOURCES}{uuid}"), &json!({ "Enabled": true })).await?;
    set_alarm(&stand, FUNCTION, "OK").await?;
    set_filter("").await?;
    let (_, healed) = run().await?;
    for name in ["concurrency", "event source", "queue", "alarms"] {
        ensure!(verdict(&healed, name) == "ok", "{name}: {healed:#}");
    }
    ensure!(
        verdict(&healed, "filter") == "not there",
        "a filter without a pattern passes all: {healed:#}"
    );
    Ok("eight findings, each with its remedy, and none once they are mended".to_owned())
}

/// The subscriber of a stack counts as well as its forwarder.
async fn of_stack(workshop: &Workshop) -> anyhow::Result<String> {
    let sink = Sink::start().await?;
    let stand = Stand::start(workshop)?;
    let resources = json!({
        "ForwarderFunction": function_resource(FUNCTION),
        "SubscriberFunction": function_resource(SUBSCRIBER),
    });
    stand.create_stack("o2", &resources).await?;
    configure(&stand, &json!({ "LAMBDA_OTLP_ENDPOINT": sink.base() })).await?;
    set_alarm(&stand, SUBSCRIBER, "ALARM").await?;
    let log = format!("/aws/lambda/{SUBSCRIBER}");
    let error = r#"{"level":"ERROR","message":"some log groups could not be subscribed"}"#;
    stand.write_lines(&log, &[error]).await?;
    let (code, found) = stand.run(&["doctor", "--stack", "o2"], "").await?;
    ensure!(code == 1, "{found}");
    expect(&found, "alarms", "failed", &["errors is in state ALARM"])?;
    expect(&found, "log", "failed", &[&log, "some log groups could not be subscribed"])?;
    Ok("an alarm and a log of the subscriber".to_owned())
}

async fn set_alarm(stand: &Stand<'_>, function: &str, state: &str) -> anyhow::Result<()> {
    let alarm = json!({
        "AlarmName": "errors", "AlarmDescription": "The forwarder fails.", "Namespace": "AWS/Lambda",
        "MetricName": "Errors", "Dimensions": [{ "Name": "FunctionName", "Value": function }],
        "Statistic": "Sum", "Period": 300, "EvaluationPeriods": 1, "Threshold": 0,
        "ComparisonOperator": "GreaterThanThreshold",
    });
    let state = json!({ "AlarmName": "errors", "StateValue": state, "StateReason": "a test" });
    for (operation, body) in [("PutMetricAlarm", alarm), ("SetAlarmState", state)] {
        let target = format!("GraniteServiceVersion20100801.{operation}");
        stand.moto.call("monitoring", &target, &body).await?;
    }
    Ok(())
}

/// Fails unless one check has this name and verdict, and a text with all of these parts.
fn expect(checks: &Value, name: &str, verdict: &str, parts: &[&str]) -> anyhow::Result<()> {
    let is_meant = |check: &&Value| {
        let text = check["text"].as_str().unwrap_or_default();
        let has_all = parts.iter().all(|part| text.contains(part));
        check["name"] == name && check["verdict"] == verdict && has_all
    };
    let found = checks.as_array().into_iter().flatten().filter(is_meant).count();
    ensure!(found == 1, "{name} is not {verdict} with {parts:?}: {checks:#}");
    Ok(())
}

fn verdict<'a>(checks: &'a Value, name: &str) -> &'a str {
    let all: Vec<&str> = checks
        .as_array()
        .into_iter()
        .flatten()
        .filter(|check| check["name"] == name)
        .filter_map(|check| check["verdict"].as_str())
        .collect();
    let worst = ["failed", "warning", "ok"].into_iter().find(|verdict| all.contains(verdict));
    worst.unwrap_or("not there")
}
