//! A Rust function in each mode: the content and time of its log for each end of an invocation.

use lambda_otlp_tests::layer;
use local_lambda::{FunctionSpec, InvocationResult, Lambda};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use std::time::Duration;
use test_support::Logged;

const MODES: [&str; 3] = ["sync", "async", "finalize"];
const FUNCTION: &str = "modes";
/// Long enough for every machine: only a hang takes it up.
const AMPLE: Duration = Duration::from_mins(1);

fn function(mode: &str) -> FunctionSpec {
    FunctionSpec::new(FUNCTION, env!("CARGO_BIN_EXE_modes-function"))
        .timeout(AMPLE)
        .env("LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE", mode)
}

/// Each word is a step's name and the function's action, such as `a:ok`; returns the end of each invocation.
async fn invoke(lambda: &Lambda, steps: &str) -> Vec<InvocationResult> {
    let mut results = Vec::new();
    for word in steps.split_whitespace() {
        let (step, does) = word.split_once(':').unwrap();
        let payload = json!({ "does": does, "step": step }).to_string();
        results.push(lambda.invoke(FUNCTION, payload).await.unwrap().result);
        lambda.wait_for_invocations().await;
    }
    results
}

/// The names of all spans in the log, in order, and how many log records there are.
fn written(lambda: &Lambda) -> (String, usize) {
    let (spans, logs) = items(lambda);
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    (names.join(" "), logs)
}

fn items(lambda: &Lambda) -> (Vec<Span>, usize) {
    let Logged { spans, records, .. } = Logged::by(lambda, FUNCTION);
    (spans.into_iter().map(|(_, span)| span).collect(), records.len())
}

fn said(lambda: &Lambda) -> Vec<String> {
    let events = lambda.log_events(FUNCTION).into_iter().map(|event| event.message);
    events.filter(|line| line.contains("lambda-otlp-exporter: ")).collect()
}

#[tokio::test]
async fn each_mode_writes_an_invocation_once_at_its_time() {
    for mode in MODES {
        let lambda = Lambda::start().await.unwrap();
        lambda.create_function(function(mode)).unwrap();
        invoke(&lambda, "a:ok b:ok").await;
        let (at_once, logs) = written(&lambda);
        let all = "a modes b modes";
        if mode == "finalize" {
            assert_eq!((at_once.as_str(), logs), ("", 0));
        } else {
            assert_eq!((at_once.as_str(), logs), (all, 2), "{mode}");
        }
        lambda.recycle(FUNCTION).await.unwrap();
        assert_eq!((written(&lambda), said(&lambda)), ((all.to_owned(), 2), vec![]), "{mode}");
        lambda.shut_down().await;
    }
}

#[tokio::test]
async fn each_mode_writes_errors_and_panics_and_keeps_the_function() {
    for mode in MODES {
        let lambda = Lambda::start().await.unwrap();
        lambda.create_function(function(mode)).unwrap();
        let results = invoke(&lambda, "a:fail b:panic c:ok").await;
        let is_error = |result: &InvocationResult| match result {
            InvocationResult::FunctionError { body, .. } => {
                String::from_utf8_lossy(body).contains("as told")
            }
            _ => false,
        };
        let errors: Vec<bool> = results.iter().map(is_error).collect();
        assert_eq!(errors, [true, true, false], "{mode}: {results:?}");
        assert_eq!(lambda.environments(FUNCTION).len(), 1, "{mode}");
        lambda.recycle(FUNCTION).await.unwrap();
        let (spans, logs) = items(&lambda);
        let status = |span: &Span| span.status.clone().unwrap_or_default().message;
        let of_roots: Vec<String> =
            spans.iter().filter(|span| span.kind == 2).map(status).collect();
        assert_eq!(
            (of_roots, logs),
            (vec!["as told".into(), "as told".into(), String::new()], 3),
            "{mode}"
        );
        lambda.shut_down().await;
    }
}

#[tokio::test]
async fn spans_ended_after_the_last_response_are_written_at_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let layer = layer(directory.path());
    for mode in MODES {
        let lambda = Lambda::start().await.unwrap();
        // Lambda sends SIGTERM where there is an extension; in this mode the function has none itself.
        let function = function(mode);
        let function = if mode == "sync" { function.layer(&layer) } else { function };
        lambda.create_function(function).unwrap();
        invoke(&lambda, "a:ok late:end_late").await;
        lambda.recycle(FUNCTION).await.unwrap();
        let (mut spans, logs) = items(&lambda);
        // The extension beside the function has a span of its own of each invocation.
        spans.retain(|span| span.name != "aws.lambda.invocation");
        let mut names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!((names, logs), (vec!["a", "late", "modes", "modes"], 2), "{mode}");
        lambda.shut_down().await;
    }
}

/// A hook such as `lambda_runtime`'s ends the process at SIGTERM, in a race with this library's handler.
#[tokio::test]
async fn a_shutdown_hook_costs_no_span_whether_installed_before_or_after_telemetry() {
    for mode in MODES {
        for main in ["hook first", "hook last", "own hook that shuts down"] {
            let lambda = Lambda::start().await.unwrap();
            let directory = tempfile::tempdir().unwrap();
            let function = function(mode).env("MAIN", main).layer(layer(directory.path()));
            lambda.create_function(function).unwrap();
            invoke(&lambda, "a:ok b:ok").await;
            lambda.recycle(FUNCTION).await.unwrap();
            let (mut spans, logs) = items(&lambda);
            spans.retain(|span| span.name != "aws.lambda.invocation");
            let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
            assert_eq!((names, logs), (vec!["a", "modes", "b", "modes"], 2), "{mode}: {main}");
            let said = said(&lambda);
            assert_eq!(said.len(), usize::from(main.starts_with("hook")), "{said:?}");
            assert!(
                said.iter().all(|line| line.contains("with_sigterm_handler(false)")),
                "{said:?}"
            );
            lambda.shut_down().await;
        }
    }
}

