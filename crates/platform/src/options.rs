//! What the user chose of the conversion to OTLP.

/// For which kind of backend metrics are shaped (`LAMBDA_OTLP_BACKEND`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// The start time of each point is 0: OpenObserve takes it for a label, and adds up only the points of one series.
    #[default]
    OpenObserve,
    /// The start time of a point is when the oldest of the things measured began.
    Otlp,
}

/// Which names metrics and attributes of spans have (`LAMBDA_OTLP_NAMES`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// Those of the semantic conventions, and `aws.lambda.*` for what they lack.
    #[default]
    Current,
    /// Those, and beside them the gauges and attributes that older systems write.
    Legacy,
}

/// What the phases of an invocation become (`LAMBDA_OTLP_SPAN_MAPPING`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanMapping {
    /// Events of the invocation's span.
    #[default]
    SpanEvents,
    /// Spans of their own, children of the invocation's span.
    ChildSpans,
}

/// When the span of an invocation ends (`LAMBDA_OTLP_SPAN_END`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanEnd {
    /// When the runtime is done (`platform.runtimeDone`), or at the `END` line.
    #[default]
    RuntimeDone,
    /// With the report, which Lambda writes when the extensions are done too.
    Report,
}

/// How the log events of a stream are converted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// For which kind of backend metrics are shaped.
    pub shape: Shape,
    /// Which names are written.
    pub names: Names,
    /// Whether START, END, INIT_START and RESTORE_START become log records too (`LAMBDA_OTLP_PLATFORM_LOGS=all`).
    pub platform_logs_all: bool,
}

/// How spans are written, and of which function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanOptions {
    /// What the phases become.
    pub mapping: SpanMapping,
    /// When the span ends.
    pub end: SpanEnd,
    /// Under [`Names::Legacy`] the older systems' attributes are written too.
    pub names: Names,
    /// Whether `OTEL_PROPAGATORS` names `xray-lambda`: only then the X-Ray header is the parent,
    /// and its `Sampled=0` keeps the spans from being written.
    pub xray_lambda: bool,
    /// Name of the function, and so of the span.
    pub function_name: String,
    /// Its version, where the events do not say it.
    pub function_version: Option<String>,
}
