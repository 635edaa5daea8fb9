//! Drives the pipeline of serverless-otlp-forwarder-core of crates.io at gzip 9, its default for compression: the
//! event decoded by `aws_lambda_events` as in its README, each line an `ExporterOutput`, and an HTTP client that
//! keeps the body.

use anyhow::Context as _;
use async_trait::async_trait;
use aws_lambda_events::event::cloudwatch_logs::LogsEvent;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use lambda_otlp_bench::forward;
use otlp_stdout_span_exporter::ExporterOutput;
use serverless_otlp_forwarder_core::http_sender::{HttpForwarderResponse, HttpOtlpForwarderClient};
use serverless_otlp_forwarder_core::span_compactor::CompressionPreference;
use serverless_otlp_forwarder_core::{
    EventParser, SpanCompactionConfig, TelemetryData, process_event_batch,
};
use std::sync::Mutex;
use std::time::Duration;
use url::Url;

struct Lines;

impl EventParser for Lines {
    type EventInput = LogsEvent;

    /// Skips lines other than OTLP, as the peer's forwarder does.
    fn parse(&self, event: LogsEvent, _: &str) -> anyhow::Result<Vec<TelemetryData>> {
        let log_events = event.aws_logs.data.log_events.into_iter();
        log_events
            .filter_map(|event| serde_json::from_str::<ExporterOutput>(&event.message).ok())
            .map(TelemetryData::from_log_record)
            .collect()
    }
}

#[derive(Default)]
struct InMemory {
    bodies: Mutex<Vec<Bytes>>,
}

#[async_trait]
impl HttpOtlpForwarderClient for InMemory {
    async fn post_telemetry(
        &self,
        _: Url,
        _: HeaderMap,
        payload: Bytes,
        _: Duration,
    ) -> anyhow::Result<HttpForwarderResponse> {
        self.bodies.lock().map_err(|_| anyhow::anyhow!("poisoned"))?.push(payload);
        Ok(HttpForwarderResponse::new(StatusCode::OK, String::new()))
    }
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = InMemory::default();
    let config = SpanCompactionConfig {
        compression: CompressionPreference::Gzip,
        gzip_compression_level: 9,
    };
    forward::run(|event| {
        let event: LogsEvent = serde_json::from_slice(event).context("no event")?;
        runtime.block_on(process_event_batch(event, &Lines, "bench", &client, &config))?;
        let mut bodies = client.bodies.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        Ok(std::mem::take(&mut *bodies))
    })
}
