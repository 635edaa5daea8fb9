//! The configuration of AWS's clients, and their errors.
//!
//! Credentials, region, profile and endpoints are read like AWS's own tools do, for example from `AWS_PROFILE`,
//! `~/.aws` (including SSO), `AWS_REGION` and `AWS_ENDPOINT_URL_SQS` (AWS SDKs and Tools Reference Guide,
//! "Service-specific endpoints").

mod connection;
mod profile;

use ::aws::{Credentials, LOGS, LogsSettings};
use anyhow::{Context as _, anyhow, bail};
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_lambda::operation::get_function_configuration::{
    GetFunctionConfigurationError, GetFunctionConfigurationOutput,
};
use aws_sdk_sqs::config::{ProvideCredentials as _, SharedCredentialsProvider, SharedHttpClient};
use aws_sdk_sqs::error::{ErrorMetadata, ProvideErrorMetadata as _, SdkError};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use connection::BoundedClient;
use console::waterfall::draw::short;
use profile::{NamedProfile, NoProfile};
use settings::{Env, InvalidSettings, Pattern, Reader, Secret, Source as _, Table};
use std::collections::HashMap;
use std::error::Error;
use subscriber::KinesisStream;
use url::Url;
use wire::arn::account_id;

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

pub(crate) async fn load(arguments: &AwsArguments) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client());
    if let Some(region) = &arguments.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let Some(profile) = &arguments.profile else { return loader.load().await };
    let aws = loader.profile_name(profile).load().await;
    // As in the AWS CLI, `--profile` takes precedence over the environment's credentials.
    let provider = ProviderConfig::without_region()
        .with_region(aws.region().cloned())
        .with_http_client(http_client());
    let credentials = SharedCredentialsProvider::new(NamedProfile::new(profile, &provider));
    aws.into_builder().credentials_provider(credentials).build()
}

fn region_of(queue_url: &str) -> Option<String> {
    let url = Url::parse(queue_url).ok()?;
    ::aws::region_of_host(url.host_str()?).map(str::to_owned)
}

/// Returns a client for a queue, which may be in another region.
pub(crate) fn sqs(aws: &SdkConfig, queue_url: &str) -> aws_sdk_sqs::Client {
    let region = region_of(queue_url).map(Region::new).or(aws.region().cloned());
    let config = aws_sdk_sqs::config::Builder::from(aws).region(region);
    aws_sdk_sqs::Client::from_conf(config.build())
}

fn http_client() -> SharedHttpClient {
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    BoundedClient::of(client)
}

pub(crate) fn s3(aws: &SdkConfig) -> aws_sdk_s3::Client {
    // DNS does not resolve {bucket}.{host} on an endpoint other than AWS's.
    let is_stand_in = aws.endpoint_url().is_some() || Env.get("AWS_ENDPOINT_URL_S3").is_some();
    let config = aws_sdk_s3::config::Builder::from(aws).force_path_style(is_stand_in);
    aws_sdk_s3::Client::from_conf(config.build())
}

const SUBSCRIBING: Table = Table::new(&[LOGS, ::aws::AWS, settings::PROXY]);

pub(crate) async fn logs_settings(aws: &SdkConfig) -> anyhow::Result<LogsSettings> {
    let mut variables = credentials(aws).await?;
    let region = aws.region().context("missing region: give --region, or set AWS_REGION")?;
    variables.insert("AWS_REGION".to_owned(), region.to_string());
    let endpoint = Env.get("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS");
    if let Some(endpoint) = endpoint.or_else(|| aws.endpoint_url().map(str::to_owned)) {
        variables.insert("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS".to_owned(), endpoint);
    }
    for row in settings::PROXY {
        variables.extend(Env.get(row.name).map(|value| (row.name.to_owned(), value)));
    }
    let mut reader = Reader::new(&variables, SUBSCRIBING);
    let read = LogsSettings::read(&mut reader);
    InvalidSettings::check(reader.finish())?;
    read.context("cannot call CloudWatch Logs")
}

/// Returns this machine's credentials as the variables that Lambda sets.
pub(crate) async fn credentials(aws: &SdkConfig) -> anyhow::Result<HashMap<String, String>> {
    let Credentials { access_key_id, secret_access_key, session_token } =
        signing_credentials(aws).await?;
    let mut variables = HashMap::from([
        ("AWS_ACCESS_KEY_ID".to_owned(), access_key_id),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), secret_access_key.expose().to_owned()),
    ]);
    if let Some(token) = session_token {
        variables.insert("AWS_SESSION_TOKEN".to_owned(), token.expose().to_owned());
    }
    Ok(variables)
}

