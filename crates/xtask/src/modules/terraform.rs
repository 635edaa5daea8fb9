//! Applies, changes and destroys the Terraform module on moto.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use crate::checks::{Tally, output};
use crate::moto::Moto;
use crate::pypi;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const MODULE: &str = "deploy/terraform";
const TEMPLATE: &str = "deploy/terraform/cloudformation.json";
const PROGRAMS: [&str; 2] = ["terraform", "tofu"];
/// Exit code of a plan with changes, with `-detailed-exitcode`.
const CHANGES: i32 = 2;

pub(super) fn check(root: &Path, tally: &mut Tally) {
    let runs = |program: &str| Command::new(program).arg("version").output().is_ok();
    let Some(program) = PROGRAMS.into_iter().find(|program| runs(program)) else {
        println!("skip  Terraform: there is neither terraform nor tofu on this machine");
        return;
    };
    tally.note("Terraform, its form", formatted(root, program));
    tally.note("Terraform, credentials in a plan", hidden(root, program));
    let begun = Project::begin(root, program);
    let project = match begun {
        Ok(project) => project,
        // The download of the provider fails on machines without access to the registry.
        Err(error) => {
            let said = error.to_string();
            let said = said.lines().skip_while(|line| !line.starts_with("Error:"));
            let said: Vec<&str> = said.take(4).filter(|line| !line.is_empty()).collect();
            return println!("skip  Terraform: no provider: {}", said.join(" "));
        }
    };
    tally.note("Terraform, validated", project.validated());
    let Some(moto) = pypi::install(root, "moto", "the Terraform module on moto") else { return };
    match Moto::of_stacks(root, &moto) {
        Ok(moto) => {
            tally.note("Terraform, a mistake", project.mistakes(&moto));
            tally.note("Terraform, applied on moto", project.applied(root, &moto));
        }
        Err(error) => tally.note("Terraform on moto", Err(error)),
    }
}

fn formatted(root: &Path, program: &str) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    output(command.args(["fmt", "-check", "-diff", MODULE]).current_dir(root))?;
    Ok("as terraform fmt writes it".to_owned())
}

/// Plans the module's settings without a provider. The plan must not show values that may contain credentials.
fn hidden(root: &Path, program: &str) -> anyhow::Result<String> {
    const CREDENTIALS: &str = "user:s3cret";
    let folder = tempfile::tempdir()?;
    for file in ["variables.tf", "parameters.tf"] {
        std::fs::copy(root.join(MODULE).join(file), folder.path().join(file))?;
    }
    let stack = json!({ "input": "${merge(local.parameters, { ArtifactPrefix = \"prefix/\" })}" });
    let project = json!({ "resource": { "terraform_data": { "stack": stack } } });
    std::fs::write(folder.path().join("main.tf.json"), project.to_string())?;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).arg("-no-color").current_dir(folder.path());
        output(command.env("CHECKPOINT_DISABLE", "1").env("TF_INPUT", "0"))
    };
    run(&["init"])?;
    let headers = format!("-var=headers=authorization=Basic {CREDENTIALS}");
    let proxy = format!("-var=https_proxy=http://{CREDENTIALS}@proxy:3128");
    let others = ["-var=endpoint=https://o2.example.com", "-var=artifact_bucket=artifacts"];
    let plan = run(&["plan", &headers, &proxy, others[0], others[1]])?.stdout;
    let plan = String::from_utf8_lossy(&plan);
    ensure!(plan.contains("https://o2.example.com"), "the plan shows no settings: {plan}");
    ensure!(!plan.contains(CREDENTIALS), "the plan shows credentials: {plan}");
    Ok("headers and proxies are hidden".to_owned())
}

struct Project {
    program: String,
    folder: TempDir,
}

impl Project {
    fn begin(root: &Path, program: &str) -> anyhow::Result<Self> {
        let project = Self { program: program.to_owned(), folder: tempfile::tempdir()? };
        project.write(root, &[])?;
        super::zips(&project.zips())?;
        output(&mut project.command(&["init"]))?;
        Ok(project)
    }

    fn zips(&self) -> std::path::PathBuf {
        self.folder.path().join("zips")
    }

