//! Lambda's own events about an environment and its invocations: as telemetry, and as log lines in both formats.

mod json;
pub(crate) mod text;

use std::sync::Arc;
use std::time::Duration;

use json::SystemLine;

use crate::clock::Timestamp;
use crate::cloudwatch::LogWriter;
use crate::function::{FunctionSpec, LogFormat, LogLevel};
use crate::identifiers::Trace;
use crate::telemetry::{Category, Generated, Telemetry};

/// The name of the local Lambda's runtime; the ARN has the form of `provided.al2023`.
const RUNTIME_VERSION: &str = "provided:al2023.v100";
const RUNTIME_VERSION_HASH: &str =
    "51d1ff1f8a4b0cf0d5f5ac5e7ce8ba4a3d1c3c8f5ac25e38a0c0a4ad0b2f6c51";

/// `SystemLogLevel`: the lowest level of Lambda's own lines in JSON format, which is its default.
const SYSTEM_LOG_LEVEL: LogLevel = LogLevel::Info;

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

/// The phase of an init: before an invocation, or inside one after a failure ("suppressed init").
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

#[derive(Debug, Clone, Copy)]
pub(crate) struct ExtensionEvent<'a> {
    pub(crate) name: &'a str,
    /// `Started`, `Registered`, `Ready` or `LaunchError`.
    pub(crate) state: &'a str,
    pub(crate) events: &'a [String],
    pub(crate) error_type: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResponseTimes {
    /// From the event being given out to the response's first byte.
    pub(crate) latency: Duration,
    pub(crate) duration: Duration,
}

/// The state of an invocation when the runtime has finished its part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RuntimeDone<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) status: &'a Status,
    pub(crate) trace: &'a Trace,
    pub(crate) started: Timestamp,
    pub(crate) duration: Duration,
    pub(crate) response: Option<ResponseTimes>,
    pub(crate) produced_bytes: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) request_id: String,
    pub(crate) status: Status,
    /// From the event being given out to the runtime and its extensions being ready again.
    pub(crate) duration: Duration,
    pub(crate) billed: Duration,
    pub(crate) init: Option<Duration>,
    pub(crate) restore: Option<Duration>,
    pub(crate) memory_mb: u64,
    pub(crate) max_memory_mb: u64,
    pub(crate) trace: Trace,
    pub(crate) started: Timestamp,
    pub(crate) response: Option<ResponseTimes>,
    pub(crate) is_managed: bool,
    /// The time that extensions took after the runtime finished; `None` if it never did.
    pub(crate) post_runtime: Option<Duration>,
    pub(crate) has_extensions: bool,
}

/// The events of one environment. Subscribers of the Telemetry API get all of them, the log stream a part.
#[derive(Debug)]
pub(crate) struct PlatformEvents {
    spec: Arc<FunctionSpec>,
    writer: Arc<LogWriter>,
    telemetry: Arc<Telemetry>,
    environment: String,
}

impl PlatformEvents {
    pub(crate) fn new(
        spec: &Arc<FunctionSpec>,
        writer: &Arc<LogWriter>,
        telemetry: &Arc<Telemetry>,
        environment: &str,
    ) -> Self {
        Self {
            spec: Arc::clone(spec),
            writer: Arc::clone(writer),
            telemetry: Arc::clone(telemetry),
            environment: environment.to_owned(),
        }
    }

    fn tell(&self, line: SystemLine) {
        self.telemetry.emit(Generated::platform(line.kind, line.json));
    }

    /// Tells the subscribers, and writes the event to the log as far as format and level let it.
    fn tell_and_write(&self, line: SystemLine, text: impl FnOnce() -> Option<String>) {
        let written = match self.spec.log_format {
            LogFormat::Json => (line.level >= SYSTEM_LOG_LEVEL).then(|| line.json.clone()),
            LogFormat::Text => text(),
        };
        self.tell(line);
        if let Some(written) = written {
            self.writer.platform_line(written);
        }
    }

    /// Init begins. A suppressed init is not written (AWS Lambda "Failures during the invoke phase").
    pub(crate) fn init_start(&self, phase: Phase, now: Timestamp) {
        let line = json::init_start(&self.spec, &self.environment, phase, now);
        match phase {
            Phase::Init => {
                self.tell_and_write(line, || Some(text::init_start(&self.spec.region)));
            }
            Phase::Invoke => self.tell(line),
        }
    }

    /// An extension waits for its first event, or has failed to come so far.
    pub(crate) fn extension(&self, extension: &ExtensionEvent<'_>, now: Timestamp) {
        let line = json::extension(extension, now);
        self.tell_and_write(line, || Some(text::extension(extension)));
    }

    pub(crate) fn telemetry_subscription(
        &self,
        extension: &str,
        is_new: bool,
        types: &[Category],
        now: Timestamp,
    ) {
        let state = if is_new { "Subscribed" } else { "Already subscribed" };
        let names: Vec<_> = types.iter().map(|category| category.name()).collect();
        let titles: Vec<_> = types.iter().map(|category| category.title()).collect();
        let line = json::telemetry_subscription(extension, state, &names, now);
        self.tell_and_write(line, || Some(text::telemetry_subscription(extension, state, &titles)));
    }

    /// The runtime has done its part of init; never written in text.
    pub(crate) fn init_runtime_done(&self, phase: Phase, status: &Status, now: Timestamp) {
        let line = json::init_runtime_done(&self.spec, phase, status, now);
        if phase == Phase::Invoke && *status == Status::Success {
            self.tell(line);
        } else {
            self.tell_and_write(line, || None);
        }
    }

    /// Init has ended; in text, and of a suppressed init, only a failure is written.
    pub(crate) fn init_report(
        &self,
        phase: Phase,
        status: &Status,
        duration: Duration,
        now: Timestamp,
    ) {
        let line = json::init_report(&self.spec, phase, status, duration, now);
        if phase == Phase::Invoke && *status == Status::Success {
            return self.tell(line);
        }
        self.tell_and_write(line, || {
            (*status != Status::Success).then(|| text::init_report(phase, status, duration))
        });
    }

    pub(crate) fn restore_start(&self, now: Timestamp) {
        let line = json::restore_start(&self.spec, &self.environment, now);
        self.tell_and_write(line, || Some(text::restore_start(&self.spec.region)));
    }

    pub(crate) fn restore_report(&self, status: &Status, duration: Duration, now: Timestamp) {
        self.tell_and_write(json::restore_runtime_done(status, now), || None);
        let line = json::restore_report(status, duration, now);
        self.tell_and_write(line, || Some(text::restore_report(status, duration)));
    }

    pub(crate) fn start(&self, request_id: &str, trace: &Trace, now: Timestamp) {
        let line = json::start(request_id, trace, now);
        self.tell_and_write(line, || Some(text::start(request_id)));
    }

    /// The runtime has done its part of an invocation, or has failed; never written in text.
    pub(crate) fn runtime_done(&self, done: &RuntimeDone<'_>, now: Timestamp) {
        // Managed instances do not tell it (AWS Lambda "Telemetry API Event schema reference").
        if self.spec.is_managed() {
            return;
        }
        self.tell_and_write(json::runtime_done(done, now), || None);
    }

    pub(crate) fn report(&self, report: &Report, now: Timestamp) {
        let line = json::report(report, now);
        if self.spec.log_format == LogFormat::Text {
            self.writer.platform_line(text::end(&report.request_id));
        }
        self.tell_and_write(line, || Some(text::report(report)));
    }
}

pub(crate) fn rounded_up_to_millis(duration: Duration) -> u128 {
    duration.as_nanos().div_ceil(1_000_000)
}
