//! The function of a session: its invocations, and their results in words.

use super::output::SessionOutput;
use crate::shown::Incoming;
use console::screen::on_one_line;
use console::waterfall::draw::short;
use local_lambda::{ClientContext, Invocation, InvocationResult, Lambda};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A function in the local Lambda.
pub(super) struct SessionFunction {
    pub(super) name: String,
    pub(super) output: Arc<SessionOutput>,
    timeout: Duration,
    lambda: Lambda,
    /// An event was invalid, or an invocation failed.
    has_failed: AtomicBool,
    is_managed: bool,
    running: AtomicUsize,
    /// The code changed since the last process began.
    is_outdated: AtomicBool,
}

impl SessionFunction {
    pub(super) fn new(
        name: String,
        timeout: Duration,
        is_managed: bool,
        lambda: Lambda,
        output: Arc<SessionOutput>,
    ) -> Self {
        Self {
            name,
            output,
            timeout,
            lambda,
            has_failed: AtomicBool::new(false),
            is_managed,
            running: AtomicUsize::new(0),
            is_outdated: AtomicBool::new(false),
        }
    }

    /// Returns `true` if an event was invalid, or an invocation failed.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Makes the next invocation a cold start, because the code changed.
    pub(super) fn set_outdated(&self) {
        self.is_outdated.store(true, Ordering::Relaxed);
    }

    /// Invokes the function, and shows its telemetry and result. Returns `None` if the event is invalid.
    pub(super) async fn invoke(
        &self,
        event: &[u8],
        client_context: Option<ClientContext>,
    ) -> Option<InvocationResult> {
        let is_first = self.running.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first && self.is_outdated.swap(false, Ordering::Relaxed) {
            // It exists, and its environments end without an error.
            self.lambda.recycle(&self.name).await.ok();
        }
        let context = client_context.clone();
        let ended = match self.lambda.begin_invocation_with(&self.name, event, context) {
            Ok(running) => running.finished().await,
            Err(error) => Err(error),
        };
        let is_last = self.running.fetch_sub(1, Ordering::Relaxed) == 1;
        let invocation = match ended {
            Ok(invocation) => invocation,
            Err(error) => {
                self.fail(&format!("{:#}", anyhow::Error::from(error)));
                return None;
            }
        };
        // The spans of the others come later, and log records get their trace from a span of the same event.
        if is_last || !self.is_managed {
            self.output.flush().await;
        }
        let has_started = has_started(&self.lambda.platform_events(&self.name));
        if !invocation.is_success() {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        if let Some(page) = self.output.page() {
            page.add_invocation(&invocation, event, client_context);
        }
        let text = describe(&invocation, has_started, self.timeout);
        self.output.send(Incoming::Text(text));
        Some(invocation.result)
    }

    /// Ends the environments: extensions get SHUTDOWN, and remaining processes are killed.
    pub(super) async fn shut_down(self: Arc<Self>) {
        self.lambda.recycle(&self.name).await.ok();
        // The other owners end too, and the last one kills the processes.
        if let Some(function) = Arc::into_inner(self) {
            function.lambda.shut_down().await;
        }
    }

    /// Prints a problem, and makes the session fail.
    pub(super) fn fail(&self, why: &str) {
        self.has_failed.store(true, Ordering::Relaxed);
        self.output.say(format!("lambda-otlp: {why}"));
    }
}

/// Maximum number of characters of a printed response.
const LONGEST_RESPONSE: usize = 2000;

/// Lambda's time limit for Init (AWS Lambda "Lambda runtime environment").
const INIT: Duration = Duration::from_secs(10);

/// Describes the result of an invocation. `has_started`: the last process asked for an event.
fn describe(invocation: &Invocation, has_started: bool, timeout: Duration) -> String {
    let millis = invocation.duration.as_secs_f64() * 1e3;
    let timeout_secs = timeout.as_secs();
    match &invocation.result {
        InvocationResult::Response(body) => {
            let start = match (invocation.init_duration, invocation.cold) {
                (Some(init), _) => format!(", cold: Init {:.1} ms", init.as_secs_f64() * 1e3),
                (None, true) => ", cold".to_owned(),
                (None, false) => String::new(),
            };
            format!("=> {} ({millis:.1} ms{start})", text(body))
        }
        InvocationResult::FunctionError { error_type, body } if !has_started => {
            format!("=> failed in Init: {error_type}: {}", message(body))
        }
        InvocationResult::FunctionError { error_type, body } => {
            format!("=> failed after {millis:.1} ms: {error_type}: {}", message(body))
        }
        InvocationResult::Timeout if !has_started => format!(
            "=> the function did not ask for an event within the {} s of Init and {timeout_secs} s more: COMMAND must use Lambda's Runtime API, like lambda_runtime and awslambdaric; for a file with a handler, use --runtime python|node --handler FILE.FUNCTION",
            INIT.as_secs()
        ),
        InvocationResult::Timeout => {
            format!(
                "=> timed out after {timeout_secs} s, and its process was killed: raise --timeout if it needs longer"
            )
        }
        InvocationResult::Crash { status: None } => {
            "=> the function or an extension of its layers could not be started".to_owned()
        }
        InvocationResult::Crash { status: Some(status) } if !has_started => format!(
            "=> the function ended with {status} before it asked for an event: see its output above; COMMAND must use Lambda's Runtime API and keep running"
        ),
        InvocationResult::Crash { status: Some(status) } => {
            format!("=> the function ended with {status} during the invocation")
        }
    }
}

fn text(body: &[u8]) -> String {
    short(&on_one_line(&String::from_utf8_lossy(body)), LONGEST_RESPONSE)
}

/// Reads the text of `{"errorMessage": …}`, which Lambda's runtimes write.
fn message(body: &[u8]) -> String {
    let error = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let message = error.get("errorMessage").and_then(serde_json::Value::as_str);
    text(message.map_or(body, str::as_bytes))
}

/// Returns `true` if the last process asked for an event, by Lambda's report of its Init (AWS Lambda "Telemetry API",
/// `platform.initRuntimeDone`).
fn has_started(platform_events: &[String]) -> bool {
    let mut ends = platform_events.iter().rev().filter_map(|event| {
        let json: serde_json::Value = serde_json::from_str(event).ok()?;
        let is_end = matches!(
            json.get("type")?.as_str()?,
            "platform.initRuntimeDone" | "platform.initReport"
        );
        is_end.then(|| json.pointer("/record/status").is_some_and(|status| status == "success"))
    });
    ends.next().unwrap_or(false)
}
