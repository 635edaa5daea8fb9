//! Makes the layer of OpenTelemetry's packages for Node functions, of what `package-lock.json` pins alone.

use super::zip_file::{files_below, packed};
use crate::checks::output;
use anyhow::Context as _;
use simulator::packages::{cache, install_once};
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "extension/layer/node";
/// Where the packages lie below `/opt`: no library of the function or of its runtime is looked for there.
const FOLDER: &str = "lambda-otlp/node-packages";

/// Makes the zip in `target/dist`.
pub(crate) fn layer(root: &Path) -> anyhow::Result<()> {
    let bytes = zip(&packages(root)?)?;
    let name = "lambda-otlp-node-layer.zip";
    std::fs::write(root.join("target/dist").join(name), &bytes)?;
    println!("made  target/dist/{name}: {} bytes", bytes.len());
    Ok(())
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

/// Licences stay; what only bundlers, editors and type checkers read does not. Node loads `build/src`.
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
