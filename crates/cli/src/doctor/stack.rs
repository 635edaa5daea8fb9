//! Checks a deployed forwarder: settings, resource policy, state, and the subscriptions of log groups.

use super::deployment::Deployment;
use super::functions;
use super::log_groups::LogGroups;
use super::pipeline::Pipeline;
use super::recent::Recent;
use super::wiring::{self, Forwarder};
use crate::aws::{self, AwsArguments, explain, is_denied, resource_name};
use crate::instrument::{OUR_WRAPPER, WRAPPER};
use crate::progress::Tally;
use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::error::SdkError;
use aws_sdk_cloudwatchlogs::types::PolicyType;
use aws_sdk_lambda::error::ProvideErrorMetadata as _;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::types::{LastUpdateStatus, LogFormat};
use backend::direct_mode;
use console::time_arguments::{self, TimeArgument};
use settings::Check;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use wire::arn::Arn;

/// The deployed forwarder.
#[derive(clap::Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("deployed").args(["function", "stack"])))]
pub(crate) struct Deployed {
    /// The forwarder's function, by name or ARN.
    #[arg(long, value_name = "NAME")]
    pub(super) function: Option<String>,
    /// The stack with the forwarder.
    #[arg(long, value_name = "NAME")]
    pub(super) stack: Option<String>,
    /// A log group that should be forwarded, or a pattern with `*` such as `/aws/lambda/shop-*`; may be repeated.
    #[arg(long = "log-group", value_name = "PATTERN", requires = "deployed")]
    log_groups: Vec<String>,
    /// Search the logs of the stack's functions since this age or time: `2h`.
    #[arg(long, value_name = "TIME", value_parser = TimeArgument::parse, default_value = "1h")]
    since: TimeArgument,
}

impl Deployed {
    /// Returns the arguments that name the deployment.
    pub(super) fn as_words(&self) -> String {
        match (&self.stack, &self.function) {
            (Some(stack), _) => format!("--stack {stack}"),
            (None, name) => format!("--function {}", name.as_deref().unwrap_or_default()),
        }
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.function.is_some() || self.stack.is_some()
    }
}

pub(crate) async fn find(aws: &SdkConfig, arguments: &Deployed) -> Result<Function, Check> {
    let found = match (&arguments.function, &arguments.stack) {
        (Some(function), _) => aws::function(aws, function).await,
        (None, stack) => aws::forwarder_of(aws, stack.as_deref().unwrap_or_default()).await,
    };
    found.map(Function::of).map_err(|error| Check::failed("function", format!("{error:#}")))
}

