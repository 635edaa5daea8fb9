//! dev7a's forwarder: each line parsed as the exporter's own struct, all of them compacted as one delivery.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp_stdout_span_exporter::ExporterOutput;
use prost::Message as _;
use serverless_otlp_forwarder_core::{
    SpanCompactionConfig, TelemetryData, compact_telemetry_payloads,
};
use std::error::Error;
use std::io;

pub(crate) fn read() -> Result<(), Box<dyn Error>> {
    let mut batch = Vec::new();
    for line in io::stdin().lines() {
        let output: ExporterOutput = serde_json::from_str(&line?)?;
        batch.push(TelemetryData::from_log_record(output)?);
    }
    let compacted = compact_telemetry_payloads(batch, &SpanCompactionConfig::default())?;
    let request = ExportTraceServiceRequest::decode(compacted.payload.as_slice())?;
    println!("{}", serde_json::to_string(&request)?);
    Ok(())
}
