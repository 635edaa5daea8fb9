//! Compiles and synthesizes the CDK construct and compares the result with the template that it deploys.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use crate::checks::{Tally, output};
use crate::dist::functions::TARGETS;
use crate::interop::packages::{has_node, node_modules};
use crate::stack::derived::PLAIN;
use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use simulator::packages::cache;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const CONSTRUCT: &str = "deploy/cdk";

pub(super) fn check(root: &Path, tally: &mut Tally) {
    if !has_node() {
        println!("skip  CDK: there is no Node on this machine that is new enough");
        return;
    }
    let packages = cache()
        .map_err(anyhow::Error::from)
        .and_then(|cache| node_modules(&root.join(CONSTRUCT), &cache.join("cdk")));
    match packages {
        Ok(packages) => tally.note("CDK", synthesised(root, &packages)),
        Err(error) => println!("skip  CDK: its packages cannot be installed: {error:#}"),
    }
}

fn synthesised(root: &Path, packages: &Path) -> anyhow::Result<String> {
    let folder = built(root, packages)?;
    let zips = super::zips(&folder.path().join("zips"))?;
    let made = folder.path().join("cdk.out");
    let program = folder.path().join(CONSTRUCT).join("dist/test/synth.js");
    output(
        Command::new("node")
            .arg(program)
            .arg(&zips)
            .arg(&made)
            .env("CDK_DISABLE_VERSION_CHECK", "1"),
    )?;
    let ours = read(&root.join(PLAIN))?;
    let of_bucket = nested(&made, "Bucket")?;
    ensure!(of_bucket.template == ours, "the template of a bucket's zips is another one");
    let said = json!({
        "Endpoint": "https://o2.example.com/api/default",
        "ArtifactBucket": "artifacts",
        "ArtifactPrefix": "lambda-otlp/1/",
    });
    ensure!(of_bucket.parameters == said, "{}", of_bucket.parameters);

    let Nested { mut template, mut parameters } = nested(&made, "Folder")?;
    let assets = assets(&mut template, &mut parameters, &ours, &made, &zips)?;
    ensure!(template == ours, "the template of a folder's zips differs in more than its zips");
    for name in parameters.as_object().context("no parameters")?.keys() {
        ensure!(!ours["Parameters"][name].is_null(), "the template has no parameter {name}");
    }
    for (name, value) in [
        ("LogGroups", json!("/aws/lambda/*")),
        ("ExcludedLogGroups", json!("/ecs/a,*-dev")),
        ("MemorySize", json!("512")),
        ("SubscribeBesideOthers", json!("true")),
    ] {
        ensure!(parameters[name] == value, "{name} is {}", parameters[name]);
    }
    ensure!(parameters["Secret"]["Ref"].is_string(), "the secret is {}", parameters["Secret"]);
    Ok(format!(
        "the template as it is, with {assets} assets of zips or a bucket's; mistakes do not compile, or are refused"
    ))
}

fn built(root: &Path, packages: &Path) -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let construct = folder.path().join(CONSTRUCT);
    for below in ["lib", "test"] {
        std::fs::create_dir_all(construct.join(below))?;
        for entry in std::fs::read_dir(root.join(CONSTRUCT).join(below))? {
            let entry = entry?;
            std::fs::copy(entry.path(), construct.join(below).join(entry.file_name()))?;
        }
    }
    for file in ["package.json", "tsconfig.json"] {
        std::fs::copy(root.join(CONSTRUCT).join(file), construct.join(file))?;
    }
    let template = folder.path().join(PLAIN);
    std::fs::create_dir_all(template.parent().context("no folder")?)?;
    std::fs::copy(root.join(PLAIN), &template)?;
    std::os::unix::fs::symlink(packages, construct.join("node_modules"))?;
    output(Command::new("npm").args(["run", "--silent", "build"]).current_dir(&construct))?;
    Ok(folder)
}

struct Nested {
    template: Value,
    parameters: Value,
}

fn nested(made: &Path, stack: &str) -> anyhow::Result<Nested> {
    let outer = read(&made.join(format!("{stack}.template.json")))?;
    let resources = outer["Resources"].as_object().context("no resources")?;
    let nested = resources.values().find(|one| one["Type"] == "AWS::CloudFormation::Stack");
    let properties = &nested.context("no nested stack")?["Properties"];
    let url = properties["TemplateURL"]["Fn::Sub"].as_str().context("no template")?;
    let object = url.rsplit('/').next().unwrap_or_default();
    let template = read(&made.join(format!("asset.{object}")))?;
    Ok(Nested { template, parameters: properties["Parameters"].clone() })
}

/// Replaces assets by our names of zips, removes their parameters and returns the number of assets. Each asset must equal the zip
/// that our template names.
fn assets(
    template: &mut Value,
    parameters: &mut Value,
    ours: &Value,
    made: &Path,
    zips: &Path,
) -> anyhow::Result<usize> {
    let resources = ours["Resources"].as_object().context("no resources")?;
    let mut assets = std::collections::BTreeSet::new();
    for (name, resource) in resources {
        let Some(part) = ["Code", "Content"]
            .into_iter()
            .find(|part| resource["Properties"][*part]["S3Key"]["Fn::Sub"].is_string())
        else {
            continue;
        };
        let our_key = &resource["Properties"][part]["S3Key"];
        let key = &mut template["Resources"][name]["Properties"][part]["S3Key"];
        let parameter = format!("{name}Key");
        if *key == json!({ "Ref": parameter }) {
            let told = parameters.as_object_mut().and_then(|all| all.remove(&parameter));
            let object =
                told.as_ref().and_then(Value::as_str).context("an asset without a name")?;
            let zip = our_key["Fn::Sub"].as_str().unwrap_or_default();
            let zip = zip
                .replace("${ArtifactPrefix}", "")
                .replace("${Architecture}", TARGETS[1].architecture);
            let asset = std::fs::read(made.join(format!("asset.{object}")))
                .with_context(|| format!("{name} is at {object}, which is no asset"))?;
            ensure!(asset == std::fs::read(zips.join(&zip))?, "{name} is not {zip}");
            assets.insert(object.to_owned());
            let declared =
                template["Parameters"].as_object_mut().and_then(|all| all.remove(&parameter));
            ensure!(declared.is_some(), "no parameter {parameter}");
            template["Resources"][name]["Properties"][part]["S3Key"] = our_key.clone();
        } else if *key == "none" {
            *key = our_key.clone();
        } else {
            bail!("{name} is at {key}");
        }
    }
    parameters.as_object_mut().and_then(|all| all.remove("ArtifactBucket"));
    Ok(assets.len())
}

fn read(file: &PathBuf) -> anyhow::Result<Value> {
    let text = std::fs::read(file).with_context(|| file.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| file.display().to_string())
}
