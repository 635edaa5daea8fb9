//! Checks the settings that SAM is given: they fit the template, and what SAM saves goes to a file that git ignores.

use crate::checks::output;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// The settings that are in the repository; whoever deploys copies them to [`SAVED`].
pub(super) const SETTINGS: &str = "samconfig.example.toml";

/// The file that SAM reads where none is named, and that `sam deploy --guided` and `--save-params` write.
const SAVED: &str = "samconfig.toml";

pub(super) fn check(root: &Path, template: &Value) -> anyhow::Result<String> {
    let mut ignored = Command::new("git");
    output(ignored.args(["check-ignore", "--no-index", SAVED]).current_dir(root))
        .with_context(|| format!("SAM writes into {SAVED}, which git does not ignore"))?;
    let text = std::fs::read_to_string(root.join(SETTINGS)).context(SETTINGS)?;
    let environments = environments(&text, template).context(SETTINGS)?;
    Ok(format!("{} environments: {}", environments.len(), environments.join(", ")))
}

/// The environments of the settings, each of which builds in place and names only parameters that the template has.
fn environments(settings: &str, template: &Value) -> anyhow::Result<Vec<String>> {
    let settings: toml::Table = settings.parse()?;
    let mut environments = Vec::new();
    for (name, commands) in settings.iter().filter(|(_, value)| value.is_table()) {
        let parameter = |command: &str, parameter: &str| {
            commands.get(command)?.get("parameters")?.get(parameter).cloned()
        };
        if parameter("build", "build_in_source") != Some(toml::Value::Boolean(true)) {
            bail!("{name}: does not build in place, so that a build copies target/");
        }
        if parameter("deploy", "stack_name").is_none() {
            bail!("{name}: names no stack");
        }
        let overrides = parameter("deploy", "parameter_overrides");
        for assignment in overrides.iter().filter_map(toml::Value::as_array).flatten() {
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
        let environment = |name: &str, build: &str, deploy: &str| {
            format!("[{name}.build.parameters]\n{build}\n[{name}.deploy.parameters]\n{deploy}\n")
        };
        let (in_place, named) = ("build_in_source = true", "stack_name = \"a\"");
        let good = environment(
            "dev",
            in_place,
            &format!("{named}\nparameter_overrides = [\"LogLevel=info\"]"),
        );
        check(&format!("version = 0.1\n{good}"), "dev");
        check(&format!("{good}{}", environment("prod", in_place, named)), "dev prod");
        check(
            &environment("a", "", named),
            "a: does not build in place, so that a build copies target/",
        );
        check(&environment("a", in_place, ""), "a: names no stack");
        let unknown = format!("{named}\nparameter_overrides = [\"Loglevel=info\"]");
        check(&environment("a", in_place, &unknown), "a: the template has no parameter Loglevel");
    }
}
