//! The configuration of a function.

use crate::fidelity::Unpublished;
use http::StatusCode;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The account of all functions.
pub(crate) const ACCOUNT: &str = "123456789012";
/// The version that is invoked.
pub(crate) const VERSION: &str = "$LATEST";
/// The beginning of the names of functions' log groups.
pub(crate) const LOG_GROUPS: &str = "/aws/lambda/";

/// A function as `CreateFunction` would describe it.
#[derive(Debug, Clone)]
pub struct FunctionSpec {
    pub(crate) name: String,
    pub(crate) bootstrap: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Variables,
    pub(crate) handler: String,
    pub(crate) memory_mb: u64,
    pub(crate) timeout: Duration,
    pub(crate) init_timeout: Duration,
    pub(crate) log_format: LogFormat,
    pub(crate) region: String,
    credentials: Option<Variables>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) max_environments: usize,
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) initialization: Initialization,
    pub(crate) active_tracing: bool,
    pub(crate) telemetry_events: Vec<String>,
    pub(crate) subscription_status: Option<StatusCode>,
    pub(crate) unpublished: Unpublished,
    pub(crate) max_concurrency: usize,
}

/// `LoggingConfig.LogFormat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initialization {
    OnDemand,
    /// Environments on the customer's instances (AWS Lambda "Lambda Managed Instances"). Each runs several invocations at a time, and is
    /// never frozen. Extensions get no INVOKE, telemetry has no `platform.runtimeDone`, and logs are JSON.
    ManagedInstances,
}

impl Initialization {
    /// The value of `AWS_LAMBDA_INITIALIZATION_TYPE`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::ManagedInstances => "lambda-managed-instances",
        }
    }
}

impl FunctionSpec {
    /// A function of 128 MB and 3 s in `us-east-1`, in text log format, with `bootstrap` as its process.
    pub fn new(name: impl Into<String>, bootstrap: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            bootstrap: bootstrap.into(),
            arguments: Vec::new(),
            variables: Variables::default(),
            handler: "bootstrap".to_owned(),
            memory_mb: 128,
            timeout: Duration::from_secs(3),
            init_timeout: Duration::from_secs(10),
            log_format: LogFormat::Text,
            region: "us-east-1".to_owned(),
            credentials: None,
            directory: None,
            max_environments: 10,
            layers: Vec::new(),
            initialization: Initialization::OnDemand,
            active_tracing: false,
            telemetry_events: Vec::new(),
            subscription_status: None,
            unpublished: Unpublished::default(),
            max_concurrency: 8,
        }
    }

    /// Adds an argument of the process; Lambda itself gives none.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets an environment variable of the function; names that Lambda reserves are refused when it is created.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.by_name.insert(name.into(), value.into());
        self
    }

    /// `_HANDLER`, `bootstrap` if not set.
    #[must_use]
    pub fn handler(mut self, handler: impl Into<String>) -> Self {
        self.handler = handler.into();
        self
    }

    /// The configured memory in MB, which the local Lambda reports but does not enforce.
    #[must_use]
    pub fn memory_mb(mut self, memory_mb: u64) -> Self {
        self.memory_mb = memory_mb;
        self
    }

    /// The time limit of an invocation, after which its process is killed.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The time limit of the init phase, 10 s if not set.
    #[must_use]
    pub fn init_timeout(mut self, init_timeout: Duration) -> Self {
        self.init_timeout = init_timeout;
        self
    }

    #[must_use]
    pub fn log_format(mut self, log_format: LogFormat) -> Self {
        self.log_format = log_format;
        self
    }

    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// The credentials of its role, as the variables that Lambda sets: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
    /// `AWS_SESSION_TOKEN`, which long-lived ones lack. Made-up ones if not set.
    #[must_use]
    pub fn credentials(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.credentials = Some(Variables { by_name: variables.into_iter().collect() });
        self
    }

    /// The working directory of the process; if not set, it keeps the local Lambda's own.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// The number of environments that may run at the same time, 10 if not set, at least 1. Further invocations wait.
    #[must_use]
    pub fn max_environments(mut self, environments: usize) -> Self {
        self.max_environments = environments.max(1);
        self
    }

    /// Adds a layer: every file in its `extensions` directory is started as an external extension with the file's
    /// name. Files of later layers replace earlier ones. The directory is not copied to `/opt`.
    #[must_use]
    pub fn layer(mut self, directory: impl Into<PathBuf>) -> Self {
        self.layers.push(directory.into());
        self
    }

    /// The type of its environments, on demand if not set.
    #[must_use]
    pub fn initialization(mut self, initialization: Initialization) -> Self {
        self.initialization = initialization;
        if self.is_managed() {
            self.log_format = LogFormat::Json;
        }
        self
    }

    /// Samples each invocation for X-Ray, as `TracingConfig.Mode` `Active` and a rule for all requests do.
    #[must_use]
    pub fn active_tracing(mut self) -> Self {
        self.active_tracing = true;
        self
    }

    /// Sends each subscriber this event as it is. It need be neither of a known type nor valid.
    #[must_use]
    pub fn telemetry_event(mut self, event: impl Into<String>) -> Self {
        self.telemetry_events.push(event.into());
        self
    }

    /// Answers subscriptions with this status and drops them: 202 and 404 are the answers of local emulators, 500 of
    /// a platform in trouble.
    #[must_use]
    pub fn subscription_status(mut self, status: u16) -> Self {
        self.subscription_status = StatusCode::from_u16(status).ok();
        self
    }

    /// The number of invocations that a managed instance runs at the same time, 8 if not set, at least 1.
    #[must_use]
    pub fn max_concurrency(mut self, invocations: usize) -> Self {
        self.max_concurrency = invocations.max(1);
        self
    }

    /// Chooses among the possible behaviours of AWS that are not published.
    #[must_use]
    pub fn unpublished(mut self, unpublished: Unpublished) -> Self {
        self.unpublished = unpublished;
        self
    }

    /// The number of invocations that may run at the same time in all environments.
    pub(crate) fn slots(&self) -> usize {
        if self.is_managed() {
            self.max_environments.saturating_mul(self.max_concurrency)
        } else {
            self.max_environments
        }
    }

    pub(crate) fn is_managed(&self) -> bool {
        self.initialization == Initialization::ManagedInstances
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn log_group_name(&self) -> String {
        format!("{LOG_GROUPS}{}", self.name)
    }

    /// The function's ARN without a version.
    pub fn arn(&self) -> String {
        format!("arn:aws:lambda:{}:{ACCOUNT}:function:{}", self.region, self.name)
    }
}

