//! Looks at a deployed forwarder: its settings, who may invoke it, what leads to it, and what waits in its queues.

use super::wiring::{self, Filter, Forwarder};
use crate::aws::{self, QueueUrl, explain};
use crate::functions::forwarder_of;
use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::types::{AccountPolicy, PolicyType};
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::operation::get_policy::GetPolicyError;
use aws_sdk_lambda::types::LastUpdateStatus;
use aws_sdk_sqs::types::QueueAttributeName;
use settings::Check;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;

/// What is deployed.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Deployed {
    /// The forwarder's function, by name or ARN.
    #[arg(long, value_name = "NAME", conflicts_with = "stack")]
    function: Option<String>,
    /// The stack of template.yaml whose forwarder it is.
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// A log group that should be forwarded; may be repeated.
    #[arg(long = "log-group", value_name = "GROUP")]
    log_groups: Vec<String>,
}

impl Deployed {
    pub(crate) fn is_asked(&self) -> bool {
        self.function.is_some() || self.stack.is_some()
    }
}

fn said<E: Error + Send + Sync + 'static>(name: &'static str, what: &str, error: &E) -> Check {
    Check::failed(name, format!("{what}: {}", explain(error)))
}

/// The deployed forwarder; else a check that says why it is not known.
pub(crate) async fn find(aws: &SdkConfig, arguments: &Deployed) -> Result<Function, Check> {
    let lambda = aws_sdk_lambda::Client::new(aws);
    let name = match (&arguments.function, &arguments.stack) {
        (Some(function), _) => function.clone(),
        (None, stack) => {
            let found = forwarder_of(&lambda, stack.as_deref().unwrap_or_default()).await;
            let found = found.map_err(|error| {
                let text = format!("{error:#}; --function names the function itself");
                Check::failed("function", text)
            })?;
            found.function_name.unwrap_or_default()
        }
    };
    let asked = lambda.get_function_configuration().function_name(&name).send().await;
    asked.map(|output| Function::of(name.clone(), output)).map_err(|e| said("function", &name, &e))
}

pub(crate) async fn check(
    aws: &SdkConfig,
    arguments: &Deployed,
    function: &Function,
) -> Vec<Check> {
    let lambda = aws_sdk_lambda::Client::new(aws);
    let name = &function.name;
    let mut checks = vec![of_function(function)];
    checks.extend(super::settings(&function.settings()).0);
    let policy = lambda.get_policy().function_name(name).send().await;
    // No policy at all is an error there.
    checks.push(match policy {
        Ok(output) => wiring::permission(output.policy()),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(GetPolicyError::is_resource_not_found_exception) =>
        {
            wiring::permission(None)
        }
        Err(error) => said("permission", name, &error),
    });
    if !arguments.log_groups.is_empty() {
        let streams = streams_of(&lambda, name).await;
        let streams = streams.unwrap_or_else(|check| {
            checks.push(check);
            Vec::new()
        });
        let forwarder = Forwarder { arn: &function.arn, streams: &streams };
        let logs = aws_sdk_cloudwatchlogs::Client::new(aws);
        let policies = policies(&logs).await.unwrap_or_else(|check| {
            checks.push(check);
            Vec::new()
        });
        for group in &arguments.log_groups {
            checks.extend(of_log_group(&logs, &lambda, group, &policies, forwarder).await);
        }
    }
    for (variable, meaning) in [
        ("LAMBDA_OTLP_RETRY_QUEUE_URL", "wait to be sent again: is the backend taking them?"),
        ("LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL", "are dead letters: `lambda-otlp redrive` shows why"),
    ] {
        if let Some(url) = function.variables.get(variable) {
            checks.push(of_queue(aws, url, meaning).await);
        }
    }
    checks
}

/// What is looked at of a function.
#[derive(Debug, Default)]
pub(crate) struct Function {
    name: String,
    arn: String,
    variables: BTreeMap<String, String>,
    layers: Vec<String>,
    is_update_failed: bool,
    timeout_s: i32,
}

impl Function {
    fn of(name: String, output: GetFunctionConfigurationOutput) -> Self {
        let variables = output.environment.and_then(|environment| environment.variables);
        let layers = output.layers.unwrap_or_default();
        Self {
            name,
            arn: output.function_arn.unwrap_or_default(),
            variables: variables.unwrap_or_default().into_iter().collect(),
            layers: layers.into_iter().filter_map(|layer| layer.arn).collect(),
            is_update_failed: output.last_update_status == Some(LastUpdateStatus::Failed),
            timeout_s: output.timeout.unwrap_or_default(),
        }
    }

    /// Its variables as it reads them: with those that Lambda sets, which no configuration has, and without a file that is in its
    /// package and not here.
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
}

/// A delivery may take 10 s, and what is not taken has to be parked after it.
const SHORTEST_TIMEOUT_S: i32 = 20;

