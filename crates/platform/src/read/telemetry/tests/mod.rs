mod peers;

use proptest::prelude::*;

use super::*;
use crate::render;

const ID: &str = "459921b5-681c-4a96-beb0-81e0aa586026";
const TRACING: &str = r#""tracing":{"spanId":"24cd7d670fa455f0","type":"X-Amzn-Trace-Id","value":"Root=1-6352a70e-1e2c502e358361800241fd45;Parent=35465b3a9e2f7c6a;Sampled=1"}"#;
const TRACED: &str = "trace=1-6352a70e-1e2c502e358361800241fd45 span=24cd7d670fa455f0 parent=35465b3a9e2f7c6a sampled=true";

fn show(event: &TelemetryEvent<'_>) -> String {
    let time = event.time_unix_nano.map(wire::timestamp::rfc3339_millis);
    let time = time.as_deref().and_then(|time| time.get(11..)).unwrap_or("-");
    match &event.record {
        TelemetryRecord::Platform(event) => format!("{time} {}", render::event(event)),
        TelemetryRecord::Line { from, message, .. } => format!("{time} {from:?}: {message}"),
    }
}

fn shown(json: &str) -> String {
    let raw = serde_json::from_str(json).unwrap();
    parse(raw).as_ref().map_or_else(|| String::from("-"), show)
}

