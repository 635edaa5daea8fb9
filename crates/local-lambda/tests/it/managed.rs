//! Managed instances run several invocations at a time.

use crate::puppets::{EXTENSION, FUNCTION, PuppetApi, Puppets, function, refusal, text};
use lambda_otlp_local_lambda::{
    ApiResponse, FunctionSpec, Initialization, InvocationResult, RunningInvocation,
};
use serde_json::Value;
use std::time::Duration;

fn managed(script: &str) -> FunctionSpec {
    function(script).initialization(Initialization::ManagedInstances).max_concurrency(2)
}

/// Starts the extension, and lets two workers ask for events.
async fn two_workers(puppets: &Puppets) -> (PuppetApi, [tokio::task::JoinHandle<ApiResponse>; 2]) {
    let api = puppets.api().await;
    let identifier = api.register(EXTENSION, r#"["SHUTDOWN"]"#).await;
    let workers = [api.runtime_next(), api.runtime_next()];
    drop(api.extension_next(&identifier));
    (api, workers)
}

fn events(puppets: &Puppets, kind: &str) -> Vec<Value> {
    let events = puppets.lambda.platform_events(FUNCTION).into_iter();
    events
        .map(|event| serde_json::from_str::<Value>(&event).unwrap())
        .filter(|event| event["type"] == kind)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_instance_runs_as_many_invocations_as_it_has_workers() {
    let puppets =
        Puppets::of(managed("echo $AWS_LAMBDA_MAX_CONCURRENCY workers; exec sleep 1000")).await;
    let invoke = |payload| puppets.lambda.begin_invocation(FUNCTION, payload).unwrap();
    let [first, second, third] = ["1", "2", "3"].map(invoke);
    let (api, [first_worker, second_worker]) = two_workers(&puppets).await;
    let one = first_worker.await.unwrap();
    let two = second_worker.await.unwrap();
    // The third waits for a place.
    assert_eq!(events(&puppets, "platform.start").len(), 2);
    let mut payloads = [text(&one), text(&two)];
    assert_eq!(api.respond(&two, "\"two\"").await.status, 202);
    let three = api.runtime_next().await.unwrap();
    assert_eq!(api.respond(&one, "\"one\"").await.status, 202);
    api.fail(&three).await;
    let ended = [first, second, third].map(RunningInvocation::finished);
    let mut responses = Vec::new();
    for invocation in ended {
        let invocation = invocation.await.unwrap();
        responses
            .push(invocation.response().map(|body| String::from_utf8_lossy(body).into_owned()));
    }
    responses.sort();
    assert_eq!(responses, [None, Some("\"one\"".to_owned()), Some("\"two\"".to_owned())]);
    payloads.sort();
    let all = ["1", "2", "3"];
    assert!(payloads.iter().chain([&text(&three)]).all(|payload| all.contains(&payload.as_str())));
    let reports = events(&puppets, "platform.report");
    let mut statuses: Vec<&Value> =
        reports.iter().map(|report| &report["record"]["status"]).collect();
    statuses.sort_by_key(ToString::to_string);
    assert_eq!(statuses, ["error", "success", "success"]);
    assert!(events(&puppets, "platform.runtimeDone").is_empty());
    assert_eq!(events(&puppets, "platform.initStart").len(), 1);
    assert_eq!(puppets.lines("2 workers"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timed_out_invocation_of_a_managed_instance_ends_alone() {
    let puppets = Puppets::of(managed("exec sleep 1000").timeout(Duration::from_secs(1))).await;
    let late = puppets.lambda.begin_invocation(FUNCTION, "{}").unwrap();
    let (api, workers) = two_workers(&puppets).await;
    let [first, second] = workers;
    let event = tokio::select! {
        event = first => event.unwrap(),
        event = second => event.unwrap(),
    };
    assert_eq!(late.finished().await.unwrap().result, InvocationResult::Timeout);
    assert_eq!(refusal(&api.respond(&event, "1").await), "410 InvokeTimeout");
    assert_eq!(refusal(&api.respond(&event, "1").await), "400 InvalidRequestID");
    // The instance goes on.
    let _other = puppets.lambda.begin_invocation(FUNCTION, "{}").unwrap();
    while events(&puppets, "platform.start").len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(events(&puppets, "platform.initStart").len(), 1);
    assert_eq!(events(&puppets, "platform.report")[0]["record"]["status"], "timeout");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_managed_instances_process_fails_all_of_its_invocations() {
    let script = "while [ ! -e \"$ADDRESS.go\" ]; do sleep 0.01; done; exit 3";
    let puppets = Puppets::of(managed(script)).await;
    let running =
        ["1", "2"].map(|payload| puppets.lambda.begin_invocation(FUNCTION, payload).unwrap());
    let (_api, workers) = two_workers(&puppets).await;
    for worker in workers {
        worker.await.unwrap();
    }
    puppets.go();
    for running in running {
        let result = running.finished().await.unwrap().result;
        let InvocationResult::Crash { status } = result else { panic!("{result:?}") };
        assert_eq!(status.unwrap().code(), Some(3));
    }
    let reports = events(&puppets, "platform.report");
    let error_types: Vec<&Value> =
        reports.iter().map(|report| &report["record"]["errorType"]).collect();
    assert_eq!(error_types, ["Runtime.ExitError", "Runtime.ExitError"]);
    // The next invocation has an instance of its own.
    let _next = puppets.lambda.begin_invocation(FUNCTION, "{}").unwrap();
    puppets.api().await;
    assert_eq!(puppets.lambda.environments(FUNCTION).len(), 2);
}
