//! Lines that are no OTLP: embedded metrics, panics, and messages of runtimes.

use crate::support::{
    Delivered, attribute, body, default_options, deliver, deliver_event, kinesis_record, ledger,
    line_fixture, payload, sum,
};
use serde_json::json;
use wire::ids::to_hex;

const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
const OTHER: &str = "b2d4a1f0-0b57-4f5e-9f2d-7c1f5d9e0c22";

/// Severity and body of each record, marked if it has a request id.
fn described(delivered: &Delivered) -> Vec<String> {
    let described = delivered.records().map(|record| {
        let id = attribute(&record.attributes, "faas.invocation_id");
        let marked = if id == Some(ID) { " (ID)" } else { "" };
        format!("{}{marked} {}", record.severity_text, body(record))
    });
    described.collect()
}

fn sums(delivered: &Delivered) -> Vec<(&str, f64)> {
    delivered.metrics().map(|metric| (metric.name.as_str(), sum(metric))).collect()
}

#[test]
fn embedded_metrics_are_read_and_invalid_values_are_counted() {
    let document = |values: &str| {
        let metrics = r#"[{"Name":"orders","Unit":"Count"},{"Name":"latency","Unit":"Seconds"}]"#;
        format!(
            r#"{{"_aws":{{"CloudWatchMetrics":[{{"Namespace":"shop","Metrics":{metrics}}}]}},{values}}}"#
        )
    };
    let set = r#"{"Count":5,"Sum":25.5,"Min":1,"Max":10}"#;
    let counted = r#"{"Values":[1.5,2.5],"Counts":[3,1],"Count":4,"Sum":7,"Min":1,"Max":3}"#;
    let prefix = format!("2026-09-21T14:13:20.500Z\t{ID}\tWARN\t");
    let behind_prefix = format!("{prefix}{}\n", document(r#""orders":2,"message":"two orders""#));
    let delivered = deliver(&[
        &behind_prefix,
        &document(&format!(r#""latency":{set},"message":"a""#)),
        &document(&format!(r#""latency":{counted},"message":"b""#)),
        &document(r#""orders":"three","latency":{"Count":1},"message":"c""#),
    ]);
    assert_eq!(described(&delivered), ["WARN (ID) two orders", "INFO a", "INFO b", "INFO c"]);
    assert_eq!(sums(&delivered), [("orders", 2.0), ("latency", 32.5)]);
    assert_eq!(delivered.report.dropped_figures, 2, "orders of a text, latency without a sum");
    assert_eq!(
        ledger(&delivered.report),
        "4 events, 0 consumed: 0 spans, 3 data points, 4 log records, 0 undecodable"
    );
}

#[test]
fn a_panic_becomes_one_error_and_empty_lines_no_record() {
    let start = format!("START RequestId: {ID} Version: 1\n");
    let delivered = deliver(&[
        &start,
        "order received\n",
        "\n",
        "thread 'main' (4043) panicked at src/main.rs:4:5:\n",
        "the card reader is on fire\n",
        "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
        "",
        " \r\n",
        "order received\n",
    ]);
    let panic = "thread 'main' (4043) panicked at src/main.rs:4:5:\nthe card reader is on fire\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
    assert_eq!(
        described(&delivered),
        ["INFO (ID) order received", &format!("ERROR (ID) {panic}"), "INFO (ID) order received"]
    );
    assert_eq!(
        ledger(&delivered.report),
        "9 events, 6 consumed: 0 spans, 0 data points, 3 log records, 0 undecodable"
    );
}

#[test]
fn an_otlp_line_within_a_panic_does_not_end_it() {
    let line = line_fixture("rust-1");
    let delivered = deliver(&[
        "thread 'main' panicked at src/main.rs:4:5:\n",
        "no stock\n",
        &line,
        "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
    ]);
    assert_eq!(
        described(&delivered),
        [
            "ERROR thread 'main' panicked at src/main.rs:4:5:\nno stock\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace"
        ]
    );
    let ledger = delivered.report.ledger();
    assert_eq!((ledger.items.spans, ledger.consumed.trace_lines), (1, 2));
}

#[test]
fn panics_of_every_form_are_joined() {
    // Each group of lines becomes one record of this severity, without its empty lines.
    let check = |groups: &[(&str, &[&str])]| {
        let lines: Vec<&str> = groups.iter().flat_map(|(_, lines)| *lines).copied().collect();
        let text = |(severity, lines): &(&str, &[&str])| {
            let lines = lines.iter().map(|line| line.trim_end_matches('\n'));
            let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
            format!("{severity} {}", lines.join("\n"))
        };
        let delivered = deliver(&lines);
        assert_eq!(described(&delivered), groups.iter().map(text).collect::<Vec<_>>());
        assert_eq!(delivered.report.ledger().consumed.total(), lines.len() - groups.len());
    };
    // A worker thread; a message of several lines; a panic without a note, like each one after the first of a process.
    check(&[
        (
            "ERROR",
            &[
                "thread 'tokio-runtime-worker' panicked at src/main.rs:2:5:\n",
                "assertion `left == right` failed: the sum\n",
                "  left: 1\n",
                " right: 2\n",
            ],
        ),
        ("INFO", &["next line\n"]),
    ]);
    // With a backtrace, in a thread without a name.
    check(&[
        (
            "ERROR",
            &[
                "thread '<unnamed>' (17) panicked at /code/src/a b.rs:2:5:",
                "no stock",
                "stack backtrace:",
                "   0: __rustc::rust_begin_unwind",
                "             at /rustc/1/library/std/src/panicking.rs:689:5",
                "   1: core::panicking::panic_fmt",
                "note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.",
            ],
        ),
        ("INFO", &["note: not of the panic"]),
    ]);
    // Before Rust 1.73; two concurrent panics; an empty message; one log event with all lines.
    let note = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
    check(&[
        ("ERROR", &["thread 'main' panicked at 'no stock', src/main.rs:2:5", note]),
        ("ERROR", &["thread 'main' panicked at src/main.rs:3:5:", ""]),
        ("ERROR", &["thread 'main' panicked at src/main.rs:4:5:"]),
        ("ERROR", &["thread 'main' panicked at src/main.rs:5:5:\nat once\n", note]),
    ]);
    // Go prints an empty line between a panic and its frames.
    check(&[("ERROR", &["panic: no stock\n", "\n", "goroutine 1 [running]:\n"])]);
    // Text that only resembles a panic, and platform lines after a panic.
    let report = format!("REPORT RequestId: {ID}\tDuration: 1.00 ms");
    check(&[
        ("INFO", &["the thread 'main' panicked at noon:"]),
        ("INFO", &["thread 'main' (soon) panicked at noon:"]),
        ("INFO", &["thread 'main' panicked at midnight: or so: they say"]),
        ("INFO", &["text"]),
        ("ERROR", &["thread 'main' panicked at src/main.rs:2:5:"]),
        ("INFO (ID)", &[&report]),
    ]);
}

#[test]
fn platform_lines_never_join_a_panic_or_traceback() {
    let says = [
        format!("REPORT RequestId: {ID}\tDuration: 1.00 ms\tStatus: error\n"),
        format!(
            "RequestId: {ID} Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n"
        ),
        format!(
            r#"{{"time":"2026-09-21T14:13:20.123Z","type":"platform.report","record":{{"requestId":"{ID}","status":"error","metrics":{{"durationMs":1.0}}}}}}"#
        ),
    ];
    for (text, said) in
        ["thread 'main' panicked at src/main.rs:2:5:", "Traceback (most recent call last):"]
            .iter()
            .flat_map(|text| says.iter().map(move |said| (text, said)))
    {
        let delivered = deliver(&[text, said]);
        assert_eq!(delivered.records().count(), 2, "{text} {said}");
        assert!(sums(&delivered).contains(&("faas.errors", 1.0)), "{text} {said}");
    }
}

fn out_of_memory(messages: &[&str]) -> f64 {
    let delivered = deliver(messages);
    delivered.metrics().filter(|metric| metric.name == "aws.lambda.out_of_memory").map(sum).sum()
}

const OUT_OF_MEMORY: [&str; 13] = [
    "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n",
    "FATAL ERROR: Ineffective mark-compacts near heap limit Allocation failed - JavaScript heap out of memory\n 1: 0xb7b3e0 node::Abort() [node]\n",
    "\n<--- Last few GCs --->\n\n[8:0x6bf0]     1200 ms: Mark-sweep 90.1 (94.2) -> 89.9 (94.2) MB\n\n\n<--- JS stacktrace --->\n\nFATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n",
    "2020-06-09T15:02:26.150Z 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 FATAL ERROR: CALL_AND_RETRY_LAST Allocation failed - JavaScript heap out of memory\n\n",
    "java.lang.OutOfMemoryError: Java heap space\n\tat java.base/java.util.Arrays.copyOf(Arrays.java:3537)\n",
    "Exception in thread \"main\" java.lang.OutOfMemoryError: GC overhead limit exceeded\n",
    "Requested array size exceeds VM limit: java.lang.OutOfMemoryError\njava.lang.OutOfMemoryError: Requested array size exceeds VM limit\n",
    "Terminating due to java.lang.OutOfMemoryError: Metaspace\n",
    "[FATAL] failed to allocate memory\n",
    "failed to allocate memory (NoMemoryError)",
    "/var/task/shop.rb:3:in 'String#*': failed to allocate memory (NoMemoryError)\n",
    "<internal:kernel>:187:in 'loop': failed to allocate memory (NoMemoryError)\n",
    "fatal error: runtime: out of memory\n",
];

#[test]
fn running_out_of_memory_counts_once_per_invocation() {
    let start = format!("START RequestId: {ID} Version: 1\n");
    let exit = format!(
        "RequestId: {ID} Error: Runtime exited with error: signal: aborted\nRuntime.ExitError\n"
    );
    let killed = format!(
        "RequestId: {ID} Error: Runtime exited with error: signal: killed\nRuntime.ExitError\n"
    );
    let end = format!("END RequestId: {ID}\n");
    let plain = format!("REPORT RequestId: {ID}\tDuration: 1.00 ms\t\n");
    let of_memory = format!(
        "REPORT RequestId: {ID}\tDuration: 1.00 ms\tStatus: error\tError Type: Runtime.OutOfMemory\n"
    );
    let count = |expected: f64, messages: &[&str]| {
        assert!((out_of_memory(messages) - expected).abs() < 0.1, "{expected} of {messages:#?}");
    };
    for text in OUT_OF_MEMORY {
        let described = described(&deliver(&[text]));
        let is_error = |begin: &str| described[0].starts_with(begin);
        assert!(is_error("ERROR ") || is_error("FATAL "), "{text}");
        count(1.0, &[text]);
        count(1.0, &[&start, text, &end, &plain]);
        count(1.0, &[&start, text, &exit, &end, &of_memory]);
        count(1.0, &[&start, text, text, &killed, &end, &of_memory]);
        // The invocation began in an earlier delivery; its last lines name the request.
        count(1.0, &[text, &exit, &end, &of_memory]);
        count(1.0, &[text, &end, &of_memory]);
        // Two attempts at one request, and two invocations.
        count(2.0, &[&start, text, &end, &plain, &start, text, &end, &plain]);
        let of_other = |text: &str| text.replace(ID, OTHER);
        count(2.0, &[text, &of_other(&start), &of_other(text)]);
        count(2.0, &[text, &of_other(&start), &of_other(&end), &of_other(&of_memory)]);
    }
    count(1.0, &[&start, &killed, &end, &plain]);
}

#[test]
fn logged_text_about_memory_does_not_count_as_out_of_memory() {
    for text in OUT_OF_MEMORY {
        let text = text.trim();
        let in_json = serde_json::json!({"level": "ERROR", "message": text}).to_string();
        for logged in [
            format!("caught: {text}"),
            format!("2026-09-21T14:13:20.500Z\t{ID}\tERROR\t{text}"),
            format!("[ERROR]\t2026-09-21T14:13:20.500Z\t{ID}\t{text}"),
            format!("2026-09-21T14:13:20.500Z ERROR shop: {text}"),
            format!("[ERROR] {text}"),
            in_json,
        ] {
            assert!(out_of_memory(&[&logged]).abs() < 0.1, "{logged}");
        }
    }
    for text in [
        "FATAL ERROR: the disk is full",
        "FATAL ERROR: the user says JavaScript heap out of memory, is that true?",
        // The thread limit is reached, not the memory limit.
        "java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory",
        "java.lang.OutOfMemoryErrors are no fun",
        "<--- Last few GCs --->\n\nthe order is out of memory",
        "Java heap space: 5 MB",
        "failed to allocate memory for order 7",
        "[FATAL] failed to allocate memory for order 7",
        "/orders failed to allocate memory (NoMemoryError)",
        "<internal:x> failed to allocate memory (NoMemoryError)",
        "2026-09-21 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 fatal error: out of memory",
        "2026-09-21T14:13:20.123Z 8f507cfc-c7a1-4d2e-8c3b-somebody1234 fatal error: out of memory",
        "fatal error: runtime: out of memory is what Go prints",
        "no stock: java.lang.OutOfMemoryError",
    ] {
        assert!(out_of_memory(&[text]).abs() < 0.1, "{text}");
    }
}

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
    links(&deliver(messages))
}

fn links(delivered: &Delivered) -> Vec<String> {
    delivered
        .records()
        .zip(described(delivered))
        .map(|(record, text)| {
            let ids = match (to_hex(&record.trace_id).as_str(), to_hex(&record.span_id).as_str()) {
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
        kinesis_record(1, &payload)
    };
    let first = record("2026/09/21/[$LATEST]abc", &[&start, "one", &spans]);
    let second = record("2026/09/21/[$LATEST]def", &[&start, "two"]);
    let event = serde_json::from_value(json!({"Records": [first, second]})).unwrap();
    let delivered = deliver_event(event, default_options());
    assert_eq!(links(&delivered), ["root: INFO one", "-: INFO two"]);
}
