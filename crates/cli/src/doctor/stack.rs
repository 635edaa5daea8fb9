//! Checks a deployed forwarder: settings, resource policy, state, and the subscriptions of log groups.

use super::answers::Question;
use super::deployment::{Deployment, DeploymentArguments};
use super::function::DeployedFunction;
use super::functions;
use super::log_groups::LogGroups;
use super::pipeline::Pipeline;
use super::recent_errors::ErrorSearch;
use super::wiring::{self, CheckedForwarder};
use crate::aws::{
    self, Aws, AwsArguments, EventSourceMapping, Lambda, MappingsOf, deadline, resource_name,
};
use crate::progress::Tally;
use ::aws::{AccountPolicy, CloudWatchLogs};
use console::time_arguments;
use settings::Check;
use wire::arn::Arn;

/// Finds the forwarder.
pub(crate) async fn find(
    aws: &Aws,
    arguments: &DeploymentArguments,
) -> Result<DeployedFunction, Check> {
    let found = match (&arguments.function, &arguments.stack) {
        (Some(function), _) => aws::function(aws, function).await,
        (None, stack) => aws::forwarder_of(aws, stack.as_deref().unwrap_or_default()).await,
    };
    found.map(DeployedFunction::of).map_err(|error| Check::failed("function", format!("{error:#}")))
}

/// The check of a deployed forwarder.
pub(super) struct StackCheck<'a> {
    pub(super) aws: &'a Aws,
    pub(super) aws_arguments: &'a AwsArguments,
    pub(super) arguments: &'a DeploymentArguments,
    pub(super) function: &'a DeployedFunction,
}

impl StackCheck<'_> {
    pub(super) async fn run(&self, progress: &Tally) -> Vec<Check> {
        let Self { aws, aws_arguments, arguments, function } = *self;
        let mut checks = vec![function.check()];
        let deployment = Deployment::read(aws, aws_arguments, arguments, &mut checks).await;
        checks.extend(super::settings(&function.settings()).checks);
        let (lambda, logs) = match aws.lambda().and_then(|lambda| Ok((lambda, aws.logs()?))) {
            Ok(clients) => clients,
            Err(error) => {
                checks.push(Check::failed("function", format!("{error:#}")));
                return checks;
            }
        };
        checks.push(self.permission(&lambda, &deployment.aws_flags).await);
        let sources = self.event_sources(&lambda, &mut checks).await;
        let search = ErrorSearch::since(
            &logs,
            arguments.since,
            time_arguments::now_unix_nano(),
            &deployment.aws_flags,
        );
        let pipeline = Pipeline { aws, deployment: &deployment, forwarder: function };
        checks.extend(pipeline.check(&lambda, self.subscriber().await, &sources, &search).await);
        let written = function.written_log_groups();
        if !arguments.log_groups.is_empty() || !written.is_empty() {
            checks.extend(self.check_log_groups(&logs, &deployment, &sources, progress).await);
        }
        checks
    }

    async fn permission(&self, lambda: &Lambda, aws_flags: &str) -> Check {
        let DeployedFunction { name, arn, .. } = self.function;
        match lambda.policy(name, None).await {
            Ok(policy) => wiring::permission(arn, policy.as_deref(), aws_flags),
            Err(error) => {
                let permission = "lambda:GetPolicy";
                Question { check: "permission", subject: name, permission }.unanswered(&error)
            }
        }
    }

    async fn event_sources(
        &self,
        lambda: &Lambda,
        checks: &mut Vec<Check>,
    ) -> Vec<EventSourceMapping> {
        let question = Question {
            check: "event source",
            subject: &self.function.name,
            permission: "lambda:ListEventSourceMappings",
        };
        let listed = lambda.event_source_mappings(MappingsOf::Function(&self.function.name)).await;
        question.answered(listed, checks).unwrap_or_default()
    }

    /// Returns the subscriber. Not every stack has one.
    async fn subscriber(&self) -> Option<DeployedFunction> {
        let stack = self.arguments.stack.as_ref()?;
        let name = resource_name(self.aws, stack, "SubscriberFunction").await.ok()?;
        aws::function(self.aws, &name).await.ok().map(DeployedFunction::of)
    }

    async fn check_log_groups(
        &self,
        logs: &CloudWatchLogs,
        deployment: &Deployment,
        sources: &[EventSourceMapping],
        progress: &Tally,
    ) -> Vec<Check> {
        let function = self.function;
        let mut checks = Vec::new();
        let is_stream = |arn: &&str| Arn::parse(arn).is_some_and(|arn| arn.service == "kinesis");
        let streams: Vec<String> = sources
            .iter()
            .map(|mapping| mapping.event_source_arn.as_str())
            .filter(is_stream)
            .map(str::to_owned)
            .collect();
        let policies = account_policies(logs, &mut checks).await;
        let selection = deployment.selection();
        let log_groups = LogGroups {
            aws: self.aws,
            logs,
            policies: &policies,
            forwarder: CheckedForwarder {
                arn: &function.arn,
                streams: &streams,
                subscribe_flags: &deployment.subscribe_flags(&function.arn),
                aws_flags: &deployment.aws_flags,
                collect: deployment.collect(),
            },
            own: &[&function.log_group],
            written: &function.written_log_groups(),
            selection: selection.as_ref(),
        };
        let mut functions = Vec::new();
        for pattern in &self.arguments.log_groups {
            let checked = log_groups.check(pattern, progress).await;
            checks.extend(checked.checks);
            functions.extend(checked.functions);
        }
        checks.extend(log_groups.check_written().await);
        checks.extend(functions::check(&functions, deployment));
        checks
    }
}

/// Returns the account's subscription policies.
async fn account_policies(logs: &CloudWatchLogs, checks: &mut Vec<Check>) -> Vec<AccountPolicy> {
    let question = Question {
        check: "subscription",
        subject: "the account's policies",
        permission: "logs:DescribeAccountPolicies",
    };
    let policies = logs.subscription_policies(deadline()).await;
    let policies = policies.map_err(|error| error.cause().clone());
    question.answered(policies, checks).unwrap_or_default()
}
