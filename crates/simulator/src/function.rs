//! What a function is configured with before it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A function as `CreateFunction` would describe it.
///
/// ```
/// use std::time::Duration;
/// use lambda_otlp_simulator::{FunctionSpec, LogFormat};
///
/// let orders = FunctionSpec::new("orders", "/opt/orders/bootstrap")
///     .timeout(Duration::from_secs(3))
///     .log_format(LogFormat::Json)
///     .env("OTEL_SERVICE_NAME", "orders");
/// assert_eq!(orders.log_group_name(), "/aws/lambda/orders");
/// ```
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches that have nothing in common")]
pub struct FunctionSpec {
    name: String,
    bootstrap: PathBuf,
    arguments: Vec<String>,
    variables: Variables,
    pub(crate) handler: String,
    pub(crate) memory_mb: u64,
    pub(crate) timeout: Duration,
    pub(crate) init_timeout: Duration,
    pub(crate) log_format: LogFormat,
    pub(crate) application_log_level: LogLevel,
    pub(crate) system_log_level: LogLevel,
    pub(crate) region: String,
    pub(crate) account_id: String,
    version: String,
    log_group: Option<String>,
    pub(crate) xray: XRay,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) max_environments: usize,
    pub(crate) old_style_failures: bool,
    pub(crate) split_at_pipe_buffer: bool,
    pub(crate) retry_delays: Vec<Duration>,
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) enforce_memory: bool,
    pub(crate) private_tmp: bool,
    pub(crate) initialization: Initialization,
}

/// The user's variables; their values may be secrets and are never printed.
#[derive(Clone, Default)]
struct Variables(BTreeMap<String, String>);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// `LoggingConfig.LogFormat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// The levels of `ApplicationLogLevel` and `SystemLogLevel`, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl LogLevel {
    /// The name as Lambda writes it: `INFO`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }

    /// Reads one of the six names in any case; `None` for everything else, such as `warning`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal]
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(text))
    }
}

/// In which of its four forms the runtime sees `Lambda-Runtime-Trace-Id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XRay {
    /// No header at all.
    Absent,
    /// `Root=…;Parent=…;Sampled=0`: what every invocation without active tracing carries.
    NotSampled,
    /// `Root=…;Parent=…;Sampled=1`: active tracing; REPORT then has its XRAY part.
    Sampled,
    /// `Root=…;Parent=…;Sampled=0;Lineage=…`
    WithLineage,
}

/// How a function's environments come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initialization {
    OnDemand,
    /// Environments are initialised ahead of time; see [`Lambda::initialise`](crate::Lambda::initialise).
    ProvisionedConcurrency,
    /// Environments are initialised, frozen and restored. The runtime may call `restore/next`.
    SnapStart,
}

impl Initialization {
    /// The value of `AWS_LAMBDA_INITIALIZATION_TYPE`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::ProvisionedConcurrency => "provisioned-concurrency",
            Self::SnapStart => "snap-start",
        }
    }
}

