//! Lambda's own events about an environment and its invocations: as telemetry in the schema 2025-01-29, which lines in JSON format have
//! too, and as lines in text format (AWS Lambda "Understanding the execution environment", and captured log groups).

mod json;
mod status;
pub(crate) mod text;

use std::sync::Arc;
use std::time::Duration;

use json::{Object, duration_metrics, end_record, milliseconds, span};

use crate::clock::{self, Timestamp};
use crate::cloudwatch::LogWriter;
use crate::function::{FunctionSpec, Initialization, LogFormat, VERSION};
use crate::identifiers::TraceContext;
use crate::telemetry::{Category, Telemetry, TelemetryEvent};

pub(crate) use status::Status;

/// The name of the local Lambda's runtime; the ARN has the form of `provided.al2023`.
const RUNTIME_VERSION: &str = "provided:al2023.v100";
const RUNTIME_VERSION_HASH: &str =
    "51d1ff1f8a4b0cf0d5f5ac5e7ce8ba4a3d1c3c8f5ac25e38a0c0a4ad0b2f6c51";

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResponseTimes {
    /// The time from the event to the response's first byte.
    pub(crate) latency: Duration,
    pub(crate) duration: Duration,
}

/// The state of an invocation when the runtime has finished its part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RuntimeDone<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) status: &'a Status,
    pub(crate) trace: &'a TraceContext,
    pub(crate) started: Timestamp,
    pub(crate) duration: Duration,
    pub(crate) response: Option<ResponseTimes>,
    pub(crate) produced_bytes: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) request_id: String,
    pub(crate) status: Status,
    /// The time until the runtime and its extensions were ready again.
    pub(crate) duration: Duration,
    pub(crate) billed_ms: u64,
    pub(crate) init: Option<Duration>,
    pub(crate) max_memory_mb: u64,
    pub(crate) trace: TraceContext,
    pub(crate) started: Timestamp,
    pub(crate) response: Option<ResponseTimes>,
    /// The time that extensions took after the runtime finished; `None` if it never did.
    pub(crate) post_runtime: Option<Duration>,
    pub(crate) has_extensions: bool,
}

/// The events of one environment. Subscribers of the Telemetry API get all of them, the log stream a part.
#[derive(Debug)]
pub(crate) struct PlatformEvents {
    pub(crate) spec: Arc<FunctionSpec>,
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) environment: String,
}

impl PlatformEvents {
    /// Sends an event to the subscribers, and writes it to the log: in JSON format if its level is at least INFO, Lambda's
    /// default of `SystemLogLevel`, and in text format if it has a text.
    fn emit(&self, kind: &str, record: &Object, is_info: bool, text: Option<String>) {
        let event = Object::default().with("time", clock::now().rfc3339()).with("type", kind);
        let json = event.with_object("record", record).json();
        let written = match self.spec.log_format {
            LogFormat::Json => is_info.then(|| json.clone()),
            LogFormat::Text => text,
        };
        self.telemetry.emit(TelemetryEvent::platform(json));
        if let Some(written) = written {
            self.writer.line(written);
        }
    }

    fn init(&self, phase: Phase) -> Object {
        Object::default()
            .with("initializationType", self.spec.initialization.name())
            .with("phase", phase.name())
    }

    /// Init begins. A suppressed init is not written (AWS Lambda "Failures during the invoke phase").
    pub(crate) fn init_start(&self, phase: Phase) {
        let Self { spec, environment, .. } = self;
        let arn = format!("arn:aws:lambda:{}::runtime:{RUNTIME_VERSION_HASH}", spec.region);
        let text =
            format!("INIT_START Runtime Version: {RUNTIME_VERSION}\tRuntime Version ARN: {arn}\n");
        let record = self
            .init(phase)
            .with("runtimeVersion", RUNTIME_VERSION)
            .with("runtimeVersionArn", arn)
            .with("functionName", spec.name())
            .with("functionVersion", VERSION)
            .with("instanceId", environment)
            .with("instanceMaxMemory", spec.memory_mb);
        let is_written = phase == Phase::Init;
        self.emit("platform.initStart", &record, is_written, is_written.then_some(text));
    }

    /// Reports the state of an extension at the end of init: `Started`, `Registered`, `Ready` or `LaunchError`.
    pub(crate) fn extension(
        &self,
        name: &str,
        state: &str,
        events: &[String],
        error_type: Option<&str>,
    ) {
        let record = Object::default()
            .with("name", name)
            .with("state", state)
            .with("events", events)
            .with_some("errorType", error_type);
        let error_field = error_type.map(|error_type| format!("\tError Type: {error_type}"));
        let text = format!(
            "EXTENSION\tName: {name}\tState: {state}\tEvents: [{}]{}\n",
            events.join(", "),
            error_field.unwrap_or_default()
        );
        self.emit("platform.extension", &record, true, Some(text));
    }

