//! Finds a stack's functions and stream.

use crate::aws::{explain, place};
use anyhow::Context as _;
use aws_config::SdkConfig;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use subscriber::KinesisStream;

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
