//! Makes the layer: one zip for each architecture, with the extension, the wrapper of a function's runtime, and the licences; and
//! the layers of OpenTelemetry's packages that the wrapper starts.
//!
//! What is in a zip depends on the sources alone: files have no times, and the binary names no folder of the machine.
//!
//! Source: Lambda Developer Guide, "Packaging your layer content" and "Configuring Lambda extensions" (`extensions/`).

mod binary;
pub(crate) mod node;
mod notices;
pub(crate) mod python;
mod start;
mod zip_file;

use crate::checks::{has_target, locked_packages, root};
pub(crate) use binary::inspect;
use serde_json::Value;
use std::path::Path;
use zip_file::{File, packed};

/// An architecture of Lambda.
pub(crate) struct Architecture {
    /// As Lambda calls it.
    name: &'static str,
    /// As `template.yaml` calls its layer.
    pub(crate) layer: &'static str,
    /// As rustc calls it.
    pub(crate) target: &'static str,
    /// As the header of a binary names it.
    machine: u16,
    /// What runs its binaries on another machine: Debian's package `qemu-user`.
    emulator: &'static str,
}

pub(crate) const ARCHITECTURES: [Architecture; 2] = [
    Architecture {
        name: "arm64",
        layer: "LayerArm64",
        target: "aarch64-unknown-linux-musl",
        machine: elf::abi::EM_AARCH64,
        emulator: "qemu-aarch64",
    },
    Architecture {
        name: "x86_64",
        layer: "LayerX8664",
        target: "x86_64-unknown-linux-musl",
        machine: elf::abi::EM_X86_64,
        emulator: "qemu-x86_64",
    },
];

/// What the wrapper has a runtime load, from `extension/layer` to `/opt/lambda-otlp`.
pub(crate) const LOADED: [&str; 9] = [
    "node/bound.cjs",
    "node/ending.cjs",
    "node/facade.cjs",
    "node/handler.cjs",
    "node/instrument.cjs",
    "node/start.cjs",
    "node/telemetry.cjs",
    "python/lambda_otlp_handler.py",
    "python/sitecustomize.py",
];

/// Makes the layers of OpenTelemetry's packages for Python functions in `target/dist`.
pub(crate) fn python_layers() -> anyhow::Result<()> {
    let root = root()?;
    std::fs::create_dir_all(root.join("target/dist"))?;
    python::layer(&root)
}

/// Makes the layer of OpenTelemetry's packages for Node functions in `target/dist`.
pub(crate) fn node_layer() -> anyhow::Result<()> {
    let root = root()?;
    std::fs::create_dir_all(root.join("target/dist"))?;
    node::layer(&root)
}

/// Makes the layer's zips in `target/dist`, and starts the extension of each as far as this machine can.
pub(crate) fn layer() -> anyhow::Result<()> {
    let root = root()?;
    let folder = root.join("target/dist");
    std::fs::create_dir_all(&folder)?;
    let packages = locked_packages()?;
    for architecture in &ARCHITECTURES {
        if !has_target(&root, architecture.target) {
            println!("skip  {}: rustup cannot add {}", architecture.name, architecture.target);
            continue;
        }
        let extension = binary::build(&root, &packages, architecture)?;
        let zip = folder.join(format!("lambda-otlp-layer-{}.zip", architecture.name));
        let files = files(&root, &packages, architecture, &extension)?;
        std::fs::write(&zip, packed(&files)?)?;
        println!(
            "made  target/dist/lambda-otlp-layer-{}.zip: {} bytes, the extension {}",
            architecture.name,
            std::fs::metadata(&zip)?.len(),
            std::fs::metadata(&extension)?.len()
        );
        println!("      {}", start::check(architecture, &extension)?);
    }
    Ok(())
}

fn files(
    root: &Path,
    packages: &[Value],
    architecture: &Architecture,
    extension: &Path,
) -> anyhow::Result<Vec<File>> {
    let mut files = beside_the_function(root, extension)?;
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        files.push(File::read(&format!("lambda-otlp/{licence}"), &root.join(licence))?);
    }
    files.push(File {
        path: "lambda-otlp/THIRD-PARTY.txt".to_owned(),
        bytes: notices::of_extension(root, packages, architecture.target)?.into_bytes(),
        is_program: false,
    });
    Ok(files)
}

/// The extension, and what its wrapper has a function's runtime load.
fn beside_the_function(root: &Path, extension: &Path) -> anyhow::Result<Vec<File>> {
    let source = root.join("extension/layer");
    let mut files = vec![
        File::read("extensions/lambda-otlp-extension", extension)?.program(),
        File::read("lambda-otlp-handler", &source.join("lambda-otlp-handler"))?.program(),
    ];
    for loaded in LOADED {
        files.push(File::read(&format!("lambda-otlp/{loaded}"), &source.join(loaded))?);
    }
    Ok(files)
}

/// Puts the layer without its licences into a folder, with an extension that is not static.
pub(crate) fn unpack(root: &Path, extension: &Path, folder: &Path) -> anyhow::Result<()> {
    let files = beside_the_function(root, extension)?;
    zip::ZipArchive::new(std::io::Cursor::new(packed(&files)?))?.extract(folder)?;
    Ok(())
}
