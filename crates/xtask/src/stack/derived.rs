//! The files generated from `deploy/stack/template.yaml`: other templates, settings, and the variables of Terraform and CDK.

use super::expanded;
use crate::checks::{Tally, output};
use crate::moto::Moto;
use crate::pypi::Environment;
use anyhow::{Context as _, ensure};
use serde_json::Value;
use std::path::Path;

pub(super) const WHOLE: &str = "deploy/stack/template.yaml";
/// The template that `sam build` uses by default.
pub(super) const SHORT: &str = "template.yaml";
pub(super) const SHORT_DIST: &str = "deploy/template-dist.yaml";
pub(crate) const PLAIN: &str = "deploy/terraform/cloudformation.json";
pub(super) const ALL: [&str; 3] = [SHORT, SHORT_DIST, WHOLE];

/// Maximum size of a template that `aws cloudformation deploy` sends without a bucket.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html>
const MAX_BYTES: u64 = 51_200;

const ASKED: [&str; 4] = ["Endpoint", "Secret", "LogGroups", "Architecture"];

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
    tally.note("generated files", made);
    tally.note("template.yaml, expanded", asks(root, tools, SHORT, &[]));
    tally.note(
        "deploy/template-dist.yaml, expanded",
        asks(root, tools, SHORT_DIST, &["ArtifactBucket", "ArtifactPrefix"]),
    );
    tally.note("deploy/template-dist.yaml without a bucket", size(root));
}

/// Checks that a template has only these parameters, and only resources of the whole one.
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
    // A user who needs another setting updates the stack with the whole template, which must not replace resources.
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

/// Answers the questions of the guided deployment on moto, until SAM has saved the answers.
pub(super) fn guided(
    root: &Path,
    tools: &Environment,
    moto: &Environment,
    template: &str,
    expected: usize,
) -> anyhow::Result<String> {
    let sam = tools.command("sam")?;
    let moto = Moto::of_stacks(root, moto)?;
    let mut answer = tools.script(&root.join("crates/xtask/src/stack/guided.py"));
    answer.arg(sam.get_program()).arg(root).arg(template).arg(&moto.endpoint);
    let printed = output(&mut answer)?;
    let printed = String::from_utf8_lossy(&printed.stdout);
    let (questions, saved) = printed.split_once("version = ").context("nothing was saved")?;
    let asked = questions.lines().filter(|name| name.starts_with("Parameter ")).count();
    ensure!(asked == expected, "{asked} questions of the stack, not {expected}: {printed}");
    // SAM reads its settings beside the template only.
    let knows_settings = saved.contains("stack_name = \"lambda-otlp\"");
    ensure!(knows_settings == (template == SHORT), "saved: {saved}");
    let of_sam = questions.lines().count() - asked;
    Ok(format!("{asked} questions of the stack, {of_sam} of SAM's own; the answers are saved"))
}
