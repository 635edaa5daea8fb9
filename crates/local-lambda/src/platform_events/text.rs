//! Lambda's lines in text format (AWS Lambda "Understanding the execution environment", and captured log groups).

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use crate::function::VERSION;

use super::{
    ExtensionEvent, Phase, RUNTIME_VERSION, RUNTIME_VERSION_HASH, Report, Status,
    rounded_up_to_millis,
};

pub(super) fn init_start(region: &str) -> String {
    format!(
        "INIT_START Runtime Version: {RUNTIME_VERSION}\tRuntime Version ARN: \
         arn:aws:lambda:{region}::runtime:{RUNTIME_VERSION_HASH}\n"
    )
}

pub(super) fn extension(extension: &ExtensionEvent<'_>) -> String {
    let error_type = extension.error_type.map(|error_type| format!("\tError Type: {error_type}"));
    format!(
        "EXTENSION\tName: {}\tState: {}\tEvents: [{}]{}\n",
        extension.name,
        extension.state,
        extension.events.join(", "),
        error_type.unwrap_or_default()
    )
}

pub(super) fn telemetry_subscription(extension: &str, state: &str, types: &[&str]) -> String {
    format!("TELEMETRY\tName: {extension}\tState: {state}\tTypes: [{}]\n", types.join(", "))
}

pub(super) fn init_report(phase: Phase, status: &Status, duration: Duration) -> String {
    let (milliseconds, phase) = (milliseconds(duration), phase.name());
    format!("INIT_REPORT Init Duration: {milliseconds} ms\tPhase: {phase}{}\t\n", ending(status))
}

pub(super) fn restore_start(region: &str) -> String {
    init_start(region).replacen("INIT_START", "RESTORE_START", 1)
}

pub(super) fn restore_report(status: &Status, duration: Duration) -> String {
    format!("RESTORE_REPORT Restore Duration: {} ms{}\t\n", milliseconds(duration), ending(status))
}

pub(super) fn start(request_id: &str) -> String {
    format!("START RequestId: {request_id} Version: {VERSION}\n")
}

pub(super) fn end(request_id: &str) -> String {
    format!("END RequestId: {request_id}\n")
}

pub(super) fn report(report: &Report) -> String {
    let init = report
        .init
        .map(|init| format!("\tInit Duration: {} ms", milliseconds(init)))
        .unwrap_or_default();
    let restore = report.restore.map(|restore| {
        let (exact, billed) = (milliseconds(restore), rounded_up_to_millis(restore));
        format!("\tRestore Duration: {exact} ms\tBilled Restore Duration: {billed} ms")
    });
    let restore = restore.unwrap_or_default();
    let ending = ending(&report.status);
    format!(
        "REPORT RequestId: {}\tDuration: {} ms\tBilled Duration: {} ms\tMemory Size: {} MB\t\
         Max Memory Used: {} MB{init}{restore}{ending}\t\n",
        report.request_id,
        milliseconds(report.duration),
        report.billed.as_millis(),
        report.memory_mb,
        report.max_memory_mb,
    )
}

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

fn ending(status: &Status) -> String {
    match status {
        Status::Success | Status::HandlerError(_) => String::new(),
        Status::Timeout => "\tStatus: timeout".to_owned(),
        Status::Error(error_type) => format!("\tStatus: error\tError Type: {error_type}"),
    }
}

fn milliseconds(duration: Duration) -> String {
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
