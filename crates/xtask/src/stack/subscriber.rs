//! Checks the subscriber in the expanded template.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::grants::text;
use super::template::{OWN_GROUPS, SUBSCRIBER, arn_of, log_levels, resource, same};
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const CONDITION: &str = "HasSubscriber";
/// The resources that exist only if the stack has a subscriber.
const PARTS: [&str; 8] = [
    SUBSCRIBER,
    "SubscriberLogGroup",
    "SubscriberRole",
    "Subscriptions",
    "NewLogGroups",
    "NewLogGroupsPermission",
    "SubscriberSchedule",
    "SubscriberSchedulePermission",
];

pub(super) fn check(template: &Value) -> anyhow::Result<String> {
    for part in PARTS {
        same(part, &template["Resources"][part]["Condition"], CONDITION)?;
    }
    let function = resource(template, SUBSCRIBER)?;
    same("Architectures", &function["Architectures"], json!([{ "Ref": "Architecture" }]))?;
    same("VPC", &function["VpcConfig"], Value::Null)?;
    let group = resource(template, &text(&function["LoggingConfig"]["LogGroup"]))?;
    let group = text(&group["LogGroupName"]);
    ensure!(group.starts_with(OWN_GROUPS), "it logs to {group}");
    log_levels(function)?;
    let variables = variables(template, function)?;
    let longest = function["Timeout"].as_u64().context("no timeout")?;
    let custom = resource(template, "Subscriptions")?;
    same("ServiceToken", &custom["ServiceToken"], arn_of(SUBSCRIBER))?;
    let waits = custom["ServiceTimeout"].as_u64().context("CloudFormation waits for an hour")?;
    ensure!(waits > longest, "CloudFormation waits {waits} s for a function that runs {longest} s");
    // CloudFormation runs the subscriber after a change of a property.
    for (property, variable) in [
        ("Include", "INCLUDE"),
        ("Exclude", "EXCLUDE"),
        ("Tags", "TAGS"),
        ("Destination", "DESTINATION"),
        ("KinesisStream", "KINESIS_STREAM"),
        ("KinesisRole", "KINESIS_ROLE"),
        ("Collect", "COLLECT"),
        ("BesideOthers", "BESIDE_OTHERS"),
    ] {
        let variable = &function["Environment"]["Variables"][format!("LAMBDA_OTLP_{variable}")];
        same(property, &custom[property], variable.clone())?;
    }
    let awaited = &template["Resources"]["Subscriptions"]["DependsOn"];
    for first in ["ForwarderPermission", "ForwarderInvokeConfig"] {
        let waits = awaited.as_array().is_some_and(|awaited| awaited.contains(&json!(first)));
        ensure!(waits, "log groups may be subscribed before {first}");
    }
    for rule in ["NewLogGroups", "SubscriberSchedule"] {
        // Otherwise it may subscribe log groups after the stack's deletion has unsubscribed them.
        let awaited = &template["Resources"][rule]["DependsOn"];
        same(&format!("{rule} waits"), awaited, "Subscriptions")?;
        same(rule, &resource(template, rule)?["Targets"][0]["Arn"], arn_of(SUBSCRIBER))?;
        let permission = resource(template, &format!("{rule}Permission"))?;
        same("FunctionName", &permission["FunctionName"], arn_of(SUBSCRIBER))?;
        // CloudFormation truncates the stack's name in a rule's name, which has at most 64 characters.
        same("SourceArn", &permission["SourceArn"], arn_of(rule))?;
    }
    // Failed calls create no log group.
    let created = &resource(template, "NewLogGroups")?["EventPattern"]["detail"];
    same("errorCode", &created["errorCode"], json!([{ "exists": false }]))?;
    Ok(format!("{} parts, {variables} variables, {waits} s for an answer", PARTS.len()))
}

/// Every `LAMBDA_OTLP_` variable of the subscriber but its log level can be set, no other, and a parameter's default is the
/// variable's.
fn variables(template: &Value, function: &Value) -> anyhow::Result<usize> {
    let table = ::subscriber::TABLE;
    let variables = function["Environment"]["Variables"].as_object().context("no variables")?;
    let set: BTreeSet<&str> = variables.keys().map(String::as_str).collect();
    let rows = table.variables().map(|variable| variable.name);
    let own: BTreeSet<&str> = rows
        .filter(|name| name.starts_with("LAMBDA_OTLP_") && *name != "LAMBDA_OTLP_LOG_LEVEL")
        .collect();
    ensure!(set == own, "the template sets {set:?}, the subscriber reads {own:?}");
    for (name, value) in variables {
        let default = template["Parameters"][text(value)]["Default"].as_str();
        let row = table.find(name).and_then(|variable| variable.default);
        if let Some(default) = default.filter(|default| !default.is_empty()) {
            ensure!(row == Some(default), "{name}: {default} by the template, {row:?} by itself");
        }
    }
    Ok(set.len())
}
