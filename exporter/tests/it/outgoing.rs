//! The context in outgoing calls, as the next function reads it.

use lambda_otlp_exporter::testing::TestFunction;
use lambda_otlp_exporter::{
    TelemetryConfig, create_traced_handler, inject_client_context, inject_headers, inject_json,
    inject_message_attributes,
};
use lambda_runtime::{Context, Error, LambdaEvent};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;

/// Sends through all channels inside a span.
#[tracing::instrument(name = "send", skip_all)]
fn send() -> Value {
    let mut headers = http::HeaderMap::new();
    headers.insert("traceparent", "of another request".parse().unwrap());
    inject_headers(&mut headers);
    let attributes = |existing: usize| {
        let existing = (0..existing).map(|at| (format!("a{at}"), "x".to_owned()));
        let mut attributes: HashMap<String, String> = existing.collect();
        inject_message_attributes(&mut attributes, Ok::<_, Infallible>);
        attributes
    };
    let of_client = inject_client_context(None).unwrap();
    json!({
        "header": headers["traceparent"].to_str().unwrap(),
        "attribute": attributes(9)["traceparent"],
        "attributes": [attributes(0).len(), attributes(9).len(), attributes(10).len()],
        "detail": serde_json::from_str::<Value>(&inject_json(r#"{"order":7}"#)).unwrap(),
        "record": inject_json("not an object"),
        "client": String::from_utf8(wire::decode_base64(of_client.as_bytes()).unwrap()).unwrap(),
    })
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    Ok(if event.payload == json!("send") { send() } else { Value::Null })
}

#[tokio::test]
async fn the_next_function_continues_the_trace_of_the_sending_span() {
    let function = TestFunction::new(TelemetryConfig::builder());
    let handler = create_traced_handler("test", function.completion_handler(), handle);
    let sent = handler(function.event(json!("send"))).await.unwrap();
    let written = function.take();
    let sender = written.span("send");
    let traceparent = json!(format!("00-{}-{}-01", sender.trace_id, sender.span_id));
    assert_eq!((&sent["header"], &sent["attribute"]), (&traceparent, &traceparent));
    assert_eq!(sent["attributes"], json!([1, 10, 10]));
    let detail = json!({ "order": 7, "headers": { "traceparent": traceparent } });
    assert_eq!((&sent["detail"], &sent["record"]), (&detail, &json!("not an object")));

    let mut by_client_context = Context::default();
    by_client_context.client_context = serde_json::from_str(sent["client"].as_str().unwrap()).ok();
    for event in [
        LambdaEvent::new(detail, Context::default()),
        LambdaEvent::new(json!({}), by_client_context),
    ] {
        handler(event).await.unwrap();
        let written = function.take();
        let next = written.span("test");
        assert_eq!((next.trace_id, next.parent_span_id), (sender.trace_id, sender.span_id));
    }
}
