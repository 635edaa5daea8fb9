//! The local Lambda and CloudWatch Logs as functions and tests see them. The tests of extension, library and `dev` show further errors.

use expect_test::expect;
use lambda_otlp_tests::simulation::states::{AMPLE, SHORT};
use local_lambda::{FunctionSpec, Invocation, Lambda, LogFormat, process_state};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const PROGRAM: &str = env!("CARGO_BIN_EXE_simulated-function");

fn function(name: &str) -> FunctionSpec {
    FunctionSpec::new(name, PROGRAM).timeout(AMPLE).init_timeout(AMPLE)
}

async fn lambda(functions: impl IntoIterator<Item = FunctionSpec>) -> Lambda {
    let lambda = Lambda::start().await.unwrap();
    for function in functions {
        lambda.create_function(function).unwrap();
    }
    lambda
}

async fn invoke(lambda: &Lambda, function: &str, what: Value) -> Invocation {
    lambda.invoke(function, what.to_string()).await.unwrap()
}

fn messages(lambda: &Lambda, function: &str) -> Vec<String> {
    lambda.log_events(function).into_iter().map(|event| event.message).collect()
}

#[tokio::test]
async fn a_warm_environment_is_frozen_between_its_invocations() {
    let lambda = lambda([function("f")]).await;
    let first = invoke(&lambda, "f", json!({ "response": { "a": 1 } })).await;
    assert_eq!(first.response(), Some(&br#"{"a":1}"#[..]));
    assert!(first.cold && first.init_duration.is_some());
    assert_eq!(process_state(first.pid.unwrap()), Some('T'));

    let second = invoke(&lambda, "f", json!({ "response": 2 })).await;
    assert_eq!(second.response(), Some(&b"2"[..]));
    assert!(!second.cold && second.init_duration.is_none());
    assert_eq!(second.pid, first.pid);
    assert_ne!(second.request_id, first.request_id);
    assert_eq!(process_state(second.pid.unwrap()), Some('T'));
}

#[tokio::test]
async fn no_process_outlives_the_local_lambda() {
    for gentle in [true, false] {
        let lambda = Arc::new(lambda([function("idle"), function("busy")]).await);
        let idle = invoke(&lambda, "idle", json!({})).await.pid.unwrap();
        let (busy_seen, is_busy) = tokio::sync::oneshot::channel();
        let seen = Mutex::new(Some(busy_seen));
        lambda.observe_logs(move |event| {
            if event.message == "here\n"
                && let Some(seen) = seen.lock().unwrap().take()
            {
                seen.send(()).unwrap();
            }
        });
        let held = Arc::clone(&lambda);
        let waiting = tokio::spawn(async move {
            invoke(&held, "busy", json!({ "stdout": "here", "end": "hang" })).await
        });
        is_busy.await.unwrap();
        let busy = lambda.environments("busy")[0].pid.unwrap();
        waiting.abort();
        assert!(waiting.await.is_err());
        let lambda = Arc::into_inner(lambda).unwrap();
        if gentle {
            lambda.shut_down().await;
        } else {
            drop(lambda);
        }
        for state in [idle, busy].map(process_state) {
            assert!(matches!(state, None | Some('Z')), "{state:?}");
        }
    }
}

/// Masks the values that differ between runs: `ID`, `TIME`, `ROOT`, `HEX`, and `N` in figures.
fn mask(text: &str) -> String {
    let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':');
    let mut masked = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c| belongs(c) && c != ':') {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !belongs(c)).unwrap_or(from.len()));
        masked += before;
        masked += &masked_word(word);
        rest = after;
    }
    masked += rest;
    for label in
        ["Billed Duration: ", "Max Memory Used: ", "billedDurationMs\":", "maxMemoryUsedMB\":"]
    {
        if let Some((before, after)) = masked.split_once(label) {
            masked = format!(
                "{before}{label}N{}",
                after.trim_start_matches(|c: char| c.is_ascii_alphanumeric())
            );
        }
    }
    masked
}

fn masked_word(word: &str) -> String {
    let hex = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    let parts: Vec<usize> = word.split('-').map(str::len).collect();
    let is_hexadecimal = word.split('-').all(hex);
    let masked = match parts.as_slice() {
        [8, 4, 4, 4, 12] if is_hexadecimal => "ID",
        [1, 8, 24] if is_hexadecimal => "ROOT",
        [4, 2, 16] if word.ends_with('Z') => "TIME",
        [16 | 32] if is_hexadecimal => "HEX",
        _ => match word.split_once('.') {
            Some((_, decimals)) if word.parse::<f64>().is_ok() => {
                return format!("N.{}", "N".repeat(decimals.len()));
            }
            _ => word,
        },
    };
    masked.to_owned()
}

