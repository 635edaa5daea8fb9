//! The event model shared by all notations of Lambda's own events: text lines, JSON system log lines and Telemetry API events.
//!
//! Source: Lambda Developer Guide, "Lambda Telemetry API Event schema reference" (schema 2025-01-29) and "Understanding the
//! Lambda execution environment lifecycle" (text lines). AWS adds kinds, fields and values without notice, so nothing is
//! mandatory: an unlisted kind is [`EventKind::Other`], status and error type are strings, figures are optional, and unknown
//! fields are kept in [`PlatformEvent::other`].

use crate::attributes::PlainValue;
use crate::names::{self, lambda};
use crate::read::begins;

/// The kind of an event: a type of the Telemetry API, such as `platform.initStart`, and its text line, such as `INIT_START`. There
/// are no text lines of a runtime that is done, and of dropped lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EventKind {
    InitStart,
    InitRuntimeDone,
    /// The init phase ended (`INIT_REPORT`): failures, SnapStart and provisioned concurrency.
    InitReport,
    Start,
    RuntimeDone,
    Report,
    End,
    RestoreStart,
    RestoreRuntimeDone,
    RestoreReport,
    /// The function reached its timeout (older lines: `Task timed out after 3.00 seconds`).
    Timeout,
    /// The runtime or an extension ended (older lines: `Error: Runtime exited …`,
    /// `Process exited before completing request`).
    ExitError,
    OutOfMemory,
    /// An extension registered or failed (`EXTENSION`).
    Extension,
    /// An extension subscribed to telemetry (`TELEMETRY`, or `LOGS` for the older Logs API).
    TelemetrySubscription,
    /// Lambda dropped log lines before a subscriber received them (no text line).
    LogsDropped,
    /// The event names no kind.
    #[default]
    Unknown,
    /// An unlisted kind with its type as written, for example of Lambda Web Functions.
    Other(String),
}

impl EventKind {
    /// The type in the Telemetry API's spelling.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(kind) => kind,
            known => TYPES.iter().find(|(kind, _)| kind == known).map_or("", |(_, text)| text),
        }
    }

    /// The kind for a type of the Telemetry API; an unknown type is kept as text.
    pub fn of_type(text: &str) -> Self {
        // The Telemetry API has no failure lines.
        let is_of_api =
            |kind: &Self| !matches!(kind, Self::Timeout | Self::ExitError | Self::OutOfMemory);
        let known = TYPES.iter().find(|(kind, own)| *own == text && is_of_api(kind));
        known.map_or_else(
            || Self::Other(truncated(text, PlatformEvent::MAX_VALUE_BYTES)),
            |(kind, _)| kind.clone(),
        )
    }
}

