//! A Rust function in each mode: the content and time of its log for each end of an invocation.

use lambda_otlp_tests::layer;
use local_lambda::{FunctionSpec, Initialization, Invocation, InvocationResult, Lambda};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use test_support::Logged;

const MODES: [&str; 3] = ["sync", "async", "finalize"];
const FUNCTION: &str = "modes";

fn function(mode: &str) -> FunctionSpec {
    FunctionSpec::new(FUNCTION, env!("CARGO_BIN_EXE_modes-function"))
        // Long enough for every machine: only a hang takes it up.
        .timeout(Duration::from_mins(1))
        .env("LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE", mode)
}

/// The function's environments, from the first invocation to SIGTERM.
struct Run {
    invocations: Vec<Invocation>,
    /// Number of environments after the last invocation.
    environments: usize,
    /// The content of the log before SIGTERM.
    before_sigterm: Written,
    /// All spans in the log, in order, except the extension's own.
    spans: Vec<Span>,
    /// Number of all log records in the log.
    logs: usize,
    /// The library's lines on stderr.
    warnings: Vec<String>,
}

impl Run {
    /// Each word is a step's name and the function's action, such as `a:ok`.
    async fn of(function: FunctionSpec, steps: &str) -> Self {
        let payload = |word: &str| {
            let (step, does) = word.split_once(':').unwrap();
            json!({ "does": does, "step": step }).to_string()
        };
        Self::with_payloads(function, steps.split_whitespace().map(payload)).await
    }

    async fn with_payloads(
        function: FunctionSpec,
        payloads: impl IntoIterator<Item = String>,
    ) -> Self {
        let lambda = Lambda::start().await.unwrap();
        lambda.create_function(function).unwrap();
        let mut invocations = Vec::new();
        for payload in payloads {
            invocations.push(lambda.invoke(FUNCTION, payload).await.unwrap());
            lambda.wait_for_invocations().await;
        }
        let environments = lambda.environments(FUNCTION).len();
        let (spans_before, logs_before) = items(&lambda);
        let before_sigterm = Written::new(&names(&spans_before), logs_before);
        lambda.recycle(FUNCTION).await.unwrap();
        let (spans, logs) = items(&lambda);
        let lines = lambda.log_events(FUNCTION).into_iter().map(|event| event.message);
        let warnings = lines.filter(|line| line.contains("lambda-otlp-exporter: ")).collect();
        lambda.shut_down().await;
        Self { invocations, environments, before_sigterm, spans, logs, warnings }
    }

    fn written(&self) -> Written {
        Written::new(&names(&self.spans), self.logs)
    }
}

/// The content of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Written {
    /// The names of the spans, in order.
    spans: String,
    /// Number of log records.
    logs: usize,
}

impl Written {
    fn new(spans: &str, logs: usize) -> Self {
        Self { spans: spans.to_owned(), logs }
    }
}

fn items(lambda: &Lambda) -> (Vec<Span>, usize) {
    let logged = Logged::by(lambda, FUNCTION);
    let spans = logged
        .spans
        .into_iter()
        .map(|(_, span)| span)
        .filter(|span| span.name != "aws.lambda.invocation");
    (spans.collect(), logged.records.len())
}

