//! The life of execution environments: cold and warm, frozen, failing, timed out, killed, shut down.

use crate::functions::{SHORT, function, invoke, lambda, messages, steps};
use lambda_otlp_local_lambda::{InvocationResult, process_state};
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
async fn a_handler_error_is_returned_and_the_environment_stays_warm() {
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
async fn a_timeout_kills_the_process_and_suppresses_the_next_init() {
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
async fn a_process_exit_is_a_crash_with_its_status() {
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
async fn a_failure_after_the_response_keeps_the_response() {
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
async fn a_failed_init_is_retried_inside_the_invocation() {
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
async fn no_process_outlives_the_local_lambda() {
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
