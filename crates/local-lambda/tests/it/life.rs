//! The processes of environments are frozen between invocations, and none is left behind. The tests of extension, library and `dev`
//! show errors, timeouts and crashes.

use crate::functions::{function, invoke, lambda, steps};
use lambda_otlp_local_lambda::process_state;
use serde_json::json;

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
    assert_eq!(second.pid, first.pid);
    assert_ne!(second.request_id, first.request_id);
    assert_eq!(process_state(second.pid.unwrap()), Some('T'));
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
