//! Updates stacks of older templates on moto: queues, buckets, functions and filters stay, with their content.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::creation::{create, stories_of_whole};
use super::derived::WHOLE;
use super::expanded;
use crate::checks::Tally;
use crate::pypi::{self, Environment};
use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use std::path::Path;

pub(super) fn check(root: &Path, tools: &Environment, tally: &mut Tally) {
    let Some(moto) = pypi::install(root, "moto", "update_stack on moto") else { return };
    tally.note("update_stack on moto, from 0.1", updated(root, tools, &moto));
}

/// The template of 0.1, which users have deployed.
const OLDER: &str = "tests/fixtures/0.1/template.yaml";

/// Types of resources that hold telemetry or that other stacks and filters name, and the property whose change replaces them.
const KEPT: [(&str, &str); 5] = [
    ("AWS::SQS::Queue", "QueueName"),
    ("AWS::S3::Bucket", "BucketName"),
    ("AWS::Kinesis::Stream", "Name"),
    ("AWS::Lambda::Function", "FunctionName"),
    ("AWS::Logs::SubscriptionFilter", "FilterName"),
];

/// Creates the stacks of the stories from the template of 0.1, and updates them to this version with the same parameters.
fn updated(root: &Path, tools: &Environment, moto: &Environment) -> anyhow::Result<String> {
    let (older, _) = expanded(root, tools, OLDER, &[])?;
    let (template, _) = expanded(root, tools, WHOLE, &[])?;
    let resources = |template: &Value| {
        let resources = template.get("Resources").and_then(Value::as_object);
        resources.cloned().context("a template without resources")
    };
    let (before, after) = (resources(&older)?, resources(&template)?);
    let mut kept = 0;
    for (name, resource) in before {
        let is_kept = |(kind, _): &&(&str, &str)| resource["Type"] == *kind;
        let Some((kind, property)) = KEPT.iter().find(is_kept) else { continue };
        let now =
            after.get(&name).with_context(|| format!("an update removes {name}, a {kind}"))?;
        ensure!(now["Type"] == resource["Type"], "an update replaces {name}, a {kind}");
        let (was, is) = (&resource["Properties"][property], &now["Properties"][property]);
        ensure!(was == is, "an update replaces {name}: its {property} was {was} and is {is}");
        kept += 1;
    }
    let stories = stories_of_whole();
    for (story, created) in
        stories.iter().zip(create(root, tools, moto, WHOLE, Some(OLDER), &stories)?)
    {
        let [before, after] = created.kept.as_slice() else { bail!("nothing was compared") };
        ensure!(before == after, "{}: {before:#?} became {after:#?}", story.name);
        ensure!(created.status == "UPDATE_COMPLETE", "{}: {}", story.name, created.status);
    }
    Ok(format!(
        "{kept} resources of 0.1 stay, {} stacks keep messages, objects and filters",
        stories.len()
    ))
}
