//! CloudWatch Logs by AWS JSON 1.1: log groups, their tags and events, and their subscription filters.
//!
//! Each operation is idempotent: putting a filter twice has the effect of once, and deleting a missing one succeeds.

use crate::api::{Api, ApiError, ApiRequest, ApiSettings, Attempts, Refusal, Service};
use crate::client::{
    AwsClient, AwsResponse, Caller, EndpointOptions, ErrorResponse, excerpt, service_endpoint,
};
use crate::credentials::CredentialsSource;
use crate::signature::PathEncoding;
use crate::variables::{ACCESS_KEY_ID, ENDPOINT, LOGS_ENDPOINT, REGION};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use settings::{Proxy, Reader};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeFrom;
use std::time::SystemTime;
use tokio::time::Instant;
use wire::arn::account_id;

/// CloudWatch Logs.
pub const LOGS_SERVICE: Service = Service {
    name: "logs",
    path_encoding: PathEncoding::Twice,
    // A page of `FilterLogEvents` has 1 MB of messages, up to six times as many in JSON.
    max_response_bytes: 8 << 20,
    read_error: AwsResponse::refusal,
    is_temporary,
};

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

/// The log events that `FilterLogEvents` returns.
#[derive(Clone, Copy, Debug)]
pub struct LogSearch<'a> {
    /// Their earliest time, in milliseconds since the Unix epoch.
    pub from_ms: i64,
    /// Their times are before this one; `None` for all.
    pub before_ms: Option<i64>,
    /// A filter pattern; `None` for all.
    pub pattern: Option<&'a str>,
}

impl From<RangeFrom<i64>> for LogSearch<'_> {
    fn from(times: RangeFrom<i64>) -> Self {
        Self { from_ms: times.start, before_ms: None, pattern: None }
    }
}

/// An account's policy for subscriptions (CloudWatch Logs API Reference, "AccountPolicy").
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccountPolicy {
    #[serde(rename = "policyName")]
    pub name: String,
    /// JSON with the destination and the filter pattern.
    #[serde(rename = "policyDocument")]
    pub document: String,
    #[serde(rename = "selectionCriteria")]
    pub selection_criteria: String,
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
struct AccountPoliciesAnswer {
    #[serde(default)]
    account_policies: Vec<AccountPolicy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogStreamsAnswer {
    #[serde(default)]
    log_streams: Vec<LogStream>,
}

#[derive(Deserialize)]
struct LogStream {
    #[serde(rename = "logStreamName")]
    name: String,
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
    api: Api,
}

impl CloudWatchLogs {
    /// Creates a client from these settings; `clock` gives the signing time.
    pub fn new(settings: ApiSettings, caller: Caller, clock: fn() -> SystemTime) -> Self {
        Self { api: Api::new(&LOGS_SERVICE, settings, caller, clock) }
    }

    /// Sends with this client, which knows the proxy.
    pub fn with_client(settings: ApiSettings, client: AwsClient) -> Self {
        Self { api: Api::with_client(&LOGS_SERVICE, settings, client) }
    }

    pub fn wall_clock(&self) -> SystemTime {
        self.api.wall_clock()
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

    /// Log events of a log group that `search` selects, in order of time.
    pub async fn log_events(
        &self,
        group: &str,
        search: LogSearch<'_>,
        next: Option<String>,
        deadline: Instant,
    ) -> Result<Page<FilteredLogEvent>, LogsError> {
        let body = members([
            ("logGroupName", Some(group.into())),
            ("startTime", Some(search.from_ms.into())),
            // AWS includes the end of the range.
            ("endTime", search.before_ms.map(|before_ms| (before_ms - 1).into())),
            ("filterPattern", search.pattern.map(Value::from)),
            ("nextToken", next.map(Value::from)),
        ]);
        let operation = Operation { name: "FilterLogEvents", subject: group };
        let answer: LogEventsAnswer = self.ask(operation, &body, deadline).await?;
        Ok(Page { items: answer.events, next: answer.next_token })
    }

    /// The newest log events of the newest log stream, at most `limit`; `None` if the log group has no stream.
    pub async fn newest_log_events(
        &self,
        group: &str,
        limit: u32,
        deadline: Instant,
    ) -> Result<Option<Vec<FilteredLogEvent>>, LogsError> {
        let operation = Operation { name: "DescribeLogStreams", subject: group };
        let body = json!({
            "logGroupName": group, "orderBy": "LastEventTime", "descending": true, "limit": 1,
        });
        let answer: LogStreamsAnswer = self.ask(operation, &body, deadline).await?;
        let Some(LogStream { name }) = answer.log_streams.into_iter().next() else {
            return Ok(None);
        };
        let operation = Operation { name: "GetLogEvents", subject: group };
        let body = json!({
            "logGroupName": group, "logStreamName": name, "startFromHead": false, "limit": limit,
        });
        let answer: LogEventsAnswer = self.ask(operation, &body, deadline).await?;
        Ok(Some(answer.events))
    }

    /// The account's policies for subscriptions, of which AWS permits one.
    pub async fn subscription_policies(
        &self,
        deadline: Instant,
    ) -> Result<Vec<AccountPolicy>, LogsError> {
        let operation = Operation { name: "DescribeAccountPolicies", subject: "" };
        let body = json!({ "policyType": "SUBSCRIPTION_FILTER_POLICY" });
        let answer: AccountPoliciesAnswer = self.ask(operation, &body, deadline).await?;
        Ok(answer.account_policies)
    }

    async fn ask<A: DeserializeOwned>(
        &self,
        operation: Operation<'_>,
        body: &Value,
        deadline: Instant,
    ) -> Result<A, LogsError> {
        let response = self.send(operation, body, deadline).await?;
        serde_json::from_slice(&response.body).map_err(|_| operation.failed(ApiError::Unreadable))
    }

    async fn send(
        &self,
        operation: Operation<'_>,
        body: &Value,
        deadline: Instant,
    ) -> Result<AwsResponse, LogsError> {
        let target = format!("Logs_20140328.{}", operation.name);
        let request = ApiRequest::new_json("1.1", target, body);
        let sent = self.api.send(&request, deadline).await;
        sent.map_err(|cause| operation.failed(cause))
    }
}

/// Returns `true` for errors that pass by themselves ("PutSubscriptionFilter" for a function or a stream whose permission has not
/// propagated, and `OperationAbortedException` for concurrent changes).
fn is_temporary(refusal: &ErrorResponse) -> bool {
    let ErrorResponse { code, message, .. } = refusal;
    let without_permission = ["execute the lambda function", "deliver test message"];
    let may_get_permission = code == "InvalidParameterException"
        && without_permission.iter().any(|problem| message.contains(problem));
    code == "OperationAbortedException" || may_get_permission
}

/// The answer of a proxy, or of another server.
const NOT_OF_AWS: &str =
    "the answer is not one of CloudWatch Logs; check AWS_ENDPOINT_URL and proxies";

fn members<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect())
}

impl ApiSettings {
    /// Reads the settings of CloudWatch Logs from the rows of [`AWS`](crate::AWS), [`LOGS`](crate::LOGS) and [`settings::PROXY`].
    /// Returns `None` after noting missing settings.
    pub fn read_for_logs(reader: &mut Reader<'_>) -> Option<Self> {
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
        let Some(endpoint) =
            own.or_else(|| service_endpoint("logs", &region, EndpointOptions::default()))
        else {
            reader.mistake(REGION, "is not a region");
            return None;
        };
        let attempts = Attempts::UntilDeadline;
        Some(Self { credentials: credentials?, region, endpoint, proxy, attempts })
    }
}

/// A call of CloudWatch Logs without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogsError {
    operation: String,
    /// The permission that the operation needs.
    permission: String,
    cause: ApiError,
}

