//! Functions without the layer and the library: OTLP/JSON printed by an SDK's exporter, whole and cut by Lambda.
//! `docs/layer.md` lists these exporters.

use crate::support::deliver;
use lambda_otlp_forwarder::Report;
use serde_json::{Value as Json, json};

/// The spans of one resource, as a part of a request.
fn spans(count: usize) -> Json {
    let spans: Vec<Json> = (1..=count)
        .map(|number| {
            json!({
                "traceId": format!("{number:032x}"), "spanId": format!("{number:016x}"),
                "name": format!("work {number} \"{{}}\""), "kind": 1,
                "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000001000000000",
                "attributes": [{"key": "order", "value": {"intValue": number.to_string()}}],
            })
        })
        .collect();
    json!({
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "orders"}}]},
        "scopeSpans": [{"scope": {"name": "io.example"}, "spans": spans}],
    })
}

/// One line with a request, as printed by the file exporters of PHP, Python and the declarative configuration, and by Java's
/// `experimental-otlp/stdout`.
fn request(count: usize) -> String {
    json!({"resourceSpans": [spans(count)]}).to_string()
}

/// Cuts a line like Lambda: at 64 KiB, into log events that end with a newline.
fn cut(line: &str) -> Vec<String> {
    line.as_bytes()
        .chunks(65_536)
        .map(|piece| format!("{}\n", String::from_utf8(piece.to_vec()).unwrap()))
        .collect()
}

/// Forwards log events. Returns the report, and the number of spans and log records.
fn forwarded(messages: &[String]) -> (Report, usize, usize) {
    let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
    let delivered = deliver(&messages);
    let (spans, records) = (delivered.spans().count(), delivered.records().count());
    (delivered.report, spans, records)
}

#[test]
fn otlp_json_lines_of_each_writer_are_read_whole_or_split() {
    let check = |prefix: &str, line: &dyn Fn(usize) -> String| {
        for count in [1, 1500] {
            let messages = cut(&format!("{prefix}{}", line(count)));
            assert_eq!(messages.len() > 1, count > 1);
            let (report, spans, records) = forwarded(&messages);
            assert_eq!((spans, records), (count, 0), "{prefix:?}");
            assert_eq!(report.ledger().consumed.line_pieces, messages.len() - 1, "{prefix:?}");
        }
    };
    check("", &request);
    let one_resource = |count| spans(count).to_string();
    check("", &one_resource);
    for prefix in [
        "INFO: ",
        "Nov 20, 2026 12:00:00 PM io.opentelemetry.exporter.logging.otlp.OtlpJsonLoggingSpanExporter export\nINFO: ",
        "2026-11-20 12:00:00 8edab1f8-7d34-4a8e-a965-15ccbbb78d4c INFO  OtlpJsonLoggingSpanExporter:80 - ",
        "12:00:00.123 [main] INFO  i.o.e.l.o.OtlpJsonLoggingSpanExporter - ",
        "2026-11-20T12:00:00.123Z  INFO 1 --- [           main] i.o.e.l.otlp.OtlpJsonLoggingSpanExporter : ",
    ] {
        check(prefix, &request);
        check(prefix, &one_resource);
    }
}
