//! One of two extensions beside the same function, and where the spans are that it acknowledged.

use crate::register::memory_kib;
use lambda_otlp_tests::stories::states::End;
use lambda_otlp_tests::stories::{Program, Story};
use local_lambda::FunctionSpec;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;
use test_support::openobserve::Sink;

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

pub(crate) struct Account {
    /// The hold time of each invocation.
    pub(crate) held: Vec<Duration>,
    pub(crate) acknowledged: usize,
    pub(crate) lost: usize,
    pub(crate) peak_kib: f64,
}

impl Side {
    /// A function of 128 MB with this extension, which sends to the backend if there is one.
    pub(crate) async fn begin(&self, sink: Option<&Sink>) -> Story {
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
            spec
        };
        Story::with(&self.program, change).await
    }

    pub(crate) async fn end(&self, story: Story, sink: Option<&Sink>) -> anyhow::Result<Account> {
        let held = story.invocations().iter().map(|(_, known)| known.post_runtime).collect();
        let environments = story.lambda.environments("f");
        let mut peak_kib: f64 = 0.0;
        for extension in environments.iter().flat_map(|known| &known.extensions) {
            peak_kib = peak_kib.max(memory_kib(extension.pid, "VmHWM:")?);
        }
        let log = story.end(End::Shutdown).await;
        let spans = sink.map(Sink::spans).unwrap_or_default();
        let own = spans.iter().filter(|span| span.scope.name == SCOPE);
        let ids = own.filter_map(|span| {
            Some(u64::from_be_bytes(span.item.span_id.clone().try_into().ok()?))
        });
        let delivered: BTreeSet<u64> = ids.collect();
        // Ids that are not in the log once are at the backend, or lost.
        let is_lost = |id: &&u64| !delivered.contains(id) && !log.own.contains_key(id);
        let lost = log.wrong.iter().filter(is_lost).count();
        Ok(Account { held, acknowledged: log.acknowledged, lost, peak_kib })
    }
}
