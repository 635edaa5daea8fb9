//! Checks that the template has no ARN and no service name of another partition of AWS.

use super::{Case, case};
use anyhow::{bail, ensure};
use serde_json::Value;

const PARTITIONS: [(&str, &str, &str); 3] = [
    ("aws", "eu-west-1", "amazonaws.com"),
    ("aws-us-gov", "us-gov-west-1", "amazonaws.com"),
    ("aws-cn", "cn-north-1", "amazonaws.com.cn"),
];
const ACCOUNT: &str = "123456789012";

const STACKS: usize = 3;

/// Stacks that together have every resource, in each partition: with a secret and an existing stream; with a parameter and the
/// stack's own stream for the account; with the subscriber.
pub(super) fn cases() -> Vec<Case> {
    let in_partition = |(partition, region, suffix): (&str, &str, &str)| {
        let arn = |service: &str, name: &str| {
            format!("arn:{partition}:{service}:{region}:{ACCOUNT}:{name}")
        };
        let mut common = case(&[
            ("Endpoint", "https://o2.example.com/api/default"),
            ("AWS::Partition", partition),
            ("AWS::Region", region),
            ("AWS::URLSuffix", suffix),
            ("AWS::AccountId", ACCOUNT),
            ("AWS::StackName", "lambda-otlp"),
            ("DestinationSecretArns", &arn("secretsmanager", "secret:further-AbCdEf")),
            ("KmsKeyArns", &arn("kms", "key/1")),
            ("StorageKmsKeyArn", &arn("kms", "key/2")),
            ("AlarmTopicArn", &arn("sns", "alarms")),
            ("Rules", "/o2/rules"),
            ("SubnetIds", "subnet-1,subnet-2"),
            ("SecurityGroupIds", "sg-1"),
            ("ReservedConcurrency", "5"),
        ]);
        let (mut other, mut by_subscriber) = (common.clone(), common.clone());
        by_subscriber.extend(case(&[("LogGroups", "/aws/lambda/*"), ("SubscribeTags", "a=b")]));
        common.extend(case(&[
            ("Secret", &arn("secretsmanager", "secret:o2/main-AbCdEf")),
            ("LogGroups", "/aws/lambda/orders"),
            ("KinesisStreamArn", &arn("kinesis", "stream/logs")),
        ]));
        other.extend(case(&[
            ("Secret", "/o2/auth"),
            ("LogGroups", "*"),
            ("CreateKinesisStream", "true"),
        ]));
        [common, other, by_subscriber]
    };
    PARTITIONS.into_iter().flat_map(in_partition).collect()
}

pub(super) fn check(folded: &[Value]) -> anyhow::Result<String> {
    ensure!(folded.len() == STACKS * PARTITIONS.len(), "{} cases", folded.len());
    let mut arns = 0;
    for (stacks, (partition, region, suffix)) in folded.chunks(STACKS).zip(PARTITIONS) {
        for template in stacks {
            let mut texts = Vec::new();
            collect(template, &mut texts);
            for text in texts {
                arns += fits(text, partition, region, suffix)?;
            }
        }
    }
    ensure!(arns > 0, "no ARN at all");
    let names: Vec<&str> = PARTITIONS.iter().map(|(partition, ..)| *partition).collect();
    Ok(format!("{arns} ARNs, each of its partition: {}", names.join(", ")))
}

/// Checks that all ARNs of a text are of the partition, and returns their number.
fn fits(text: &str, partition: &str, region: &str, suffix: &str) -> anyhow::Result<usize> {
    let of_partition = format!("{partition}:");
    let arns: Vec<&str> = text.split("arn:").skip(1).collect();
    if let Some(arn) = arns.iter().find(|arn| !arn.starts_with(&of_partition)) {
        bail!("in {partition}: arn:{arn}");
    }
    if text.contains("${AWS::") {
        bail!("in {partition}: {text} is not decided");
    }
    // Lambda and EventBridge have the same name in every partition. CloudWatch Logs is named by its host.
    // <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html>
    let is_service = text.ends_with(".amazonaws.com") || text.ends_with(".amazonaws.com.cn");
    let everywhere = ["lambda.amazonaws.com", "events.amazonaws.com"].contains(&text);
    if is_service && !everywhere && text != format!("logs.{region}.{suffix}") {
        bail!("in {partition}: the service {text}");
    }
    Ok(arns.len())
}

fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        // CloudTrail uses the same event source in every partition.
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| *name != "eventSource")
            .for_each(|(_, member)| collect(member, texts)),
        _ => {}
    }
}
