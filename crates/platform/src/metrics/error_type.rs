//! Bounds the error types in attributes of data points.
//!
//! A function can invent any number of error types (its runtime sends them to Lambda in the header
//! `Lambda-Runtime-Function-Error-Type`), and each would create a series in the backend.

/// Returns a known error type, or `_OTHER` (semantic conventions) for all others. The log record keeps the full error type.
pub(crate) fn bounded(error_type: Option<&str>) -> &'static str {
    let known =
        error_type.and_then(|error_type| KNOWN.iter().find(|known| **known == error_type).copied());
    known.unwrap_or("_OTHER")
}

/// The error types that occur in Lambda's documentation and in captured events.
const KNOWN: &[&str] = &[
    "Extension.ConfigInvalid",
    "Extension.Crash",
    "Extension.ExitError",
    "Extension.InitError",
    "Extension.LaunchError",
    "Function.ResponseSizeTooLarge",
    "Function.Unknown",
    "Function.Unhandled",
    "RestoreError",
    "Runtime.BadFunctionCode",
    "Runtime.ExitError",
    "Runtime.HandlerNotFound",
    "Runtime.ImportModuleError",
    "Runtime.InvalidEntrypoint",
    "Runtime.MalformedHandlerName",
    "Runtime.NoSuchHandler",
    "Runtime.OutOfMemory",
    "Runtime.TruncatedResponse",
    "Runtime.Unknown",
    "Runtime.UserCodeSyntaxError",
    "Sandbox.Timedout",
    "Sandbox.Timeout",
    "Task.Timedout",
];
