//! The configuration of AWS's clients, and their errors.
//!
//! Credentials, region, profile and endpoints are read like AWS's own tools do, for example from `AWS_PROFILE`,
//! `~/.aws` (including SSO), `AWS_REGION` and `AWS_ENDPOINT_URL_SQS` (AWS SDKs and Tools Reference Guide,
//! "Service-specific endpoints").

use ::aws::{Credentials, LOGS, LogsSettings, SQS, SqsQueue, SqsSettings};
use anyhow::{Context as _, anyhow};
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_sqs::config::{ProvideCredentials as _, SharedCredentialsProvider, SharedHttpClient};
use aws_sdk_sqs::error::{ErrorMetadata, SdkError};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use forwarder::{QUEUES, RETRY_QUEUE_URL, wall_clock_now};
use settings::{Env, InvalidSettings, Reader, Secret, Source as _, Table};
use std::collections::HashMap;
use std::error::Error;
use subscriber::KinesisStream;

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
    pub(crate) fn are_given(&self) -> bool {
        self.region.is_some() || self.profile.is_some()
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
    let provider =
        ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(profile);
    let provider = SharedCredentialsProvider::new(provider.build());
    aws.into_builder().credentials_provider(provider).build()
}

fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// A queue's URL, with its region and endpoint.
#[derive(Clone, Debug)]
pub(crate) struct QueueUrl {
    pub(crate) url: String,
    region: Option<String>,
    /// The endpoint of SQS, unless it is AWS's own.
    endpoint: Option<String>,
}

impl QueueUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = || "expected https://sqs.{region}.amazonaws.com/{account}/{name}".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
        let (host, path) = rest.split_once('/').ok_or_else(expected)?;
        let is_queue = matches!(scheme, "http" | "https")
            && path.split('/').filter(|part| !part.is_empty()).count() >= 2;
        if host.is_empty() || !is_queue {
            return Err(expected());
        }
        let mut labels = host.split('.');
        let region = match (labels.next(), labels.next()) {
            (Some(service @ ("sqs" | "sqs-fips")), Some(region)) => {
                let endpoint = ::aws::service_endpoint(service, None, region);
                let is_aws = endpoint.is_some_and(|endpoint| endpoint.host_str() == Some(host));
                is_aws.then(|| region.to_owned())
            }
            _ => None,
        };
        // The older names of queues have another order: `eu-west-1.queue.amazonaws.com`.
        let is_aws = region.is_some() || host.ends_with(".amazonaws.com");
        let endpoint = (!is_aws).then(|| format!("{scheme}://{host}"));
        Ok(Self { url: text.to_owned(), region, endpoint })
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let [one, other] = [self, other].map(|queue| queue.url.trim_end_matches('/'));
        one == other
    }

    /// The region of the queue, or of the configuration.
    fn region(&self, aws: &SdkConfig) -> Option<Region> {
        self.region.clone().map(Region::new).or_else(|| aws.region().cloned())
    }

    fn endpoint(&self, aws: &SdkConfig) -> Option<String> {
        let overridden = Env.get("AWS_ENDPOINT_URL_SQS");
        overridden
            .or_else(|| aws.endpoint_url().map(str::to_owned))
            .or_else(|| self.endpoint.clone())
    }
}

pub(crate) fn sqs(aws: &SdkConfig, queue: &QueueUrl) -> aws_sdk_sqs::Client {
    let mut config = aws_sdk_sqs::config::Builder::from(aws).region(queue.region(aws));
    if let Some(endpoint) = queue.endpoint(aws) {
        config = config.endpoint_url(endpoint);
    }
    aws_sdk_sqs::Client::from_conf(config.build())
}

pub(crate) fn s3(aws: &SdkConfig) -> aws_sdk_s3::Client {
    // DNS does not resolve {bucket}.{host} on an endpoint other than AWS's.
    let is_stand_in = aws.endpoint_url().is_some() || Env.get("AWS_ENDPOINT_URL_S3").is_some();
    let config = aws_sdk_s3::config::Builder::from(aws).force_path_style(is_stand_in);
    aws_sdk_s3::Client::from_conf(config.build())
}

const SENDING: Table = Table::new(&[QUEUES, SQS, ::aws::AWS, settings::PROXY]);

/// Returns the queue as the forwarder uses it: with its limits, and without retries, which could duplicate a message.
pub(crate) async fn sending_queue(aws: &SdkConfig, queue: &QueueUrl) -> anyhow::Result<SqsQueue> {
    let mut variables = credentials(aws).await?;
    variables.insert(RETRY_QUEUE_URL.to_owned(), queue.url.clone());
    if let Some(region) = queue.region(aws) {
        variables.insert("AWS_REGION".to_owned(), region.to_string());
    }
    if let Some(endpoint) = queue.endpoint(aws) {
        variables.insert("AWS_ENDPOINT_URL_SQS".to_owned(), endpoint);
    }
    let mut reader = Reader::new(&variables, SENDING);
    let read = SqsSettings::read(&mut reader, RETRY_QUEUE_URL);
    let mistakes = reader.finish();
    let settings = read.ok_or_else(|| {
        let problem = mistakes.first().map(|mistake| mistake.problem.clone());
        anyhow!("{}: {}", queue.url, problem.unwrap_or_default())
    })?;
    Ok(SqsQueue::new(settings, wall_clock_now))
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
    let credentials = provider.provide_credentials().await.map_err(|error| explained(&error))?;
    Ok(Credentials {
        access_key_id: credentials.access_key_id().to_owned(),
        secret_access_key: Secret::new(credentials.secret_access_key()),
        session_token: credentials.session_token().map(Secret::new),
    })
}