#[tokio::test]
async fn platform_lines_in_text_format_match_lambda() {
    let lambda = lambda([function("f").timeout(SHORT).env("PRINTS_AT_INIT", "init")]).await;
    invoke(&lambda, "f", json!({ "stdout": "to stdout", "late": "late" })).await;
    invoke(&lambda, "f", json!({ "stderr": "to stderr", "end": "fail" })).await;
    invoke(&lambda, "f", json!({ "end": "hang" })).await;
    invoke(&lambda, "f", json!({ "end": "exit" })).await;
    let messages = messages(&lambda, "f").into_iter();
    let lines: String = messages.map(|message| mask(&format!("{message:?}\n"))).collect();
    expect![[r#"
        "INIT_START Runtime Version: provided:al2023.v100\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:51d1ff1f8a4b0cf0d5f5ac5e7ce8ba4a3d1c3c8f5ac25e38a0c0a4ad0b2f6c51\n"
        "init\n"
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
        "init\n"
        "START RequestId: ID Version: $LATEST\n"
        "END RequestId: ID\n"
        "REPORT RequestId: ID\tDuration: N.NN ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\tStatus: error\tError Type: Runtime.ExitError\t\n"
    "#]]
    .assert_eq(&lines);
}

#[tokio::test]
async fn platform_lines_in_json_format_match_lambda() {
    let lambda = lambda([function("f").log_format(LogFormat::Json).timeout(SHORT)]).await;
    invoke(&lambda, "f", json!({ "stdout": "plain" })).await;
    invoke(&lambda, "f", json!({ "end": "hang" })).await;
    invoke(&lambda, "f", json!({})).await;
    let masked: String =
        messages(&lambda, "f").iter().map(|message| mask(message) + "\n").collect();
    // Three decimals at most.
    let lines = masked.replace("N.NNN", "N.N").replace("N.NN", "N.N");
    expect![[r#"
        {"time":"TIME","type":"platform.initStart","record":{"initializationType":"on-demand","phase":"init","runtimeVersion":"provided:al2023.v100","runtimeVersionArn":"arn:aws:lambda:us-east-1::runtime:51d1ff1f8a4b0cf0d5f5ac5e7ce8ba4a3d1c3c8f5ac25e38a0c0a4ad0b2f6c51","functionName":"f","functionVersion":"$LATEST","instanceId":"HEX","instanceMaxMemory":128}}
        {"time":"TIME","type":"platform.start","record":{"requestId":"ID","version":"$LATEST","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}}}
        plain

        {"time":"TIME","type":"platform.report","record":{"requestId":"ID","status":"success","metrics":{"durationMs":N.N,"billedDurationMs":N,"memorySizeMB":128,"maxMemoryUsedMB":N,"initDurationMs":N.N},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}}}
        {"time":"TIME","type":"platform.start","record":{"requestId":"ID","version":"$LATEST","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}}}
        {"time":"TIME","type":"platform.runtimeDone","record":{"requestId":"ID","status":"timeout","metrics":{"durationMs":N.N,"producedBytes":0},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}}}
        {"time":"TIME","type":"platform.report","record":{"requestId":"ID","status":"timeout","metrics":{"durationMs":N.N,"billedDurationMs":N,"memorySizeMB":128,"maxMemoryUsedMB":N},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}}}
        {"time":"TIME","type":"platform.start","record":{"requestId":"ID","version":"$LATEST","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}}}
        {"time":"TIME","type":"platform.report","record":{"requestId":"ID","status":"success","metrics":{"durationMs":N.N,"billedDurationMs":N,"memorySizeMB":128,"maxMemoryUsedMB":N},"tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}}}
    "#]]
    .assert_eq(&lines);
}

#[tokio::test]
async fn a_process_sees_only_the_variables_of_lambda_and_the_user() {
    let other = function("other")
        .log_format(LogFormat::Json)
        .env("TABLE", "orders")
        .env("PATH", "/somewhere")
        .memory_mb(512)
        .region("eu-central-1")
        .directory("/");
    let lambda = lambda([function("f"), other]).await;
    let seen = async |name: &str| {
        let invocation = invoke(&lambda, name, json!({ "end": "environment" })).await;
        let response = invocation.response().unwrap();
        let mut seen: BTreeMap<String, String> = serde_json::from_slice(response).unwrap();
        let stream = lambda.log_events(name)[0].log_stream.to_string();
        assert_eq!(seen.remove("AWS_LAMBDA_LOG_STREAM_NAME").unwrap(), stream);
        let (_date, rest) = stream.split_at(10);
        assert_eq!(mask(rest), "/[$LATEST]HEX");
        assert!(seen.remove("AWS_LAMBDA_RUNTIME_API").unwrap().starts_with("127.0.0.1:"));
        let deadline = seen.remove("lambda-runtime-deadline-ms").unwrap();
        assert!(deadline.parse::<u64>().unwrap() > 1_700_000_000_000);
        // Coverage tools set variables for children through the process's own environment; none of them may reach the
        // function.
        seen.into_iter().map(|(name, value)| format!("{name}={value}\n")).collect::<Vec<_>>()
    };
    let mut usual = seen("f").await;
    let task_root = usual.extract_if(.., |line| line.starts_with("LAMBDA_TASK_ROOT=")).next();
    assert!(
        PROGRAM.starts_with(task_root.unwrap().trim_start_matches("LAMBDA_TASK_ROOT=").trim_end())
    );
    expect![[r"
        AWS_ACCESS_KEY_ID=ASIASIMULATED
        AWS_DEFAULT_REGION=us-east-1
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128
        AWS_LAMBDA_FUNCTION_NAME=f
        AWS_LAMBDA_FUNCTION_VERSION=$LATEST
        AWS_LAMBDA_INITIALIZATION_TYPE=on-demand
        AWS_LAMBDA_LOG_FORMAT=Text
        AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/f
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
        lambda-runtime-invoked-function-arn=arn:aws:lambda:us-east-1:123456789012:function:f
    "]]
    .assert_eq(&usual.concat());
    let other = seen("other").await;
    assert_eq!(other.len(), usual.len() + 3, "{other:?}");
    let differing: String = other.into_iter().filter(|line| !usual.contains(line)).collect();
    expect![[r"
        AWS_DEFAULT_REGION=eu-central-1
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512
        AWS_LAMBDA_FUNCTION_NAME=other
        AWS_LAMBDA_LOG_FORMAT=JSON
        AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/other
        AWS_LAMBDA_LOG_LEVEL=INFO
        AWS_REGION=eu-central-1
        LAMBDA_TASK_ROOT=/
        PATH=/somewhere
        TABLE=orders
        lambda-runtime-invoked-function-arn=arn:aws:lambda:eu-central-1:123456789012:function:other
    "]]
    .assert_eq(&differing);
}
