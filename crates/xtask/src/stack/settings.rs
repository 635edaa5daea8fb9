//! Checks the settings that SAM is given: they fit the template, and what SAM saves goes to a file that git ignores.

use crate::checks::output;
use crate::pypi::Environment;
use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The settings that are in the repository; whoever deploys copies them to [`SAVED`].
pub(super) const SETTINGS: &str = "samconfig.example.toml";

/// The file that SAM reads where none is named, and that `sam deploy --guided` and `--save-params` write.
const SAVED: &str = "samconfig.toml";

/// What a user copies to `settings.yaml`, which git ignores too.
const PARAMETERS: &str = "deploy/stack/settings.example.yaml";
const COPIED: &str = "settings.yaml";

pub(super) fn check(root: &Path, tools: &Environment, template: &Value) -> anyhow::Result<String> {
    for written in [SAVED, COPIED] {
        let mut ignored = Command::new("git");
        output(ignored.args(["check-ignore", "--no-index", written]).current_dir(root))
            .with_context(|| format!("git does not ignore {written}"))?;
    }
    let text = std::fs::read_to_string(root.join(SETTINGS)).context(SETTINGS)?;
    let environments = environments(&text, template).context(SETTINGS)?;
    let parameters = parameters(root, tools, template).context(PARAMETERS)?;
    Ok(format!(
        "{} environments: {}; {parameters} parameters",
        environments.len(),
        environments.join(", ")
    ))
}

/// How many parameters the file of settings has, as SAM reads it: as it is, only those without a default; with no line commented
/// out all, each with its default, and none besides.
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

/// The environments of the settings, each of which has a stack's name and sets only parameters that the template has.
fn environments(settings: &str, template: &Value) -> anyhow::Result<Vec<String>> {
    let settings: toml::Table = settings.parse()?;
    let mut environments = Vec::new();
    for (name, commands) in settings.iter().filter(|(_, value)| value.is_table()) {
        let parameter = |command: &str, parameter: &str| {
            commands.get(command)?.get("parameters")?.get(parameter).cloned()
        };
        if parameter("deploy", "stack_name").is_none() {
            bail!("{name}: names no stack");
        }
        let overrides = parameter("deploy", "parameter_overrides");
        let of_file = toml::Value::String(format!("file://{COPIED}"));
        let assignments = overrides.iter().filter_map(toml::Value::as_array).flatten();
        for assignment in assignments.filter(|assignment| **assignment != of_file) {
            let (key, _) =
                assignment.as_str().and_then(|text| text.split_once('=')).context("KEY=VALUE")?;
            if template.get("Parameters").and_then(|all| all.get(key)).is_none() {
                bail!("{name}: the template has no parameter {key}");
            }
        }
        environments.push(name.clone());
    }
    Ok(environments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_must_fit_the_template() {
        let template = json!({ "Parameters": { "LogLevel": {} } });
        let check = |settings: &str, expected: &str| {
            let said =
                environments(settings, &template).map_or_else(|e| e.to_string(), |e| e.join(" "));
            assert_eq!(said, expected, "{settings}");
        };
        let environment =
            |name: &str, deploy: &str| format!("[{name}.deploy.parameters]\n{deploy}\n");
        let named = "stack_name = \"a\"";
        let good = environment(
            "dev",
            &format!(
                "{named}\nparameter_overrides = [\"file://settings.yaml\", \"LogLevel=info\"]"
            ),
        );
        check(&format!("version = 0.1\n{good}"), "dev");
        check(&format!("{good}{}", environment("prod", named)), "dev prod");
        check(&environment("a", ""), "a: names no stack");
        let unknown = format!("{named}\nparameter_overrides = [\"Loglevel=info\"]");
        check(&environment("a", &unknown), "a: the template has no parameter Loglevel");
    }
}
