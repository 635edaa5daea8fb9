//! The extension's variables: one table, read once; what is wrong is named in one line, and it goes on with the rest.

use crate::endpoint::{Endpoint, endpoint};
use crate::hold;
use settings::{Kind, Reader, Source, Table, Variable};
use std::ops::RangeInclusive;
use std::time::Duration;
use tracing::Level;

/// All variables of the extension.
pub const TABLE: Table =
    Table::new(&[OWN, TELEMETRY, LINES, SHARED, LAMBDA]).with_known_elsewhere(KNOWN_ELSEWHERE);

const OWN: &[Variable] = &[
    Variable {
        name: "LAMBDA_OTLP_OUTPUT",
        default: None,
        kind: Kind::Choice(&["stdout", "otlp", "json"]),
        doc: "Where telemetry goes. Unset: `otlp` where an endpoint that is not loopback is set, `json` where the \
              O2 variables are, else `stdout`. This build writes to stdout only, and says so.",
    },
    Variable {
        name: "OTEL_LAMBDA_RECEIVER_PORT",
        default: None,
        kind: Kind::Count,
        doc: "Port of 127.0.0.1 where OTLP is received; else the port of a loopback `OTEL_EXPORTER_OTLP_ENDPOINT`, \
              else 4318.",
    },
    Variable {
        name: "LAMBDA_OTLP_HOLD",
        default: Some("auto"),
        kind: Kind::Choice(&["auto", "always", "never"]),
        doc: "Whether the environment stays awake after the handler until Lambda's report of it has come (25 to 30 \
              ms): `auto` only where invocations are rare and sent no OTLP, or the last one failed.",
    },
    Variable {
        name: "LAMBDA_OTLP_INVOCATION_SPAN",
        default: Some("auto"),
        kind: Kind::Choice(&["auto", "always", "never"]),
        doc: "Whether the extension writes a span for each invocation: `auto` only where the function has no root \
              span of its own.",
    },
    Variable {
        name: "LAMBDA_OTLP_SPAN_MAPPING",
        default: Some("span_events"),
        kind: Kind::Choice(&["span_events", "child_spans"]),
        doc: "Whether an invocation's phases become events of its span, or spans below it.",
    },
    Variable {
        name: "O2_SPAN_MAPPING_STRATEGY",
        default: None,
        kind: Kind::Choice(&["span_events", "child_spans"]),
        doc: "The older name of `LAMBDA_OTLP_SPAN_MAPPING`, which wins.",
    },
    Variable {
        name: "LAMBDA_OTLP_SPAN_END",
        default: Some("runtime_done"),
        kind: Kind::Choice(&["runtime_done", "report"]),
        doc: "What ends the invocation span. `report` has billed duration and memory on it, and comes with the next \
              invocation.",
    },
    Variable {
        name: "LAMBDA_OTLP_LOG_LEVEL",
        default: Some("warn"),
        kind: Kind::Choice(&["error", "warn", "info", "debug"]),
        doc: "The extension's own log, on stderr. `warn`: something was unexpected; `error`: something was lost.",
    },
];

const TELEMETRY: &[Variable] = &[
    Variable {
        name: "O2_TELEMETRY_TYPES",
        default: Some("platform"),
        kind: Kind::Text,
        doc: "What is asked of the Telemetry API: `platform`, `function`, `extension`, separated by commas. With \
              stdout, CloudWatch has the logs of the last two already, and they are only counted.",
    },
    Variable {
        name: "LAMBDA_OTLP_TELEMETRY_MAX_ITEMS",
        default: Some("1000"),
        kind: Kind::Count,
        doc: "Events in one delivery of the Telemetry API, 1,000 to 10,000.",
    },
    Variable {
        name: "LAMBDA_OTLP_TELEMETRY_MAX_BYTES",
        default: Some("262144"),
        kind: Kind::Bytes,
        doc: "Bytes in one delivery of the Telemetry API, 262,144 to 1,048,576.",
    },
    Variable {
        name: "LAMBDA_OTLP_TELEMETRY_TIMEOUT_MS",
        default: Some("25"),
        kind: Kind::Duration,
        doc: "How long the Telemetry API collects events before it delivers them, 25 ms to 30 s.",
    },
];

