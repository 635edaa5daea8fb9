//! Extensions: how they start, register, take part in invocations, fail and end.

use std::time::Duration;

use crate::support::{
    Layer, SHORT, function, invoke, lambda, log, mask, messages, steps, subscribe,
};
use expect_test::expect;
use lambda_otlp_simulator::{Invocation, InvocationResult, Lambda, process_state};
use serde_json::{Value, json};

fn error_type(invocation: &Invocation) -> &str {
    match &invocation.result {
        InvocationResult::FunctionError { error_type, .. } => error_type,
        other => panic!("{other:?}"),
    }
}

/// The lines about extensions and init, in their order.
fn init_lines(lambda: &Lambda) -> Vec<String> {
    let lines = messages(lambda, "f")
        .into_iter()
        .filter(|message| message.starts_with("EXTENSION") || message.starts_with("INIT_REPORT"));
    lines.map(|line| mask(line.trim_end())).collect()
}

#[tokio::test]
async fn an_extension_of_a_layer_registers_and_gets_every_event() {
    let layer = Layer::new(&[("watcher", "feature accountId\ninvoke print seen\n")]);
    let lambda = lambda([function("f").layer(layer.path())]).await;
    let first = invoke(&lambda, "f", json!([])).await;
    let frozen = lambda.environments("f")[0].extensions[0].clone();
    assert_eq!((frozen.name.as_str(), frozen.process_state), ("watcher", Some('T')));
    assert!(frozen.registered_after <= first.init_duration, "{frozen:?}");
    assert!(frozen.registered_after > Some(Duration::ZERO), "{frozen:?}");
    let second = invoke(&lambda, "f", json!([])).await;
    assert_eq!(lambda.recycle("f").await.unwrap(), 1);
    assert_eq!(process_state(frozen.pid), None);

    expect![[r#"200 {"accountId":"123456789012","functionName":"f","functionVersion":"$LATEST","handler":"bootstrap"}"#]].assert_eq(&mask(&layer.told("watcher", "register").join("\n")));
    let events = layer.events("watcher");
    assert_eq!(events.len(), 3);
    for (event, invocation) in events.iter().zip([&first, &second]) {
        assert_eq!(event["eventType"], "INVOKE");
        assert_eq!(event["requestId"], invocation.request_id);
        assert_eq!(event["invokedFunctionArn"], "arn:aws:lambda:us-east-1:123456789012:function:f");
        assert_eq!(event["tracing"]["value"].as_str(), invocation.trace_header.as_deref());
    }
    assert_eq!(events[2]["shutdownReason"], "spindown");
    let log = log(&lambda, "f");
    let (init, invocations) = log.split_at(log.find("\"START").unwrap());
    assert!(
        init.contains(r#""EXTENSION\tName: watcher\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n""#)
    );
    expect![[r#"
        "START RequestId: ID Version: $LATEST\n"
        "seen\n"
        "END RequestId: ID\n"
        "REPORT RequestId: ID\tDuration: N.NN ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\tInit Duration: N.NN ms\t\n"
        "START RequestId: ID Version: $LATEST\n"
        "seen\n"
        "END RequestId: ID\n"
        "REPORT RequestId: ID\tDuration: N.NN ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\t\n"
    "#]].assert_eq(invocations);
}

#[tokio::test]
async fn an_extension_has_the_functions_environment_without_what_lambda_hides() {
    let layer = Layer::new(&[("watcher", "")]);
    let lambda = lambda([function("f").layer(layer.path()).env("TABLE", "orders")]).await;
    invoke(&lambda, "f", json!([])).await;
    assert_eq!(layer.told("watcher", "directory"), ["/"]);
    let variables = layer.told("watcher", "variable");
    let visible = variables.iter().filter(|variable| !variable.starts_with("AWS_LAMBDA_RUNTIME"));
    let mut visible: Vec<_> = visible.map(String::as_str).collect();
    visible.sort_unstable();
    expect![[r"
        AWS_ACCESS_KEY_ID=ASIASIMULATED
        AWS_DEFAULT_REGION=us-east-1
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128
        AWS_LAMBDA_FUNCTION_NAME=f
        AWS_LAMBDA_FUNCTION_VERSION=$LATEST
        AWS_LAMBDA_INITIALIZATION_TYPE=on-demand
        AWS_LAMBDA_LOG_FORMAT=Text
        AWS_REGION=us-east-1
        AWS_SECRET_ACCESS_KEY=simulated
        AWS_SESSION_TOKEN=simulated
        LANG=en_US.UTF-8
        PATH=/usr/local/bin:/usr/bin/:/bin:/opt/bin
        TABLE=orders
        TZ=:UTC"]]
    .assert_eq(&visible.join("\n"));
    assert_eq!(visible.len() + 1, variables.len());
}

#[tokio::test]
async fn several_extensions_start_together_and_each_gets_what_it_registered_for() {
    let layer = Layer::new(&[
        ("all", ""),
        ("none", "events\n"),
        ("invoke", "events INVOKE\n"),
        ("shutdown", "events SHUTDOWN\n"),
    ]);
    let other = Layer::new(&[("other", "")]);
    let f = function("f").layer(layer.path()).layer(other.path());
    let lambda = lambda([f.env("INTERNAL_EXTENSION", r#"{"events":["INVOKE"]}"#)]).await;
    assert!(invoke(&lambda, "f", json!([])).await.is_success());
    lambda.recycle("f").await.unwrap();
    let kinds = |layer: &Layer, extension: &str| -> Vec<Value> {
        layer.events(extension).iter().map(|event| event["eventType"].clone()).collect()
    };
    assert_eq!(kinds(&layer, "all"), ["INVOKE", "SHUTDOWN"]);
    assert_eq!(kinds(&layer, "none"), [""; 0]);
    assert_eq!(kinds(&layer, "invoke"), ["INVOKE"]);
    assert_eq!(kinds(&layer, "shutdown"), ["SHUTDOWN"]);
    assert_eq!(kinds(&other, "other"), ["INVOKE", "SHUTDOWN"]);
    let log = messages(&lambda, "f");
    assert!(log.contains(&"EXTENSION\tName: none\tState: Ready\tEvents: []\n".to_owned()));
    // The runtime has an internal extension, and so a time for its own end.
    assert!(log.contains(&"terminated\n".to_owned()), "{log:?}");
}

#[tokio::test]
async fn ten_extensions_may_register_and_an_eleventh_may_not() {
    let names = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let layer = Layer::new(&names.map(|name| (name, "")));
    let f = function("f").layer(layer.path()).env("INTERNAL_EXTENSION", r#"{"events":[]}"#);
    let lambda = lambda([f]).await;
    assert!(invoke(&lambda, "f", json!([])).await.is_success());
    assert!(names.iter().all(|name| layer.told(name, "register")[0].starts_with("200 ")));
    let log = messages(&lambda, "f");
    let refused = log.iter().find(|line| line.starts_with("register: ")).unwrap();
    assert!(
        refused.starts_with("register: 403 ") && refused.contains("Extension.TooManyExtensions")
    );
}

#[tokio::test]
async fn what_lambda_refuses_is_refused() {
    let script = format!(
        "feature other\ninvoke register late\ninvoke {0}init error Extension.Late\n",
        subscribe(&["platform"])
    );
    let layer = Layer::new(&[("watcher", script.as_str()), ("bad", "events INVOKE OTHER\n")]);
    let lambda =
        lambda([function("f").layer(layer.path()).init_timeout(SHORT).timeout(SHORT)]).await;
    invoke(&lambda, "f", json!([])).await;
    assert!(layer.told("bad", "register")[0].starts_with("400 "));

    let layer = Layer::new(&[("watcher", &script.replace("init error", "invoke error"))]);
    lambda.create_function(function("g").layer(layer.path())).unwrap();
    invoke(&lambda, "g", json!([])).await;
    let refused = |what: &str, place: usize| {
        let answer = &layer.told("watcher", what)[place];
        (
            answer.split(' ').next().unwrap_or_default().to_owned(),
            answer.contains("RegistrationClosed"),
        )
    };
    assert_eq!(refused("register", 0), ("200".to_owned(), false));
    assert_eq!(refused("register", 1), ("403".to_owned(), true));
    assert_eq!(refused("subscribe", 0), ("403".to_owned(), true));
}

#[tokio::test]
async fn an_extension_that_ends_or_fails_or_never_registers_fails_init() {
    let check = async |script: &str, expected: &[String], outcome: Option<&str>| {
        let layer = Layer::new(&[("bad", script)]);
        if script == "no such script" {
            std::fs::remove_file(layer.path().join("bad.script")).unwrap();
        }
        let f = function("f").layer(layer.path()).init_timeout(SHORT).timeout(SHORT);
        let lambda = lambda([f]).await;
        let invocation = invoke(&lambda, "f", json!([])).await;
        match outcome {
            Some(outcome) => assert_eq!(error_type(&invocation), outcome, "{script}"),
            None => assert_eq!(invocation.result, InvocationResult::Timeout, "{script}"),
        }
        // The first init, and the one inside the invocation.
        let again = expected.iter().map(|line| line.replace("Phase: init", "Phase: invoke"));
        let expected: Vec<_> = expected.iter().map(ToString::to_string).chain(again).collect();
        assert_eq!(init_lines(&lambda), expected, "{script}");
        assert!(lambda.pids().is_empty());
    };
    let lines = |state: &str, events: &str, error_type: &str, status: &str| {
        let extension = format!("EXTENSION\tName: bad\tState: {state}\tEvents: [{events}]");
        [
            extension + &error_type.replacen("Ext", "\tError Type: Ext", 1),
            format!("INIT_REPORT Init Duration: N.NN ms\tPhase: init\tStatus: {status}"),
        ]
    };
    let failed = |state: &str, events: &str, error_type: &str| {
        lines(state, events, error_type, &format!("error\tError Type: {error_type}"))
    };
    let (crash, wrong) = ("Extension.Crash", "Extension.ConfigInvalid");
    let both = "INVOKE, SHUTDOWN";
    check("init exit 0", &failed("Registered", both, crash), Some(crash)).await;
    check("init error Extension.ConfigInvalid", &failed("Registered", both, wrong), Some(wrong))
        .await;
    let hang = "events INVOKE\ninit hang";
    check(hang, &lines("Registered", "INVOKE", "", "timeout"), None).await;
    check("no such script", &failed("Started", "", crash), Some(crash)).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_executed_fails_init() {
    let layer = Layer::new(&[]);
    std::fs::write(layer.path().join("extensions/notes"), "no program").unwrap();
    let lambda = lambda([function("f").layer(layer.path())]).await;
    assert_eq!(error_type(&invoke(&lambda, "f", json!([])).await), "Extension.LaunchError");
    assert_eq!(
        init_lines(&lambda)[..2],
        [
            "EXTENSION\tName: notes\tState: LaunchError\tEvents: []\tError Type: Extension.LaunchError",
            "INIT_REPORT Init Duration: N.NN ms\tPhase: init\tStatus: error\tError Type: Extension.LaunchError",
        ]
    );
}

#[tokio::test]
async fn the_caller_has_the_response_before_the_extensions_are_done() {
    let layer = Layer::new(&[("slow", "invoke wait\n")]);
    let lambda = lambda([function("f").layer(layer.path())]).await;
    let mut running = lambda.begin_invocation("f", steps(&json!([{ "respond": 1 }]))).unwrap();
    assert_eq!(running.result().await.unwrap(), InvocationResult::Response("1".into()));
    assert!(lambda.environments("f")[0].busy);
    assert!(lambda.invocations("f").is_empty());
    layer.go_on("slow");
    let over = running.finished().await.unwrap();
    assert!(over.post_runtime > Duration::ZERO && over.is_success());
    assert!(over.response_latency.unwrap() + over.post_runtime <= over.duration);
    assert!(over.billed_duration >= over.duration);
    let report = messages(&lambda, "f").pop().unwrap();
    assert!(!report.contains("Status"), "nothing timed out: {report}");
}

#[tokio::test]
async fn an_extension_that_keeps_the_environment_runs_into_the_timeout() {
    let layer = Layer::new(&[("slow", "invoke hang\n")]);
    let lambda = lambda([function("f").layer(layer.path()).timeout(SHORT)]).await;
    let answered = invoke(&lambda, "f", json!([{ "respond": 1 }])).await;
    assert_eq!(answered.response(), Some(&b"1"[..]));
    assert!(answered.duration >= SHORT);
    assert!(messages(&lambda, "f").last().unwrap().contains("Status: timeout"));
    // It never asked for its next event, and so never heard of the shutdown.
    assert_eq!(layer.events("slow").len(), 1);
    assert!(invoke(&lambda, "f", json!([])).await.cold);
}

#[tokio::test]
async fn a_failed_invocation_gives_extensions_the_reason_and_starts_them_anew() {
    for (steps, reason) in [(json!(["hang"]), "timeout"), (json!([{ "exit": 3 }]), "failure")] {
        let layer = Layer::new(&[("watcher", "shutdown print ending\n")]);
        let lambda = lambda([function("f").layer(layer.path()).timeout(SHORT)]).await;
        invoke(&lambda, "f", steps).await;
        assert_eq!(layer.events("watcher")[1]["shutdownReason"], reason);
        assert_eq!(messages(&lambda, "f").last().unwrap(), "ending\n");
        let environment = &lambda.environments("f")[0];
        assert_eq!((environment.pid, environment.extensions.len()), (None, 0));
        let next = invoke(&lambda, "f", json!([])).await;
        assert!(next.is_success() && next.cold && next.init_duration.is_none());
        assert_eq!(layer.told("watcher", "register").len(), 2);
        assert_eq!(lambda.environments("f")[0].starts, 2);
    }
}

#[tokio::test]
async fn an_extension_that_fails_in_an_invocation_fails_it() {
    let check = async |script: &str, steps: Value, outcome: Option<&str>, line: &str| {
        let layer = Layer::new(&[("bad", script)]);
        let lambda = lambda([function("f").layer(layer.path())]).await;
        let failed = invoke(&lambda, "f", steps).await;
        match outcome {
            Some(outcome) => assert_eq!(error_type(&failed), outcome),
            None => assert!(failed.is_success()),
        }
        assert!(messages(&lambda, "f").last().unwrap().contains(line));
        assert!(lambda.pids().is_empty());
    };
    let crash = "Status: error\tError Type: Extension.Crash";
    check("invoke exit 0", json!(["hang"]), Some("Extension.Crash"), crash).await;
    let reported = "Status: error\tError Type: Extension.Bad";
    check("invoke error Extension.Bad", json!(["hang"]), Some("Extension.Bad"), reported).await;
    let late = subscribe(&["platform"]) + "invoke hold platform.runtimeDone\ninvoke exit 1\n";
    check(&late, json!([{ "respond": 1 }]), None, crash).await;
}

#[tokio::test]
async fn an_extension_that_is_killed_while_frozen_fails_the_next_invocation() {
    let layer = Layer::new(&[("watcher", "")]);
    let lambda = lambda([function("f").layer(layer.path())]).await;
    invoke(&lambda, "f", json!([])).await;
    assert_eq!(lambda.kill_extension("f", "other"), 0);
    assert_eq!(lambda.kill_extension("f", "watcher"), 1);
    assert_eq!(error_type(&invoke(&lambda, "f", json!(["hang"])).await), "Extension.Crash");
    assert!(invoke(&lambda, "f", json!([])).await.is_success());
}

#[tokio::test]
async fn an_environment_that_does_not_end_is_killed_after_two_seconds() {
    let layer = Layer::new(&[("watcher", "shutdown hang\n")]);
    let lambda = lambda([function("f").layer(layer.path())]).await;
    let pid = invoke(&lambda, "f", json!([])).await.pid.unwrap();
    let extension = lambda.environments("f")[0].extensions[0].pid;
    let begin = std::time::Instant::now();
    lambda.recycle("f").await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(2));
    assert_eq!((process_state(pid), process_state(extension)), (None, None));
    let deadline_ms = layer.events("watcher")[1]["deadlineMs"].as_u64().unwrap();
    let invoked_ms = layer.events("watcher")[0]["deadlineMs"].as_u64().unwrap();
    assert!(deadline_ms < invoked_ms && deadline_ms > invoked_ms - 60_000);
}
