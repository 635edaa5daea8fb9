//! What came of an invocation, in a line that says what to do where it failed.

use simulator::{Invocation, InvocationResult};
use std::time::Duration;

/// How much of a response is shown, in characters.
const LONGEST_RESPONSE: usize = 2000;

/// The time that Lambda gives a function to ask for its first event, here and there (AWS Lambda "Lambda runtime environment").
const INIT: Duration = Duration::from_secs(10);

/// A line on the invocation; `never_asked`: its process did not ask for an event.
pub(super) fn words(invocation: &Invocation, never_asked: bool, timeout: Duration) -> String {
    let millis = invocation.duration.as_secs_f64() * 1e3;
    let timeout = timeout.as_secs();
    match &invocation.result {
        InvocationResult::Response(body) => {
            let start = match (invocation.init_duration, invocation.cold) {
                (Some(init), _) => format!(", cold: Init {:.1} ms", init.as_secs_f64() * 1e3),
                (None, true) => ", cold".to_owned(),
                (None, false) => String::new(),
            };
            format!("=> {} ({millis:.1} ms{start})", text(body))
        }
        InvocationResult::FunctionError { error_type, body } if never_asked => {
            format!("=> failed in Init: {error_type}: {}", message(body))
        }
        InvocationResult::FunctionError { error_type, body } => {
            format!("=> failed after {millis:.1} ms: {error_type}: {}", message(body))
        }
        InvocationResult::Timeout if never_asked => format!(
            "=> the function did not ask for an event within the {} s of Init and {timeout} s more: COMMAND has to speak Lambda's \
             Runtime API, as lambda_runtime and awslambdaric do; of a file with a handler give --runtime python|node --handler FILE.FUNCTION",
            INIT.as_secs()
        ),
        InvocationResult::Timeout => {
            format!(
                "=> timed out after {timeout} s, and its process was killed: --timeout gives it longer"
            )
        }
        InvocationResult::Crash { status: None } => {
            "=> the function, or an extension of its layers, could not be started".to_owned()
        }
        InvocationResult::Crash { status: Some(status) } if never_asked => format!(
            "=> the function ended with {status} before it asked for an event: what it printed stands above; COMMAND has to speak \
             Lambda's Runtime API and to go on"
        ),
        InvocationResult::Crash { status: Some(status) } => {
            format!("=> the function ended with {status} in the middle of the invocation")
        }
    }
}

fn text(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(LONGEST_RESPONSE) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// The text in `{"errorMessage": …}`, as Lambda's runtimes write it.
fn message(body: &[u8]) -> String {
    let error = serde_json::from_slice::<serde_json::Value>(body).ok();
    let message = error.as_ref().and_then(|error| error.get("errorMessage")?.as_str());
    text(message.map_or(body, str::as_bytes))
}

/// Whether the last process of a function did not come to ask for an event, by what Lambda said of its Init (AWS Lambda "Telemetry
/// API", `platform.initRuntimeDone`).
pub(super) fn never_asked(platform_events: &[String]) -> bool {
    let read = |event: &String| serde_json::from_str::<serde_json::Value>(event).ok();
    let kind = |event: &serde_json::Value| {
        let kind = event.get("type").and_then(|kind| kind.as_str());
        kind.map(str::to_owned).unwrap_or_default()
    };
    let status = |event: &serde_json::Value| {
        let status = event.pointer("/record/status").and_then(|status| status.as_str());
        status.map(str::to_owned).unwrap_or_default()
    };
    let last = platform_events.iter().rev().filter_map(read).find(|event| {
        kind(event) == "platform.initRuntimeDone" || kind(event) == "platform.initReport"
    });
    last.is_none_or(|event| status(&event) != "success")
}
