#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use super::*;
use crate::identity::LogSource;
use crate::read::telemetry::{TelemetryRecord, parse_batch};
use crate::render;
use expect_test::expect;

use wire::InvocationSpan;

const OBSERVED: u64 = 1_790_000_100_000_000_000;
const TIME: &str = "2026-09-21T14:13:20.000Z";
const TIME_MS: i64 = 1_790_000_000_000;
const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
const OTHER: &str = "00000000-c7a1-4d2e-8c3b-0d4b8f1e9a11";

fn identity() -> Identity {
    Identity::of(&LogSource {
        account: "123456789012",
        region: Some("eu-west-1"),
        log_group: "/aws/lambda/orders",
        log_stream: "2026/09/21/[$LATEST]0f4d8c0c8f7b4e7f9a1b2c3d4e5f6071",
    })
}

fn converter() -> Converter {
    Converter::new(identity(), PlatformOptions::default(), OBSERVED)
}

fn event(message: &str) -> LogEventRef<'_> {
    LogEventRef { id: "", time_ms: TIME_MS, message }
}

fn consumed(converted: &ConvertedLines) -> usize {
    converted.consumed.platform_lines + converted.consumed.empty_lines
}

/// Converts a delivery of ordinary lines, reports of both notations and failure lines.
fn text_mixed(options: PlatformOptions) -> ConvertedLines {
    let delivery: serde_json::Value =
        serde_json::from_str(include_str!("../../fixtures/text-mixed.json")).unwrap();
    let mut converter = Converter::new(identity(), options, OBSERVED);
    for event in delivery["logEvents"].as_array().unwrap() {
        converter.log_event(&LogEventRef {
            id: event["id"].as_str().unwrap(),
            time_ms: event["timestamp"].as_i64().unwrap(),
            message: event["message"].as_str().unwrap(),
        });
    }
    converter.finish()
}

fn lines(messages: &[&str], options: PlatformOptions) -> ConvertedLines {
    let mut converter = Converter::new(identity(), options, OBSERVED);
    for (at, message) in (0..).zip(messages) {
        converter.log_event(&LogEventRef { id: "1", time_ms: TIME_MS + at, message });
    }
    converter.finish()
}

fn records(converted: &ConvertedLines) -> String {
    let (mut text, mut last_scope) = (Vec::new(), String::new());
    for (scope, record) in converted.logs.iter().flat_map(render::log_records) {
        if scope != last_scope {
            text.push(format!("{scope}:"));
        }
        last_scope = scope;
        assert_eq!(record.observed_time_unix_nano, OBSERVED);
        text.push(render::record(&record));
    }
    text.join("\n")
}

fn log_records(converted: &ConvertedLines) -> usize {
    converted.logs.as_ref().map_or(0, Request::items)
}

fn points(converted: &ConvertedLines) -> String {
    render::points(&converted.metrics.as_ref().unwrap().scope_metrics[0].metrics)
}

const START: (i64, &str) =
    (100, "START RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 Version: 7\n");
const END: (i64, &str) = (200, "END RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\n");
const REPORT: (i64, &str) = (
    201,
    "REPORT RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\tDuration: 102.25 ms\tBilled Duration: 356 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB\tInit Duration: 253.61 ms\t\nXRAY TraceId: 1-5759e988-bd862e3fe1be46a994272793\tSegmentId: 53995c3f42cd8ad8\tSampled: true\t\n",
);

