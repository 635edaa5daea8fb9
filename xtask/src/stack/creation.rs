//! Creates the stack in moto, and reads its functions' variables as the forwarder does.

use crate::checks::{Tally, output};
use crate::pypi;
use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// What `create_stack.py` says of a stack.
#[derive(Deserialize)]
struct Created {
    status: String,
    outputs: BTreeMap<String, String>,
    /// The variables of each function.
    variables: Vec<HashMap<String, String>>,
    /// How many event source mappings there are.
    mappings: usize,
}

const ACCOUNT: &str = "123456789012";

pub(super) fn check(root: &Path, template: &Value, tally: &mut Tally) {
    let Some(moto) = pypi::install(root, "moto", "create_stack on moto") else { return };
    let endpoint = "https://o2.example.com/api/default";
    let arn = |service: &str, name: &str| format!("arn:aws:{service}:eu-west-1:{ACCOUNT}:{name}");
    let further = [arn("secretsmanager", "secret:a-AbCdEf"), arn("ssm", "parameter/b")].join(",");
    let cases = [
        ("as few parameters as can be", json!({ "Endpoint": endpoint }), 1),
        (
            "secret, rules, Kinesis",
            json!({
                "Endpoint": endpoint,
                "LogGroupName": "/aws/lambda/orders",
                "Collect": "telemetry",
                "SecretArn": arn("secretsmanager", "secret:o2-AbCdEf"),
                "SecretKmsKeyArn": arn("kms", "key/1"),
                "RulesParameter": "/o2/rules",
                "DestinationSecretArns": further,
                "DestinationSecretKmsKeyArns": arn("kms", "key/2"),
                "KinesisStreamArn": arn("kinesis", "stream/logs"),
                "KinesisKmsKeyArn": arn("kms", "key/3"),
                "StorageKmsKeyArn": arn("kms", "key/4"),
                "ReservedConcurrency": "5",
            }),
            2,
        ),
        (
            "parameter store, rules in the package",
            json!({
                "Endpoint": endpoint, "SecretParameter": "/o2/auth", "RulesFile": "rules.toml",
                "SecretTtl": "10m", "MaxRequestBytes": "1MiB", "Stream": "lambda",
                "Proxy": "http://proxy.example.com:3128", "Vitals": "both",
                "HttpsProxy": "http://proxy.example.com:3128", "NoProxy": "sqs.eu-west-1.amazonaws.com",
                "Undecodable": "log",
            }),
            1,
        ),
    ];
    let created = (|| {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), template.to_string())?;
        let parameters: Vec<&Value> = cases.iter().map(|(_, parameters, _)| parameters).collect();
        let mut create = moto.script(&root.join("xtask/src/moto/create_stack.py"));
        let printed = output(create.arg(file.path()).arg(json!(parameters).to_string()))?;
        serde_json::from_slice::<Vec<Created>>(&printed.stdout)
            .context("what create_stack.py printed")
    })();
    match created {
        Ok(created) => {
            for ((name, _, mappings), created) in cases.iter().zip(created) {
                tally.note(
                    &format!("create_stack on moto, {name}"),
                    as_it_should_be(&created, *mappings),
                );
            }
        }
        Err(error) => tally.note("create_stack on moto", Err(error)),
    }
}

fn as_it_should_be(created: &Created, mappings: usize) -> anyhow::Result<String> {
    if created.status != "CREATE_COMPLETE" {
        bail!("{}", created.status);
    }
    if created.mappings != mappings {
        bail!("{} event source mappings, not {mappings}", created.mappings);
    }
    if created.variables.len() != 2 {
        bail!("{} functions, not two", created.variables.len());
    }
    for variables in &created.variables {
        let mut variables = variables.clone();
        // What Lambda adds for the function's role.
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
            variables.insert(name.to_owned(), "of-the-role".to_owned());
        }
        let (config, warnings) = forwarder::Config::from_source(&variables);
        config.context("the forwarder refuses the variables")?;
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        if !warnings.is_empty() {
            bail!("the forwarder warns: {}", warnings.join("; "));
        }
    }
    Ok(format!(
        "CREATE_COMPLETE, {} outputs, {} variables that the forwarder takes",
        created.outputs.len(),
        created.variables.iter().map(HashMap::len).max().unwrap_or_default()
    ))
}
