//! Functions that need a process of their own: a global subscriber, a printed event. libtest runs tests as threads of one
//! process, so this test runs itself again as each function.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test, and the functions that it reads"
)]

use expect_test::expect;
use lambda_otlp_exporter::config::TelemetryConfigBuilder;
use lambda_otlp_exporter::export::InMemoryOutput;
use lambda_otlp_exporter::propagation::{
    inject_client_context, inject_headers, inject_json, inject_message_attributes,
};
use lambda_otlp_exporter::{OtelTracingLayer, TelemetryConfig, TracedHandler, init};
use lambda_runtime::tower::{Layer as _, Service as _};
use lambda_runtime::{Context, Error, LambdaEvent};
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use serde::Serialize;
use serde_json::{Value, json};
use settings::Source as _;
use std::collections::HashMap;
use std::convert::Infallible;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use wire::SignalKind;

fn main() {
    let function =
        std::env::args().find_map(|own| own.strip_prefix("--function=").map(str::to_owned));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    match function.as_deref() {
        Some("prints") => runtime.block_on(prints(LevelFilter::INFO)),
        Some("prints-debug") => runtime.block_on(prints(LevelFilter::DEBUG)),
        Some("uses-globals") => runtime.block_on(uses_globals()),
        Some("has-its-own-subscriber") => runtime.block_on(has_its_own_subscriber()),
        Some("spawns") => threads.block_on(spawns()),
        Some("crashes") => runtime.block_on(crashes()),
        Some("is-set-up-twice") => runtime.block_on(is_set_up_twice()),
        Some("is-not-wrapped") => is_not_wrapped(),
        Some("writes-itself") => writes_itself(),
        #[cfg(feature = "lambda-otel-lite")]
        Some("logs-first") => lambda_otlp_exporter::Logger::new("stock").info("starting"),
        Some("is-wrapped-twice") => runtime.block_on(is_wrapped_twice()),
        Some(_) => runtime.block_on(has_a_subscriber()),
        None => {
            an_event_is_printed_or_written_as_a_record_and_never_both();
            an_error_is_written_before_a_crash();
            what_would_be_lost_is_reported_in_one_line();
            runtime.block_on(a_coloured_report_is_plain_text_in_the_span());
            the_guides_subscriber_prints_each_event_once_and_no_payload();
            for asserts in ["uses-globals", "has-a-subscriber", "spawns"] {
                assert!(run(asserts, &[]).status.success(), "{asserts}");
            }
        }
    }
}

/// Runs a function, and returns when it has ended.
fn run(function: &str, variables: &[(&str, &str)]) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.arg(format!("--function={function}")).envs(variables.iter().copied());
    child.stderr(Stdio::inherit()).output().unwrap()
}

fn what_would_be_lost_is_reported_in_one_line() {
    for (function, expected) in [
        ("is-set-up-twice", "telemetry is set up for the second time in this process"),
        ("is-not-wrapped", "the handler isn't wrapped"),
        ("is-wrapped-twice", "the handler is wrapped twice"),
        ("writes-itself", ""),
        #[cfg(feature = "lambda-otel-lite")]
        ("logs-first", "[stock] starting"),
    ] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        // Only in Lambda is SIGTERM handled.
        child.env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9");
        let ran = child.arg(format!("--function={function}")).output().unwrap();
        let lines = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(lines.lines().count(), usize::from(!expected.is_empty()), "{function}: {lines}");
        assert!(lines.contains(expected), "{function}: {lines}");
    }
}

/// Neither SIGTERM nor the handler is blamed: the first telemetry handles the one, the second has wrapped the other.
async fn is_set_up_twice() {
    let _first = init(TelemetryConfig::default());
    let second = init(TelemetryConfig::default());
    let handle = async |_: LambdaEvent<Value>| Ok::<_, Error>(json!({}));
    let mut handler = TracedHandler::new("orders", second, handle);
    handler.call(LambdaEvent::new(json!({}), Context::default())).await.unwrap();
    unwrapped_invocation(|| ());
}