const LINES: &[Variable] = &[
    Variable {
        name: "LAMBDA_OTLP_MAX_LINE_BYTES",
        default: Some("60KiB"),
        kind: Kind::Bytes,
        doc: "Longest line; a larger batch becomes several lines. From 1 KiB to 250 KiB.",
    },
    Variable {
        name: "OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL",
        default: Some("6"),
        kind: Kind::Count,
        doc: "gzip level of the lines, 0 (stored) to 9.",
    },
    Variable {
        name: "LAMBDA_OTLP_NAMES",
        default: Some("current"),
        kind: Kind::Choice(&["current", "legacy"]),
        doc: "`legacy` also writes the older systems' names.",
    },
    Variable {
        name: "LAMBDA_OTLP_BACKEND",
        default: Some("openobserve"),
        kind: Kind::Choice(&["openobserve", "otlp"]),
        doc: "For which backend the metrics that the extension makes are shaped.",
    },
];

/// What OpenTelemetry's SDK in the function reads too, and what chooses an output.
const SHARED: &[Variable] = &[
    Variable {
        name: "OTEL_SERVICE_NAME",
        default: None,
        kind: Kind::Text,
        doc: "`service.name` of what the extension makes; else the function's name.",
    },
    Variable {
        name: "OTEL_EXPORTER_OTLP_ENDPOINT",
        default: None,
        kind: Kind::Text,
        doc: "Where the function's SDK sends OTLP: if it is loopback, the receiver listens there.",
    },
    Variable {
        name: "LAMBDA_OTLP_ENDPOINT",
        default: None,
        kind: Kind::Text,
        doc: "Base URL of the backend, for the output `otlp`.",
    },
    Variable {
        name: "O2_ORGANIZATION_ID",
        default: None,
        kind: Kind::Text,
        doc: "OpenObserve's organisation, for the output `json`.",
    },
    Variable {
        name: "O2_AUTHORIZATION_HEADER",
        default: None,
        kind: Kind::Secret,
        doc: "OpenObserve's credentials, for the output `json`.",
    },
];

/// Set by Lambda itself.
const LAMBDA: &[Variable] = &[
    lambda("AWS_LAMBDA_RUNTIME_API", "Set by Lambda: host and port of its APIs."),
    lambda("AWS_LAMBDA_FUNCTION_NAME", "Set by Lambda: `faas.name`."),
    lambda("AWS_LAMBDA_FUNCTION_VERSION", "Set by Lambda: `faas.version`."),
    lambda(
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "Set by Lambda: an eighth of it bounds what waits in memory.",
    ),
    lambda("AWS_REGION", "Set by Lambda: `cloud.region`."),
    lambda(
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "Set by Lambda: managed instances have no INVOKE event.",
    ),
    lambda(
        "AWS_LAMBDA_LOG_FORMAT",
        "Set by Lambda: under `JSON` each line has `timestamp` and `level`.",
    ),
    lambda(
        "AWS_LAMBDA_LOG_LEVEL",
        "Set by Lambda: the `level` of lines, so that none is filtered out.",
    ),
];

const fn lambda(name: &'static str, doc: &'static str) -> Variable {
    Variable { name, default: None, kind: Kind::Text, doc }
}

/// What the exporter in the function, and this extension's direct outputs, read.
const KNOWN_ELSEWHERE: &[&str] = &[
    "LAMBDA_OTLP_HEADERS",
    "LAMBDA_OTLP_LINE",
    "LAMBDA_OTLP_LINE_SEQ",
    "LAMBDA_OTLP_LOGS_FLUSH_INTERVAL",
    "LAMBDA_OTLP_METRICS_FLUSH_INTERVAL",
    "LAMBDA_OTLP_PROTOCOL",
    "LAMBDA_OTLP_SECRET",
    "LAMBDA_OTLP_STREAM",
    "LAMBDA_OTLP_TRACES_FLUSH_INTERVAL",
];

