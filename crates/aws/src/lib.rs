//! What is asked of AWS's services, without AWS's SDK.
//!
//! [`AwsClient`] signs one request and sends it, by reqwest unless it is given another [`Transport`]. On top of it [`AwsSecrets`] reads secrets and parameters,
//! [`authorization`] turns what is kept there into the value of an authorization header, and [`CachedSecret`] reads again
//! when the value is old or a backend refuses it, shares one read among all who ask, and keeps the old value while the
//! service fails. [`SqsQueue`] sends messages to a queue and hides those that were received. [`CloudWatchLogs`] lists log
//! groups and changes their subscription filters.
//!
//! The wall clock is injected everywhere: signatures need it, and [`FreezeAwareInstant`] measures time with it, which goes
//! on while an execution environment is frozen.

mod client;
mod clock;
mod credentials;
#[cfg(feature = "reqwest")]
mod logs;
mod secret;
#[cfg(feature = "reqwest")]
mod sqs;
mod variables;

pub use client::{
    AwsClient, AwsResponse, HttpRequest, NoResponse, Sent, SignedRequest, TIMED_OUT, Transport,
    host, service_endpoint,
};
pub use clock::FreezeAwareInstant;
pub use credentials::{Credentials, CredentialsEndpoint, CredentialsError, CredentialsSource};
#[cfg(feature = "reqwest")]
pub use logs::{
    CloudWatchLogs, FilteredLogEvent, LogGroup, LogsError, LogsSettings, Page, SubscriptionFilter,
};
pub use secret::{
    AwsSecrets, AwsSecretsSettings, CachedSecret, CurrentSecret, SecretError, SecretService,
    authorization, secret_lifetime,
};
#[cfg(feature = "reqwest")]
pub use sqs::{QueueError, SqsQueue, SqsSettings};
pub use variables::{AWS, LOGS, SECRETS, SQS};
