//! Peak memory for the longest history, measured in a separate process.

use super::stand_in::{StandIn, page};
use super::{QUEUE, forward_and_forget, machine_event, message, seconds};
use serde_json::{Value, json};
use std::process::Command;

/// As for other events: the rest of 128 MB is left to the kernel and Lambda's own processes.
const MAX_MIB: usize = 100;
const URL: &str = "LAMBDA_OTLP_TEST_HISTORIES";
/// The limit of AWS.
const EVENTS: u64 = 25_000;

/// The events of a page. Each third one has an error of 3 kB, so that a page has about a megabyte.
fn events(from: u64, count: u64) -> Vec<Value> {
    let cause = "x".repeat(3_000);
    let event = |id: u64| {
        let (kind, key, details) = match id {
            1 => ("ExecutionStarted", "executionStartedEventDetails", json!({})),
            EVENTS => ("ExecutionFailed", "executionFailedEventDetails", json!({ "error": "E" })),
            _ => match id % 3 {
                0 => ("TaskStateEntered", "stateEnteredEventDetails", json!({ "name": "pay" })),
                1 => (
                    "LambdaFunctionScheduled",
                    "lambdaFunctionScheduledEventDetails",
                    json!({ "resource": "arn:aws:lambda:eu-west-1:123456789012:function:pay" }),
                ),
                _ => (
                    "LambdaFunctionFailed",
                    "lambdaFunctionFailedEventDetails",
                    json!({ "error": "Declined", "cause": cause }),
                ),
            },
        };
        json!({ "id": id, "previousEventId": id - 1, "timestamp": seconds(id), "type": kind, key: details })
    };
    (from..from + count).map(event).collect()
}

/// The measured process.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "tells this process what it is run for")]
async fn process_of_one_execution() {
    let Ok(url) = std::env::var(URL) else { return };
    lambda_otlp_forwarder::keep_freed_memory();
    let event = message(QUEUE, &machine_event().to_string(), 1);
    let done = forward_and_forget(&url, event).await;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("peak {} {}", peak.trim(), done.ledger().items.spans);
}

#[tokio::test]
async fn the_longest_history_fits_the_smallest_function() {
    let stand_in = StandIn::start(|_, call| {
        let from: u64 = call.text("nextToken").map_or(1, |token| token.parse().unwrap());
        let count = call.input["maxResults"].as_u64().unwrap().min(EVENTS + 1 - from);
        let next = from + count;
        page(&events(from, count), (next <= EVENTS).then(|| next.to_string()).as_deref())
    })
    .await;
    let url = stand_in.url();
    let measure = move || {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["executions::memory::process_of_one_execution", "--exact", "--nocapture"])
            .env(URL, url)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = tokio::task::spawn_blocking(measure).await.unwrap();
    let line = printed.lines().find_map(|line| line.split_once("peak ")).expect(&printed).1;
    println!("{line}");
    let words: Vec<&str> = line.split_whitespace().collect();
    let mib = words[0].parse::<usize>().unwrap() / 1024;
    assert_eq!(words[2], "8334");
    assert!(mib < MAX_MIB, "{mib} MiB");
}