const DEFAULT_RECEIVER_PORT: u16 = 4318;

/// Where telemetry goes. The direct outputs are a build of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// OTLP lines on stdout.
    Stdout,
    /// OTLP to an endpoint.
    Otlp,
    /// OpenObserve's `_json`.
    Json,
}

/// Whether the extension writes a span for each invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvocationSpan {
    /// Where the function has no root span of its own.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What the Telemetry API is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// `platform`, `function`, `extension`.
    pub types: Vec<&'static str>,
    /// Events in one delivery.
    pub max_items: usize,
    /// Bytes in one delivery.
    pub max_bytes: usize,
    /// How long events are collected.
    pub timeout: Duration,
}

/// How lines are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Longest line, in bytes.
    pub max_bytes: usize,
    /// gzip level.
    pub compression_level: u32,
    /// Under Lambda's JSON format, the `level` that each line has to carry, beside its `timestamp`.
    pub json_level: Option<String>,
}

/// What Lambda says about the function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// `$LATEST` or a number.
    pub version: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Configured memory in MiB.
    pub memory_mib: Option<usize>,
    /// Managed instances: many invocations at a time, no INVOKE event and no `platform.runtimeDone`.
    pub is_managed_instance: bool,
}

/// What the extension is told by its variables.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Host and port of Lambda's APIs; empty outside Lambda.
    pub runtime_api: String,
    /// Where telemetry goes, as it was chosen; this build has `stdout` only.
    pub output: Output,
    /// Port of the OTLP receiver.
    pub receiver_port: u16,
    /// When `next` is held.
    pub hold: hold::Mode,
    /// Whether invocation spans are written.
    pub invocation_span: InvocationSpan,
    /// How an invocation's phases are written.
    pub child_spans: bool,
    /// Whether the report ends an invocation's span.
    pub span_ends_with_report: bool,
    /// What the Telemetry API is asked for.
    pub telemetry: Telemetry,
    /// How lines are written.
    pub lines: Lines,
    /// Which metric names are written.
    pub names: platform::Names,
    /// For which backend metrics are shaped.
    pub shape: platform::Shape,
    /// `service.name`; never empty.
    pub service_name: String,
    /// What Lambda says about the function.
    pub function: Function,
    /// Level of the own log.
    pub log_level: Level,
    /// What a person should know about the variables, in one line; empty mostly.
    pub complaint: String,
}

impl Config {
    /// Reads everything; what is wrong is noted and its default taken.
    pub fn from_source(source: &dyn Source) -> Self {
        let mut reader = Reader::new(source, TABLE);
        let otel_endpoint = reader.string_if_set("OTEL_EXPORTER_OTLP_ENDPOINT");
        let function = function(&mut reader);
        let levels = [
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
        ];
        let names = [("current", platform::Names::Current), ("legacy", platform::Names::Legacy)];
        let shapes =
            [("openobserve", platform::Shape::OpenObserve), ("otlp", platform::Shape::Otlp)];
        let spans = [
            ("auto", InvocationSpan::Auto),
            ("always", InvocationSpan::Always),
            ("never", InvocationSpan::Never),
        ];
        let ends = [("runtime_done", false), ("report", true)];
        let mut config = Self {
            runtime_api: reader.string_if_set("AWS_LAMBDA_RUNTIME_API").unwrap_or_default(),
            output: output(&mut reader, otel_endpoint.as_deref()),
            receiver_port: receiver_port(&mut reader, otel_endpoint.as_deref()),
            hold: reader.choice("LAMBDA_OTLP_HOLD", hold::MODES, hold::Mode::Auto),
            invocation_span: reader.choice(
                "LAMBDA_OTLP_INVOCATION_SPAN",
                &spans,
                InvocationSpan::Auto,
            ),
            child_spans: child_spans(&mut reader),
            span_ends_with_report: reader.choice("LAMBDA_OTLP_SPAN_END", &ends, false),
            telemetry: telemetry(&mut reader),
            lines: lines(&mut reader),
            names: reader.choice("LAMBDA_OTLP_NAMES", &names, platform::Names::Current),
            shape: reader.choice("LAMBDA_OTLP_BACKEND", &shapes, platform::Shape::OpenObserve),
            service_name: reader
                .string_if_set("OTEL_SERVICE_NAME")
                .unwrap_or_else(|| function.name.clone()),
            function,
            log_level: reader.choice("LAMBDA_OTLP_LOG_LEVEL", &levels, Level::WARN),
            complaint: String::new(),
        };
        config.complaint = complaint(reader);
        config
    }

