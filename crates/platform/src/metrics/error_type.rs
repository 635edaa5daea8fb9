//! Bounds the error types that become attributes of data points.
//!
//! A function can invent any number of error types (`Lambda-Runtime-Function-Error-Type`), and
//! each would be a series of its own in the backend.

/// The error type if it is a known one, else the semantic conventions' `_OTHER`; the log record
/// has it in full.
pub(crate) fn bounded(error_type: Option<&str>) -> &'static str {
    let known =
        error_type.and_then(|error_type| KNOWN.iter().find(|known| **known == error_type).copied());
    known.unwrap_or("_OTHER")
}

/// The error types that Lambda's documentation and captured events name.
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
