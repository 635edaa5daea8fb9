//! Checks of the expanded template that AWS's linters do not make.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::grants::text;
use crate::checks::Tally;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use simulator::FilterPattern;
use std::collections::BTreeSet;
use subscriber::Collect;

pub(super) const OWN_GROUPS: &str = "/lambda-otlp/";
/// The only function that is not the forwarder's binary.
pub(super) const SUBSCRIBER: &str = "SubscriberFunction";
const FOURTEEN_DAYS_S: u64 = 14 * 24 * 3600;
/// Lambda requires a visibility timeout of this many timeouts of the function.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
const TIMEOUTS_INVISIBLE: u64 = 6;

type Check = fn(&Value) -> anyhow::Result<String>;

pub(super) fn check(template: &Value, tally: &mut Tally) {
    let checks: [(&str, Check); 6] = [
        ("rules", rules),
        ("functions", functions),
        ("variables", variables),
        ("filter patterns", filter_patterns),
        ("properties", properties),
        ("telemetry", telemetry),
    ];
    for (name, check) in checks {
        tally.note(name, check(template));
    }
}

pub(super) fn resource<'a>(template: &'a Value, name: &str) -> anyhow::Result<&'a Value> {
    let properties = &template["Resources"][name]["Properties"];
    properties.is_object().then_some(properties).with_context(|| format!("there is no {name}"))
}

pub(super) fn of_type<'a>(template: &'a Value, kind: &str) -> Vec<(&'a String, &'a Value)> {
    let resources = template["Resources"].as_object().into_iter().flatten();
    resources.filter(|(_, resource)| resource["Type"] == kind).collect()
}

/// Fails if the value is another one.
pub(super) fn same(name: &str, found: &Value, expected: impl Into<Value>) -> anyhow::Result<()> {
    let expected = expected.into();
    ensure!(*found == expected, "{name}: {found}, not {expected}");
    Ok(())
}

pub(super) fn arn_of(name: &str) -> Value {
    json!({ "Fn::GetAtt": [name, "Arn"] })
}

/// The functions that CloudFormation supports in the section `Rules`. It refuses templates with other functions; AWS's linters
/// accept them. <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-rules.html>
const RULE_FUNCTIONS: [&str; 11] = [
    "Ref",
    "Fn::And",
    "Fn::Contains",
    "Fn::EachMemberEquals",
    "Fn::EachMemberIn",
    "Fn::Equals",
    "Fn::Not",
    "Fn::Or",
    "Fn::RefAll",
    "Fn::ValueOf",
    "Fn::ValueOfAll",
];

fn rules(template: &Value) -> anyhow::Result<String> {
    let rules = template["Rules"].as_object().context("no rules")?;
    for (name, rule) in rules {
        let asserts = rule["Assertions"].as_array().into_iter().flatten();
        let asserts = asserts.map(|assertion| &assertion["Assert"]);
        for expression in asserts.chain([&rule["RuleCondition"]]) {
            let used = functions_in(expression);
            let unsupported: Vec<_> =
                used.iter().filter(|function| !RULE_FUNCTIONS.contains(function)).collect();
            ensure!(
                unsupported.is_empty(),
                "{name}: CloudFormation does not support {unsupported:?} in rules"
            );
        }
    }
    Ok(format!("{}, with the functions that CloudFormation supports there", rules.len()))
}

/// The names of all functions in an expression.
fn functions_in(expression: &Value) -> Vec<&str> {
    match expression {
        Value::Array(items) => items.iter().flat_map(functions_in).collect(),
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| std::iter::once(name.as_str()).chain(functions_in(value)))
            .collect(),
        _ => Vec::new(),
    }
}

fn functions(template: &Value) -> anyhow::Result<String> {
    let mut functions = of_type(template, "AWS::Lambda::Function");
    functions.retain(|(name, _)| *name != SUBSCRIBER);
    let names: Vec<_> = functions.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(names == ["ForwarderFunction", "RedriveFunction"], "{names:?}");
    for (name, function) in &functions {
        let properties = &function["Properties"];
        same("Handler", &properties["Handler"], "bootstrap")?;
        same("Runtime", &properties["Runtime"], "provided.al2023")?;
        same("Architectures", &properties["Architectures"], json!([{ "Ref": "Architecture" }]))?;
        let group = text(&properties["LoggingConfig"]["LogGroup"]);
        let group = resource(template, &group).with_context(|| format!("{name}: no log group"))?;
        let group_name = text(&group["LogGroupName"]);
        ensure!(group_name.starts_with(OWN_GROUPS), "{name} logs to {group_name}");
        ensure!(!group["RetentionInDays"].is_null(), "{name} keeps its log for ever");
        log_levels(properties).with_context(|| format!("log of {name}"))?;
    }
    same(
        "the code of both",
        &functions[0].1["Properties"]["Code"],
        functions[1].1["Properties"]["Code"].clone(),
    )?;
    same("default architecture", &template["Parameters"]["Architecture"]["Default"], "arm64")?;
    Ok("handler, runtime, architecture, code, own log groups and their levels".to_owned())
}

