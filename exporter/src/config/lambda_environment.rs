//! Lambda's variables about the function.

use settings::Source;

/// Lambda's variables about the function (Lambda Developer Guide, "Defined runtime environment variables").
#[derive(Debug, Clone, Default)]
pub(crate) struct LambdaEnvironment {
    pub(crate) region: Option<String>,
    pub(crate) function_name: Option<String>,
    pub(crate) function_version: Option<String>,
    pub(crate) memory_mib: Option<i64>,
    pub(crate) log_group: Option<String>,
    pub(crate) log_stream: Option<String>,
    pub(crate) runtime_api: Option<String>,
    /// The application log level, only with the JSON log format.
    pub(crate) json_log_level: Option<String>,
    pub(crate) log_level: Option<String>,
    pub(crate) initialization_type: InitializationType,
}

/// The initialization type of the environment (`AWS_LAMBDA_INITIALIZATION_TYPE`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum InitializationType {
    #[default]
    OnDemand,
    /// Started ahead of time, so that no invocation waits.
    ProvisionedConcurrency,
    /// Started once, and restored from a snapshot each time.
    SnapStart,
    /// Lambda Managed Instances: concurrent invocations, and no freeze between them.
    ManagedInstances,
}

impl LambdaEnvironment {
    pub(super) fn from_source(source: &dyn Source) -> Self {
        let log_level = source.get("AWS_LAMBDA_LOG_LEVEL");
        let is_json = source
            .get("AWS_LAMBDA_LOG_FORMAT")
            .is_some_and(|format| format.eq_ignore_ascii_case("json"));
        Self {
            region: source.get("AWS_REGION"),
            function_name: source.get("AWS_LAMBDA_FUNCTION_NAME"),
            function_version: source.get("AWS_LAMBDA_FUNCTION_VERSION"),
            memory_mib: source
                .get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
                .and_then(|size| size.parse().ok()),
            log_group: source.get("AWS_LAMBDA_LOG_GROUP_NAME"),
            log_stream: source.get("AWS_LAMBDA_LOG_STREAM_NAME"),
            runtime_api: source.get("AWS_LAMBDA_RUNTIME_API"),
            // Lambda treats a line without a level as INFO.
            json_log_level: is_json.then(|| log_level.clone().unwrap_or_else(|| "INFO".to_owned())),
            log_level,
            initialization_type: match source.get("AWS_LAMBDA_INITIALIZATION_TYPE").as_deref() {
                Some("provisioned-concurrency") => InitializationType::ProvisionedConcurrency,
                Some("snap-start") => InitializationType::SnapStart,
                Some("lambda-managed-instances") => InitializationType::ManagedInstances,
                _ => InitializationType::OnDemand,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambdas_log_level_applies_only_to_the_json_format() {
        let check = |variables: &[(&str, &str)], expected: Option<&str>| {
            let source: std::collections::BTreeMap<String, String> =
                variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            assert_eq!(LambdaEnvironment::from_source(&source).json_log_level.as_deref(), expected);
        };
        check(&[], None);
        check(&[("AWS_LAMBDA_LOG_LEVEL", "WARN")], None);
        check(&[("AWS_LAMBDA_LOG_FORMAT", "Text"), ("AWS_LAMBDA_LOG_LEVEL", "WARN")], None);
        check(&[("AWS_LAMBDA_LOG_FORMAT", "JSON")], Some("INFO"));
        check(
            &[("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("AWS_LAMBDA_LOG_LEVEL", "FATAL")],
            Some("FATAL"),
        );
    }
}
