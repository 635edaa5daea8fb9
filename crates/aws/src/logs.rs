//! CloudWatch Logs by AWS JSON 1.1: log groups, their tags and events, and their subscription filters.
//!
//! Each operation is idempotent: putting a filter twice has the effect of once, and deleting a missing one succeeds. Throttled
//! requests are retried until the deadline, other temporary errors a few times.

use crate::client::{
    AwsClient, AwsResponse, ErrorResponse, JsonRequest, excerpt, service_endpoint,
};
use crate::credentials::{CredentialsProvider, CredentialsSource};
use crate::variables::{ACCESS_KEY_ID, ENDPOINT, LOGS_ENDPOINT, REGION};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use settings::{Backoff, Jitter, Proxy, Reader};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep_until};
use url::Url;
use wire::arn::account_id;

/// Time limit of one attempt. `FilterLogEvents` searches a part of a log group before it answers.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(20);
/// A page of `FilterLogEvents` has 1 MB of messages, up to six times as many in JSON.
const MAX_RESPONSE_BYTES: usize = 8 << 20;
/// The quotas of these operations are five and ten requests a second.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(400), Duration::from_secs(8));
/// Maximum number of retries after temporary errors other than throttling.
const MAX_RETRIES: u32 = 4;
/// Maximum number of concurrent requests; each needs a connection.
const CONNECTIONS: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// May be empty although there is a next page.
    pub items: Vec<T>,
    /// The token of the next page; `None` at the end.
    pub next: Option<String>,
}

/// A log group as returned by `DescribeLogGroups` (CloudWatch Logs API Reference, "LogGroup").
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogGroup {
    #[serde(rename = "logGroupName")]
    pub name: String,
    #[serde(default)]
    pub arn: String,
    /// `STANDARD`, `INFREQUENT_ACCESS`, `DELIVERY`; `None` if unstated.
    #[serde(rename = "logGroupClass")]
    pub class: Option<String>,
    /// Its creation time, in milliseconds since the Unix epoch.
    #[serde(rename = "creationTime", default)]
    pub created_ms: i64,
}

impl LogGroup {
    /// Its account: `arn:{partition}:logs:{region}:{account}:log-group:{name}:*`.
    pub fn account(&self) -> &str {
        account_id(&self.arn).unwrap_or_default()
    }
}

/// A subscription filter of a log group (CloudWatch Logs API Reference, "SubscriptionFilter").
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionFilter {
    #[serde(rename = "filterName")]
    pub name: String,
    /// The pattern of the log events to send; empty for all.
    #[serde(rename = "filterPattern", default)]
    pub pattern: String,
    #[serde(rename = "destinationArn")]
    pub destination: String,
    /// The ARN of the role for writing to a Kinesis stream; `None` for a function.
    #[serde(rename = "roleArn")]
    pub role: Option<String>,
}

/// A log event as returned by `FilterLogEvents` (CloudWatch Logs API Reference, "FilteredLogEvent").
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FilteredLogEvent {
    #[serde(rename = "eventId")]
    pub id: String,
    #[serde(rename = "logStreamName")]
    pub log_stream: String,
    /// Its time, in milliseconds since the Unix epoch.
    #[serde(rename = "timestamp")]
    pub timestamp_ms: i64,
    #[serde(rename = "ingestionTime")]
    pub ingested_ms: i64,
    pub message: String,
}

