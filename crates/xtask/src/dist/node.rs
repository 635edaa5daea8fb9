//! Makes the layer of OpenTelemetry's packages for Node functions from `package-lock.json` alone.

use super::Made;
use super::components::Component;
use super::zip_file::{files_below, packed};
use crate::checks::output;
use anyhow::Context as _;
use serde_json::Value;
use simulator::packages::{cache, install_once};
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "extension/layer/node";
/// Where the packages lie below `/opt`: no library of the function or of its runtime is looked for there.
const FOLDER: &str = "lambda-otlp/node-packages";

/// Largest zip.
const MAX_BYTES: usize = 1_500_000;

/// Makes the zip.
pub(super) fn layer(root: &Path) -> anyhow::Result<Made> {
    Ok(Made {
        name: "lambda-otlp-node-layer.zip".to_owned(),
        bytes: zip(&packages(root)?)?,
        components: components(root)?,
        max_bytes: MAX_BYTES,
    })
}

/// The packages of the lock file.
fn components(root: &Path) -> anyhow::Result<Vec<Component>> {
    let lock = std::fs::read(root.join(SOURCE).join("package-lock.json"))?;
    let lock: Value = serde_json::from_slice(&lock)?;
    let packages = lock.get("packages").and_then(Value::as_object).context("no packages")?;
    // By its folder; a package may have others of its own in a folder below.
    let pinned = packages.iter().filter_map(|(folder, package)| {
        let (_, name) = folder.rsplit_once("node_modules/")?;
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
    let mut files = files_below(packages, is_used)?;
    for file in &mut files {
        file.path = format!("{FOLDER}/node_modules/{}", file.path);
    }
    packed(&files)
}

/// The folder `node_modules`, installed once.
pub(crate) fn packages(root: &Path) -> anyhow::Result<PathBuf> {
    let pins = ["package.json", "package-lock.json"].map(|name| root.join(SOURCE).join(name));
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

/// Keeps licences. Leaves out files that only bundlers, editors and type checkers read. Node loads `build/src`.
fn is_used(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let of_tools = ["map", "ts", "mts", "cts", "flow"];
    let extension = Path::new(name).extension().unwrap_or_default();
    let is_documentation = extension == "md" && !name.to_ascii_uppercase().contains("LICEN");
    let is_of_bundlers = path.ends_with("/build/esm") || path.ends_with("/build/esnext");
    !of_tools.iter().any(|of_tools| extension == *of_tools)
        && !is_documentation
        && !is_of_bundlers
        && ![".bin", ".package-lock.json", "test"].contains(&name)
}