pub(crate) async fn signing_credentials(aws: &SdkConfig) -> anyhow::Result<Credentials> {
    let provider = aws.credentials_provider().context("there are no AWS credentials")?;
    let credentials =
        provider.provide_credentials().await.map_err(|error| explain_causes(&error))?;
    Ok(Credentials {
        access_key_id: credentials.access_key_id().to_owned(),
        secret_access_key: Secret::new(credentials.secret_access_key()),
        session_token: credentials.session_token().map(Secret::new),
    })
}

/// Describes the place of requests: `region eu-west-1, account 123456789012`.
pub(crate) async fn place(aws: &SdkConfig) -> String {
    let region = aws.region().map_or("unknown", Region::as_ref);
    let account = account(aws).await;
    format!("region {region}, account {}", account.as_deref().unwrap_or("unknown"))
}

/// Returns the account of the credentials. This call needs no permission.
pub(crate) async fn account(aws: &SdkConfig) -> Option<String> {
    let identity = aws_sdk_sts::Client::new(aws).get_caller_identity().send().await;
    identity.ok()?.account
}

/// A log group, and the account that it belongs to.
#[derive(Debug)]
pub(crate) struct OwnedLogGroup {
    pub(crate) name: String,
    pub(crate) account: String,
}

/// Returns the log groups whose names match. Fails if there is none.
pub(crate) async fn log_groups(
    aws: &SdkConfig,
    client: &aws_sdk_cloudwatchlogs::Client,
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

/// Returns the log groups whose names match; without a `*`, the log group with this name.
pub(crate) async fn matching_log_groups(
    client: &aws_sdk_cloudwatchlogs::Client,
    pattern: &str,
) -> anyhow::Result<Vec<OwnedLogGroup>> {
    let wanted = Pattern::new(pattern);
    let prefix = Some(wanted.prefix().to_owned()).filter(|prefix| !prefix.is_empty());
    let request = client.describe_log_groups().set_log_group_name_prefix(prefix);
    let mut listed = request.into_paginator().items().send();
    let mut groups = Vec::new();
    while let Some(group) = listed.next().await {
        let group = group.map_err(|error| explain(&error)).context("cannot list log groups")?;
        let account = group.arn().and_then(account_id).unwrap_or_default();
        let name = group.log_group_name().unwrap_or_default();
        if wanted.matches(name) {
            groups.push(OwnedLogGroup { name: name.to_owned(), account: account.to_owned() });
        }
    }
    Ok(groups)
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

/// Describes an error of an AWS client on one line, with a remedy.
pub(crate) fn explain<E: Error + Send + Sync + 'static>(error: &SdkError<E>) -> anyhow::Error {
    let explained = explain_causes(error);
    match error.raw_response() {
        // A proxy's page, for example.
        Some(response)
            if explained.to_string() == error.to_string()
                || NOT_OF_AWS.iter().any(|words| explained.to_string().contains(words))
                || matches!(error, SdkError::ResponseError(_)) =>
        {
            let status = response.status().as_u16();
            anyhow!("HTTP {status} without an answer of AWS: check AWS_ENDPOINT_URL and proxies")
        }
        _ => explained,
    }
}

/// Words of the SDK's errors about answers that are neither JSON nor XML of AWS.
const NOT_OF_AWS: [&str; 2] = ["Error at offset", "error parsing XML"];
const LACKS_PERMISSION: &str = "these credentials lack that permission";
const NO_CREDENTIALS: &str = "there are no AWS credentials: set AWS_PROFILE, or give --profile, to a profile that `aws configure list-profiles` has, or sign in with the AWS CLI";

/// The remedy of an error of AWS.
#[derive(Debug)]
struct Remedy {
    /// Words of the error, in lower case.
    words: &'static [&'static str],
    text: &'static str,
}

const REMEDIES: &[Remedy] = &[
    // Of a wrong clock, not of credentials.
    Remedy {
        words: &[
            "signature expired",
            "signature not yet current",
            "requestexpired",
            "requesttimetooskewed",
        ],
        text: "correct this machine's clock",
    },
    Remedy {
        words: &["expiredtoken", "is expired", "has expired"],
        text: "the credentials have expired: sign in again, for example with `aws sso login`",
    },
    Remedy {
        words: &[
            "invalidclienttokenid",
            "unrecognizedclient",
            "security token included in the request is invalid",
            "invalidaccesskeyid",
            "signaturedoesnotmatch",
            "incompletesignature",
        ],
        text: "AWS does not know these credentials: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or give --profile",
    },
    Remedy {
        words: &[
            "throttling",
            "rate exceeded",
            "toomanyrequests",
            "slowdown",
            "requestlimitexceeded",
        ],
        text: "AWS limits these requests: run the command again in a minute",
    },
    Remedy {
        words: &[
            "connection refused",
            "no answer of aws at",
            "dns error",
            "failed to lookup address",
            "connecterror",
            "timed out",
        ],
        text: "check the network, proxies, --region and AWS_ENDPOINT_URL",
    },
    Remedy {
        words: &["was not defined"],
        text: "`aws configure list-profiles` prints the profiles that exist",
    },
    Remedy {
        words: &["accessdenied", "not authorized", "unauthorizedoperation"],
        text: LACKS_PERMISSION,
    },
    Remedy {
        words: &["missing region", "missing signing region", "region must be set"],
        text: "give --region, or set AWS_REGION",
    },
    Remedy {
        words: &[
            "notfound",
            "nonexistentqueue",
            "queuedoesnotexist",
            "invalidaddress",
            "nosuchbucket",
            "does not exist",
        ],
        text: "check its name, region and account",
    },
];

