//! Builds the extension as a static binary that names no folder of this machine.

use super::Architecture;
use crate::checks::output;
use crate::pypi::Environment;
use anyhow::{Context as _, bail};
use elf::ElfBytes;
use elf::endian::AnyEndian;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(super) const PACKAGE: &str = "lambda-otlp-extension";
const PROFILE: &str = "release-small";

pub(super) fn build(
    root: &Path,
    packages: &[Value],
    tools: &Environment,
    architecture: &Architecture,
) -> anyhow::Result<PathBuf> {
    let target = architecture.target;
    let folders = folders(root, packages);
    // These flags replace those of `.cargo/config.toml`.
    let mut flags = vec!["-Crelocation-model=static".to_owned()];
    flags.extend(
        folders
            .iter()
            .map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display())),
    );
    let built = root.join("target/layer").join(architecture.name);
    let mut cargo = tools.command("cargo-lambda")?;
    cargo.args(["lambda", "build", "--locked", "--extension", "--profile", PROFILE]);
    cargo.args(["--target", target, "--package", PACKAGE, "--bin", PACKAGE, "--lambda-dir"]);
    cargo.arg(&built).current_dir(root);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    output(&mut cargo)?;
    let binary = built.join("extensions").join(PACKAGE);
    let bytes = std::fs::read(&binary)?;
    inspect(&bytes, architecture).with_context(|| format!("{PACKAGE} for {target}"))?;
    names_no_folder(&bytes, &folders)?;
    Ok(binary)
}

/// A binary with a folder of this machine in it would be another one elsewhere.
pub(super) fn names_no_folder(
    bytes: &[u8],
    folders: &[(PathBuf, &'static str)],
) -> anyhow::Result<()> {
    for (folder, _) in folders {
        let folder = folder.to_string_lossy();
        if memchr::memmem::find(bytes, folder.as_bytes()).is_some() {
            bail!("the binary names {folder}");
        }
    }
    Ok(())
}

/// The source folders that panics name, and their replacements.
pub(super) fn folders(root: &Path, packages: &[Value]) -> Vec<(PathBuf, &'static str)> {
    let registries: BTreeSet<PathBuf> = packages
        .iter()
        .filter(|package| !package["source"].is_null())
        .filter_map(|package| Path::new(package["manifest_path"].as_str()?).ancestors().nth(2))
        .map(Path::to_owned)
        .collect();
    let registries = registries.into_iter().map(|registry| (registry, "crates.io"));
    registries.chain([(root.to_owned(), "lambda-otlp")]).collect()
}

/// Checks that a binary is small, for the right machine, and needs no loader, and so no libc of the system.
pub(crate) fn inspect(bytes: &[u8], architecture: &Architecture) -> anyhow::Result<()> {
    let binary = ElfBytes::<AnyEndian>::minimal_parse(bytes)?;
    if binary.ehdr.e_machine != architecture.machine {
        bail!("is for machine {}, not {}", binary.ehdr.e_machine, architecture.machine);
    }
    if bytes.len() > architecture.max_bytes {
        bail!("has {} bytes, over {}", bytes.len(), architecture.max_bytes);
    }
    let segments = binary.segments().context("no segments")?;
    if segments.iter().any(|segment| segment.p_type == elf::abi::PT_INTERP) {
        bail!("needs a loader: it is not static");
    }
    Ok(())
}