// The answers to the operations that read. Their lists are empty if the answer leaves them out: AWS's model requires none of them.

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogGroupsAnswer {
    #[serde(default)]
    log_groups: Vec<LogGroup>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct TagsAnswer {
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionFiltersAnswer {
    #[serde(default)]
    subscription_filters: Vec<SubscriptionFilter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogEventsAnswer {
    #[serde(default)]
    events: Vec<FilteredLogEvent>,
    next_token: Option<String>,
}

#[derive(Debug)]
pub struct CloudWatchLogs {
    settings: LogsSettings,
    credentials: CredentialsProvider,
    client: AwsClient,
}

impl CloudWatchLogs {
    /// Creates a client from these settings; `clock` gives the signing time.
    pub fn new(settings: LogsSettings, clock: fn() -> SystemTime) -> Self {
        let client = AwsClient::keeping_connections(clock, settings.proxy.clone(), CONNECTIONS);
        Self::with_client(settings, client)
    }

    /// Sends with this client, which knows the proxy.
    pub fn with_client(settings: LogsSettings, client: AwsClient) -> Self {
        let credentials = CredentialsProvider::of(settings.credentials.clone());
        Self { settings, credentials, client }
    }

    pub fn wall_clock(&self) -> SystemTime {
        self.client.wall_clock()
    }

    /// Up to 50 log groups whose names begin with `prefix`, which may be empty.
    pub async fn log_groups(
        &self,
        prefix: &str,
        next: Option<String>,
        deadline: Instant,
    ) -> Result<Page<LogGroup>, LogsError> {
        let prefix_if_any = (!prefix.is_empty()).then(|| prefix.into());
        let body = members([
            ("limit", Some(50.into())),
            ("logGroupNamePrefix", prefix_if_any),
            ("nextToken", next.map(Value::from)),
        ]);
        let operation = Operation { name: "DescribeLogGroups", subject: prefix };
        let answer: LogGroupsAnswer = self.ask(operation, &body, deadline).await?;
        Ok(Page { items: answer.log_groups, next: answer.next_token })
    }

    pub async fn log_group(
        &self,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<LogGroup>, LogsError> {
        // Names are sorted, so it precedes all longer names with this prefix.
        let page = self.log_groups(name, None, deadline).await?;
        Ok(page.items.into_iter().find(|group| group.name == name))
    }

    pub async fn tags(
        &self,
        group: &LogGroup,
        deadline: Instant,
    ) -> Result<BTreeMap<String, String>, LogsError> {
        // The operations on tags require the ARN without its suffix.
        let arn = group.arn.strip_suffix(":*").unwrap_or(&group.arn);
        let operation = Operation { name: "ListTagsForResource", subject: &group.name };
        let body = json!({ "resourceArn": arn });
        let answer: TagsAnswer = self.ask(operation, &body, deadline).await?;
        Ok(answer.tags)
    }

    /// The subscription filters of a log group, at most two.
    pub async fn subscription_filters(
        &self,
        group: &str,
        deadline: Instant,
    ) -> Result<Vec<SubscriptionFilter>, LogsError> {
        let operation = Operation { name: "DescribeSubscriptionFilters", subject: group };
        let body = json!({ "logGroupName": group });
        let answer: SubscriptionFiltersAnswer = self.ask(operation, &body, deadline).await?;
        Ok(answer.subscription_filters)
    }

    /// Creates or changes a subscription filter. A filter with a role needs `iam:PassRole`.
    pub async fn put_subscription_filter(
        &self,
        group: &str,
        filter: &SubscriptionFilter,
        deadline: Instant,
    ) -> Result<(), LogsError> {
        let SubscriptionFilter { name, pattern, destination, role } = filter;
        let operation = Operation { name: "PutSubscriptionFilter", subject: group };
        let body = members([
            ("logGroupName", Some(group.into())),
            ("filterName", Some(name.as_str().into())),
            ("filterPattern", Some(pattern.as_str().into())),
            ("destinationArn", Some(destination.as_str().into())),
            ("roleArn", role.as_deref().map(Value::from)),
        ]);
        self.send(operation, &body, deadline).await.map(drop)
    }

    /// Deletes the subscription filter of this name, if it exists.
    pub async fn delete_subscription_filter(
        &self,
        group: &str,
        name: &str,
        deadline: Instant,
    ) -> Result<(), LogsError> {
        let operation = Operation { name: "DeleteSubscriptionFilter", subject: group };
        let body = json!({ "logGroupName": group, "filterName": name });
        match self.send(operation, &body, deadline).await {
            Err(error) if error.is_gone() => Ok(()),
            result => result.map(drop),
        }
    }

    /// Log events of a log group from `from_ms` on, in order of time.
    pub async fn log_events(
        &self,
        group: &str,
        from_ms: i64,
        next: Option<String>,
        deadline: Instant,
    ) -> Result<Page<FilteredLogEvent>, LogsError> {
        let body = members([
            ("logGroupName", Some(group.into())),
            ("startTime", Some(from_ms.into())),
            ("nextToken", next.map(Value::from)),
        ]);
        let operation = Operation { name: "FilterLogEvents", subject: group };
        let answer: LogEventsAnswer = self.ask(operation, &body, deadline).await?;
        Ok(Page { items: answer.events, next: answer.next_token })
    }

    async fn ask<A: DeserializeOwned>(
        &self,
        operation: Operation<'_>,
        body: &Value,
        deadline: Instant,
    ) -> Result<A, LogsError> {
        let response = self.send(operation, body, deadline).await?;
        serde_json::from_slice(&response.body).map_err(|_| operation.unreadable())
    }

    /// Sends a request until it succeeds, fails permanently, or the deadline passes.
    async fn send(
        &self,
        operation: Operation<'_>,
        body: &Value,
        deadline: Instant,
    ) -> Result<AwsResponse, LogsError> {
        let mut attempt = 0_u32;
        let mut retries = 0;
        loop {
            if Instant::now() >= deadline {
                return Err(operation.too_late(None));
            }
            let FailedAttempt { error, retry } =
                match self.send_once(operation, body, deadline).await {
                    Ok(response) => return Ok(response),
                    Err(failed) => failed,
                };
            match retry {
                Retry::Never => return Err(error),
                Retry::AFewTimes if retries == MAX_RETRIES => return Err(error),
                Retry::AFewTimes => retries += 1,
                // The number of retries after throttling has no limit.
                Retry::UntilDeadline => {}
            }
            let next = Instant::now() + BACKOFF.delay(attempt, self.jitter());
            if next >= deadline {
                return Err(operation.too_late(Some(&error)));
            }
            sleep_until(next).await;
            attempt = attempt.saturating_add(1);
        }
    }

    async fn send_once(
        &self,
        operation: Operation<'_>,
        body: &Value,
        deadline: Instant,
    ) -> Result<AwsResponse, FailedAttempt> {
        let request = JsonRequest {
            credentials: &self.credentials,
            service: "logs",
            region: &self.settings.region,
            endpoint: &self.settings.endpoint,
            content_type: "application/x-amz-json-1.1",
            target: &format!("Logs_20140328.{}", operation.name),
            body: body.to_string().into_bytes(),
            deadline: deadline.min(Instant::now() + LONGEST_ATTEMPT),
            max_response_bytes: MAX_RESPONSE_BYTES,
        };
        match self.client.send(request).await {
            Ok(response) if response.status == 200 => Ok(response),
            Ok(response) => Err(operation.refused(&response)),
            Err(error) => Err(FailedAttempt {
                error: operation.no_response(&error.to_string()),
                retry: Retry::AFewTimes,
            }),
        }
    }

    /// The jitter of the time, which differs between throttled callers.
    fn jitter(&self) -> Jitter {
        let since = self.client.wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
        Jitter::of(&since.as_micros())
    }
}

/// The answer of a proxy, or of another server.
const NOT_OF_AWS: &str =
    "the answer is not one of CloudWatch Logs; check AWS_ENDPOINT_URL and proxies";

fn members<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect())
}

#[derive(Clone, Debug)]
pub struct LogsSettings {
    pub credentials: CredentialsSource,
    pub region: String,
    pub endpoint: Url,
    pub proxy: Option<Proxy>,
}

impl LogsSettings {
    /// Reads the rows of [`AWS`](crate::AWS), [`LOGS`](crate::LOGS) and [`settings::PROXY`]. Returns `None` after noting missing
    /// settings.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let credentials = CredentialsSource::read(reader);
        let region = reader.read(REGION);
        let of_all = reader.read(ENDPOINT);
        let own = reader.read(LOGS_ENDPOINT).or(of_all);
        let proxy = Proxy::read(reader);
        if credentials.is_none() {
            reader.mistake(
                ACCESS_KEY_ID,
                "needed, with AWS_SECRET_ACCESS_KEY, or AWS_CONTAINER_CREDENTIALS_FULL_URI, which Lambda sets",
            );
        }
        let Some(region) = region else {
            reader.mistake(REGION, "missing: set the region of the log groups");
            return None;
        };
        let Some(endpoint) = own.or_else(|| service_endpoint("logs", &region)) else {
            reader.mistake(REGION, "is not a region");
            return None;
        };
        Some(Self { credentials: credentials?, region, endpoint, proxy })
    }
}

/// A request without success, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct LogsError {
    /// AWS's code, `AccessDeniedException`; empty without an answer of AWS.
    code: String,
    is_late: bool,
    text: String,
}

