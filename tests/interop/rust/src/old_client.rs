//! The older client below OpenTelemetry's OTLP exporters, with all three signals; OTEL_EXPORTER_OTLP_PROTOCOL and
//! OTEL_EXPORTER_OTLP_COMPRESSION choose one of its four payload forms.

#[path = "made.rs"]
mod made;
#[path = "orders.rs"]
mod orders;

use api::KeyValue;
use api::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use api::metrics::MeterProvider as _;
use api::trace::TracerProvider as _;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_028 as api;
use opentelemetry_http_028::{HttpClient, HttpError};
use opentelemetry_otlp_028::{
    LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk_028 as sdk;
use otlp_stdout_client::StdoutClient;
use sdk::Resource;
use sdk::error::OTelSdkResult;
use sdk::logs::SdkLoggerProvider;
use sdk::metrics::{PeriodicReader, SdkMeterProvider};
use sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};
use serde_json::json;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::runtime::Handle;

const SERVICE: &str = "orders-rust-old";
const SCOPE: &str = "orders/old";
const LOGGED_AT: Duration = Duration::from_nanos(1_790_000_000_123_456_789);

/// The older client, which needs tokio, for the SDK's own threads, which have none.
#[derive(Debug, Clone)]
struct Client {
    client: Arc<StdoutClient>,
    runtime: Handle,
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = Arc::clone(&self.client);
        self.runtime.spawn(async move { client.send_bytes(request).await }).await?
    }
}

#[derive(Debug)]
struct Made;

impl SpanProcessor for Made {
    fn on_start(&self, _span: &mut Span, _parent: &api::Context) {}

    fn on_end(&self, span: SpanData) {
        crate::note(&made::span(&span, SERVICE));
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown(&self) -> OTelSdkResult {
        Ok(())
    }
}

pub(crate) async fn write() -> Result<(), Box<dyn Error>> {
    let json = std::env::var("OTEL_EXPORTER_OTLP_PROTOCOL").is_ok_and(|name| name == "http/json");
    let protocol = if json { Protocol::HttpJson } else { Protocol::HttpBinary };
    let client = Client { client: Arc::new(StdoutClient::default()), runtime: Handle::current() };
    let resource = Resource::builder().with_service_name(SERVICE).build();

    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(protocol)
        .with_http_client(client.clone())
        .build()?;
    let tracers = SdkTracerProvider::builder()
        .with_span_processor(Made)
        .with_batch_exporter(exporter)
        .with_resource(resource.clone())
        .build();
    orders::take(&tracers.tracer(SCOPE));

    let exporter = LogExporter::builder()
        .with_http()
        .with_protocol(protocol)
        .with_http_client(client.clone())
        .build()?;
    let loggers = SdkLoggerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.clone())
        .build();
    log(&loggers);

    let exporter = MetricExporter::builder()
        .with_http()
        .with_protocol(protocol)
        .with_http_client(client)
        .build()?;
    let meters = SdkMeterProvider::builder()
        .with_reader(PeriodicReader::builder(exporter).build())
        .with_resource(resource)
        .build();
    measure(&meters);

    // These wait for the SDK's threads, which wait for this runtime.
    tokio::task::spawn_blocking(move || {
        tracers.shutdown()?;
        loggers.shutdown()?;
        meters.shutdown()
    })
    .await??;
    Ok(())
}

fn log(loggers: &SdkLoggerProvider) {
    let logger = loggers.logger(SCOPE);
    let mut record = logger.create_log_record();
    record.set_timestamp(UNIX_EPOCH + LOGGED_AT);
    record.set_severity_number(Severity::Warn);
    record.set_severity_text("WARN");
    record.set_body(AnyValue::from("the order is late"));
    record.add_attribute("minutes", 12);
    record.add_attribute("ratio", 0.5);
    logger.emit(record);
    crate::note(&json!({
        "signal": "log", "service": SERVICE, "scope": SCOPE,
        "time": LOGGED_AT.as_nanos().to_string(), "severity": 13, "text": "WARN",
        "body": "the order is late", "trace_id": "", "span_id": "",
        "attributes": {"minutes": 12, "ratio": 0.5},
    }));
}

fn measure(meters: &SdkMeterProvider) {
    let meter = meters.meter(SCOPE);
    let attributes = [KeyValue::new("kind", "book")];
    meter.u64_counter("orders.items").with_unit("{item}").build().add(7, &attributes);
    meter.f64_gauge("orders.stock").build().record(99.25, &[]);
    let price = meter.f64_histogram("orders.price").with_unit("EUR");
    price.with_boundaries(vec![5.0, 10.0]).build().record(9.5, &attributes);
    let point = |metric, unit, kind, attributes| {
        json!({
            "signal": "point", "service": SERVICE, "scope": SCOPE,
            "metric": metric, "unit": unit, "kind": kind, "attributes": attributes,
        })
    };
    let mut sum = point("orders.items", "{item}", "sum", json!({"kind": "book"}));
    sum["value"] = json!(7);
    crate::note(&sum);
    let mut gauge = point("orders.stock", "", "gauge", json!({}));
    gauge["value"] = json!(99.25);
    crate::note(&gauge);
    let mut histogram = point("orders.price", "EUR", "histogram", json!({"kind": "book"}));
    histogram["count"] = json!(1);
    histogram["sum"] = json!(9.5);
    histogram["buckets"] = json!([0, 1, 0]);
    crate::note(&histogram);
}
