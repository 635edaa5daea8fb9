//! Names of the resource attributes shared by exporter, extension and forwarder (semantic conventions 1.44,
//! `docs/resource/faas.md`, `cloud.md`, `docs/faas/aws-lambda.md`).

pub const SERVICE_NAME: &str = "service.name";
pub const CLOUD_PROVIDER: &str = "cloud.provider";
pub const CLOUD_PLATFORM: &str = "cloud.platform";
pub const CLOUD_REGION: &str = "cloud.region";
pub const CLOUD_ACCOUNT_ID: &str = "cloud.account.id";
/// Function ARN, with the version instead of an alias.
pub const CLOUD_RESOURCE_ID: &str = "cloud.resource_id";
pub const FAAS_NAME: &str = "faas.name";
/// `$LATEST` or a number.
pub const FAAS_VERSION: &str = "faas.version";
/// Log stream of the environment.
pub const FAAS_INSTANCE: &str = "faas.instance";
/// Configured memory in bytes (integer).
pub const FAAS_MAX_MEMORY: &str = "faas.max_memory";
/// Log groups (array of strings).
pub const AWS_LOG_GROUP_NAMES: &str = "aws.log.group.names";
/// Log streams (array of strings).
pub const AWS_LOG_STREAM_NAMES: &str = "aws.log.stream.names";

/// AWS request id of an invocation; on spans and log records, never on a resource.
pub const FAAS_INVOCATION_ID: &str = "faas.invocation_id";

/// Equal for all exceptions of one type from one place in the code; on log records.
pub const EXCEPTION_FINGERPRINT: &str = "lambda_otlp.exception.fingerprint";

/// `true` on a partial span: it was open when the function wrote it before being cut off.
pub const PARTIAL: &str = "lambda_otlp.partial";

/// Returns `true` for an SDK's default service name: `unknown_service`, with `:` and the process name if known (semantic
/// conventions, `docs/resource/service.md`).
pub fn is_unknown_service(name: &str) -> bool {
    name.split(':').next() == Some("unknown_service")
}