/// The runtime's span around an invocation, without a handler of ours.
fn unwrapped_invocation(handle: impl FnOnce()) {
    let invocation = tracing::info_span!(target: "lambda_runtime::layers::trace", "Lambda runtime invoke", requestId = "1");
    invocation.in_scope(handle);
}

fn is_not_wrapped() {
    let _telemetry = init(TelemetryConfig::default());
    unwrapped_invocation(|| ());
    unwrapped_invocation(|| ());
}

fn writes_itself() {
    let completion_handler = init(TelemetryConfig::default());
    unwrapped_invocation(|| completion_handler.complete());
}

async fn is_wrapped_twice() {
    let output = Arc::new(InMemoryOutput::default());
    let config = TelemetryConfig::builder().with_output(Arc::clone(&output) as _);
    let completion_handler = init(config.build());
    let handle = async |_: LambdaEvent<Value>| Ok::<_, Error>(json!({}));
    let inner = TracedHandler::new("inner", completion_handler.clone(), handle);
    let mut outer = OtelTracingLayer::new(completion_handler).layer(inner);
    for _ in 0..2 {
        outer.call(LambdaEvent::new(json!({}), Context::default())).await.unwrap();
    }
}

/// A function whose handler returns the result of `body`, and its lines.
fn function<T: Serialize + Send + 'static>(
    config: TelemetryConfigBuilder,
    body: fn() -> T,
) -> (impl AsyncFn(LambdaEvent<Value>) -> Result<T, Error>, Arc<InMemoryOutput>) {
    let output = Arc::new(InMemoryOutput::default());
    let config = config.with_output(Arc::clone(&output) as _).build();
    let completion_handler = init(config);
    let plain = move |_: LambdaEvent<Value>| async move { Ok::<_, Error>(body()) };
    let handler = TracedHandler::new("test", completion_handler, plain);
    (async move |event| handler.clone().call(event).await, output)
}

/// An error whose report has the colours of color-eyre 0.6.
struct Coloured;

impl std::fmt::Display for Coloured {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("cannot read \x1b[1m/orders\x1b[0m")
    }
}

impl std::fmt::Debug for Coloured {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("0: \x1b[91mcannot read /orders\x1b[0m\n1: \x1b[38;5;9mno such file\x1b[0m")
    }
}

async fn a_coloured_report_is_plain_text_in_the_span() {
    let output = Arc::new(InMemoryOutput::default());
    let config = TelemetryConfig::builder()
        .with_output(Arc::clone(&output) as _)
        .with_global_providers(false)
        .with_global_subscriber(false);
    let completion_handler = init(config.build());
    let mut handler =
        TracedHandler::new("test", completion_handler, async |_: LambdaEvent<Value>| {
            Err::<(), _>(Coloured)
        });
    handler.call(LambdaEvent::new(json!({}), Context::default())).await.unwrap_err();
    let lines = output.take_lines();
    let readings = lines.iter().filter_map(|line| wire::read_line(line, &wire::Limits::default()));
    let requests: Vec<_> = readings.flat_map(|line| line.decoded).collect();
    let json: String = requests.iter().map(wire::Request::to_json).collect();
    for expected in ["cannot read /orders\"", "0: cannot read /orders\\n1: no such file\""] {
        assert!(json.contains(expected), "{expected}: {json}");
    }
    assert!(!json.contains("u001b"), "{json}");
}

/// Handles one event with this body, and returns the lines.
async fn invoke(config: TelemetryConfigBuilder, body: fn()) -> Vec<String> {
    let (handler, output) = function(config, body);
    handler(LambdaEvent::new(json!({}), Context::default())).await.unwrap();
    output.take_lines()
}

