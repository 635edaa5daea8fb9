//! Compares the permissions of the stack's roles with a list.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use anyhow::bail;
use serde_json::Value;
use std::collections::BTreeSet;

/// The grants: role, action, resource, condition on the request, and the template's condition.
const GRANTS: &[&str] = &[
    "ForwarderRole: kinesis:DescribeStream on KinesisStreamArn (HasKinesisStream) or KinesisStream.Arn if ReadsKinesis",
    "ForwarderRole: kinesis:DescribeStreamSummary on KinesisStreamArn (HasKinesisStream) or KinesisStream.Arn if ReadsKinesis",
    "ForwarderRole: kinesis:GetRecords on KinesisStreamArn (HasKinesisStream) or KinesisStream.Arn if ReadsKinesis",
    "ForwarderRole: kinesis:GetShardIterator on KinesisStreamArn (HasKinesisStream) or KinesisStream.Arn if ReadsKinesis",
    "ForwarderRole: kinesis:ListShards on KinesisStreamArn (HasKinesisStream) or KinesisStream.Arn if ReadsKinesis",
    "ForwarderRole: kms:Decrypt on KmsKeyArns where kms:ViaService StringLike kinesis.${AWS::Region}.* if HasKmsKeys",
    "ForwarderRole: kms:Decrypt on StorageKmsKeyArn where kms:ViaService StringLike kinesis.${AWS::Region}.* if HasStreamKmsKey",
    "ForwarderRole: kms:GenerateDataKey on StorageKmsKeyArn where kms:ViaService StringLike s3.${AWS::Region}.* if HasStorageKmsKey",
    "ForwarderRole: logs:CreateLogStream on ForwarderLogGroup.Arn",
    "ForwarderRole: logs:PutLogEvents on ForwarderLogGroup.Arn",
    "ForwarderRole: s3:ListBucket on OnFailureBucket.Arn",
    "ForwarderRole: s3:PutObject on ${OnFailureBucket.Arn}/*",
    "RedriveRole: logs:CreateLogStream on RedriveLogGroup.Arn",
    "RedriveRole: logs:PutLogEvents on RedriveLogGroup.Arn",
    "RedriveRole: sqs:ChangeMessageVisibility on RetryQueue.Arn",
    "RedriveRole: sqs:DeleteMessage on RetryQueue.Arn",
    "RedriveRole: sqs:GetQueueAttributes on RetryQueue.Arn",
    "RedriveRole: sqs:ReceiveMessage on RetryQueue.Arn",
    "SubscriberRole: iam:PassRole on SubscriptionRole.Arn if CreatesKinesisStream",
    "SubscriberRole: kms:Decrypt on StorageKmsKeyArn where kms:ViaService StringLike sqs.${AWS::Region}.* if HasStorageKmsKey",
    "SubscriberRole: kms:GenerateDataKey on StorageKmsKeyArn where kms:ViaService StringLike sqs.${AWS::Region}.* if HasStorageKmsKey",
    "SubscriberRole: logs:CreateLogStream on SubscriberLogGroup.Arn if HasSubscriber",
    "SubscriberRole: logs:DeleteSubscriptionFilter on arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:* if HasSubscriber",
    "SubscriberRole: logs:DescribeLogGroups on arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:* if HasSubscriber",
    "SubscriberRole: logs:DescribeSubscriptionFilters on arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:* if HasSubscriber",
    "SubscriberRole: logs:FilterLogEvents on arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:* if HasSubscriber",
    "SubscriberRole: logs:ListTagsForResource on arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:* if HasSubscriber",
    "SubscriberRole: logs:PutLogEvents on SubscriberLogGroup.Arn if HasSubscriber",
    "SubscriberRole: logs:PutSubscriptionFilter on arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:* if HasSubscriber",
    "SubscriberRole: sqs:SendMessage on RetryQueue.Arn if HasSubscriber",
    "SubscriptionRole: kinesis:PutRecord on KinesisStream.Arn if CreatesKinesisStream",
    "SubscriptionRole: kms:GenerateDataKey on StorageKmsKeyArn where kms:ViaService StringLike kinesis.${AWS::Region}.* if HasStorageKmsKey",
];

