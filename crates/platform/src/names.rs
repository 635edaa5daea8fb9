//! Names of the attributes and scopes of this crate. Names of metrics are in `metrics::instrument`, with units and buckets.
//!
//! `faas.*`, `cloud.*`, `aws.*`, `log.*` and `error.type` are OpenTelemetry's semantic conventions (1.44). Names missing there
//! are `aws.lambda.*` after Lambda's own terms, or `lambda_otlp.*` for this project's own facts.

pub(crate) use wire::resource::{
    AWS_LOG_GROUP_NAMES, AWS_LOG_STREAM_NAMES, CLOUD_ACCOUNT_ID, CLOUD_PLATFORM, CLOUD_PROVIDER,
    CLOUD_REGION, CLOUD_RESOURCE_ID, FAAS_INSTANCE, FAAS_INVOCATION_ID, FAAS_NAME, FAAS_VERSION,
    PARTIAL, SERVICE_NAME,
};

pub(crate) const FAAS_COLDSTART: &str = "faas.coldstart";
pub(crate) const AWS_XRAY_TRACE_ID: &str = "aws.xray.trace_id";
pub(crate) const LOG_RECORD_UID: &str = "log.record.uid";
pub(crate) const ERROR_TYPE: &str = "error.type";

/// Attributes of the log records of platform events, in Lambda's units.
pub(crate) mod lambda {
    pub(crate) const EVENT_TYPE: &str = "aws.lambda.event.type";
    pub(crate) const STATUS: &str = "aws.lambda.status";
    pub(crate) const PHASE: &str = "aws.lambda.phase";
    pub(crate) const DURATION_MS: &str = "aws.lambda.duration_ms";
    pub(crate) const BILLED_DURATION_MS: &str = "aws.lambda.billed_duration_ms";
    pub(crate) const MEMORY_SIZE_MB: &str = "aws.lambda.memory_size_mb";
    pub(crate) const MAX_MEMORY_USED_MB: &str = "aws.lambda.max_memory_used_mb";
    pub(crate) const INIT_DURATION_MS: &str = "aws.lambda.init_duration_ms";
    pub(crate) const RESTORE_DURATION_MS: &str = "aws.lambda.restore_duration_ms";
    pub(crate) const BILLED_RESTORE_DURATION_MS: &str = "aws.lambda.billed_restore_duration_ms";
    pub(crate) const PRODUCED_BYTES: &str = "aws.lambda.produced_bytes";
    pub(crate) const RESPONSE_LATENCY_MS: &str = "aws.lambda.response_latency_ms";
    pub(crate) const RESPONSE_DURATION_MS: &str = "aws.lambda.response_duration_ms";
    pub(crate) const RUNTIME_OVERHEAD_MS: &str = "aws.lambda.runtime_overhead_ms";
    pub(crate) const EXTENSION_OVERHEAD_MS: &str = "aws.lambda.extension_overhead_ms";
    pub(crate) const DROPPED_RECORDS: &str = "aws.lambda.dropped_records";
    pub(crate) const DROPPED_BYTES: &str = "aws.lambda.dropped_bytes";
    pub(crate) const INITIALIZATION_TYPE: &str = "aws.lambda.initialization_type";
    pub(crate) const INVOKED_ARN: &str = "aws.lambda.invoked_arn";
    pub(crate) const INSTANCE_ID: &str = "aws.lambda.instance.id";
    pub(crate) const INSTANCE_MAX_MEMORY_MB: &str = "aws.lambda.instance.max_memory_mb";
    pub(crate) const TENANT_ID: &str = "aws.lambda.tenant_id";
    pub(crate) const DURABLE_EXECUTION_ARN: &str = "aws.lambda.durable_execution.arn";
    pub(crate) const TIMEOUT_MS: &str = "aws.lambda.timeout_ms";
    pub(crate) const RUNTIME_VERSION: &str = "aws.lambda.runtime_version";
    pub(crate) const RUNTIME_VERSION_ARN: &str = "aws.lambda.runtime_version_arn";
    pub(crate) const EXTENSION_NAME: &str = "aws.lambda.extension.name";
    pub(crate) const EXTENSION_STATE: &str = "aws.lambda.extension.state";
    pub(crate) const XRAY_SEGMENT_ID: &str = "aws.xray.segment_id";
    pub(crate) const XRAY_PARENT_ID: &str = "aws.xray.parent_id";
    pub(crate) const XRAY_SAMPLED: &str = "aws.xray.sampled";
    /// Unknown fields of Lambda's events, as one JSON string.
    pub(crate) const OTHER: &str = "aws.lambda.other";
}

/// Attributes of older systems' spans (`LAMBDA_OTLP_NAMES=legacy`).
pub(crate) mod legacy {
    pub(crate) const FUNCTION_NAME: &str = "aws.lambda.function_name";
    pub(crate) const FUNCTION_VERSION: &str = "aws.lambda.function_version";
    pub(crate) const REQUEST_ID: &str = "aws.lambda.request_id";
    pub(crate) const INVOCATION_DURATION_MS: &str = "aws.lambda.invocation.duration_ms";
    pub(crate) const COLD_START: &str = "faas.cold_start";
}

/// The keys of a JSON line beyond the limit on attributes, as one JSON string.
pub(crate) const REST: &str = "lambda_otlp.rest";
/// The text before a JSON object in a line, if it has more than level, time and request id.
pub(crate) const PREFIX: &str = "lambda_otlp.prefix";
/// The reason why a claimed OTLP line was not decoded.
pub(crate) const UNDECODABLE_REASON: &str = "lambda_otlp.undecodable.reason";
pub(crate) const UNDECODABLE_SIZE: &str = "lambda_otlp.undecodable.size_bytes";
/// SHA-256 of that line in hex, to find it in the dead-letter queue.
pub(crate) const UNDECODABLE_SHA256: &str = "lambda_otlp.undecodable.sha256";

/// Scope of metrics and log records made from Lambda's own events.
pub const PLATFORM_SCOPE: &str = "lambda-otlp/platform";
pub(crate) const LOGS_SCOPE: &str = "lambda-otlp/logs";
pub(crate) const EMF_SCOPE: &str = "lambda-otlp/emf";
pub(crate) const CLOUDWATCH_NAMESPACE: &str = "aws.cloudwatch.namespace";
