//! Asynchronous invocations: attempts, and the record of those that failed in all of them.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::clock;
use crate::environment::in_lambdas_words;
use crate::function::FunctionSpec;
use crate::invocation::{Invocation, Outcome};
use crate::lock;
use crate::platform_events::text;
use crate::service::{Function, Service};

/// What Lambda sends to an on-failure destination (AWS Lambda "Capturing records of asynchronous invocations").
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OnFailureRecord {
    pub version: String,
    /// RFC 3339.
    pub timestamp: String,
    pub request_context: RequestContext,
    pub request_payload: Value,
    pub response_context: ResponseContext,
    pub response_payload: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RequestContext {
    pub request_id: String,
    pub function_arn: String,
    /// Always `RetriesExhausted`.
    pub condition: String,
    pub approximate_invoke_count: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ResponseContext {
    pub status_code: u16,
    pub executed_version: String,
    pub function_error: String,
}

/// Invokes until an attempt succeeds or no more are left. All attempts have the same request id.
pub(crate) async fn attempt(
    service: &Arc<Service>,
    function: &Arc<Function>,
    request_id: String,
    payload: Bytes,
) {
    let delays = function.spec.retry_delays.iter().copied().map(Some).chain([None]);
    let mut attempts = 0;
    for delay_after in delays {
        // An error means that the simulator shuts down; nobody is left to read a record.
        let running = service.run(function, request_id.clone(), payload.clone());
        let Ok(invocation) = running.finished().await else {
            return;
        };
        attempts += 1;
        if invocation.is_success() {
            return;
        }
        if let Some(delay) = delay_after {
            tokio::time::sleep(delay).await;
        } else {
            let record = record(&function.spec, &invocation, attempts, &payload);
            lock(&service.on_failure).push(record, payload.len());
        }
    }
}

fn record(
    spec: &FunctionSpec,
    invocation: &Invocation,
    attempts: usize,
    payload: &Bytes,
) -> OnFailureRecord {
    let response = response_body(spec, &invocation.request_id, &invocation.outcome);
    OnFailureRecord {
        version: "1.0".to_owned(),
        timestamp: clock::now().rfc3339(),
        request_context: RequestContext {
            request_id: invocation.request_id.clone(),
            function_arn: format!("{}:{}", spec.arn(), spec.version_name()),
            condition: "RetriesExhausted".to_owned(),
            approximate_invoke_count: attempts,
        },
        request_payload: serde_json::from_slice(payload).unwrap_or_default(),
        response_context: ResponseContext {
            status_code: 200,
            executed_version: spec.version_name().to_owned(),
            function_error: "Unhandled".to_owned(),
        },
        response_payload: serde_json::from_slice(&response).unwrap_or_default(),
    }
}

/// The body that the caller of an invocation gets, also where the function gave none.
pub(crate) fn response_body(spec: &FunctionSpec, request_id: &str, outcome: &Outcome) -> Bytes {
    let (error_type, message) = match outcome {
        Outcome::Response(body) | Outcome::FunctionError { body, .. } => return body.clone(),
        Outcome::Timeout => ("Sandbox.Timedout", text::timed_out(spec.timeout)),
        Outcome::Crash { status } => {
            ("Runtime.ExitError", text::exited(&status.map(in_lambdas_words).unwrap_or_default()))
        }
    };
    let message = format!("RequestId: {request_id} Error: {message}");
    serde_json::json!({ "errorType": error_type, "errorMessage": message }).to_string().into()
}
