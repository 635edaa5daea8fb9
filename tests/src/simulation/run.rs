//! A function with the layer in a local Lambda, and the outcome.

use super::Program;
use super::states::{AMPLE, Around, End, State, Step};
use local_lambda::{FunctionSpec, Invocation, InvocationResult, Lambda, binaries, free_port};
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use tempfile::TempDir;
use test_support::Logged;

pub(super) const SCOPE: &str = "the function";
pub const TRACE: [u8; 16] = [5; 16];
pub const ROOT: [u8; 8] = [6; 8];

pub use local_lambda::binaries::EXTENSION;

/// One function, with the extension beside it or without.
pub struct Simulation {
    pub lambda: Lambda,
    directory: TempDir,
    invocations: Vec<(&'static str, Invocation)>,
    /// The listeners on busy ports, which end with the simulation.
    _busy: Vec<TcpListener>,
}

#[derive(Debug, Default)]
pub struct Log {
    /// How often each span of the function is in the log, by its id.
    pub own: BTreeMap<u64, usize>,
    /// The extension's spans.
    pub made: Vec<Span>,
    /// The number of points or measured values of each metric.
    pub points: BTreeMap<String, u64>,
    pub records: Vec<String>,
    pub sums: BTreeMap<String, f64>,
    /// All lines other than OTLP.
    pub text: Vec<String>,
    pub otlp_lines: usize,
    /// How many of these say that no backend took them.
    pub spilled_lines: usize,
    /// The ids of the spans that the extension acknowledged.
    pub acknowledged: Vec<u64>,
    /// The ids that are not in the log exactly once.
    pub wrong: Vec<u64>,
}

impl Simulation {
    pub async fn of(program: &Program, state: &State, with_layer: bool) -> Self {
        let busy = match state.around {
            Around::BusyPort => vec![TcpListener::bind("127.0.0.1:0").unwrap()],
            Around::BusyDefaultPorts => busy_default_ports(),
            _ => Vec::new(),
        };
        let port = match state.around {
            Around::BusyPort => busy.first().map(port_of),
            // With the layer, the function gets no port. Without it, the owner of 4318 would not answer.
            Around::BusyDefaultPorts => (!with_layer).then(free_port),
            _ => Some(free_port()),
        };
        Self::begin(program, with_layer, busy, port, |spec| {
            let plain = spec
                .timeout(state.timeout)
                .initialization(state.initialization)
                .unpublished(state.unpublished);
            let in_state = match state.around {
                Around::LargeEvents => {
                    large_events().into_iter().fold(plain, FunctionSpec::telemetry_event)
                }
                Around::Subscription(status) => plain.subscription_status(status),
                Around::Nothing | Around::BusyPort | Around::BusyDefaultPorts => plain,
            };
            state.variables.iter().fold(in_state, |spec, (name, value)| spec.env(*name, *value))
        })
        .await
    }

    /// A function with the layer, changed by `change`.
    pub async fn with(
        program: &Program,
        change: impl FnOnce(FunctionSpec) -> FunctionSpec,
    ) -> Self {
        Self::begin(program, true, Vec::new(), Some(free_port()), |spec| {
            change(spec.timeout(AMPLE))
        })
        .await
    }

    async fn begin(
        program: &Program,
        with_layer: bool,
        busy: Vec<TcpListener>,
        port: Option<u16>,
        change: impl FnOnce(FunctionSpec) -> FunctionSpec,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let layer = binaries::layer(directory.path(), &program.extension).unwrap();
        let acknowledged = directory.path().join("acknowledged");
        let mut spec = FunctionSpec::new("f", std::env::current_exe().unwrap())
            .init_timeout(AMPLE)
            .env("ACKNOWLEDGED", acknowledged.to_str().unwrap())
            .env("HANGING", directory.path().join("hanging").to_str().unwrap());
        if let Some(port) = port {
            spec = spec.env("OTEL_LAMBDA_RECEIVER_PORT", port.to_string());
        }
        for argument in program.function {
            spec = spec.argument(*argument);
        }
        if with_layer {
            spec = spec.layer(layer);
        }
        let lambda = Lambda::start().await.unwrap();
        lambda.create_function(change(spec)).unwrap();
        Self { lambda, directory, invocations: Vec::new(), _busy: busy }
    }

