//! One of two extensions beside the same function, and where the spans are that it acknowledged.

use crate::register::memory;
use crate::table::cpu_ms;
use lambda_otlp_tests::stories::states::End;
use lambda_otlp_tests::stories::{Program, Story, body};
use simulator::FunctionSpec;
use simulator::sink::Sink;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

/// The scope of the function's own spans.
const SCOPE: &str = "the function";

/// One extension, and how it is told where to send.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    program: Program,
    /// Names of its variables, and their values; `ENDPOINT` stands for the backend's.
    direct: &'static [(&'static str, &'static str)],
}

/// Ours, and the peer's.
pub(crate) fn both(ours: PathBuf, peer: PathBuf) -> [Side; 2] {
    let program = |extension| Program { extension, function: crate::FUNCTION };
    let direct = &[("LAMBDA_OTLP_OUTPUT", "otlp"), ("LAMBDA_OTLP_ENDPOINT", "ENDPOINT")];
    let peers = &[("LAMBDA_OTEL_EXPORTER_ENDPOINT", "ENDPOINT")];
    [
        Side { name: "ours", program: program(ours), direct },
        Side { name: "peer's", program: program(peer), direct: peers },
    ]
}

/// What an environment came to.
pub(crate) struct Account {
    /// How long each invocation was kept when its handler had ended.
    pub(crate) kept: Vec<Duration>,
    pub(crate) acknowledged: usize,
    /// Of these, at the backend and in lines of the log.
    pub(crate) delivered: usize,
    pub(crate) written: usize,
    /// Acknowledged, and in neither.
    pub(crate) lost: usize,
    /// The bodies of log records at the backend, and of those in lines of the log.
    pub(crate) bodies: [BTreeSet<String>; 2],
    /// Of the extension, before its end.
    pub(crate) cpu_ms: f64,
    pub(crate) peak_kib: f64,
}

impl Side {
    /// A function of 128 MB with this extension, which sends to the backend if there is one.
    pub(crate) async fn begin(&self, sink: Option<&Sink>, more: &[(&str, &str)]) -> Story {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.map(|address| address.port().to_string()).unwrap_or_default();
        let change = |spec: FunctionSpec| {
            let mut spec = spec
                // Each extension knows the port under a name of its own.
                .env("OTEL_LAMBDA_RECEIVER_PORT", &port)
                .env("LAMBDA_OTEL_RECEIVER_HTTP_PORT", &port);
            if let Some(sink) = sink {
                for (name, value) in self.direct {
                    spec = spec.env(*name, value.replace("ENDPOINT", sink.base()));
                }
            }
            more.iter().fold(spec, |spec, (name, value)| spec.env(*name, *value))
        };
        Story::with(&self.program, change).await
    }

    /// Ends the environment.
    pub(crate) async fn end(&self, story: Story, sink: Option<&Sink>) -> anyhow::Result<Account> {
        let kept = story.invocations().iter().map(|(_, known)| known.post_runtime).collect();
        let environments = story.lambda.environments("f");
        let pids: Vec<_> = environments
            .iter()
            .flat_map(|known| &known.extensions)
            .map(|known| known.pid)
            .collect();
        let mut peak_kib: f64 = 0.0;
        for pid in pids {
            peak_kib = peak_kib.max(memory(pid, "status", "VmHWM:")?);
        }
        let cpu_ms = cpu_ms(&story);
        let log = story.end(End::Shutdown).await;
        let spans = sink.map(Sink::spans).unwrap_or_default();
        let records = sink.map(Sink::log_records).unwrap_or_default();
        let own = spans.iter().filter(|span| span.scope.name == SCOPE);
        let ids = own.filter_map(|span| {
            Some(u64::from_be_bytes(span.item.span_id.clone().try_into().ok()?))
        });
        let delivered: BTreeSet<u64> = ids.collect();
        // Those that are not in the log once are at the backend, or lost.
        let is_lost = |id: &&u64| !delivered.contains(id) && !log.own.contains_key(id);
        Ok(Account {
            kept,
            acknowledged: log.acknowledged,
            delivered: delivered.len(),
            written: log.own.len(),
            lost: log.wrong.iter().filter(is_lost).count(),
            bodies: [
                records.iter().map(|record| body(&record.item)).collect(),
                log.records.into_iter().collect(),
            ],
            cpu_ms,
            peak_kib,
        })
    }
}
