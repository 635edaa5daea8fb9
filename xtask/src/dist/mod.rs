//! Makes the layer: one zip for each architecture, with the extension, the wrapper of a function's runtime, and the licences.
//!
//! What is in a zip depends on the sources alone: files have no times, and the binary names no folder of the machine.
//!
//! Source: Lambda Developer Guide, "Packaging your layer content" and "Configuring Lambda extensions" (`extensions/`).

mod binary;
mod notices;
mod start;

use crate::checks::{has_target, locked_packages, root};
use anyhow::Context as _;
pub(crate) use binary::inspect;
use serde_json::Value;
use std::io::Write as _;
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{DateTime, System, ZipWriter};

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

/// A file of the layer, by its path below `/opt`.
struct File {
    path: &'static str,
    bytes: Vec<u8>,
    is_program: bool,
}

fn files(
    root: &Path,
    packages: &[Value],
    architecture: &Architecture,
    extension: &Path,
) -> anyhow::Result<Vec<File>> {
    let read = |path: &Path| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let text = |path, source: &str| {
        anyhow::Ok(File { path, bytes: read(&root.join(source))?, is_program: false })
    };
    let program = |path, bytes| File { path, bytes, is_program: true };
    Ok(vec![
        program("extensions/lambda-otlp-extension", read(extension)?),
        program("lambda-otlp-handler", read(&root.join("extension/layer/lambda-otlp-handler"))?),
        text("lambda-otlp/LICENSE-APACHE", "LICENSE-APACHE")?,
        text("lambda-otlp/LICENSE-MIT", "LICENSE-MIT")?,
        File {
            path: "lambda-otlp/THIRD-PARTY.txt",
            bytes: notices::of_extension(root, packages, architecture.target)?.into_bytes(),
            is_program: false,
        },
    ])
}

fn packed(files: &[File]) -> anyhow::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for File { path, bytes, is_program } in files {
        let options = SimpleFileOptions::default()
            .last_modified_time(DateTime::default())
            .system(System::Unix)
            .compression_level(Some(9))
            .unix_permissions(if *is_program { 0o755 } else { 0o644 });
        zip.start_file(*path, options)?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}
