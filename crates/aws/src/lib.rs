//! Requests to AWS services without AWS's SDK.
//!
//! [`AwsClient`] signs a request and sends it once, with reqwest or another [`RequestSender`]. [`AwsSecrets`] reads secrets and
//! parameters, and [`CachedSecret`] makes headers of them and reads them again when they are old or refused:
//! concurrent callers share one read, and the old value is kept while the service fails.
//! [`SqsQueue`] sends messages to a queue and hides received ones. An [`Api`] calls any service and repeats what fails for a
//! moment; [`CloudWatchLogs`] and [`CloudWatchMetrics`] are two of them, and the command line has more.
//!
//! The wall clock is always injected: signatures need it, and [`FreezeAwareInstant`] uses it to include the time an environment
//! is frozen.
//!
//! # Modules
//!
//! - `client` signs a request and sends it once (`signature`, `credentials`). It knows endpoints and partitions, and recognizes
//!   throttling. `reqwest_transport` is its HTTP, with proxies.
//! - `signer` signs requests that another client sends.
//! - `logs`: log groups, their tags and filters, log events. It repeats throttled requests until the deadline, so its callers see
//!   none, and other temporary errors a few times.
//! - `histories` reads the histories of executions, page by page.
//! - `sqs` sends messages and hides received ones. `response` decides about a message by its answer, `address` has a queue's
//!   settings.
//! - `secret`: its own file has the lifetime. After that, or after a refusal, `cached` reads again. `service` reads, and
//!   `header` makes a header.
//! - `api` repeats calls of a service after temporary errors. `metrics` adds up CloudWatch's metrics, for `lambda-otlp cost`.
//!   `s3` recognizes hosts of S3.

mod api;
mod client;
mod clock;
mod credentials;
mod histories;
mod logs;
mod metrics;
mod reqwest_transport;
mod s3;
mod secret;
mod signature;
mod signer;
mod sqs;
mod variables;

pub use api::{Api, ApiError, ApiRequest, ApiSettings, Attempts, Refusal, Service};
pub use client::{
    AwsClient, AwsHttpRequest, AwsResponse, Caller, EndpointOptions, ErrorResponse, NoResponse,
    RequestSender, ResponseFuture, one_line, service_endpoint,
};
pub use clock::FreezeAwareInstant;
pub use credentials::{
    CredentialsEndpoint, CredentialsLoader, CredentialsSource, ExpiringCredentials,
    LoadCredentials, LoadFuture,
};
pub use histories::{ExecutionHistories, HistoryError, HistoryPage, HistorySettings, MapRun};
pub use logs::{
    AccountPolicy, CloudWatchLogs, FilteredLogEvent, LOGS_SERVICE, LogGroup, LogSearch, LogsError,
    Page, SubscriptionFilter,
};
pub use metrics::{AccountMetric, CloudWatchMetrics, METRICS_SERVICE, MetricsError};
pub use reqwest_transport::{ReqwestTransport, deepest};
pub use s3::is_s3;
pub use secret::{
    AwsSecrets, AwsSecretsSettings, CachedSecret, CurrentSecret, SECRET_LIFETIME, SecretError,
    SecretHeader, SecretReading, SecretService,
};
pub use signature::{Credentials, PathEncoding};
pub use signer::{PostToSign, RequestSigner, Signing};
pub use sqs::{
    LONGEST_DELAY, LONGEST_VISIBILITY_TIMEOUT, QueueError, SqsQueue, SqsSettings, region_of_host,
};
pub use variables::{AWS, HISTORIES, LOGS, REGION, SECRETS, SQS};
