//! From one function's log to another function: filters, batches, retries, the on-failure record, and the invoke endpoint.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{AMPLE, SHORT, awslogs, function, invoke, lambda, payloads, steps};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use lambda_otlp_simulator::{Error, FunctionSpec, Lambda, LogEvent};
use serde_json::{Value, json};

/// The decoded data messages that a destination was invoked with.
fn delivered(lambda: &Lambda, destination: &str) -> Vec<Value> {
    let events = payloads(lambda, destination).iter().map(awslogs).collect::<Vec<_>>();
    events.into_iter().filter(|event| event["messageType"] == "DATA_MESSAGE").collect()
}

fn as_delivered(event: &LogEvent) -> Value {
    json!({ "id": event.id, "timestamp": event.timestamp_ms, "message": event.message })
}

#[tokio::test]
async fn a_subscribed_log_arrives_whole_and_once() {
    let lambda = lambda([function("orders"), function("forwarder")]).await;
    lambda.subscribe("/aws/lambda/orders", "forwarder", "").unwrap();
    for number in 0..3 {
        invoke(&lambda, "orders", json!([{ "print": format!("order {number}") }])).await;
    }
    lambda.flush_subscriptions().await;

    let control: Vec<_> = payloads(&lambda, "forwarder").iter().map(awslogs).collect();
    assert_eq!(control[0]["messageType"], "CONTROL_MESSAGE");
    assert_eq!(control[0]["logEvents"][0]["id"], "");

    let delivered = delivered(&lambda, "forwarder");
    let written = lambda.log_events("orders");
    assert_eq!(delivered.len(), 1);
    let expected = json!({
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": "/aws/lambda/orders",
        "logStream": &*written[0].log_stream,
        "subscriptionFilters": ["forwarder-1"],
        "logEvents": written.iter().map(as_delivered).collect::<Vec<_>>(),
    });
    assert_eq!(delivered[0], expected);

    lambda.flush_subscriptions().await;
    assert_eq!(self::delivered(&lambda, "forwarder").len(), 1, "nothing is delivered twice");
}

#[tokio::test]
async fn a_filter_delivers_what_matches_and_a_batch_is_of_one_stream() {
    let files = tempfile::tempdir().unwrap();
    let (one, two) = (files.path().join("one"), files.path().join("two"));
    let lambda = lambda([function("orders"), function("telemetry"), function("reports")]).await;
    lambda.subscribe("/aws/lambda/orders", "telemetry", "{ $.__otel_otlp_stdout = * }").unwrap();
    lambda
        .subscribe("/aws/lambda/orders", "reports", r#"?"REPORT RequestId" ?"Task timed out""#)
        .unwrap();
    assert!(matches!(
        lambda.subscribe("/aws/lambda/orders", "reports", ""),
        Err(Error::TooManyFilters(_))
    ));
    assert!(matches!(
        lambda.subscribe("/aws/lambda/x", "nobody", ""),
        Err(Error::UnknownFunction(_))
    ));
    assert!(matches!(
        lambda.subscribe("/aws/lambda/x", "reports", "a.b"),
        Err(Error::FilterPattern(_))
    ));

    let line = r#"{"__otel_otlp_stdout":"x@1"}"#;
    tokio::join!(
        invoke(
            &lambda,
            "orders",
            json!([{ "print": line }, { "meet": { "mine": one, "other": two } }])
        ),
        invoke(
            &lambda,
            "orders",
            json!([{ "print": line }, { "meet": { "mine": two, "other": one } }])
        ),
    );
    lambda.flush_subscriptions().await;
    let messages = |destination: &str| -> Vec<Vec<String>> {
        let batches = delivered(&lambda, destination);
        let of = |batch: &Value| {
            batch["logEvents"]
                .as_array()
                .unwrap()
                .iter()
                .map(|event| event["message"].as_str().unwrap().to_owned())
                .collect()
        };
        batches.iter().map(of).collect()
    };
    assert_eq!(messages("telemetry"), [[format!("{line}\n")], [format!("{line}\n")]]);
    let reports = messages("reports");
    assert_eq!(reports.len(), 2);
    assert!(
        reports.iter().all(|batch| batch.len() == 1 && batch[0].starts_with("REPORT RequestId: "))
    );
}

#[tokio::test]
async fn a_large_log_is_delivered_in_parts_that_fit() {
    let lambda = lambda([function("orders"), function("forwarder")]).await;
    lambda.subscribe("/aws/lambda/orders", "forwarder", "line").unwrap();
    invoke(&lambda, "orders", json!([{ "print_lines": 25_000 }])).await;
    lambda.flush_subscriptions().await;
    let batches = delivered(&lambda, "forwarder");
    assert_eq!(batches.len(), 3);
    let mut ids: Vec<&str> = batches
        .iter()
        .flat_map(|batch| batch["logEvents"].as_array().unwrap())
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 25_000);
}

