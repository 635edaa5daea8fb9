//! AWS, as the commands use it: credentials, region and endpoints of this machine, and the clients of its services.
//!
//! Credentials, region, profile and endpoints are read like AWS's own tools do, for example from `AWS_PROFILE`,
//! `~/.aws` (including SSO), `AWS_REGION` and `AWS_ENDPOINT_URL_SQS` (AWS SDKs and Tools Reference Guide,
//! "Service-specific endpoints"): by AWS's SDK. Requests to services are signed and sent by the crate `aws`.

mod connector;
mod credentials;
mod errors;
mod lambda;
mod sqs;
mod xml;

use ::aws::{
    Api, ApiError, ApiSettings, Attempts, AwsResponse, CloudWatchLogs, CloudWatchMetrics,
    Credentials, CredentialsLoader, CredentialsSource, EndpointOptions, LOGS_SERVICE, LogsError,
    METRICS_SERVICE, Service, is_s3, service_endpoint,
};
use anyhow::{Context as _, anyhow, bail};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_types::service_config::ServiceConfigKey;
use connector::OwnHttpClient;
use forwarder::wall_clock_now;
use serde::de::DeserializeOwned;
use serde_json::Value;
use settings::{Pattern, Proxy};
use std::collections::HashMap;
use std::slice;
use std::time::Duration;
use subscriber::{KinesisStream, is_regional_copy};
use tokio::time::Instant;
use url::Url;
use wire::arn::account_id;

pub(crate) use errors::{explain, is_denied};
pub(crate) use lambda::{
    EventSourceMapping, FunctionConfiguration, Lambda, MISSING, MappingsOf, TaggedFunction,
};
pub(crate) use sqs::{Queue, ReceivedMessage};
pub(crate) use xml::{Bucket, ListedObject, StackResource, StackValues};

/// The longest time of a call with its retries.
const LONGEST: Duration = Duration::from_mins(2);

/// The deadline of a call that begins now.
pub(crate) fn deadline() -> Instant {
    Instant::now() + LONGEST
}

/// Region and profile.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct AwsArguments {
    /// AWS region; by default, the one of the environment or profile.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Profile in AWS's configuration files; by default, AWS_PROFILE.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
}

impl AwsArguments {
    /// Returns these arguments with the region of a queue, unless `--region` names one.
    pub(crate) fn or_region_of(&self, queue_url: Option<&str>) -> Self {
        let region = queue_url.and_then(region_of);
        Self { region: self.region.clone().or(region), ..self.clone() }
    }

    /// Returns the given arguments as flags of a command that the user may copy, each with a space before it.
    pub(crate) fn flags(&self) -> String {
        let word = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!(" {name} {value}")).unwrap_or_default()
        };
        word("--region", &self.region) + &word("--profile", &self.profile)
    }

    // For `dev`, which runs on Linux only.
    #[cfg(target_os = "linux")]
    pub(crate) fn are_given(&self) -> bool {
        self.region.is_some() || self.profile.is_some()
    }
}

/// Returns the flags with which a command finds a forwarder: its stack, or else its ARN. `aws_flags` are region and profile.
pub(crate) fn forwarder_flags(stack: Option<&str>, arn: &str, aws_flags: &str) -> String {
    match stack {
        Some(stack) => format!("--stack {stack}{aws_flags}"),
        None => format!("--destination {arn}{aws_flags}"),
    }
}

/// The credentials and settings of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    config: SdkConfig,
    credentials: CredentialsLoader,
    proxy: Option<Proxy>,
}

impl Machine {
    /// Fails if a variable names no valid proxy.
    pub(crate) async fn load(arguments: &AwsArguments) -> anyhow::Result<Self> {
        let proxy = connector::read_proxy()?;
        let http = OwnHttpClient::shared(proxy.clone());
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
        if let Some(region) = &arguments.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &arguments.profile {
            loader = loader.profile_name(profile);
        }
        let config = loader.load().await;
        let credentials = credentials::loader(&config, arguments.profile.as_deref(), http);
        Ok(Self { config, credentials, proxy })
    }

