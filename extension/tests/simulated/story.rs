//! A function with the layer in a local Lambda, and what came of it.

use crate::function;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;
use simulator::{FunctionSpec, Invocation, Lambda, Outcome};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;
use tempfile::TempDir;
use wire::{Metrics, Traces};

/// The scope of the function's own spans.
pub(crate) const SCOPE: &str = "the function";
pub(crate) const TRACE: [u8; 16] = [5; 16];
pub(crate) const ROOT: [u8; 8] = [6; 8];

/// Long enough for every machine: nothing that a test waits for takes it up.
pub(crate) const AMPLE: Duration = Duration::from_mins(1);
/// Short, for functions that are to time out.
pub(crate) const SHORT: Duration = Duration::from_secs(1);

/// One function, with the extension beside it or without.
pub(crate) struct Story {
    pub(crate) lambda: Lambda,
    directory: TempDir,
    invocations: Vec<Invocation>,
}

/// What the log holds at the end.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Ids of the function's own spans, and how often each is there.
    pub(crate) own: BTreeMap<u64, usize>,
    /// Spans that the extension made.
    pub(crate) made: Vec<Span>,
    /// Data points that the extension made, by metric.
    pub(crate) points: BTreeMap<String, u64>,
    /// All that is no OTLP.
    pub(crate) text: Vec<String>,
}

impl Story {
    pub(crate) async fn new(
        with_layer: bool,
        timeout: Duration,
        variables: &[(&str, &str)],
    ) -> Self {
        Self::told(with_layer, timeout, |spec| {
            variables.iter().fold(spec, |spec, (name, value)| spec.env(*name, *value))
        })
        .await
    }

    /// A function with the layer, and with what `change` says of it.
    pub(crate) async fn of(
        timeout: Duration,
        change: impl FnOnce(FunctionSpec) -> FunctionSpec,
    ) -> Self {
        Self::told(true, timeout, change).await
    }

    async fn told(
        with_layer: bool,
        timeout: Duration,
        change: impl FnOnce(FunctionSpec) -> FunctionSpec,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let extensions = directory.path().join("layer/extensions");
        std::fs::create_dir_all(&extensions).unwrap();
        let extension = env!("CARGO_BIN_EXE_lambda-otlp-extension");
        std::os::unix::fs::symlink(extension, extensions.join("lambda-otlp-extension")).unwrap();
        let acknowledged = directory.path().join("acknowledged");
        let mut spec = FunctionSpec::new("f", std::env::current_exe().unwrap())
            .argument(function::NAME)
            .argument("--exact")
            .argument("--nocapture")
            .timeout(timeout)
            .init_timeout(AMPLE)
            .env("ACKNOWLEDGED", acknowledged.to_str().unwrap())
            .env("HANGING", directory.path().join("hanging").to_str().unwrap())
            .env("OTEL_LAMBDA_RECEIVER_PORT", free_port().to_string());
        if with_layer {
            spec = spec.layer(directory.path().join("layer"));
        }
        let lambda = Lambda::start().await.unwrap();
        lambda.create_function(change(spec)).unwrap();
        Self { lambda, directory, invocations: Vec::new() }
    }

    pub(crate) async fn invoke(&mut self, payload: Value) -> &Invocation {
        let invocation = self.lambda.invoke("f", payload.to_string()).await.unwrap();
        self.invocations.push(invocation);
        self.invocations.last().unwrap()
    }

    /// Invokes the function, and exhausts its memory once it hangs.
    pub(crate) async fn run_out_of_memory(&mut self, payload: Value) {
        let invocation = self.lambda.begin_invocation("f", payload.to_string()).unwrap();
        while !self.directory.path().join("hanging").exists() {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.lambda.exhaust_memory("f"), 1);
        self.invocations.push(invocation.finished().await.unwrap());
    }

    /// How each invocation ended, in a form that has no times in it.
    pub(crate) fn results(&self) -> Vec<String> {
        let result = |invocation: &Invocation| match &invocation.outcome {
            Outcome::Response(body) => String::from_utf8_lossy(body).into_owned(),
            Outcome::FunctionError { error_type, .. } => format!("error {error_type}"),
            Outcome::Timeout => "timeout".to_owned(),
            Outcome::Crash { .. } => "crash".to_owned(),
        };
        self.invocations.iter().map(result).collect()
    }

    /// Ends the environment with SHUTDOWN, and reads its log. All that was acknowledged has to be there.
    pub(crate) async fn shut_down(self) -> Log {
        self.lambda.recycle("f").await.unwrap();
        self.read().await
    }

    /// Kills the environment where it is, with no SHUTDOWN.
    pub(crate) async fn kill(self) -> Log {
        self.lambda.kill_idle("f").await.unwrap();
        self.read().await
    }

    async fn read(self) -> Log {
        let mut log = Log::default();
        for event in self.lambda.log_events("f") {
            log.add(&event.message);
        }
        let acknowledged =
            std::fs::read_to_string(self.directory.path().join("acknowledged")).unwrap_or_default();
        for id in acknowledged.lines() {
            let id: u64 = id.parse().unwrap();
            assert_eq!(
                log.own.get(&id),
                Some(&1),
                "span {id} was acknowledged, its lines: {log:?}"
            );
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
        for line in reading.decoded {
            if let Some(request) = line.request.decode::<Traces>() {
                let scopes =
                    request.unwrap().resource_spans.into_iter().flat_map(|all| all.scope_spans);
                for scope in scopes {
                    let is_own = scope.scope.is_some_and(|scope| scope.name == SCOPE);
                    for span in scope.spans {
                        if is_own {
                            let id = u64::from_be_bytes(span.span_id.try_into().unwrap());
                            *self.own.entry(id).or_default() += 1;
                        } else {
                            self.made.push(span);
                        }
                    }
                }
            }
            if let Some(request) = line.request.decode::<Metrics>() {
                let scopes =
                    request.unwrap().resource_metrics.into_iter().flat_map(|all| all.scope_metrics);
                for metric in scopes.flat_map(|scope| scope.metrics) {
                    let points = match metric.data.unwrap() {
                        opentelemetry_proto::tonic::metrics::v1::metric::Data::Histogram(data) => {
                            data.data_points.iter().map(|point| point.count).sum()
                        }
                        _ => 1,
                    };
                    *self.points.entry(metric.name).or_default() += points;
                }
            }
        }
    }

    /// Invocations that a span was made for: kind, and status.
    pub(crate) fn spans(&self) -> Vec<String> {
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

    pub(crate) fn has_text(&self, part: &str) -> bool {
        self.text.iter().any(|line| line.contains(part))
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
