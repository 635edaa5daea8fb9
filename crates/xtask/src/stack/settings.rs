//! Checks SAM's settings: git ignores the files with a user's answers, and the file of parameters has every parameter of the
//! template.

use crate::checks::output;
use crate::pypi::Environment;
use anyhow::{Context as _, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

pub(super) const SETTINGS: &str = "samconfig.yaml";

/// The files that `sam deploy --guided` and `--save-params` write, beside either template.
const SAVED: [&str; 2] = ["samconfig.toml", "deploy/samconfig.toml"];

/// The file that a user copies to `settings.yaml`.
const PARAMETERS: &str = "deploy/stack/settings.example.yaml";
const COPIED: &str = "settings.yaml";

pub(super) fn check(root: &Path, tools: &Environment, template: &Value) -> anyhow::Result<String> {
    for written in SAVED.into_iter().chain([COPIED]) {
        let mut ignored = Command::new("git");
        output(ignored.args(["check-ignore", "--no-index", written]).current_dir(root))
            .with_context(|| format!("git does not ignore {written}"))?;
    }
    let parameters = parameters(root, tools, template).context(PARAMETERS)?;
    Ok(format!("{parameters} parameters"))
}

/// Returns the number of parameters in the file as SAM reads it. Unedited, it sets only those without a default. With all
/// comments removed, it sets each parameter to its default.
fn parameters(root: &Path, tools: &Environment, template: &Value) -> anyhow::Result<usize> {
    let known = template.get("Parameters").and_then(Value::as_object).context("no parameters")?;
    let example = root.join(PARAMETERS);
    let folder = tempfile::tempdir()?;
    let all = folder.path().join(COPIED);
    let is_setting =
        |line: &&str| line.split_once(": ").is_some_and(|(name, _)| known.contains_key(name));
    let uncommented =
        |line: &'_ str| line.strip_prefix("# ").filter(is_setting).unwrap_or(line).to_owned();
    let text: Vec<String> = std::fs::read_to_string(&example)?.lines().map(uncommented).collect();
    std::fs::write(&all, text.join("\n"))?;
    let read = |file: &Path| -> anyhow::Result<BTreeMap<String, String>> {
        let mut sam = tools.script(&root.join("crates/xtask/src/stack/parameters.py"));
        let printed = output(sam.arg(format!("file://{}", file.display())).arg("LogLevel=info"))?;
        Ok(serde_json::from_slice(&printed.stdout)?)
    };
    let asked: Vec<String> = read(&example)?.into_keys().collect();
    ensure!(asked == ["Endpoint", "LogLevel"], "it sets {asked:?} before anyone has edited it");
    let read = read(&all)?;
    for (name, parameter) in known {
        let value = read.get(name).with_context(|| format!("{name} is missing"))?;
        let default = match parameter.get("Default") {
            Some(Value::String(default)) => default.clone(),
            Some(default) => default.to_string(),
            None => value.clone(),
        };
        let default = if name == "LogLevel" { "info" } else { &default };
        ensure!(value == default, "{name} is {value:?}, not {default:?}");
    }
    ensure!(read.len() == known.len(), "{:?}", read.keys());
    Ok(read.len())
}
