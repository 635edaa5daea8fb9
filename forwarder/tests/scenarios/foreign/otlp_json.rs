//! OTLP/JSON from examples and tests of other projects, converted without loss.

use super::{check_all, delivery, forwarded, same};
use crate::support::incoming;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::{Value as Json, json};
use wire::{Limits, Logs, Metrics, Traces, read_line};

/// The decoded line as structs of opentelemetry-proto.
#[derive(Debug, Default, PartialEq)]
struct Decoded {
    traces: Vec<ExportTraceServiceRequest>,
    metrics: Vec<ExportMetricsServiceRequest>,
    logs: Vec<ExportLogsServiceRequest>,
}

fn decoded(line: &str) -> Result<Decoded, String> {
    let reading = read_line(line, &Limits::default()).ok_or("is no OTLP line")?;
    if let Some(line) = reading.undecodable.first() {
        return Err(line.reason.to_string());
    }
    let mut decoded = Decoded::default();
    for request in reading.decoded.into_iter().map(|line| line.request) {
        decoded.traces.extend(request.decode::<Traces>().map(Result::unwrap));
        decoded.metrics.extend(request.decode::<Metrics>().map(Result::unwrap));
        decoded.logs.extend(request.decode::<Logs>().map(Result::unwrap));
    }
    Ok(decoded)
}

/// Decodes OTLP/JSON with opentelemetry-proto's serde.
fn expected(json: &Json) -> Result<Decoded, String> {
    fn read<T: serde::de::DeserializeOwned>(json: &Json) -> Result<T, String> {
        serde_json::from_value(json.clone()).map_err(|error| error.to_string())
    }
    let mut expected = Decoded::default();
    if json.get("resourceSpans").is_some() {
        expected.traces.push(read(json)?);
    } else if json.get("resourceMetrics").is_some() {
        expected.metrics.push(read(json)?);
    } else {
        expected.logs.push(read(json)?);
    }
    Ok(expected)
}

#[test]
fn otlp_json_of_other_writers_is_decoded_completely() {
    check_all(
        "foreign-otlp-json.jsonl",
        |_| true,
        31,
        |case| {
            let line = case["line"].as_str().unwrap();
            let want = match case.get("want") {
                Some(want) => want.clone(),
                None => serde_json::from_str(line).unwrap(),
            };
            same("decoded", &decoded(line)?, &expected(&want)?)?;
            let forwarded = forwarded(incoming(&delivery(&json!([line]))), &[]);
            let ledger = forwarded.report.ledger();
            same("lost", &ledger.lost(), &0)?;
            same("undecodable", &ledger.items.undecodable, &0)
        },
    );
}