#[tokio::test]
async fn an_invocation_that_its_caller_does_not_sample_has_no_span_of_the_layer_either() {
    let directory = tempfile::tempdir().unwrap();
    let layer = layer(directory.path());
    for mode in MODES {
        let lambda = Lambda::start().await.unwrap();
        lambda.create_function(function(mode).layer(&layer)).unwrap();
        let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        for does in ["ok", "fail", "ok"] {
            let payload = json!({ "does": does, "step": "a", "traceparent": unsampled });
            lambda.invoke(FUNCTION, payload.to_string()).await.unwrap();
            lambda.wait_for_invocations().await;
        }
        lambda.recycle(FUNCTION).await.unwrap();
        assert_eq!(written(&lambda), (String::new(), 3), "{mode}");
        lambda.shut_down().await;
    }
}

#[tokio::test]
async fn telemetry_of_an_init_that_fails_is_written() {
    for mode in MODES {
        for main in ["connects and fails", "connects and panics", "connects and exits"] {
            let lambda = Lambda::start().await.unwrap();
            lambda.create_function(function(mode).env("MAIN", main)).unwrap();
            invoke(&lambda, "a:ok").await;
            let (spans, logs) = items(&lambda);
            let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
            assert!(!names.is_empty() && names.iter().all(|name| *name == "connect"), "{names:?}");
            let of_each = if main == "connects and exits" { 2 } else { 1 };
            assert_eq!(logs, of_each * names.len(), "{mode}: {main}");
            lambda.shut_down().await;
        }
    }
}

/// The `main` that cargo-lambda generates installs a subscriber.
#[tokio::test]
async fn a_line_says_to_remove_a_second_subscriber() {
    for main in ["default subscriber first", "default subscriber last"] {
        let lambda = Lambda::start().await.unwrap();
        lambda.create_function(function("sync").env("MAIN", main)).unwrap();
        invoke(&lambda, "a:ok").await;
        let said = said(&lambda);
        assert!(!said.is_empty(), "{main}");
        for line in said {
            assert!(
                line.contains("remove") && line.contains("init_default_subscriber()"),
                "{line}"
            );
        }
        lambda.shut_down().await;
    }
}

/// Lambda kills the process, and sends no SIGTERM.
#[tokio::test]
async fn each_mode_writes_open_spans_as_errors_at_a_timeout() {
    for mode in MODES {
        for hangs in ["hang", "block"] {
            let lambda = Lambda::start().await.unwrap();
            // The exporter reserves at most a tenth of two seconds for writing, so a slow machine has time.
            lambda.create_function(function(mode).timeout(Duration::from_secs(2))).unwrap();
            let results = invoke(&lambda, &format!("open:{hangs}")).await;
            assert!(matches!(results[0], InvocationResult::Timeout), "{mode}: {results:?}");
            let (mut spans, logs) = items(&lambda);
            spans.sort_by(|one, other| one.name.cmp(&other.name));
            let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
            assert_eq!((names, logs), (vec!["before", "modes", "open"], 1), "{mode}: {hangs}");
            let [before, root, open] = spans.as_slice() else { unreachable!("three") };
            assert_eq!([&before.parent_span_id, &open.parent_span_id], [&root.span_id; 2]);
            let is_error =
                |span: &Span| span.status.as_ref().is_some_and(|status| status.code == 2);
            assert_eq!([before, root, open].map(is_error), [false, true, true]);
            lambda.shut_down().await;
        }
    }
}

#[tokio::test]
async fn an_event_of_the_wrong_type_is_a_failed_span_with_a_record_in_each_mode() {
    for mode in MODES {
        let lambda = Lambda::start().await.unwrap();
        lambda.create_function(function(mode)).unwrap();
        let refused = lambda.invoke(FUNCTION, "[]").await.unwrap();
        let results = invoke(&lambda, "a:ok").await;
        for result in [&refused.result, &results[0]] {
            assert!(!matches!(result, InvocationResult::Timeout), "{mode}");
        }
        assert_eq!(lambda.environments(FUNCTION).len(), 1, "{mode}: killed");
        lambda.recycle(FUNCTION).await.unwrap();
        assert_eq!(written(&lambda), ("modes a modes".to_owned(), 2), "{mode}");
        let failed = &items(&lambda).0[0];
        let status = failed.status.as_ref().unwrap();
        assert!(status.message.contains("expected struct Instructions"), "{status:?}");
        let attributes = format!("{:?}", failed.attributes);
        assert_eq!(status.code, 2);
        for expected in ["DeserializeError", &refused.request_id] {
            assert!(attributes.contains(expected), "{expected}: {attributes}");
        }
        lambda.shut_down().await;
    }
}

#[tokio::test]
async fn the_batch_processor_is_flushed_at_shutdown() {
    let lambda = Lambda::start().await.unwrap();
    lambda.create_function(function("finalize").env("SPANS", "batch")).unwrap();
    invoke(&lambda, "a:ok b:panic c:ok").await;
    lambda.recycle(FUNCTION).await.unwrap();
    assert_eq!(written(&lambda), ("a modes b modes c modes".to_owned(), 3));
    assert_eq!(said(&lambda), [""; 0]);
    lambda.shut_down().await;
}