/// Checks that Lambda writes only failures to a function's log, and drops none of the function's own lines.
pub(super) fn log_levels(function: &Value) -> anyhow::Result<()> {
    let logging = &function["LoggingConfig"];
    same("LogFormat", &logging["LogFormat"], "JSON")?;
    same("SystemLogLevel", &logging["SystemLogLevel"], "WARN")?;
    same("ApplicationLogLevel", &logging["ApplicationLogLevel"], "TRACE")
}

/// Settings of the forwarder without a parameter, and the reason.
const WITHOUT_PARAMETER: [&str; 2] = [
    // `HttpsProxy` and `NoProxy` suffice.
    "LAMBDA_OTLP_PROXY",
    // A rejected request is split.
    "LAMBDA_OTLP_MAX_REQUEST_BYTES",
];

/// Checks that the template sets every `LAMBDA_OTLP_` variable of the forwarder and its proxy, no other, and uses the variable's
/// default.
fn variables(template: &Value) -> anyhow::Result<String> {
    let is_parameter = |name: &&str| {
        (name.starts_with("LAMBDA_OTLP_") && !WITHOUT_PARAMETER.contains(name))
            || ["HTTPS_PROXY", "NO_PROXY"].contains(name)
    };
    let table = forwarder::TABLE;
    let documented: BTreeSet<&str> =
        table.variables().map(|variable| variable.name).filter(is_parameter).collect();
    for function in ["ForwarderFunction", "RedriveFunction"] {
        let variables = &resource(template, function)?["Environment"]["Variables"];
        let variables = variables.as_object().context("no variables")?;
        let set: BTreeSet<&str> = variables.keys().map(String::as_str).collect();
        let unknown: Vec<_> = set.difference(&documented).collect();
        let unset: Vec<_> = documented.difference(&set).collect();
        ensure!(
            unknown.is_empty(),
            "{function} has {unknown:?}, which the forwarder does not know"
        );
        ensure!(unset.is_empty(), "{function}: no parameter sets {unset:?}");
        for (name, value) in variables {
            let parameter = &template["Parameters"][text(value)];
            let default = parameter["Default"].as_str().filter(|default| !default.is_empty());
            let row = table.find(name);
            let own = row.and_then(|variable| variable.default);
            if let Some(default) = default.filter(|_| row.is_some()) {
                ensure!(
                    own == Some(default),
                    "{name}: {default} by the template, {own:?} by the forwarder"
                );
            }
        }
    }
    Ok(format!("{} variables, each in the forwarder's table", documented.len()))
}

