//! The extension's settings, read once. One log line lists wrong variables; their defaults apply.

mod file;
mod output;
mod variables;

use backend::direct_mode::{Endpoint, endpoint};
pub(crate) use output::{Direct, Flush, OutputChoice};
use platform::{Names, Shape, SpanEnd, SpanMapping};
use settings::{Reader, Remark, Source, Variable, shared};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use tracing::Level;
use variables::{LAMBDA, OTEL_ENDPOINT, OTEL_SIGNAL_ENDPOINTS, RECEIVER_PORT};
pub use variables::{TABLE, WRAPPER};

const DEFAULT_RECEIVER_PORT: u16 = 4318;
const DEFAULT_GRPC_PORT: u16 = 4317;

/// The parts that know the receiver's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortKnownTo {
    /// None, so the port may change.
    Nobody,
    /// Only the extension, by a setting that the wrapper does not read.
    Extension,
    /// Also the wrapper or the SDK.
    All,
}

/// Selects the extension's span of an invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum InvocationSpanMode {
    /// A child of the function's own root span, or a root span if there is none.
    #[default]
    Auto,
    Always,
    Never,
}

/// The largest delivery to request from the Telemetry API, in bytes: the least that Lambda accepts.
pub(crate) const TELEMETRY_MAX_BYTES: usize = 262_144;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LineFormat {
    /// `true` for compact lines, except for those of requests that no backend accepted.
    pub(crate) is_compact: bool,
    pub(crate) max_bytes: usize,
    pub(crate) compression_level: u32,
    /// The `level` of each line under Lambda's JSON log format.
    pub(crate) json_level: Option<String>,
}

/// Facts about the function in Lambda's variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// `$LATEST` or a number.
    pub(crate) version: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) memory_mib: Option<usize>,
    /// A managed instance has many invocations at a time, but no INVOKE events and no `platform.runtimeDone`.
    pub(crate) is_managed_instance: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Host and port of Lambda's APIs; empty outside Lambda.
    pub(crate) runtime_api: String,
    pub receiver_port: u16,
    pub(crate) receiver_port_known_to: PortKnownTo,
    pub(crate) invocation_span: InvocationSpanMode,
    /// The function's sampler drops traces, so an invocation without a root span is probably not sampled.
    pub(crate) drops_traces: bool,
    pub(crate) span_mapping: SpanMapping,
    pub(crate) span_end: SpanEnd,
    /// X-Ray's header determines the parent of spans.
    pub(crate) xray_lambda: bool,
    /// The types of events to request from the Telemetry API: `platform`, `function`, `extension`.
    pub(crate) telemetry_types: Vec<&'static str>,
    pub(crate) lines: LineFormat,
    pub(crate) names: Names,
    pub(crate) shape: Shape,
    /// `service.name`; never empty.
    pub(crate) service_name: String,
    pub(crate) function: Function,
    pub(crate) log_level: Level,
    pub(crate) output: OutputChoice,
    pub(crate) warnings: Vec<Remark>,
    pub(crate) mistakes: Vec<Remark>,
}

impl Config {
    /// Reads all settings. Wrong ones are noted, and get their defaults.
    pub fn from_source(source: &dyn Source) -> Self {
        let with_file = file::SettingsWithFile::of(source);
        let mut reader = Reader::new(&with_file, TABLE);
        with_file.report(&mut reader);
        Self::read(reader, &with_file)
    }

    /// Reads only the variables that Lambda sets.
    pub fn of_lambda(source: &dyn Source) -> Self {
        let set = |row: &Variable| Some((row.name.to_owned(), source.get(row.name)?));
        let source: HashMap<String, String> = LAMBDA.iter().filter_map(set).collect();
        Self::read(Reader::new(&source, TABLE), &source)
    }

