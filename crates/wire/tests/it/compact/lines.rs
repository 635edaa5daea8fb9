//! The lines that writers make of requests, and where readers find them.

use super::{CONTEXT, TELEMETRY, named, request_of, requests, text};
use lambda_otlp_wire::compact::{Context, Encoder, OwnedContext, decode};
use lambda_otlp_wire::ids::{id_of_number, to_hex};
use lambda_otlp_wire::{Envelope, Limits, LineEncoder, LineLimits, Request, read_line_of};

/// Calls of one kind differ in holes only: times, ids, and the nanoseconds busy and idle, which add up to the duration.
#[test]
fn a_span_similar_to_a_recent_one_takes_few_bytes() {
    let calls = |count: u64| {
        let span = |number: u64| {
            let start = 1_790_000_000_000_000_000 + number * 9_000_017;
            let busy = 50_000 + number;
            let id = to_hex(&id_of_number(number));
            format!(
                r#"{{"spanId":"{id}","name":"DynamoDB.Query","startTimeUnixNano":"{start}","endTimeUnixNano":"{}","flags":257,"attributes":[{{"key":"aws.request_id","value":{{"stringValue":"0123456789ABCDEFGHIJ{:06}VV4KQNSO5AEMVJF66Q9ASUAAJG"}}}},{{"key":"busy_ns","value":{{"intValue":"{busy}"}}}},{{"key":"idle_ns","value":{{"intValue":"{}"}}}}]}}"#,
                start + 5_000_000,
                number * 7,
                5_000_000 - busy + number % 3,
            )
        };
        let spans: Vec<String> = (1..=count).map(span).collect();
        request_of(&format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
            spans.join(",")
        ))
    };
    let lengths = [10, 60].map(|count| {
        let calls = calls(count);
        let text = text(&[&calls]);
        assert_eq!(requests(&text), Ok(vec![calls]));
        text.len()
    });
    // 29 bytes a span: 8 of times, 17 of the request id, 3 of busy_ns, 1 of idle_ns and few bits of the skeleton.
    assert!(lengths[1] - lengths[0] < 1800, "{lengths:?}");
}

#[test]
fn a_region_unknown_to_the_format_is_written_in_full() {
    for region in [CONTEXT.region, "moon-north-1"] {
        let context = Context { region, ..CONTEXT };
        let request = named(&format!("lambda.{region}.amazonaws.com"));
        let text = Encoder::default().text(&context, &[&request]);
        // The line states its region.
        for reader in [&context, &Context { region: "sa-east-1", ..CONTEXT }] {
            let read = decode(&text, reader, &Limits::default());
            assert_eq!(read, Ok(vec![request.clone()]), "{region}");
        }
    }
}

#[test]
fn requests_of_one_flush_share_a_line_if_they_fit() {
    const LOGS: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1790000000123000000","body":{"stringValue":"orders-api of 012345678901"}}]}]}]}"#;
    let spans = request_of(TELEMETRY);
    let records = request_of(LOGS);
    let names = OwnedContext::of_function(
        "orders-api",
        "eu-west-1",
        "/aws/lambda/orders-api",
        CONTEXT.log_stream,
    );
    let mut encoder = LineEncoder::compact(names.clone(), LineLimits::default());
    encoder.set_account(CONTEXT.account);
    let envelope =
        Envelope { unix_nanos: Some(7), level: Some("WARN"), spill: true, ..Envelope::default() };
    let mut out = b"before".to_vec();
    let written = encoder.encode_together(&envelope, &[&spans, &records], &mut out).unwrap();
    assert_eq!((written.lines, written.items, written.dropped_items), (1, 2, 0));
    let line = String::from_utf8(out.split_off(6)).unwrap();
    let end = r#","spill":true,"timestamp":"1970-01-01T00:00:00.000Z","level":"WARN"}"#;
    assert!(line.ends_with(&format!("{end}\n")) && line.lines().count() == 1, "{line}");
    let read: Vec<Request> = read_line_of(&line, &CONTEXT, &Limits::default()).unwrap().decoded;
    assert_eq!(read, [spans.clone(), records.clone()]);
    let other_account = Context { account: "123456789012", ..CONTEXT };
    let reading = read_line_of(&line, &other_account, &Limits::default()).unwrap();
    assert_eq!((reading.decoded.len(), reading.undecodable.len()), (0, 1));

    // Standard lines have one request each, and these do not fit into one line.
    let standard = LineEncoder::new(6, LineLimits::default());
    let small = LineLimits { max_bytes: 150, ..LineLimits::default() };
    for mut encoder in [standard, LineEncoder::compact(names, small)] {
        assert_eq!(encoder.encode_together(&envelope, &[&spans, &records], &mut out), None);
        assert_eq!(encoder.encode_together(&envelope, &[], &mut out), None);
        assert_eq!(out, b"before");
    }
}