impl LogsError {
    pub fn cause(&self) -> &ApiError {
        &self.cause
    }

    /// The permission that the operation needs: `logs:GetLogEvents`.
    pub fn permission(&self) -> &str {
        &self.permission
    }

    /// Returns `true` if the log group or the filter does not exist.
    pub fn is_gone(&self) -> bool {
        self.cause.code() == Some("ResourceNotFoundException")
    }

    /// Returns `true` if the deadline passed, and a later request may succeed.
    pub fn is_late(&self) -> bool {
        matches!(self.cause, ApiError::Late(_))
    }

    fn describe(&self, cause: &ApiError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, permission, .. } = self;
        match cause {
            ApiError::Refused(Refusal { code, .. }) => {
                write!(f, "{operation} was refused with {cause}")?;
                if code == "AccessDeniedException" {
                    write!(f, "; allow {permission}")
                } else {
                    Ok(())
                }
            }
            ApiError::NotOfAws(status) => {
                write!(f, "{operation} was refused with status {status}: {NOT_OF_AWS}")
            }
            ApiError::Unreadable => write!(f, "{operation} got an unreadable answer: {NOT_OF_AWS}"),
            ApiError::NoAnswer(_) | ApiError::NoCredentials(_) => {
                write!(f, "{operation} got no answer: {}", excerpt(&cause.to_string()))
            }
            ApiError::Late(None) => write!(f, "{operation} was {cause}"),
            ApiError::Late(Some(last)) => {
                self.describe(last, f)?;
                f.write_str("; the deadline has passed")
            }
        }
    }
}

impl fmt::Display for LogsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(&self.cause, f)
    }
}

impl std::error::Error for LogsError {}

/// An operation of CloudWatch Logs, as its errors name it.
#[derive(Clone, Copy, Debug)]
struct Operation<'a> {
    name: &'static str,
    /// A log group, or the prefix of several; may be empty.
    subject: &'a str,
}

impl Operation<'_> {
    fn failed(self, cause: ApiError) -> LogsError {
        let Self { name, subject } = self;
        let operation =
            if subject.is_empty() { name.to_owned() } else { format!("{name} of {subject}") };
        LogsError { operation, permission: format!("logs:{name}"), cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_operation_its_reason_and_the_missing_permission() {
        let check = |cause: ApiError, expected: &str| {
            let operation = Operation { name: "PutSubscriptionFilter", subject: "/g" };
            let text = format!("PutSubscriptionFilter of /g {expected}");
            assert_eq!(operation.failed(cause).to_string(), text);
        };
        let refused = |code: &str, message: &str| {
            let (code, message) = (code.to_owned(), message.to_owned());
            ApiError::Refused(Refusal { status: 400, code, message })
        };
        let limit = "LimitExceededException";
        check(refused(limit, ""), "was refused with LimitExceededException");
        check(
            refused("AccessDeniedException", "not you"),
            "was refused with AccessDeniedException: not you; allow logs:PutSubscriptionFilter",
        );
        check(
            ApiError::Late(Some(Box::new(refused(limit, "ten")))),
            "was refused with LimitExceededException: ten; the deadline has passed",
        );
        check(ApiError::NotOfAws(429), &format!("was refused with status 429: {NOT_OF_AWS}"));
        check(ApiError::Late(None), "was not called: the deadline has passed");
    }
}