pub(crate) async fn check(
    aws: &SdkConfig,
    aws_arguments: &AwsArguments,
    arguments: &Deployed,
    function: &Function,
    progress: &Tally,
) -> Vec<Check> {
    let lambda = aws_sdk_lambda::Client::new(aws);
    let name = &function.name;
    let mut checks = vec![function.check()];
    let deployment = Deployment::read(aws, aws_arguments, arguments, &mut checks).await;
    checks.extend(super::settings(&function.settings()).0);
    let policy = lambda.get_policy().function_name(name).send().await;
    // A function without a policy is reported as an error.
    checks.push(match policy {
        Ok(output) => wiring::permission(&function.arn, output.policy(), &deployment.place),
        Err(error) if error.code() == Some(MISSING) => {
            wiring::permission(&function.arn, None, &deployment.place)
        }
        Err(error) => unanswered("permission", name, "lambda:GetPolicy", &error),
    });
    let asked = lambda.list_event_source_mappings().function_name(name).into_paginator();
    let sources: Result<Vec<_>, _> = asked.items().send().collect().await;
    let permission = "lambda:ListEventSourceMappings";
    let sources = answered(&mut checks, "event source", name, permission, sources);
    let sources = sources.unwrap_or_default();
    let logs = aws_sdk_cloudwatchlogs::Client::new(aws);
    let now = time_arguments::now_unix_nano();
    let recent = {
        let from_ms = arguments.since.millis(now);
        Recent::since(logs.clone(), from_ms, now, &deployment.place)
    };
    // Not every stack has a subscriber.
    let mut subscriber = None;
    if let Some(stack) = &arguments.stack
        && let Ok(name) = resource_name(aws, stack, "SubscriberFunction").await
    {
        subscriber = aws::function(aws, &name).await.ok().map(Function::of);
    }
    let pipeline = Pipeline { aws, deployment: &deployment, forwarder: function };
    checks.extend(pipeline.check(subscriber, &sources, &recent).await);
    if !arguments.log_groups.is_empty() {
        let streams = sources.into_iter().filter_map(|source| source.event_source_arn);
        let is_stream = |arn: &String| Arn::parse(arn).is_some_and(|arn| arn.service == "kinesis");
        let streams: Vec<String> = streams.filter(is_stream).collect();
        let forwarder = Forwarder {
            arn: &function.arn,
            streams: &streams,
            arguments: &deployment.subscribe_arguments(&function.arn),
            place: &deployment.place,
            collect: deployment.collect(),
        };
        let asked = logs.describe_account_policies();
        let asked = asked.policy_type(PolicyType::SubscriptionFilterPolicy).send().await;
        let what = "the account's policies";
        let permission = "logs:DescribeAccountPolicies";
        let policies = answered(&mut checks, "subscription", what, permission, asked);
        let policies = policies.and_then(|it| it.account_policies).unwrap_or_default();
        let own = [&function.log_group];
        let selection = deployment.selection();
        let log_groups = LogGroups {
            aws,
            logs: &logs,
            policies: &policies,
            forwarder,
            own: &own,
            selection: selection.as_ref(),
        };
        let mut functions = Vec::new();
        for pattern in &arguments.log_groups {
            let found = log_groups.check(pattern, progress).await;
            checks.extend(found.checks);
            functions.extend(found.functions);
        }
        checks.extend(functions::check(&functions, &deployment));
    }
    checks
}

#[derive(Debug, Default)]
pub(crate) struct Function {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) layers: Vec<String>,
    pub(super) log_group: String,
    /// `python3.13`, `nodejs22.x`, …; empty for an image.
    pub(super) runtime: String,
    pub(super) logs_json: bool,
    /// The reason of a failed update.
    pub(super) update_failure: Option<String>,
}

impl Function {
    pub(crate) fn of(output: GetFunctionConfigurationOutput) -> Self {
        let name = output.function_name.unwrap_or_default();
        let variables = output.environment.and_then(|environment| environment.variables);
        let layers = output.layers.unwrap_or_default();
        let logging = output.logging_config;
        let logs_json =
            logging.as_ref().is_some_and(|logging| logging.log_format() == Some(&LogFormat::Json));
        let log_group = logging.and_then(|logging| logging.log_group);
        let is_update_failed = output.last_update_status == Some(LastUpdateStatus::Failed);
        let reason = output.last_update_status_reason.unwrap_or_default();
        Self {
            runtime: output.runtime.map(|runtime| runtime.as_str().to_owned()).unwrap_or_default(),
            logs_json,
            update_failure: is_update_failed.then_some(reason),
            log_group: log_group.unwrap_or_else(|| format!("/aws/lambda/{name}")),
            name,
            arn: output.function_arn.unwrap_or_default(),
            variables: variables.unwrap_or_default().into_iter().collect(),
            layers: layers.into_iter().filter_map(|layer| layer.arn).collect(),
        }
    }

    pub(super) fn has_layer(&self) -> bool {
        self.layers.iter().any(|layer| is_our_layer(layer))
    }

