//! The one model of what Lambda says about a function, shared by all notations of it: text
//! lines, JSON system log lines and Telemetry API events.
//!
//! Source: Lambda Developer Guide, "Lambda Telemetry API Event schema reference" (schema
//! 2025-01-29) and "Understanding the Lambda execution environment lifecycle" (text lines). AWS
//! adds kinds, fields and values without notice, so nothing here is mandatory: a kind that is
//! not listed is [`EventKind::Other`], status and error type are strings, each figure is
//! optional, and fields that have no place of their own are kept in [`PlatformEvent::other`].

pub(crate) mod attributes;
pub(crate) mod figures;

use figures::Figures;

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EventKind {
    /// The init phase began (`INIT_START`).
    InitStart,
    /// The runtime finished its part of the init phase (no text line tells of it).
    InitRuntimeDone,
    /// The init phase ended (`INIT_REPORT`): failures, SnapStart and provisioned concurrency.
    InitReport,
    /// An invocation began (`START`).
    Start,
    /// The runtime finished the invocation (no text line tells of it).
    RuntimeDone,
    /// An invocation ended, with its figures (`REPORT`).
    Report,
    /// An invocation ended (`END`).
    End,
    /// A SnapStart environment began to be restored (`RESTORE_START`).
    RestoreStart,
    /// The runtime finished its part of the restore (no text line tells of it).
    RestoreRuntimeDone,
    /// A SnapStart environment was restored (`RESTORE_REPORT`).
    RestoreReport,
    /// The function ran into its timeout (older lines: `Task timed out after 3.00 seconds`).
    Timeout,
    /// The runtime or an extension ended (older lines: `Error: Runtime exited …`,
    /// `Process exited before completing request`).
    ExitError,
    /// The environment ran out of memory.
    OutOfMemory,
    /// An extension registered or failed (`EXTENSION`).
    Extension,
    /// An extension subscribed to telemetry (`TELEMETRY`).
    TelemetrySubscription,
    /// An extension subscribed to the older Logs API. Its text line, `LOGS`, is read as a [`Self::TelemetrySubscription`].
    LogsSubscription,
    /// Lambda dropped log lines before a subscriber got them (no text line tells of it).
    LogsDropped,
    /// The runtime or the environment failed (the older Logs API only).
    Fault,
    /// The event names no kind.
    #[default]
    Unknown,
    /// A kind that is not listed here, with its type as written: those of Lambda Web Functions, those that AWS adds.
    Other(String),
}

impl EventKind {
    /// The type in the Telemetry API's spelling. That API has no failure lines; their types are spelt in its manner.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InitStart => "platform.initStart",
            Self::InitRuntimeDone => "platform.initRuntimeDone",
            Self::InitReport => "platform.initReport",
            Self::Start => "platform.start",
            Self::RuntimeDone => "platform.runtimeDone",
            Self::Report => "platform.report",
            Self::End => "platform.end",
            Self::RestoreStart => "platform.restoreStart",
            Self::RestoreRuntimeDone => "platform.restoreRuntimeDone",
            Self::RestoreReport => "platform.restoreReport",
            Self::Timeout => "platform.timeout",
            Self::ExitError => "platform.exitError",
            Self::OutOfMemory => "platform.outOfMemory",
            Self::Extension => "platform.extension",
            Self::TelemetrySubscription => "platform.telemetrySubscription",
            Self::LogsSubscription => "platform.logsSubscription",
            Self::LogsDropped => "platform.logsDropped",
            Self::Fault => "platform.fault",
            Self::Unknown => "platform.unknown",
            Self::Other(kind) => kind,
        }
    }

    /// The kind of a type as the Telemetry API writes it; a type that is not known is kept.
    pub fn of_type(text: &str) -> Self {
        static KINDS: [EventKind; 16] = [
            EventKind::InitStart,
            EventKind::InitRuntimeDone,
            EventKind::InitReport,
            EventKind::Start,
            EventKind::RuntimeDone,
            EventKind::Report,
            EventKind::End,
            EventKind::RestoreStart,
            EventKind::RestoreRuntimeDone,
            EventKind::RestoreReport,
            EventKind::Extension,
            EventKind::TelemetrySubscription,
            EventKind::LogsSubscription,
            EventKind::LogsDropped,
            EventKind::Fault,
            EventKind::Unknown,
        ];
        let known = KINDS.iter().find(|kind| kind.as_str() == text);
        known
            .cloned()
            .unwrap_or_else(|| Self::Other(truncated(text, PlatformEvent::MAX_VALUE_BYTES)))
    }
}

/// What Lambda tells about X-Ray.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracing {
    /// The X-Ray root as written, `1-<8 hex>-<24 hex>`.
    pub trace_id: Option<String>,
    /// The segment that Lambda wrote for the function.
    pub segment_id: Option<String>,
    /// The id that Lambda gives to the invocation's span, 16 hex digits (Telemetry API only).
    pub span_id: Option<String>,
    /// The parent in the X-Ray header, 16 hex digits (Telemetry API only).
    pub parent_id: Option<String>,
    /// Whether X-Ray samples the trace; `None` if undecided or not said.
    pub sampled: Option<bool>,
}