fn names(spans: &[Span]) -> String {
    spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn each_mode_writes_an_invocation_once_at_its_time() {
    for mode in MODES {
        let run = Run::of(function(mode), "a:ok b:ok").await;
        let all = Written::new("a modes b modes", 2);
        let at_once = if mode == "finalize" { Written::default() } else { all.clone() };
        assert_eq!((&run.before_sigterm, run.written()), (&at_once, all), "{mode}");
        assert_eq!(run.warnings, [""; 0], "{mode}");
    }
}

#[tokio::test]
async fn each_mode_writes_errors_and_panics_and_keeps_the_function() {
    for mode in MODES {
        let run = Run::of(function(mode), "a:fail b:panic c:ok").await;
        let errors = run.invocations.iter().map(|invocation| match &invocation.result {
            InvocationResult::FunctionError { body, .. } => {
                String::from_utf8_lossy(body).contains("as told")
            }
            _ => false,
        });
        assert_eq!(errors.collect::<Vec<_>>(), [true, true, false], "{mode}");
        assert_eq!(run.environments, 1, "{mode}");
        let status = |span: &Span| span.status.clone().unwrap_or_default().message;
        let roots = run.spans.iter().filter(|span| span.kind == 2).map(status);
        assert_eq!(roots.collect::<Vec<_>>(), ["as told", "as told", ""], "{mode}");
        // One of each invocation, and the error. The panic hook prints the panic.
        assert_eq!(run.logs, 4, "{mode}");
    }
}

/// The forwarder makes the record of the printed line then.
#[tokio::test]
async fn a_subscriber_that_prints_has_the_handlers_error_and_no_record_has_it() {
    for mode in MODES {
        let lambda = Lambda::start().await.unwrap();
        let prints = function(mode).env("LAMBDA_TRACING_ENABLE_FMT_LAYER", "true");
        lambda.create_function(prints).unwrap();
        let payload = json!({ "does": "fail", "step": "a" }).to_string();
        lambda.invoke(FUNCTION, payload).await.unwrap();
        lambda.recycle(FUNCTION).await.unwrap();
        let (spans, records) = items(&lambda);
        assert_eq!((spans.len(), records), (1, 0), "{mode}");
        let lines = lambda.log_events(FUNCTION).into_iter().map(|event| event.message);
        let errors = lines.filter(|line| line.contains("lambda_runtime::layers::panic"));
        assert_eq!(errors.count(), 1, "{mode}");
        lambda.shut_down().await;
    }
}

#[tokio::test]
async fn spans_ended_after_the_last_response_are_written_at_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    for mode in MODES {
        // Lambda sends SIGTERM where there is an extension; in this mode the function has none itself.
        let function = match mode {
            "sync" => function(mode).layer(layer(directory.path())),
            _ => function(mode),
        };
        let run = Run::of(function, "a:ok late:end_late").await;
        let mut names: Vec<&str> = run.spans.iter().map(|span| span.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!((names, run.logs), (vec!["a", "late", "modes", "modes"], 2), "{mode}");
    }
}

/// A hook such as `lambda_runtime`'s ends the process at SIGTERM, in a race with this library's handler.
#[tokio::test]
async fn a_shutdown_hook_costs_no_span_whether_installed_before_or_after_telemetry() {
    for mode in MODES {
        for main in ["hook first", "hook last", "own hook that shuts down"] {
            let directory = tempfile::tempdir().unwrap();
            let function = function(mode).env("MAIN", main).layer(layer(directory.path()));
            let run = Run::of(function, "a:ok b:ok").await;
            assert_eq!(run.written(), Written::new("a modes b modes", 2), "{mode}: {main}");
            let warnings = &run.warnings;
            assert_eq!(warnings.len(), usize::from(main.starts_with("hook")), "{warnings:?}");
            let names_remedy = |line: &String| line.contains("with_sigterm_handler(false)");
            assert!(warnings.iter().all(names_remedy), "{warnings:?}");
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
        let logged = Logged::by(&lambda, FUNCTION);
        assert_eq!((logged.spans.len(), logged.records.len()), (0, 4), "{mode}");
        lambda.shut_down().await;
    }
}

#[tokio::test]
async fn telemetry_of_an_init_that_fails_is_written() {
    for mode in MODES {
        for main in ["connects and fails", "connects and panics", "connects and exits"] {
            let run = Run::of(function(mode).env("MAIN", main), "a:ok").await;
            let spans = &run.spans;
            let are_all = spans.iter().all(|span| span.name == "connect");
            assert!(are_all && !spans.is_empty(), "{spans:?}");
            let of_each = if main == "connects and exits" { 2 } else { 1 };
            assert_eq!(run.logs, of_each * spans.len(), "{mode}: {main}");
        }
    }
}

/// The `main` that cargo-lambda generates installs a subscriber.
#[tokio::test]
async fn a_line_says_to_remove_a_second_subscriber() {
    let run = Run::of(function("sync").env("MAIN", "default subscriber"), "a:ok").await;
    assert!(!run.warnings.is_empty());
    for line in run.warnings {
        let names_remedy = line.contains("remove") && line.contains("init_default_subscriber()");
        assert!(names_remedy, "{line}");
    }
}

/// Spans that have ended, and open ones.
#[tokio::test]
async fn each_mode_writes_open_spans_as_errors_at_a_timeout() {
    for mode in MODES {
        for hangs in ["hang", "block"] {
            // The exporter reserves at most a tenth of two seconds for writing, so a slow machine has time.
            let function = function(mode).timeout(Duration::from_secs(2));
            let mut run = Run::of(function, &format!("open:{hangs}")).await;
            assert!(matches!(run.invocations[0].result, InvocationResult::Timeout), "{mode}");
            run.spans.sort_by(|one, other| one.name.cmp(&other.name));
            assert_eq!(run.written(), Written::new("before modes open", 1), "{mode}: {hangs}");
            let [before, root, open] = run.spans.as_slice() else { unreachable!("three") };
            assert_eq!([&before.parent_span_id, &open.parent_span_id], [&root.span_id; 2]);
            let is_error =
                |span: &Span| span.status.as_ref().is_some_and(|status| status.code == 2);
            assert_eq!([before, root, open].map(is_error), [false, true, true]);
        }
    }
}

/// On a managed instance, eight at a time: one root each, and every record and step on the trace of its invocation. The layer adds
/// one child to each root.
#[tokio::test]
async fn each_mode_writes_one_root_for_each_concurrent_invocation() {
    const INVOCATIONS: usize = 64;
    let directory = tempfile::tempdir().unwrap();
    let layer = layer(directory.path());
    for (mode, has_layer) in MODES.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
        let lambda = Lambda::start().await.unwrap();
        let mut spec = function(mode).initialization(Initialization::ManagedInstances);
        if has_layer {
            let port = local_lambda::free_port().to_string();
            spec = spec.layer(&layer).env("OTEL_LAMBDA_RECEIVER_PORT", port);
        }
        lambda.create_function(spec.max_environments(1).max_concurrency(8)).unwrap();
        let begin = |number: usize| {
            let payload = json!({ "does": "ok", "step": format!("step {number}") }).to_string();
            lambda.begin_invocation(FUNCTION, payload).unwrap()
        };
        let running: Vec<_> = (0..INVOCATIONS).map(begin).collect();
        for running in running {
            assert!(running.finished().await.unwrap().is_success(), "{mode}");
        }
        lambda.recycle(FUNCTION).await.unwrap();
        let logged = Logged::by(&lambda, FUNCTION);
        let all_spans = logged.spans.into_iter().map(|(_, span)| span);
        let (of_layer, spans): (Vec<Span>, Vec<Span>) =
            all_spans.partition(|span| span.name == "aws.lambda.invocation");
        let traces: BTreeSet<Vec<u8>> =
            spans.iter().filter(|span| span.kind == 2).map(|span| span.trace_id.clone()).collect();
        let roots = spans.iter().filter(|span| span.kind == 2).count();
        assert_eq!((roots, traces.len(), spans.len()), (INVOCATIONS, INVOCATIONS, 2 * INVOCATIONS));
        let steps: BTreeSet<&Vec<u8>> =
            spans.iter().filter(|span| span.kind != 2).map(|span| &span.trace_id).collect();
        assert_eq!(steps, traces.iter().collect(), "{mode}");
        let of_records: BTreeSet<Vec<u8>> =
            logged.records.iter().map(|record| record.trace_id.clone()).collect();
        let of_children: BTreeSet<Vec<u8>> =
            of_layer.iter().map(|span| span.trace_id.clone()).collect();
        let are_children =
            of_layer.iter().all(|span| span.kind == 1 && !span.parent_span_id.is_empty());
        assert!(are_children, "{mode}");
        if has_layer {
            assert_eq!((&of_children, of_layer.len()), (&traces, INVOCATIONS), "{mode}");
        }
        assert_eq!((of_records, logged.records.len()), (traces, INVOCATIONS), "{mode}");
        lambda.shut_down().await;
    }
}

#[tokio::test]
async fn an_event_of_the_wrong_type_is_a_failed_span_with_a_record_in_each_mode() {
    for mode in MODES {
        let payloads = ["[]".to_owned(), json!({ "does": "ok", "step": "a" }).to_string()];
        let run = Run::with_payloads(function(mode), payloads).await;
        for invocation in &run.invocations {
            assert!(!matches!(invocation.result, InvocationResult::Timeout), "{mode}");
        }
        assert_eq!(run.environments, 1, "{mode}: killed");
        assert_eq!(run.written(), Written::new("modes a modes", 2), "{mode}");
        let failed = &run.spans[0];
        let status = failed.status.as_ref().unwrap();
        assert!(status.message.contains("expected struct Instructions"), "{status:?}");
        assert_eq!(status.code, 2);
        let attributes = format!("{:?}", failed.attributes);
        for expected in ["DeserializeError", &run.invocations[0].request_id] {
            assert!(attributes.contains(expected), "{expected}: {attributes}");
        }
    }
}

#[tokio::test]
async fn the_batch_processor_is_flushed_at_shutdown() {
    let run = Run::of(function("finalize").env("SPANS", "batch"), "a:ok b:panic c:ok").await;
    assert_eq!(run.written(), Written::new("a modes b modes c modes", 3));
    assert_eq!(run.warnings, [""; 0]);
}
