//! One of two extensions beside the same function, and where the spans are that it acknowledged.

use crate::register::memory;
use crate::table::cpu_ms;
use lambda_otlp_tests::stories::states::End;
use lambda_otlp_tests::stories::{Program, Story, body};
use serde_json::Value;
use simulator::sink::{ReceivedRequest, Sink};
use simulator::{DeliveredTelemetry, FunctionSpec, Invocation};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

const SCOPE: &str = "the function";

pub(crate) struct Side {
    pub(crate) name: &'static str,
    program: Program,
    /// Names of its variables, and their values; `ENDPOINT` stands for the backend's.
    direct: &'static [(&'static str, &'static str)],
}

pub(crate) fn both(ours: PathBuf, peer: PathBuf) -> [Side; 2] {
    let program = |extension| Program { extension, function: crate::FUNCTION };
    let direct = &[("LAMBDA_OTLP_OUTPUT", "otlp"), ("LAMBDA_OTLP_ENDPOINT", "ENDPOINT")];
    let peers = &[("LAMBDA_OTEL_EXPORTER_ENDPOINT", "ENDPOINT")];
    [
        Side { name: "ours", program: program(ours), direct },
        Side { name: "peer's", program: program(peer), direct: peers },
    ]
}

/// How long the environment was kept when the extension was told of the handler's end.
pub(crate) struct AfterReport {
    /// From when Lambda began to send its report to the call of `next`.
    pub(crate) kept: Duration,
    /// For how much of it the backend was at work: from the heads of requests to their answers.
    pub(crate) backend: Duration,
}

pub(crate) struct Account {
    pub(crate) kept: Vec<Duration>,
    /// The same of each; `None` where the extension had called `next` before it was told.
    pub(crate) after_report: Vec<Option<AfterReport>>,
    pub(crate) acknowledged: usize,
    pub(crate) delivered: usize,
    pub(crate) written: usize,
    pub(crate) lost: usize,
    /// The bodies of log records at the backend, and of those in lines of the log.
    pub(crate) bodies: [BTreeSet<String>; 2],
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

    pub(crate) async fn end(&self, story: Story, sink: Option<&Sink>) -> anyhow::Result<Account> {
        let kept = story.invocations().iter().map(|(_, known)| known.post_runtime).collect();
        let reports = story.lambda.telemetry_delivered();
        let requests = sink.map(Sink::requests).unwrap_or_default();
        let invocations = story.invocations().iter();
        let after_report =
            invocations.map(|(_, known)| after_report(known, &reports, &requests)).collect();
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
        // Ids that are not in the log once are at the backend, or lost.
        let is_lost = |id: &&u64| !delivered.contains(id) && !log.own.contains_key(id);
        Ok(Account {
            kept,
            after_report,
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

fn after_report(
    invocation: &Invocation,
    reports: &[DeliveredTelemetry],
    requests: &[ReceivedRequest],
) -> Option<AfterReport> {
    let is_its = |report: &&DeliveredTelemetry| {
        let event: Option<Value> = serde_json::from_str(&report.event).ok();
        report.kind == "platform.runtimeDone"
            && event.is_some_and(|event| event["record"]["requestId"] == invocation.request_id)
    };
    let (told, next) = (reports.iter().find(is_its)?.sent, invocation.ended);
    let kept = next.checked_duration_since(told)?;
    let mut at_work: Vec<(Instant, Instant)> = requests
        .iter()
        .map(|request| (request.begun.max(told), request.answered.unwrap_or(next).min(next)))
        .collect();
    at_work.sort();
    // Signals are sent side by side.
    let (mut backend, mut until) = (Duration::ZERO, told);
    for (begun, answered) in at_work {
        backend += answered.saturating_duration_since(begun.max(until));
        until = until.max(answered);
    }
    Some(AfterReport { kept, backend })
}
