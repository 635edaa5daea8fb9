//! Checks `deploy/stack/template.yaml` and the files generated from it: with AWS's tools, in each partition, on moto, and by `sam
//! build`.

mod alarms;
mod artefact;
mod creation;
pub(crate) mod derived;
mod endpoint;
mod example;
mod grants;
mod partitions;
mod permissions;
mod settings;
mod subscriber;
mod subscriptions;
mod template;

use crate::checks::{self, Length, Tally, output};
use crate::pypi::{self, Environment};
use anyhow::bail;
use derived::{ALL, PLAIN, SHORT, SHORT_DIST, WHOLE};
use example::EXAMPLE;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Parameters, and pseudo parameters such as `AWS::Region`.
type Case = BTreeMap<String, String>;

fn case(values: &[(&str, &str)]) -> Case {
    values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Generates the files of `deploy/stack/template.yaml`.
pub(crate) fn write() -> anyhow::Result<()> {
    let root = checks::root()?;
    let Some(tools) = pypi::install(&root, "stack", "all") else { bail!("nothing was written") };
    derived::write(&root, &tools)
}

pub(crate) fn run(length: Length) -> anyhow::Result<()> {
    let root = checks::root()?;
    let Some(tools) = pypi::install(&root, "stack", "all checks") else { return Ok(()) };
    let mut tally = Tally::default();
    let ways = subscriptions::cases();
    let cases: Vec<Case> = ways.iter().cloned().chain(partitions::cases()).collect();
    match expanded(&root, &tools, WHOLE, &cases) {
        Ok((template, folded)) => {
            let (subscribed, in_partitions) = folded.split_at(ways.len().min(folded.len()));
            template::check(&template, &mut tally);
            subscriptions::check(&template, subscribed, &mut tally);
            tally.note("subscriber", subscriber::check(&template));
            tally.note("partitions", partitions::check(in_partitions));
            tally.note("alarms", alarms::check(&root, &template));
            tally.note("roles", grants::check(&template));
            tally.note("Endpoint", endpoint::check(&tools, &template));
            tally.note("SAM's settings", settings::check(&root, &tools, &template));
        }
        Err(error) => tally.note(WHOLE, Err(error)),
    }
    derived::check(&root, &tools, &mut tally);
    creation::check(&root, &tools, &mut tally);
    tally.note("permissions to deploy", permissions::check(&root, &tools));
    tally.note(EXAMPLE, example::check(&root, &tools));
    tally.note("cfn-lint", lint(&root, &tools));
    if let Some(moto) = pypi::install(&root, "moto", "sam deploy --guided on moto") {
        for (template, parameters) in [(SHORT, 4), (SHORT_DIST, 6)] {
            let asked = derived::guided(&root, &tools, &moto, template, parameters);
            tally.note(&format!("sam deploy --guided, {template}"), asked);
        }
    }
    artefact::check(&root, &tools, length, &mut tally);
    tally.finish()
}

/// Runs cfn-lint on all templates. `sam validate --lint` would repeat it.
fn lint(root: &Path, tools: &Environment) -> anyhow::Result<String> {
    output(tools.command("cfn-lint")?.args(ALL).args([EXAMPLE, PLAIN]).current_dir(root))?;
    Ok(format!("no finding in {}, {EXAMPLE}, {PLAIN}", ALL.join(", ")))
}

/// The output of `expand.py`.
#[derive(Deserialize)]
struct Expanded {
    template: Value,
    folded: Vec<Value>,
}

/// Returns the CloudFormation template for a template of SAM, and the part of it that remains in each case.
fn expanded(
    root: &Path,
    tools: &Environment,
    template: &str,
    cases: &[Case],
) -> anyhow::Result<(Value, Vec<Value>)> {
    let mut expand = tools.script(&root.join("crates/xtask/src/stack/expand.py"));
    let printed = output(expand.arg(root.join(template)).arg(json!(cases).to_string()))?;
    let Expanded { template, folded } = serde_json::from_slice(&printed.stdout)?;
    Ok((template, folded))
}