#[tokio::test]
async fn a_failed_delivery_is_tried_three_times_and_then_recorded() {
    let retries = [Duration::from_millis(1), Duration::from_millis(1)];
    let lambda = lambda([
        function("fails").retry_delays(retries),
        function("late").retry_delays(retries).timeout(SHORT),
        function("exits").retry_delays([]),
    ])
    .await;
    let failing = steps(&json!([{ "fail": "Broken" }]));
    let request_id = lambda.invoke_async("fails", &failing).unwrap();
    lambda.invoke_async("late", steps(&json!(["hang"]))).unwrap();
    lambda.invoke_async("exits", steps(&json!([{ "exit": 3 }]))).unwrap();
    lambda.invoke_async("fails", b"{}").unwrap();
    lambda.wait_for_async_invocations().await;

    let attempts: Vec<_> = lambda
        .invocations("fails")
        .into_iter()
        .filter(|attempt| attempt.request_id == request_id)
        .collect();
    assert_eq!(attempts.len(), 3);
    let records = lambda.on_failure_records();
    assert_eq!(records.len(), 3);
    let record = |function: &str| {
        let arn = format!("arn:aws:lambda:us-east-1:123456789012:function:{function}:$LATEST");
        let mut record = serde_json::to_value(
            records.iter().find(|record| record.request_context.function_arn == arn).unwrap(),
        )
        .unwrap();
        assert!(record["timestamp"].take().as_str().unwrap().ends_with('Z'));
        record
    };
    assert_eq!(
        record("fails"),
        json!({
            "version": "1.0",
            "timestamp": null,
            "requestContext": {
                "requestId": request_id,
                "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:fails:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3,
            },
            "requestPayload": serde_json::from_slice::<Value>(&failing).unwrap(),
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
            "responsePayload": { "errorType": "Broken", "errorMessage": "as told", "stackTrace": [] },
        })
    );
    let message = |function: &str| {
        let record = record(function);
        let (_, message) = record["responsePayload"]["errorMessage"]
            .as_str()
            .unwrap()
            .split_once(" Error: ")
            .unwrap();
        (record["requestContext"]["approximateInvokeCount"].as_u64().unwrap(), message.to_owned())
    };
    assert_eq!(message("late"), (3, "Task timed out after 0.30 seconds".to_owned()));
    assert_eq!(message("exits"), (1, "Runtime exited with error: exit status 3".to_owned()));
}

#[tokio::test]
async fn a_delivery_that_fails_once_is_no_failure() {
    let files = tempfile::tempdir().unwrap();
    let marker = files.path().join("once").to_string_lossy().into_owned();
    let forwarder = FunctionSpec::new("forwarder", env!("CARGO_BIN_EXE_simulated-function"));
    // Both inits of the first attempt have to fail: the first hangs until its timeout, the second is refused a table.
    let forwarder = forwarder.env("INIT", "exit").env("INIT_FAILS_ONCE", marker).timeout(AMPLE);
    let lambda = lambda([function("orders"), forwarder]).await;
    lambda.subscribe("/aws/lambda/orders", "forwarder", "order").unwrap();
    invoke(&lambda, "orders", json!([{ "print": "order" }])).await;
    lambda.flush_subscriptions().await;
    assert!(lambda.on_failure_records().is_empty());
    assert_eq!(delivered(&lambda, "forwarder").len(), 1);
}

#[tokio::test]
async fn a_batch_can_be_delivered_more_than_once() {
    let lambda = lambda([function("orders"), function("forwarder")]).await;
    lambda.subscribe("/aws/lambda/orders", "forwarder", "order").unwrap();
    lambda.deliver_each_batch(2);
    invoke(&lambda, "orders", json!([{ "print": "order" }])).await;
    lambda.flush_subscriptions().await;
    let batches = delivered(&lambda, "forwarder");
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[0], batches[1]);
}

#[tokio::test]
async fn a_group_that_feeds_itself_does_not_hold_the_flush_up() {
    let lambda = lambda([function("forwarder")]).await;
    lambda.subscribe("/aws/lambda/forwarder", "forwarder", "").unwrap();
    lambda.flush_subscriptions().await;
    // The probe, and one delivery in each of the rounds of a flush.
    assert_eq!(lambda.invocations("forwarder").len(), 1 + 16);
}

async fn post(
    lambda: &Lambda,
    path: &str,
    kind: &str,
    body: &'static str,
) -> (u16, Option<String>, String) {
    let stream = tokio::net::TcpStream::connect(lambda.endpoint()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request =
        http::Request::post(path).header("Host", "lambda").header("X-Amz-Invocation-Type", kind);
    let answer = sender
        .send_request(request.body(Full::new(bytes::Bytes::from(body))).unwrap())
        .await
        .unwrap();
    let status = answer.status().as_u16();
    let error = answer
        .headers()
        .get("X-Amz-Function-Error")
        .map(|error| error.to_str().unwrap().to_owned());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    drop(sender);
    connection.await.unwrap().unwrap();
    (status, error, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_invoke_endpoint_answers_as_lambda_does() {
    let lambda = Arc::new(lambda([function("f")]).await);
    let path = "/2015-03-31/functions/f/invocations";
    let echoed = (200, None, r#"{"a":1}"#.to_owned());
    assert_eq!(post(&lambda, path, "RequestResponse", r#"{"a":1}"#).await, echoed);
    let (status, error, body) =
        post(&lambda, path, "RequestResponse", r#"{"do":[{"exit":3}]}"#).await;
    assert_eq!((status, error.as_deref()), (200, Some("Unhandled")));
    assert!(body.contains("Runtime exited with error: exit status 3"), "{body}");
    assert_eq!(post(&lambda, path, "Event", "{}").await, (202, None, String::new()));
    lambda.wait_for_async_invocations().await;
    lambda.wait_for_invocations().await;
    assert_eq!(lambda.invocations("f").len(), 3);
    assert_eq!(post(&lambda, path, "RequestResponse", "no json").await.0, 400);
    assert_eq!(
        post(&lambda, "/2015-03-31/functions/g/invocations", "RequestResponse", "{}").await.0,
        404
    );
    assert_eq!(post(&lambda, "/elsewhere", "RequestResponse", "{}").await.0, 404);
}
