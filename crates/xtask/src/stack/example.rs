//! Checks that the example, which nests our stack, uses existing parameters and outputs.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::derived::SHORT;
use super::expanded;
use super::template::{arn_of, of_type};
use crate::pypi::Environment;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::path::Path;

pub(super) const EXAMPLE: &str = "demo/examples/stack/template.yaml";
const NESTED: &str = "Telemetry";

pub(super) fn check(root: &Path, tools: &Environment) -> anyhow::Result<String> {
    let (example, _) = expanded(root, tools, EXAMPLE, &[])?;
    let (nested, _) = expanded(root, tools, SHORT, &[])?;
    let parameters = &example["Resources"][NESTED]["Properties"]["Parameters"];
    for name in parameters.as_object().context("the nested stack has no parameters")?.keys() {
        ensure!(!nested["Parameters"][name].is_null(), "{SHORT} has no parameter {name}");
    }
    let mut used = Vec::new();
    outputs(&example, &mut used);
    ensure!(!used.is_empty(), "nothing of the nested stack is used");
    for name in &used {
        ensure!(!nested["Outputs"][*name].is_null(), "{SHORT} has no output {name}");
    }
    let functions = of_type(&example, "AWS::Lambda::Function");
    let filters = of_type(&example, "AWS::Logs::SubscriptionFilter");
    for (name, function) in &functions {
        let group = &function["Properties"]["LoggingConfig"]["LogGroup"];
        let is_subscribed =
            filters.iter().any(|(_, filter)| filter["Properties"]["LogGroupName"] == *group);
        ensure!(is_subscribed, "nothing subscribes the log group of {name}");
    }
    let forwarder = json!({ "Fn::GetAtt": [NESTED, "Outputs.ForwarderFunctionArn"] });
    for (name, filter) in &filters {
        ensure!(filter["Properties"]["DestinationArn"] == forwarder, "{name} leads elsewhere");
    }
    ensure!(
        nested["Outputs"]["ForwarderFunctionArn"]["Value"] == arn_of("ForwarderFunction"),
        "the output ForwarderFunctionArn is something else"
    );
    Ok(format!("{} functions, {} outputs used", functions.len(), used.len()))
}

fn outputs<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    if let Some([resource, attribute]) = value["Fn::GetAtt"].as_array().map(Vec::as_slice)
        && resource == NESTED
    {
        found.extend(attribute.as_str().and_then(|attribute| attribute.strip_prefix("Outputs.")));
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| outputs(item, found)),
        Value::Object(members) => members.values().for_each(|member| outputs(member, found)),
        _ => {}
    }
}
