//! Creates the stack of `template.yaml`, and reads the variables of its functions as the programs do.

use super::Workshop;
use crate::checks::{Tally, output};
use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};

const REGION: &str = "eu-west-1";
/// moto's.
const ACCOUNT: &str = "123456789012";

/// The output of `create_stack.py` for a stack.
#[derive(Deserialize)]
struct Created {
    status: String,
    outputs: BTreeSet<String>,
    variables: Vec<HashMap<String, String>>,
    grants: BTreeSet<String>,
    /// The number of event source mappings.
    mappings: usize,
}

/// Parameters, and the expected resources.
struct Story {
    name: &'static str,
    parameters: Value,
    /// Permissions of both the forwarder and the redrive function.
    grants: &'static [&'static str],
    has_subscriber: bool,
    mappings: usize,
}

impl Default for Story {
    fn default() -> Self {
        let parameters = json!({});
        Self { name: "", parameters, grants: &[], has_subscriber: false, mappings: 1 }
    }
}

fn stories() -> [Story; 6] {
    [
        Story { name: "only an endpoint", ..Story::default() },
        Story {
            name: "the README's parameters",
            parameters: json!({
                "Secret": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:o2-AbCdEf",
                "LogGroups": "/aws/lambda/orders",
            }),
            grants: &[
                "secretsmanager:GetSecretValue on arn:aws:secretsmanager:eu-west-1:123456789012:secret:o2-AbCdEf",
            ],
            ..Story::default()
        },
        Story {
            name: "every parameter of rules, keys, a VPC and Kinesis",
            parameters: json!({
                "Secret": "/o2/auth#authorization",
                "LogGroups": "/aws/lambda/orders",
                "Collect": "telemetry",
                "Rules": "/o2/rules",
                "DestinationSecretArns": "arn:aws:ssm:eu-west-1:123456789012:parameter/b",
                "KmsKeyArns": "arn:aws:kms:eu-west-1:123456789012:key/1",
                "KinesisStreamArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/logs",
                "StorageKmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/2",
                "ReservedConcurrency": "5",
                "SubnetIds": "subnet-1,subnet-2",
                "SecurityGroupIds": "sg-1",
                "AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:alarms",
            }),
            grants: &[
                "ssm:GetParameter on arn:aws:ssm:eu-west-1:123456789012:parameter/o2/auth",
                "ssm:GetParameter on arn:aws:ssm:eu-west-1:123456789012:parameter/o2/rules",
                "ssm:GetParameter on arn:aws:ssm:eu-west-1:123456789012:parameter/b",
                "kms:Decrypt on arn:aws:kms:eu-west-1:123456789012:key/1",
                "kms:GenerateDataKey on arn:aws:kms:eu-west-1:123456789012:key/2",
            ],
            mappings: 2,
            ..Story::default()
        },
        Story {
            name: "another backend, a stream of the stack for one log group",
            parameters: json!({
                "Backend": "otlp", "Headers": "x-tenant=shop", "Rules": "rules.toml",
                "Stream": "lambda", "PlatformSpans": "true", "Vitals": "both", "MemorySize": "512",
                "Architecture": "x86_64", "LogGroups": "/aws/lambda/orders", "CreateKinesisStream": "true",
            }),
            mappings: 2,
            ..Story::default()
        },
        Story {
            name: "the account",
            parameters: json!({ "LogGroups": "*", "ExcludedLogGroups": "/aws/lambda/noisy" }),
            ..Story::default()
        },
        Story {
            name: "log groups by the subscriber, into a stream",
            parameters: json!({
                "LogGroups": "/aws/lambda/*,/ecs/shop", "ExcludedLogGroups": "*-dev",
                "SubscribeTags": "team=shop", "Collect": "spilled", "CreateKinesisStream": "true",
            }),
            has_subscriber: true,
            mappings: 2,
            ..Story::default()
        },
    ]
}

pub(super) fn check(workshop: &Workshop, tally: &mut Tally) {
    let stories = stories();
    match create(workshop, &stories) {
        Ok(all) => {
            for (story, created) in stories.iter().zip(all) {
                tally.note(&format!("create_stack, {}", story.name), compare(&created, story));
            }
        }
        Err(error) => tally.note("create_stack", Err(error)),
    }
}

fn create(workshop: &Workshop, stories: &[Story]) -> anyhow::Result<Vec<Created>> {
    let with_endpoint = |story: &Story| {
        let mut parameters: Map<String, Value> =
            story.parameters.as_object().cloned().unwrap_or_default();
        parameters.insert("Endpoint".to_owned(), "https://o2.example.com/api/default".into());
        parameters
    };
    let parameters: Vec<_> = stories.iter().map(with_endpoint).collect();
    let script = workshop.root.join("crates/xtask/src/moto/create_stack.py");
    let mut create = workshop.environment.script(&script);
    create.arg(workshop.root.join("template.yaml")).arg(json!(parameters).to_string());
    serde_json::from_slice(&output(&mut create)?.stdout).context("output of create_stack.py")
}

fn compare(created: &Created, story: &Story) -> anyhow::Result<String> {
    ensure!(created.status == "CREATE_COMPLETE", "{}", created.status);
    ensure!(created.mappings == story.mappings, "{} event source mappings", created.mappings);
    for role in ["ForwarderRole", "RedriveRole"] {
        for grant in story.grants {
            let grant = format!("{role}: {grant}");
            ensure!(created.grants.contains(&grant), "no {grant} in {:#?}", created.grants);
        }
    }
    let is_subscriber =
        |variables: &&HashMap<String, String>| variables.contains_key("LAMBDA_OTLP_INCLUDE");
    let subscribers = created.variables.iter().filter(is_subscriber).count();
    let functions = created.variables.len();
    ensure!(
        subscribers == usize::from(story.has_subscriber) && functions == 2 + subscribers,
        "{functions} functions, of them {subscribers} subscribers"
    );
    for variables in &created.variables {
        can_start(variables, is_subscriber(&variables))?;
        for queue in ["LAMBDA_OTLP_RETRY_QUEUE_URL", "LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL"] {
            let Some((_, name)) = variables.get(queue).and_then(|url| url.rsplit_once('/')) else {
                continue;
            };
            let send = format!("sqs:SendMessage on arn:aws:sqs:{REGION}:{ACCOUNT}:{name}");
            let senders = created.grants.iter().filter(|grant| grant.ends_with(&send)).count();
            ensure!(senders >= 2, "{senders} roles have {send}");
        }
    }
    let (outputs, grants) = (created.outputs.len(), created.grants.len());
    Ok(format!(
        "{functions} functions that accept their variables, {grants} grants, {outputs} outputs"
    ))
}

/// Checks that a program accepts its variables without a warning.
fn can_start(variables: &HashMap<String, String>, is_subscriber: bool) -> anyhow::Result<()> {
    let mut variables = variables.clone();
    // Lambda sets these.
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        variables.insert(name.to_owned(), "of-the-role".to_owned());
    }
    variables.insert("AWS_REGION".to_owned(), REGION.to_owned());
    let warnings = if is_subscriber {
        let (config, warnings) = ::subscriber::Config::from_source(&variables);
        config.context("the subscriber refuses the variables")?;
        warnings
    } else {
        let (config, warnings) = forwarder::Config::from_source(&variables);
        config.context("the forwarder refuses the variables")?;
        warnings
    };
    ensure!(warnings.is_empty(), "a function warns: {warnings:?}");
    Ok(())
}