impl FunctionSpec {
    /// A function of 128 MB and 3 s in `us-east-1`, in text log format, whose process is `bootstrap`.
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
            application_log_level: LogLevel::Info,
            system_log_level: LogLevel::Info,
            region: "us-east-1".to_owned(),
            account_id: "123456789012".to_owned(),
            version: "$LATEST".to_owned(),
            log_group: None,
            xray: XRay::NotSampled,
            directory: None,
            max_environments: 10,
            old_style_failures: false,
            split_at_pipe_buffer: false,
            retry_delays: vec![Duration::from_millis(10), Duration::from_millis(20)],
            layers: Vec::new(),
            enforce_memory: false,
            private_tmp: false,
            initialization: Initialization::OnDemand,
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
        self.variables.0.insert(name.into(), value.into());
        self
    }

    /// `_HANDLER`, `bootstrap` if not set.
    #[must_use]
    pub fn handler(mut self, handler: impl Into<String>) -> Self {
        self.handler = handler.into();
        self
    }

    /// The configured memory in MB; it is enforced only where [`enforce_memory`](Self::enforce_memory) says so.
    #[must_use]
    pub fn memory_mb(mut self, memory_mb: u64) -> Self {
        self.memory_mb = memory_mb;
        self
    }

    /// The longest an invocation may take before its process is killed.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The longest the init phase may take, 10 s if not set.
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

    /// Below this level lines of the function are dropped; only in JSON format.
    #[must_use]
    pub fn application_log_level(mut self, level: LogLevel) -> Self {
        self.application_log_level = level;
        self
    }

    /// Below this level Lambda's own events are not written; only in JSON format.
    #[must_use]
    pub fn system_log_level(mut self, level: LogLevel) -> Self {
        self.system_log_level = level;
        self
    }

    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    #[must_use]
    pub fn account_id(mut self, account_id: impl Into<String>) -> Self {
        self.account_id = account_id.into();
        self
    }

    /// The version that is invoked, `$LATEST` if not set.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Writes to another group than `/aws/lambda/NAME`; stream names then contain the function's name.
    #[must_use]
    pub fn log_group(mut self, log_group: impl Into<String>) -> Self {
        self.log_group = Some(log_group.into());
        self
    }

    #[must_use]
    pub fn xray(mut self, xray: XRay) -> Self {
        self.xray = xray;
        self
    }

    /// The working directory of the process; if not set, it keeps the simulator's own.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// How many environments may run at the same time, 10 if not set, at least 1; further invocations wait.
    #[must_use]
    pub fn max_environments(mut self, environments: usize) -> Self {
        self.max_environments = environments.max(1);
        self
    }

    /// Writes timeouts and exits as lines of their own, as Lambda did before `Status` was part of REPORT.
    #[must_use]
    pub fn old_style_failures(mut self, old_style: bool) -> Self {
        self.old_style_failures = old_style;
        self
    }

    /// Splits a line longer than a pipe's buffer at 65,536 bytes, as Lambda sometimes does.
    #[must_use]
    pub fn split_at_pipe_buffer(mut self, split: bool) -> Self {
        self.split_at_pipe_buffer = split;
        self
    }

    /// What an asynchronous invocation waits before each further attempt; its length is the number of retries.
    /// AWS waits about one and two minutes; here it is 10 ms and 20 ms if not set.
    #[must_use]
    pub fn retry_delays(mut self, delays: impl Into<Vec<Duration>>) -> Self {
        self.retry_delays = delays.into();
        self
    }

    /// Adds a layer: every file in its `extensions` directory is started as an external extension, named like the file.
    /// Files of later layers replace those of earlier ones. The directory is not copied to `/opt`.
    #[must_use]
    pub fn layer(mut self, directory: impl Into<PathBuf>) -> Self {
        self.layers.push(directory.into());
        self
    }

    /// Kills the runtime when all processes of an environment together have more than the configured memory resident, as
    /// Lambda does; looked at every 5 ms.
    #[must_use]
    pub fn enforce_memory(mut self, enforce: bool) -> Self {
        self.enforce_memory = enforce;
        self
    }

    /// Gives each environment a directory of its own for temporary files, which lives as long as the environment, resets
    /// included, and tells the processes by `TMPDIR`. Lambda sets no such variable: there `/tmp` itself is private, which
    /// here would need privileges. Without this, functions share the machine's `/tmp`.
    #[must_use]
    pub fn private_tmp(mut self, private: bool) -> Self {
        self.private_tmp = private;
        self
    }

    /// How environments come to be, on demand if not set.
    #[must_use]
    pub fn initialization(mut self, initialization: Initialization) -> Self {
        self.initialization = initialization;
        self
    }

    pub(crate) fn is_snap_start(&self) -> bool {
        self.initialization == Initialization::SnapStart
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn version_name(&self) -> &str {
        &self.version
    }

    pub fn log_group_name(&self) -> String {
        self.log_group.clone().unwrap_or_else(|| format!("/aws/lambda/{}", self.name))
    }

    /// The function's ARN without a version.
    pub fn arn(&self) -> String {
        format!("arn:aws:lambda:{}:{}:function:{}", self.region, self.account_id, self.name)
    }

    pub(crate) fn bootstrap(&self) -> &Path {
        &self.bootstrap
    }

    pub(crate) fn arguments(&self) -> &[String] {
        &self.arguments
    }

    pub(crate) fn has_own_log_group(&self) -> bool {
        self.log_group.is_some()
    }

    /// The first of the user's variables whose name Lambda reserves.
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
            ("AWS_ACCESS_KEY_ID", "ASIASIMULATED"),
            ("AWS_SECRET_ACCESS_KEY", "simulated"),
            ("AWS_SESSION_TOKEN", "simulated"),
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
        environment.insert("LAMBDA_TASK_ROOT".to_owned(), task_root.to_string_lossy().into_owned());
        if self.log_format == LogFormat::Json {
            environment.insert(
                "AWS_LAMBDA_LOG_LEVEL".to_owned(),
                self.application_log_level.name().to_owned(),
            );
        }
        if self.is_snap_start() {
            // A snapshot serves many environments, and so many streams.
            environment.remove("AWS_LAMBDA_LOG_GROUP_NAME");
            environment.remove("AWS_LAMBDA_LOG_STREAM_NAME");
        }
        environment.extend(self.variables.0.clone());
        environment
    }
}

impl FunctionSpec {
    /// The environment of an extension: the function's, without what Lambda hides from it (AWS Lambda "Extensions API").
    pub(crate) fn extension_environment(&self, runtime_api: &str) -> BTreeMap<String, String> {
        let mut environment = self.environment(runtime_api, "");
        environment.retain(|name, _| !HIDDEN_FROM_EXTENSIONS.contains(&name.as_str()));
        environment
    }
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
    fn the_values_of_variables_are_never_printed() {
        let spec =
            FunctionSpec::new("f", "/bin/f").env("O2_AUTHORIZATION_HEADER", "Basic cm9vdDpwdw==");
        let printed = format!("{spec:?}");
        assert!(
            printed.contains("O2_AUTHORIZATION_HEADER") && !printed.contains("cm9vd"),
            "{printed}"
        );
    }
}
