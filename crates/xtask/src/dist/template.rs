//! Makes the template of a release from `template.yaml`: one for each architecture, with the zips beside it as code. `aws
//! cloudformation package` uploads them.

use super::{ARCHITECTURES, Architecture};
use anyhow::ensure;
use std::path::Path;

pub(super) fn write(root: &Path, folder: &Path) -> anyhow::Result<()> {
    let template = std::fs::read_to_string(root.join("template.yaml"))?;
    for architecture in &ARCHITECTURES {
        std::fs::write(folder.join(name(architecture)), with_zips(&template, architecture.name)?)?;
    }
    Ok(())
}

pub(super) fn name(architecture: &Architecture) -> String {
    format!("template-{}.yaml", architecture.name)
}

fn with_zips(template: &str, architecture: &str) -> anyhow::Result<String> {
    let zip = |program: &str| format!("lambda-otlp-{program}-{architecture}.zip");
    let replacements = [
        ("CodeUri: deploy\n", 2, format!("CodeUri: {}\n", zip("forwarder"))),
        ("Code: deploy\n", 1, format!("Code: {}\n", zip("subscriber"))),
        ("ContentUri: deploy\n", 1, format!("ContentUri: {}\n", zip("layer"))),
        ("Default: arm64\n", 1, format!("Default: {architecture}\n")),
        ("AllowedValues: [arm64, x86_64]\n", 1, format!("AllowedValues: [{architecture}]\n")),
    ];
    let mut template = template.to_owned();
    for (from, times, to) in replacements {
        let found = template.matches(from).count();
        ensure!(found == times, "template.yaml has {found} times {from:?}, not {times}");
        template = template.replace(from, &to);
    }
    Ok(template)
}