    /// Bytes of received OTLP that may be in memory at a time: an eighth of the function's memory, from 4 to 32 MiB.
    pub fn receive_budget_bytes(&self) -> usize {
        const MIB: usize = 1024 * 1024;
        (self.function.memory_mib.unwrap_or(128) / 8).clamp(4, 32) * MIB
    }
}

fn output(reader: &mut Reader<'_>, otel_endpoint: Option<&str>) -> Output {
    let choices = [("stdout", Output::Stdout), ("otlp", Output::Otlp), ("json", Output::Json)];
    let asked = reader.choice_if_set("LAMBDA_OTLP_OUTPUT", &choices);
    let own_endpoint = reader.string_if_set("LAMBDA_OTLP_ENDPOINT");
    let is_elsewhere =
        |text: Option<&str>| text.is_some_and(|text| endpoint(text) == Endpoint::Elsewhere);
    let organization = reader.string_if_set("O2_ORGANIZATION_ID").is_some();
    let authorization = reader.secret("O2_AUTHORIZATION_HEADER").is_some();
    let chosen = match asked {
        Some(asked) => asked,
        None if is_elsewhere(own_endpoint.as_deref()) || is_elsewhere(otel_endpoint) => {
            Output::Otlp
        }
        None if organization && authorization => Output::Json,
        None => Output::Stdout,
    };
    let name = match chosen {
        Output::Stdout => return chosen,
        Output::Otlp => "otlp",
        Output::Json => "json",
    };
    let problem = format!("the output `{name}` is not in this build, lines are written to stdout");
    reader.mistake("LAMBDA_OTLP_OUTPUT", problem);
    chosen
}

fn receiver_port(reader: &mut Reader<'_>, otel_endpoint: Option<&str>) -> u16 {
    const NAME: &str = "OTEL_LAMBDA_RECEIVER_PORT";
    let of_endpoint = match otel_endpoint.map(endpoint) {
        Some(Endpoint::Loopback(Some(port))) => port,
        _ => DEFAULT_RECEIVER_PORT,
    };
    let Some(asked) = reader.count_if_set(NAME) else { return of_endpoint };
    match u16::try_from(asked) {
        Ok(port) if port > 0 => port,
        _ => {
            reader.mistake(NAME, "outside 1 to 65535");
            of_endpoint
        }
    }
}

fn child_spans(reader: &mut Reader<'_>) -> bool {
    let mappings = [("span_events", false), ("child_spans", true)];
    let older = reader.choice_if_set("O2_SPAN_MAPPING_STRATEGY", &mappings);
    let is_set = reader.is_set("LAMBDA_OTLP_SPAN_MAPPING");
    let own = reader.choice("LAMBDA_OTLP_SPAN_MAPPING", &mappings, false);
    older.filter(|_| !is_set).unwrap_or(own)
}

/// AWS refuses a subscription with a value outside these ranges.
const MAX_ITEMS: RangeInclusive<usize> = 1000..=10_000;
const MAX_BYTES: RangeInclusive<usize> = 262_144..=1_048_576;
const TIMEOUT_MS: RangeInclusive<usize> = 25..=30_000;

