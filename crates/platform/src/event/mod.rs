//! The event model shared by all notations of Lambda's own events: text lines, JSON system log lines and Telemetry API events.
//!
//! Source: Lambda Developer Guide, "Lambda Telemetry API Event schema reference" (schema 2025-01-29) and "Understanding the
//! Lambda execution environment lifecycle" (text lines). AWS adds kinds, fields and values without notice, so nothing is
//! mandatory: an unlisted kind is [`EventKind::Other`], status and error type are strings, figures are optional, and unknown
//! fields are kept in [`PlatformEvent::other`].

pub(crate) mod attributes;
pub(crate) mod figures;

use figures::Figures;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EventKind {
    /// The init phase began (`INIT_START`).
    InitStart,
    /// The runtime finished its part of the init phase (no text line).
    InitRuntimeDone,
    /// The init phase ended (`INIT_REPORT`): failures, SnapStart and provisioned concurrency.
    InitReport,
    /// An invocation began (`START`).
    Start,
    /// The runtime finished the invocation (no text line).
    RuntimeDone,
    /// An invocation ended, with its figures (`REPORT`).
    Report,
    /// An invocation ended (`END`).
    End,
    /// A SnapStart environment began to be restored (`RESTORE_START`).
    RestoreStart,
    /// The runtime finished its part of the restore (no text line).
    RestoreRuntimeDone,
    /// A SnapStart environment was restored (`RESTORE_REPORT`).
    RestoreReport,
    /// The function reached its timeout (older lines: `Task timed out after 3.00 seconds`).
    Timeout,
    /// The runtime or an extension ended (older lines: `Error: Runtime exited …`,
    /// `Process exited before completing request`).
    ExitError,
    OutOfMemory,
    /// An extension registered or failed (`EXTENSION`).
    Extension,
    /// An extension subscribed to telemetry (`TELEMETRY`).
    TelemetrySubscription,
    /// An extension subscribed to the older Logs API. Its text line, `LOGS`, is read as a [`Self::TelemetrySubscription`].
    LogsSubscription,
    /// Lambda dropped log lines before a subscriber received them (no text line).
    LogsDropped,
    /// The runtime or the environment failed (the older Logs API only).
    Fault,
    /// The event names no kind.
    #[default]
    Unknown,
    /// An unlisted kind with its type as written, for example of Lambda Web Functions.
    Other(String),
}

impl EventKind {
    /// The type in the Telemetry API's spelling, extended to failure lines, which that API does not have.
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

