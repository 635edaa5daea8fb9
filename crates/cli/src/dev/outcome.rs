//! Describes the outcome of an invocation, with a remedy if it failed.

use simulator::{Invocation, InvocationResult};
use std::time::Duration;

const LONGEST_RESPONSE: usize = 2000;

/// Lambda's time limit for Init (AWS Lambda "Lambda runtime environment").
const INIT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// It asked for an event.
    Asked,
    /// No process ever asked for an event.
    NeverAsked,
    /// An earlier process asked for an event, and the last one did not.
    NotAgain,
}

pub(super) fn words(invocation: &Invocation, start: Start, timeout: Duration) -> String {
    let never_asked = start != Start::Asked;
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
        InvocationResult::Timeout if start == Start::NotAgain => format!(
            "=> the function's process had ended, and the new one did not ask for an event within {timeout} s, which includes its start: raise --timeout"
        ),
        InvocationResult::Timeout if never_asked => format!(
            "=> the function did not ask for an event within the {} s of Init and {timeout} s more: COMMAND must use Lambda's Runtime API, like lambda_runtime and awslambdaric; for a file with a handler, use --runtime python|node --handler FILE.FUNCTION",
            INIT.as_secs()
        ),
        InvocationResult::Timeout => {
            format!(
                "=> timed out after {timeout} s, and its process was killed: raise --timeout if it needs longer"
            )
        }
        InvocationResult::Crash { status: None } => {
            "=> the function or an extension of its layers could not be started".to_owned()
        }
        InvocationResult::Crash { status: Some(status) } if never_asked => format!(
            "=> the function ended with {status} before it asked for an event: see its output above; COMMAND must use Lambda's Runtime API and keep running"
        ),
        InvocationResult::Crash { status: Some(status) } => {
            format!("=> the function ended with {status} during the invocation")
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

/// Reads the text of `{"errorMessage": …}`, which Lambda's runtimes write.
fn message(body: &[u8]) -> String {
    let error = serde_json::from_slice::<serde_json::Value>(body).ok();
    let message = error.as_ref().and_then(|error| error.get("errorMessage")?.as_str());
    text(message.map_or(body, str::as_bytes))
}

/// Returns the state of the last process, by Lambda's report of its Init (AWS Lambda "Telemetry API",
/// `platform.initRuntimeDone`).
pub(super) fn last_start(platform_events: &[String]) -> Start {
    let is_success = |event: &String| {
        let event: serde_json::Value = serde_json::from_str(event).ok()?;
        let kind = event.get("type")?.as_str()?;
        let is_end = matches!(kind, "platform.initRuntimeDone" | "platform.initReport");
        is_end
            .then(|| event.pointer("/record/status").and_then(|it| it.as_str()) == Some("success"))
    };
    let mut ends = platform_events.iter().rev().filter_map(is_success);
    match ends.next() {
        Some(true) => Start::Asked,
        _ if ends.any(|is_success| is_success) => Start::NotAgain,
        _ => Start::NeverAsked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_restart_differs_from_a_start_that_never_succeeded() {
        let check = |statuses: &[&str], expected: Start| {
            let end = |status: &&str| {
                format!(r#"{{"type":"platform.initRuntimeDone","record":{{"status":"{status}"}}}}"#)
            };
            let mut events: Vec<String> = statuses.iter().map(end).collect();
            events.push(r#"{"type":"platform.report","record":{"status":"success"}}"#.to_owned());
            assert!(last_start(&events) == expected, "{statuses:?}");
        };
        check(&["success"], Start::Asked);
        check(&["timeout", "success"], Start::Asked);
        check(&["timeout", "timeout"], Start::NeverAsked);
        check(&[], Start::NeverAsked);
        check(&["success", "timeout"], Start::NotAgain);
    }
}
