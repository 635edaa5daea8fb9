//! The extension's life with a scripted Lambda: calls, holds of `next`, and output.

use crate::fake_lambda::support::{
    self, FIRST, Lambda, MINUTE, TIME, invoke, report, runtime_done, runtime_done_with, shutdown,
};
use lambda_otlp_extension::{Count, Fatal};
use local_lambda::free_port;
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Output, Stdio};
use tokio::process::Command;
use tokio::time::timeout;
use wire::{Metrics, SignalKind, Traces};

#[tokio::test]
async fn the_first_invocation_is_held_until_its_end_and_the_shutdown_until_its_report() {
    let mut lambda = Lambda::invoked(&[]).await;
    assert_eq!(lambda.telemetry(&[runtime_done(FIRST)]).await, 200);
    let next = lambda.next().await;
    // Response latency, response duration, runtime overhead, produced bytes.
    assert_eq!(lambda.stdout.lines(), [(SignalKind::Traces, 1), (SignalKind::Metrics, 4)]);
    next.answer(200, shutdown("spindown"));
    assert_eq!(lambda.telemetry(&[report(FIRST, "success")]).await, 200);
    let (stdout, _) = lambda.finished().await;
    let mut names: Vec<String> = stdout.metrics().into_iter().map(|metric| metric.name).collect();
    // An end within the same millisecond is no hold.
    names.retain(|name| name != "lambda_otlp.extension.held");
    names.sort();
    expect_test::expect![[r"
        aws.lambda.extension_overhead
        aws.lambda.produced_bytes
        aws.lambda.response_duration
        aws.lambda.response_latency
        aws.lambda.runtime_overhead
        lambda_otlp.extension.items
        lambda_otlp.extension.written.bytes"]]
    .assert_eq(&names.join("\n"));
}

/// Lambda sends no INVOKE for an invocation whose init phase failed, and its events are buffered when SHUTDOWN comes.
#[tokio::test]
async fn a_failed_init_leaves_its_span() {
    let start = json!({"time": TIME, "type": "platform.start", "record": {"requestId": FIRST, "version": "7"}});
    let init = |status: &str| {
        json!({"time": TIME, "type": "platform.initRuntimeDone", "record": {
            "initializationType": "on-demand", "phase": "init", "status": status, "errorType": "Runtime.ExitError",
        }})
    };
    let ends = |id| [runtime_done_with(id, "error"), report(id, "error")];
    let [done, reported] = ends(FIRST);
    let start_of_second =
        json!({"time": TIME, "type": "platform.start", "record": {"requestId": "second"}});
    let [done_of_second, reported_of_second] = ends("second");
    for (before, after, spans) in [
        // The events come in one delivery, or each in its own.
        (vec![], vec![vec![init("error"), start.clone(), done.clone(), reported.clone()]], 1),
        (
            vec![init("error")],
            vec![vec![start.clone()], vec![done.clone()], vec![reported.clone()]],
            1,
        ),
        // The events of an earlier invocation came before.
        (
            vec![start, done, reported],
            vec![vec![start_of_second], vec![done_of_second], vec![reported_of_second]],
            2,
        ),
    ] {
        let (lambda, next) = Lambda::waiting(&[]).await;
        assert_eq!(lambda.telemetry(&before).await, 200);
        next.answer(200, shutdown("spindown"));
        for delivery in after {
            assert_eq!(lambda.telemetry(&delivery).await, 200);
        }
        let (stdout, _) = lambda.finished().await;
        let statuses: Vec<i32> =
            stdout.spans().into_iter().map(|span| span.status.unwrap_or_default().code).collect();
        assert_eq!(statuses, vec![2; spans]);
    }
}

#[tokio::test]
async fn an_end_received_before_its_invocation_causes_no_hold() {
    let (mut lambda, next) = Lambda::waiting(&[]).await;
    assert_eq!(lambda.telemetry(&[runtime_done(FIRST)]).await, 200);
    next.answer(200, invoke(FIRST, MINUTE));
    lambda.next().await.answer(200, shutdown("spindown"));
    lambda.telemetry(&[report(FIRST, "success")]).await;
    lambda.finished().await;
}

#[tokio::test]
async fn frequent_invocations_are_not_held() {
    let mut lambda = Lambda::start(&[]).await;
    lambda.next().await.answer(200, invoke("first", MINUTE));
    lambda.telemetry(&[runtime_done("first")]).await;
    for request_id in ["second", "third", "fourth"] {
        // No event has to come before the extension asks for the next.
        lambda.next().await.answer(200, invoke(request_id, MINUTE));
    }
    let next = lambda.next().await;
    // Late telemetry is written late.
    let late = ["second", "third", "fourth"].map(runtime_done);
    lambda.telemetry(&late).await;
    let (stdout, _) = lambda.end(next).await;
    assert_eq!(stdout.items(SignalKind::Traces), 4);
}

#[tokio::test]
async fn otlp_ends_the_hold_and_a_failure_causes_one() {
    let mut lambda = Lambda::start(&[]).await;
    lambda.next().await.answer(200, invoke("first", MINUTE));
    // The first invocation is rare, so the extension waits for its telemetry.
    let next = lambda
        .next_after(async |lambda| {
            lambda.protobuf(SignalKind::Traces, &support::traces(1)).await;
        })
        .await;
    lambda.telemetry(&[runtime_done_with("first", "failure")]).await;
    next.answer(200, invoke("second", MINUTE));
    for _ in 0..20 {
        lambda.protobuf(SignalKind::Traces, &support::traces(1)).await;
        assert!(lambda.no_call(), "the one after a failure is held until its end");
    }
    assert_eq!(lambda.telemetry(&[runtime_done("second")]).await, 200);
    let (stdout, counts) = lambda.shut_down().await;
    let own = usize::try_from(counts.get(Count::Received)).unwrap();
    assert_eq!(stdout.items(SignalKind::Traces), own + 2);
}

#[tokio::test]
async fn a_managed_instance_registers_only_for_shutdown_and_subscribes_to_the_chosen_types() {
    let kind = ("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances");
    let mut lambda = Lambda::begin(&[kind, ("O2_TELEMETRY_TYPES", "platform,function")]).await;
    let register = lambda.call("POST /2020-01-01/extension/register").await;
    assert_eq!(register.json(), json!({"events": ["SHUTDOWN"]}));
    assert!(
        lambda.has_made_records(),
        "our exporter looks for the file when the first invocation begins"
    );
    register.answer(200, "{}");
    let mut subscription = lambda.subscribe(200).await;
    let uri = subscription["destination"]["URI"].take();
    assert!(uri.as_str().unwrap().starts_with("http://127.0.0.1:"), "{uri}");
    assert_eq!(
        subscription,
        json!({
            "schemaVersion": "2025-01-29",
            "types": ["platform", "function"],
            "buffering": {"maxItems": 1000, "maxBytes": 262_144, "timeoutMs": 500},
            "destination": {"protocol": "HTTP", "URI": null},
        })
    );
    let next = lambda.next().await;
    assert_eq!(
        lambda.telemetry(&[report("first", "success"), report("second", "success")]).await,
        200
    );
    let (stdout, _) = lambda.end(next).await;
    let names: Vec<String> = stdout.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["orders"; 2], "the variable's, since Lambda said none");
}

/// Only where the extension holds invocations, events have to come as early as possible.
#[tokio::test]
async fn a_classic_function_asks_for_the_shortest_buffering() {
    let mut lambda = Lambda::begin(&[]).await;
    lambda.call("POST /2020-01-01/extension/register").await.answer(200, "{}");
    let subscription = lambda.subscribe(200).await;
    assert_eq!(subscription["buffering"]["timeoutMs"], 25);
    lambda.shut_down().await;
}

#[tokio::test]
async fn the_resource_has_the_names_of_the_registration_and_the_variables() {
    let variables = [
        ("AWS_LAMBDA_FUNCTION_NAME", "variable"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_REGION", "eu-west-1"),
        ("OTEL_SERVICE_NAME", "shop"),
    ];
    let lambda = Lambda::invoked(&variables).await;
    let (stdout, _) = lambda.done_and_ended().await;
    let text = stdout.text();
    let traces = text.lines().find_map(|line| support::read(line).decode::<Traces>());
    let spans = traces.unwrap().unwrap().resource_spans.into_iter().next().unwrap();
    let described = |resource: Option<Resource>| {
        let attributes = resource.unwrap().attributes.into_iter();
        let described =
            attributes.map(|own| format!("{} {:?}\n", own.key, own.value.unwrap().value));
        described.collect::<String>()
    };
    let of_spans = described(spans.resource);
    expect_test::expect![[r#"
        service.name Some(StringValue("shop"))
        cloud.provider Some(StringValue("aws"))
        cloud.platform Some(StringValue("aws_lambda"))
        cloud.region Some(StringValue("eu-west-1"))
        cloud.account.id Some(StringValue("123456789012"))
        faas.name Some(StringValue("orders"))
        faas.version Some(StringValue("7"))
        faas.max_memory Some(IntValue(134217728))
    "#]]
    .assert_eq(&of_spans);
    let request = text.lines().find_map(|line| support::read(line).decode::<Metrics>());
    let metrics = request.unwrap().unwrap().resource_metrics.into_iter().next().unwrap();
    let of_metrics = described(metrics.resource);
    assert!(
        !of_metrics.contains("max_memory") && of_spans.starts_with(&of_metrics),
        "{of_metrics}"
    );
}

#[tokio::test]
async fn malformed_telemetry_is_acknowledged_and_that_at_another_path_rejected() {
    let (mut lambda, next) = Lambda::waiting(&[]).await;
    for body in ["", "{}", "nonsense", r#"[1, {"type": "platform.start"}, {"no": "type"}]"#, "[}"] {
        assert_eq!(lambda.telemetry_body(body.as_bytes()).await, 200, "{body}");
    }
    let mut uri = lambda.telemetry_uri.clone().unwrap();
    let last = if uri.pop() == Some('0') { '1' } else { '0' };
    uri.push(last);
    lambda.telemetry_uri = Some(uri);
    assert_eq!(lambda.telemetry(&[report(FIRST, "success")]).await, 404);
    let (_, counts) = lambda.end(next).await;
    assert_eq!(support::counts(&counts), "telemetry_misaddressed=1 malformed=6");
}

/// AWS's code for managed instances ignores the path of the subscription.
#[tokio::test]
async fn a_managed_instance_accepts_telemetry_at_the_root_until_it_comes_at_the_agreed_path() {
    let kind = ("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances");
    for (variables, comes_at_path, expected) in [
        (&[kind][..], false, [200, 200, 404]),
        (&[kind], true, [404, 404, 404]),
        (&[], false, [404, 404, 404]),
    ] {
        let (messages, _log) = support::logged();
        let mut lambda = Lambda::begin(variables).await;
        lambda.call("POST /2020-01-01/extension/register").await.answer(200, "{}");
        lambda.subscribe_silently(200).await;
        let next = lambda.next().await;
        if comes_at_path {
            lambda.telemetry(&[]).await;
        }
        let mut statuses = Vec::new();
        for (path, request_id) in [("/", "first"), ("/", "second"), ("/elsewhere", "third")] {
            let body = serde_json::to_vec(&[report(request_id, "success")]).unwrap();
            statuses.push(lambda.telemetry_at(path, &body).await);
        }
        assert_eq!(statuses, expected, "{variables:?} {comes_at_path}");
        let refused = expected.iter().filter(|status| **status == 404).count();
        let (stdout, counts) = lambda.end(next).await;
        assert_eq!(counts.get(Count::TelemetryMisaddressed), refused as u64, "{variables:?}");
        assert_eq!(stdout.items(SignalKind::Traces), 3 - refused, "{variables:?} {comes_at_path}");
        let messages = messages.lock().unwrap();
        let warnings = messages.iter().filter(|line| line.contains("at another path"));
        assert_eq!(warnings.count(), 1, "{variables:?}");
    }
}

#[tokio::test]
async fn unknown_events_are_ignored() {
    let mut lambda = Lambda::start(&[]).await;
    lambda.next().await.answer(200, r#"{"eventType":"HIBERNATE"}"#);
    lambda.next().await.answer(200, "nonsense");
    lambda.shut_down().await;
}

#[tokio::test]
async fn a_refused_register_or_next_call_ends_the_extension() {
    for status in [403, 500] {
        let mut lambda = Lambda::begin(&[]).await;
        let register = lambda.call("POST /2020-01-01/extension/register").await;
        register.answer(status, "{}");
        assert!(matches!(lambda.ended().await.0, Err(Fatal::Api(_))));

        let mut lambda = Lambda::start(&[]).await;
        lambda.next().await.answer(status, "{}");
        assert!(matches!(lambda.ended().await.0, Err(Fatal::Api(_))));
    }
}

/// The extension's process with a Lambda that gives these events, with this stderr and these variables. Returns its stdout.
async fn process(
    stderr: impl Into<Stdio>,
    variables: &[(&str, &str)],
    events: impl IntoIterator<Item = String>,
) -> String {
    let (api, mut calls) = support::api().await;
    let extension = Command::new(env!("CARGO_BIN_EXE_lambda-otlp-extension"))
        .env_clear()
        .envs(variables.iter().copied())
        .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
        .env("OTEL_LAMBDA_RECEIVER_PORT", free_port().to_string())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    for answer in ["{}".to_owned(), "OK".to_owned()].into_iter().chain(events) {
        let call = timeout(support::TIMEOUT, calls.recv()).await.expect("a call");
        call.unwrap().answer(200, answer);
    }
    let ended = timeout(support::TIMEOUT, extension.wait_with_output()).await.expect("it ends");
    let Output { status, stdout, .. } = ended.unwrap();
    assert!(status.success(), "{status}");
    String::from_utf8(stdout).unwrap()
}

/// Nobody reads the extension's stderr.
#[tokio::test]
async fn a_full_stderr_does_not_stop_the_extension() {
    let (reader, mut stderr) = std::io::pipe().unwrap();
    let capacity = rustix::pipe::fcntl_getpipe_size(&stderr).unwrap();
    stderr.write_all(&vec![b'x'; capacity]).unwrap();
    process(stderr, &[("LAMBDA_OTLP_LOG_LEVEL", "debug")], [shutdown("spindown")]).await;
    drop(reader);
}

/// A subscription for spilled lines selects them too.
#[tokio::test]
async fn without_certificates_own_spans_are_spilled() {
    let variables =
        [("LAMBDA_OTLP_ENDPOINT", "https://o2.invalid"), ("SSL_CERT_FILE", "/dev/null")];
    let events = [invoke(FIRST, MINUTE), shutdown("spindown")];
    let stdout = process(Stdio::null(), &variables, events).await;
    let spans = stdout.lines().filter(|line| support::read(line).kind() == SignalKind::Traces);
    assert_eq!(spans.count(), 1, "{stdout}");
    assert!(stdout.lines().all(|line| line.contains("\"spill\":true")), "{stdout}");
}

/// Lambda's filter of levels takes a line without both for one of the level INFO.
#[tokio::test]
async fn lines_in_the_json_log_format_have_the_functions_level_and_a_time() {
    let json = [("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("AWS_LAMBDA_LOG_LEVEL", "ERROR")];
    let lambda = Lambda::invoked(&json).await;
    let (stdout, _) = lambda.done_and_ended().await;
    let text = stdout.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_marked = |line: &Value| {
        line["level"] == "ERROR" && line["timestamp"].as_str().unwrap().ends_with('Z')
    };
    assert!(!lines.is_empty() && lines.iter().all(is_marked), "{text}");
}