    fn write(&self, root: &Path, settings: &[(&str, Value)]) -> anyhow::Result<()> {
        let mut module = json!({
            "source": root.join(MODULE),
            "artifact_bucket": "artifacts",
            "zips": "zips",
            "endpoint": "https://o2.example.com/api/default",
        });
        for (name, value) in settings {
            module[*name] = value.clone();
        }
        let project = json!({
            "provider": { "aws": {
                "region": "eu-west-1",
                "s3_use_path_style": true,
                "skip_credentials_validation": true,
                "skip_requesting_account_id": true,
            } },
            "module": { "lambda_otlp": module },
            "output": { "all": { "value": "${module.lambda_otlp}" } },
        });
        let file = self.folder.path().join("main.tf.json");
        std::fs::write(file, project.to_string())?;
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("-no-color").current_dir(self.folder.path());
        command.env("CHECKPOINT_DISABLE", "1").env("TF_IN_AUTOMATION", "1").env("TF_INPUT", "0");
        command
    }

    fn on(&self, moto: &Moto, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env("AWS_ENDPOINT_URL", &moto.endpoint).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x");
        command
    }

    fn validated(&self) -> anyhow::Result<String> {
        let printed = output(&mut self.command(&["validate", "-json"]))?;
        let said: Value = serde_json::from_slice(&printed.stdout)?;
        ensure!(said["diagnostics"] == json!([]), "{}", said["diagnostics"]);
        Ok("no finding".to_owned())
    }

    /// Checks that a variable rejects the values that the template's parameter rejects.
    fn mistakes(&self, moto: &Moto) -> anyhow::Result<String> {
        let root = crate::checks::root()?;
        let mistakes = [
            ("log_level", json!("loud"), "One of error, warn, info, debug."),
            ("endpoint", json!("o2.example.com"), "A URL that begins with https:// or http://."),
            ("memory_size", json!(64), "At least 128."),
            (
                "storage_kms_key_arn",
                json!("alias/mine"),
                "The ARN of a key (no alias), or nothing.",
            ),
        ];
        for (name, value, expected) in &mistakes {
            self.write(&root, &[(name, value.clone())])?;
            let planned = self.on(moto, &["plan"]).output()?;
            let said = String::from_utf8_lossy(&planned.stderr).replace('\n', " ");
            ensure!(!planned.status.success() && said.contains(expected), "{name}={value}: {said}");
        }
        Ok(format!("{} are refused before anything is made", mistakes.len()))
    }

    fn applied(&self, root: &Path, moto: &Moto) -> anyhow::Result<String> {
        let template: Value = serde_json::from_slice(&std::fs::read(root.join(TEMPLATE))?)?;
        let settings = [
            ("log_groups", json!("/aws/lambda/*")),
            ("architecture", json!("x86_64")),
            ("layers", json!("x86_64")),
            ("subscribe_beside_others", json!(true)),
            ("memory_size", json!(512)),
        ];
        self.write(root, &settings)?;
        output(&mut self.on(moto, &["apply", "-auto-approve"]))?;
        let said = self.outputs(moto)?;
        let expected = template["Outputs"].as_object().context("a template without outputs")?;
        let said_at_all = said.as_object().context("no outputs")?;
        ensure!(
            said_at_all.len() == expected.len(),
            "{} outputs, {} of the template",
            said_at_all.len(),
            expected.len()
        );
        for (output, is_said) in [
            ("subscriber_command", true),
            ("layer_x8664_arn", true),
            ("layer_arm64_arn", false),
            ("kinesis_stream_arn", false),
        ] {
            ensure!(said[output].is_string() == is_said, "{output}: {}", said[output]);
        }
        let told = self.parameters(moto)?;
        let names = |value: &Value| -> BTreeSet<String> {
            value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
        };
        ensure!(names(&told) == names(&template["Parameters"]), "CloudFormation is told {told}");
        for (name, value) in [("SubscribeBesideOthers", "true"), ("MemorySize", "512")] {
            ensure!(told[name] == value, "{name} is {}", told[name]);
        }
        let again = self.planned(moto)?;
        ensure!(
            again.status.success(),
            "a second plan: {}",
            String::from_utf8_lossy(&again.stdout)
        );
        let plan = |what: &str| -> anyhow::Result<String> {
            let changed = self.planned(moto)?;
            let plan = String::from_utf8_lossy(&changed.stdout).into_owned();
            ensure!(changed.status.code() == Some(CHANGES), "{what} changes nothing: {plan}");
            Ok(plan)
        };
        self.write(root, &[("excluded_log_groups", json!(["/ecs/a", "*-dev"]))])?;
        let planned = plan("a list")?;
        ensure!(planned.contains("\"/ecs/a,*-dev\""), "{planned}");
        self.write(root, &settings)?;
        super::zip(&self.zips(), "lambda-otlp-forwarder-x86_64.zip", "changed")?;
        let planned = plan("another zip")?;
        let old = format!("= {} -> ", told["ArtifactPrefix"]);
        ensure!(planned.contains(&old), "{planned}");
        output(&mut self.on(moto, &["destroy", "-auto-approve"]))?;
        Ok(format!(
            "{} parameters, {} outputs; no second change, another zip is another prefix; destroyed",
            names(&told).len(),
            expected.len()
        ))
    }

