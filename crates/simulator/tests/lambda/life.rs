//! The life of execution environments: cold and warm, frozen, failing, timed out, killed, shut down.

use crate::support::{SHORT, function, invoke, lambda, messages, steps};
use lambda_otlp_simulator::{Error, FunctionSpec, InvocationResult, process_state};
use serde_json::{Value, json};

#[tokio::test]
async fn a_warm_environment_is_frozen_between_its_invocations() {
    let lambda = lambda([function("f")]).await;
    let first = invoke(&lambda, "f", json!([{ "respond": { "a": 1 } }])).await;
    assert_eq!(first.response(), Some(&br#"{"a":1}"#[..]));
    assert!(first.cold && first.init_duration.is_some());
    assert_eq!(process_state(first.pid.unwrap()), Some('T'));

    let second = lambda.invoke("f", br#"{"echo":"me"}"#).await.unwrap();
    assert_eq!(second.response(), Some(&br#"{"echo":"me"}"#[..]));
    assert!(!second.cold && second.init_duration.is_none());
    assert_eq!((second.pid, &second.environment), (first.pid, &first.environment));
    assert_ne!(second.request_id, first.request_id);
    assert_eq!(process_state(second.pid.unwrap()), Some('T'));

    let environments = lambda.environments("f");
    assert_eq!(environments.len(), 1);
    assert_eq!(
        (environments[0].invocations, environments[0].starts, environments[0].busy),
        (2, 1, false)
    );
}

#[tokio::test]
async fn a_handler_error_is_the_callers_and_leaves_the_environment_warm() {
    let lambda = lambda([function("f")]).await;
    let failed = invoke(&lambda, "f", json!([{ "fail": "OrderRejected" }])).await;
    let InvocationResult::FunctionError { error_type, body } = &failed.result else {
        panic!("{failed:?}")
    };
    assert_eq!(error_type, "OrderRejected");
    assert_eq!(serde_json::from_slice::<Value>(body).unwrap()["errorMessage"], "as told");
    let next = invoke(&lambda, "f", json!([])).await;
    assert_eq!((next.pid, next.cold), (failed.pid, false));
}

#[tokio::test]
async fn a_timeout_kills_the_process_and_the_next_invocation_has_a_suppressed_init() {
    let lambda = lambda([function("f").timeout(SHORT)]).await;
    let warm = invoke(&lambda, "f", json!([])).await;
    let late = invoke(&lambda, "f", json!([{ "print": "before" }, "hang"])).await;
    assert_eq!(late.result, InvocationResult::Timeout);
    assert!(late.duration >= SHORT);
    assert_eq!(process_state(late.pid.unwrap()), None);
    assert!(messages(&lambda, "f").contains(&"before\n".to_owned()));

    let next = invoke(&lambda, "f", json!([])).await;
    assert!(next.is_success() && next.cold);
    assert_eq!((next.init_duration, &next.environment), (None, &warm.environment));
    assert_ne!(next.pid, warm.pid);
    assert_eq!(next.log_stream, warm.log_stream);
    let inits = messages(&lambda, "f").iter().filter(|message| message.starts_with("INIT")).count();
    assert_eq!(inits, 1, "the second init is not in the log");
    assert_eq!(
        messages(&lambda, "f")
            .iter()
            .filter(|message| *message == "init of the function\n")
            .count(),
        2
    );
}

#[tokio::test]
async fn an_exit_is_a_crash_with_its_status() {
    let lambda = lambda([function("f")]).await;
    let crashed =
        invoke(&lambda, "f", json!([{ "print_unfinished": "last words" }, { "exit": 3 }])).await;
    let InvocationResult::Crash { status: Some(status) } = crashed.result else {
        panic!("{crashed:?}")
    };
    assert_eq!(status.code(), Some(3));
    assert!(messages(&lambda, "f").contains(&"last words".to_owned()));

    let aborted = invoke(&lambda, "f", json!(["abort"])).await;
    let InvocationResult::Crash { status: Some(status) } = aborted.result else {
        panic!("{aborted:?}")
    };
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6));
    assert!(invoke(&lambda, "f", json!([])).await.is_success());
}

#[tokio::test]
async fn a_failure_after_the_response_does_not_take_it_back() {
    let lambda = lambda([function("f").timeout(SHORT)]).await;
    let answered =
        invoke(&lambda, "f", json!([{ "respond": 1 }, { "exit_after_response": 2 }])).await;
    assert_eq!(answered.response(), Some(&b"1"[..]));
    assert!(
        messages(&lambda, "f")
            .last()
            .unwrap()
            .contains("Status: error\tError Type: Runtime.ExitError")
    );
    let answered = invoke(&lambda, "f", json!([{ "respond": 2 }, "hang_after_response"])).await;
    assert_eq!(answered.response(), Some(&b"2"[..]));
    assert!(messages(&lambda, "f").last().unwrap().contains("Status: timeout"));
}

#[tokio::test]
async fn concurrent_invocations_have_an_environment_each() {
    let files = tempfile::tempdir().unwrap();
    let (one, two) = (files.path().join("one"), files.path().join("two"));
    let lambda = lambda([function("f")]).await;
    let (first, second) = tokio::join!(
        invoke(&lambda, "f", json!([{ "meet": { "mine": one, "other": two } }])),
        invoke(&lambda, "f", json!([{ "meet": { "mine": two, "other": one } }])),
    );
    assert!(first.cold && second.cold);
    assert_ne!(first.pid, second.pid);
    assert_ne!(first.log_stream, second.log_stream);
    let third = invoke(&lambda, "f", json!([])).await;
    assert!(!third.cold && [first.pid, second.pid].contains(&third.pid));
    assert_eq!(lambda.environments("f").len(), 2);
}

#[tokio::test]
async fn more_invocations_than_environments_wait_for_one() {
    let lambda = lambda([function("f").max_environments(1)]).await;
    let (first, second, third) = tokio::join!(
        invoke(&lambda, "f", json!([])),
        invoke(&lambda, "f", json!([])),
        invoke(&lambda, "f", json!([])),
    );
    assert_eq!((first.pid, second.pid), (second.pid, third.pid));
    assert_eq!(lambda.environments("f").len(), 1);
}

#[tokio::test]
async fn an_init_that_fails_is_tried_again_inside_the_invocation() {
    let files = tempfile::tempdir().unwrap();
    let once = |name: &str, init: &str| {
        let marker = files.path().join(name).to_string_lossy().into_owned();
        function(name).env("INIT", init).env("INIT_FAILS_ONCE", marker).init_timeout(SHORT)
    };
    let lambda =
        lambda([once("exits", "exit"), once("reports", "error"), once("hangs", "hang")]).await;
    for (name, init_report) in [
        ("exits", "Phase: init\tStatus: error\tError Type: Runtime.ExitError\t\n"),
        ("reports", "Phase: init\tStatus: error\tError Type: Function.ConfigInvalid\t\n"),
        ("hangs", "Phase: init\tStatus: timeout\t\n"),
    ] {
        let invocation = invoke(&lambda, name, json!([])).await;
        assert!(invocation.is_success() && invocation.cold, "{name}: {invocation:?}");
        assert_eq!(invocation.init_duration, None);
        let messages = messages(&lambda, name);
        let reports: Vec<_> =
            messages.iter().filter(|message| message.starts_with("INIT_REPORT")).collect();
        assert!(reports.len() == 1 && reports[0].ends_with(init_report), "{name}: {reports:?}");
    }
}

#[tokio::test]
async fn an_init_that_always_fails_fails_the_invocation() {
    let lambda = lambda([
        function("exits").env("INIT", "exit"),
        function("reports").env("INIT", "error"),
        function("hangs").env("INIT", "hang").init_timeout(SHORT).timeout(SHORT),
    ])
    .await;
    let exits = invoke(&lambda, "exits", json!([])).await;
    assert!(
        matches!(&exits.result, InvocationResult::Crash { status: Some(status) } if status.code() == Some(7)),
        "{exits:?}"
    );
    let reports = invoke(&lambda, "reports", json!([])).await;
    let InvocationResult::FunctionError { error_type, .. } = &reports.result else {
        panic!("{reports:?}")
    };
    assert_eq!(error_type, "Function.ConfigInvalid");
    assert_eq!(invoke(&lambda, "hangs", json!([])).await.result, InvocationResult::Timeout);
    assert!(lambda.pids().is_empty());
}

#[tokio::test]
async fn nothing_outlives_the_simulator() {
    for gentle in [true, false] {
        let lambda = lambda([function("idle"), function("busy")]).await;
        let idle = invoke(&lambda, "idle", json!([])).await.pid.unwrap();
        let service = std::sync::Arc::new(lambda);
        let (busy_seen, is_busy) = tokio::sync::oneshot::channel();
        let seen = std::sync::Mutex::new(Some(busy_seen));
        service.observe_logs(move |event| {
            if event.message == "here\n"
                && let Some(seen) = seen.lock().unwrap().take()
            {
                seen.send(()).unwrap();
            }
        });
        let held = std::sync::Arc::clone(&service);
        let waiting = tokio::spawn(async move {
            held.invoke("busy", steps(&json!([{ "print": "here" }, "hang"]))).await
        });
        is_busy.await.unwrap();
        let busy = service.environments("busy")[0].pid.unwrap();
        assert!(service.environments("busy")[0].busy);
        waiting.abort();
        assert!(waiting.await.is_err());
        let lambda = std::sync::Arc::into_inner(service).unwrap();
        if gentle {
            lambda.shut_down().await;
        } else {
            drop(lambda);
        }
        for pid in [idle, busy] {
            assert!(
                matches!(process_state(pid), None | Some('Z')),
                "{pid} is {:?}",
                process_state(pid)
            );
        }
    }
}

#[tokio::test]
async fn an_extension_gets_sigterm_and_a_function_without_one_does_not() {
    let lambda = lambda([
        function("with").env("INTERNAL_EXTENSION", r#"{"events":[]}"#),
        function("without"),
    ])
    .await;
    invoke(&lambda, "with", json!([])).await;
    invoke(&lambda, "without", json!([])).await;
    assert_eq!(lambda.recycle("with").await.unwrap(), 1);
    assert_eq!(lambda.recycle("without").await.unwrap(), 1);
    assert_eq!(messages(&lambda, "with").last().unwrap(), "terminated\n");
    assert!(messages(&lambda, "without").last().unwrap().starts_with("REPORT"));
    assert!(lambda.environments("with")[0].ended);
    assert!(invoke(&lambda, "with", json!([])).await.init_duration.is_some());
}

#[tokio::test]
async fn an_extension_that_registered_for_invoke_sees_every_invocation() {
    let lambda =
        lambda([function("f").env("INTERNAL_EXTENSION", r#"{"events":["INVOKE"]}"#)]).await;
    let first = invoke(&lambda, "f", json!([])).await;
    let second = invoke(&lambda, "f", json!([])).await;
    let messages = messages(&lambda, "f");
    for request_id in [first.request_id, second.request_id] {
        assert!(
            messages.contains(&format!("extension: \"INVOKE\" \"{request_id}\"\n")),
            "{messages:?}"
        );
    }
    assert!(
        messages.contains(&"EXTENSION\tName: inner\tState: Ready\tEvents: [INVOKE]\n".to_owned())
    );
}

#[tokio::test]
async fn an_internal_extension_may_not_register_for_shutdown() {
    let lambda =
        lambda([function("f").env("INTERNAL_EXTENSION", r#"{"events":["SHUTDOWN"]}"#)]).await;
    invoke(&lambda, "f", json!([])).await;
    assert!(messages(&lambda, "f").iter().any(|message| message.starts_with("register: 400 ")));
}

#[tokio::test]
async fn a_running_function_can_be_killed() {
    let lambda = std::sync::Arc::new(lambda([function("f")]).await);
    assert_eq!(lambda.kill_running("f"), 0);
    let weak = std::sync::Arc::downgrade(&lambda);
    let (handle, (sender, receiver)) =
        (tokio::runtime::Handle::current(), std::sync::mpsc::sync_channel(1));
    lambda.observe_logs(move |event| {
        if event.message == "here\n" {
            let (weak, sender) = (weak.clone(), sender.clone());
            handle.spawn_blocking(move || {
                sender.send(weak.upgrade().unwrap().kill_running("f")).unwrap();
            });
        }
    });
    let killed = invoke(&lambda, "f", json!([{ "print": "here" }, "hang"])).await;
    let InvocationResult::Crash { status: Some(status) } = killed.result else {
        panic!("{killed:?}")
    };
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    assert_eq!(receiver.recv().unwrap(), 1);
}

#[tokio::test]
async fn what_cannot_be_created_or_invoked_says_why() {
    let lambda = lambda([function("f")]).await;
    let refused = |spec: FunctionSpec| lambda.create_function(spec).unwrap_err().to_string();
    assert_eq!(refused(function("f")), "function f exists already");
    assert_eq!(
        refused(FunctionSpec::new("g", "/no/such/file")),
        "cannot use the bootstrap /no/such/file"
    );
    assert_eq!(refused(FunctionSpec::new("g", "/")), "cannot use the bootstrap /");
    assert_eq!(
        refused(function("g").env("AWS_REGION", "x")),
        "environment variable AWS_REGION is reserved by Lambda; remove it from the function"
    );
    assert!(matches!(lambda.invoke("g", "{}").await, Err(Error::UnknownFunction(_))));
    assert!(matches!(lambda.invoke("f", "no json").await, Err(Error::PayloadNotJson(_))));
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    assert!(matches!(
        lambda.invoke_async("f", large),
        Err(Error::PayloadTooLarge { bytes: 1_048_578, .. })
    ));
}
