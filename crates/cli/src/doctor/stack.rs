//! Checks a deployed forwarder: settings, resource policy, state, and the subscriptions of log groups.

use super::pipeline;
use super::recent::Recent;
use super::wiring::{self, Filter, Forwarder};
use crate::aws::resource_name;
use crate::aws::{self, explain, is_denied};
use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::error::SdkError;
use aws_sdk_cloudwatchlogs::types::{AccountPolicy, PolicyType};
use aws_sdk_lambda::error::ProvideErrorMetadata as _;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::types::LastUpdateStatus;
use console::time_arguments::{self, TimeArgument};
use settings::Check;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;

/// The deployed forwarder.
#[derive(clap::Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("deployed").args(["function", "stack"])))]
pub(crate) struct Deployed {
    /// The forwarder's function, by name or ARN.
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// The stack with the forwarder.
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// A log group that should be forwarded; may be repeated.
    #[arg(long = "log-group", value_name = "GROUP", requires = "deployed")]
    log_groups: Vec<String>,
    /// Search the logs of the stack's functions since this age or time: `2h`.
    #[arg(long, value_name = "TIME", value_parser = TimeArgument::parse, default_value = "1h")]
    since: TimeArgument,
}

impl Deployed {
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
    arguments: &Deployed,
    function: &Function,
) -> Vec<Check> {
    let lambda = aws_sdk_lambda::Client::new(aws);
    let name = &function.name;
    let mut checks = vec![function.check()];
    checks.extend(super::settings(&function.settings()).0);
    let policy = lambda.get_policy().function_name(name).send().await;
    // A function without a policy is reported as an error.
    checks.push(match policy {
        Ok(output) => wiring::permission(output.policy()),
        Err(error) if error.code() == Some(MISSING) => wiring::permission(None),
        Err(error) => unanswered("permission", name, "lambda:GetPolicy", &error),
    });
    let asked = lambda.list_event_source_mappings().function_name(name).into_paginator();
    let sources: Result<Vec<_>, _> = asked.items().send().collect().await;
    let permission = "lambda:ListEventSourceMappings";
    let sources = answered(&mut checks, "event source", name, permission, sources);
    let sources = sources.unwrap_or_default();
    let logs = aws_sdk_cloudwatchlogs::Client::new(aws);
    let now = time_arguments::now_unix_nano();
    let recent = Recent::since(logs.clone(), arguments.since.millis(now), now);
    // Not every stack has a subscriber.
    let mut subscriber = None;
    if let Some(stack) = &arguments.stack
        && let Ok(name) = resource_name(aws, stack, "SubscriberFunction").await
    {
        subscriber = aws::function(aws, &name).await.ok().map(Function::of);
    }
    checks.extend(pipeline::check(aws, function, subscriber, &sources, &recent).await);
    if !arguments.log_groups.is_empty() {
        let streams = sources.into_iter().filter_map(|source| source.event_source_arn);
        let is_stream = |arn: &String| arn.split(':').nth(2) == Some("kinesis");
        let streams: Vec<String> = streams.filter(is_stream).collect();
        let forwarder = Forwarder { arn: &function.arn, streams: &streams };
        let asked = logs.describe_account_policies();
        let asked = asked.policy_type(PolicyType::SubscriptionFilterPolicy).send().await;
        let (what, permission) = ("the account's policies", "logs:DescribeAccountPolicies");
        let policies = answered(&mut checks, "subscription", what, permission, asked);
        let policies = policies.and_then(|it| it.account_policies).unwrap_or_default();
        for group in &arguments.log_groups {
            check_log_group(aws, group, &policies, forwarder, &mut checks).await;
        }
    }
    checks
}

async fn check_log_group(
    aws: &SdkConfig,
    group: &str,
    policies: &[AccountPolicy],
    forwarder: Forwarder<'_>,
    checks: &mut Vec<Check>,
) {
    let logs = aws_sdk_cloudwatchlogs::Client::new(aws);
    let asked = logs.describe_subscription_filters().log_group_name(group).send().await;
    let permission = "logs:DescribeSubscriptionFilters";
    let Some(output) = answered(checks, "subscription", group, permission, asked) else { return };
    let own = output.subscription_filters.unwrap_or_default().into_iter().map(|filter| Filter {
        called: format!("filter {}", filter.filter_name.unwrap_or_default()),
        pattern: filter.filter_pattern.unwrap_or_default(),
        destination: filter.destination_arn.unwrap_or_default(),
    });
    let of_account = policies.iter().filter_map(|policy| {
        let criteria = policy.selection_criteria().unwrap_or_default();
        Filter::of_policy(policy.policy_name()?, policy.policy_document()?, criteria, group)
    });
    let filters: Vec<Filter> = own.chain(of_account).collect();
    checks.extend(wiring::subscription(group, &filters, forwarder));
    if let Some(name) = group.strip_prefix("/aws/lambda/")
        && let Ok(output) = aws::function(aws, name).await
    {
        let Function { name, variables, layers, .. } = Function::of(output);
        checks.extend(wiring::double_wiring(&name, &variables, &layers, &filters));
    }
}

#[derive(Debug, Default)]
pub(crate) struct Function {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) layers: Vec<String>,
    pub(super) log_group: String,
    is_update_failed: bool,
}

impl Function {
    pub(super) fn of(output: GetFunctionConfigurationOutput) -> Self {
        let name = output.function_name.unwrap_or_default();
        let variables = output.environment.and_then(|environment| environment.variables);
        let layers = output.layers.unwrap_or_default();
        let log_group = output.logging_config.and_then(|logging| logging.log_group);
        Self {
            log_group: log_group.unwrap_or_else(|| format!("/aws/lambda/{name}")),
            name,
            arn: output.function_arn.unwrap_or_default(),
            variables: variables.unwrap_or_default().into_iter().collect(),
            layers: layers.into_iter().filter_map(|layer| layer.arn).collect(),
            is_update_failed: output.last_update_status == Some(LastUpdateStatus::Failed),
        }
    }

    /// The variables that the function reads, including those that Lambda sets. A file in the function's package is
    /// left out, because this machine does not have it.
    pub(crate) fn settings(&self) -> HashMap<String, String> {
        const OF_LAMBDA: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        let mut settings: HashMap<String, String> =
            OF_LAMBDA.map(|name| (name.to_owned(), "set by Lambda".to_owned())).into();
        let region = self.arn.split(':').nth(3).unwrap_or_default();
        settings.insert("AWS_REGION".to_owned(), region.to_owned());
        settings.extend(self.variables.clone());
        settings.remove("LAMBDA_OTLP_CA_FILE");
        settings
    }

    pub(super) fn check(&self) -> Check {
        let name = &self.name;
        if self.is_update_failed {
            return Check::failed("function", format!("{name}: its last update failed"));
        }
        Check::ok("function", format!("{name} is deployed"))
    }
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
    let why = explain(error);
    if is_denied(&why) {
        let text = format!("{what}: not checked: these credentials lack {permission}");
        Check::warning(name, text)
    } else {
        Check::failed(name, format!("{what}: {why}"))
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