/// Prints an event, and reports the number of OTLP lines.
async fn prints(level: LevelFilter) {
    let config = TelemetryConfig::builder().with_fmt_layer(true).with_max_level(level);
    let lines = invoke(config, || {
        tracing::info_span!("store").in_scope(|| tracing::info!(order = 7, "stored"));
        log::info!(target: "legacy", "cleaned");
        tracing::debug_span!("read").in_scope(|| tracing::debug!("a row"));
        tracing::debug!(target: "hyper_util::client", "a connection");
    });
    let lines = lines.await;
    let logs = lines.iter().filter(|line| line.contains("/v1/logs")).count();
    let read = lines.iter().filter_map(|line| wire::read_line(line, &wire::Limits::default()));
    let spans: usize = read.flat_map(|line| line.decoded).map(|request| request.items()).sum();
    println!("{} lines, {logs} of logs, {spans} items", lines.len());
}

fn printed(variables: &[(&str, &str)]) -> String {
    String::from_utf8(run("prints", variables).stdout).unwrap()
}

/// Fields of spans do not precede the printed events.
fn an_event_is_printed_or_written_as_a_record_and_never_both() {
    let text = printed(&[]);
    assert!(text.contains("1 lines, 0 of logs, 2 items"), "{text}");
    assert!(text.contains("  INFO processes: stored order=7\n"), "{text}");
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
    let stdout = run("prints-debug", &[("AWS_LAMBDA_LOG_LEVEL", "INFO")]).stdout;
    let debug = String::from_utf8(stdout).unwrap();
    assert!(
        debug.contains(" DEBUG processes: a row\n") && !debug.contains("a connection"),
        "{debug}"
    );
    let written = ("LAMBDA_TRACING_ENABLE_FMT_LAYER", "false");
    let debug = printed(&[written, ("AWS_LAMBDA_LOG_LEVEL", "DEBUG")]);
    assert!(debug.contains("2 lines, 1 of logs, 6 items"), "{debug}");
    let errors = printed(&[("RUST_LOG", "error")]);
    assert!(
        errors.contains("1 lines, 0 of logs, 2 items"),
        "a level of the log keeps spans: {errors}"
    );
}

/// Records until the crash that a variable names.
async fn crashes() {
    let completion_handler = init(TelemetryConfig::default());
    let handler = |_: LambdaEvent<Value>| async {
        tracing::info!("loading 2 GB file");
        tracing::error!("disk is full");
        tracing::info!("lost");
        let ends: fn() -> ! = match settings::Env.get("CRASH").as_deref() {
            Some("exit") => || std::process::exit(1),
            Some("abort") => || std::process::abort(),
            Some("overflow") => || {
                overflow(0);
                unreachable!()
            },
            // As when memory is exhausted.
            _ => || {
                let pid = std::process::id().to_string();
                Command::new("kill").args(["-KILL", &pid]).status().unwrap();
                unreachable!()
            },
        };
        ends();
        #[expect(unreachable_code, reason = "the handler needs a type")]
        Ok::<_, Error>(())
    };
    let mut handler = TracedHandler::new("test", completion_handler, handler);
    handler.call(LambdaEvent::new(json!({}), Context::default())).await.unwrap();
}

/// A test of an application's instrumentation on several threads, as the guide, docs/rust.md, has it.
async fn spawns() {
    let output = Arc::new(InMemoryOutput::default());
    let config = TelemetryConfig::builder()
        .with_output(Arc::clone(&output) as _)
        .with_global_providers(false)
        .build();
    let completion_handler = init(config);
    let mut handler = TracedHandler::new("test", completion_handler, async |_| {
        let here = std::thread::current().id();
        let store = async move {
            tracing::info_span!("store").in_scope(|| ());
            std::thread::current().id() != here
        };
        let is_elsewhere = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(tokio::spawn(store))
        });
        assert!(is_elsewhere.unwrap());
        Ok::<_, Error>(Value::Null)
    });
    handler.call(LambdaEvent::new(json!({}), Context::default())).await.unwrap();
    let names = output.take_lines().into_iter().flat_map(|line| {
        let line = wire::read_line(&line, &wire::Limits::default()).unwrap();
        line.decoded.into_iter().map(|own| own.items())
    });
    assert_eq!(names.sum::<usize>(), 2, "the invocation's span and the task's");
}

