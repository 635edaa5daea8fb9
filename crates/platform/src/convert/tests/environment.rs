//! The same lines in an execution environment and in a log stream.

use super::*;
use crate::read::telemetry::{TelemetryRecord, parse_batch};
use wire::InvocationSpan;

const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
const TIME: &str = "2026-09-21T14:13:20.000Z";
const TIME_MS: i64 = 1_790_000_000_000;

fn start() -> String {
    format!(r#"{{"time":"{TIME}","type":"platform.start","record":{{"requestId":"{ID}"}}}}"#)
}

fn report() -> String {
    format!(
        r#"{{"time":"{TIME}","type":"platform.report","record":{{"requestId":"{ID}","status":"error","errorType":"Runtime.OutOfMemory","metrics":{{"durationMs":7.5,"billedDurationMs":8,"memorySizeMB":128,"maxMemoryUsedMB":128}}}}}}"#
    )
}

fn span() -> InvocationSpan<'static> {
    InvocationSpan {
        request_id: ID,
        trace_id: [7; 16],
        span_id: [8; 8],
        parent_span_id: None,
        is_entry: true,
    }
}

fn of_environment(events: &[String]) -> ConvertedLines {
    let mut converter =
        Converter::new(identity(), PlatformOptions::default(), 0).counted_elsewhere();
    let body = format!("[{}]", events.join(","));
    for event in parse_batch(&body).events {
        converter.observed_at(OBSERVED);
        let log_event = |message| LogEventRef { id: "", time_ms: TIME_MS, message };
        match event.record {
            TelemetryRecord::Platform(platform) => {
                converter.platform_event(&log_event(event.text), *platform, true);
            }
            TelemetryRecord::Line { message, .. } => converter.function_text(&log_event(&message)),
        }
    }
    assert!(converter.waiting_bytes() > 0);
    converter.invocation_span_seen(&span());
    converter.finish()
}

fn of_stream(events: &[String]) -> ConvertedLines {
    let mut converter = Converter::new(identity(), PlatformOptions::default(), OBSERVED);
    let body = format!("[{}]", events.join(","));
    for event in parse_batch(&body).events {
        let message = match &event.record {
            TelemetryRecord::Platform(_) => event.text,
            TelemetryRecord::Line { message, .. } => message,
        };
        converter.log_event(&LogEventRef { id: "", time_ms: TIME_MS, message });
    }
    converter.invocation_span_seen(&span());
    converter.finish()
}

#[test]
fn forwarder_and_extension_convert_lines_alike() {
    let line = |text: &str| {
        let text = serde_json::Value::from(text);
        format!(r#"{{"time":"{TIME}","type":"function","record":{text}}}"#)
    };
    let events = [
        start(),
        line("plain\n"),
        line("[ERROR]\t2026-09-21T14:13:20.123Z\t8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\tno\n"),
        line(r#"{"level":"WARN","message":"low","timestamp":"2026-09-21T14:13:20.123Z","n":1}"#),
        // Lambda's JSON log format passes a JSON object through unchanged.
        format!(
            r#"{{"time":"{TIME}","type":"function","record":{{"level":"DEBUG","message":"x","a":{{"b":true}}}}}}"#
        ),
        line(
            r#"{"_aws":{"Timestamp":1790000000000,"CloudWatchMetrics":[{"Namespace":"shop","Dimensions":[[]],"Metrics":[{"Name":"orders","Unit":"Count"}]}]},"orders":3}"#,
        ),
        line("\n"),
        report(),
    ];
    let (extension, forwarder) = (of_environment(&events), of_stream(&events));
    let all = |converted: &ConvertedLines| {
        converted.logs.iter().flat_map(render::log_records).collect::<Vec<_>>()
    };
    assert_eq!(all(&extension), all(&forwarder));
    assert_eq!(all(&extension).len(), 6);
    for (_, record) in all(&extension) {
        assert_eq!(
            (record.trace_id.as_slice(), record.span_id.as_slice()),
            (&[7; 16][..], &[8; 8][..])
        );
    }
    let scopes = extension.metrics.unwrap().scope_metrics;
    let names: Vec<_> = scopes.iter().flat_map(|scope| &scope.metrics).map(|of| &of.name).collect();
    assert_eq!(names, ["orders"], "another aggregator has the report's");
}

#[test]
fn printed_platform_lines_stay_plain_logs() {
    let printed = format!("REPORT RequestId: {ID}\tDuration: 7.50 ms\n");
    let printed = serde_json::Value::from(printed);
    let line = format!(r#"{{"time":"{TIME}","type":"function","record":{printed}}}"#);
    let converted = of_environment(&[start(), line.clone(), line]);
    let found = records(&converted);
    assert_eq!(found.matches("REPORT").count(), 2, "{found}");
    assert!(!found.contains("duration_ms"), "{found}");
}

#[test]
fn concurrent_invocations_assign_no_request_id_to_lines() {
    let mut converter =
        Converter::new(identity(), PlatformOptions::default(), OBSERVED).counted_elsewhere();
    let start = start();
    let Some(TelemetryRecord::Platform(platform)) =
        parse_batch(&format!("[{start}]")).events.pop().map(|event| event.record)
    else {
        unreachable!("a platform event")
    };
    let event = |message| LogEventRef { id: "", time_ms: TIME_MS, message };
    converter.platform_event(&event(&start), (*platform).clone(), false);
    converter.function_text(&event("hello"));
    assert!(!records(&converter.finish()).contains(ID));
}