    fn planned(&self, moto: &Moto) -> anyhow::Result<Output> {
        let mut plan = self.on(moto, &["plan", "-detailed-exitcode"]);
        plan.output().context("cannot run a plan")
    }

    fn outputs(&self, moto: &Moto) -> anyhow::Result<Value> {
        let printed = output(&mut self.on(moto, &["output", "-json", "all"]))?;
        Ok(serde_json::from_slice(&printed.stdout)?)
    }

    fn parameters(&self, moto: &Moto) -> anyhow::Result<Value> {
        let printed = output(&mut self.on(moto, &["show", "-json"]))?;
        let state: Value = serde_json::from_slice(&printed.stdout)?;
        let modules = &state["values"]["root_module"]["child_modules"];
        let resources = modules[0]["resources"].as_array().context("no resources")?;
        let stack = resources.iter().find(|one| one["type"] == "aws_cloudformation_stack");
        Ok(stack.context("no stack")?["values"]["parameters"].clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::settings::Kind;

    /// Returns the template's parameters for variables that may contain credentials.
    fn with_credentials(template: &Value) -> BTreeSet<String> {
        let variables = &template["Resources"]["ForwarderFunction"]["Properties"]["Environment"];
        let may_hold = |name: &str| {
            let variable = forwarder::TABLE.find(name);
            variable
                .is_some_and(|own| matches!(own.kind, Kind::Secret | Kind::Headers | Kind::Proxy))
        };
        let set = variables["Variables"].as_object().into_iter().flatten();
        let set = set.filter(|(name, _)| may_hold(name));
        set.filter_map(|(_, value)| Some(value["Ref"].as_str()?.to_owned())).collect()
    }

    #[test]
    fn settings_with_credentials_are_sensitive_and_documented() {
        let root = crate::checks::root().unwrap();
        let template: Value =
            serde_json::from_slice(&std::fs::read(root.join(TEMPLATE)).unwrap()).unwrap();
        let variables = std::fs::read_to_string(root.join(MODULE).join("variables.tf")).unwrap();
        let with_credentials = with_credentials(&template);
        let expected = ["Headers", "HttpsProxy"].map(str::to_owned);
        assert_eq!(with_credentials, BTreeSet::from(expected));
        for name in with_credentials {
            let description = template["Parameters"][&name]["Description"].as_str().unwrap();
            assert!(description.contains("VISIBLE IN PLAIN TEXT"), "{name}: {description}");
            // `HttpsProxy` is the variable `https_proxy`.
            let variable = name.replace("HttpsProxy", "https_proxy").to_lowercase();
            let begin = format!("variable \"{variable}\" {{");
            let (_, variable) = variables.split_once(&begin).unwrap();
            let (variable, _) = variable.split_once("\n}").unwrap();
            assert!(variable.contains("sensitive   = true"), "{name}: {variable}");
        }
    }
}