/// The subscriber of the guide, docs/rust.md.
async fn has_its_own_subscriber() {
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::{fmt, prelude::*, registry};

    let config = TelemetryConfig::builder().with_global_subscriber(false).with_log_bridge(false);
    let completion_handler = init(config.build());
    let printed = fmt::layer().with_ansi(false).with_filter(LevelFilter::INFO);
    registry().with(completion_handler.tracing_layer()).with(printed).init();
    let handler = |_: LambdaEvent<Value>| async {
        // As lambda_runtime 1.5 writes it, in `layers/api_response.rs`.
        tracing::trace!(target: "lambda_runtime::layers::api_response", body = "4111 1111");
        tracing::info!("stored");
        Ok::<_, Error>(())
    };
    let mut handler = TracedHandler::new("test", completion_handler, handler);
    handler.call(LambdaEvent::new(json!({}), Context::default())).await.unwrap();
}

fn the_guides_subscriber_prints_each_event_once_and_no_payload() {
    let stdout = String::from_utf8(run("has-its-own-subscriber", &[]).stdout).unwrap();
    let lines = stdout.lines();
    let (otlp, printed): (Vec<_>, Vec<_>) =
        lines.partition(|line| wire::read_line(line, &wire::Limits::default()).is_some());
    assert!(printed.len() == 1 && printed[0].contains("stored"), "{stdout}");
    let read = otlp.iter().filter_map(|line| wire::read_line(line, &wire::Limits::default()));
    let kinds: Vec<_> = read.flat_map(|line| line.decoded).map(|own| own.kind()).collect();
    assert_eq!(kinds, [SignalKind::Traces]);
}

#[expect(unconditional_recursion, reason = "overflows the stack")]
fn overflow(depth: usize) -> usize {
    let here = std::hint::black_box([depth; 1024]);
    overflow(depth + 1) + here[0]
}

