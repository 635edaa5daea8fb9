//! Environments in less common ways: made ahead of time, restored, out of memory, with files of their own.

use crate::support::{Layer, function, invoke, lambda, log, messages, steps, subscribe};
use expect_test::expect;
use lambda_otlp_simulator::{Initialization, InvocationResult, process_state};
use serde_json::json;

#[tokio::test]
async fn an_environment_made_ahead_of_time_may_end_without_an_invocation() {
    let layer = Layer::new(&[("watcher", "")]);
    let f =
        function("f").layer(layer.path()).initialization(Initialization::ProvisionedConcurrency);
    let lambda = lambda([f]).await;
    assert!(lambda.initialise("f").await.unwrap());
    let environment = &lambda.environments("f")[0];
    assert_eq!(process_state(environment.pid.unwrap()), Some('T'));
    assert_eq!(environment.extensions[0].process_state, Some('T'));
    lambda.recycle("f").await.unwrap();
    let events = layer.events("watcher");
    assert_eq!((events.len(), &events[0]["eventType"]), (1, &json!("SHUTDOWN")));

    assert!(lambda.initialise("f").await.unwrap());
    let warm = invoke(&lambda, "f", json!([])).await;
    assert!(warm.is_success() && !warm.cold && warm.init_duration.is_none());
    assert_eq!(layer.events("watcher").len(), 2);
}

#[tokio::test]
async fn a_restored_environment_says_so() {
    let layer =
        Layer::new(&[("watcher", &(subscribe(&["platform"]) + "shutdown hold platform.report"))]);
    let snap = function("f").layer(layer.path()).initialization(Initialization::SnapStart);
    let lambda = lambda([snap]).await;
    let invocation = invoke(&lambda, "f", json!([])).await;
    assert!(invocation.cold && invocation.init_duration.is_none());
    let restore = invocation.restore_duration.unwrap();
    assert!(invocation.billed_duration >= invocation.duration + restore);
    let log = log(&lambda, "f");
    expect![[r#"
        "RESTORE_START Runtime Version: provided:al2023.v100\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:51d1ff1f8a4b0cf0d5f5ac5e7ce8ba4a3d1c3c8f5ac25e38a0c0a4ad0b2f6c51\n"
        "after the restore: 200\n"
        "RESTORE_REPORT Restore Duration: N.NN ms\t\n"
        "START RequestId: ID Version: $LATEST\n"
        "END RequestId: ID\n"
        "REPORT RequestId: ID\tDuration: N.NN ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\tRestore Duration: N.NN ms\tBilled Restore Duration: N ms\t\n"
    "#]].assert_eq(log.split_at(log.find("\"RESTORE_START").unwrap()).1);
    assert!(invoke(&lambda, "f", json!([])).await.restore_duration.is_none());

    lambda.recycle("f").await.unwrap();
    let events = layer.telemetry("watcher");
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let restore = kinds.iter().position(|kind| *kind == "platform.restoreStart").unwrap();
    assert_eq!(
        kinds[restore..restore + 4],
        [
            "platform.restoreStart",
            "platform.restoreRuntimeDone",
            "platform.restoreReport",
            "platform.start"
        ]
    );
    let report = events.iter().find(|event| event["type"] == "platform.report").unwrap();
    assert!(report["record"]["metrics"]["restoreDurationMs"].is_f64());
    assert!(report["record"]["metrics"]["billedRestoreDurationMs"].is_u64());
    assert!(report["record"]["metrics"]["initDurationMs"].is_null());
}