#[test]
fn text_lines_become_logs_or_are_consumed() {
    let converted = text_mixed(PlatformOptions::default());
    expect![[r#"
        lambda-otlp/logs:
        INFO | [INFO]	2026-09-21T14:13:20.123Z	8f507cfc | faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11
        INFO | plain print line | faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11
        ERROR | [ERROR]	2026-09-21T14:13:20.130Z	8f507cf | faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 exception.type=ConnectionError exception.message=db down exception.stacktrace=Traceback (most recent call last):
          File "/var/task/app.py", line 10, in handler
            raise ConnectionError('db down')
        ConnectionError: db down
        lambda-otlp/platform:
        INFO | REPORT RequestId: 8f507cfc-c7a1-4d2e-8c3 | faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 aws.lambda.event.type=platform.report faas.coldstart=true aws.xray.trace_id=1-5759e988-bd862e3fe1be46a994272793 aws.xray.segment_id=53995c3f42cd8ad8 aws.lambda.duration_ms=102.25 aws.lambda.billed_duration_ms=356.0 aws.lambda.memory_size_mb=128.0 aws.lambda.max_memory_used_mb=64.0 aws.lambda.init_duration_ms=253.61 aws.xray.sampled=true
        ERROR | 2026-09-21T14:13:21.000Z b2d4a1f0-0b57-4 | faas.invocation_id=b2d4a1f0-0b57-4f5e-9f2d-7c1f5d9e0c22 aws.lambda.event.type=platform.timeout aws.lambda.timeout_ms=3000.0
        ERROR | REPORT RequestId: b2d4a1f0-0b57-4f5e-9f2 | faas.invocation_id=b2d4a1f0-0b57-4f5e-9f2d-7c1f5d9e0c22 aws.lambda.event.type=platform.report faas.coldstart=false aws.lambda.status=timeout aws.lambda.duration_ms=3000.0 aws.lambda.billed_duration_ms=3000.0 aws.lambda.memory_size_mb=128.0 aws.lambda.max_memory_used_mb=128.0
        ERROR | RequestId: c3e5b2f1-1c68-4a6f-8a3e-8d2a6 | faas.invocation_id=c3e5b2f1-1c68-4a6f-8a3e-8d2a6eaf1d33 aws.lambda.event.type=platform.outOfMemory error.type=Runtime.ExitError
        ERROR | REPORT RequestId: c3e5b2f1-1c68-4a6f-8a3 | faas.invocation_id=c3e5b2f1-1c68-4a6f-8a3e-8d2a6eaf1d33 aws.lambda.event.type=platform.report faas.coldstart=true aws.lambda.status=error error.type=Runtime.ExitError aws.lambda.duration_ms=12.01 aws.lambda.billed_duration_ms=13.0 aws.lambda.memory_size_mb=128.0 aws.lambda.max_memory_used_mb=128.0 aws.lambda.restore_duration_ms=305.11 aws.lambda.billed_restore_duration_ms=306.0"#]]
    .assert_eq(&records(&converted));
    assert_eq!(converted.consumed.platform_lines, 7, "one INIT_START, three START, three END");
    assert_eq!(log_records(&converted), 8);
}

#[test]
fn text_reports_become_metrics() {
    let converted = text_mixed(PlatformOptions::default());
    expect![[r#"
        aws.lambda.invocations [{invocation}] 3
        faas.coldstarts [{coldstart}] 2
        faas.timeouts [{timeout}] 1
        aws.lambda.out_of_memory [{error}] 1
        faas.errors [{error}] 1 error.type=Runtime.ExitError
        faas.invocations [{invocation}] 1
        faas.invoke_duration [s] n=3 sum=3.11426 min=0.01201 max=3.00000
        aws.lambda.billed_duration [s] n=3 sum=3.36900 min=0.01300 max=3.00000
        aws.lambda.billed_gb_seconds [GiBy.s] n=3 sum=0.42112 min=0.00162 max=0.37500
        faas.mem_usage [By] n=3 sum=335544320.00000 min=67108864.00000 max=134217728.00000
        aws.lambda.memory_utilization [1] n=3 sum=2.50000 min=0.50000 max=1.00000
        faas.init_duration [s] n=1 sum=0.25361 min=0.25361 max=0.25361
        aws.lambda.restore_duration [s] n=1 sum=0.30511 min=0.30511 max=0.30511
        aws.lambda.billed_restore_duration [s] n=1 sum=0.30600 min=0.30600 max=0.30600
        aws.lambda.memory_limit [By] 134217728
    "#]]
    .assert_eq(&points(&converted));
}

#[test]
fn platform_logs_all_keeps_start_and_end_lines_as_logs() {
    let all = text_mixed(PlatformOptions { platform_logs_all: true, ..PlatformOptions::default() });
    assert_eq!((all.consumed, log_records(&all)), (ConsumedLines::default(), 15));
    assert_eq!(all.metrics, text_mixed(PlatformOptions::default()).metrics);
}

#[test]
fn every_log_event_is_consumed_or_becomes_one_record() {
    let messages = ["", "\n", "{", "{}", "END", "REPORT", "START RequestId: x", "\u{0}\u{feff}🦀"];
    let converted = lines(&messages, PlatformOptions::default());
    assert_eq!(consumed(&converted) + log_records(&converted), messages.len());
    assert_eq!(converted.metrics, None);
}

#[test]
fn a_line_belongs_to_its_enclosing_invocation() {
    let converted = lines(
        &[
            "before",
            "START RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 Version: 7\n",
            "within",
            "[INFO]\t2026-09-21T14:13:20.123Z\tb2d4a1f0-0b57-4f5e-9f2d-7c1f5d9e0c22\tof another",
            "END RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\n",
            "after",
        ],
        PlatformOptions::default(),
    );
    expect![[r#"
            lambda-otlp/logs:
            INFO | before |
            INFO | within | faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11
            INFO | [INFO]	2026-09-21T14:13:20.123Z	b2d4a1f0 | faas.invocation_id=b2d4a1f0-0b57-4f5e-9f2d-7c1f5d9e0c22
            INFO | after |"#]]
    .assert_eq(&records(&converted));
}

#[test]
fn the_open_invocation_carries_over_to_the_next_chunk() {
    let start = "START RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 Version: 7\n";
    let state = lines(&[start], PlatformOptions::default()).state;
    let mut next = converter().with_state(state.clone());
    next.log_event(&event("later"));
    let later = next.finish();
    expect![[r#"
        lambda-otlp/logs:
        INFO | later | faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11"#]]
    .assert_eq(&records(&later));
    assert_eq!(later.state, state);
}

#[test]
fn an_undecodable_line_is_reported_without_its_content() {
    let mut stream = converter();
    stream.undecodable(
        &LogEventRef { id: "7", time_ms: 5, message: "{\"__otel_otlp_stdout\":\"secret\"}" },
        &Undecodable { reason: "payload is no base64", size_bytes: 31, sha256: "ab12" },
    );
    let converted = stream.finish();
    expect![[r#"
        lambda-otlp/logs:
        ERROR | OTLP line was not decoded: payload is no | lambda_otlp.undecodable.reason=payload is no base64 lambda_otlp.undecodable.size_bytes=31 lambda_otlp.undecodable.sha256=ab12"#]]
    .assert_eq(&records(&converted));
    assert_eq!(log_records(&converted), 1);
    assert!(!format!("{converted:?}").contains("secret"));
}

#[test]
fn logs_and_metrics_have_different_resources() {
    let converted = text_mixed(PlatformOptions::default());
    let logs = converted.logs.unwrap().decode::<wire::Logs>().unwrap().unwrap();
    let logs = logs.resource_logs[0].resource.clone().unwrap();
    let metrics = converted.metrics.unwrap().resource.unwrap();
    expect![[r#"
        service.name=orders
        cloud.provider=aws
        cloud.platform=aws_lambda
        cloud.region=eu-west-1
        cloud.account.id=123456789012
        faas.name=orders
        faas.version=$LATEST
        faas.instance=2026/09/21/[$LATEST]0f4d8c0c8f7b4e7f9a1b2c3d4e5f6071
        aws.log.group.names=[/aws/lambda/orders]
        aws.log.stream.names=[2026/09/21/[$LATEST]0f4d8c0c8f7b4e7f9a1b2c3d4e5f6071]"#]]
    .assert_eq(&render::attributes(&logs.attributes).replace(' ', "\n"));
    expect![[r#"
        service.name=orders
        cloud.provider=aws
        cloud.platform=aws_lambda
        cloud.region=eu-west-1
        cloud.account.id=123456789012
        faas.name=orders
        faas.version=$LATEST"#]]
    .assert_eq(&render::attributes(&metrics.attributes).replace(' ', "\n"));
}

const JSON_LINES: [&str; 8] = [
    r#"{"time":"2026-09-21T14:13:20.000Z","type":"platform.initStart","record":{"initializationType":"on-demand","phase":"init","runtimeVersion":"python:3.13.v64"}}"#,
    r#"{"time":"2026-09-21T14:13:20.100Z","type":"platform.start","record":{"requestId":"8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11","version":"8"}}"#,
    r#"{"timestamp":"2026-09-21T14:13:20.110Z","level":"WARN","requestId":"8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11","message":"low stock"}"#,
    r#"{"level":"INFO","message":"without an id"}"#,
    r#"{"time":"2026-09-21T14:13:20.200Z","type":"platform.runtimeDone","record":{"requestId":"8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11","status":"success","spans":[{"name":"responseLatency","start":"2026-09-21T14:13:20.100Z","durationMs":99.5}],"metrics":{"durationMs":100.0,"producedBytes":50}}}"#,
    r#"{"time":"2026-09-21T14:13:20.201Z","type":"platform.report","record":{"requestId":"8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11","status":"error","errorType":"Runtime.ExitError","metrics":{"durationMs":100.5,"billedDurationMs":201,"memorySizeMB":512,"maxMemoryUsedMB":91,"initDurationMs":100.0}}}"#,
    r#"{"time":"2026-09-21T14:13:20.300Z","type":"platform.logsDropped","record":{"droppedRecords":3,"droppedBytes":300,"reason":"slow"}}"#,
    r#"{"timestamp":"2026-09-21T14:13:20.400Z","level":"WARN","type":"platform.requestComplete","region":"eu-west-1","record":{"requestId":"w1","status":200}}"#,
];

#[test]
fn json_system_lines_become_logs_and_metrics() {
    let converted = lines(&JSON_LINES, PlatformOptions::default());
    expect![[r#"
        lambda-otlp/logs:
        WARN | low stock | faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 timestamp=2026-09-21T14:13:20.110Z
        INFO | without an id | faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11
        lambda-otlp/platform:
        INFO | {"time":"2026-09-21T14:13:20.200Z","type | faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 aws.lambda.event.type=platform.runtimeDone aws.lambda.status=success aws.lambda.duration_ms=100.0 aws.lambda.produced_bytes=50.0 aws.lambda.response_latency_ms=99.5
        ERROR | {"time":"2026-09-21T14:13:20.201Z","type | faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 aws.lambda.event.type=platform.report faas.coldstart=true aws.lambda.status=error error.type=Runtime.ExitError aws.lambda.duration_ms=100.5 aws.lambda.billed_duration_ms=201.0 aws.lambda.memory_size_mb=512.0 aws.lambda.max_memory_used_mb=91.0 aws.lambda.init_duration_ms=100.0
        WARN | {"time":"2026-09-21T14:13:20.300Z","type | aws.lambda.event.type=platform.logsDropped aws.lambda.dropped_records=3.0 aws.lambda.dropped_bytes=300.0
        WARN | {"timestamp":"2026-09-21T14:13:20.400Z", | faas.invocation_id=w1 aws.lambda.event.type=platform.requestComplete aws.lambda.other={"status":"200"}"#]]
    .assert_eq(&records(&converted));
    expect![[r#"
        aws.lambda.invocations [{invocation}] 1
        faas.coldstarts [{coldstart}] 1
        faas.errors [{error}] 1 error.type=Runtime.ExitError
        faas.invoke_duration [s] n=1 sum=0.10050 min=0.10050 max=0.10050
        aws.lambda.billed_duration [s] n=1 sum=0.20100 min=0.20100 max=0.20100
        aws.lambda.billed_gb_seconds [GiBy.s] n=1 sum=0.10050 min=0.10050 max=0.10050
        faas.mem_usage [By] n=1 sum=95420416.00000 min=95420416.00000 max=95420416.00000
        aws.lambda.memory_utilization [1] n=1 sum=0.17773 min=0.17773 max=0.17773
        faas.init_duration [s] n=1 sum=0.10000 min=0.10000 max=0.10000
        aws.lambda.memory_limit [By] 536870912
    "#]]
    .assert_eq(&points(&converted));
    assert_eq!(consumed(&converted), 2, "initStart and start");
    assert_eq!(consumed(&converted) + log_records(&converted), JSON_LINES.len());
}

#[test]
fn the_tenant_carries_over_to_the_next_chunk() {
    let start = r#"{"time":"2026-09-21T14:13:20.100Z","type":"platform.start","record":{"requestId":"8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11","tenantId":"blue"}}"#;
    let report = r#"{"time":"2026-09-21T14:13:20.201Z","type":"platform.report","record":{"requestId":"8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11","status":"success","metrics":{"durationMs":1}}}"#;
    let first = lines(&[start], PlatformOptions::default());
    let mut next = converter().with_state(first.state).with_spans(
        SpanMapping::SpanEvents,
        SpanEnd::Report,
        false,
    );
    for message in ["printed", report] {
        next.log_event(&event(message));
    }
    let next = next.finish();
    let records = records(&next);
    assert_eq!(records.matches("aws.lambda.tenant_id=blue").count(), 2, "{records}");
    let spans = render::spans(&next.spans.unwrap().scope_spans[0].spans, 0);
    assert_eq!(spans.matches("aws.lambda.tenant_id=blue").count(), 1, "{spans}");
}

#[test]
fn an_invocation_span_carries_over_to_the_next_chunk() {
    let span = |request_id, trace_id| InvocationSpan { request_id, trace_id, ..span() };
    let report_after = |spans: &[InvocationSpan<'_>]| {
        let mut first = converter();
        first.log_event(&event(START.1));
        assert!(!first.awaits_spans(), "no record");
        for span in spans {
            first.invocation_span_seen(span);
        }
        let state = first.finish().state;
        let mut next = converter().with_state(state);
        for message in [END.1, REPORT.1] {
            next.log_event(&event(message));
        }
        assert!(next.awaits_spans());
        let converted = next.finish();
        let record = render::log_records(&converted.logs.unwrap()).pop().unwrap().1;
        (record.trace_id == [7; 16], record.span_id == [8; 8])
    };
    let upper = ID.to_uppercase();
    assert_eq!(report_after(&[span(ID, [7; 16])]), (true, true));
    assert_eq!(report_after(&[span(&upper, [7; 16])]), (true, true));
    assert_eq!(report_after(&[span("another", [6; 16]), span(ID, [7; 16])]), (true, true));
    assert_eq!(report_after(&[span(ID, [6; 16]), span(ID, [7; 16])]), (false, false));
    assert_eq!(report_after(&[]), (false, false));
}

#[test]
fn the_end_of_another_request_is_ignored() {
    let start = format!("START RequestId: {ID} Version: $LATEST");
    let end = format!("END RequestId: {OTHER}");
    let converted = lines(&[&start, &end, "hello"], PlatformOptions::default());
    let expected = format!("lambda-otlp/logs:\nINFO | hello | faas.invocation_id={ID}");
    assert_eq!(records(&converted), expected);
}

#[test]
fn function_text_is_never_parsed_as_a_platform_line() {
    let mut converter = converter();
    let start = format!("START RequestId: {OTHER}");
    converter.function_text(&event(&start));
    converter.log_event(&event("hello"));
    let found = converter.finish();
    assert_eq!((consumed(&found), found.metrics.is_none()), (0, true));
    assert!(!records(&found).contains("invocation_id"), "{}", records(&found));
}

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
    for found in parse_batch(&body).events {
        converter.observed_at(OBSERVED);
        match found.record {
            TelemetryRecord::Platform(platform) => {
                converter.platform_event(&event(found.text), *platform, true);
            }
            TelemetryRecord::Line { message, .. } => converter.function_text(&event(&message)),
        }
    }
    assert!(converter.waiting_bytes() > 0);
    converter.invocation_span_seen(&span());
    converter.finish()
}

fn of_stream(events: &[String]) -> ConvertedLines {
    let mut converter = converter();
    let body = format!("[{}]", events.join(","));
    for found in parse_batch(&body).events {
        let message = match &found.record {
            TelemetryRecord::Platform(_) => found.text,
            TelemetryRecord::Line { message, .. } => message,
        };
        converter.log_event(&event(message));
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
    let mut converter = converter().counted_elsewhere();
    let start = start();
    let Some(TelemetryRecord::Platform(platform)) =
        parse_batch(&format!("[{start}]")).events.pop().map(|event| event.record)
    else {
        unreachable!("a platform event")
    };
    converter.platform_event(&event(&start), (*platform).clone(), false);
    converter.function_text(&event("hello"));
    assert!(!records(&converter.finish()).contains(ID));
}

fn spans_of(chunks: &[&[(i64, &str)]], mapping: SpanMapping, end: SpanEnd) -> String {
    let mut state = ConverterState::default();
    let mut text = String::new();
    for chunk in chunks {
        let mut converter = converter().with_state(state).with_spans(mapping, end, false);
        for (ms, message) in *chunk {
            converter.log_event(&LogEventRef { id: "", time_ms: TIME_MS + ms, message });
        }
        let chunk = converter.finish();
        let spans: Vec<_> = chunk
            .spans
            .into_iter()
            .flat_map(|spans| spans.scope_spans)
            .flat_map(|spans| spans.spans)
            .collect();
        text.push_str(&render::spans(&spans, 1_790_000_000_000_000_000));
        text.push_str("--\n");
        state = chunk.state;
    }
    text
}

#[test]
fn each_invocation_yields_one_span_for_any_cut() {
    let timeout = (
        202,
        "2026-09-21T14:13:21.000Z 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 Task timed out after 3.00 seconds\n\n",
    );
    let whole: &[(i64, &str)] = &[START, END, REPORT, timeout];
    let count = |text: &str| text.lines().filter(|line| line.starts_with("SERVER orders")).count();
    for cut in 0..=whole.len() {
        let (first, second) = whole.split_at(cut);
        for end in [SpanEnd::RuntimeDone, SpanEnd::Report] {
            let chunks = spans_of(&[first, second], SpanMapping::SpanEvents, end);
            assert_eq!(count(&chunks), 1, "{chunks}");
            // In separate deliveries only the lines themselves are known.
            let deliveries =
                [first, second].map(|lines| spans_of(&[lines], SpanMapping::SpanEvents, end));
            assert_eq!(count(&deliveries.concat()), 1, "{deliveries:?}");
        }
    }
    let all = spans_of(&[whole], SpanMapping::SpanEvents, SpanEnd::Report);
    assert!(all.contains("100..201 error(Task timed out after 3.00 seconds)"), "{all}");
}

#[test]
fn json_invocation_spans_use_log_event_times() {
    let moved: Vec<(i64, &str)> = (0..).map(|n| 5_000_000 + n * 100).zip(JSON_LINES).collect();
    expect![[r#"
            SERVER orders f180/>865e 5000100..5000400 error(Runtime.ExitError) faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 faas.coldstart=true faas.version=8 aws.lambda.initialization_type=on-demand aws.lambda.phase=init aws.lambda.runtime_version=python:3.13.v64 error.type=Runtime.ExitError aws.lambda.billed_duration_ms=201.0 aws.lambda.memory_size_mb=512.0 aws.lambda.max_memory_used_mb=91.0 aws.lambda.init_duration_ms=100.0
            INTERNAL init f180/865e>dfef 5000000..5000100 unset aws.lambda.phase=init aws.lambda.initialization_type=on-demand aws.lambda.runtime_version=python:3.13.v64
            INTERNAL runtime f180/865e>1a86 5000100..5000400 ok aws.lambda.status=success aws.lambda.duration_ms=100.0 aws.lambda.produced_bytes=50.0 aws.lambda.response_latency_ms=99.5
            INTERNAL responseLatency f180/865e>1726 5000300..5000399.5 unset
            INTERNAL report f180/865e>3f15 5000400..5000500 error(Runtime.ExitError) faas.coldstart=true aws.lambda.status=error error.type=Runtime.ExitError aws.lambda.duration_ms=100.5 aws.lambda.billed_duration_ms=201.0 aws.lambda.memory_size_mb=512.0 aws.lambda.max_memory_used_mb=91.0 aws.lambda.init_duration_ms=100.0
            --
        "#]]
    .assert_eq(&spans_of(&[&moved], SpanMapping::ChildSpans, SpanEnd::RuntimeDone));
}
