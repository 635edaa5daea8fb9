//! Makes the layer of OpenTelemetry's packages for Node functions from `package-lock.json` and `build.mjs` alone: what esbuild
//! makes of the packages, and their licences.

use super::Made;
use super::components::Component;
use super::zip_file::{files_below, packed};
use crate::checks::output;
use anyhow::Context as _;
use local_lambda::packages::{NODE_LAYER_PINS, cache, install_once};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "extension/layer/node";
/// Where the bundle lies below `/opt`.
const FOLDER: &str = "lambda-otlp/node-packages";

const MAX_BYTES: usize = 400_000;

pub(super) fn layer(root: &Path) -> anyhow::Result<Made> {
    Ok(Made {
        name: "lambda-otlp-node-layer.zip".to_owned(),
        bytes: zip(&packages(root)?)?,
        components: components(root)?,
        max_bytes: MAX_BYTES,
    })
}

fn components(root: &Path) -> anyhow::Result<Vec<Component>> {
    let text = std::fs::read(root.join(SOURCE).join("package-lock.json"))?;
    let lock: Value = serde_json::from_slice(&text)?;
    let packages = lock.get("packages").and_then(Value::as_object).context("no packages")?;
    // By its folder; a package may have others of its own in a folder below.
    let pinned = packages.iter().filter_map(|(folder, package)| {
        let (_, name) = folder.rsplit_once("node_modules/")?;
        if ["dev", "devOptional", "optional"].iter().any(|kind| package.get(kind).is_some()) {
            return None;
        }
        Some(Component {
            kind: "npm",
            name: name.to_owned(),
            version: package.get("version")?.as_str()?.to_owned(),
            licence: package.get("license").and_then(Value::as_str).map(str::to_owned),
        })
    });
    Ok(pinned.collect())
}

pub(crate) fn zip(packages: &Path) -> anyhow::Result<Vec<u8>> {
    let scratch = tempfile::tempdir()?;
    let mut esbuild = Command::new("npm");
    esbuild.args(["run", "bundle", "--"]).arg(format!("--outdir={}", scratch.path().display()));
    output(esbuild.current_dir(packages.parent().context("no folder")?)).context("esbuild")?;
    let mut files = files_below(scratch.path(), |_| true)?;
    let licences = files_below(packages, is_used)?;
    files.extend(licences.into_iter().map(|file| file.below("licences")));
    packed(&files.into_iter().map(|file| file.below(FOLDER)).collect::<Vec<_>>())
}

/// The folder `node_modules`, installed once.
pub(crate) fn packages(root: &Path) -> anyhow::Result<PathBuf> {
    let pins = NODE_LAYER_PINS.map(|name| root.join(SOURCE).join(name));
    let folder = cache()?.join("layer/node");
    install_once(&folder, &pins, || {
        std::fs::create_dir_all(&folder)?;
        for pin in &pins {
            std::fs::copy(pin, folder.join(pin.file_name().context("a file without a name")?))?;
        }
        let npm = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
        output(Command::new("npm").args(npm).current_dir(&folder)).map(drop)
    })
    .with_context(|| format!("cannot install {SOURCE}/package.json"))?;
    Ok(folder.join("node_modules"))
}

/// Folders and licences, without the packages that only make the layer.
fn is_used(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_licence = name.to_ascii_uppercase().contains("LICEN");
    let is_of_tools = ["esbuild", "@esbuild", ".bin", ".package-lock.json"].contains(&path);
    !is_of_tools && (is_licence || Path::new(name).extension().is_none())
}
