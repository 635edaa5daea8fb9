//! The end of an invocation: the figures of its REPORT, and the caller's result.

use std::process::ExitStatus;

use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use super::extensions::ExtensionFailure;
use super::runtime::{INVALID_ENTRYPOINT, InitFailure, Runtime, ShutdownReason};
use crate::api::call::Failure;
use crate::invocation::InvocationResult;
use crate::platform_events::{ResponseTimes, Status};

/// The last figures of an invocation, for REPORT and the caller's result.
pub(super) struct Finished {
    pub(super) result: InvocationResult,
    pub(super) status: Status,
    pub(super) times: Option<ResponseTimes>,
    /// The time at which the runtime finished the event; `None` if it never did.
    pub(super) runtime_done: Option<Instant>,
    pub(super) ended_at: Instant,
    /// The processes that are left where the invocation failed, and why they must end.
    pub(super) failed: Option<(Runtime, ShutdownReason)>,
}

pub(super) fn result_of(result: Result<Bytes, Failure>) -> InvocationResult {
    match result {
        Ok(body) => InvocationResult::Response(body),
        Err(Failure { error_type, body, .. }) => {
            InvocationResult::FunctionError { error_type, body }
        }
    }
}

pub(super) fn extension_failed(failure: ExtensionFailure) -> InvocationResult {
    error_result(failure.error_type, &failure.message)
}

fn error_result(error_type: String, message: &str) -> InvocationResult {
    let body = json!({ "errorType": error_type, "errorMessage": message }).to_string();
    InvocationResult::FunctionError { error_type, body: body.into() }
}

pub(super) fn init_failed(failure: InitFailure, exit: Option<ExitStatus>) -> Finished {
    let status = failure.status();
    let result = match failure {
        InitFailure::Start(error) => error_result(
            INVALID_ENTRYPOINT.to_owned(),
            &format!("the bootstrap could not be started: {error}"),
        ),
        InitFailure::Reported(failure) => result_of(Err(failure)),
        InitFailure::Extension(failure) => extension_failed(failure),
        InitFailure::Exited => InvocationResult::Crash { status: exit },
        InitFailure::Timeout => InvocationResult::Timeout,
    };
    Finished {
        result,
        status,
        times: None,
        runtime_done: None,
        ended_at: Instant::now(),
        failed: None,
    }
}
