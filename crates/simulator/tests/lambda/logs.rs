//! What an environment writes to its log stream, and what a runtime sees of Lambda.

use std::collections::BTreeMap;

use crate::support::{SHORT, function, ids, invoke, lambda, log, mask, messages};
use expect_test::{Expect, expect};
use lambda_otlp_simulator::{Invocation, Lambda, LogFormat, LogLevel, XRay};
use serde_json::{Value, json};

fn environment(invocation: &Invocation) -> BTreeMap<String, String> {
    serde_json::from_slice(invocation.response().unwrap()).unwrap()
}

#[tokio::test]
async fn text_lines_have_lambdas_shape() {
    let lambda = lambda([function("f").timeout(SHORT)]).await;
    invoke(&lambda, "f", json!([{ "print": "to stdout" }, { "print_after_response": "late" }]))
        .await;
    invoke(&lambda, "f", json!([{ "print_error": "to stderr" }, { "fail": "OrderRejected" }]))
        .await;
    invoke(&lambda, "f", json!(["hang"])).await;
    invoke(&lambda, "f", json!([{ "exit": 3 }])).await;
    expect![[r#"
        "INIT_START Runtime Version: provided:al2023.v100\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:51d1ff1f8a4b0cf0d5f5ac5e7ce8ba4a3d1c3c8f5ac25e38a0c0a4ad0b2f6c51\n"
        "init of the function\n"
        "START RequestId: ID Version: $LATEST\n"
        "to stdout\n"
        "late\n"
        "END RequestId: ID\n"
        "REPORT RequestId: ID\tDuration: N.NN ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\tInit Duration: N.NN ms\t\n"
        "START RequestId: ID Version: $LATEST\n"
        "to stderr\n"
        "END RequestId: ID\n"
        "REPORT RequestId: ID\tDuration: N.NN ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\t\n"
        "START RequestId: ID Version: $LATEST\n"
        "END RequestId: ID\n"
        "REPORT RequestId: ID\tDuration: N.NN ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\tStatus: timeout\t\n"
        "START RequestId: ID Version: $LATEST\n"
        "init of the function\n"
        "END RequestId: ID\n"
        "REPORT RequestId: ID\tDuration: N.NN ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\tStatus: error\tError Type: Runtime.ExitError\t\n"
    "#]]
    .assert_eq(&log(&lambda, "f"));
}

#[tokio::test]
async fn old_style_failures_are_lines_of_their_own() {
    let lambda = lambda([function("f").timeout(SHORT).old_style_failures(true)]).await;
    invoke(&lambda, "f", json!(["hang"])).await;
    invoke(&lambda, "f", json!([{ "exit": 3 }])).await;
    invoke(&lambda, "f", json!([{ "exit": 0 }])).await;
    invoke(&lambda, "f", json!(["abort"])).await;
    let log = log(&lambda, "f");
    let log: String = log.split_inclusive('\n').filter(|line| !line.contains("init of")).collect();
    expect![[r#"
        "INIT_START Runtime Version: provided:al2023.v100\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:51d1ff1f8a4b0cf0d5f5ac5e7ce8ba4a3d1c3c8f5ac25e38a0c0a4ad0b2f6c51\n"
        "START RequestId: ID Version: $LATEST\n"
        "TIME ID Task timed out after N.NN seconds\n\n"
        "END RequestId: ID\n"
        "REPORT RequestId: ID\tDuration: N.NN ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\tInit Duration: N.NN ms\t\n"
        "START RequestId: ID Version: $LATEST\n"
        "RequestId: ID Error: Runtime exited with error: exit status 3\nRuntime.ExitError\n"
        "END RequestId: ID\n"
        "REPORT RequestId: ID\tDuration: N.NN ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\t\n"
        "START RequestId: ID Version: $LATEST\n"
        "RequestId: ID Error: Runtime exited without providing a reason\nRuntime.ExitError\n"
        "END RequestId: ID\n"
        "REPORT RequestId: ID\tDuration: N.NN ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\t\n"
        "START RequestId: ID Version: $LATEST\n"
        "RequestId: ID Error: Runtime exited with error: signal: aborted\nRuntime.ExitError\n"
        "END RequestId: ID\n"
        "REPORT RequestId: ID\tDuration: N.NN ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\t\n"
    "#]]
    .assert_eq(&log);
}

/// A success, a timeout, and a success after a suppressed init, in JSON format at a system log level.
async fn check_json(level: LogLevel, expected: Expect) {
    let spec = function("f").log_format(LogFormat::Json).system_log_level(level).timeout(SHORT);
    let lambda = lambda([spec.xray(XRay::Sampled)]).await;
    invoke(&lambda, "f", json!([{ "print": "plain" }])).await;
    invoke(&lambda, "f", json!(["hang"])).await;
    invoke(&lambda, "f", json!([])).await;
    let lines: String = messages(&lambda, "f").iter().map(|message| mask(message) + "\n").collect();
    // Three decimals at most.
    let lines = lines.replace("N.NNN", "N.N").replace("N.NN", "N.N");
    expected.assert_eq(&lines);
}

#[tokio::test]
async fn json_lines_have_lambdas_shape() {
    check_json(
        LogLevel::Debug,
        expect![[r#"
            {"time":"TIME","type":"platform.initStart","record":{"initializationType":"on-demand","phase":"init","runtimeVersion":"provided:al2023.v100","runtimeVersionArn":"arn:aws:lambda:us-east-1::runtime:51d1ff1f8a4b0cf0d5f5ac5e7ce8ba4a3d1c3c8f5ac25e38a0c0a4ad0b2f6c51","functionName":"f","functionVersion":"$LATEST","instanceId":"HEX","instanceMaxMemory":128}}
            init of the function

            {"time":"TIME","type":"platform.initRuntimeDone","record":{"initializationType":"on-demand","phase":"init","status":"success"}}
            {"time":"TIME","type":"platform.initReport","record":{"initializationType":"on-demand","phase":"init","status":"success","metrics":{"durationMs":N.N}}}
            {"time":"TIME","type":"platform.start","record":{"requestId":"ID","version":"$LATEST","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            plain

            {"time":"TIME","type":"platform.runtimeDone","record":{"requestId":"ID","status":"success","spans":[{"name":"responseLatency","start":"TIME","durationMs":N.N},{"name":"responseDuration","start":"TIME","durationMs":N.N},{"name":"runtimeOverhead","start":"TIME","durationMs":N.N}],"metrics":{"durationMs":N.N,"producedBytes":26},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            {"time":"TIME","type":"platform.report","record":{"requestId":"ID","status":"success","metrics":{"durationMs":N.N,"billedDurationMs":N,"memorySizeMB":128,"maxMemoryUsedMB":N,"initDurationMs":N.N},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            {"time":"TIME","type":"platform.start","record":{"requestId":"ID","version":"$LATEST","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            {"time":"TIME","type":"platform.runtimeDone","record":{"requestId":"ID","status":"timeout","metrics":{"durationMs":N.N,"producedBytes":0},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            {"time":"TIME","type":"platform.report","record":{"requestId":"ID","status":"timeout","metrics":{"durationMs":N.N,"billedDurationMs":N,"memorySizeMB":128,"maxMemoryUsedMB":N},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            {"time":"TIME","type":"platform.start","record":{"requestId":"ID","version":"$LATEST","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            init of the function

            {"time":"TIME","type":"platform.runtimeDone","record":{"requestId":"ID","status":"success","spans":[{"name":"responseLatency","start":"TIME","durationMs":N.N},{"name":"responseDuration","start":"TIME","durationMs":N.N},{"name":"runtimeOverhead","start":"TIME","durationMs":N.N}],"metrics":{"durationMs":N.N,"producedBytes":9},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            {"time":"TIME","type":"platform.report","record":{"requestId":"ID","status":"success","metrics":{"durationMs":N.N,"billedDurationMs":N,"memorySizeMB":128,"maxMemoryUsedMB":N},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn the_system_log_level_chooses_among_lambdas_lines() {
    check_json(
        LogLevel::Info,
        expect![[r#"
            {"time":"TIME","type":"platform.initStart","record":{"initializationType":"on-demand","phase":"init","runtimeVersion":"provided:al2023.v100","runtimeVersionArn":"arn:aws:lambda:us-east-1::runtime:51d1ff1f8a4b0cf0d5f5ac5e7ce8ba4a3d1c3c8f5ac25e38a0c0a4ad0b2f6c51","functionName":"f","functionVersion":"$LATEST","instanceId":"HEX","instanceMaxMemory":128}}
            init of the function

            {"time":"TIME","type":"platform.start","record":{"requestId":"ID","version":"$LATEST","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            plain

            {"time":"TIME","type":"platform.report","record":{"requestId":"ID","status":"success","metrics":{"durationMs":N.N,"billedDurationMs":N,"memorySizeMB":128,"maxMemoryUsedMB":N,"initDurationMs":N.N},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            {"time":"TIME","type":"platform.start","record":{"requestId":"ID","version":"$LATEST","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            {"time":"TIME","type":"platform.runtimeDone","record":{"requestId":"ID","status":"timeout","metrics":{"durationMs":N.N,"producedBytes":0},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            {"time":"TIME","type":"platform.report","record":{"requestId":"ID","status":"timeout","metrics":{"durationMs":N.N,"billedDurationMs":N,"memorySizeMB":128,"maxMemoryUsedMB":N},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            {"time":"TIME","type":"platform.start","record":{"requestId":"ID","version":"$LATEST","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            init of the function

            {"time":"TIME","type":"platform.report","record":{"requestId":"ID","status":"success","metrics":{"durationMs":N.N,"billedDurationMs":N,"memorySizeMB":128,"maxMemoryUsedMB":N},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
        "#]],
    )
    .await;
    check_json(
        LogLevel::Warn,
        expect![[r#"
            init of the function

            plain

            {"time":"TIME","type":"platform.runtimeDone","record":{"requestId":"ID","status":"timeout","metrics":{"durationMs":N.N,"producedBytes":0},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            {"time":"TIME","type":"platform.report","record":{"requestId":"ID","status":"timeout","metrics":{"durationMs":N.N,"billedDurationMs":N,"memorySizeMB":128,"maxMemoryUsedMB":N},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=1"}}}
            init of the function

        "#]],
    )
    .await;
}

#[tokio::test]
async fn lines_below_the_application_log_level_are_dropped_and_counted() {
    let line = |level: &str| {
        json!({ "timestamp": "2024-10-27T19:17:45.586Z", "level": level, "message": "m" })
            .to_string()
    };
    let prints = json!([
        { "print": line("ERROR") },
        { "print": line("warn") },
        { "print_error": line("INFO") },
        { "print": line("DEBUG") },
        { "print": r#"{"level":"ERROR","message":"no time"}"# },
        { "print": "plain" },
    ]);
    let at =
        |name: &str, level| function(name).log_format(LogFormat::Json).application_log_level(level);
    let text = function("text").application_log_level(LogLevel::Fatal);
    let lambda = lambda([at("warn", LogLevel::Warn), at("info", LogLevel::Info), text]).await;
    for (name, written, dropped) in [("warn", 2, 5), ("info", 6, 1), ("text", 7, 0)] {
        let before = lambda.log_counts().below_level;
        invoke(&lambda, name, prints.clone()).await;
        let own = messages(&lambda, name).into_iter().filter(|message| message.ends_with('\n'));
        let own: Vec<_> = own
            .filter(|message| !message.contains("RequestId") && !message.contains("INIT"))
            .collect();
        // The function's own line during init is one of them.
        assert_eq!(
            (own.len(), lambda.log_counts().below_level - before),
            (written, dropped),
            "{name}: {own:?}"
        );
    }
}

#[tokio::test]
async fn lines_are_split_where_lambda_splits_them() {
    let lambda = lambda([function("whole"), function("split").split_at_pipe_buffer(true)]).await;
    for (name, bytes, expected) in [
        ("whole", 65_537, &[65_537][..]),
        ("whole", 262_118, &[262_118]),
        ("whole", 262_119, &[262_118, 1]),
        ("whole", 600_000, &[262_118, 262_118, 75_764]),
        ("split", 65_536, &[65_536]),
        ("split", 65_537, &[65_536, 1]),
        ("split", 140_000, &[65_536, 65_536, 8_928]),
    ] {
        let before = lambda.log_events(name).len();
        invoke(&lambda, name, json!([{ "print_bytes": bytes }])).await;
        let messages = messages(&lambda, name);
        let pieces: Vec<&String> = messages
            .iter()
            .skip(before)
            .filter(|message| message.starts_with('x') || *message == "\n")
            .collect();
        assert_eq!(
            pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>(),
            expected,
            "{name} {bytes}"
        );
        assert_eq!(pieces.iter().filter(|piece| piece.ends_with('\n')).count(), 1);
    }
}

#[tokio::test]
async fn every_line_of_an_invocation_is_there_when_it_is_over() {
    let lambda = lambda([function("f")]).await;
    for _ in 0..5 {
        let invocation = invoke(&lambda, "f", json!([{ "print_lines": 20_000 }])).await;
        let messages = messages(&lambda, "f");
        let start = format!("START RequestId: {} Version: $LATEST\n", invocation.request_id);
        let position = messages.iter().position(|message| *message == start).unwrap();
        let own = &messages[position + 1..messages.len() - 2];
        assert!(own.iter().enumerate().all(|(number, line)| *line == format!("line {number}\n")));
        assert_eq!(own.len(), 20_000);
        assert!(messages[messages.len() - 2].starts_with("END RequestId"));
    }
}

#[tokio::test]
async fn the_xray_header_has_four_forms() {
    #[track_caller]
    fn check(header: Option<&String>, expected: &Expect) {
        expected.assert_eq(&header.map(|header| mask(header)).unwrap_or_default());
    }
    let lambda = Lambda::start().await.unwrap();
    for (name, xray, expected, is_reported) in [
        ("absent", XRay::Absent, expect![""], false),
        ("unsampled", XRay::NotSampled, expect!["Root=ROOT;Parent=HEX;Sampled=0"], false),
        ("sampled", XRay::Sampled, expect!["Root=ROOT;Parent=HEX;Sampled=1"], true),
        (
            "lineage",
            XRay::WithLineage,
            expect!["Root=ROOT;Parent=HEX;Sampled=0;Lineage=1:N:0"],
            false,
        ),
    ] {
        lambda.create_function(function(name).xray(xray)).unwrap();
        let invocation = invoke(&lambda, name, json!(["respond_environment"])).await;
        let seen = environment(&invocation);
        check(seen.get("trace"), &expected);
        assert_eq!(seen.get("trace"), invocation.trace_header.as_ref());
        let sampled = invocation.trace_header.is_some_and(|header| header.contains(";Sampled=1"));
        assert_eq!(sampled, is_reported, "{name}");
        let report = messages(&lambda, name).pop().unwrap();
        assert_eq!(report.contains("\t\nXRAY TraceId: 1-"), is_reported, "{name}: {report}");
    }
}

#[tokio::test]
async fn a_process_has_lambdas_environment_and_the_users_and_no_other() {
    let json = function("json")
        .log_format(LogFormat::Json)
        .application_log_level(LogLevel::Warn)
        .env("TABLE", "orders")
        .env("PATH", "/somewhere")
        .memory_mb(512)
        .region("eu-central-1")
        .account_id("210987654321")
        .version("7")
        .log_group("/shared/group")
        .directory("/");
    let lambda = lambda([function("text"), json]).await;
    let check = async |name: &str, expected: Expect| {
        let invocation = invoke(&lambda, name, json!(["respond_environment"])).await;
        let mut seen = environment(&invocation);
        assert_eq!(seen.remove("AWS_LAMBDA_LOG_STREAM_NAME").unwrap(), invocation.log_stream);
        assert!(invocation.log_stream.ends_with(&invocation.environment));
        assert!(seen.remove("AWS_LAMBDA_RUNTIME_API").unwrap().starts_with("127.0.0.1:"));
        assert!(seen.remove("deadline").unwrap().parse::<u64>().unwrap() > 1_700_000_000_000);
        seen.remove("trace");
        if name == "text" {
            assert!(
                env!("CARGO_BIN_EXE_simulated-function")
                    .starts_with(&seen.remove("LAMBDA_TASK_ROOT").unwrap())
            );
        }
        // Coverage tools and the like set what a child needs through the process's own environment: nothing may pass.
        let lines: Vec<String> =
            seen.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let stream: String = invocation.log_stream.chars().skip(10).collect();
        expected.assert_eq(&(lines.concat() + &mask(&stream) + "\n"));
    };
    check(
        "text",
        expect![[r"
            AWS_ACCESS_KEY_ID=ASIASIMULATED
            AWS_DEFAULT_REGION=us-east-1
            AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128
            AWS_LAMBDA_FUNCTION_NAME=text
            AWS_LAMBDA_FUNCTION_VERSION=$LATEST
            AWS_LAMBDA_INITIALIZATION_TYPE=on-demand
            AWS_LAMBDA_LOG_FORMAT=Text
            AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/text
            AWS_REGION=us-east-1
            AWS_SECRET_ACCESS_KEY=simulated
            AWS_SESSION_TOKEN=simulated
            AWS_XRAY_CONTEXT_MISSING=LOG_ERROR
            AWS_XRAY_DAEMON_ADDRESS=169.254.79.129:2000
            LAMBDA_RUNTIME_DIR=/var/runtime
            LANG=en_US.UTF-8
            PATH=/usr/local/bin:/usr/bin/:/bin:/opt/bin
            TZ=:UTC
            _HANDLER=bootstrap
            arn=arn:aws:lambda:us-east-1:123456789012:function:text
            /[$LATEST]HEX
        "]],
    )
    .await;
    check(
        "json",
        expect![[r"
            AWS_ACCESS_KEY_ID=ASIASIMULATED
            AWS_DEFAULT_REGION=eu-central-1
            AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512
            AWS_LAMBDA_FUNCTION_NAME=json
            AWS_LAMBDA_FUNCTION_VERSION=7
            AWS_LAMBDA_INITIALIZATION_TYPE=on-demand
            AWS_LAMBDA_LOG_FORMAT=JSON
            AWS_LAMBDA_LOG_GROUP_NAME=/shared/group
            AWS_LAMBDA_LOG_LEVEL=WARN
            AWS_REGION=eu-central-1
            AWS_SECRET_ACCESS_KEY=simulated
            AWS_SESSION_TOKEN=simulated
            AWS_XRAY_CONTEXT_MISSING=LOG_ERROR
            AWS_XRAY_DAEMON_ADDRESS=169.254.79.129:2000
            LAMBDA_RUNTIME_DIR=/var/runtime
            LAMBDA_TASK_ROOT=/
            LANG=en_US.UTF-8
            PATH=/somewhere
            TABLE=orders
            TZ=:UTC
            _HANDLER=bootstrap
            arn=arn:aws:lambda:eu-central-1:210987654321:function:json
            /json[7]HEX
        "]],
    )
    .await;
}

#[tokio::test]
async fn the_runtime_api_refuses_what_lambda_refuses() {
    let lambda = lambda([function("f")]).await;
    let invocation = invoke(&lambda, "f", json!(["respond_wrongly"])).await;
    assert!(invocation.is_success());
    let statuses: Vec<_> =
        messages(&lambda, "f").into_iter().filter(|message| message.len() == 4).collect();
    assert_eq!(statuses, ["400\n", "403\n", "202\n", "403\n", "404\n"]);
}

#[tokio::test]
async fn a_response_may_be_large_and_may_come_in_chunks_but_not_too_large() {
    let lambda = lambda([function("f")]).await;
    let error_type = |invocation: &Invocation| match &invocation.result {
        lambda_otlp_simulator::InvocationResult::FunctionError { error_type, .. } => {
            error_type.clone()
        }
        other => panic!("{other:?}"),
    };
    let largest = 6 * 1024 * 1024;
    let large = invoke(&lambda, "f", json!([{ "respond_bytes": largest }])).await;
    assert_eq!(large.response().map(<[u8]>::len), Some(largest));
    let too_large = invoke(&lambda, "f", json!([{ "respond_bytes": largest + 1 }])).await;
    assert_eq!(error_type(&too_large), "Function.ResponseSizeTooLarge");
    assert!(messages(&lambda, "f").contains(&"response: 413\n".to_owned()));

    let streamed = invoke(&lambda, "f", json!([{ "stream": { "chunks": ["one ", "two"] } }])).await;
    assert_eq!(streamed.response(), Some(&b"one two"[..]));
    let stream = json!([{ "stream": { "chunks": ["one "], "error": "Function.Broken" } }]);
    assert_eq!(error_type(&invoke(&lambda, "f", stream).await), "Function.Broken");
}

#[tokio::test]
async fn event_ids_are_unique_and_rise() {
    let lambda = lambda([function("f"), function("g")]).await;
    invoke(&lambda, "f", json!([{ "print_lines": 100 }])).await;
    invoke(&lambda, "g", json!([{ "print_lines": 100 }])).await;
    invoke(&lambda, "f", json!([{ "print_lines": 100 }])).await;
    let (f, g) = (lambda.log_events("f"), lambda.log_events("g"));
    let mut all: Vec<&str> = ids(&f);
    assert!(all.is_sorted_by(|one, next| one < next));
    assert!(all.iter().all(|id| id.len() == 56 && id.bytes().all(|byte| byte.is_ascii_digit())));
    all.extend(ids(&g));
    let total = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), total);
    let counts = lambda.log_counts();
    assert_eq!((counts.events, counts.evicted, counts.undelivered), (total as u64, 0, 0));
}

#[tokio::test]
async fn json_events_hold_the_invocations_own_figures() {
    let spec = function("f").log_format(LogFormat::Json).system_log_level(LogLevel::Debug);
    let lambda = lambda([spec]).await;
    let invocation = invoke(&lambda, "f", json!([{ "burn": 5 }, { "respond": "four" }])).await;
    let events: Vec<Value> = messages(&lambda, "f")
        .iter()
        .filter_map(|message| serde_json::from_str(message).ok())
        .collect();
    let record = |kind: &str| &events.iter().find(|event| event["type"] == kind).unwrap()["record"];
    let report = &record("platform.report")["metrics"];
    let milliseconds = invocation.duration.as_secs_f64() * 1000.0;
    assert!((report["durationMs"].as_f64().unwrap() - milliseconds).abs() < 0.001);
    assert_eq!(
        u128::from(report["billedDurationMs"].as_u64().unwrap()),
        invocation.billed_duration.as_millis()
    );
    assert_eq!(report["maxMemoryUsedMB"], invocation.max_memory_mb);
    let done = record("platform.runtimeDone");
    assert_eq!(done["metrics"]["producedBytes"], 6);
    assert!(done["spans"][0]["durationMs"].as_f64().unwrap() >= 5.0);
    assert_eq!(record("platform.start")["requestId"], invocation.request_id);
}
