//! Exports invocations and says how long each export took; compiled once for each SDK, as `api` and `sdk`.
//!
//! Arguments: service, spans an invocation, invocations to prepare, invocations to export. On stdout: the lines that
//! the exporter wrote, then `nanos` and the nanoseconds of each export.

use super::{api, sdk};
use anyhow::{Context as _, bail};
use api::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use api::{InstrumentationScope, KeyValue, Value};
use lambda_otlp_bench::{Attribute, AttributeValue, Kind, Service, Span};
use sdk::Resource;
use sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks};
use std::fmt::Write as _;
use std::io::Write as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Runs the exporter as the arguments say; `take_lines` gives what it wrote.
pub(crate) fn run(
    mut exporter: impl SpanExporter,
    take_lines: impl FnOnce() -> anyhow::Result<Vec<String>>,
) -> anyhow::Result<()> {
    let [service, spans, prepared, to_export] = arguments()?;
    let service = Service::new(service);
    let resource =
        Resource::builder_empty().with_attributes(service.resource().into_iter().map(key_value));
    exporter.set_resource(&resource.build());
    let scope = InstrumentationScope::builder("bench").with_version("1.2.3").build();
    // All are made before the first is exported, however many are: so the instructions of two runs differ by exports.
    let batches: Vec<Vec<SpanData>> = (0..prepared)
        .map(|number| service.invocation(number, spans))
        .map(|batch| batch.into_iter().map(|span| span_data(span, &scope)).collect())
        .collect();
    let mut nanos = String::from("nanos");
    let mut left = Vec::new();
    for (batch, number) in batches.into_iter().zip(0..) {
        if number >= to_export {
            left.push(batch);
            continue;
        }
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

fn arguments() -> anyhow::Result<[u64; 4]> {
    let numbers: Result<Vec<u64>, _> = std::env::args().skip(1).map(|text| text.parse()).collect();
    let numbers = numbers.context("an argument is no number")?;
    let Ok(numbers) = numbers.try_into() else {
        bail!("four arguments: service, spans, invocations to prepare, invocations to export");
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

fn span_data(span: Span, scope: &InstrumentationScope) -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(span.trace_id.to_be_bytes()),
            SpanId::from_bytes(span.span_id.to_be_bytes()),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: SpanId::from_bytes(span.parent_span_id.to_be_bytes()),
        parent_span_is_remote: false,
        span_kind: match span.kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        },
        name: span.name.into(),
        start_time: UNIX_EPOCH + Duration::from_nanos(span.start_unix_nanos),
        end_time: UNIX_EPOCH + Duration::from_nanos(span.end_unix_nanos),
        attributes: span.attributes.into_iter().map(key_value).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if span.is_error { Status::error("internal error") } else { Status::Unset },
        instrumentation_scope: scope.clone(),
    }
}

fn key_value(attribute: Attribute) -> KeyValue {
    let value: Value = match attribute.value {
        AttributeValue::Text(text) => text.into(),
        AttributeValue::Integer(integer) => integer.into(),
    };
    KeyValue::new(attribute.key, value)
}
