//! Names of attributes and scopes that several places use. Names of metrics are in `metrics::instrument`, with units and buckets.
//!
//! `faas.*`, `cloud.*`, `aws.*`, `log.*` and `error.type` are OpenTelemetry's semantic conventions (1.44). Names missing there
//! are `aws.lambda.*` after Lambda's own terms, or `lambda_otlp.*` for this project's own facts.

pub(crate) use wire::resource::{
    AWS_LOG_GROUP_NAMES, AWS_LOG_STREAM_NAMES, CLOUD_ACCOUNT_ID, CLOUD_PLATFORM, CLOUD_PROVIDER,
    CLOUD_REGION, CLOUD_RESOURCE_ID, EXCEPTION_FINGERPRINT, FAAS_INSTANCE, FAAS_INVOCATION_ID,
    FAAS_NAME, FAAS_VERSION, PARTIAL, SERVICE_NAME,
};

pub(crate) const FAAS_COLDSTART: &str = "faas.coldstart";
pub(crate) const AWS_XRAY_TRACE_ID: &str = "aws.xray.trace_id";
pub(crate) const LOG_RECORD_UID: &str = "log.record.uid";
pub(crate) const ERROR_TYPE: &str = "error.type";

/// Attributes of the log records of platform events, in Lambda's units.
pub(crate) mod lambda {
    pub(crate) const EVENT_TYPE: &str = "aws.lambda.event.type";
    pub(crate) const PHASE: &str = "aws.lambda.phase";
    pub(crate) const DURATION_MS: &str = "aws.lambda.duration_ms";
    pub(crate) const INITIALIZATION_TYPE: &str = "aws.lambda.initialization_type";
    pub(crate) const TENANT_ID: &str = "aws.lambda.tenant_id";
    pub(crate) const DURABLE_EXECUTION_ARN: &str = "aws.lambda.durable_execution.arn";
    pub(crate) const RUNTIME_VERSION: &str = "aws.lambda.runtime_version";
    pub(crate) const RUNTIME_VERSION_ARN: &str = "aws.lambda.runtime_version_arn";
    pub(crate) const XRAY_SEGMENT_ID: &str = "aws.xray.segment_id";
    pub(crate) const XRAY_PARENT_ID: &str = "aws.xray.parent_id";
}

/// Attributes of the records and spans of state machines.
pub(crate) mod step_functions {
    pub(crate) const EXECUTION_ARN: &str = "aws.step_functions.execution.arn";
    pub(crate) const EVENT_TYPE: &str = "aws.step_functions.event.type";
    pub(crate) const EVENT_ID: &str = "aws.step_functions.event.id";
    pub(crate) const PREVIOUS_EVENT_ID: &str = "aws.step_functions.event.previous_id";
    pub(crate) const REDRIVE_COUNT: &str = "aws.step_functions.redrive_count";
    pub(crate) const STATE_NAME: &str = "aws.step_functions.state.name";
    pub(crate) const STATE_MACHINE_ARN: &str = "aws.step_functions.state_machine.arn";
    pub(crate) const STATUS: &str = "aws.step_functions.execution.status";
    pub(crate) const STATE_TYPE: &str = "aws.step_functions.state.type";
    pub(crate) const ITERATION: &str = "aws.step_functions.iteration";
    pub(crate) const MAP_RUN_ARN: &str = "aws.step_functions.map_run.arn";
    /// What a task calls, as `Resource` in its definition.
    pub(crate) const RESOURCE: &str = "aws.step_functions.resource";
    pub(crate) const RESOURCE_TYPE: &str = "aws.step_functions.resource_type";
    pub(crate) const ATTEMPT: &str = "aws.step_functions.attempt";
    /// The beginning of the keys of an event's other details.
    pub(crate) const DETAILS: &str = "aws.step_functions.details.";
}

/// Attributes of the spans of durable executions. `exporter/events.json` has those that the function writes, too.
pub(crate) mod durable {
    pub(crate) use super::lambda::DURABLE_EXECUTION_ARN as ARN;
    pub(crate) const STATUS: &str = "aws.lambda.durable_execution.status";
    pub(crate) const OPERATION_ID: &str = "aws.lambda.durable_execution.operation.id";
    pub(crate) const OPERATION_TYPE: &str = "aws.lambda.durable_execution.operation.type";
    pub(crate) const OPERATION_SUB_TYPE: &str = "aws.lambda.durable_execution.operation.subtype";
    /// The durable execution that a chained invoke started.
    pub(crate) const STARTED_ARN: &str = "aws.lambda.durable_execution.operation.started_arn";
    pub(crate) const ATTEMPT: &str = "aws.lambda.durable_execution.attempt";
}

pub(crate) const FAAS_INVOKED_NAME: &str = "faas.invoked_name";
pub(crate) const FAAS_INVOKED_PROVIDER: &str = "faas.invoked_provider";
pub(crate) const FAAS_INVOKED_REGION: &str = "faas.invoked_region";

pub(crate) const EXCEPTION_TYPE: &str = "exception.type";
pub(crate) const EXCEPTION_MESSAGE: &str = "exception.message";
pub(crate) const EXCEPTION_STACKTRACE: &str = "exception.stacktrace";

/// The keys of a JSON line beyond the limit on attributes, as one JSON string.
pub(crate) const REST: &str = "lambda_otlp.rest";
/// The text before a JSON object in a line, if it has more than level, time and request id.
pub(crate) const PREFIX: &str = "lambda_otlp.prefix";

pub use wire::PLATFORM_SCOPE;
