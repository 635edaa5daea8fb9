//! The names that this crate writes: attributes and scopes. Those of the metrics stand with
//! their units and buckets.
//!
//! `faas.*`, `cloud.*`, `aws.*`, `log.*`, `error.type` are OpenTelemetry's semantic conventions
//! (1.44); what those lack is named `aws.lambda.*` after Lambda's own words, and what is only
//! ours `lambda_otlp.*`.

pub use wire::resource::{
    AWS_LOG_GROUP_NAMES, AWS_LOG_STREAM_NAMES, CLOUD_ACCOUNT_ID, CLOUD_PLATFORM, CLOUD_PROVIDER,
    CLOUD_REGION, CLOUD_RESOURCE_ID, FAAS_INSTANCE, FAAS_INVOCATION_ID, FAAS_NAME, FAAS_VERSION,
    SERVICE_NAME,
};

pub const FAAS_COLDSTART: &str = "faas.coldstart";
pub const FAAS_TRIGGER: &str = "faas.trigger";
pub const AWS_XRAY_TRACE_ID: &str = "aws.xray.trace_id";
pub const LOG_RECORD_UID: &str = "log.record.uid";
pub const ERROR_TYPE: &str = "error.type";

/// Attributes of the log records of platform events, in Lambda's units.
pub mod lambda {
    pub const EVENT_TYPE: &str = "aws.lambda.event.type";
    pub const STATUS: &str = "aws.lambda.status";
    pub const PHASE: &str = "aws.lambda.phase";
    pub const DURATION_MS: &str = "aws.lambda.duration_ms";
    pub const BILLED_DURATION_MS: &str = "aws.lambda.billed_duration_ms";
    pub const MEMORY_SIZE_MB: &str = "aws.lambda.memory_size_mb";
    pub const MAX_MEMORY_USED_MB: &str = "aws.lambda.max_memory_used_mb";
    pub const INIT_DURATION_MS: &str = "aws.lambda.init_duration_ms";
    pub const RESTORE_DURATION_MS: &str = "aws.lambda.restore_duration_ms";
    pub const BILLED_RESTORE_DURATION_MS: &str = "aws.lambda.billed_restore_duration_ms";
    pub const PRODUCED_BYTES: &str = "aws.lambda.produced_bytes";
    pub const RESPONSE_LATENCY_MS: &str = "aws.lambda.response_latency_ms";
    pub const RESPONSE_DURATION_MS: &str = "aws.lambda.response_duration_ms";
    pub const RUNTIME_OVERHEAD_MS: &str = "aws.lambda.runtime_overhead_ms";
    pub const EXTENSION_OVERHEAD_MS: &str = "aws.lambda.extension_overhead_ms";
    pub const DROPPED_RECORDS: &str = "aws.lambda.dropped_records";
    pub const DROPPED_BYTES: &str = "aws.lambda.dropped_bytes";
    pub const INITIALIZATION_TYPE: &str = "aws.lambda.initialization_type";
    pub const INVOKED_ARN: &str = "aws.lambda.invoked_arn";
    pub const INSTANCE_ID: &str = "aws.lambda.instance.id";
    pub const INSTANCE_MAX_MEMORY_MB: &str = "aws.lambda.instance.max_memory_mb";
    pub const TIMEOUT_MS: &str = "aws.lambda.timeout_ms";
    pub const RUNTIME_VERSION: &str = "aws.lambda.runtime_version";
    pub const RUNTIME_VERSION_ARN: &str = "aws.lambda.runtime_version_arn";
    pub const EXTENSION_NAME: &str = "aws.lambda.extension.name";
    pub const EXTENSION_STATE: &str = "aws.lambda.extension.state";
    pub const XRAY_SEGMENT_ID: &str = "aws.xray.segment_id";
    pub const XRAY_PARENT_ID: &str = "aws.xray.parent_id";
    pub const XRAY_SAMPLED: &str = "aws.xray.sampled";
    /// Fields that Lambda added after this was written, as one JSON string.
    pub const OTHER: &str = "aws.lambda.other";
}

/// Attributes of the spans that older systems write (`LAMBDA_OTLP_NAMES=legacy`).
pub mod legacy {
    pub const FUNCTION_NAME: &str = "aws.lambda.function_name";
    pub const FUNCTION_VERSION: &str = "aws.lambda.function_version";
    pub const REQUEST_ID: &str = "aws.lambda.request_id";
    pub const INVOCATION_DURATION_MS: &str = "aws.lambda.invocation.duration_ms";
    pub const COLD_START: &str = "faas.cold_start";
}

/// Keys of a JSON line beyond the cap, as one JSON string.
pub const REST: &str = "lambda_otlp.rest";
/// Why a line that claims to be OTLP was not decoded.
pub const UNDECODABLE_REASON: &str = "lambda_otlp.undecodable.reason";
/// Size of that line in bytes.
pub const UNDECODABLE_SIZE: &str = "lambda_otlp.undecodable.size_bytes";
/// SHA-256 of that line, in hex: finds it among the dead letters.
pub const UNDECODABLE_SHA256: &str = "lambda_otlp.undecodable.sha256";

/// Scope of metrics and log records made of Lambda's own events.
pub const PLATFORM_SCOPE: &str = "lambda-otlp/platform";
/// Scope of log records made of a function's lines.
pub const LOGS_SCOPE: &str = "lambda-otlp/logs";
/// Scope of metrics made of embedded metric format lines.
pub const EMF_SCOPE: &str = "lambda-otlp/emf";
/// Namespace that an embedded metric format line names.
pub const CLOUDWATCH_NAMESPACE: &str = "aws.cloudwatch.namespace";
