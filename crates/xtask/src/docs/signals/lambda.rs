//! The telemetry of Lambda's lines and events: one of each kind, with every field of the event model.

use super::attributes::{Attributes, add};
use anyhow::{Context as _, bail};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use platform::{
    Aggregator, ConvertedLines, Converter, FunctionRoot, Identity, Invocations, LogEventRef,
    LogSource, Names, Owner, PlatformEvent, PlatformOptions, Shape, SpanEnd, SpanMapping,
    SpanOptions, TelemetryRecord, Undecodable, parse_batch,
};
use wire::Logs;

const TIME_MS: i64 = 1_790_000_000_000;
const TIME_NS: u64 = 1_790_000_000_000_000_000;

/// All events of the Telemetry API and of Lambda's JSON log format.
const EVENTS: &[&str] = &[
    r#"{"time":"2026-09-21T14:13:20Z","type":"platform.initStart","record":{"initializationType":"on-demand","phase":"init","runtimeVersion":"python:3.13.v64","runtimeVersionArn":"arn:aws:lambda:eu-west-1::runtime:0","functionName":"f","functionVersion":"7","instanceId":"i","instanceMaxMemory":128}}"#,
    r#"{"time":"2026-09-21T14:13:20Z","type":"platform.extension","record":{"name":"e","state":"Ready"}}"#,
    r#"{"time":"2026-09-21T14:13:20Z","type":"platform.start","record":{"requestId":"00000000-0000-4000-8000-000000000001","version":"7","tenantId":"blue","tracing":{"spanId":"54565fb41ac79632","type":"X-Amzn-Trace-Id","value":"Root=1-62e900b2-710d76f009d6e7785905449a;Parent=0efbd19962d95b05;Sampled=1"},"invented":1}}"#,
    r#"{"time":"2026-09-21T14:13:20Z","type":"platform.runtimeDone","record":{"requestId":"00000000-0000-4000-8000-000000000001","status":"success","spans":[{"name":"responseLatency","durationMs":1},{"name":"responseDuration","durationMs":1},{"name":"runtimeOverhead","durationMs":1}],"metrics":{"durationMs":3,"producedBytes":9}}}"#,
    r#"{"time":"2026-09-21T14:13:20Z","type":"platform.report","record":{"requestId":"00000000-0000-4000-8000-000000000001","status":"success","spans":[{"name":"extensionOverhead","durationMs":1}],"metrics":{"durationMs":3,"billedDurationMs":4,"memorySizeMB":128,"maxMemoryUsedMB":64,"initDurationMs":5,"restoreDurationMs":6,"billedRestoreDurationMs":7}}}"#,
    r#"{"time":"2026-09-21T14:13:21Z","type":"platform.report","record":{"requestId":"00000000-0000-4000-8000-000000000002","status":"timeout","metrics":{"durationMs":3}}}"#,
    r#"{"time":"2026-09-21T14:13:22Z","type":"platform.report","record":{"requestId":"00000000-0000-4000-8000-000000000003","status":"error","errorType":"Runtime.OutOfMemory","metrics":{"durationMs":3}}}"#,
    r#"{"time":"2026-09-21T14:13:23Z","type":"platform.initReport","record":{"initializationType":"on-demand","phase":"init","status":"error","errorType":"Runtime.ExitError","metrics":{"durationMs":3}}}"#,
    r#"{"time":"2026-09-21T14:13:24Z","type":"platform.restoreReport","record":{"status":"error","errorType":"Runtime.ExitError","metrics":{"durationMs":3}}}"#,
    r#"{"time":"2026-09-21T14:13:25Z","type":"platform.logsDropped","record":{"reason":"slow","droppedRecords":3,"droppedBytes":9}}"#,
];

/// Lines that exist in text only.
const TEXT: &[&str] = &[
    "2026-09-21T14:13:26.000Z 00000000-0000-4000-8000-000000000004 Task timed out after 3.00 seconds",
    "XRAY TraceId: 1-62e900b2-710d76f009d6e7785905449a SegmentId: 0efbd19962d95b05 Sampled: true",
    "REPORT RequestId: 00000000-0000-4000-8000-000000000005\tDuration: 3.00 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB\tXRAY TraceId: 1-62e900b2-710d76f009d6e7785905449a\tSegmentId: 0efbd19962d95b05\tSampled: true",
];

/// A line that names all ids that a record has a place for, with more keys than become attributes.
fn json_line() -> String {
    let more: Vec<String> = (0..40).map(|key| format!("\"key{key}\":{key}")).collect();
    let more = more.join(",");
    format!(
        "{{\"level\":\"INFO\",\"message\":\"m\",\"AWSRequestId\":\"00000000-0000-4000-8000-000000000001\",\"tenantId\":\"blue\",\"xray_trace_id\":\"1-62e900b2-710d76f009d6e7785905449a\",\"durableExecutionArn\":\"arn:aws:lambda:eu-west-1:123456789012:function:f:7/durable-execution/a/b\",{more}}}"
    )
}

