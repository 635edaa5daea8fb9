//! Finds a stack's forwarder and stream.

use crate::aws::{explain, place};
use anyhow::Context as _;
use aws_config::SdkConfig;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use subscriber::KinesisStream;

/// The logical id of the forwarder in the stack's template.
const FORWARDER: &str = "ForwarderFunction";

/// Returns the name of a stack's forwarder. CloudFormation truncates the stack's name in it.
pub(crate) async fn forwarder_name(aws: &SdkConfig, stack: &str) -> anyhow::Result<String> {
    let client = aws_sdk_cloudformation::Client::new(aws);
    let asked = client.describe_stack_resource().stack_name(stack).logical_resource_id(FORWARDER);
    let name = match asked.send().await {
        Ok(output) => Ok(output.stack_resource_detail.and_then(|found| found.physical_resource_id)),
        Err(error) => Err(explain(&error)),
    };
    let found = name.and_then(|name| name.context("AWS returned a resource without a name"));
    match found {
        Ok(name) => Ok(name),
        Err(error) => {
            let place = place(aws).await;
            Err(error).with_context(|| {
                format!("cannot find {FORWARDER} of the stack {stack} in {place}; check --stack, --region and --profile")
            })
        }
    }
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