    pub(crate) fn region(&self) -> Option<&str> {
        self.config.region().map(AsRef::as_ref)
    }

    /// Returns the credentials as they are now.
    pub(crate) async fn signing_credentials(&self) -> anyhow::Result<Credentials> {
        self.credentials.current(wall_clock_now()).await.map_err(|text| anyhow!(text))
    }

    /// Returns the credentials as the variables that Lambda sets.
    pub(crate) async fn credential_variables(&self) -> anyhow::Result<HashMap<String, String>> {
        let Credentials { access_key_id, secret_access_key, session_token } =
            self.signing_credentials().await?;
        let mut variables = HashMap::from([
            ("AWS_ACCESS_KEY_ID".to_owned(), access_key_id),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), secret_access_key.expose().to_owned()),
        ]);
        if let Some(token) = session_token {
            variables.insert("AWS_SESSION_TOKEN".to_owned(), token.expose().to_owned());
        }
        Ok(variables)
    }

    /// Returns the URL that stands for a service; `id` is its name in AWS's configuration files.
    fn stated_endpoint(&self, id: &str) -> anyhow::Result<Option<Url>> {
        let key = ServiceConfigKey::builder()
            .service_id(id)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()?;
        let own = self.config.service_config().and_then(|config| config.load_config(key));
        let stated = own.or_else(|| self.config.endpoint_url().map(str::to_owned));
        let parse = |text: String| {
            Url::parse(&text).map_err(|error| {
                anyhow!("the endpoint of {id} must be an absolute URL, got {text}: {error}: correct AWS_ENDPOINT_URL or endpoint_url of the profile")
            })
        };
        stated.map(parse).transpose()
    }
}

/// A region of AWS with the credentials of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Aws {
    machine: Machine,
    region: String,
    attempts: Attempts,
}

/// A service, and its name in AWS's configuration files.
#[derive(Clone, Copy)]
struct ServiceRow {
    service: &'static Service,
    id: &'static str,
}

const LAMBDA: ServiceRow = ServiceRow { service: &lambda::LAMBDA, id: "Lambda" };
const LOGS: ServiceRow = ServiceRow { service: &LOGS_SERVICE, id: "CloudWatch Logs" };
const METRICS: ServiceRow = ServiceRow { service: &METRICS_SERVICE, id: "CloudWatch" };
const SQS: ServiceRow = ServiceRow { service: &sqs::SQS, id: "SQS" };
const S3: ServiceRow = ServiceRow { service: &xml::S3, id: "S3" };
const STS: ServiceRow = ServiceRow { service: &xml::STS, id: "STS" };
const CLOUDFORMATION: ServiceRow =
    ServiceRow { service: &xml::CLOUDFORMATION, id: "CloudFormation" };

impl Aws {
    /// Reads the credentials and settings of this machine. Fails without a region.
    pub(crate) async fn load(arguments: &AwsArguments) -> anyhow::Result<Self> {
        let machine = Machine::load(arguments).await?;
        let region = machine.region().map(str::to_owned);
        let region = region.context("missing region: give --region, or set AWS_REGION")?;
        let retries = machine.config.retry_config();
        let attempts = retries.map_or(3, aws_config::retry::RetryConfig::max_attempts);
        let attempts = Attempts::AtMost(attempts);
        Ok(Self { machine, region, attempts })
    }