/// An error of AWS with its remedy.
#[derive(Debug, thiserror::Error)]
#[error("{text}: {}", .remedy.text)]
struct RemediableError {
    text: String,
    remedy: &'static Remedy,
}

/// Returns `true` if [`explain`] attributed the error to a missing permission.
pub(crate) fn is_denied(explained: &anyhow::Error) -> bool {
    let remedied = explained.downcast_ref::<RemediableError>();
    remedied.is_some_and(|error| error.remedy.text == LACKS_PERMISSION)
}

/// Like [`explain`], for any error. An answer that is not of AWS is not recognized.
fn explain_causes(error: &(dyn Error + 'static)) -> anyhow::Error {
    // The instance's metadata is the last source of credentials on every machine.
    const NO_SOURCE: [&str; 4] =
        ["no providers in chain", "provider was not enabled", "no identity resolver", "IMDS"];
    if let Some(no_profile) =
        anyhow::Chain::new(error).find_map(|it| it.downcast_ref::<NoProfile>())
    {
        return anyhow!("{no_profile}");
    }
    let text = causes(error);
    let profile = Env.get("AWS_PROFILE");
    if profile.as_deref().is_some_and(|name| profile::is_missing(name, &text)) {
        return anyhow!("{}", NoProfile { name: profile.unwrap_or_default() });
    }
    if NO_SOURCE.iter().any(|words| text.contains(words)) {
        return match profile {
            Some(name) => anyhow!("{}", NoProfile { name }),
            None => anyhow!(NO_CREDENTIALS),
        };
    }
    let lower = text.to_ascii_lowercase();
    let applies = |remedy: &&Remedy| remedy.words.iter().any(|words| lower.contains(words));
    match REMEDIES.iter().find(applies) {
        Some(remedy) => RemediableError { text, remedy }.into(),
        None => anyhow!(text),
    }
}

/// Joins the error's causes on one line. The SDK's own errors only say which step failed.
fn causes(error: &(dyn Error + 'static)) -> String {
    const STEPS: [&str; 9] = [
        "io error",
        "client error",
        "service error",
        "dispatch failure",
        "unhandled error",
        "failed to construct request",
        "response error",
        "an error occurred while loading credentials",
        "other",
    ];
    let texts =
        anyhow::Chain::new(error).map(|error| match error.downcast_ref::<ErrorMetadata>() {
            Some(metadata) => {
                let parts: Vec<&str> =
                    [metadata.code(), metadata.message()].into_iter().flatten().collect();
                parts.join(": ")
            }
            None => error.to_string(),
        });
    let mut kept: Vec<String> = Vec::new();
    for text in texts {
        let on_one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_step = STEPS.iter().any(|step| on_one_line.starts_with(step));
        let is_repeated = kept.iter().any(|before| before.contains(&on_one_line));
        if !on_one_line.is_empty() && !is_step && !is_repeated {
            kept.push(on_one_line);
        }
    }
    let joined = if kept.is_empty() { error.to_string() } else { kept.join(": ") };
    short(&joined, MAX_CHARS)
}

const MAX_CHARS: usize = 300;

/// A configuration independent of this machine.
#[cfg(test)]
pub(crate) fn for_tests() -> SdkConfig {
    use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
    let credentials = Credentials::new("AKIDTEST", "hunter2", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client())
        .build()
}

const FORWARDER: &str = "ForwarderFunction";

/// Returns the name of a stack's resource with this logical id.
pub(crate) async fn resource_name(
    aws: &SdkConfig,
    stack: &str,
    id: &str,
) -> anyhow::Result<String> {
    let client = aws_sdk_cloudformation::Client::new(aws);
    let request = client.describe_stack_resource().stack_name(stack).logical_resource_id(id);
    let output = request.send().await.map_err(|error| explain(&error))?;
    let name = output.stack_resource_detail.and_then(|found| found.physical_resource_id);
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

pub(crate) async fn forwarder_of(
    aws: &SdkConfig,
    stack: &str,
) -> anyhow::Result<GetFunctionConfigurationOutput> {
    let name = match resource_name(aws, stack, FORWARDER).await {
        Ok(name) => name,
        Err(error) if says_no_stack(&error) => {
            let place = place(aws).await;
            return Err(NoStack { stack: stack.to_owned(), place }.into());
        }
        Err(error) => return Err(error.context(format!("cannot read stack {stack}"))),
    };
    let answer = ask_for_configuration(aws, &name).await;
    if answer.as_ref().is_err_and(|error| error.code() == Some(NO_FUNCTION)) {
        return Err(NoForwarder { stack: stack.to_owned(), function: name }.into());
    }
    read_configuration(&name, answer)
}

pub(crate) async fn function(
    aws: &SdkConfig,
    name: &str,
) -> anyhow::Result<GetFunctionConfigurationOutput> {
    read_configuration(name, ask_for_configuration(aws, name).await)
}

/// The code of Lambda's error about a function that does not exist.
const NO_FUNCTION: &str = "ResourceNotFoundException";

type ConfigurationAnswer =
    Result<GetFunctionConfigurationOutput, SdkError<GetFunctionConfigurationError>>;

async fn ask_for_configuration(aws: &SdkConfig, function: &str) -> ConfigurationAnswer {
    let lambda = aws_sdk_lambda::Client::new(aws);
    lambda.get_function_configuration().function_name(function).send().await
}

fn read_configuration(
    function: &str,
    answer: ConfigurationAnswer,
) -> anyhow::Result<GetFunctionConfigurationOutput> {
    let explained = answer.map_err(|error| explain(&error));
    explained.with_context(|| format!("cannot read function {function}"))
}

/// Returns the Kinesis stream of a stack; `None` if its log groups invoke the forwarder directly.
pub(crate) async fn stream_of(
    aws: &SdkConfig,
    stack: &str,
) -> anyhow::Result<Option<KinesisStream>> {
    let StackValues { outputs, .. } = stack_values(aws, stack).await?;
    let value = |name: &str| outputs.get(name).cloned();
    let arn = value("KinesisStreamArn");
    let role = value("SubscriptionRoleArn");
    Ok(arn.zip(role).map(|(arn, role)| KinesisStream { arn, role }))
}

/// The values of a stack's outputs and parameters, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct StackValues {
    pub(crate) outputs: HashMap<String, String>,
    pub(crate) parameters: HashMap<String, String>,
}

pub(crate) async fn stack_values(aws: &SdkConfig, stack: &str) -> anyhow::Result<StackValues> {
    let client = aws_sdk_cloudformation::Client::new(aws);
    let answer = client.describe_stacks().stack_name(stack).send().await;
    let output = answer
        .map_err(|error| explain(&error))
        .with_context(|| format!("cannot read stack {stack}"))?;
    let described =
        output.stacks.unwrap_or_default().into_iter().next().context("AWS returned no stack")?;
    let outputs = described.outputs.unwrap_or_default().into_iter();
    let parameters = described.parameters.unwrap_or_default().into_iter();
    Ok(StackValues {
        outputs: outputs.filter_map(|it| it.output_key.zip(it.output_value)).collect(),
        parameters: parameters.filter_map(|it| it.parameter_key.zip(it.parameter_value)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_aws_error_is_explained_in_one_line() {
        use aws_sdk_sqs::config::http::HttpResponse;
        use aws_sdk_sqs::operation::get_queue_url::GetQueueUrlError;
        let check = |error: GetQueueUrlError, expected: &str| {
            let raw = HttpResponse::new(400.try_into().unwrap(), "x".into());
            assert_eq!(explain(&SdkError::service_error(error, raw)).to_string(), expected);
        };
        let said =
            ErrorMetadata::builder().code("AccessDenied").message("not you\nnor your role").build();
        check(
            GetQueueUrlError::generic(said),
            "AccessDenied: not you nor your role: these credentials lack that permission",
        );
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .http_client(http_client())
            .build();
        let sent = aws_sdk_sqs::Client::new(&config).list_queues().send().await;
        let said = explain(&sent.unwrap_err()).to_string();
        assert!(said.starts_with("there are no AWS credentials: set AWS_PROFILE"), "{said}");
        let nowhere = for_tests().into_builder().region(None).endpoint_url("http://127.0.0.1:1");
        let sent = aws_sdk_sqs::Client::new(&nowhere.build()).list_queues().send().await;
        let said = explain(&sent.unwrap_err()).to_string();
        assert_eq!(said, "missing signing region: give --region, or set AWS_REGION");
    }
}
