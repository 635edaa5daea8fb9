//! What is made of `deploy/stack/template.yaml`: the templates that ask little, those whose code is zips, and the file of settings.

use super::expanded;
use crate::checks::{Tally, output};
use crate::pypi::Environment;
use anyhow::{Context as _, ensure};
use serde_json::Value;
use std::path::Path;

/// The template that is written by hand.
pub(super) const WHOLE: &str = "deploy/stack/template.yaml";
/// What `sam build` finds.
pub(super) const SHORT: &str = "template.yaml";
pub(super) const SHORT_DIST: &str = "deploy/template-dist.yaml";
const WHOLE_DIST: &str = "deploy/stack/template-dist.yaml";
/// What Terraform and CDK deploy.
pub(crate) const PLAIN: &str = "deploy/terraform/cloudformation.json";
pub(super) const ALL: [&str; 4] = [SHORT, SHORT_DIST, WHOLE, WHOLE_DIST];

/// CloudFormation takes a template of this many bytes without a bucket, as `aws cloudformation deploy` sends it.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html>
const MAX_BYTES: u64 = 51_200;

const ASKED: [&str; 4] = ["Endpoint", "Secret", "LogGroups", "Architecture"];

/// Writes the files anew.
pub(super) fn write(root: &Path, tools: &Environment) -> anyhow::Result<()> {
    print!("{}", derive(root, tools, "write")?);
    Ok(())
}

fn derive(root: &Path, tools: &Environment, mode: &str) -> anyhow::Result<String> {
    let mut derive = tools.script(&root.join("crates/xtask/src/stack/derive.py"));
    let printed = output(derive.arg(root).arg(mode))?;
    Ok(String::from_utf8_lossy(&printed.stdout).into_owned())
}

pub(super) fn check(root: &Path, tools: &Environment, tally: &mut Tally) {
    let made = derive(root, tools, "check").map(|files| files.trim().to_owned());
    tally.note("what is made of deploy/stack/template.yaml", made);
    tally.note("template.yaml, expanded", asks(root, tools, SHORT, &[]));
    tally.note(
        "deploy/template-dist.yaml, expanded",
        asks(root, tools, SHORT_DIST, &["ArtifactBucket", "ArtifactPrefix"]),
    );
    tally.note("deploy/template-dist.yaml without a bucket", size(root));
}

/// A template with these parameters alone, all of whose resources are in the whole one.
fn asks(root: &Path, tools: &Environment, name: &str, further: &[&str]) -> anyhow::Result<String> {
    let (template, _) = expanded(root, tools, name, &[])?;
    let of = |template: &Value, part: &str| -> Vec<String> {
        template
            .get(part)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(key, _)| key.clone())
            .collect()
    };
    let mut expected: Vec<String> =
        further.iter().chain(&ASKED).map(|name| (*name).to_owned()).collect();
    expected.sort();
    let parameters = of(&template, "Parameters");
    ensure!(parameters == expected, "{parameters:?}, not {expected:?}");
    // Whoever needs a further setting updates the same stack with the whole template: nothing is made anew.
    let (whole, _) = expanded(root, tools, WHOLE, &[])?;
    let resources = of(&template, "Resources");
    let is_layer = |name: &&String| name.starts_with("Layer");
    let unknown: Vec<_> = resources
        .iter()
        .filter(|name| !is_layer(name) && !of(&whole, "Resources").contains(name))
        .collect();
    ensure!(unknown.is_empty(), "{WHOLE} has no {unknown:?}");
    Ok(format!("{} parameters, {} resources", parameters.len(), resources.len()))
}

fn size(root: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::metadata(root.join(SHORT_DIST)).context(SHORT_DIST)?.len();
    ensure!(bytes <= MAX_BYTES, "{bytes} bytes, over {MAX_BYTES}");
    Ok(format!("{bytes} bytes of {MAX_BYTES}"))
}

/// The questions of the guided deployment, answered as far as they are before AWS is asked.
pub(super) fn guided(
    root: &Path,
    tools: &Environment,
    template: &str,
    expected: usize,
) -> anyhow::Result<String> {
    let sam = tools.command("sam")?;
    let mut answer = tools.script(&root.join("crates/xtask/src/stack/guided.py"));
    let printed = output(answer.arg(sam.get_program()).arg(root.join(template)))?;
    let printed = String::from_utf8_lossy(&printed.stdout);
    let asked = printed.lines().filter(|name| name.starts_with("Parameter ")).count();
    ensure!(asked == expected, "{asked} questions of the stack, not {expected}: {printed}");
    Ok(format!("{asked} questions of the stack, {} of SAM's own", printed.lines().count() - asked))
}