#[tokio::test]
async fn a_managed_instance_is_never_frozen_and_tells_its_extensions_only_of_its_end() {
    let script = |events: &str| format!("events {events}\n{}", subscribe(&["platform"]));
    let managed = |layer: &Layer| {
        function("f").layer(layer.path()).initialization(Initialization::ManagedInstances)
    };
    let layer = Layer::new(&[("watcher", &(script("SHUTDOWN") + "shutdown hold platform.report"))]);
    let running = lambda([managed(&layer)]).await;
    for _ in 0..2 {
        assert!(invoke(&running, "f", json!([])).await.is_success());
    }
    let environment = &running.environments("f")[0];
    assert_eq!((environment.invocations, running.environments("f").len()), (2, 1));
    assert_ne!(process_state(environment.pid.unwrap()), Some('T'));
    assert_ne!(environment.extensions[0].process_state, Some('T'));
    assert!(environment.extensions[0].ready_after > environment.extensions[0].registered_after);
    running.recycle("f").await.unwrap();
    let events = layer.events("watcher");
    assert_eq!((events.len(), &events[0]["eventType"]), (1, &json!("SHUTDOWN")));
    let told = layer.telemetry("watcher");
    let reports: Vec<_> = told.iter().filter(|event| event["type"] == "platform.report").collect();
    assert_eq!(reports.len(), 2);
    let record = &reports[0]["record"];
    assert_eq!(record["metrics"].as_object().unwrap().len(), 1, "{record}");
    let names: Vec<_> = record["spans"].as_array().unwrap().iter().map(|s| &s["name"]).collect();
    assert_eq!(names, ["responseLatency", "responseDuration"]);
    assert!(told.iter().all(|event| event["type"] != "platform.runtimeDone"), "{told:?}");
    let is_report = |line: &String| line.contains(r#""type":"platform.report""#);
    assert_eq!(messages(&running, "f").iter().filter(|line| is_report(line)).count(), 2);

    let layer = Layer::new(&[("watcher", &script("INVOKE SHUTDOWN"))]);
    let refused = lambda([managed(&layer)]).await;
    assert!(!invoke(&refused, "f", json!([])).await.is_success());
}

#[tokio::test]
async fn a_restore_that_fails_is_followed_by_an_init_inside_the_invocation() {
    let snap = function("f").initialization(Initialization::SnapStart);
    let lambda = lambda([snap.env("RESTORE_ERROR", "Function.NoTable")]).await;
    assert!(invoke(&lambda, "f", json!([])).await.is_success());
    assert!(messages(&lambda, "f").iter().any(|line| {
        line.starts_with("RESTORE_REPORT") && line.ends_with("Error Type: Function.NoTable\t\n")
    }));
    assert_eq!(lambda.environments("f")[0].starts, 2);
}

#[tokio::test]
async fn a_runtime_that_takes_too_much_memory_is_killed() {
    let layer = Layer::new(&[("watcher", "")]);
    let f = function("f").layer(layer.path()).enforce_memory(true).memory_mb(64);
    let lambda = lambda([f.old_style_failures(true)]).await;
    assert!(invoke(&lambda, "f", json!([{ "allocate": 8 }])).await.is_success());
    let killed = invoke(&lambda, "f", json!([{ "allocate": 100 }, "hang"])).await;
    let InvocationResult::Crash { status: Some(status) } = killed.result else {
        panic!("{killed:?}")
    };
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    assert_eq!(killed.max_memory_mb, 64);
    let log = messages(&lambda, "f").concat();
    assert!(
        log.contains("Error: Runtime exited with error: signal: killed\nRuntime.OutOfMemory\n")
    );
    assert_eq!(layer.events("watcher").last().unwrap()["shutdownReason"], "failure");
    assert!(invoke(&lambda, "f", json!([])).await.is_success());
}

#[tokio::test]
async fn a_test_may_say_that_memory_is_exhausted() {
    let layer = Layer::new(&[("watcher", &subscribe(&["platform"]))]);
    let lambda = lambda([function("f").layer(layer.path())]).await;
    assert_eq!(lambda.exhaust_memory("f"), 0);
    let (told, heard) = tokio::sync::oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    lambda.observe_logs(move |event| {
        if event.message == "here\n" {
            told.lock().unwrap().take().unwrap().send(()).unwrap();
        }
    });
    let hang = steps(&json!([{ "print": "here" }, "hang"]));
    let running = lambda.begin_invocation("f", hang).unwrap();
    heard.await.unwrap();
    assert_eq!(lambda.exhaust_memory("f"), 1);
    let killed = running.finished().await.unwrap();
    assert!(matches!(killed.result, InvocationResult::Crash { .. }));
    let report = messages(&lambda, "f").pop().unwrap();
    assert!(report.contains("Max Memory Used: 128 MB\tInit"), "{report}");
    assert!(report.contains("Status: error\tError Type: Runtime.OutOfMemory"), "{report}");
    invoke(&lambda, "f", json!([{ "exit": 1 }])).await;
    assert!(messages(&lambda, "f").pop().unwrap().contains("Runtime.ExitError"));
}

#[tokio::test]
async fn temporary_files_live_as_long_as_their_environment() {
    let lambda = lambda([function("f").private_tmp(true)]).await;
    invoke(&lambda, "f", json!([{ "write_temporary": "mine" }, { "exit": 1 }])).await;
    invoke(&lambda, "f", json!(["list_temporary"])).await;
    let count = || messages(&lambda, "f").iter().filter(|line| *line == "mine\n").count();
    assert_eq!(count(), 1);
    lambda.recycle("f").await.unwrap();
    invoke(&lambda, "f", json!(["list_temporary"])).await;
    assert_eq!(count(), 1);
}

#[tokio::test]
async fn the_runtime_ends_before_the_extensions() {
    let layer = Layer::new(&[("watcher", "shutdown print ending")]);
    let f = function("f").layer(layer.path()).env("INTERNAL_EXTENSION", r#"{"events":[]}"#);
    let lambda = lambda([f]).await;
    invoke(&lambda, "f", json!([])).await;
    lambda.recycle("f").await.unwrap();
    let log = messages(&lambda, "f");
    assert_eq!(log[log.len() - 2..], ["terminated\n", "ending\n"]);
}