    /// Repeats throttled requests until the deadline, for commands that send hundreds.
    pub(crate) fn patient(&self) -> Self {
        Self { attempts: Attempts::UntilDeadline, ..self.clone() }
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(crate) fn lambda(&self) -> anyhow::Result<Lambda> {
        Ok(Lambda::new(self.api(LAMBDA)?))
    }

    pub(crate) fn logs(&self) -> anyhow::Result<CloudWatchLogs> {
        let settings = self.settings(LOGS, &self.region)?;
        Ok(CloudWatchLogs::new(settings, ::aws::Caller::Terminal, wall_clock_now))
    }

    pub(crate) fn metrics(&self) -> anyhow::Result<CloudWatchMetrics> {
        let settings = self.settings(METRICS, &self.region)?;
        Ok(CloudWatchMetrics::new(settings, ::aws::Caller::Terminal, wall_clock_now))
    }

    pub(crate) fn cloudformation(&self) -> anyhow::Result<xml::CloudFormation> {
        Ok(xml::CloudFormation::new(self.api(CLOUDFORMATION)?))
    }

    /// Returns a client for a queue, which may be in another region.
    pub(crate) fn queue(&self, url: &str) -> anyhow::Result<Queue> {
        let region = region_of(url);
        let settings = self.settings(SQS, region.as_deref().unwrap_or(&self.region))?;
        Ok(Queue::new(new_api(SQS.service, settings), url))
    }

    pub(crate) fn bucket(&self, name: &str) -> anyhow::Result<Bucket> {
        let mut settings = self.settings(S3, &self.region)?;
        settings.endpoint = bucket_endpoint(&settings.endpoint, name);
        Ok(Bucket::new(new_api(S3.service, settings), name))
    }

    fn api(&self, row: ServiceRow) -> anyhow::Result<Api> {
        Ok(new_api(row.service, self.settings(row, &self.region)?))
    }

    fn settings(&self, row: ServiceRow, region: &str) -> anyhow::Result<ApiSettings> {
        let machine = &self.machine;
        let options = EndpointOptions {
            fips: machine.config.use_fips().unwrap_or_default(),
            dual_stack: machine.config.use_dual_stack().unwrap_or_default(),
        };
        let aws_endpoint = || {
            service_endpoint(row.service.name, region, options).with_context(|| {
                format!("{region:?} is not a region: correct --region or AWS_REGION")
            })
        };
        let endpoint = machine.stated_endpoint(row.id)?.map_or_else(aws_endpoint, Ok)?;
        Ok(ApiSettings {
            credentials: CredentialsSource::Loader(machine.credentials.clone()),
            region: region.to_owned(),
            endpoint,
            proxy: machine.proxy.clone(),
            attempts: self.attempts,
        })
    }
}

/// The endpoint of a bucket below that of S3. DNS does not resolve {bucket}.{host} on an endpoint other than AWS's, and AWS's
/// certificates do not cover a name with dots: there the bucket stands in the path.
fn bucket_endpoint(s3: &Url, bucket: &str) -> Url {
    let mut endpoint = s3.clone();
    let host = s3.host_str().unwrap_or_default();
    let is_in_host = is_s3(s3) && !bucket.contains('.');
    if !is_in_host || endpoint.set_host(Some(&format!("{bucket}.{host}"))).is_err() {
        endpoint.set_path(&format!("{}/{bucket}", s3.path().trim_end_matches('/')));
    }
    endpoint
}

fn new_api(service: &'static Service, settings: ApiSettings) -> Api {
    Api::new(service, settings, ::aws::Caller::Terminal, wall_clock_now)
}

/// Reads an answer in JSON. A member that is null counts as absent.
fn read_json<A: DeserializeOwned>(response: &AwsResponse) -> Result<A, ApiError> {
    let not_of_aws = |_| ApiError::NotOfAws(response.status);
    let mut value: Value = serde_json::from_slice(&response.body).map_err(not_of_aws)?;
    remove_nulls(&mut value);
    serde_json::from_value(value).map_err(|_| ApiError::Unreadable)
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

pub(crate) fn region_of(queue_url: &str) -> Option<String> {
    let url = Url::parse(queue_url).ok()?;
    ::aws::region_of_host(url.host_str()?).map(str::to_owned)
}

/// Describes the place of requests: `region eu-west-1, account 123456789012`.
pub(crate) async fn place(aws: &Aws) -> String {
    let account = account(aws).await;
    format!("region {}, account {}", aws.region, account.as_deref().unwrap_or("unknown"))
}

/// Returns the account of the credentials. This call needs no permission.
pub(crate) async fn account(aws: &Aws) -> Option<String> {
    xml::account(&aws.api(STS).ok()?).await.ok()?
}

/// A log group, and the account that it belongs to.
#[derive(Debug)]
pub(crate) struct OwnedLogGroup {
    pub(crate) name: String,
    pub(crate) account: String,
}

/// Returns the log groups whose names match. Fails if there is none.
pub(crate) async fn log_groups(
    aws: &Aws,
    client: &CloudWatchLogs,
    pattern: &str,
) -> anyhow::Result<Vec<OwnedLogGroup>> {
    let groups = matching_log_groups(client, pattern).await?;
    if groups.is_empty() {
        let place = place(aws).await;
        let hint = hint_without_path([pattern].into_iter());
        let remedy = hint.as_deref().unwrap_or("check its name, --region and --profile");
        bail!("there is no log group {pattern} in {place}: {remedy}");
    }
    Ok(groups)
}

/// Returns a hint about a pattern without a path, which names no log group: a function's name is only a part of its log group's
/// name.
pub(crate) fn hint_without_path<'a>(patterns: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut patterns = patterns.map(str::trim).filter(|pattern| !pattern.is_empty());
    let pattern = patterns.find(|pattern| !pattern.contains('/') && !pattern.starts_with('*'))?;
    Some(format!(
        "a pattern matches the whole name of a log group, so for functions use '/aws/lambda/{pattern}'"
    ))
}

/// Returns the log groups whose names match, without [regional copies](is_regional_copy); without a `*`, the log group with this name.
pub(crate) async fn matching_log_groups(
    client: &CloudWatchLogs,
    pattern: &str,
) -> anyhow::Result<Vec<OwnedLogGroup>> {
    let wanted = Pattern::new(pattern);
    let mut groups = Vec::new();
    let mut next = None;
    loop {
        let page = client.log_groups(wanted.prefix(), next, deadline()).await;
        let page =
            page.map_err(|error| explain(error.cause())).context("cannot list log groups")?;
        for group in page.items {
            let is_copy = is_regional_copy(&group.name, slice::from_ref(&wanted));
            if wanted.matches(&group.name) && !is_copy {
                let account = account_id(&group.arn).unwrap_or_default().to_owned();
                groups.push(OwnedLogGroup { name: group.name, account });
            }
        }
        next = page.next;
        if next.is_none() {
            return Ok(groups);
        }
    }
}

/// Returns `true` if an account's policy for subscriptions, with these selection criteria, leaves out this log group.
///
/// Source: CloudWatch Logs API Reference, "PutAccountPolicy": `LogGroupName NOT IN ["…"]` is the only criterion.
pub(crate) fn policy_excludes(criteria: &str, group: &str) -> bool {
    let list = criteria.find('[').and_then(|start| criteria.get(start..));
    let excluded: Vec<String> =
        list.and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default();
    excluded.iter().any(|name| name == group)
}

/// A region independent of this machine.
#[cfg(test)]
pub(crate) fn for_tests(endpoint: &str) -> Aws {
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    let credentials = Credentials::new("AKIDTEST", "hunter2", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build();
    let credentials = credentials::loader(&config, None, OwnHttpClient::shared(None));
    let machine = Machine { config, credentials, proxy: None };
    Aws { machine, region: "eu-central-1".to_owned(), attempts: Attempts::AtMost(3) }
}

const FORWARDER: &str = "ForwarderFunction";

/// Returns the name of a stack's resource with this logical id.
pub(crate) async fn resource_name(aws: &Aws, stack: &str, id: &str) -> anyhow::Result<String> {
    let named = aws.cloudformation()?.resource_name(stack, id).await;
    let name = named.map_err(|error| explain(&error))?;
    name.context("AWS returned a resource without a name")
}

/// There is no such stack, or one without a forwarder.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no stack {stack} with a {FORWARDER} in {place}: check --stack, --region and --profile"
)]
pub(crate) struct NoStack {
    stack: String,
    /// Region and account.
    place: String,
}

