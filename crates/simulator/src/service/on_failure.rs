//! The record of an asynchronous invocation that failed in all its attempts.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::clock;
use crate::function::FunctionSpec;
use crate::invocation::Invocation;

/// The record for an on-failure destination (AWS Lambda "Capturing records of asynchronous invocations").
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

pub(super) fn record(
    spec: &FunctionSpec,
    invocation: &Invocation,
    attempts: usize,
    payload: &Bytes,
) -> OnFailureRecord {
    let response = invocation.result.body(spec, &invocation.request_id);
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
