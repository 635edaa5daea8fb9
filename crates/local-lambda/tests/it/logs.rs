//! An environment's log stream, and the runtime's view of Lambda.

use std::collections::BTreeMap;

use crate::functions::{SHORT, function, invoke, lambda, log, mask, messages};
use expect_test::{Expect, expect};
use lambda_otlp_local_lambda::{Invocation, LogFormat};
use serde_json::json;

fn environment(invocation: &Invocation) -> BTreeMap<String, String> {
    serde_json::from_slice(invocation.response().unwrap()).unwrap()
}

#[tokio::test]
async fn platform_lines_in_text_format_match_lambda() {
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
async fn platform_lines_in_json_format_match_lambda() {
    let lambda = lambda([function("f").log_format(LogFormat::Json).timeout(SHORT)]).await;
    invoke(&lambda, "f", json!([{ "print": "plain" }])).await;
    invoke(&lambda, "f", json!(["hang"])).await;
    invoke(&lambda, "f", json!([])).await;
    let lines: String = messages(&lambda, "f").iter().map(|message| mask(message) + "\n").collect();
    // Three decimals at most.
    let lines = lines.replace("N.NNN", "N.N").replace("N.NN", "N.N");
    expect![[r#"
        {"time":"TIME","type":"platform.initStart","record":{"initializationType":"on-demand","phase":"init","runtimeVersion":"provided:al2023.v100","runtimeVersionArn":"arn:aws:lambda:us-east-1::runtime:51d1ff1f8a4b0cf0d5f5ac5e7ce8ba4a3d1c3c8f5ac25e38a0c0a4ad0b2f6c51","functionName":"f","functionVersion":"$LATEST","instanceId":"HEX","instanceMaxMemory":128}}
        init of the function

        {"time":"TIME","type":"platform.start","record":{"requestId":"ID","version":"$LATEST","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}}}
        plain

        {"time":"TIME","type":"platform.report","record":{"requestId":"ID","status":"success","metrics":{"durationMs":N.N,"billedDurationMs":N,"memorySizeMB":128,"maxMemoryUsedMB":N,"initDurationMs":N.N},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}}}
        {"time":"TIME","type":"platform.start","record":{"requestId":"ID","version":"$LATEST","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}}}
        {"time":"TIME","type":"platform.runtimeDone","record":{"requestId":"ID","status":"timeout","metrics":{"durationMs":N.N,"producedBytes":0},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}}}
        {"time":"TIME","type":"platform.report","record":{"requestId":"ID","status":"timeout","metrics":{"durationMs":N.N,"billedDurationMs":N,"memorySizeMB":128,"maxMemoryUsedMB":N},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}}}
        {"time":"TIME","type":"platform.start","record":{"requestId":"ID","version":"$LATEST","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}}}
        init of the function

        {"time":"TIME","type":"platform.report","record":{"requestId":"ID","status":"success","metrics":{"durationMs":N.N,"billedDurationMs":N,"memorySizeMB":128,"maxMemoryUsedMB":N},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}}}
    "#]]
    .assert_eq(&lines);
}

#[tokio::test]
async fn a_process_sees_only_the_variables_of_lambda_and_the_user() {
    let json = function("json")
        .log_format(LogFormat::Json)
        .env("TABLE", "orders")
        .env("PATH", "/somewhere")
        .memory_mb(512)
        .region("eu-central-1")
        .directory("/");
    let lambda = lambda([function("text"), json]).await;
    let check = async |name: &str, expected: Expect| {
        let invocation = invoke(&lambda, name, json!(["respond_environment"])).await;
        let mut seen = environment(&invocation);
        let stream = lambda.log_events(name)[0].log_stream.to_string();
        assert_eq!(seen.remove("AWS_LAMBDA_LOG_STREAM_NAME").unwrap(), stream);
        assert!(seen.remove("AWS_LAMBDA_RUNTIME_API").unwrap().starts_with("127.0.0.1:"));
        assert!(seen.remove("deadline").unwrap().parse::<u64>().unwrap() > 1_700_000_000_000);
        seen.remove("trace");
        if name == "text" {
            assert!(
                env!("CARGO_BIN_EXE_simulated-function")
                    .starts_with(&seen.remove("LAMBDA_TASK_ROOT").unwrap())
            );
        }
        // Coverage tools set variables for children through the process's own environment; none of them may reach the
        // function.
        let lines: Vec<String> =
            seen.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let stream: String = stream.chars().skip(10).collect();
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
            AWS_LAMBDA_FUNCTION_VERSION=$LATEST
            AWS_LAMBDA_INITIALIZATION_TYPE=on-demand
            AWS_LAMBDA_LOG_FORMAT=JSON
            AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/json
            AWS_LAMBDA_LOG_LEVEL=INFO
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
            arn=arn:aws:lambda:eu-central-1:123456789012:function:json
            /[$LATEST]HEX
        "]],
    )
    .await;
}
