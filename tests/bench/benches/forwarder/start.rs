//! Time from the start of the forwarder's process to its first request for an invocation, in the simulated Lambda.

use anyhow::Context as _;
use simulator::{FunctionSpec, Lambda};
use std::path::Path;
use std::time::Duration;

/// The shortest of several starts, without secrets and without a listener at the endpoint.
pub(crate) fn shortest_start(forwarder: &Path, starts: u32) -> anyhow::Result<Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let lambda = Lambda::start().await?;
        let mut shortest = None;
        for number in 0..starts {
            let name = format!("forwarder-{number}");
            let function = FunctionSpec::new(&name, forwarder)
                .env("LAMBDA_OTLP_ENDPOINT", "http://127.0.0.1:9/api/default")
                .env("LAMBDA_OTLP_HEADERS", "authorization=Basic dXNlcjpwYXNzd29yZA==");
            lambda.create_function(function)?;
            // No event of any source: it is refused after the start.
            let invocation = lambda.invoke(&name, b"{}").await?;
            let took = invocation.init_duration.context("no start was measured")?;
            shortest = Some(shortest.map_or(took, |shortest: Duration| shortest.min(took)));
        }
        lambda.shut_down().await;
        shortest.context("no start")
    })
}