    /// Does a step; a pause is the caller's.
    pub async fn step(&mut self, step: &Step) {
        match step {
            Step::Invoke { label, payload } => {
                let invocation = self.lambda.invoke("f", payload.to_string()).await.unwrap();
                self.invocations.push((*label, invocation));
            }
            Step::Together { label, payload, invocations } => {
                let payload = payload.to_string();
                let begin = |_| self.lambda.begin_invocation("f", &payload).unwrap();
                let running: Vec<_> = (0..*invocations).map(begin).collect();
                for running in running {
                    self.invocations.push((*label, running.finished().await.unwrap()));
                }
            }
            Step::ExhaustMemory { label, payload } => {
                let mut invocation =
                    self.lambda.begin_invocation("f", payload.to_string()).unwrap();
                let hangs = async {
                    while !self.directory.path().join("hanging").exists() {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    () = hangs => {}
                    result = invocation.result() => panic!("it does not hang: {result:?}"),
                }
                assert_eq!(self.lambda.exhaust_memory("f"), 1);
                self.invocations.push((*label, invocation.finished().await.unwrap()));
            }
            Step::Pause(_) => {}
        }
    }

    pub async fn invoke(&mut self, payload: Value) {
        self.step(&Step::Invoke { label: "", payload }).await;
    }

    pub fn invocations(&self) -> &[(&'static str, Invocation)] {
        &self.invocations
    }

    /// How each invocation ended, in a form that has no times in it.
    pub fn results(&self) -> Vec<String> {
        let result = |invocation: &Invocation| match &invocation.result {
            InvocationResult::Response(body) => String::from_utf8_lossy(body).into_owned(),
            InvocationResult::FunctionError { error_type, .. } => format!("error {error_type}"),
            InvocationResult::Timeout => "timeout".to_owned(),
            InvocationResult::Crash { .. } => "crash".to_owned(),
        };
        self.invocations.iter().map(|(_, invocation)| result(invocation)).collect()
    }

    pub async fn end(self, how: End) -> Log {
        match how {
            End::Shutdown => self.lambda.recycle("f").await.unwrap(),
            End::Killed => self.lambda.kill_idle("f").await.unwrap(),
        };
        let mut log = Log::default();
        for event in self.lambda.log_events("f") {
            log.add(&event.message);
        }
        let acknowledged =
            std::fs::read_to_string(self.directory.path().join("acknowledged")).unwrap_or_default();
        for id in acknowledged.lines().map(|id| id.parse().unwrap()) {
            log.acknowledged.push(id);
            if log.own.get(&id) != Some(&1) {
                log.wrong.push(id);
            }
        }
        self.lambda.shut_down().await;
        log
    }
}

impl Log {
    fn add(&mut self, message: &str) {
        let Some(reading) = wire::read_line(message, &wire::Limits::default()) else {
            self.text.push(message.to_owned());
            return;
        };
        assert!(reading.undecodable.is_empty() && reading.text.is_none(), "{reading:?}");
        self.otlp_lines += 1;
        self.spilled_lines += usize::from(message.contains("\"spill\":true"));
        let mut logged = Logged::default();
        logged.add(&reading.decoded);
        for (scope, span) in logged.spans {
            if scope == SCOPE {
                let id = u64::from_be_bytes(span.span_id.try_into().unwrap());
                *self.own.entry(id).or_default() += 1;
            } else {
                self.made.push(span);
            }
        }
        self.records.extend(logged.records.iter().map(body));
        for metric in logged.metrics {
            let points = match metric.data.unwrap() {
                Data::Histogram(data) => data.data_points.iter().map(|point| point.count).sum(),
                Data::Sum(data) => {
                    for point in &data.data_points {
                        *self.sums.entry(described(&metric.name, point)).or_default() +=
                            number(point);
                    }
                    1
                }
                _ => 1,
            };
            *self.points.entry(metric.name).or_default() += points;
        }
    }

    /// Invocations that a span was made for: kind, and status.
    pub fn spans(&self) -> Vec<String> {
        let describe = |span: &Span| {
            let kind = if span.kind == 2 { "server" } else { "internal" };
            let status = match span.status.as_ref().map_or(0, |status| status.code) {
                0 => "unset",
                1 => "ok",
                _ => "error",
            };
            format!("{kind} {status}")
        };
        self.made.iter().map(describe).collect()
    }

    pub fn has_text(&self, part: &str) -> bool {
        self.text.iter().any(|line| line.contains(part))
    }
}

pub fn body(record: &LogRecord) -> String {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        _ => String::new(),
    }
}

/// The name of a metric, and the text of the point's attribute if it has one.
fn described(name: &str, point: &NumberDataPoint) -> String {
    let text = point.attributes.iter().find_map(|attribute| {
        match attribute.value.as_ref()?.value.as_ref()? {
            any_value::Value::StringValue(text) => Some(text.as_str()),
            _ => None,
        }
    });
    text.map_or_else(|| name.to_owned(), |text| format!("{name} {text}"))
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        Some(number_data_point::Value::AsInt(value)) => f64::from(u32::try_from(value).unwrap()),
        None => 0.0,
    }
}

/// Events of Lambda of a mebibyte each: an unknown one, and a loss.
fn large_events() -> [String; 2] {
    let text = "x".repeat(1 << 20);
    let event = |kind: &str, record: Value| {
        json!({ "time": "2026-09-21T14:13:20.123Z", "type": kind, "record": record }).to_string()
    };
    let lost = json!({ "droppedRecords": 7, "droppedBytes": 70, "reason": text });
    [event("platform.hibernated", json!({ "text": text })), event("platform.logsDropped", lost)]
}

/// Occupies the default ports. A port that is taken already serves as well.
fn busy_default_ports() -> Vec<TcpListener> {
    [4317, 4318, 8080].into_iter().flat_map(|port| TcpListener::bind(("127.0.0.1", port))).collect()
}

fn port_of(listener: &TcpListener) -> u16 {
    listener.local_addr().unwrap().port()
}