fn identity() -> Identity {
    Identity::of(&LogSource {
        account: "123456789012",
        region: Some("eu-west-1"),
        log_group: "/aws/lambda/f",
        log_stream: "2026/09/21/[7]2f399eb14537447da05ab2a2e39309de",
    })
}

fn converter(names: Names) -> Converter {
    let options = PlatformOptions { names, platform_logs_all: true, ..PlatformOptions::default() };
    Converter::new(identity(), options, TIME_NS)
}

fn converted(mut converter: Converter) -> ConvertedLines {
    let line = json_line();
    for message in EVENTS.iter().chain(TEXT).copied().chain([line.as_str()]) {
        converter.log_event(&LogEventRef { id: "1", time_ms: TIME_MS, message });
    }
    let undecodable = Undecodable { reason: "payload is empty", size_bytes: 1, sha256: "0" };
    converter.undecodable(&LogEventRef { id: "1", time_ms: TIME_MS, message: "" }, &undecodable);
    converter.finish()
}

pub(super) fn metrics(names: Names) -> anyhow::Result<Vec<Metric>> {
    let metrics = converted(converter(names)).metrics.context("no metrics of Lambda's lines")?;
    Ok(metrics.scope_metrics.into_iter().flat_map(|scope| scope.metrics).collect())
}

pub(super) fn metrics_of_layer() -> anyhow::Result<Vec<Metric>> {
    let mut aggregator =
        Aggregator::new(Shape::default(), Names::Current).with_owner(Owner::Extension);
    for event in events()? {
        aggregator.add(&event, TIME_NS);
    }
    Ok(aggregator.take())
}

/// The attributes of the spans of invocations, without the spans of phases.
pub(super) fn span_attributes(names: Names) -> anyhow::Result<Attributes> {
    let mut attributes = Attributes::new();
    let options = SpanOptions {
        names,
        end: SpanEnd::Report,
        function_name: "f".to_owned(),
        ..SpanOptions::default()
    };
    let mut of_layer = Invocations::new(options);
    let id = "00000000-0000-4000-8000-000000000001";
    of_layer.invoked(id, "arn:aws:lambda:eu-west-1:123456789012:function:f:live", TIME_NS);
    of_layer.triggered(id, "http", TIME_NS);
    let root = FunctionRoot { trace_id: [1; 16], span_id: [1; 8], is_open: false };
    of_layer.function_root(id, root, TIME_NS);
    for event in events()? {
        of_layer.observe(&event, TIME_NS);
    }
    for span in of_layer.take_finished() {
        add(&mut attributes, &span.attributes);
    }
    let of_forwarder = converter(names).with_spans(SpanMapping::SpanEvents, SpanEnd::Report, false);
    let spans = converted(of_forwarder).spans.context("no spans of Lambda's lines")?;
    for span in spans.scope_spans.iter().flat_map(|scope| &scope.spans) {
        add(&mut attributes, &span.attributes);
    }
    Ok(attributes)
}

/// The attributes of log records: of a function's lines, without the line's own, and of Lambda's lines.
pub(super) fn record_attributes() -> anyhow::Result<(Attributes, Attributes)> {
    let logs = converted(converter(Names::Current)).logs.context("no log records")?;
    let logs = logs.decode::<Logs>().context("not log records")??;
    let (mut lines, mut events) = (Attributes::new(), Attributes::new());
    for scope in logs.resource_logs.iter().flat_map(|resource| &resource.scope_logs) {
        let is_platform =
            scope.scope.as_ref().is_some_and(|scope| scope.name == platform::PLATFORM_SCOPE);
        let attributes = if is_platform { &mut events } else { &mut lines };
        for record in &scope.log_records {
            add(attributes, &record.attributes);
        }
    }
    lines.retain(|key, _| !key.starts_with("key"));
    Ok((lines, events))
}

fn events() -> anyhow::Result<Vec<PlatformEvent>> {
    let body = format!("[{}]", EVENTS.join(","));
    let batch = parse_batch(&body);
    if batch.is_broken || batch.refused > 0 || batch.events.len() != EVENTS.len() {
        bail!("not all events of the Telemetry API are read");
    }
    let platform = batch.events.into_iter().filter_map(|event| match event.record {
        TelemetryRecord::Platform(event) => Some(*event),
        TelemetryRecord::Line { .. } => None,
    });
    Ok(platform.collect())
}
