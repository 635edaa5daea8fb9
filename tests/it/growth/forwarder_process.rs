//! The forwarder, with events of ever new functions, log streams and traces, and a backend that fails at times.

use super::http_peer::{Answer, serve};
use super::{Growth, PARTS, SLACK};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use forwarder::{Config, Event, Handler, wall_clock_now};
use http_body_util::Full;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

fn event(number: u64, keys: u64, now_ms: u64) -> Event {
    let request_id = format!("3da1f2dc-3222-475e-9205-{number:012x}");
    let messages = [
        format!("START RequestId: {request_id} Version: $LATEST"),
        format!("order {number} is packed"),
        json!({ "level": "INFO", format!("key-{}", number % keys): number, "requestId": request_id }).to_string(),
        format!("END RequestId: {request_id}"),
        format!("REPORT RequestId: {request_id}\tDuration: 2.00 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB\t"),
    ];
    let events: Vec<_> = messages
        .iter()
        .map(|message| json!({ "id": format!("{number:056}"), "timestamp": now_ms, "message": message }))
        .collect();
    let payload = json!({
        "messageType": "DATA_MESSAGE", "owner": "123456789012", "subscriptionFilters": ["f"],
        "logGroup": format!("/aws/lambda/orders-{number}"), "logEvents": events,
        "logStream": format!("2026/09/21/[$LATEST]{number:032x}"),
    });
    let data = STANDARD.encode(wire::gzip::compress(1, payload.to_string().as_bytes()));
    serde_json::from_value(json!({ "awslogs": { "data": data } })).unwrap()
}

/// Refuses one request of 50 for good, and one of 500 for now.
fn answer(requests: &AtomicU64) -> Answer {
    let status = match requests.fetch_add(1, Ordering::Relaxed) {
        number if number % 500 == 499 => 503,
        number if number % 50 == 49 => 400,
        _ => 200,
    };
    http::Response::builder().status(status).body(Full::new(Bytes::new())).unwrap()
}

pub(crate) async fn a_forwarder() {
    let requests = AtomicU64::new(0);
    let backend = serve(move |_, _| std::future::ready(answer(&requests))).await;
    let variables = HashMap::from([
        ("LAMBDA_OTLP_ENDPOINT".to_owned(), format!("http://{}/api/default", backend.address())),
        ("AWS_LAMBDA_FUNCTION_NAME".to_owned(), "forwarder".to_owned()),
        ("LAMBDA_OTLP_VITALS".to_owned(), "otlp".to_owned()),
    ]);
    let service = Handler::new(Config::from_source(&variables).0.unwrap(), wall_clock_now).unwrap();
    let (invocations, mut growth) = Growth::new();
    // All in the first part, so that the known keys are as many as they will be.
    let keys = invocations / PARTS as u64;
    let mut failed = 0;
    for number in 0..invocations {
        let now = wall_clock_now().duration_since(UNIX_EPOCH).unwrap();
        let now_ms = u64::try_from(now.as_millis()).unwrap();
        let mut context = Context::default();
        context.deadline = now_ms + 60_000;
        let handled = service.handle(LambdaEvent::new(event(number, keys, now_ms), context)).await;
        failed += u64::from(handled.is_err());
        growth.note(number);
    }
    assert!(failed * 2 < invocations, "{failed} of {invocations} invocations failed");
    growth.check("the forwarder", SLACK);
}