/// Reads an event of this type and record, at 00:00:15.064, with `{id}`, `{tracing}` and `{traced}` filled in. A system line in
/// CloudWatch with the same text must give the same result.
#[track_caller]
fn check(kind: &str, record: &str, expected: &str) {
    let record = record.replace("{id}", ID).replace("{tracing}", TRACING);
    let json =
        format!(r#"{{"time":"2022-10-12T00:00:15.064Z","type":"{kind}","record":{record}}}"#);
    let expected = expected.replace("{traced}", TRACED);
    assert_eq!(shown(&json), format!("00:00:15.064Z {expected}"), "{json}");
    if kind.starts_with("platform.") && (record.starts_with('{') || record.starts_with('"')) {
        let line = parse_line(&format!("{json}\n")).expect("a system line");
        assert_eq!(render::event(&line), expected, "as a line: {json}");
    } else {
        assert_eq!(parse_line(&json), None, "{json}");
    }
}

#[test]
fn every_event_kind_of_the_telemetry_schema_is_parsed() {
    check(
        "platform.initStart",
        r#"{"initializationType":"on-demand","phase":"init","runtimeVersion":"nodejs-14.v3","runtimeVersionArn":"arn","functionName":"myFunction","functionVersion":"$LATEST","instanceId":"82561ce0","instanceMaxMemory":256}"#,
        "initStart phase=init version=$LATEST runtime=nodejs-14.v3 arn=arn init_type=on-demand instance=82561ce0 instance_memory=256",
    );
    check(
        "platform.initRuntimeDone",
        r#"{"initializationType":"on-demand","phase":"init","status":"success","spans":[{"name":"someTimeSpan","start":"2022-06-02T12:02:33.913Z","durationMs":70.5}]}"#,
        "initRuntimeDone status=success phase=init init_type=on-demand someTimeSpan@12:02:33.913Z/70.5",
    );
    check(
        "platform.initRuntimeDone",
        r#"{"initializationType":"on-demand","status":"error","errorType":"Runtime.ImportModuleError"}"#,
        "initRuntimeDone status=error error=Runtime.ImportModuleError init_type=on-demand",
    );
    check(
        "platform.initReport",
        r#"{"initializationType":"on-demand","status":"success","phase":"init","metrics":{"durationMs":125.33}}"#,
        "initReport status=success phase=init init_type=on-demand duration=125.33 init=125.33",
    );
    check(
        "platform.start",
        r#"{"requestId":"{id}","version":"$LATEST",{tracing}}"#,
        "start id=459921b5 version=$LATEST {traced}",
    );
    check(
        "platform.runtimeDone",
        r#"{"requestId":"{id}","status":"success",{tracing},"spans":[{"name":"responseLatency","start":"2022-10-21T14:05:03.165Z","durationMs":2598.0},{"name":"responseDuration","start":"2022-10-21T14:05:05.763Z","durationMs":0.0}],"metrics":{"durationMs":2599.0,"producedBytes":8}}"#,
        "runtimeDone id=459921b5 status=success {traced} duration=2599 bytes=8 responseLatency@14:05:03.165Z/2598 responseDuration@14:05:05.763Z/0",
    );
    check(
        "platform.runtimeDone",
        r#"{"requestId":"{id}","status":"timeout","metrics":{"durationMs":3000.0,"producedBytes":0}}"#,
        "runtimeDone id=459921b5 status=timeout duration=3000 bytes=0",
    );
    check(
        "platform.report",
        r#"{"requestId":"{id}","metrics":{"durationMs":2599.4,"billedDurationMs":2600,"memorySizeMB":128,"maxMemoryUsedMB":94,"initDurationMs":549.04},"spans":[{"name":"extensionOverhead","start":"2022-10-21T14:05:05.764Z","durationMs":1.9}],{tracing},"status":"success"}"#,
        "report id=459921b5 status=success {traced} duration=2599.4 billed=2600 memory=128 used=94 init=549.04 extensionOverhead@14:05:05.764Z/1.9",
    );
    check(
        "platform.report",
        r#"{"requestId":"{id}","metrics":{"durationMs":147.156,"billedDurationMs":201,"memorySizeMB":512,"maxMemoryUsedMB":91,"restoreDurationMs":500.795,"billedRestoreDurationMs":53},"status":"error","errorType":"Runtime.OutOfMemory"}"#,
        "report id=459921b5 status=error error=Runtime.OutOfMemory duration=147.156 billed=201 memory=512 used=91 restore=500.795 billed_restore=53",
    );
    check(
        "platform.restoreStart",
        r#"{"runtimeVersion":"nodejs-14.v3","functionVersion":"7","instanceMaxMemory":"256"}"#,
        "restoreStart version=7 runtime=nodejs-14.v3 instance_memory=256",
    );
    check(
        "platform.restoreRuntimeDone",
        r#"{"status":"success","spans":[{"name":"someTimeSpan","start":"2022-08-02T12:01:23:521Z","durationMs":80.0}]}"#,
        "restoreRuntimeDone status=success someTimeSpan@12:01:23.521Z/80",
    );
    check(
        "platform.restoreReport",
        r#"{"status":"success","metrics":{"durationMs":15.19}}"#,
        "restoreReport status=success duration=15.19 restore=15.19",
    );
    check(
        "platform.restoreReport",
        r#"{"status":"failure","errorType":"RestoreError"}"#,
        "restoreReport status=failure error=RestoreError",
    );
    check(
        "platform.extension",
        r#"{"events":["INVOKE","SHUTDOWN"],"name":"my-extension","state":"Ready"}"#,
        r#"extension name=my-extension state=Ready other:events=["INVOKE","SHUTDOWN"]"#,
    );
    check(
        "platform.telemetrySubscription",
        r#"{"name":"my-extension","state":"Subscribed","types":["platform"]}"#,
        r#"telemetrySubscription name=my-extension state=Subscribed other:types=["platform"]"#,
    );
    check(
        "platform.logsDropped",
        r#"{"droppedBytes":12345,"droppedRecords":123,"reason":"too slow"}"#,
        "logsDropped message=too slow dropped=123 dropped_bytes=12345",
    );
}

#[test]
fn logs_api_events_are_parsed() {
    check("platform.end", r#"{"requestId":"{id}"}"#, "end id=459921b5");
    check(
        "platform.logsSubscription",
        r#"{"name":"x","state":"active","types":["test"]}"#,
        r#"logsSubscription name=x state=active other:types=["test"]"#,
    );
    check(
        "platform.fault",
        r#""RequestId: {id} Process exited before completing request""#,
        "fault id=459921b5 message=RequestId: 459921b5-681c-4a96-beb0-81e0aa586026 Process exited before completing request",
    );
    check(
        "platform.fault",
        r#""RequestId: {id} Error: Runtime exited with error: signal: killed\nRuntime.ExitError""#,
        "outOfMemory id=459921b5 error=Runtime.ExitError message=RequestId: 459921b5-681c-4a96-beb0-81e0aa586026 Error: Runtime exited with error: signal: killed\nRuntime.ExitError",
    );
    check("platform.runtimeDone", r#""who knows""#, "runtimeDone message=who knows");
}

#[test]
fn managed_instance_events_are_parsed() {
    check(
        "platform.initStart",
        r#"{"initializationType":"lambda-managed-instances","phase":"init"}"#,
        "initStart phase=init init_type=lambda-managed-instances",
    );
    check(
        "platform.report",
        r#"{"requestId":"{id}","status":"success","metrics":{"durationMs":3.5},"spans":[{"name":"responseLatency","start":"2022-10-21T14:05:03.165Z","durationMs":3},{"name":"responseDuration","start":"2022-10-21T14:05:03.168Z","durationMs":0.5}]}"#,
        "report id=459921b5 status=success duration=3.5 responseLatency@14:05:03.165Z/3 responseDuration@14:05:03.168Z/0.5",
    );
}

#[test]
fn unknown_kinds_and_fields_are_tolerated() {
    check("platform.spinDownStart", r#"{"a":{"b":1}}"#, r#"spinDownStart other:a={"b":1}"#);
    check("platform.", "{}", " ".trim_end_matches(' '));
    check("weather", r#"{"requestId":"{id}"}"#, "weather id=459921b5");
    check("platform.report", "{}", "report");
    check("platform.report", "null", "report");
    check("platform.report", "17", "report");
    check(
        "platform.start",
        r#"{"requestId":"local-1","tenantId":"t","status":"sleepy","x":null,"status":"first wins"}"#,
        "start id=local-1 status=sleepy other:tenantId=t",
    );
    check(
        "platform.start",
        r#"{"requestId":"459921B5-681C-4A96-BEB0-81E0AA586026","tracing":null}"#,
        "start id=459921b5",
    );
    check(
        "platform.start",
        r#"{"requestId":17,"version":["a"],"status":""}"#,
        r#"start other:version=["a"]"#,
    );
}

#[test]
fn invalid_figures_of_telemetry_events_are_omitted() {
    check(
        "platform.report",
        r#"{"metrics":{"durationMs":"invalid","billedDurationMs":124.5,"memorySizeMB":"512","maxMemoryUsedMB":-1,"initDurationMs":1e400,"restoreDurationMs":null,"newFigureMs":3}}"#,
        "report billed=124.5 memory=512",
    );
    check("platform.report", r#"{"metrics":[1]}"#, "report");
    check("platform.report", r#"{"metrics":"all well"}"#, "report");
}

#[test]
fn span_starts_are_parsed_in_every_format() {
    check(
        "platform.runtimeDone",
        r#"{"spans":[{"name":"a","start":"2022-08-02T12:01:23:521Z","durationMs":1},{"name":"b","start":0.0,"durationMs":"2.5"},{"name":"c","start":1666361103165,"durationMs":1e999},{"name":"d","start":12.5},{"name":"e","start":"1666361103165"},{"name":"f","start":"soon","durationMs":3},{"start":1},17,null,{"name":"g","start":-1}]}"#,
        "runtimeDone a@12:01:23.521Z/1 b@+0/2.5 c@14:05:03.165Z/? d@+12.5/? e@14:05:03.165Z/? f@?/3 g@?/?",
    );
    check("platform.runtimeDone", r#"{"spans":{"name":"a"}}"#, "runtimeDone");
    let many = vec![r#"{"name":"x"}"#; 100].join(",");
    let json = format!(r#"{{"type":"platform.runtimeDone","record":{{"spans":[{many}]}}}}"#);
    let TelemetryRecord::Platform(event) =
        parse(serde_json::from_str(&json).unwrap()).unwrap().record
    else {
        panic!("a platform event")
    };
    assert_eq!(event.spans.len(), PlatformEvent::MAX_SPANS);
}

#[test]
fn tracing_fields_are_optional() {
    let tracing = |tracing: &str| format!(r#"{{"tracing":{tracing}}}"#);
    for nothing in
        ["{}", "[]", r#""Root""#, r#"{"value":17}"#, r#"{"value":"Self=1","spanId":"x"}"#]
    {
        check("platform.start", &tracing(nothing), "start");
    }
    check(
        "platform.start",
        &tracing(r#"{"value":"Lineage=a87bd80c:0; Root=1-692cc535-0338d3516cb745b7b41f878e"}"#),
        "start trace=1-692cc535-0338d3516cb745b7b41f878e",
    );
    for span_id in ["0000000000000000", "24cd7d670fa455f", "24cd7d670fa455fx"] {
        let tracing = tracing(&format!(r#"{{"spanId":"{span_id}","value":"Sampled=0"}}"#));
        check("platform.start", &tracing, "start sampled=false");
    }
    check(
        "platform.start",
        &tracing(r#"{"spanId":"0000000000000000","value":"Root=1-5-2;Sampled=0"}"#),
        "start sampled=false",
    );
}

#[test]
fn function_and_extension_lines_pass_through() {
    check("function", r#""hello\nworld\n""#, "Function: hello\nworld\n");
    check("extension", r#""[INFO] x""#, "Extension: [INFO] x");
    check(
        "function",
        r#"{"level":"INFO","message":"x"}"#,
        r#"Function: {"level":"INFO","message":"x"}"#,
    );
    check("function", "true", "Function: true");
    assert_eq!(shown(r#"{"type":"function"}"#), "- Function: ");
}

#[test]
fn the_web_function_envelope_is_parsed() {
    let json = r#"{"timestamp":"2026-09-21T14:13:20.123Z","level":"WARN","type":"platform.requestComplete","region":"eu-west-1","record":{"status":200}}"#;
    assert_eq!(shown(json), "14:13:20.123Z requestComplete level=WARN other:status=200");
    assert_eq!(
        render::event(&parse_line(json).unwrap()),
        "requestComplete level=WARN other:status=200"
    );
}

#[test]
fn a_platform_line_requires_the_whole_envelope() {
    let check = |line: &str, is_lambdas: bool| {
        assert_eq!(parse_line(line).is_some(), is_lambdas, "{line}");
    };
    check(r#" {"record":{},"type":"platform.report","time":"2022-10-12T00:00:15Z"} "#, true);
    check(r#"{"record":{},"type":"platform.report","time":"later"}"#, true);
    check(r#"{"record":{},"type":"platform.report"}"#, false);
    check(r#"{"time":"2022-10-12T00:00:15Z","type":"platform.report"}"#, false);
    check(r#"{"time":"2022-10-12T00:00:15Z","type":"platform.report","record":[]}"#, false);
    check(r#"{"time":5,"type":"platform.report","record":{}}"#, false);
    check(r#"{"time":"2022-10-12T00:00:15Z","type":"my.platform.report","record":{}}"#, false);
    check(r#"{"time":"x","type":"INFO","record":{"type":"platform.report"}}"#, false);
    check(r#"{"time":"2022-10-12T00:00:15Z","type":"platform.report","record":{}} x"#, false);
    check(r#"{"time":"x","type":"platform.report","record":{}"#, false);
    let long = |bytes| {
        let text = "x".repeat(bytes);
        format!(r#"{{"time":"x","type":"platform.report","record":{{"x":"{text}"}}}}"#)
    };
    check(&long(60_000), true);
    check(&long(MAX_LINE_BYTES), false);
}

#[test]
fn an_invalid_event_does_not_affect_the_others() {
    let start = r#"{"time":"2022-10-12T00:00:15.064Z","type":"platform.start","record":{}}"#;
    let check = |body: &str, events: usize, refused: usize, is_broken: bool| {
        let batch = parse_batch(body);
        assert_eq!(
            (batch.events.len(), batch.refused, batch.is_broken),
            (events, refused, is_broken),
            "{body}"
        );
    };
    check("[]", 0, 0, false);
    check(&format!("[{start},{start}]"), 2, 0, false);
    check(&format!(r#"[17,{start},null,[],{{}},{{"type":5}},"x",{start}]"#), 2, 6, false);
    check(&format!("[{start},{start}"), 2, 0, true);
    check(&format!("[{start},{{\"time\":,{start}]"), 1, 0, true);
    check(&format!("[{start}] and more"), 1, 0, true);
    check("", 0, 0, true);
    check("{}", 0, 0, true);
    check(start, 0, 0, true);
}

#[test]
fn fields_of_a_telemetry_event_are_bounded() {
    let long = "ä".repeat(5000);
    let fields: Vec<String> = (0..100).map(|n| format!(r#""k{n}":"{long}""#)).collect();
    let json = format!(
        r#"{{"type":"platform.{long}","record":{{"requestId":"{long}",{}}}}}"#,
        fields.join(",")
    );
    let TelemetryRecord::Platform(event) =
        parse(serde_json::from_str(&json).unwrap()).unwrap().record
    else {
        panic!("a platform event")
    };
    let max = PlatformEvent::MAX_VALUE_BYTES;
    assert_eq!(event.other.len(), PlatformEvent::MAX_OTHER);
    assert!(event.other.iter().all(|(_, value)| value.len() == max));
    assert!(event.kind.as_str().len() <= max && event.request_id.unwrap().len() <= max);
}

proptest! {
    #[test]
    fn parsing_telemetry_json_never_panics(
        kind in "platform\\.(report|start|fault|x)|function",
        key in "requestId|metrics|tracing|spans|status|instanceMaxMemory|x",
        value in "[-0-9eE.]{1,9}|\"(\\PC|\\\\n){0,20}\"|\\[\\{\"name\":\"a\",\"start\":[0-9.e+]{1,6}\\}\\]|null",
    ) {
        let json = format!(r#"{{"time":"2022-10-12T00:00:15Z","type":"{kind}","record":{{"{key}":{value}}}}}"#);
        let _ = parse_line(&json);
        let _ = parse_batch(&format!("[{json}]"));
        if let Ok(raw) = serde_json::from_str(&json) {
            prop_assert!(parse(raw).is_some());
        }
    }

    #[test]
    fn parsing_arbitrary_telemetry_text_never_panics(text in "\\PC*") {
        let _ = parse_line(&text);
        let _ = parse_batch(&text);
    }
}