const GRANTS_OF_BOTH: &[&str] = &[
    "ec2:AssignPrivateIpAddresses on * if HasVpc",
    "ec2:CreateNetworkInterface on * if HasVpc",
    "ec2:DeleteNetworkInterface on * if HasVpc",
    "ec2:DescribeNetworkInterfaces on * if HasVpc",
    "ec2:DescribeSubnets on * if HasVpc",
    "ec2:UnassignPrivateIpAddresses on * if HasVpc",
    "kms:Decrypt on KmsKeyArns where kms:ViaService StringLike secretsmanager.* or sqs.* or ssm.* if HasKmsKeys",
    "kms:Decrypt on StorageKmsKeyArn where kms:ViaService StringLike sqs.${AWS::Region}.* if HasStorageKmsKey",
    "kms:GenerateDataKey on StorageKmsKeyArn where kms:ViaService StringLike sqs.${AWS::Region}.* if HasStorageKmsKey",
    "secretsmanager:GetSecretValue on DestinationSecretArns if HasDestinationSecrets",
    "ssm:GetParameter on DestinationSecretArns if HasDestinationSecrets",
    "secretsmanager:GetSecretValue on Secret before # if HasSecretArn",
    "sqs:SendMessage on DeadLetterQueue.Arn",
    "sqs:SendMessage on RetryQueue.Arn",
    "ssm:GetParameter on arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter${Rules} if HasRulesParameter",
    "ssm:GetParameter on arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter${Name}, Name = Secret before # if HasSecretParameter",
];

pub(super) fn check(template: &Value) -> anyhow::Result<String> {
    let own = GRANTS.iter().map(|grant| (*grant).to_owned());
    let of_both = ["ForwarderRole", "RedriveRole"]
        .into_iter()
        .flat_map(|role| GRANTS_OF_BOTH.iter().map(move |grant| format!("{role}: {grant}")));
    let expected: BTreeSet<String> = own.chain(of_both).collect();
    let found = granted(template);
    let unexpected: Vec<_> = found.difference(&expected).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    if !unexpected.is_empty() || !missing.is_empty() {
        bail!("granted beyond the list: {unexpected:#?}; not granted: {missing:#?}");
    }
    Ok(format!("{} grants, each as listed", found.len()))
}

fn granted(template: &Value) -> BTreeSet<String> {
    let mut grants = BTreeSet::new();
    let Some(resources) = template["Resources"].as_object() else { return grants };
    for (name, resource) in resources {
        let condition = resource["Condition"].as_str().unwrap_or_default();
        let properties = &resource["Properties"];
        match resource["Type"].as_str() {
            Some("AWS::IAM::Role") => {
                for arn in items(&properties["ManagedPolicyArns"]) {
                    grants.insert(format!("{name}: the managed policy {arn}"));
                }
                for policy in items(&properties["Policies"]) {
                    add(&mut grants, name, &policy["PolicyDocument"], condition);
                }
            }
            Some("AWS::IAM::Policy") => {
                for role in items(&properties["Roles"]) {
                    add(&mut grants, &text(role), &properties["PolicyDocument"], condition);
                }
            }
            _ => {}
        }
    }
    grants
}

fn add(grants: &mut BTreeSet<String>, role: &str, document: &Value, condition: &str) {
    for statement in items(&document["Statement"]) {
        // {"Fn::If": [condition, statement, none]}
        let (statement, condition) = match statement["Fn::If"][0].as_str() {
            Some(condition) => (&statement["Fn::If"][1], condition),
            None => (statement, condition),
        };
        let effect = statement["Effect"].as_str().unwrap_or("no effect");
        let effect = if effect == "Allow" { String::new() } else { format!("{effect} ") };
        let requests = requests(&statement["Condition"]);
        for action in items(&statement["Action"]) {
            for resource in items(&statement["Resource"]) {
                let condition =
                    if condition.is_empty() { String::new() } else { format!(" if {condition}") };
                grants.insert(format!(
                    "{role}: {effect}{} on {}{requests}{condition}",
                    text(action),
                    text(resource)
                ));
            }
        }
    }
}

/// Renders the condition of a statement: ` where key operator value or value` for each key.
fn requests(condition: &Value) -> String {
    let operators = condition.as_object().into_iter().flatten();
    let asked = operators.flat_map(|(operator, keys)| {
        keys.as_object().into_iter().flatten().map(move |(key, values)| {
            let values: Vec<String> = items(values).iter().map(text).collect();
            format!(" where {key} {operator} {}", values.join(" or "))
        })
    });
    asked.collect()
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

pub(super) fn text(value: &Value) -> String {
    if let Some(text) =
        value.as_str().or_else(|| value["Ref"].as_str()).or_else(|| value["Fn::Sub"].as_str())
    {
        return text.to_owned();
    }
    if let Some([separator, text_of]) =
        value["Fn::Select"][1]["Fn::Split"].as_array().map(Vec::as_slice)
        && value["Fn::Select"][0] == 0
    {
        return format!("{} before {}", text(text_of), text(separator));
    }
    if let Some([text_of, values]) = value["Fn::Sub"].as_array().map(Vec::as_slice) {
        let values = values.as_object().into_iter().flatten();
        let values = values.map(|(name, value)| format!(", {name} = {}", text(value)));
        return text(text_of) + &values.collect::<String>();
    }
    if let Some([condition, value, otherwise]) = value["Fn::If"].as_array().map(Vec::as_slice) {
        return format!("{} ({}) or {}", text(value), text(condition), text(otherwise));
    }
    match value["Fn::GetAtt"].as_array() {
        Some(path) => path.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("."),
        None => value.to_string(),
    }
}