// The environment variables that Lambda gives to a function's processes.

/// The user's variables; their values may be secrets and are never printed.
#[derive(Clone, Default)]
pub(crate) struct Variables {
    by_name: BTreeMap<String, String>,
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

impl FunctionSpec {
    /// Returns a variable of the user whose name Lambda reserves.
    pub(crate) fn reserved_variable(&self) -> Option<&str> {
        self.variables.by_name.keys().map(String::as_str).find(|name| RESERVED.contains(name))
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
            ("AWS_LAMBDA_FUNCTION_VERSION", VERSION),
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
        environment.extend(self.credentials.clone().unwrap_or_else(made_up_credentials).by_name);
        environment.insert("LAMBDA_TASK_ROOT".to_owned(), task_root.to_string_lossy().into_owned());
        if self.log_format == LogFormat::Json {
            environment.insert("AWS_LAMBDA_LOG_LEVEL".to_owned(), "INFO".to_owned());
        }
        if self.is_managed() {
            let max_concurrency = self.max_concurrency.to_string();
            environment.insert("AWS_LAMBDA_MAX_CONCURRENCY".to_owned(), max_concurrency);
        }
        environment.extend(self.variables.by_name.clone());
        environment
    }

    /// The environment of an extension: the function's, without the variables that Lambda hides (AWS Lambda
    /// "Extensions API").
    pub(crate) fn extension_environment(&self, runtime_api: &str) -> BTreeMap<String, String> {
        let mut environment = self.environment(runtime_api, "");
        environment.retain(|name, _| !HIDDEN_FROM_EXTENSIONS.contains(&name.as_str()));
        environment
    }
}

fn made_up_credentials() -> Variables {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "ASIASIMULATED"),
        ("AWS_SECRET_ACCESS_KEY", "simulated"),
        ("AWS_SESSION_TOKEN", "simulated"),
    ];
    let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Variables { by_name: owned.into_iter().collect() }
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
