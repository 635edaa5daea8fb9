//! Finds a stack's forwarder and stream.

use crate::aws::{explain, place};
use anyhow::{Context as _, bail};
use aws_config::SdkConfig;
use aws_sdk_lambda::types::FunctionConfiguration;
use subscriber::KinesisStream;

/// Returns the forwarder of a stack. CloudFormation names it `{stack}-{logical id}-{random}`.
pub(crate) async fn forwarder_of(
    aws: &SdkConfig,
    stack: &str,
) -> anyhow::Result<FunctionConfiguration> {
    let lambda = aws_sdk_lambda::Client::new(aws);
    let prefix = format!("{stack}-ForwarderFunction-");
    let mut marker = None;
    loop {
        let asked = lambda.list_functions().set_marker(marker).send().await;
        let output = asked.map_err(|error| explain(&error)).context("cannot list functions")?;
        let is_named = |function: &FunctionConfiguration| {
            function.function_name().is_some_and(|name| name.starts_with(&prefix))
        };
        let mut functions = output.functions.unwrap_or_default().into_iter();
        if let Some(function) = functions.find(is_named) {
            return Ok(function);
        }
        marker = output.next_marker;
        if marker.is_none() {
            let place = place(aws).await;
            bail!(
                "no function is called {prefix}… in {place}: check --stack, --region and --profile"
            );
        }
    }
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