fn of_function(function: &Function) -> Check {
    let name = &function.name;
    if function.is_update_failed {
        return Check::failed("function", format!("{name}: its last update failed"));
    }
    if function.timeout_s < SHORTEST_TIMEOUT_S {
        let text = format!(
            "{name}: its timeout is {} s: give it at least {SHORTEST_TIMEOUT_S}, or what a slow backend does not take may not be parked in time",
            function.timeout_s
        );
        return Check::warning("function", text);
    }
    Check::ok("function", format!("{name} is deployed"))
}

/// The Kinesis streams that a function reads; else a check that says why that is not known.
async fn streams_of(lambda: &aws_sdk_lambda::Client, name: &str) -> Result<Vec<String>, Check> {
    let asked = lambda.list_event_source_mappings().function_name(name).into_paginator();
    let mappings: Result<Vec<_>, _> = asked.items().send().collect().await;
    let mappings = mappings.map_err(|error| said("subscription", name, &error))?;
    let sources = mappings.into_iter().filter_map(|mapping| mapping.event_source_arn);
    Ok(sources.filter(|arn| arn.split(':').nth(2) == Some("kinesis")).collect())
}

async fn of_log_group(
    logs: &aws_sdk_cloudwatchlogs::Client,
    lambda: &aws_sdk_lambda::Client,
    group: &str,
    policies: &[AccountPolicy],
    forwarder: Forwarder<'_>,
) -> Vec<Check> {
    let asked = logs.describe_subscription_filters().log_group_name(group).send().await;
    let mut filters: Vec<Filter> = match asked {
        Ok(output) => output
            .subscription_filters
            .unwrap_or_default()
            .into_iter()
            .map(|filter| Filter {
                name: filter.filter_name.unwrap_or_default(),
                pattern: filter.filter_pattern.unwrap_or_default(),
                destination: filter.destination_arn.unwrap_or_default(),
                is_policy: false,
            })
            .collect(),
        Err(error) => return vec![said("subscription", group, &error)],
    };
    filters.extend(policies.iter().filter_map(|policy| {
        let criteria = policy.selection_criteria().unwrap_or_default();
        Filter::of_policy(policy.policy_name()?, policy.policy_document()?, criteria, group)
    }));
    let mut checks = wiring::subscription(group, &filters, forwarder);
    if let Some(name) = group.strip_prefix("/aws/lambda/")
        && let Ok(output) = lambda.get_function_configuration().function_name(name).send().await
    {
        let Function { name, variables, layers, .. } = Function::of(name.to_owned(), output);
        checks.extend(wiring::double_wiring(&name, &variables, &layers, &filters));
    }
    checks
}

/// The account's policies that subscribe log groups; else a check that says why they are not known.
async fn policies(logs: &aws_sdk_cloudwatchlogs::Client) -> Result<Vec<AccountPolicy>, Check> {
    let asked = logs.describe_account_policies();
    let asked = asked.policy_type(PolicyType::SubscriptionFilterPolicy).send().await;
    let output = asked.map_err(|error| {
        let why = explain(&error);
        let text =
            format!("whether a policy of the account subscribes log groups is not known: {why}");
        Check::warning("subscription", text)
    })?;
    Ok(output.account_policies.unwrap_or_default())
}

async fn of_queue(aws: &SdkConfig, url: &str, meaning: &str) -> Check {
    let queue = match QueueUrl::parse(url) {
        Ok(queue) => queue,
        Err(problem) => return Check::failed("queue", format!("{url}: {problem}")),
    };
    let name = url.rsplit('/').next().unwrap_or_default();
    let count = QueueAttributeName::ApproximateNumberOfMessages;
    let asked = aws::sqs(aws, &queue).get_queue_attributes().queue_url(url);
    match asked.attribute_names(count.clone()).send().await {
        Ok(output) => {
            let count = output.attributes().and_then(|all| all.get(&count)?.parse().ok());
            match count.unwrap_or(0_u64) {
                0 => Check::ok("queue", format!("{name} is empty")),
                count => Check::warning("queue", format!("{name}: {count} messages {meaning}")),
            }
        }
        Err(error) => said("queue", name, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Verdict;

    #[test]
    fn what_lambda_sets_is_no_mistake_of_a_deployed_function() {
        let queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/retry";
        let variables = [
            ("LAMBDA_OTLP_ENDPOINT", "https://o2.example.com/api/default"),
            ("LAMBDA_OTLP_RETRY_QUEUE_URL", queue),
            ("LAMBDA_OTLP_CA_FILE", "ca.pem"),
        ];
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:forwarder";
        let function = Function {
            arn: arn.to_owned(),
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..Function::default()
        };
        let (checks, config) = super::super::settings(&function.settings());
        assert!(checks.iter().all(|check| check.verdict == Verdict::Ok), "{checks:?}");
        assert!(config.is_some());
    }
}
