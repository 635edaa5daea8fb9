//! The lines that Lambda itself writes about an environment and its invocations, in both log formats.

mod json;
pub(crate) mod text;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::cloudwatch::LogWriter;
use crate::function::{FunctionSpec, LogFormat};
use crate::identifiers::Trace;

/// What the simulator calls its runtime; the ARN has the form of `provided.al2023`.
const RUNTIME_VERSION: &str = "provided:al2023.v100";
const RUNTIME_VERSION_HASH: &str =
    "51d1ff1f8a4b0cf0d5f5ac5e7ce8ba4a3d1c3c8f5ac25e38a0c0a4ad0b2f6c51";

/// How init or an invocation ended, as Lambda's events put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    Success,
    /// The handler reported an error: no failure of the platform, and no part of a text REPORT line.
    HandlerError(String),
    /// The process failed: `Runtime.ExitError` or the type that init reported.
    Error(String),
    Timeout,
}

impl Status {
    fn name(&self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::HandlerError(_) | Self::Error(_) => "error",
            Self::Timeout => "timeout",
        }
    }

    fn error_type(&self) -> Option<&str> {
        match self {
            Self::HandlerError(error_type) | Self::Error(error_type) => Some(error_type),
            Self::Success | Self::Timeout => None,
        }
    }
}

/// Whether a process is started before an invocation, or inside one after a failure ("suppressed init").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Init,
    Invoke,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Invoke => "invoke",
        }
    }
}

/// The figures of a finished invocation.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) request_id: String,
    pub(crate) status: Status,
    /// From the event being given out to the runtime being ready again.
    pub(crate) duration: Duration,
    pub(crate) billed: Duration,
    pub(crate) init: Option<Duration>,
    pub(crate) memory_mb: u64,
    pub(crate) max_memory_mb: u64,
    pub(crate) trace: Option<Trace>,
    /// When the event was given out.
    pub(crate) started: Timestamp,
    /// From the event being given out to the response; `None` without a response.
    pub(crate) response_latency: Option<Duration>,
    pub(crate) produced_bytes: usize,
    /// How the process ended, in the words of the older lines: `exit status 1`, `signal: killed`; empty for status 0.
    pub(crate) exit: Option<String>,
}

/// Writes Lambda's lines of one environment to its log stream.
#[derive(Debug)]
pub(crate) struct PlatformEvents {
    spec: Arc<FunctionSpec>,
    writer: Arc<LogWriter>,
    environment: String,
}

impl PlatformEvents {
    pub(crate) fn new(
        spec: &Arc<FunctionSpec>,
        writer: &Arc<LogWriter>,
        environment: &str,
    ) -> Self {
        Self {
            spec: Arc::clone(spec),
            writer: Arc::clone(writer),
            environment: environment.to_owned(),
        }
    }

    fn write(&self, line: Option<String>) {
        if let Some(line) = line {
            self.writer.platform_line(line);
        }
    }

    fn is_json(&self) -> bool {
        self.spec.log_format == LogFormat::Json
    }

    /// The init phase begins. A suppressed init is not written (AWS Lambda "Failures during the invoke phase").
    pub(crate) fn init_start(&self, now: Timestamp) {
        let line = if self.is_json() {
            json::init_start(&self.spec, &self.environment, now)
        } else {
            Some(text::init_start(&self.spec.region))
        };
        self.write(line);
    }

    /// An extension has registered and waits for its first event.
    pub(crate) fn extension(&self, name: &str, events: &[String], now: Timestamp) {
        let line = if self.is_json() {
            json::extension(&self.spec, name, events, now)
        } else {
            Some(text::extension(name, events))
        };
        self.write(line);
    }

    /// Init has ended; in text, and of a suppressed init, only a failure is written.
    pub(crate) fn init_report(
        &self,
        phase: Phase,
        status: &Status,
        duration: Duration,
        now: Timestamp,
    ) {
        if phase == Phase::Invoke && *status == Status::Success {
            return;
        }
        if self.is_json() {
            self.write(json::init_runtime_done(&self.spec, phase, status, now));
            self.write(json::init_report(&self.spec, phase, status, duration, now));
        } else if *status != Status::Success {
            self.write(Some(text::init_report(phase, status, duration)));
        }
    }

    /// An invocation begins.
    pub(crate) fn start(&self, request_id: &str, trace: Option<&Trace>, now: Timestamp) {
        let line = if self.is_json() {
            json::start(&self.spec, request_id, trace, now)
        } else {
            Some(text::start(request_id, self.spec.version_name()))
        };
        self.write(line);
    }

    /// An invocation is over.
    pub(crate) fn report(&self, report: &Report, now: Timestamp) {
        if self.is_json() {
            self.write(json::runtime_done(&self.spec, report, now));
            self.write(json::report(&self.spec, report, now));
            return;
        }
        if self.spec.old_style_failures {
            self.write(text::old_style_failure(report, self.spec.timeout, now));
        }
        self.write(Some(text::end(&report.request_id)));
        self.write(Some(text::report(report, self.spec.old_style_failures)));
    }
}
