//! The forwarder, which gets the next event as soon as it answers.

use super::backend::{Backend, Differences};
use super::curve::{RateUnit, Sampling};
use super::report;
use super::telemetry::{self, Event};
use anyhow::{bail, ensure};
use local_lambda::{FunctionSpec, InvocationResult, Lambda, RunningInvocation, binaries};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(super) const FORWARDER: &str = "forwarder";

/// Deliveries of CloudWatch Logs.
pub(super) struct Load {
    name: &'static str,
    /// Environments that work at the same time.
    environments: usize,
    /// Log groups. Each has one event, and the forwarder gets the events in turn.
    log_groups: u32,
    /// Log lines of an event.
    lines: u32,
}

/// Large events.
pub(super) const ONE: Load =
    Load { name: "forwarder", environments: 1, log_groups: 16, lines: 6000 };
/// As for many small functions.
pub(super) const MANY: Load =
    Load { name: "100 environments of it", environments: 100, log_groups: 1000, lines: 120 };

/// A function for the forwarder with this backend.
pub(super) fn function(
    programs: &HashMap<String, PathBuf>,
    backend: &Backend,
) -> anyhow::Result<FunctionSpec> {
    let program = binaries::find(programs, "lambda-otlp-forwarder")?;
    let function = FunctionSpec::new(FORWARDER, program)
        .timeout(Duration::from_mins(1))
        .max_environments(MANY.environments);
    Ok(function.env("LAMBDA_OTLP_ENDPOINT", backend.endpoint()))
}

pub(super) async fn sustained(
    programs: &HashMap<String, PathBuf>,
    load: &Load,
    duration: Duration,
) -> anyhow::Result<()> {
    let backend = Backend::start().await?;
    let lambda = Arc::new(Lambda::start().await?);
    lambda.create_function(function(programs, &backend)?)?;
    let events: Vec<Event> =
        (0..load.log_groups).map(|index| telemetry::event(index, load.lines)).collect();
    let sent = Arc::new(AtomicU64::new(0));
    let sampling = Sampling::begin(Arc::clone(&sent), processes(&lambda));
    let start = Instant::now();
    let mut invocations = 0;
    while start.elapsed() < duration {
        let next = events.iter().cycle().skip(invocations % events.len()).take(load.environments);
        let begin = |event: &Event| Ok((event.bytes, begin(&lambda, &event.json)?));
        let running: Vec<_> = next.map(begin).collect::<anyhow::Result<_>>()?;
        for (bytes, running) in running {
            response(running).await?;
            sent.fetch_add(bytes, Ordering::Relaxed);
            invocations += 1;
        }
    }
    let curve = sampling.end(load.name, RateUnit::MEGABYTES)?;
    let environments = lambda.environments(FORWARDER).len();
    ensure!(environments == load.environments, "{environments} environments worked");
    check_log(&lambda)?;
    let mut differences = Differences::default();
    let mut items = 0;
    for (index, event) in events.iter().enumerate() {
        let times = invocations / events.len() + usize::from(index < invocations % events.len());
        differences += backend.differences(event.numbers.clone(), u32::try_from(times)?);
        items += times * event.numbers.len();
    }
    report(&curve, items, &differences)?;
    lambda.recycle(FORWARDER).await?;
    Ok(())
}

pub(super) fn begin(lambda: &Lambda, event: &str) -> anyhow::Result<RunningInvocation> {
    Ok(lambda.begin_invocation(FORWARDER, event)?)
}

pub(super) async fn response(running: RunningInvocation) -> anyhow::Result<Vec<u8>> {
    match running.finished().await?.result {
        InvocationResult::Response(response) => Ok(response.to_vec()),
        other => bail!("the forwarder failed: {other:?}"),
    }
}

/// The forwarder's processes.
pub(super) fn processes(lambda: &Arc<Lambda>) -> impl Fn() -> Vec<u32> + Send + 'static {
    let lambda = Arc::clone(lambda);
    move || {
        lambda.environments(FORWARDER).iter().filter_map(|environment| environment.pid).collect()
    }
}

fn check_log(lambda: &Lambda) -> anyhow::Result<()> {
    let log = lambda.log_events(FORWARDER);
    if let Some(event) = log.iter().find(|event| event.message.contains("\"ERROR\"")) {
        bail!("the forwarder: {}", event.message);
    }
    Ok(())
}