    fn read(mut reader: Reader<'_>, source: &dyn Source) -> Self {
        let otel_endpoint = reader.raw(OTEL_ENDPOINT);
        let function = function(&mut reader);
        let receiver_port = receiver_port(&mut reader, otel_endpoint.as_deref());
        let output = output::read(
            &mut reader,
            source,
            &function,
            receiver_port.unwrap_or(DEFAULT_RECEIVER_PORT),
        );
        let propagators = reader.read(shared::OTEL_PROPAGATORS).unwrap_or_default();
        let sampler = reader.read(variables::TRACES_SAMPLER).unwrap_or_default();
        Self {
            runtime_api: reader.read(variables::RUNTIME_API).unwrap_or_default(),
            receiver_port: receiver_port.unwrap_or(DEFAULT_RECEIVER_PORT),
            receiver_port_known_to: receiver_port_known_to(&reader, source, receiver_port),
            invocation_span: invocation_span(&mut reader),
            drops_traces: !matches!(sampler.trim(), "" | "always_on" | "parentbased_always_on"),
            span_mapping: span_mapping(&mut reader),
            span_end: reader.choice(
                shared::LAMBDA_OTLP_SPAN_END,
                &[("runtime_done", SpanEnd::RuntimeDone), ("report", SpanEnd::Report)],
                SpanEnd::RuntimeDone,
            ),
            xray_lambda: propagators.split(',').any(|name| name.trim() == "xray-lambda"),
            telemetry_types: telemetry_types(&mut reader, output.direct.is_some()),
            lines: lines(&mut reader),
            names: reader.choice(
                shared::LAMBDA_OTLP_NAMES,
                &[("current", Names::Current), ("legacy", Names::Legacy)],
                Names::Current,
            ),
            shape: reader.choice(
                shared::LAMBDA_OTLP_BACKEND,
                &[("openobserve", Shape::OpenObserve), ("otlp", Shape::Otlp)],
                Shape::OpenObserve,
            ),
            service_name: reader
                .read(shared::OTEL_SERVICE_NAME)
                .unwrap_or_else(|| function.name.clone()),
            function,
            log_level: reader.choice(
                shared::LAMBDA_OTLP_LOG_LEVEL,
                &[
                    ("error", Level::ERROR),
                    ("warn", Level::WARN),
                    ("info", Level::INFO),
                    ("debug", Level::DEBUG),
                ],
                Level::WARN,
            ),
            output,
            warnings: reader.warnings().to_vec(),
            mistakes: reader.finish(),
        }
    }

    /// Returns all problems of the variables in one line; mostly empty.
    pub(crate) fn complaint(&self) -> String {
        let mut parts: Vec<String> = self.warnings.iter().map(ToString::to_string).collect();
        parts.extend(self.mistakes.iter().map(ToString::to_string));
        parts.join("; ")
    }

    pub fn is_in_lambda(&self) -> bool {
        !self.runtime_api.is_empty()
    }

    /// Returns the port of OTLP over gRPC. If the receiver's port is not the default, another extension may use the default ports.
    pub(crate) fn grpc_port(&self) -> Option<u16> {
        (self.receiver_port == DEFAULT_RECEIVER_PORT).then_some(DEFAULT_GRPC_PORT)
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.output.direct.is_some()
    }
}

const MIB: usize = 1024 * 1024;
/// The bytes of received OTLP that may be in memory at a time. A request is in memory up to three times, and the extension must stay
/// below 64 MB.
pub(crate) const RECEIVED_BYTES: usize = 8 * MIB;
/// The largest send buffer. Requests in flight are in memory twice, besides received ones.
const MAX_BUFFER_BYTES: usize = 8 * MIB;
/// Lambda's smallest function.
const DEFAULT_MEMORY_MIB: usize = 128;

impl Function {
    /// Returns the default size of the send buffer in bytes: a thirty-second of the function's memory, from 1 to 8 MiB.
    pub(crate) fn buffer_bytes(&self) -> usize {
        (self.memory_mib.unwrap_or(DEFAULT_MEMORY_MIB) / 32 * MIB).clamp(MIB, MAX_BUFFER_BYTES)
    }
}

fn receiver_port(reader: &mut Reader<'_>, otel_endpoint: Option<&str>) -> Option<u16> {
    let of_endpoint = match otel_endpoint.map(endpoint) {
        Some(Endpoint::Loopback(port)) => Some(port.unwrap_or(DEFAULT_RECEIVER_PORT)),
        _ => None,
    };
    let Some(asked) = reader.read(RECEIVER_PORT) else { return of_endpoint };
    match u16::try_from(asked) {
        Ok(port) if port > 0 => Some(port),
        _ => {
            reader.mistake(RECEIVER_PORT, "outside 1 to 65535");
            of_endpoint
        }
    }
}

fn receiver_port_known_to(
    reader: &Reader<'_>,
    source: &dyn Source,
    receiver_port: Option<u16>,
) -> PortKnownTo {
    // These variables gave the function's SDK the default port.
    let is_here = |url: String| matches!(endpoint(&url), Endpoint::Loopback(_));
    let sdk_has_endpoint =
        OTEL_SIGNAL_ENDPOINTS.iter().any(|name| source.get(name).is_some_and(is_here));
    match receiver_port {
        Some(_) if reader.name_as_given(RECEIVER_PORT) != RECEIVER_PORT.name() => {
            PortKnownTo::Extension
        }
        None if !sdk_has_endpoint => PortKnownTo::Nobody,
        _ => PortKnownTo::All,
    }
}

