//! The context in outgoing calls, as the next function reads it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use lambda_otlp_exporter::{
    InMemoryOutput, TelemetryConfig, create_traced_handler, init_telemetry, inject_client_context,
    inject_headers, inject_json, inject_message_attributes,
};
use lambda_runtime::{Context, Error, LambdaEvent, service_fn, tower::Service as _};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

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
    let output = Arc::new(InMemoryOutput::default());
    let config = TelemetryConfig::builder().with_output(Arc::clone(&output) as _).build();
    let (_tracer, completion_handler) = init_telemetry(config).await.unwrap();
    let mut function = service_fn(create_traced_handler("test", completion_handler, handle));
    let sent = function.call(LambdaEvent::new(json!("send"), Context::default())).await.unwrap();
    let spans = spans(&output);
    let traceparent = format!("00-{}-{}-01", spans["send"].0, spans["send"].1);
    assert_eq!((&sent["header"], &sent["attribute"]), (&json!(traceparent), &json!(traceparent)));
    assert_eq!(sent["attributes"], json!([1, 10, 10]));
    let detail = json!({ "order": 7, "headers": { "traceparent": traceparent } });
    assert_eq!((&sent["detail"], &sent["record"]), (&detail, &json!("not an object")));

    let mut by_client_context = Context::default();
    by_client_context.client_context = serde_json::from_str(sent["client"].as_str().unwrap()).ok();
    for event in [
        LambdaEvent::new(detail, Context::default()),
        LambdaEvent::new(json!({}), by_client_context),
    ] {
        function.call(event).await.unwrap();
        let (trace_id, _, parent) = self::spans(&output).remove("test").unwrap();
        assert_eq!((trace_id, parent), (spans["send"].0.clone(), spans["send"].1.clone()));
    }
}

/// Trace id, span id and parent of each written span, by name.
fn spans(output: &InMemoryOutput) -> HashMap<String, (String, String, String)> {
    let mut spans = HashMap::new();
    for line in output.take_lines() {
        for decoded in wire::read_line(&line, &wire::Limits::default()).unwrap().decoded {
            let Some(request) = decoded.request.decode::<wire::Traces>() else { continue };
            let resources = request.unwrap().resource_spans;
            let scopes = resources.into_iter().flat_map(|resource| resource.scope_spans);
            for span in scopes.flat_map(|scope| scope.spans) {
                let [trace_id, id, parent] = [&span.trace_id, &span.span_id, &span.parent_span_id]
                    .map(|id| wire::ids::to_hex(id));
                spans.insert(span.name, (trace_id, id, parent));
            }
        }
    }
    spans
}
