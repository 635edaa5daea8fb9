//! The forwarder that log groups are subscribed to. It is checked before the first change: CloudWatch Logs would answer each of
//! hundreds of requests with the same error.

use crate::aws::{
    self, Aws, AwsArguments, MISSING, NoForwarder, NoStack, explain, forwarder_of, is_denied,
    stream_of,
};
use crate::doctor::{DeployedFunction, permission_to_invoke};
use ::aws::SubscriptionFilter;
use anyhow::{anyhow, bail, ensure};
use settings::Check;
use subscriber::{KinesisStream, Task};
use wire::arn::Arn;

pub(super) struct TargetForwarder {
    /// The ARN of the forwarder's function.
    pub(super) arn: String,
    /// The forwarder's own log group, and those to which its backend writes, if they are known.
    pub(super) own_log_groups: Vec<String>,
    pub(super) stream: Option<KinesisStream>,
}

impl TargetForwarder {
    /// Returns the forwarder of the stack, or the one with this ARN.
    pub(super) async fn find(
        stack: Option<&str>,
        arn: Option<&str>,
        aws: &Aws,
        task: Task,
    ) -> anyhow::Result<Self> {
        let Some(stack) = stack else {
            let arn = arn.unwrap_or_default().to_owned();
            let function = aws::function(aws, &arn).await.map(DeployedFunction::of);
            let written = function.map(|function| function.written_log_groups());
            let own_log_groups = written.unwrap_or_default();
            return Ok(Self { arn, own_log_groups, stream: None });
        };
        let function = match forwarder_of(aws, stack).await {
            Err(error)
                if task == Task::Remove && (error.is::<NoStack>() || error.is::<NoForwarder>()) =>
            {
                bail!(
                    "{error}; to remove the filters of a deleted stack or forwarder, use --destination ARN instead of --stack; it is the destinationArn in `aws logs describe-subscription-filters --log-group-name LOG_GROUP`"
                )
            }
            found => found?,
        };
        let log_group = function.logging_config.log_group.clone();
        let arn = function.function_arn.clone();
        let written = DeployedFunction::of(function).written_log_groups();
        let own_log_groups = log_group.into_iter().chain(written).collect();
        Ok(Self { arn, own_log_groups, stream: stream_of(aws, stack).await? })
    }
}

/// The error of a destination that is not a function's ARN.
pub(super) fn not_a_function(destination: &str) -> anyhow::Error {
    anyhow!(
        "{destination} is not a function's ARN: expected arn:aws:lambda:{{region}}:{{account}}:function:{{name}}"
    )
}

/// Fails with one line if no log group of this region could be subscribed to the destination.
pub(super) async fn check(
    aws: &Aws,
    forwarder: &str,
    filter: &SubscriptionFilter,
    task: Task,
    arguments: &AwsArguments,
) -> anyhow::Result<()> {
    let Some(arn) = Arn::parse(forwarder) else { return Err(not_a_function(forwarder)) };
    let Some(function) = arn.function() else { return Err(not_a_function(forwarder)) };
    let region = aws.region();
    ensure!(
        arn.region == region,
        "the forwarder {forwarder} is in region {}, but the log groups are in region {region}: a filter cannot reach another region; use --region {}, or deploy a forwarder in {region}",
        arn.region,
        arn.region
    );
    if let Some(account) = aws::account(aws).await {
        ensure!(
            arn.account == account,
            "the forwarder {forwarder} is in account {}, but these credentials belong to account {account}: a filter cannot reach another account; use --profile for account {}, or deploy a forwarder in account {account}",
            arn.account,
            arn.account
        );
    }
    // A filter may outlive its destination.
    if task == Task::Remove {
        return Ok(());
    }
    let lambda = aws.lambda()?;
    match lambda.function_configuration(function.name, function.qualifier).await {
        Ok(_) => {}
        Err(error) if error.code() == Some(MISSING) => {
            let place = aws::place(aws).await;
            bail!(
                "there is no function {forwarder} in {place}: check --destination and --profile, or deploy the stack and use --stack"
            );
        }
        Err(error) => warn_if_denied("lambda:GetFunctionConfiguration", explain(&error))?,
    }
    if filter.destination != forwarder {
        // CloudWatch Logs writes to the stream with a role, and does not invoke the function.
        return Ok(());
    }
    let aws_flags = arguments.flags();
    let permission = match lambda.policy(function.name, function.qualifier).await {
        Ok(policy) => permission_to_invoke(forwarder, policy.as_deref(), &aws_flags),
        Err(error) => return warn_if_denied("lambda:GetPolicy", explain(&error)),
    };
    ensure!(!Check::is_failed(&permission), permission.text);
    Ok(())
}

/// Warns if the credentials lack a permission, and fails with any other error.
fn warn_if_denied(permission: &str, error: anyhow::Error) -> anyhow::Result<()> {
    if !is_denied(&error) {
        return Err(error.context("cannot check the destination"));
    }
    eprintln!("warning: cannot check the destination: these credentials lack {permission}");
    Ok(())
}
