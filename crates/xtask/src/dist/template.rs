//! Makes the template of a release from `template.yaml`: one for each architecture, with the zips beside it as code. `aws
//! cloudformation package` uploads them.
//!
//! It also publishes the layers that a build of the stack from sources cannot make in one go: the extension for the other
//! architecture, and OpenTelemetry's packages for each version of Python and for Node.

use super::python::MINOR_VERSIONS;
use super::{ARCHITECTURES, Architecture};
use anyhow::{Context as _, ensure};
use std::fmt::Write as _;
use std::path::Path;

/// Writes the templates into the folder with the zips. Layers whose zips are missing there are left out.
pub(super) fn write(root: &Path, folder: &Path) -> anyhow::Result<()> {
    let template = std::fs::read_to_string(root.join("template.yaml"))?;
    for architecture in &ARCHITECTURES {
        let layers = layers(architecture.name);
        let made: Vec<Layer> =
            layers.into_iter().filter(|layer| folder.join(&layer.zip).exists()).collect();
        let with_zips = with_zips(&template, architecture.name)?;
        let complete = with_layers(&with_zips, architecture.name, &made)?;
        std::fs::write(folder.join(name(architecture)), complete)?;
    }
    Ok(())
}

/// Writes the templates of a release with all layers, for checks that need no zips.
pub(crate) fn write_complete(root: &Path, folder: &Path) -> anyhow::Result<Vec<String>> {
    let template = std::fs::read_to_string(root.join("template.yaml"))?;
    let write = |architecture: &Architecture| -> anyhow::Result<String> {
        let with_zips = with_zips(&template, architecture.name)?;
        let complete = with_layers(&with_zips, architecture.name, &layers(architecture.name))?;
        let name = name(architecture);
        std::fs::write(folder.join(&name), complete)?;
        Ok(name)
    };
    ARCHITECTURES.iter().map(write).collect()
}

/// A layer that the template of a release publishes besides `Layer`.
struct Layer {
    /// The logical id of the resource.
    id: String,
    output: String,
    /// The part of the layer's name after the stack's name.
    suffix: String,
    zip: String,
    /// Compatible architectures or runtimes, as a property.
    compatible: String,
    description: String,
}

/// Returns the layers besides `Layer`, which is for functions of the stack's architecture.
fn layers(architecture: &str) -> Vec<Layer> {
    let others = ARCHITECTURES.iter().filter(|other| other.name != architecture);
    let mut layers: Vec<Layer> = others.map(|other| extension(other.name)).collect();
    layers.extend(MINOR_VERSIONS.map(|minor| Layer {
        id: format!("PackagesPython3{minor}"),
        output: format!("PackagesArnPython3{minor}"),
        suffix: format!("python3{minor}"),
        zip: format!("lambda-otlp-python3.{minor}-layer.zip"),
        compatible: format!("CompatibleRuntimes: [python3.{minor}]"),
        description: format!("OpenTelemetry's packages for functions with Python 3.{minor}"),
    }));
    layers.push(Layer {
        id: "PackagesNode".to_owned(),
        output: "PackagesArnNode".to_owned(),
        suffix: "node".to_owned(),
        zip: "lambda-otlp-node-layer.zip".to_owned(),
        compatible: "CompatibleRuntimes: [nodejs18.x, nodejs20.x, nodejs22.x, nodejs24.x]"
            .to_owned(),
        description: "OpenTelemetry's packages for functions with Node".to_owned(),
    });
    layers
}

fn extension(architecture: &str) -> Layer {
    let id = id_of(architecture);
    Layer {
        id: format!("Layer{id}"),
        output: format!("LayerArn{id}"),
        suffix: architecture.to_owned(),
        zip: format!("lambda-otlp-layer-{architecture}.zip"),
        compatible: format!("CompatibleArchitectures: [{architecture}]"),
        description: format!("Extension for functions of the architecture {architecture}"),
    }
}

/// Returns an architecture's name in logical ids, which have only letters and digits.
fn id_of(architecture: &str) -> &'static str {
    if architecture == "arm64" { "Arm64" } else { "X8664" }
}

/// Adds resources and outputs of these layers.
fn with_layers(template: &str, architecture: &str, layers: &[Layer]) -> anyhow::Result<String> {
    const OUTPUTS: &str = "\nOutputs:\n";
    let (resources, outputs) =
        template.split_once(OUTPUTS).context("template.yaml has no outputs")?;
    let mut text = resources.to_owned();
    for Layer { id, suffix, zip, compatible, description, .. } in layers {
        write!(
            text,
            "
  {id}:
    Type: AWS::Serverless::LayerVersion
    Properties:
      LayerName: !Sub \"${{AWS::StackName}}-{suffix}\"
      Description: {description}
      ContentUri: {zip}
      {compatible}
      LicenseInfo: Apache-2.0 OR MIT
      RetentionPolicy: Retain
"
        )?;
    }
    text.push_str(OUTPUTS);
    let own = id_of(architecture);
    writeln!(
        text,
        "  LayerArn{own}:\n    Description: The layer, for functions of the architecture {architecture}.\n    Value: !Ref Layer"
    )?;
    for Layer { id, output, description, .. } in layers {
        writeln!(text, "  {output}:\n    Description: {description}.\n    Value: !Ref {id}")?;
    }
    text.push_str(outputs);
    Ok(text)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;

    #[test]
    fn the_template_of_a_release_publishes_layers_for_all_architectures_and_languages() {
        let root = checks::root().unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in write_complete(&root, folder.path()).unwrap() {
            let template = std::fs::read_to_string(folder.path().join(&name)).unwrap();
            let outputs = [
                "LayerArn:",
                "LayerArnArm64:",
                "LayerArnX8664:",
                "PackagesArnPython310:",
                "PackagesArnPython314:",
                "PackagesArnNode:",
            ];
            for output in outputs {
                assert_eq!(
                    template.matches(&format!("\n  {output}\n")).count(),
                    1,
                    "{name}: {output}"
                );
            }
            for zip in ["layer-arm64", "layer-x86_64", "python3.10-layer", "node-layer"] {
                let uri = format!("ContentUri: lambda-otlp-{zip}.zip\n");
                assert_eq!(template.matches(&uri).count(), 1, "{name}: {uri}");
            }
        }
    }

    #[test]
    fn a_layer_without_its_zip_is_left_out() {
        let root = checks::root().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lambda-otlp-node-layer.zip"), "").unwrap();
        write(&root, folder.path()).unwrap();
        let template = std::fs::read_to_string(folder.path().join("template-arm64.yaml")).unwrap();
        assert!(template.contains("PackagesArnNode:"));
        assert!(!template.contains("PackagesArnPython313:"));
        assert!(!template.contains("LayerArnX8664:"));
        assert!(template.contains("LayerArnArm64:"));
    }
}