/// The types of all kinds but [`EventKind::Other`]: those of the Telemetry API, and of failure lines.
static TYPES: [(EventKind, &str); 17] = [
    (EventKind::InitStart, "platform.initStart"),
    (EventKind::InitRuntimeDone, "platform.initRuntimeDone"),
    (EventKind::InitReport, "platform.initReport"),
    (EventKind::Start, "platform.start"),
    (EventKind::RuntimeDone, "platform.runtimeDone"),
    (EventKind::Report, "platform.report"),
    (EventKind::End, "platform.end"),
    (EventKind::RestoreStart, "platform.restoreStart"),
    (EventKind::RestoreRuntimeDone, "platform.restoreRuntimeDone"),
    (EventKind::RestoreReport, "platform.restoreReport"),
    (EventKind::Timeout, "platform.timeout"),
    (EventKind::ExitError, "platform.exitError"),
    (EventKind::OutOfMemory, "platform.outOfMemory"),
    (EventKind::Extension, "platform.extension"),
    (EventKind::TelemetrySubscription, "platform.telemetrySubscription"),
    (EventKind::LogsDropped, "platform.logsDropped"),
    (EventKind::Unknown, "platform.unknown"),
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracing {
    /// X-Ray's trace id as written, `1-<8 hex>-<24 hex>`.
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
    pub(crate) fn xray_trace_id(&self) -> Option<[u8; 16]> {
        self.trace_id.as_deref().and_then(wire::ids::xray_trace_id)
    }
}

/// A measured part of a phase (`spans[]` of the Telemetry API).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhaseSpan {
    /// `responseLatency`, `responseDuration`, `runtimeOverhead`, `extensionOverhead`, or a later addition of AWS.
    pub name: String,
    /// Unix time in nanoseconds.
    pub start: Option<u64>,
    pub duration_ms: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlatformEvent {
    pub kind: EventKind,
    pub request_id: Option<String>,
    /// `success`, `error`, `failure`, `timeout`, or a later addition of AWS. Reports without a status are in the older notation,
    /// which reports failures in separate lines.
    pub status: Option<String>,
    pub error_type: Option<String>,
    pub message: Option<String>,
    /// `on-demand`, `provisioned-concurrency`, `snap-start`, `lambda-managed-instances`, …
    pub initialization_type: Option<String>,
    /// The type of the init phase: `init`, `invoke` (repeated inside an invocation), `snap-start`.
    pub phase: Option<String>,
    pub version: Option<String>,
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
    pub const MAX_SPANS: usize = 32;
    /// Maximum number of bytes of a word or an unknown field.
    pub const MAX_VALUE_BYTES: usize = 2048;

    pub fn new(kind: EventKind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// The size of the event in memory.
    pub fn bytes(&self) -> usize {
        let words = [
            &self.request_id,
            &self.status,
            &self.error_type,
            &self.message,
            &self.initialization_type,
            &self.phase,
            &self.version,
            &self.runtime_version,
            &self.runtime_version_arn,
            &self.name,
            &self.state,
            &self.instance_id,
            &self.level,
            &self.tracing.trace_id,
            &self.tracing.segment_id,
            &self.tracing.span_id,
            &self.tracing.parent_id,
        ];
        let words: usize = words.into_iter().flatten().map(String::len).sum();
        let spans = self.spans.iter().map(|span| size_of::<PhaseSpan>() + span.name.len());
        let other = self
            .other
            .iter()
            .map(|(key, value)| size_of::<(String, String)>() + key.len() + value.len());
        size_of::<Self>() + words + spans.sum::<usize>() + other.sum::<usize>()
    }

    /// Returns `true` if the event reports success; an event without a status does.
    pub fn succeeded(&self) -> bool {
        self.status.as_deref().is_none_or(|status| status == "success")
    }

    /// Returns `true` for an event that only managed instances have: the start of their init phase, or a report without a billed
    /// duration, which all other functions' reports have.
    pub(crate) fn is_of_managed_instance(&self) -> bool {
        let has_type = self.initialization_type.as_deref() == Some("lambda-managed-instances");
        let is_unbilled = self.kind == EventKind::Report
            && self.status.is_some()
            && self.figures.duration_ms.is_some()
            && self.figures.billed_duration_ms.is_none();
        has_type || is_unbilled
    }

    /// Returns `true` for an event of the init phase that made a snapshot (SnapStart), perhaps days ago, and not of one that
    /// Lambda repeats inside an invocation.
    pub fn made_snapshot(&self) -> bool {
        let is = |field: &Option<String>, value| field.as_deref() == Some(value);
        let is_init = matches!(
            self.kind,
            EventKind::InitStart | EventKind::InitRuntimeDone | EventKind::InitReport
        );
        is(&self.phase, "snap-start")
            || is_init && is(&self.initialization_type, "snap-start") && !is(&self.phase, "invoke")
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
        let is_failure_line =
            matches!(self.kind, EventKind::Timeout | EventKind::ExitError | EventKind::OutOfMemory);
        is_failure_line || !self.succeeded()
    }

    /// Returns `true` if the function did not finish: it reached its timeout or its process ended.
    pub fn is_cut_off(&self) -> bool {
        // Error types of Lambda itself; those of handlers begin otherwise.
        let of_lambda = ["Runtime.", "Extension.", "Sandbox."];
        matches!(self.status.as_deref(), Some("timeout" | "failure"))
            || self.error_type.as_deref().is_some_and(|own| begins(own, &of_lambda))
    }

    /// Returns `true` for the report of an invocation in which an extension ended or was killed.
    pub(crate) fn is_end_of_killed_extension(&self) -> bool {
        self.kind == EventKind::Report
            && self.error_type.as_deref().is_some_and(|own| own.starts_with("Extension."))
    }

    /// Sets both durations of an init phase or restore: one notation names it after the phase, the other after the event.
    pub(crate) fn set_duration_of_phase(&mut self) {
        let Figures { duration_ms, init_duration_ms, restore_duration_ms, .. } = &mut self.figures;
        let of_phase = match self.kind {
            EventKind::InitReport => init_duration_ms,
            EventKind::RestoreReport => restore_duration_ms,
            _ => return,
        };
        *duration_ms = duration_ms.or(*of_phase);
        *of_phase = of_phase.or(*duration_ms);
    }

    pub fn span_ms(&self, name: &str) -> Option<f64> {
        self.spans.iter().find(|span| span.name == name)?.duration_ms
    }

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

/// Passes each attribute of the event to `take`. Log records write them as protobuf at once, spans as structs.
pub(crate) fn platform_attributes(
    platform: &PlatformEvent,
    take: &mut dyn FnMut(&'static str, PlainValue<'_>),
) {
    take(lambda::EVENT_TYPE, PlainValue::Text(platform.kind.as_str()));
    if platform.kind == EventKind::Report {
        take(names::FAAS_COLDSTART, PlainValue::Bool(platform.is_cold_start()));
    }
    let words = [
        ("aws.lambda.status", &platform.status),
        (names::ERROR_TYPE, &platform.error_type),
        (lambda::PHASE, &platform.phase),
        (lambda::INITIALIZATION_TYPE, &platform.initialization_type),
        (names::FAAS_VERSION, &platform.version),
        (lambda::RUNTIME_VERSION, &platform.runtime_version),
        (lambda::RUNTIME_VERSION_ARN, &platform.runtime_version_arn),
        ("aws.lambda.extension.name", &platform.name),
        ("aws.lambda.extension.state", &platform.state),
        ("aws.lambda.instance.id", &platform.instance_id),
        (names::AWS_XRAY_TRACE_ID, &platform.tracing.trace_id),
        (lambda::XRAY_SEGMENT_ID, &platform.tracing.segment_id),
        (lambda::XRAY_SEGMENT_ID, &platform.tracing.span_id),
        (lambda::XRAY_PARENT_ID, &platform.tracing.parent_id),
    ];
    for (key, word) in words {
        if let Some(word) = word {
            take(key, PlainValue::Text(word));
        }
    }
    let figures = &platform.figures;
    let numbers = [
        ("aws.lambda.produced_bytes", figures.produced_bytes),
        ("aws.lambda.response_latency_ms", platform.span_ms("responseLatency")),
        ("aws.lambda.response_duration_ms", platform.span_ms("responseDuration")),
        ("aws.lambda.runtime_overhead_ms", platform.span_ms("runtimeOverhead")),
        ("aws.lambda.extension_overhead_ms", platform.span_ms("extensionOverhead")),
        ("aws.lambda.dropped_records", figures.dropped_records),
        ("aws.lambda.dropped_bytes", figures.dropped_bytes),
        ("aws.lambda.instance.max_memory_mb", figures.instance_max_memory_mb),
        ("aws.lambda.timeout_ms", figures.timeout_ms),
    ];
    let duration = [(lambda::DURATION_MS, figures.duration_ms)].into_iter();
    for (key, number) in duration.chain(figures.of_invocation()).chain(numbers) {
        if let Some(number) = number {
            take(key, PlainValue::Double(number));
        }
    }
    if let Some(sampled) = platform.tracing.sampled {
        take("aws.xray.sampled", PlainValue::Bool(sampled));
    }
    // Unknown fields, as one JSON string.
    if !platform.other.is_empty() {
        let other: serde_json::Map<String, serde_json::Value> = platform
            .other
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().into()))
            .collect();
        take("aws.lambda.other", PlainValue::Text(&serde_json::Value::from(other).to_string()));
    }
}

/// Bytes of a mebibyte, which Lambda prints as "MB".
pub(crate) const MIB: f64 = 1_048_576.0;

/// The figures of an event: durations in milliseconds, memory in MiB, and bytes. All are finite and not negative. A report with the
/// duration of an init phase or a restore marks a cold start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Duration in milliseconds of the part that the event reports on, for example the invocation.
    pub duration_ms: Option<f64>,
    /// Billed duration in milliseconds; since August 2025 it includes the init phase.
    pub billed_duration_ms: Option<f64>,
    pub memory_size_mb: Option<f64>,
    pub max_memory_used_mb: Option<f64>,
    pub init_duration_ms: Option<f64>,
    pub restore_duration_ms: Option<f64>,
    pub billed_restore_duration_ms: Option<f64>,
    pub produced_bytes: Option<f64>,
    pub instance_max_memory_mb: Option<f64>,
    pub dropped_records: Option<f64>,
    pub dropped_bytes: Option<f64>,
    /// The timeout that was reached, in milliseconds (`Task timed out after …`).
    pub timeout_ms: Option<f64>,
}

impl Figures {
    /// The figures of a report that describe its invocation, with their attributes.
    pub(crate) fn of_invocation(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("aws.lambda.billed_duration_ms", self.billed_duration_ms),
            ("aws.lambda.memory_size_mb", self.memory_size_mb),
            ("aws.lambda.max_memory_used_mb", self.max_memory_used_mb),
            ("aws.lambda.init_duration_ms", self.init_duration_ms),
            ("aws.lambda.restore_duration_ms", self.restore_duration_ms),
            ("aws.lambda.billed_restore_duration_ms", self.billed_restore_duration_ms),
        ]
    }
}

/// The largest plausible figure: a thousand times the largest that Lambda can report, and small enough that sums stay finite and
/// exact to the byte.
const MAX_FIGURE: f64 = 1e12;

/// Returns the value unless it is negative, not a number, infinite or implausibly large.
pub(crate) fn plausible(value: f64) -> Option<f64> {
    (0.0..=MAX_FIGURE).contains(&value).then_some(value)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is plausible: not negative, and at most 1e18 nanoseconds"
)]
pub(crate) fn nanoseconds(ms: f64) -> u64 {
    (ms * 1e6) as u64
}

pub(crate) fn seconds(ms: f64) -> f64 {
    ms / 1000.0
}