    /// The variables that the function reads, including those that Lambda sets. An empty one counts as absent, as in the
    /// function: the template sets those of omitted parameters to empty texts. A file in the function's package is left out,
    /// because this machine does not have it.
    pub(crate) fn settings(&self) -> HashMap<String, String> {
        const OF_LAMBDA: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        let mut settings: HashMap<String, String> =
            OF_LAMBDA.map(|name| (name.to_owned(), "set by Lambda".to_owned())).into();
        let region = Arn::parse(&self.arn).map(|arn| arn.region).unwrap_or_default();
        settings.insert("AWS_REGION".to_owned(), region.to_owned());
        let set = self.variables.iter().filter(|(_, value)| !value.is_empty());
        settings.extend(set.map(|(name, value)| (name.clone(), value.clone())));
        settings.remove("LAMBDA_OTLP_CA_FILE");
        settings
    }

    pub(super) fn check(&self) -> Check {
        let name = &self.name;
        if let Some(reason) = &self.update_failure {
            let text = format!(
                "{name}: its last update failed: {reason}: correct the cause and deploy the stack again"
            );
            return Check::failed("function", text);
        }
        Check::ok("function", format!("{name} is deployed"))
    }
}

/// Returns the variable that puts the layer of a function with these layers and variables into direct mode. A stack with a name of
/// its own gives it to the layer, so the wrapper is evidence of the layer too.
pub(crate) fn direct_mode_variable<'a>(
    mut layers: impl Iterator<Item = &'a str>,
    variables: &BTreeMap<String, String>,
) -> Option<&'static str> {
    let has_wrapper = variables.get(WRAPPER).is_some_and(|wrapper| wrapper == OUR_WRAPPER);
    let has_layer = has_wrapper || layers.any(is_our_layer);
    direct_mode::variable_of(variables).filter(|_| has_layer)
}

/// Returns `true` if this is the ARN of a layer of lambda-otlp, by the names in `template.yaml`.
fn is_our_layer(arn: &str) -> bool {
    arn.contains("lambda-otlp")
}

/// The code of AWS's errors about what does not exist.
pub(super) const MISSING: &str = "ResourceNotFoundException";

/// Returns the answer of AWS, or adds a check that names the error.
pub(super) fn answered<T, E: Error + Send + Sync + 'static>(
    checks: &mut Vec<Check>,
    name: &'static str,
    what: &str,
    permission: &str,
    result: Result<T, SdkError<E>>,
) -> Option<T> {
    result.map_err(|error| checks.push(unanswered(name, what, permission, &error))).ok()
}

/// The check of `what` after a failed request to AWS. A missing permission is a warning that names the permission.
pub(super) fn unanswered<E: Error + Send + Sync + 'static>(
    name: &'static str,
    what: &str,
    permission: &str,
    error: &SdkError<E>,
) -> Check {
    not_read(name, what, permission, &explain(error))
}

/// Like [`answered`], for an error that is explained already.
pub(super) fn answered_explained<T>(
    checks: &mut Vec<Check>,
    name: &'static str,
    what: &str,
    permission: &str,
    result: anyhow::Result<T>,
) -> Option<T> {
    result.map_err(|error| checks.push(not_read(name, what, permission, &error))).ok()
}

fn not_read(name: &'static str, what: &str, permission: &str, why: &anyhow::Error) -> Check {
    if is_denied(why) {
        let text = format!("{what}: not checked: these credentials lack {permission}");
        Check::warning(name, text)
    } else {
        Check::failed(name, format!("{what}: {why:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_lambda::operation::get_policy::GetPolicyError;
    use settings::Verdict;

    #[test]
    fn a_missing_permission_is_only_a_warning() {
        let check = |error: &str| {
            unanswered(
                "queue",
                "the stack",
                "sqs:GetQueueAttributes",
                &SdkError::<GetPolicyError>::construction_failure(error),
            )
        };
        let denied = check("AccessDenied: User x is not authorized to perform: y");
        assert_eq!(denied.verdict, Verdict::Warning);
        let expected = "the stack: not checked: these credentials lack sqs:GetQueueAttributes";
        assert_eq!(denied.text, expected);
        assert_eq!(check("timed out").verdict, Verdict::Failed);
    }
}
