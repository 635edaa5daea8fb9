//! Compares the stack's alarms with a list.

use super::grants::text;
use super::template::of_type;
use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// The alarms: metric, threshold, number and length of periods, and the template's condition.
const ALARMS: &[&str] = &[
    "DeadLettersAlarm: Maximum AWS/SQS ApproximateNumberOfMessagesVisible of DeadLetterQueue.QueueName > 0 in 1 of 1 x 300 s if HasAlarms",
    "ForwarderErrorsAlarm: Sum AWS/Lambda Errors of ForwarderFunction > 0 in 2 of 3 x 300 s if HasAlarms",
    "ForwarderThrottlesAlarm: Sum AWS/Lambda Throttles of ForwarderFunction > 0 in 3 of 3 x 300 s if HasAlarms",
    "KinesisLagAlarm: Maximum AWS/Lambda IteratorAge of ForwarderFunction > 3600000 in 3 of 3 x 300 s if HasKinesisAlarm",
    "LagAlarm: Minimum lambda-otlp Lag of ForwarderFunction > 600000 in 3 of 3 x 300 s if HasLagAlarm",
    "OnFailureEventsAlarm: Sum AWS/Lambda AsyncEventsDropped of ForwarderFunction > 0 in 1 of 1 x 300 s if HasAlarms",
    "OnFailureObjectsAlarm: Maximum AWS/S3 NumberOfObjects of OnFailureBucket, AllStorageTypes > 0 in 1 of 1 x 86400 s if HasAlarms",
    "RedriveErrorsAlarm: Sum AWS/Lambda Errors of RedriveFunction > 0 in 2 of 3 x 300 s if HasAlarms",
    "RetryAgeAlarm: Maximum AWS/SQS ApproximateAgeOfOldestMessage of RetryQueue.QueueName > 14400 in 1 of 1 x 300 s if HasAlarms",
    "RetryBacklogAlarm: visible + hidden (Minimum AWS/SQS ApproximateNumberOfMessagesNotVisible of RetryQueue.QueueName; Minimum AWS/SQS ApproximateNumberOfMessagesVisible of RetryQueue.QueueName) > 0 in 48 of 48 x 300 s if HasAlarms",
    "SubscriberErrorsAlarm: Sum AWS/Lambda Errors of SubscriberFunction > 0 in 2 of 3 x 3600 s if HasSubscriberAlarm",
    "UndeliveredEventsAlarm: Sum AWS/Lambda DestinationDeliveryFailures of ForwarderFunction > 0 in 1 of 1 x 300 s if HasAlarms",
];

/// The page that explains each alarm and the response to it.
const MANUAL: &str = "docs/operations.md";

pub(super) fn check(root: &Path, template: &Value) -> anyhow::Result<String> {
    let manual = std::fs::read_to_string(root.join(MANUAL)).context(MANUAL)?;
    let mut found = BTreeSet::new();
    for (name, alarm) in of_type(template, "AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        let (measured, period) = measured(properties).with_context(|| name.clone())?;
        let periods = &properties["EvaluationPeriods"];
        let datapoints = properties.get("DatapointsToAlarm").unwrap_or(periods);
        let condition = text(&alarm["Condition"]);
        found.insert(format!(
            "{name}: {measured} > {} in {datapoints} of {periods} x {period} s if {condition}",
            properties["Threshold"]
        ));
        let comparison = &properties["ComparisonOperator"];
        ensure!(comparison == "GreaterThanThreshold", "{name}: {comparison}");
        let missing = &properties["TreatMissingData"];
        ensure!(missing == "notBreaching", "{name}: nothing measured is {missing}");
        let none = json!({ "Ref": "AWS::NoValue" });
        let topic =
            json!({ "Fn::If": ["HasAlarmTopic", [{ "Ref": "AlarmTopicArn" }], none.clone()] });
        for actions in ["AlarmActions", "OKActions"] {
            ensure!(properties[actions] == topic, "{name}: {actions} are {}", properties[actions]);
        }
        ensure!(properties["AlarmDescription"].is_string(), "{name} has no description");
        ensure!(manual.contains(&format!("`{name}`")), "{MANUAL} does not explain {name}");
    }
    let expected: BTreeSet<String> = ALARMS.iter().map(|alarm| (*alarm).to_owned()).collect();
    let unexpected: Vec<_> = found.difference(&expected).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    if !unexpected.is_empty() || !missing.is_empty() {
        bail!("beyond the list: {unexpected:#?}; missing: {missing:#?}");
    }
    Ok(format!("{} alarms, each as listed and in {MANUAL}", found.len()))
}

/// Returns the metric of an alarm and its period in seconds.
fn measured(alarm: &Value) -> anyhow::Result<(String, Value)> {
    let Some(queries) = alarm["Metrics"].as_array() else {
        let metric = metric(&alarm["Statistic"], alarm)?;
        return Ok((metric, alarm["Period"].clone()));
    };
    let (expression, metrics): (Vec<&Value>, Vec<&Value>) =
        queries.iter().partition(|query| query["Expression"].is_string());
    let mut parts = BTreeSet::new();
    let mut period = Value::Null;
    for query in metrics {
        let stat = &query["MetricStat"];
        parts.insert(metric(&stat["Stat"], &stat["Metric"])?);
        period = stat["Period"].clone();
    }
    let parts: Vec<String> = parts.into_iter().collect();
    let expression = expression.first().context("no expression")?;
    Ok((format!("{} ({})", text(&expression["Expression"]), parts.join("; ")), period))
}

fn metric(statistic: &Value, metric: &Value) -> anyhow::Result<String> {
    let dimensions = metric["Dimensions"].as_array().context("no dimension")?;
    let of: Vec<String> = dimensions.iter().map(|dimension| text(&dimension["Value"])).collect();
    let (statistic, namespace) = (text(statistic), text(&metric["Namespace"]));
    Ok(format!("{statistic} {namespace} {} of {}", text(&metric["MetricName"]), of.join(", ")))
}