/// Returns `true` if this is CloudFormation's error about a stack, or a resource of it, that does not exist.
pub(crate) fn says_no_stack(error: &anyhow::Error) -> bool {
    error.root_cause().to_string().starts_with("ValidationError")
}

/// The forwarder of a stack was deleted, but not by the stack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the forwarder {function} of stack {stack} does not exist: it was deleted outside of CloudFormation, which creates it only in a new stack: delete the stack, then deploy it again; its queues, bucket and layers stay"
)]
pub(crate) struct NoForwarder {
    stack: String,
    function: String,
}

pub(crate) async fn forwarder_of(aws: &Aws, stack: &str) -> anyhow::Result<FunctionConfiguration> {
    let name = match resource_name(aws, stack, FORWARDER).await {
        Ok(name) => name,
        Err(error) if says_no_stack(&error) => {
            let place = place(aws).await;
            return Err(NoStack { stack: stack.to_owned(), place }.into());
        }
        Err(error) => return Err(error.context(format!("cannot read stack {stack}"))),
    };
    match aws.lambda()?.function_configuration(&name, None).await {
        Ok(configuration) => Ok(configuration),
        Err(error) if error.code() == Some(MISSING) => {
            Err(NoForwarder { stack: stack.to_owned(), function: name }.into())
        }
        Err(error) => Err(unread_function(&error, &name)),
    }
}