/// Describes region and account: `region eu-west-1, account 123456789012`.
pub(crate) async fn place(aws: &SdkConfig) -> String {
    let region = aws.region().map_or("unknown", Region::as_ref);
    // This call needs no permission.
    let identity = aws_sdk_sts::Client::new(aws).get_caller_identity().send().await.ok();
    let account = identity.and_then(|identity| identity.account);
    format!("region {region}, account {}", account.as_deref().unwrap_or("unknown"))
}

pub(crate) async fn no_log_group(aws: &SdkConfig, name: &str) -> String {
    let place = place(aws).await;
    format!("there is no log group {name} in {place}: check its name, --region and --profile")
}

/// Describes an error of an AWS client on one line, with a remedy.
pub(crate) fn explain<E: Error + Send + Sync + 'static>(error: &SdkError<E>) -> anyhow::Error {
    let explained = explained(error);
    match error.raw_response() {
        // A proxy's page, for example.
        Some(response)
            if explained.to_string() == error.to_string()
                || matches!(error, SdkError::ResponseError(_)) =>
        {
            let status = response.status().as_u16();
            anyhow!("HTTP {status} without an answer of AWS: check AWS_ENDPOINT_URL and proxies")
        }
        _ => explained,
    }
}

fn explained(error: &(dyn Error + 'static)) -> anyhow::Error {
    let text = in_words(error);
    if lacks_credentials(&text) {
        return anyhow!(
            "there are no AWS credentials: set AWS_PROFILE, or give --profile, to a profile that `aws configure list-profiles` has, or sign in with the AWS CLI"
        );
    }
    match remedy(&text) {
        Some(remedy) => anyhow!("{text}: {remedy}"),
        None => anyhow!("{text}"),
    }
}

/// Joins the error and its causes, without repetitions and uninformative texts.
fn in_words(error: &(dyn Error + 'static)) -> String {
    const SAY_NOTHING: [&str; 7] = [
        "service error",
        "dispatch failure",
        "unhandled error",
        "request has timed out",
        "failed to construct request",
        "response error",
        "an error occurred while loading credentials",
    ];
    let mut words: Vec<String> = Vec::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = match error.downcast_ref::<ErrorMetadata>() {
            Some(said) => {
                [said.code(), said.message()].into_iter().flatten().collect::<Vec<_>>().join(": ")
            }
            None => error.to_string(),
        };
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let says_nothing =
            text == "other" || SAY_NOTHING.iter().any(|nothing| text.starts_with(nothing));
        if !text.is_empty() && !says_nothing && !words.iter().any(|said| said.contains(&text)) {
            words.push(text);
        }
        cause = error.source();
    }
    if words.is_empty() {
        words.push(error.to_string());
    }
    let text = words.join(": ");
    match text.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

const MOST_CHARS: usize = 300;

/// Returns `true` if no credentials were found. The instance's metadata is the last source on every machine.
fn lacks_credentials(text: &str) -> bool {
    ["no providers in chain", "provider was not enabled", "no identity resolver", "IMDS"]
        .iter()
        .any(|said| text.contains(said))
}

/// The end of an error text about a missing permission.
const LACKS_PERMISSION: &str = "these credentials lack that permission";

/// Returns `true` if [`explain`] attributed the error to a missing permission.
pub(crate) fn is_denied(explained: &anyhow::Error) -> bool {
    explained.to_string().ends_with(LACKS_PERMISSION)
}

fn remedy(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["expiredtoken", "token included in the request is expired", "session has expired"]) {
        return Some("the credentials have expired, sign in again");
    }
    if says(&["accessdenied", "not authorized", "unauthorizedoperation"]) {
        return Some(LACKS_PERMISSION);
    }
    if says(&["missing region", "missing signing region", "region must be set"]) {
        return Some("give --region, or set AWS_REGION");
    }
    if says(&[
        "resourcenotfound",
        "nonexistentqueue",
        "queuedoesnotexist",
        "nosuchbucket",
        "does not exist",
    ]) {
        return Some("check its name, region and account");
    }
    None
}

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

/// The logical ids of the functions in the stack's template.
const FORWARDER: &str = "ForwarderFunction";
const SUBSCRIBER: &str = "SubscriberFunction";

/// Returns the name of a stack's forwarder. CloudFormation truncates the stack's name in it.
pub(crate) async fn forwarder_name(aws: &SdkConfig, stack: &str) -> anyhow::Result<String> {
    match resource_name(aws, stack, FORWARDER).await {
        Ok(name) => Ok(name),
        Err(error) => {
            let place = place(aws).await;
            Err(error).with_context(|| {
                format!("cannot find {FORWARDER} of the stack {stack} in {place}; check --stack, --region and --profile")
            })
        }
    }
}

/// Returns the name of a stack's subscriber; `None` if the stack has none.
pub(crate) async fn subscriber_name(aws: &SdkConfig, stack: &str) -> Option<String> {
    resource_name(aws, stack, SUBSCRIBER).await.ok()
}

async fn resource_name(aws: &SdkConfig, stack: &str, id: &str) -> anyhow::Result<String> {
    let client = aws_sdk_cloudformation::Client::new(aws);
    let asked = client.describe_stack_resource().stack_name(stack).logical_resource_id(id);
    let output = asked.send().await.map_err(|error| explain(&error))?;
    let name = output.stack_resource_detail.and_then(|found| found.physical_resource_id);
    name.context("AWS returned a resource without a name")
}

/// Returns the forwarder of a stack.
pub(crate) async fn forwarder_of(
    aws: &SdkConfig,
    stack: &str,
) -> anyhow::Result<GetFunctionConfigurationOutput> {
    let name = forwarder_name(aws, stack).await?;
    let lambda = aws_sdk_lambda::Client::new(aws);
    let asked = lambda.get_function_configuration().function_name(&name).send().await;
    asked.map_err(|error| explain(&error)).with_context(|| format!("cannot read function {name}"))
}

/// Returns the Kinesis stream of a stack; `None` if its log groups invoke the forwarder directly.
pub(crate) async fn stream_of(
    aws: &SdkConfig,
    stack: &str,
) -> anyhow::Result<Option<KinesisStream>> {
    let client = aws_sdk_cloudformation::Client::new(aws);
    let asked = client.describe_stacks().stack_name(stack).send().await;
    let output = asked
        .map_err(|error| explain(&error))
        .with_context(|| format!("cannot read the outputs of stack {stack}"))?;
    let stack = output.stacks.unwrap_or_default().into_iter().next();
    let outputs = stack.and_then(|stack| stack.outputs).unwrap_or_default();
    let value = |name: &str| {
        let output = outputs.iter().find(|output| output.output_key() == Some(name));
        output.and_then(|output| output.output_value()).map(str::to_owned)
    };
    let (arn, role) = (value("KinesisStreamArn"), value("SubscriptionRoleArn"));
    Ok(arn.zip(role).map(|(arn, role)| KinesisStream { arn, role }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_url_names_its_region_or_endpoint() {
        let check = |url: &str, region: Option<&str>, endpoint: Option<&str>| {
            let queue = QueueUrl::parse(url).unwrap();
            assert_eq!(queue.region.as_deref(), region, "{url}");
            assert_eq!(queue.endpoint.as_deref(), endpoint, "{url}");
        };
        check("https://sqs.eu-west-1.amazonaws.com/123456789012/q", Some("eu-west-1"), None);
        check("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", Some("cn-north-1"), None);
        check("https://sqs.eusc-de-east-1.amazonaws.eu/1/q", Some("eusc-de-east-1"), None);
        check("https://queue.amazonaws.com/123456789012/q", None, None);
        check("http://127.0.0.1:5000/123456789012/q", None, Some("http://127.0.0.1:5000"));
        for wrong in ["", "q", "arn:aws:sqs:eu-west-1:1:q", "https://sqs.eu-west-1.amazonaws.com/"]
        {
            assert!(QueueUrl::parse(wrong).is_err(), "{wrong}");
        }
    }

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
        let page = HttpResponse::new(502.try_into().unwrap(), "<html>".into());
        let unknown = GetQueueUrlError::generic(ErrorMetadata::builder().build());
        assert_eq!(
            explain(&SdkError::service_error(unknown, page)).to_string(),
            "HTTP 502 without an answer of AWS: check AWS_ENDPOINT_URL and proxies"
        );
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .http_client(http_client())
            .build();
        let sent = aws_sdk_sqs::Client::new(&config).list_queues().send().await;
        let said = explain(&sent.unwrap_err()).to_string();
        assert!(said.starts_with("there are no AWS credentials: set AWS_PROFILE"), "{said}");
        // Like an instance's metadata service that refuses a token.
        let refused = std::io::Error::other("failed to load IMDS session token");
        let said = explained(&refused).to_string();
        assert!(said.starts_with("there are no AWS credentials: set AWS_PROFILE"), "{said}");
        let nowhere = for_tests().into_builder().region(None).endpoint_url("http://127.0.0.1:1");
        let sent = aws_sdk_sqs::Client::new(&nowhere.build()).list_queues().send().await;
        let said = explain(&sent.unwrap_err()).to_string();
        assert_eq!(said, "missing signing region: give --region, or set AWS_REGION");
    }
}