fn filter_patterns(template: &Value) -> anyhow::Result<String> {
    let own = r#"{"__otel_otlp_stdout":"0.1.0","source":"orders","payload":"H4sI"}"#;
    let report =
        "REPORT RequestId: 79104EXAMPLEB723\tDuration: 12.34 ms\tBilled Duration: 13 ms\t\n";
    let report_json = r#"{"time":"2026-11-02T10:00:00.000Z","type":"platform.report","record":{"requestId":"7"}}"#;
    let timeout = "2026-11-02T10:00:00.000Z 79104EXAMPLEB723 Task timed out after 3.00 seconds\n";
    let cases = [
        ("all", own, true),
        ("all", "order stored", true),
        ("telemetry", own, true),
        ("telemetry", r#"{"_otelc":"!$%"}"#, true),
        ("telemetry", report, true),
        ("telemetry", report_json, true),
        ("telemetry", timeout, true),
        ("telemetry", r#"{"resourceSpans":[{"scopeSpans":[]}]}"#, true),
        ("telemetry", r#"INFO: {"resource":{},"scopeLogs":[]}"#, true),
        (
            "telemetry",
            "RequestId: 79104EXAMPLEB723 Error: Runtime exited with error: signal: killed",
            true,
        ),
        ("telemetry", "order stored", false),
        // The second part of a line that Lambda split. `docs/deploy.md` documents that it is not forwarded.
        ("telemetry", r#""},{"traceId":"0af7651916cd43dd8448eb211c80319c"}]}]}]}"#, false),
        ("telemetry", "START RequestId: 79104EXAMPLEB723 Version: $LATEST\n", false),
        ("spilled", r#"{"__otel_otlp_stdout":"x@1","spill":true,"payload":"H4sI"}"#, true),
        ("spilled", r#"{"__otel_otlp_stdout":"x@1","payload":"H4sI"}"#, false),
        ("spilled", r#"{"_otelc":"!$%","spill":true}"#, true),
        ("spilled", r#"{"_otelc":"!$%"}"#, false),
        ("spilled", "order stored", false),
    ];
    for (collect, line, expected) in cases {
        let pattern = template["Mappings"]["FilterPatterns"][collect]["Pattern"].as_str();
        let pattern = pattern.with_context(|| format!("no pattern for {collect}"))?;
        let matches = FilterPattern::parse(pattern)?.matches(line);
        ensure!(matches == expected, "{collect}: {pattern} on {line:?} is {matches}");
    }
    for (collect, own) in
        [("all", Collect::All), ("telemetry", Collect::Telemetry), ("spilled", Collect::Spilled)]
    {
        let pattern = &template["Mappings"]["FilterPatterns"][collect]["Pattern"];
        same(&format!("{collect} of the subscriber"), pattern, own.pattern())?;
    }
    Ok(format!("{} lines", cases.len()))
}

/// Checks properties that permissions, retries and redrives rely on.
fn properties(template: &Value) -> anyhow::Result<String> {
    let permissions = of_type(template, "AWS::Lambda::Permission");
    let names: Vec<_> = permissions.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(
        names == ["ForwarderPermission", "NewLogGroupsPermission", "SubscriberSchedulePermission"],
        "{names:?}"
    );
    let on_failure = json!({ "OnFailure": { "Destination": arn_of("OnFailureBucket") } });
    let groups = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:*";
    let (none, key) = (json!({ "Ref": "AWS::NoValue" }), json!({ "Ref": "StorageKmsKeyArn" }));
    // Messages stay as long as SQS allows, encrypted by SQS or by the user's key.
    let queue = json!({
        "MessageRetentionPeriod": FOURTEEN_DAYS_S,
        "SqsManagedSseEnabled": { "Fn::If": ["HasStorageKmsKey", none, true] },
        "KmsMasterKeyId": { "Fn::If": ["HasStorageKmsKey", key, none] },
    });
    let expected = json!({
        "ForwarderPermission": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": arn_of("ForwarderFunction"),
            "Principal": { "Fn::Sub": "logs.${AWS::Region}.${AWS::URLSuffix}" },
            "SourceArn": { "Fn::Sub": groups },
            "SourceAccount": { "Ref": "AWS::AccountId" },
        },
        "ForwarderInvokeConfig": {
            "FunctionName": { "Ref": "ForwarderFunction" },
            "MaximumRetryAttempts": 2,
            "MaximumEventAgeInSeconds": 6 * 3600,
            "DestinationConfig": on_failure,
        },
        "KinesisSource": {
            "DestinationConfig": on_failure,
            "BisectBatchOnFunctionError": true,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        },
        "RedriveSource": {
            "FunctionName": { "Ref": "RedriveFunction" },
            "EventSourceArn": arn_of("RetryQueue"),
            "BatchSize": 1,
            "ScalingConfig": { "MaximumConcurrency": 10 },
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        },
        "RetryQueue": queue,
        "DeadLetterQueue": queue,
        "QueuePolicy": { "Queues": [{ "Ref": "RetryQueue" }, { "Ref": "DeadLetterQueue" }] },
        "OnFailureBucket": { "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": true, "BlockPublicPolicy": true,
            "IgnorePublicAcls": true, "RestrictPublicBuckets": true,
        } },
    });
    let expected = expected.as_object().context("no resources")?;
    for (name, properties) in expected {
        let found = resource(template, name)?;
        for (property, expected) in properties.as_object().into_iter().flatten() {
            same(&format!("{name}, {property}"), &found[property], expected.clone())?;
        }
    }
    Ok(format!("of {} resources", expected.len()))
}

/// Checks that telemetry in queues and bucket is protected, and stays when the stack goes.
fn telemetry(template: &Value) -> anyhow::Result<String> {
    let timeout = resource(template, "RedriveFunction")?["Timeout"].as_u64();
    let timeout = timeout.context("no timeout")?;
    let invisible = resource(template, "RetryQueue")?["VisibilityTimeout"].as_u64().unwrap_or(30);
    ensure!(
        invisible >= TIMEOUTS_INVISIBLE * timeout,
        "{invisible} s invisible, for a timeout of {timeout} s"
    );
    let bucket = resource(template, "OnFailureBucket")?;
    let encryption = &bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"];
    ensure!(encryption.is_array(), "the bucket is not encrypted");
    ensure!(bucket["LifecycleConfiguration"]["Rules"].is_array(), "objects are kept for ever");
    tls_only(resource(template, "QueuePolicy")?, "sqs:*")?;
    tls_only(resource(template, "OnFailureBucketPolicy")?, "s3:*")?;
    // They remain after the stack is deleted, unless its creation failed.
    let kept = [
        "RetryQueue",
        "DeadLetterQueue",
        "QueuePolicy",
        "OnFailureBucket",
        "OnFailureBucketPolicy",
    ];
    for name in kept {
        let resource = &template["Resources"][name];
        same(name, &resource["DeletionPolicy"], "RetainExceptOnCreate")?;
        same(name, &resource["UpdateReplacePolicy"], "Retain")?;
    }
    Ok(format!("encrypted, TLS only, {invisible} s invisible, stays when the stack goes"))
}

fn tls_only(policy: &Value, action: &str) -> anyhow::Result<()> {
    let statement = &policy["PolicyDocument"]["Statement"][0];
    same("Effect", &statement["Effect"], "Deny")?;
    same("Principal", &statement["Principal"], "*")?;
    same("Action", &statement["Action"], action)?;
    same(
        "Condition",
        &statement["Condition"],
        json!({ "Bool": { "aws:SecureTransport": "false" } }),
    )
}