fn telemetry(reader: &mut Reader<'_>) -> Telemetry {
    let max_items = reader.count("LAMBDA_OTLP_TELEMETRY_MAX_ITEMS");
    let max_bytes = reader.bytes("LAMBDA_OTLP_TELEMETRY_MAX_BYTES");
    let timeout = reader.duration("LAMBDA_OTLP_TELEMETRY_TIMEOUT_MS").as_millis();
    let timeout_ms = usize::try_from(timeout).unwrap_or(usize::MAX);
    let timeout_ms = within(reader, "LAMBDA_OTLP_TELEMETRY_TIMEOUT_MS", timeout_ms, &TIMEOUT_MS);
    Telemetry {
        types: telemetry_types(reader),
        max_items: within(reader, "LAMBDA_OTLP_TELEMETRY_MAX_ITEMS", max_items, &MAX_ITEMS),
        max_bytes: within(reader, "LAMBDA_OTLP_TELEMETRY_MAX_BYTES", max_bytes, &MAX_BYTES),
        timeout: Duration::from_millis(timeout_ms as u64),
    }
}

fn telemetry_types(reader: &mut Reader<'_>) -> Vec<&'static str> {
    const NAME: &str = "O2_TELEMETRY_TYPES";
    let mut types = Vec::new();
    for word in reader.string(NAME).split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match ["platform", "function", "extension"].into_iter().find(|known| *known == word) {
            Some(known) if types.contains(&known) => {}
            Some(known) => types.push(known),
            None => {
                reader.mistake(NAME, "names a type that is not platform, function or extension")
            }
        }
    }
    if types.is_empty() {
        types.push("platform");
    }
    types
}

fn lines(reader: &mut Reader<'_>) -> Lines {
    const LINE_BYTES: RangeInclusive<usize> = 1024..=250 * 1024;
    let max_bytes = reader.bytes("LAMBDA_OTLP_MAX_LINE_BYTES");
    let level = reader.count("OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL");
    let level = within(reader, "OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL", level, &(0..=9));
    let format = reader.string_if_set("AWS_LAMBDA_LOG_FORMAT").unwrap_or_default();
    let log_level = reader.string_if_set("AWS_LAMBDA_LOG_LEVEL");
    Lines {
        max_bytes: within(reader, "LAMBDA_OTLP_MAX_LINE_BYTES", max_bytes, &LINE_BYTES),
        compression_level: u32::try_from(level).unwrap_or(9),
        // Lambda takes a line without a level for INFO.
        json_level: format
            .eq_ignore_ascii_case("json")
            .then(|| log_level.unwrap_or_else(|| "INFO".to_owned())),
    }
}

/// The value, or the nearer end of the range.
fn within(
    reader: &mut Reader<'_>,
    name: &str,
    value: usize,
    range: &RangeInclusive<usize>,
) -> usize {
    if !range.contains(&value) {
        let (least, most) = (range.start(), range.end());
        reader.mistake(name, format!("outside {least} to {most}, the nearer end is used"));
    }
    value.clamp(*range.start(), *range.end())
}

fn function(reader: &mut Reader<'_>) -> Function {
    let initialization = reader.string_if_set("AWS_LAMBDA_INITIALIZATION_TYPE");
    let memory = reader.string_if_set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE");
    Function {
        name: reader
            .string_if_set("AWS_LAMBDA_FUNCTION_NAME")
            .unwrap_or_else(|| "unknown_service".to_owned()),
        version: reader.string_if_set("AWS_LAMBDA_FUNCTION_VERSION"),
        region: reader.string_if_set("AWS_REGION"),
        memory_mib: memory.and_then(|text| text.parse().ok()),
        is_managed_instance: initialization.as_deref() == Some("lambda-managed-instances"),
    }
}

/// Mistakes and warnings in one line.
fn complaint(reader: Reader<'_>) -> String {
    let mut parts: Vec<String> = reader.warnings().iter().map(ToString::to_string).collect();
    parts.extend(reader.finish().iter().map(ToString::to_string));
    parts.join("; ")
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
