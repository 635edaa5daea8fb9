//! Finds the functions of a stack.

use crate::aws::explain;
use anyhow::{Context as _, bail};
use aws_sdk_lambda::types::FunctionConfiguration;

/// The forwarder of a stack of template.yaml. CloudFormation names it `{stack}-{logical id}-{random}`.
pub(crate) async fn forwarder_of(
    lambda: &aws_sdk_lambda::Client,
    stack: &str,
) -> anyhow::Result<FunctionConfiguration> {
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
            bail!("no function is called {prefix}…: is stack, region and account right?");
        }
    }
}