    /// The kind for a type of the Telemetry API; an unknown type is kept as text.
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

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracing {
    /// The X-Ray root as written, `1-<8 hex>-<24 hex>`.
    pub trace_id: Option<String>,
    pub segment_id: Option<String>,
    /// The id of the invocation's span assigned by Lambda, 16 hex digits (Telemetry API only).
    pub span_id: Option<String>,
    /// The parent in the X-Ray header, 16 hex digits (Telemetry API only).
    pub parent_id: Option<String>,
    /// `true` if X-Ray samples the trace; `None` if undecided or unstated.
    pub sampled: Option<bool>,
}

impl Tracing {
    /// The trace id in OTLP's form.
    pub(crate) fn xray_trace_id(&self) -> Option<[u8; 16]> {
        self.trace_id.as_deref().and_then(wire::ids::xray_trace_id)
    }
}

/// A measured part of a phase (`spans[]` of the Telemetry API).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhaseSpan {
    /// `responseLatency`, `responseDuration`, `runtimeOverhead`, `extensionOverhead`, or a later addition of AWS.
    pub name: String,
    pub start: Option<SpanStart>,
    pub duration_ms: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SpanStart {
    /// Unix time in nanoseconds.
    At(u64),
    /// Milliseconds after the start of the phase.
    After(f64),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlatformEvent {
    pub kind: EventKind,
    pub request_id: Option<String>,
    /// `success`, `error`, `failure`, `timeout`, or a later addition of AWS. Reports without a status are in the older notation,
    /// which reports failures in separate lines.
    pub status: Option<String>,
    /// Such as `Runtime.ExitError`.
    pub error_type: Option<String>,
    pub message: Option<String>,
    /// `on-demand`, `provisioned-concurrency`, `snap-start`, `lambda-managed-instances`, …
    pub initialization_type: Option<String>,
    /// The type of the init phase: `init`, `invoke` (repeated inside an invocation), `snap-start`.
    pub phase: Option<String>,
    pub version: Option<String>,
    /// Such as `python:3.13.v64`.
    pub runtime_version: Option<String>,
    pub runtime_version_arn: Option<String>,
    pub name: Option<String>,
    pub state: Option<String>,
    /// The execution environment (`instanceId`).
    pub instance_id: Option<String>,
    /// The level of the event (Lambda Web Functions only).
    pub level: Option<String>,
    pub figures: Figures,
    pub tracing: Tracing,
    /// Parts of the phase, at most [`PlatformEvent::MAX_SPANS`].
    pub spans: Vec<PhaseSpan>,
    /// Unix time in nanoseconds at which the platform wrote the event; `None` for text lines.
    pub time_unix_nano: Option<u64>,
    /// Fields without a place above, as written, at most [`PlatformEvent::MAX_OTHER`].
    pub other: Vec<(String, String)>,
}

impl PlatformEvent {
    /// Maximum number of unknown fields of an event; the log record's body has all of them.
    pub const MAX_OTHER: usize = 16;
    /// Maximum number of parts of a phase.
    pub const MAX_SPANS: usize = 32;
    /// Maximum number of bytes of a word or an unknown field.
    pub const MAX_VALUE_BYTES: usize = 2048;

    /// Creates an event of this kind without further data.
    pub fn new(kind: EventKind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// Returns `true` if the event reports success; an event without a status does.
    pub fn succeeded(&self) -> bool {
        self.status.as_deref().is_none_or(|status| status == "success")
    }

    /// Returns `true` if this reports the first invocation of an environment: only its `REPORT` has an init duration, or for
    /// SnapStart a restore duration.
    pub fn is_cold_start(&self) -> bool {
        self.kind == EventKind::Report
            && (self.figures.init_duration_ms.is_some()
                || self.figures.restore_duration_ms.is_some())
    }

    /// Returns `true` if the event reports a failure, in any notation.
    pub fn is_failure(&self) -> bool {
        let is_failure_line = matches!(
            self.kind,
            EventKind::Timeout | EventKind::ExitError | EventKind::OutOfMemory | EventKind::Fault
        );
        is_failure_line || !self.succeeded()
    }

    /// Returns `true` if the function did not finish: it reached its timeout or its process ended.
    pub fn is_cut_off(&self) -> bool {
        let killed =
            [EventKind::Timeout, EventKind::ExitError, EventKind::OutOfMemory, EventKind::Fault];
        // Error types of Lambda itself; those of handlers begin otherwise.
        let is_of_lambda = |error_type: &str| {
            ["Runtime.", "Extension.", "Sandbox."]
                .iter()
                .any(|beginning| error_type.starts_with(beginning))
        };
        killed.contains(&self.kind)
            || matches!(self.status.as_deref(), Some("timeout" | "failure"))
            || self.error_type.as_deref().is_some_and(is_of_lambda)
    }

    /// Duration of a part of the phase, in milliseconds.
    pub fn span_ms(&self, name: &str) -> Option<f64> {
        self.spans.iter().find(|span| span.name == name)?.duration_ms
    }

    /// Returns `true` if the event reports exhausted memory.
    pub fn is_out_of_memory(&self) -> bool {
        self.kind == EventKind::OutOfMemory || self.error_type.as_deref() == Some(OUT_OF_MEMORY)
    }

    /// The error type under which the event is counted. For a runtime killed for its memory the older notation says
    /// `Runtime.ExitError`, the newer ones `Runtime.OutOfMemory`; both count as the latter.
    pub(crate) fn counted_error_type(&self) -> Option<&str> {
        match self.kind {
            EventKind::OutOfMemory => Some(OUT_OF_MEMORY),
            _ => self.error_type.as_deref(),
        }
    }
}

const OUT_OF_MEMORY: &str = "Runtime.OutOfMemory";

pub(crate) fn truncated(text: &str, max_bytes: usize) -> String {
    let mut end = max_bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