fn invocation_span(reader: &mut Reader<'_>) -> InvocationSpanMode {
    let is_disabled =
        reader.choice(variables::SDK_DISABLED, &[("true", true), ("false", false)], false);
    let default = if is_disabled { InvocationSpanMode::Never } else { InvocationSpanMode::Auto };
    let modes = [
        ("auto", InvocationSpanMode::Auto),
        ("always", InvocationSpanMode::Always),
        ("never", InvocationSpanMode::Never),
    ];
    reader.choice_if_set(variables::INVOCATION_SPAN.if_set(), &modes).unwrap_or(default)
}

fn span_mapping(reader: &mut Reader<'_>) -> SpanMapping {
    let mappings =
        [("span_events", SpanMapping::SpanEvents), ("child_spans", SpanMapping::ChildSpans)];
    let own = shared::LAMBDA_OTLP_SPAN_MAPPING.if_set();
    let setting = if reader.is_set(own) { own } else { shared::O2_SPAN_MAPPING_STRATEGY };
    reader.choice_if_set(setting, &mappings).unwrap_or(SpanMapping::SpanEvents)
}

fn telemetry_types(reader: &mut Reader<'_>, is_direct: bool) -> Vec<&'static str> {
    let mut types = Vec::new();
    let text = reader.read(variables::TELEMETRY_TYPES).unwrap_or_default();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match ["platform", "function", "extension"].into_iter().find(|known| *known == word) {
            Some(known) if types.contains(&known) => {}
            Some(known) => types.push(known),
            None => {
                reader.mistake(
                    variables::TELEMETRY_TYPES,
                    "names a type that is not platform, function or extension",
                );
            }
        }
    }
    if types.is_empty() {
        types.push("platform");
        if is_direct {
            types.push("function");
        }
    }
    types
}

fn lines(reader: &mut Reader<'_>) -> LineFormat {
    const LINE_BYTES: RangeInclusive<usize> = 1024..=250 * 1024;
    let max_bytes = reader.read(shared::LAMBDA_OTLP_MAX_LINE_BYTES);
    let given_level = reader.read(shared::OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL);
    let level_name = shared::OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL.name();
    let level = within(reader, level_name, given_level, &(0..=9));
    let format = reader.read(variables::LOG_FORMAT).unwrap_or_default();
    let log_level = reader.read(variables::LAMBDA_LOG_LEVEL);
    LineFormat {
        is_compact: reader.choice(
            shared::LAMBDA_OTLP_LINE,
            &[("standard", false), ("compact", true)],
            false,
        ),
        max_bytes: within(
            reader,
            shared::LAMBDA_OTLP_MAX_LINE_BYTES.name(),
            max_bytes,
            &LINE_BYTES,
        ),
        compression_level: u32::try_from(level).unwrap_or(9),
        // Lambda's log filter takes a line without a level for INFO.
        json_level: format
            .eq_ignore_ascii_case("json")
            .then(|| log_level.unwrap_or_else(|| "INFO".to_owned())),
    }
}

/// Returns the value, or the nearer end of the range.
fn within(
    reader: &mut Reader<'_>,
    name: &str,
    value: usize,
    range: &RangeInclusive<usize>,
) -> usize {
    if !range.contains(&value) {
        let least = range.start();
        let most = range.end();
        reader.mistake(name, format!("outside {least} to {most}, the nearer end is used"));
    }
    value.clamp(*range.start(), *range.end())
}

fn function(reader: &mut Reader<'_>) -> Function {
    let initialization = reader.read(variables::INITIALIZATION_TYPE);
    let memory = reader.read(variables::MEMORY_SIZE);
    Function {
        name: reader
            .read(shared::AWS_LAMBDA_FUNCTION_NAME)
            .unwrap_or_else(|| "unknown_service".to_owned()),
        version: reader.read(variables::FUNCTION_VERSION),
        region: reader.read(aws::REGION),
        memory_mib: memory.and_then(|text| text.parse().ok()),
        is_managed_instance: initialization.as_deref() == Some("lambda-managed-instances"),
    }
}

#[cfg(test)]
mod tests;
