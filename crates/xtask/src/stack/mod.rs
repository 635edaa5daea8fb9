//! Checks `template.yaml` and the templates of a release with cfn-lint and SAM. The long form also builds the first.

use crate::checks::{self, Length, install_target, output};
use crate::dist::functions::{FORWARDER, Program, SUBSCRIBER};
use crate::dist::{self, ARCHITECTURES, Architecture};
use crate::pypi::{self, Environment};
use anyhow::{Context as _, ensure};
use local_lambda::binaries::EXTENSION;
use std::path::Path;

const TEMPLATE: &str = "template.yaml";
/// It nests our template.
const EXAMPLE: &str = "demo/examples/stack/template.yaml";

pub(crate) fn run(length: Length) -> anyhow::Result<()> {
    let root = checks::root()?;
    let tools = pypi::install(&root, "stack")?;
    output(tools.command("cfn-lint")?.args([TEMPLATE, EXAMPLE]).current_dir(&root))?;
    // SAM also reads `samconfig.toml`.
    output(tools.command("sam")?.args(["validate", "--lint"]).current_dir(&root))?;
    let folder = tempfile::tempdir()?;
    let releases = dist::template::write_complete(&root, folder.path())?;
    output(tools.command("cfn-lint")?.args(releases).current_dir(folder.path()))?;
    println!(
        "cfn-lint, sam validate --lint: no finding in {TEMPLATE}, {EXAMPLE} and the templates of a release"
    );
    if length == Length::Long {
        for architecture in &ARCHITECTURES {
            if install_target(&root, architecture.gnu) {
                let sizes = build(&root, &tools, architecture)?;
                println!("sam build, {}: {sizes}", architecture.name);
            }
        }
    }
    Ok(())
}

/// Runs `sam build` and inspects the packages of both programs and the layer.
fn build(root: &Path, tools: &Environment, architecture: &Architecture) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let mut sam = tools.command("sam")?;
    sam.args(["build", "--build-dir"]).arg(folder.path()).current_dir(root);
    sam.arg("--parameter-overrides").arg(format!("Architecture={}", architecture.name));
    sam.env("ARCHITECTURE", architecture.name);
    // The cargo that runs this program has locked the usual target folder.
    sam.env("CARGO_TARGET_DIR", local_lambda::packages::cache()?.join("stack-target"));
    output(&mut sam)?;
    let mut sizes = vec![
        function(&folder.path().join("ForwarderFunction"), &FORWARDER, architecture)?,
        function(&folder.path().join("RedriveFunction"), &FORWARDER, architecture)?,
        function(&folder.path().join("SubscriberFunction"), &SUBSCRIBER, architecture)?,
    ];
    let layer = folder.path().join("Layer");
    let bytes = std::fs::read(layer.join("extensions").join(EXTENSION))?;
    dist::inspect_extension(&bytes, architecture)?;
    for loaded in dist::loaded(root)? {
        let file = layer.join("lambda-otlp").join(loaded);
        ensure!(file.is_file(), "the layer has no {}", file.display());
    }
    sizes.push(format!("layer {} bytes", bytes.len()));
    Ok(sizes.join(", "))
}

fn function(
    package: &Path,
    program: &Program,
    architecture: &Architecture,
) -> anyhow::Result<String> {
    let binary = package.join("bootstrap");
    let bytes = std::fs::read(&binary).with_context(|| binary.display().to_string())?;
    let name = program.name;
    let max_bytes = program.max_bytes;
    ensure!(bytes.len() <= max_bytes, "{name}: {} bytes, over {max_bytes}", bytes.len());
    dist::inspect_program(&bytes, architecture)?;
    Ok(format!("{name} {} bytes", bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use subscriber::Collect;

    fn template() -> String {
        std::fs::read_to_string(checks::root().unwrap().join(TEMPLATE)).unwrap()
    }

    #[test]
    fn every_variable_of_the_template_is_in_a_settings_table() {
        let template = template();
        let (both, of_subscriber) = template.split_once("\n  SubscriberFunction:\n").unwrap();
        let names = |text: &str| -> Vec<String> {
            let keys = text.lines().filter_map(|line| line.trim().split_once(": "));
            let names = keys.map(|(key, _)| key).filter(|key| key.starts_with("LAMBDA_OTLP_"));
            names.map(str::to_owned).collect()
        };
        let sections = [(both, forwarder::TABLE), (of_subscriber, subscriber::TABLE)];
        for (section, table) in sections {
            let names = names(section);
            assert!(names.len() > 5, "{names:?}");
            let unknown: Vec<_> = names.iter().filter(|name| table.find(name).is_none()).collect();
            assert!(unknown.is_empty(), "{unknown:?}");
        }
    }

    #[test]
    fn the_template_has_the_subscribers_filter_patterns() {
        let template = template();
        for pattern in [Collect::Telemetry.pattern(), Collect::Spilled.pattern()] {
            let in_json = pattern.replace('"', r#"\""#);
            assert!(template.contains(&format!("      Pattern: '{pattern}'\n")), "{pattern}");
            assert!(template.contains(&format!("      Json: '{in_json}'\n")), "{pattern}");
        }
    }
}
