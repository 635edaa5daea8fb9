//! Log records: `tracing` events become records with their trace and span; OpenTelemetry's API creates others. A processor sees
//! each record before it is written.

use lambda_otlp_exporter::opentelemetry::InstrumentationScope;
use lambda_otlp_exporter::opentelemetry::logs::{
    AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity,
};
use lambda_otlp_exporter::opentelemetry_sdk::error::OTelSdkResult;
use lambda_otlp_exporter::opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord};
use lambda_otlp_exporter::{TelemetryConfig, TracedHandler, init_telemetry};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::Value;
use std::time::Duration;

/// Adds the deployment environment to each record.
#[derive(Debug)]
struct Deployment;

impl LogProcessor for Deployment {
    fn emit(&self, record: &mut SdkLogRecord, _scope: &InstrumentationScope) {
        record.add_attribute("deployment.environment.name", "production");
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = TelemetryConfig::builder().with_additional_log_processor(Deployment).build();
    let (_tracer, completion_handler) = init_telemetry(config).await?;
    let audit = completion_handler.logger_provider().logger("audit");
    let handle = move |event: LambdaEvent<Value>| {
        tracing::warn!(shelf = 7, "few left");
        let mut record = audit.create_log_record();
        record.set_severity_number(Severity::Info);
        record.set_body(AnyValue::from("order approved"));
        audit.emit(record);
        async move { Ok::<_, Error>(event.payload) }
    };
    lambda_runtime::run(TracedHandler::new("orders", completion_handler, handle)).await
}