    pub(crate) fn telemetry_subscription(&self, extension: &str, is_new: bool, types: &[Category]) {
        let state = if is_new { "Subscribed" } else { "Already subscribed" };
        let names: Vec<_> = types.iter().map(|category| category.name()).collect();
        let titles: Vec<_> = types.iter().map(|category| category.title()).collect();
        let record =
            Object::default().with("name", extension).with("state", state).with("types", names);
        let text = format!(
            "TELEMETRY\tName: {extension}\tState: {state}\tTypes: [{}]\n",
            titles.join(", ")
        );
        self.emit("platform.telemetrySubscription", &record, true, Some(text));
    }

    /// The runtime has done its part of init; never written in text.
    pub(crate) fn init_runtime_done(&self, phase: Phase, status: &Status) {
        let record = self.init(phase).with_status(status);
        self.emit("platform.initRuntimeDone", &record, *status != Status::Success, None);
    }

    /// Init has ended; in text, and of a suppressed init, only a failure is written.
    pub(crate) fn init_report(&self, phase: Phase, status: &Status, duration: Duration) {
        let record = self
            .init(phase)
            .with_status(status)
            .with_object("metrics", &duration_metrics(duration));
        let is_failure = *status != Status::Success;
        let is_managed = self.spec.initialization == Initialization::ManagedInstances;
        let is_info = is_failure || (is_managed && phase == Phase::Init);
        let text = is_failure.then(|| {
            let duration = text::milliseconds(duration);
            let phase = phase.name();
            let status_fields = text::status_fields(status);
            format!("INIT_REPORT Init Duration: {duration} ms\tPhase: {phase}{status_fields}\t\n")
        });
        self.emit("platform.initReport", &record, is_info, text);
    }

    pub(crate) fn start(&self, request_id: &str, trace: &TraceContext) {
        let record = Object::default()
            .with("requestId", request_id)
            .with("version", VERSION)
            .with_tracing(trace);
        let text = format!("START RequestId: {request_id} Version: {VERSION}\n");
        self.emit("platform.start", &record, true, Some(text));
    }

    /// The runtime has done its part of an invocation, or has failed; never written in text.
    pub(crate) fn runtime_done(&self, done: &RuntimeDone<'_>) {
        // Managed instances do not send it (AWS Lambda "Telemetry API Event schema reference").
        if self.spec.is_managed() {
            return;
        }
        let spans = done.response.map_or_else(Vec::new, |response| {
            let ResponseTimes { latency, duration } = response;
            let overhead_start = done.started.after(latency).after(duration);
            let overhead_duration = done.duration.saturating_sub(latency + duration);
            let overhead = span("runtimeOverhead", overhead_start, overhead_duration);
            response.spans(done.started).into_iter().chain([overhead]).collect()
        });
        let metrics = duration_metrics(done.duration).with("producedBytes", done.produced_bytes);
        let status = done.status.of_runtime_done();
        let record = end_record(done.request_id, status, &spans, &metrics, done.trace);
        self.emit("platform.runtimeDone", &record, *status != Status::Success, None);
    }

    pub(crate) fn report(&self, report: &Report) {
        let of_extensions = report.post_runtime.filter(|_| report.has_extensions);
        let overhead = of_extensions.map(|duration| {
            let runtime = report.duration.saturating_sub(duration);
            span("extensionOverhead", report.started.after(runtime), duration)
        });
        let mut metrics = duration_metrics(report.duration);
        // For a managed instance, the report carries the spans of `platform.runtimeDone`, and none of these figures (AWS Lambda
        // "Telemetry API Event schema reference").
        let spans: Vec<Object> = if self.spec.is_managed() {
            report
                .response
                .into_iter()
                .flat_map(|response| response.spans(report.started))
                .collect()
        } else {
            metrics = metrics
                .with("billedDurationMs", report.billed_ms)
                .with("memorySizeMB", self.spec.memory_mb)
                .with("maxMemoryUsedMB", report.max_memory_mb)
                .with_some("initDurationMs", report.init.map(milliseconds));
            overhead.into_iter().collect()
        };
        let status = report.status.of_report(self.spec.unpublished.handler_error_report);
        let record = end_record(&report.request_id, status, &spans, &metrics, &report.trace);
        if self.spec.log_format == LogFormat::Text {
            self.writer.line(format!("END RequestId: {}\n", report.request_id));
        }
        let init =
            report.init.map(|init| format!("\tInit Duration: {} ms", text::milliseconds(init)));
        let text = format!(
            "REPORT RequestId: {}\tDuration: {} ms\tBilled Duration: {} ms\tMemory Size: {} MB\t\
             Max Memory Used: {} MB{}{}\t\n",
            report.request_id,
            text::milliseconds(report.duration),
            report.billed_ms,
            self.spec.memory_mb,
            report.max_memory_mb,
            init.unwrap_or_default(),
            text::status_fields(&report.status),
        );
        self.emit("platform.report", &record, true, Some(text));
    }
}

impl ResponseTimes {
    /// The spans of the response of an invocation that started at this time.
    fn spans(self, started: Timestamp) -> [Object; 2] {
        [
            span("responseLatency", started, self.latency),
            span("responseDuration", started.after(self.latency), self.duration),
        ]
    }
}
