//! The functions in direct mode among those that write to log groups. Their layer sends telemetry to the backend itself, so a
//! filter of all lines would send it a second time.

use crate::aws::{Aws, FunctionConfiguration, Lambda, MISSING, explain, is_denied};
use crate::doctor::direct_mode_variable;
use anyhow::Context as _;
use console::quantity::plural;
use futures_util::{StreamExt as _, TryStreamExt as _};
use std::collections::BTreeMap;

/// The beginning of the names of Lambda's log groups.
const LAMBDA: &str = "/aws/lambda/";
/// Functions that are read one by one. More need fewer requests in a list, which has 50 functions a page.
const MAX_READ: usize = 20;
const AT_A_TIME: usize = 4;
/// Log groups that the warning names.
const MAX_NAMES: usize = 10;

/// The functions in direct mode, by their log groups.
#[derive(Debug, Default)]
pub(super) struct DirectSenders {
    functions: BTreeMap<String, DirectSender>,
}

#[derive(Debug)]
struct DirectSender {
    name: String,
    /// The variable that puts it into direct mode.
    variable: &'static str,
}

impl DirectSenders {
    /// Finds the functions in direct mode that write to these log groups. If functions cannot be read, the command says so and
    /// continues, because the filters may exist by now.
    pub(super) async fn find(aws: &Aws, groups: &[&str]) -> Self {
        if groups.is_empty() {
            return Self::default();
        }
        let names: Vec<&str> =
            groups.iter().filter_map(|group| group.strip_prefix(LAMBDA)).collect();
        let are_few = names.len() == groups.len() && names.len() <= MAX_READ;
        let found = match aws.lambda() {
            Ok(lambda) if are_few => read(&lambda, &names).await,
            Ok(lambda) => list(&lambda).await,
            Err(error) => Err(error),
        };
        let functions = match found {
            Ok(functions) => functions,
            Err(error) => {
                let permission =
                    if are_few { "lambda:GetFunction" } else { "lambda:ListFunctions" };
                let why = if is_denied(&error) {
                    format!("these credentials lack {permission}")
                } else {
                    format!("{error:#}")
                };
                eprintln!("warning: cannot tell which functions are in direct mode: {why}");
                return Self::default();
            }
        };
        let mut senders: BTreeMap<String, DirectSender> =
            functions.into_iter().filter_map(direct_sender).collect();
        senders.retain(|group, _| groups.contains(&group.as_str()));
        Self { functions: senders }
    }

    /// The text in the plan's row of this log group.
    pub(super) fn note(&self, group: &str) -> Option<String> {
        let DirectSender { name, variable } = self.functions.get(group)?;
        Some(format!("{name} is in direct mode ({variable}): its telemetry arrives twice"))
    }

    /// Warns with the command that subscribes these log groups to spilled lines only. `forwarder_flags` name the forwarder.
    pub(super) fn warning(&self, forwarder_flags: &str) -> Option<String> {
        let groups: Vec<&str> = self.functions.keys().map(String::as_str).collect();
        if groups.is_empty() {
            return None;
        }
        let shown = groups.get(..MAX_NAMES.min(groups.len())).unwrap_or_default().join(",");
        let others = if groups.len() > MAX_NAMES { ", and so on" } else { "" };
        let functions = plural(groups.len(), "function");
        Some(format!(
            "warning: {functions} in direct mode: the layer sends to the backend itself, so their telemetry arrives twice; use `lambda-otlp subscribe {forwarder_flags} --include {shown} --collect spilled --yes`{others}; or set LAMBDA_OTLP_OUTPUT=stdout on the function"
        ))
    }
}

async fn read(lambda: &Lambda, names: &[&str]) -> anyhow::Result<Vec<FunctionConfiguration>> {
    let requests = futures_util::stream::iter(names).map(async |name| {
        match lambda.function(name).await {
            Ok(function) => Ok(function.configuration),
            // A log group outlives its function.
            Err(error) if error.code() == Some(MISSING) => Ok(None),
            Err(error) => {
                Err(explain(&error)).with_context(|| format!("cannot read function {name}"))
            }
        }
    });
    let read: Vec<Option<FunctionConfiguration>> =
        requests.buffered(AT_A_TIME).try_collect().await?;
    Ok(read.into_iter().flatten().collect())
}

async fn list(lambda: &Lambda) -> anyhow::Result<Vec<FunctionConfiguration>> {
    let listed = lambda.functions().await;
    listed.map_err(|error| explain(&error)).context("cannot list functions")
}

/// Returns the log group of a function with the layer in direct mode.
fn direct_sender(function: FunctionConfiguration) -> Option<(String, DirectSender)> {
    let layers = function.layers.iter().map(|layer| layer.arn.as_str());
    let variable = direct_mode_variable(layers, &function.environment.variables)?;
    Some((function.log_group(), DirectSender { name: function.function_name, variable }))
}
