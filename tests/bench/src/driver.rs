//! Exports invocations and says how long each export took; compiled once for each SDK.
//!
//! Arguments: service, spans an invocation, invocations. On stdout: the lines that the exporter wrote, then `nanos` and the
//! nanoseconds of each export.

use super::sdk;
use super::span_data::{resource, scope, span_data};
use anyhow::{Context as _, bail};
use lambda_otlp_bench::Service;
use sdk::trace::{SpanData, SpanExporter};
use std::fmt::Write as _;
use std::io::Write as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Runs the exporter by the arguments; `take_lines` returns its output.
pub(crate) fn run(
    mut exporter: impl SpanExporter,
    take_lines: impl FnOnce() -> anyhow::Result<Vec<String>>,
) -> anyhow::Result<()> {
    let [service, spans, invocations] = arguments()?;
    let service = Service::new(service);
    exporter.set_resource(&resource(&service));
    let scope = scope();
    // All are made before the first is exported, so that nothing is allocated between two exports.
    let batches: Vec<Vec<SpanData>> = (0..invocations)
        .map(|number| service.invocation(number, spans))
        .map(|batch| batch.into_iter().map(|span| span_data(span, &scope)).collect())
        .collect();
    let mut nanos = String::from("nanos");
    for batch in batches {
        let start = Instant::now();
        let result = at_once(exporter.export(batch))?;
        let took = start.elapsed().as_nanos();
        result?;
        write!(nanos, " {took}")?;
    }
    let mut stdout = std::io::stdout().lock();
    for line in take_lines()? {
        writeln!(stdout, "{line}")?;
    }
    writeln!(stdout, "{nanos}")?;
    Ok(())
}

fn arguments() -> anyhow::Result<[u64; 3]> {
    let numbers: Result<Vec<u64>, _> = std::env::args().skip(1).map(|text| text.parse()).collect();
    let numbers = numbers.context("an argument is no number")?;
    let Ok(numbers) = numbers.try_into() else {
        bail!("three arguments: service, spans, invocations");
    };
    Ok(numbers)
}

/// Both exporters finish within the first poll; a runtime would be measured with them.
fn at_once<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Ok(result),
        Poll::Pending => bail!("the export waits for something"),
    }
}