impl LogsError {
    /// Returns `true` if the log group or the filter does not exist.
    pub fn is_gone(&self) -> bool {
        self.code == "ResourceNotFoundException"
    }

    /// Returns `true` if the deadline passed, and a later request may succeed.
    pub fn is_late(&self) -> bool {
        self.is_late
    }
}

/// A request that was sent once without success.
struct FailedAttempt {
    error: LogsError,
    retry: Retry,
}

/// How often a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    Never,
    /// A temporary error.
    AFewTimes,
    /// Throttling: the request will succeed at a lower rate.
    UntilDeadline,
}

/// An operation of CloudWatch Logs, as its errors name it.
#[derive(Clone, Copy, Debug)]
struct Operation<'a> {
    name: &'static str,
    /// A log group, or the prefix of several; may be empty.
    subject: &'a str,
}

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if self.subject.is_empty() { Ok(()) } else { write!(f, " of {}", self.subject) }
    }
}

impl Operation<'_> {
    /// The error after the deadline, with the temporary error of the last attempt.
    fn too_late(self, cause: Option<&LogsError>) -> LogsError {
        let text = match cause {
            Some(cause) => format!("{cause}; the deadline has passed"),
            None => format!("{self} was not called: the deadline has passed"),
        };
        LogsError { code: String::new(), is_late: true, text }
    }

    fn no_response(self, text: &str) -> LogsError {
        let text = format!("{self} got no answer: {}", excerpt(text));
        LogsError { code: String::new(), is_late: false, text }
    }

    /// The error of a successful answer that has not the operation's form.
    fn unreadable(self) -> LogsError {
        let text = format!("{self} got an unreadable answer: {NOT_OF_AWS}");
        LogsError { code: String::new(), is_late: false, text }
    }

    fn refused(self, response: &AwsResponse) -> FailedAttempt {
        let status = response.status;
        let refusal = response.refusal();
        let retry = Retry::after(status, &refusal);
        let ErrorResponse { code, message, .. } = refusal;
        let mut reason =
            if code.is_empty() { format!("status {status}: {NOT_OF_AWS}") } else { code.clone() };
        if !message.is_empty() {
            reason = format!("{reason}: {}", excerpt(&message));
        }
        if code == "AccessDeniedException" {
            reason = format!("{reason}; allow logs:{}", self.name);
        }
        let text = format!("{self} was refused with {reason}");
        FailedAttempt { error: LogsError { code, is_late: false, text }, retry }
    }
}

