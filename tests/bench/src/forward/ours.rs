//! Drives the forwarder, configured by its variables as in Lambda, with a transport that keeps the bodies.

use anyhow::{Context as _, anyhow, ensure};
use backend::{Client, HttpRequest, HttpResponse, Transport, TransportError};
use bytes::Bytes;
use forwarder::{Config, Event, Forwarder, InvocationContext, Queues, RuleSet, SqsQueue};
use http::HeaderMap;
use lambda_otlp_bench::forward;
use settings::Source as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use wire::SignalKind;

type Bodies = Arc<Mutex<Vec<(SignalKind, Bytes)>>>;

struct InMemory {
    bodies: Bodies,
}

impl Transport for InMemory {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.push((request.kind, request.body));
        Ok(HttpResponse { status: 200, headers: HeaderMap::new(), body: Bytes::new(), cut: false })
    }
}

fn main() -> anyhow::Result<()> {
    forwarder::keep_freed_memory();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = Config::from_source(&settings::Env).0?;
    let bodies = Bodies::default();
    let transport = InMemory { bodies: Arc::clone(&bodies) };
    let client = Client::with_transport(&config.destination, transport)?;
    let destination = forwarder::default_destination(&config, client);
    let options = forwarder::Options::of(&config);
    let destinations = vec![destination];
    let mut forwarder =
        Forwarder::new(destinations.clone(), Queues::<SqsQueue>::default(), options);
    if let Some(path) = settings::Env.get("LAMBDA_OTLP_RULES") {
        let text = std::fs::read_to_string(path).context("cannot read the rules")?;
        let rules = RuleSet::parse(&text).map_err(|mistakes| anyhow!("{mistakes}"))?;
        forwarder.set_rules(Arc::new(rules), destinations);
    }
    forward::run(|event| {
        let event: Event = serde_json::from_slice(event).context("no event")?;
        let invocation = InvocationContext {
            observed_unix_nano: 1_790_000_000_000_000_000,
            deadline: Instant::now() + Duration::from_secs(50),
            queue_deadline: Instant::now() + Duration::from_mins(1),
            account: None,
        };
        let report = runtime.block_on(forwarder.forward(event, &invocation));
        ensure!(report.is_complete(), "not complete: {report:?}");
        let mut bodies = bodies.lock().unwrap_or_else(PoisonError::into_inner);
        let traces = bodies.drain(..).filter(|(kind, _)| *kind == SignalKind::Traces);
        Ok(traces.map(|(_, body)| body).collect())
    })
}