/// What `init_default_subscriber` of lambda_runtime prints, which the library replaces, survives too.
fn an_error_is_written_before_a_crash() {
    for crash in ["exit", "abort", "overflow", "kill"] {
        let ended = run("crashes", &[("CRASH", crash)]);
        assert!(!ended.status.success(), "{crash}");
        let stdout = String::from_utf8(ended.stdout).unwrap();
        let lines =
            stdout.lines().filter_map(|line| wire::read_line(line, &wire::Limits::default()));
        let logs = lines.flat_map(|line| line.decoded).filter_map(|own| own.decode::<wire::Logs>());
        let records: String =
            logs.flat_map(|logs| logs.unwrap().resource_logs).flat_map(|own| shown(&own)).collect();
        expect![[r#"
            processes INFO "loading 2 GB file"
            processes ERROR "disk is full"
        "#]]
        .assert_eq(&records);
    }
}

/// `init` sets the globals of OpenTelemetry, `tracing` and `log`.
async fn uses_globals() {
    let (handler, output) = function(TelemetryConfig::builder(), || {
        tracing::info_span!("child").in_scope(|| {
            tracing::info!("hello");
            log::warn!(target: "legacy::disk", "nearly full: {} %", 98);
            log::info!(target: "legacy::disk", free = 2, ratio = 0.5, mounted = true, name = "tmp"; "disk");
            log::debug!(target: "legacy::disk", "below the level");
            log::error!(target: "opentelemetry_sdk::trace", "of the SDK itself");
        });
        opentelemetry::global::meter("test").u64_counter("calls").build().add(1, &[]);
        send()
    });
    let sent = handler(LambdaEvent::new(json!({}), Context::default())).await.unwrap();
    let (mut items, mut logs) = (Vec::new(), String::new());
    for line in output.take_lines() {
        for own in wire::read_line(&line, &wire::Limits::default()).unwrap().decoded {
            if let Some(request) = own.decode::<wire::Logs>() {
                logs.extend(request.unwrap().resource_logs.iter().flat_map(shown));
            }
            items.push((own.kind(), own.items()));
        }
    }
    items.sort_unstable();
    assert_eq!(items, [(SignalKind::Traces, 2), (SignalKind::Metrics, 1), (SignalKind::Logs, 3)]);
    expect![[r#"
        processes INFO "hello"
        legacy::disk WARN "nearly full: 98 %"
        legacy::disk INFO "disk" free=IntValue(2) ratio=DoubleValue(0.5) mounted=BoolValue(true) name=StringValue("tmp")
    "#]]
    .assert_eq(&logs);

    let traceparent = &sent["header"];
    assert_eq!(&sent["attribute"], traceparent);
    assert_eq!(sent["attributes"], json!([1, 10, 10]));
    let detail = json!({ "order": 7, "headers": { "traceparent": traceparent } });
    assert_eq!((&sent["detail"], &sent["record"]), (&detail, &json!("not an object")));
    let mut by_client_context = Context::default();
    by_client_context.client_context = serde_json::from_str(sent["client"].as_str().unwrap()).ok();
    for event in [
        LambdaEvent::new(detail, Context::default()),
        LambdaEvent::new(json!({}), by_client_context),
    ] {
        let next = handler(event).await.unwrap();
        let trace = |sent: &Value| sent.as_str().unwrap()[..36].to_owned();
        assert_eq!(trace(&next["header"]), trace(traceparent), "the same trace");
    }
}

/// Sends the context through all channels.
fn send() -> Value {
    let mut headers = http::HeaderMap::new();
    headers.insert("traceparent", "of another request".parse().unwrap());
    inject_headers(&mut headers);
    let attributes = |existing: usize| {
        let existing = (0..existing).map(|at| (format!("a{at}"), "x".to_owned()));
        let mut attributes: HashMap<String, String> = existing.collect();
        inject_message_attributes(&mut attributes, Ok::<_, Infallible>);
        attributes
    };
    let of_client = inject_client_context(None).unwrap();
    json!({
        "header": headers["traceparent"].to_str().unwrap(),
        "attribute": attributes(9)["traceparent"],
        "attributes": [attributes(0).len(), attributes(9).len(), attributes(10).len()],
        "detail": serde_json::from_str::<Value>(&inject_json(r#"{"order":7}"#)).unwrap(),
        "record": inject_json("not an object"),
        "client": String::from_utf8(wire::decode_base64(of_client.as_bytes()).unwrap()).unwrap(),
    })
}

/// Scope, severity, body, attributes and event name of each record, and whether it belongs to a span.
fn shown(logs: &ResourceLogs) -> Vec<String> {
    let scopes = logs.scope_logs.iter();
    let records = scopes.flat_map(|own| own.log_records.iter().map(move |record| (own, record)));
    let shown = records.map(|(own, record)| {
        let scope = own.scope.as_ref().map(|scope| scope.name.as_str()).unwrap_or_default();
        let body = record.body.as_ref().and_then(|body| body.value.as_ref());
        let Some(any_value::Value::StringValue(body)) = body else { panic!("{body:?}") };
        assert_eq!((record.event_name.as_str(), record.span_id.len()), ("", 8), "{body}");
        let attributes = record.attributes.iter().map(|own| {
            let value = own.value.as_ref().and_then(|value| value.value.as_ref()).unwrap();
            format!(" {}={value:?}", own.key)
        });
        format!("{scope} {} {body:?}{}\n", record.severity_text, attributes.collect::<String>())
    });
    shown.collect()
}

/// An application keeps its own `tracing` subscriber, and its invocations are spans nevertheless.
async fn has_a_subscriber() {
    let own = tracing_subscriber::registry().with(LevelFilter::ERROR);
    tracing::subscriber::set_global_default(own).unwrap();
    assert_eq!(invoke(TelemetryConfig::builder(), || ()).await.len(), 1);
    assert!(!tracing::enabled!(tracing::Level::INFO), "the application's own filter is in place");
}
