//! Printed events are not also OTLP log records, and are not preceded by fields of spans.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test, and the function that it reads"
)]

use lambda_otlp_exporter::{
    InMemoryOutput, TelemetryConfig, create_traced_handler, init_telemetry,
};
use lambda_runtime::{Context, Error, LambdaEvent};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;

/// Runs itself again as the function and reads its stdout, because a libtest test shares its process.
fn main() {
    let is_function = std::env::args().any(|argument| argument == FUNCTION);
    if is_function {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(function());
    } else {
        an_event_is_printed_or_written_as_a_record_and_never_both();
        the_log_s_variables_choose_records_and_add_spans();
    }
}

const FUNCTION: &str = "--function";

/// Prints an event, and reports the number of OTLP lines.
async fn function() {
    let output = Arc::new(InMemoryOutput::default());
    let config = TelemetryConfig::builder()
        .with_output(Arc::clone(&output) as _)
        .with_fmt_layer(true)
        .build();
    let (_tracer, completion_handler) = init_telemetry(config).await.unwrap();
    let handler =
        create_traced_handler("test", completion_handler, |_: LambdaEvent<Value>| async {
            tracing::info_span!("store").in_scope(|| tracing::info!(order = 7, "stored"));
            log::info!(target: "legacy", "cleaned");
            tracing::debug_span!("read").in_scope(|| tracing::debug!("a row"));
            Ok::<_, Error>(json!(null))
        });
    handler(LambdaEvent::new(json!({}), Context::default())).await.unwrap();
    let lines = output.take_lines();
    let logs = lines.iter().filter(|line| line.contains("/v1/logs")).count();
    let spans = lines.iter().filter_map(|line| wire::read_line(line, &wire::Limits::default()));
    let spans: usize = spans.flat_map(|line| line.decoded).map(|line| line.request.items()).sum();
    println!("{} lines, {logs} of logs, {spans} items", lines.len());
}

fn printed(variables: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.arg(FUNCTION).envs(variables.iter().copied()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn an_event_is_printed_or_written_as_a_record_and_never_both() {
    let text = printed(&[]);
    assert!(text.contains("1 lines, 0 of logs, 2 items"), "{text}");
    assert!(text.contains("  INFO printed_events: stored order=7\n"), "{text}");
    assert!(text.contains("  INFO legacy: cleaned\n"), "a record of the crate `log`: {text}");
    let json = printed(&[("AWS_LAMBDA_LOG_FORMAT", "JSON")]);
    assert!(json.contains(r#""message":"cleaned""#), "{json}");
    assert!(json.contains(r#""target":"legacy""#), "{json}");
    assert!(json.contains(r#""message":"stored","order":7"#) && !json.contains("faas"), "{json}");
    let written = printed(&[("LAMBDA_TRACING_ENABLE_FMT_LAYER", "false")]);
    assert!(
        written.contains("2 lines, 1 of logs, 4 items") && !written.contains("stored"),
        "{written}"
    );
    let errors = printed(&[("RUST_LOG", "error")]);
    assert!(
        errors.contains("1 lines, 0 of logs, 2 items"),
        "a level of the log keeps spans: {errors}"
    );
}

/// An invocation with two INFO spans and an INFO event, a record of the `log` crate, and a DEBUG span with a DEBUG event.
fn the_log_s_variables_choose_records_and_add_spans() {
    let check = |variable: (&str, &str), expected: &str| {
        let written = printed(&[("LAMBDA_TRACING_ENABLE_FMT_LAYER", "false"), variable]);
        assert_eq!(written.trim_end(), expected, "{variable:?}");
    };
    check(("LAMBDA_TRACING_ENABLE_FMT_LAYER", "false"), "2 lines, 1 of logs, 4 items");
    check(("RUST_LOG", "debug"), "2 lines, 1 of logs, 6 items");
    check(("RUST_LOG", "warn,printed_events=debug"), "2 lines, 1 of logs, 5 items");
    check(("RUST_LOG", "warn,legacy=info"), "2 lines, 1 of logs, 3 items");
    check(("RUST_LOG", "printed_events[store]=debug"), "2 lines, 1 of logs, 5 items");
    check(("RUST_LOG", "warn"), "1 lines, 0 of logs, 2 items");
    check(("AWS_LAMBDA_LOG_LEVEL", "DEBUG"), "2 lines, 1 of logs, 6 items");
    check(("AWS_LAMBDA_LOG_LEVEL", "WARN"), "2 lines, 1 of logs, 4 items");
}
