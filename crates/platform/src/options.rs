//! User options of the conversion to OTLP.

/// The kind of backend that metrics are adapted to (`LAMBDA_OTLP_BACKEND`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// The start time of each point is 0: OpenObserve makes it a label, and adds up only points of one series.
    #[default]
    OpenObserve,
    /// The start time of a point is the start of the oldest measured phase.
    Otlp,
}

/// The names of metrics and span attributes (`LAMBDA_OTLP_NAMES`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// The semantic conventions, and `aws.lambda.*` for names missing there.
    #[default]
    Current,
    /// Additionally the gauges and attributes of older systems.
    Legacy,
}

/// The representation of an invocation's phases (`LAMBDA_OTLP_SPAN_MAPPING`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanMapping {
    #[default]
    SpanEvents,
    ChildSpans,
}

/// The end of an invocation's span (`LAMBDA_OTLP_SPAN_END`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanEnd {
    /// When the runtime is done (`platform.runtimeDone`), or at the `END` line.
    #[default]
    RuntimeDone,
    /// The report, which Lambda writes after the extensions finished.
    Report,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlatformOptions {
    pub shape: Shape,
    pub names: Names,
    /// `true` if START, END, INIT_START and RESTORE_START become log records too (`LAMBDA_OTLP_PLATFORM_LOGS=all`).
    pub platform_logs_all: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanOptions {
    pub mapping: SpanMapping,
    pub end: SpanEnd,
    /// [`Names::Legacy`] adds the attributes of older systems.
    pub names: Names,
    /// `true` if `OTEL_PROPAGATORS` names `xray-lambda`: only then is the X-Ray header the parent, and `Sampled=0` suppresses the
    /// spans.
    pub xray_lambda: bool,
    /// `true` if only invocations with a root span of the function get a span.
    pub only_sampled: bool,
    pub function_name: String,
    /// Its version, for events that do not state it.
    pub function_version: Option<String>,
}
