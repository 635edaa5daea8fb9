//! The configuration of a function.

mod variables;

use std::path::{Path, PathBuf};
use std::time::Duration;

use variables::Variables;

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
pub struct FunctionSpec {
    pub(crate) name: String,
    pub(crate) bootstrap: PathBuf,
    arguments: Vec<String>,
    pub(crate) variables: Variables,
    pub(crate) handler: String,
    pub(crate) memory_mb: u64,
    pub(crate) timeout: Duration,
    pub(crate) init_timeout: Duration,
    pub(crate) log_format: LogFormat,
    pub(crate) application_log_level: LogLevel,
    pub(crate) region: String,
    credentials: Option<Variables>,
    pub(crate) account_id: String,
    pub(crate) version: String,
    log_group: Option<String>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) max_environments: usize,
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) initialization: Initialization,
    pub(crate) active_tracing: bool,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initialization {
    OnDemand,
    /// Environments are initialised ahead of time; see [`Lambda::initialise`](crate::Lambda::initialise).
    ProvisionedConcurrency,
    /// Environments are initialised, frozen and restored. The runtime may call `restore/next`.
    SnapStart,
    /// Environments on instances of the customer's (AWS Lambda "Lambda Managed Instances"): never frozen, extensions are told of
    /// no invocation, telemetry of no `platform.runtimeDone`, and logs are JSON. Only one invocation at a time is given to each.
    ManagedInstances,
}

impl Initialization {
    /// The value of `AWS_LAMBDA_INITIALIZATION_TYPE`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::ProvisionedConcurrency => "provisioned-concurrency",
            Self::SnapStart => "snap-start",
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
            application_log_level: LogLevel::Info,
            region: "us-east-1".to_owned(),
            credentials: None,
            account_id: "123456789012".to_owned(),
            version: "$LATEST".to_owned(),
            log_group: None,
            directory: None,
            max_environments: 10,
            layers: Vec::new(),
            initialization: Initialization::OnDemand,
            active_tracing: false,
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

    /// The configured memory in MB, which the simulator reports but does not enforce.
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

    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// The credentials of its role, as the variables that Lambda sets: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
    /// `AWS_SESSION_TOKEN`, which long-lived ones lack. Made-up ones if not set.
    #[must_use]
    pub fn credentials(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.credentials = Some(Variables(variables.into_iter().collect()));
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

    /// Adds a layer: every file in its `extensions` directory is started as an external extension with the file's
    /// name. Files of later layers replace earlier ones. The directory is not copied to `/opt`.
    #[must_use]
    pub fn layer(mut self, directory: impl Into<PathBuf>) -> Self {
        self.layers.push(directory.into());
        self
    }

    /// How environments come to be, on demand if not set.
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

    pub(crate) fn is_snap_start(&self) -> bool {
        self.initialization == Initialization::SnapStart
    }

    pub(crate) fn is_managed(&self) -> bool {
        self.initialization == Initialization::ManagedInstances
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn version_name(&self) -> &str {
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
}
