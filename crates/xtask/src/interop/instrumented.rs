//! Checks of one invocation's spans: each library that the layer instruments has its own, threads go on with the trace, and
//! messages are linked to their senders.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::path::Path;

const REQUIREMENTS: &str = "extension/layer/python/requirements.txt";
const PACKAGE: &str = "opentelemetry-instrumentation-";
/// Instrumentations without spans of calls.
const OTHERS: [&str; 2] = ["aws-lambda", "threading"];

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// Their spans: of a message of a queue, of a topic's in a queue, and of a topic's.
const SENDERS: [&str; 3] = ["b7ad6b7169203331", "c7ad6b7169203331", "d7ad6b7169203331"];

/// The messages of an event, which were sent at this time.
pub(super) fn records(action: &str, sent_ms: u64) -> Value {
    let [of_queue, in_queue, of_topic] = SENDERS.map(|span| format!("00-{TRACE}-{span}-01"));
    let message = |id, attributes: Value, body: &str| {
        json!({
            "messageId": id, "body": body, "attributes": {"SentTimestamp": sent_ms.to_string()}, "messageAttributes": attributes,
            "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders",
        })
    };
    let notification = |id, parent| {
        json!({
            "Type": "Notification", "MessageId": id, "Message": "x",
            "TopicArn": "arn:aws:sns:eu-west-1:123456789012:orders",
            "MessageAttributes": { "traceparent": { "Type": "String", "Value": parent } },
        })
    };
    let attributes = json!({ "traceparent": { "dataType": "String", "stringValue": of_queue } });
    match action {
        "queue" => json!([
            message("1", attributes, "a"),
            message("2", json!({}), &notification("n", in_queue).to_string()),
        ]),
        "topic" => json!([{
            "EventSource": "aws:sns", "EventVersion": "1.0", "Sns": notification("3", of_topic),
        }]),
        _ => Value::Null,
    }
}

pub(super) fn check(
    root: &Path,
    action: &str,
    calls: &[&Value],
    found: &[Value],
) -> anyhow::Result<()> {
    match action {
        "libraries" => check_libraries(root, calls),
        "threads" => {
            let gets = calls.iter().filter(|span| span["name"] == "GET").count();
            ensure!(gets == 5, "{gets} of 5 requests are below the invocation: {found:?}");
            Ok(())
        }
        "queue" => check_links(&[("1", SENDERS[0]), ("2", SENDERS[1])], found),
        "topic" => check_links(&[("3", SENDERS[2])], found),
        _ => check_links(&[], found),
    }
}

fn check_libraries(root: &Path, calls: &[&Value]) -> anyhow::Result<()> {
    let requirements = std::fs::read_to_string(root.join(REQUIREMENTS)).context(REQUIREMENTS)?;
    let names =
        requirements.lines().filter_map(|line| line.strip_prefix(PACKAGE)?.split("==").next());
    for name in names.filter(|name| !OTHERS.contains(name)) {
        let scope = format!("opentelemetry.instrumentation.{name}");
        let is_of_it = |span: &&&Value| {
            let own = span["scope"].as_str().unwrap_or_default().strip_prefix(&scope);
            own.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        // One package instruments httpx and httpx2.
        let expected = if name == "httpx" { 2 } else { 1 };
        let count = calls.iter().filter(is_of_it).count();
        ensure!(count == expected, "{count} instead of {expected} calls of {name}: {calls:?}");
    }
    Ok(())
}

fn check_links(expected: &[(&str, &str)], found: &[Value]) -> anyhow::Result<()> {
    let link = |(message, span): &(&str, &str)| {
        json!({
            "trace_id": TRACE, "span_id": span, "attributes": { "messaging.message.id": message },
        })
    };
    let expected: Vec<Value> = expected.iter().map(link).collect();
    let links = found.iter().filter_map(|span| span["links"].as_array());
    let links: Vec<Value> = links.flatten().cloned().collect();
    ensure!(links == expected, "the links are {links:?}, not {expected:?}, of {found:?}");
    Ok(())
}
