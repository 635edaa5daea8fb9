//! Texts of Lambda: figures and failures.

use super::status::Status;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

/// `Task timed out after 3.00 seconds`
pub(crate) fn timed_out(timeout: Duration) -> String {
    format!("Task timed out after {:.2} seconds", timeout.as_secs_f64())
}

/// `Runtime exited with error: signal: killed`
pub(crate) fn exited(exit: &str) -> String {
    if exit.is_empty() {
        "Runtime exited without providing a reason".to_owned()
    } else {
        format!("Runtime exited with error: {exit}")
    }
}

/// The fields of a status at the end of a line; empty for a success.
pub(super) fn status_fields(status: &Status) -> String {
    match status {
        Status::Success | Status::HandlerError(_) => String::new(),
        Status::Timeout => "\tStatus: timeout".to_owned(),
        Status::Error(error_type) => format!("\tStatus: error\tError Type: {error_type}"),
    }
}

pub(super) fn milliseconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1000.0)
}

/// `exit status 3`, `signal: killed`; empty for a process that ended with success.
pub(crate) fn exit_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) | (None, None) => String::new(),
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => {
            let name = match signal {
                4 => "illegal instruction",
                6 => "aborted",
                7 => "bus error",
                9 => "killed",
                11 => "segmentation fault",
                15 => "terminated",
                other => return format!("signal: signal {other}"),
            };
            format!("signal: {name}")
        }
    }
}