pub(crate) async fn function(aws: &Aws, name: &str) -> anyhow::Result<FunctionConfiguration> {
    let read = aws.lambda()?.function_configuration(name, None).await;
    read.map_err(|error| unread_function(&error, name))
}

fn unread_function(error: &ApiError, name: &str) -> anyhow::Error {
    explain(error).context(format!("cannot read function {name}"))
}

/// Returns the Kinesis stream of a stack; `None` if its log groups invoke the forwarder directly.
pub(crate) async fn stream_of(aws: &Aws, stack: &str) -> anyhow::Result<Option<KinesisStream>> {
    let StackValues { outputs, .. } = stack_values(aws, stack).await?;
    let value = |name: &str| outputs.get(name).cloned();
    let arn = value("KinesisStreamArn");
    let role = value("SubscriptionRoleArn");
    Ok(arn.zip(role).map(|(arn, role)| KinesisStream { arn, role }))
}

pub(crate) async fn stack_values(aws: &Aws, stack: &str) -> anyhow::Result<StackValues> {
    let values = aws.cloudformation()?.stack_values(stack).await;
    values.map_err(|error| explain(&error)).with_context(|| format!("cannot read stack {stack}"))
}

/// The error of a call of CloudWatch Logs, in which a missing permission has its name.
pub(crate) fn unread_logs(error: &LogsError) -> anyhow::Error {
    let explained = explain(error.cause());
    if is_denied(&explained) {
        anyhow!("these credentials lack {}", error.permission())
    } else {
        explained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_in_the_host_of_aws_and_in_the_path_elsewhere() {
        for (s3, bucket, expected) in [
            (
                "https://s3.eu-west-1.amazonaws.com/",
                "events",
                "https://events.s3.eu-west-1.amazonaws.com/",
            ),
            (
                "https://s3.eu-west-1.amazonaws.com/",
                "my.events",
                "https://s3.eu-west-1.amazonaws.com/my.events",
            ),
            ("http://127.0.0.1:4566/", "events", "http://127.0.0.1:4566/events"),
        ] {
            assert_eq!(bucket_endpoint(&Url::parse(s3).unwrap(), bucket).as_str(), expected);
        }
    }
}