impl Retry {
    /// The retries after a refusal (CloudWatch Logs API Reference, "Common errors"; "PutSubscriptionFilter" for a function or a
    /// stream whose permission has not propagated, and `OperationAbortedException` for concurrent changes).
    fn after(status: u16, refusal: &ErrorResponse) -> Self {
        let ErrorResponse { code, message, is_throttled } = refusal;
        if *is_throttled {
            return Self::UntilDeadline;
        }
        let without_permission = ["execute the lambda function", "deliver test message"];
        let may_get_permission = code == "InvalidParameterException"
            && without_permission.iter().any(|problem| message.contains(problem));
        let is_temporary =
            status >= 500 || code == "OperationAbortedException" || may_get_permission;
        if is_temporary { Self::AFewTimes } else { Self::Never }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_cloudwatch_logs_are_classified_for_retry() {
        let check = |status, body: &str, expected: Retry, words: &str| {
            let operation = Operation { name: "PutSubscriptionFilter", subject: "/g" };
            let failed = operation.refused(&AwsResponse { status, body: body.into() });
            assert_eq!(failed.retry, expected, "{body}");
            let text = format!("PutSubscriptionFilter of /g was refused with {words}");
            assert_eq!(failed.error.to_string(), text, "{body}");
        };
        let throttled = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
        check(400, throttled, Retry::UntilDeadline, "ThrottlingException: Rate exceeded");
        let words = format!("status 429: {NOT_OF_AWS}");
        check(429, "slow down", Retry::UntilDeadline, &words);
        let unavailable = r#"{"__type":"ServiceUnavailableException"}"#;
        check(503, unavailable, Retry::AFewTimes, "ServiceUnavailableException");
        for message in [
            "Could not execute the lambda function.",
            "Could not deliver test message to specified Kinesis stream.",
        ] {
            let body = format!(r#"{{"__type":"InvalidParameterException","message":"{message}"}}"#);
            let words = format!("InvalidParameterException: {message}");
            check(400, &body, Retry::AFewTimes, &words);
        }
        let denied = r#"{"__type":"AccessDeniedException","message":"not you"}"#;
        let advice = "AccessDeniedException: not you; allow logs:PutSubscriptionFilter";
        check(400, denied, Retry::Never, advice);
        let limited = r#"{"__type":"LimitExceededException"}"#;
        check(400, limited, Retry::Never, "LimitExceededException");
        let operation = Operation { name: "DescribeLogGroups", subject: "" };
        let late = "DescribeLogGroups was not called: the deadline has passed";
        assert_eq!(operation.too_late(None).to_string(), late);
    }
}
