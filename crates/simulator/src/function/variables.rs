//! The environment variables that Lambda gives to a function's processes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::{FunctionSpec, LogFormat};

/// The user's variables; their values may be secrets and are never printed.
#[derive(Clone, Default)]
pub(crate) struct Variables(pub(crate) BTreeMap<String, String>);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl FunctionSpec {
    /// The first of the user's variables with a name that Lambda reserves.
    pub(crate) fn reserved_variable(&self) -> Option<&str> {
        self.variables.0.keys().map(String::as_str).find(|name| RESERVED.contains(name))
    }

    /// The whole environment of the process (facts: AWS Lambda "Defined runtime environment variables").
    pub(crate) fn environment(
        &self,
        runtime_api: &str,
        log_stream: &str,
    ) -> BTreeMap<String, String> {
        let memory_mb = self.memory_mb.to_string();
        let log_group = self.log_group_name();
        let task_root =
            self.directory.as_deref().or(self.bootstrap.parent()).unwrap_or(Path::new("/var/task"));
        let log_format = match self.log_format {
            LogFormat::Text => "Text",
            LogFormat::Json => "JSON",
        };
        let mut environment: BTreeMap<String, String> = [
            ("_HANDLER", self.handler.as_str()),
            ("AWS_REGION", &self.region),
            ("AWS_DEFAULT_REGION", &self.region),
            ("AWS_LAMBDA_FUNCTION_NAME", &self.name),
            ("AWS_LAMBDA_FUNCTION_VERSION", &self.version),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory_mb),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", self.initialization.name()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", &log_group),
            ("AWS_LAMBDA_LOG_STREAM_NAME", log_stream),
            ("AWS_LAMBDA_LOG_FORMAT", log_format),
            ("AWS_LAMBDA_RUNTIME_API", runtime_api),
            ("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR"),
            ("AWS_XRAY_DAEMON_ADDRESS", "169.254.79.129:2000"),
            ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
            ("LANG", "en_US.UTF-8"),
            ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
            ("TZ", ":UTC"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        environment.extend(self.credentials.clone().unwrap_or_else(made_up).0);
        environment.insert("LAMBDA_TASK_ROOT".to_owned(), task_root.to_string_lossy().into_owned());
        if self.log_format == LogFormat::Json {
            environment.insert(
                "AWS_LAMBDA_LOG_LEVEL".to_owned(),
                self.application_log_level.name().to_owned(),
            );
        }
        if self.is_snap_start() {
            // A snapshot serves many environments, and therefore many streams.
            environment.remove("AWS_LAMBDA_LOG_GROUP_NAME");
            environment.remove("AWS_LAMBDA_LOG_STREAM_NAME");
        }
        if self.is_managed() {
            environment.insert("AWS_LAMBDA_MAX_CONCURRENCY".to_owned(), "1".to_owned());
        }
        environment.extend(self.variables.0.clone());
        environment
    }
}

impl FunctionSpec {
    /// The environment of an extension: the function's, without the variables that Lambda hides (AWS Lambda
    /// "Extensions API").
    pub(crate) fn extension_environment(&self, runtime_api: &str) -> BTreeMap<String, String> {
        let mut environment = self.environment(runtime_api, "");
        environment.retain(|name, _| !HIDDEN_FROM_EXTENSIONS.contains(&name.as_str()));
        environment
    }
}

fn made_up() -> Variables {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "ASIASIMULATED"),
        ("AWS_SECRET_ACCESS_KEY", "simulated"),
        ("AWS_SESSION_TOKEN", "simulated"),
    ];
    let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Variables(owned.into_iter().collect())
}

/// Variables that extensions do not see.
const HIDDEN_FROM_EXTENSIONS: [&str; 10] = [
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_XRAY_CONTEXT_MISSING",
    "AWS_XRAY_DAEMON_ADDRESS",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "_AWS_XRAY_DAEMON_ADDRESS",
    "_AWS_XRAY_DAEMON_PORT",
    "_HANDLER",
];

/// Names that `CreateFunction` refuses; the unreserved ones (PATH, LANG, TZ, the X-Ray pair) may be set.
const RESERVED: [&str; 17] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_values_of_variables() {
        let spec =
            FunctionSpec::new("f", "/bin/f").env("O2_AUTHORIZATION_HEADER", "Basic cm9vdDpwdw==");
        let printed = format!("{spec:?}");
        assert!(
            printed.contains("O2_AUTHORIZATION_HEADER") && !printed.contains("cm9vd"),
            "{printed}"
        );
    }
}