/// A part of a phase that Lambda measured (`spans[]` of the Telemetry API).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhaseSpan {
    /// `responseLatency`, `responseDuration`, `runtimeOverhead`, `extensionOverhead`, or what AWS
    /// adds.
    pub name: String,
    /// When it began.
    pub start: Option<SpanStart>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<f64>,
}

/// When a part of a phase began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SpanStart {
    /// Unix time in nanoseconds.
    At(u64),
    /// Milliseconds after the phase began.
    After(f64),
}

/// One thing that Lambda says about a function.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlatformEvent {
    /// What happened.
    pub kind: EventKind,
    /// The invocation it belongs to, lower case.
    pub request_id: Option<String>,
    /// `success`, `error`, `failure`, `timeout`, or a word that AWS adds. A report without a status is in the older
    /// notation, which tells of failures in lines of their own.
    pub status: Option<String>,
    /// Such as `Runtime.ExitError`.
    pub error_type: Option<String>,
    /// The text of a failure line.
    pub message: Option<String>,
    /// `on-demand`, `provisioned-concurrency`, `snap-start`, `lambda-managed-instances`, …
    pub initialization_type: Option<String>,
    /// Of the init phase: `init`, `invoke` (run again inside an invocation), `snap-start`.
    pub phase: Option<String>,
    /// Version of the function.
    pub version: Option<String>,
    /// Such as `python:3.13.v64`.
    pub runtime_version: Option<String>,
    /// ARN of the runtime version.
    pub runtime_version_arn: Option<String>,
    /// Name of the extension or subscriber.
    pub name: Option<String>,
    /// State of the extension or subscription.
    pub state: Option<String>,
    /// The execution environment (`instanceId`).
    pub instance_id: Option<String>,
    /// The level that Lambda gave the event (Lambda Web Functions only).
    pub level: Option<String>,
    /// Figures in Lambda's units.
    pub figures: Figures,
    /// X-Ray.
    pub tracing: Tracing,
    /// Parts of the phase, at most [`PlatformEvent::MAX_SPANS`].
    pub spans: Vec<PhaseSpan>,
    /// Unix time in nanoseconds at which the platform wrote the event; `None` for text lines, which do not say it.
    pub time_unix_nano: Option<u64>,
    /// Fields without a place above, as written, at most [`PlatformEvent::MAX_OTHER`].
    pub other: Vec<(String, String)>,
}

impl PlatformEvent {
    /// How many unknown fields an event keeps; the log record's body has them all.
    pub const MAX_OTHER: usize = 16;
    /// How many parts of a phase an event keeps.
    pub const MAX_SPANS: usize = 32;
    /// How many bytes of a word or an unknown field an event keeps.
    pub const MAX_VALUE_BYTES: usize = 2048;

    /// An event of this kind that says nothing else.
    pub fn new(kind: EventKind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// Whether what the event tells of ended well; an event without a status counts as success.
    pub fn succeeded(&self) -> bool {
        self.status.as_deref().is_none_or(|status| status == "success")
    }

    /// Whether this reports the first invocation of an environment: only its `REPORT` has an init duration, or for
    /// SnapStart a restore duration.
    pub fn is_cold_start(&self) -> bool {
        self.kind == EventKind::Report
            && (self.figures.init_duration_ms.is_some()
                || self.figures.restore_duration_ms.is_some())
    }

    /// Whether the event tells of a failure, in whichever notation.
    pub fn is_failure(&self) -> bool {
        let is_failure_line = matches!(
            self.kind,
            EventKind::Timeout | EventKind::ExitError | EventKind::OutOfMemory | EventKind::Fault
        );
        is_failure_line || !self.succeeded()
    }

    /// Whether the event tells of a function that did not come to its end: a timeout, or a process that ended.
    pub fn is_cut_off(&self) -> bool {
        let killed =
            [EventKind::Timeout, EventKind::ExitError, EventKind::OutOfMemory, EventKind::Fault];
        // Error types of Lambda's own; those of a handler begin otherwise.
        let is_of_lambda = |error_type: &str| {
            ["Runtime.", "Extension.", "Sandbox."]
                .iter()
                .any(|beginning| error_type.starts_with(beginning))
        };
        killed.contains(&self.kind)
            || matches!(self.status.as_deref(), Some("timeout" | "failure"))
            || self.error_type.as_deref().is_some_and(is_of_lambda)
    }

    /// How long a part of the phase took, in milliseconds.
    pub fn span_ms(&self, name: &str) -> Option<f64> {
        self.spans.iter().find(|span| span.name == name)?.duration_ms
    }

    /// Whether the event tells of an exhausted memory.
    pub fn is_out_of_memory(&self) -> bool {
        self.kind == EventKind::OutOfMemory || self.error_type.as_deref() == Some(OUT_OF_MEMORY)
    }

    /// The error type by which the event counts. Of a runtime that was killed for its memory the older notation says
    /// `Runtime.ExitError` and the newer ones say `Runtime.OutOfMemory`; both count as the latter.
    pub(crate) fn counted_error_type(&self) -> Option<&str> {
        match self.kind {
            EventKind::OutOfMemory => Some(OUT_OF_MEMORY),
            _ => self.error_type.as_deref(),
        }
    }
}

const OUT_OF_MEMORY: &str = "Runtime.OutOfMemory";

/// The text, cut off between two characters where it is longer than the bound.
pub(crate) fn truncated(text: &str, max_bytes: usize) -> String {
    let mut end = max_bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
