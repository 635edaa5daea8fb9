//! Trace id and span id of log records.

use super::{ID, OTHER, described, event_forwarded, forwarded};
use crate::support::payload;
use base64::Engine as _;
use lambda_otlp_forwarder::Event;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::json;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const ROOT: &str = "b7ad6b7169203331";

/// A span as OTLP/JSON: trace id, span id, parent, kind, and request id.
fn span(trace: &str, id: &str, parent: &str, kind: u8, request: Option<&str>) -> serde_json::Value {
    let named =
        request.map(|id| json!({"key": "faas.invocation_id", "value": {"stringValue": id}}));
    json!({"traceId": trace, "spanId": id, "parentSpanId": parent, "kind": kind, "name": "s",
        "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000000000001",
        "attributes": named.into_iter().collect::<Vec<_>>()})
}

fn line_of(spans: &[serde_json::Value]) -> String {
    json!({"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": spans}]}]})
        .to_string()
}

/// Trace id and span id of each record, with the beginning of its body.
fn linked(messages: &[&str]) -> Vec<String> {
    links(&forwarded(messages).1)
}

fn links(records: &[LogRecord]) -> Vec<String> {
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    records
        .iter()
        .zip(described(records))
        .map(|(record, text)| {
            let ids = match (hex(&record.trace_id).as_str(), hex(&record.span_id).as_str()) {
                ("", "") => "-".to_owned(),
                (TRACE, ROOT) => "root".to_owned(),
                (TRACE, "") => "trace".to_owned(),
                (trace, span) => format!("{trace} {span}"),
            };
            let text = text.replace(" (ID)", "");
            format!("{ids}: {}", text.chars().take(22).collect::<String>())
        })
        .collect()
}

#[test]
fn records_of_an_invocation_get_the_ids_of_its_root_span() {
    let start = format!("START RequestId: {ID} Version: 1\n");
    let prefixed = format!("[INFO]\t2026-09-21T14:13:20.500Z\t{}\tsaid\n", ID.to_uppercase());
    let json = format!(r#"{{"message":"in JSON","requestId":"{ID}"}}"#);
    let own = format!(
        r#"{{"message":"own","requestId":"{ID}","trace_id":"{}","span_id":"{ROOT}"}}"#,
        TRACE.replace('0', "1")
    );
    let own_trace = format!(r#"{{"message":"own trace","trace_id":"{TRACE}"}}"#);
    let spans = line_of(&[
        span(TRACE, "00000000000000a1", ROOT, 1, None),
        span(TRACE, ROOT, "00000000000000ff", 2, Some(ID)),
        span(TRACE, "00000000000000a2", ROOT, 1, Some(ID)),
        span(&TRACE.replace('0', "2"), "00000000000000a3", "", 2, None),
    ]);
    let end = format!("END RequestId: {ID}\n");
    let report = format!("REPORT RequestId: {ID}\tDuration: 1.00 ms\t\n");
    assert_eq!(
        linked(&[
            "EXTENSION\tName: e\tState: Ready\tEvents: [INVOKE]\n",
            &start,
            "text\n",
            &prefixed,
            &json,
            &own,
            &own_trace,
            &spans,
            &end,
            &report,
            "behind\n",
        ]),
        [
            "root: INFO text",
            "root: INFO [INFO]\t2026-09-21",
            "root: INFO in JSON",
            "1af7651916cd43dd8448eb211c81319c b7ad6b7169203331: INFO own",
            "trace: INFO own trace",
            "-: INFO behind",
            "-: INFO EXTENSION\tName: e",
            "root: INFO REPORT RequestId:",
        ]
    );
}

#[test]
fn a_record_gets_no_span_id_from_ambiguous_spans() {
    let start = format!("START RequestId: {ID} Version: 1\n");
    let check = |spans: &[serde_json::Value], expected: &str| {
        assert_eq!(linked(&[&start, "text", &line_of(spans)]), [expected], "{spans:#?}");
    };
    let server = |trace: &str, id: &str, parent: &str| span(trace, id, parent, 2, Some(ID));
    check(&[server(TRACE, ROOT, "")], "root: INFO text");
    check(&[server(TRACE, ROOT, ""), server(TRACE, ROOT, "")], "root: INFO text");
    // Two traces, one of another invocation.
    let other = TRACE.replace('0', "1");
    check(&[server(TRACE, ROOT, ""), server(&other, ROOT, "")], "-: INFO text");
    check(&[server(TRACE, ROOT, ""), span(&other, ROOT, ROOT, 1, Some(ID))], "-: INFO text");
    // A span within the invocation gives the trace, but not the root span.
    check(&[span(TRACE, ROOT, "00000000000000ff", 1, Some(ID))], "trace: INFO text");
    // Two root spans, unless one is the parent of the other.
    check(&[server(TRACE, ROOT, ""), server(TRACE, "00000000000000a1", "")], "trace: INFO text");
    let below = server(TRACE, "00000000000000a1", ROOT);
    check(&[server(TRACE, ROOT, ""), below.clone()], "root: INFO text");
    check(&[below, server(TRACE, ROOT, "")], "root: INFO text");
    // Another request, no request, invalid ids.
    check(&[span(TRACE, ROOT, "", 2, Some(OTHER))], "-: INFO text");
    check(&[span(TRACE, ROOT, "", 2, Some(""))], "-: INFO text");
    check(&[span(TRACE, ROOT, "", 2, None)], "-: INFO text");
}

#[test]
fn a_span_does_not_link_records_of_another_log_stream() {
    let start = format!("START RequestId: {ID} Version: 1\n");
    let spans = line_of(&[span(TRACE, ROOT, "", 2, Some(ID))]);
    let record = |stream: &str, messages: &[&str]| {
        let mut payload = payload("/aws/lambda/orders", messages);
        payload["logStream"] = stream.into();
        let gzip = wire::gzip::compress(6, payload.to_string().as_bytes());
        json!({"eventSource": "aws:kinesis", "awsRegion": "eu-west-1", "eventID": stream,
            "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/logs",
            "kinesis": {"sequenceNumber": "1", "approximateArrivalTimestamp": 1_790_000_000.5,
                "data": base64::engine::general_purpose::STANDARD.encode(gzip)}})
    };
    let first = record("2026/09/21/[$LATEST]abc", &[&start, "one", &spans]);
    let second = record("2026/09/21/[$LATEST]def", &[&start, "two"]);
    let event: Event = serde_json::from_value(json!({"Records": [first, second]})).unwrap();
    assert_eq!(links(&event_forwarded(event).1), ["root: INFO one", "-: INFO two"]);
}
