//! SIGTERM during an invocation, which Lambda sends before it ends an environment with an extension.

#![expect(clippy::unwrap_used, reason = "a test, and the function that it reads")]

use lambda_otlp_exporter::{TelemetryConfig, create_traced_handler, init_telemetry};
use lambda_runtime::{Context, Error, LambdaEvent};
use serde_json::{Value, json};
use std::process::{Command, ExitCode, Stdio};

/// Runs itself again as the function: the signal ends its process.
fn main() -> ExitCode {
    let is_function = std::env::args().any(|argument| argument == FUNCTION);
    if is_function {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(function());
        // The signal has not ended the process.
        return ExitCode::FAILURE;
    }
    open_spans_are_partial_ones();
    ExitCode::SUCCESS
}

const FUNCTION: &str = "--function";

/// Sends itself SIGTERM while it handles an event.
async fn function() {
    let (_tracer, completion_handler) = init_telemetry(TelemetryConfig::default()).await.unwrap();
    let handler =
        create_traced_handler("orders", completion_handler, |_: LambdaEvent<Value>| async {
            tracing::info_span!("read").in_scope(|| tracing::info!("received"));
            let _open = tracing::info_span!("store").entered();
            let own = std::process::id().to_string();
            assert!(Command::new("kill").arg(own).status().unwrap().success());
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
            Ok::<_, Error>(json!(null))
        });
    handler(LambdaEvent::new(json!({}), Context::default())).await.unwrap();
}

fn open_spans_are_partial_ones() {
    let mut function = Command::new(std::env::current_exe().unwrap());
    // Without such an API the process handles SIGTERM, too, and registers nothing.
    function.arg(FUNCTION).env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9");
    // The handler waits for the end of its stdin, which this process keeps open.
    let mut function = function.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let stdin = function.stdin.take();
    let output = function.wait_with_output().unwrap();
    drop(stdin);
    assert!(output.status.success(), "{:?}", output.status);
    let (mut spans, mut logs) = (Vec::new(), 0);
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        for own in wire::read_line(line, &wire::Limits::default()).unwrap().decoded {
            if let Some(request) = own.request.decode::<wire::Traces>() {
                let resources = request.unwrap().resource_spans.into_iter();
                spans.extend(resources.flat_map(|own| own.scope_spans).flat_map(|own| own.spans));
            } else {
                logs += own.request.items();
            }
        }
    }
    let shown = spans.iter().map(|span| {
        let is_partial = span.attributes.iter().any(|own| own.key == "lambda_otlp.partial");
        let status = span.status.clone().unwrap_or_default().message;
        format!("{} partial={is_partial} {status:?}", span.name)
    });
    let mut shown: Vec<String> = shown.collect();
    shown.sort();
    let expected = [
        r#"orders partial=true "the environment ended during the invocation""#,
        r#"read partial=false """#,
        r#"store partial=true "the environment ended during the invocation""#,
    ];
    assert_eq!((shown.iter().map(String::as_str).collect::<Vec<_>>(), logs), (expected.into(), 1));
}
