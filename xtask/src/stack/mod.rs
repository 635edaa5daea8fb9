//! Checks the stack of template.yaml: as AWS's own tools read it, what `sam build` makes of it, what it grants, and that it can
//! be created.

mod artefact;
mod creation;
mod grants;
mod settings;
mod template;

use crate::checks::{self, Length, Tally, output};
use crate::pypi::{self, Environment};
use serde_json::Value;
use std::path::Path;

pub(crate) fn run(length: Length) -> anyhow::Result<()> {
    let root = checks::root()?;
    let Some(tools) = pypi::install(&root, "stack", "all checks") else { return Ok(()) };
    let mut tally = Tally::default();
    match expanded(&root, &tools) {
        Ok(template) => {
            template::check(&template, &mut tally);
            tally.note("roles", grants::check(&template));
            creation::check(&root, &template, &mut tally);
            tally.note("SAM's settings", settings::check(&root, &template));
        }
        Err(error) => tally.note("template.yaml", Err(error)),
    }
    tally.note("sam validate --lint", validate(&root, &tools));
    tally.note("cfn-lint", lint(&root, &tools));
    tally.note("sam deploy --guided", guided(&root, &tools));
    artefact::check(&root, &tools, length, &mut tally);
    tally.finish()
}

fn validate(root: &Path, tools: &Environment) -> anyhow::Result<String> {
    let arguments = ["validate", "--lint", "--template", "template.yaml"];
    output(tools.command("sam")?.args(arguments).current_dir(root))?;
    Ok("no finding".to_owned())
}

/// The questions of the guided deployment, answered as far as they are before AWS is asked.
fn guided(root: &Path, tools: &Environment) -> anyhow::Result<String> {
    let sam = tools.command("sam")?;
    let mut answer = tools.script(&root.join("xtask/src/stack/guided.py"));
    let printed = output(answer.arg(sam.get_program()).arg(root.join("template.yaml")))?;
    Ok(format!("{} questions, each once", String::from_utf8_lossy(&printed.stdout).trim()))
}

fn lint(root: &Path, tools: &Environment) -> anyhow::Result<String> {
    output(tools.command("cfn-lint")?.arg("template.yaml").current_dir(root))?;
    Ok("no finding".to_owned())
}

/// The CloudFormation template that AWS makes of template.yaml.
fn expanded(root: &Path, tools: &Environment) -> anyhow::Result<Value> {
    let mut expand = tools.script(&root.join("xtask/src/stack/expand.py"));
    let printed = output(expand.arg(root.join("template.yaml")))?;
    Ok(serde_json::from_slice(&printed.stdout)?)
}
