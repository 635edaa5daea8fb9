//! Runs `sam build`, and looks at the binary that goes into the zip.

use super::settings::SETTINGS;
use crate::checks::{Length, Tally, output};
use crate::pypi::Environment;
use anyhow::{Context as _, bail};
use memchr::memmem;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What AWS's image for `provided.al2023` has.
const MAX_GLIBC: (u32, u32) = (2, 34);
/// Largest binary of the release profile.
const MAX_RELEASE_BYTES: usize = 7_000_000;
const ARM64: &str = "aarch64-unknown-linux-gnu";

/// For which processor, and how, is built.
struct Build {
    /// As the template's parameter `Architecture` has it.
    architecture: &'static str,
    /// As `readelf` calls it.
    machine: &'static str,
    profile: &'static str,
}

pub(super) fn check(root: &Path, tools: &Environment, length: Length, tally: &mut Tally) {
    // The release profile takes minutes of link-time optimisation for the same libraries and symbols.
    let profile = if length == Length::Long { "release" } else { "dev" };
    let build = if has_target(root, ARM64) {
        Build { architecture: "arm64", machine: "AArch64", profile }
    } else {
        println!("building for x86_64: rustup cannot add {ARM64} on this machine");
        Build { architecture: "x86_64", machine: "X86-64", profile }
    };
    let name = format!("sam build, {}, profile {}", build.architecture, build.profile);
    tally.note(
        &name,
        sam_build(root, tools, &build).and_then(|folder| inspect(folder.path(), &build)),
    );
}

/// The layers, the machines of their extensions as `readelf` calls them, and Rust's targets.
const LAYERS: [(&str, &str, &str); 2] = [
    ("LayerArm64", "AArch64", "aarch64-unknown-linux-musl"),
    ("LayerX8664", "X86-64", "x86_64-unknown-linux-musl"),
];

fn has_target(root: &Path, target: &str) -> bool {
    let added = Command::new("rustup").args(["target", "add", target]).current_dir(root).output();
    added.is_ok_and(|added| added.status.success())
}

/// The folder that holds what is zipped for each function.
fn sam_build(root: &Path, tools: &Environment, build: &Build) -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let mut sam = tools.command("sam")?;
    sam.args(["build", "--config-file", SETTINGS, "--build-dir"]).arg(folder.path());
    sam.args(["--parameter-overrides", &format!("Architecture={}", build.architecture)]);
    sam.env("ARCHITECTURE", build.architecture).env("PROFILE", build.profile).current_dir(root);
    let layer_profile = if build.profile == "dev" { "dev" } else { "release-small" };
    sam.env("LAYER_PROFILE", layer_profile);
    for (layer, _, target) in LAYERS {
        if !has_target(root, target) {
            println!("without {layer}: rustup cannot add {target} on this machine");
            sam.args(["--exclude", layer]);
        }
    }
    // Another target folder would be locked by the cargo that runs this program.
    let target = simulator::packages::cache()?.join("stack-target");
    output(sam.env("CARGO_TARGET_DIR", target))?;
    Ok(folder)
}

fn inspect(folder: &Path, build: &Build) -> anyhow::Result<String> {
    let forwarder = only_file(&folder.join("ForwarderFunction"))?;
    let binary = std::fs::read(&forwarder)?;
    if binary != std::fs::read(only_file(&folder.join("RedriveFunction"))?)? {
        bail!("the two functions have different code");
    }
    for variable in forwarder::TABLE.variables() {
        if memmem::find(&binary, variable.name.as_bytes()).is_none() {
            bail!("{} is not in the binary: is it the forwarder?", variable.name);
        }
    }
    let mut layers = Vec::new();
    for (layer, machine, _) in LAYERS {
        if !folder.join(layer).exists() {
            continue;
        }
        let extension = folder.join(layer).join("extensions/lambda-otlp-extension");
        let header = readelf(&["--file-header", "--program-headers"], &extension)?;
        if !header.contains(machine) || header.contains("INTERP") {
            bail!("the extension of {layer} is not static, or not for {machine}");
        }
        layers.push(layer);
    }
    let header = readelf(&["--file-header"], &forwarder)?;
    if !header.contains(build.machine) {
        bail!("the binary is not for {}", build.machine);
    }
    let symbols = readelf(&["--version-info", "--wide"], &forwarder)?;
    let newest = newest_glibc(&symbols).context("the binary names no glibc")?;
    if newest > MAX_GLIBC {
        bail!("the binary needs glibc {}.{}; provided.al2023 has 2.34", newest.0, newest.1);
    }
    if build.profile == "release" && binary.len() > MAX_RELEASE_BYTES {
        bail!("{} bytes, over {MAX_RELEASE_BYTES}", binary.len());
    }
    Ok(format!(
        "the forwarder twice, {} bytes, glibc {}.{} at most; static: {layers:?}",
        binary.len(),
        newest.0,
        newest.1
    ))
}

/// `bootstrap`, which must be alone.
fn only_file(folder: &Path) -> anyhow::Result<PathBuf> {
    let entries: Result<Vec<_>, _> = std::fs::read_dir(folder)
        .with_context(|| format!("sam build left no {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect();
    let entries = entries?;
    if entries != ["bootstrap"] {
        bail!("the package holds {entries:?}");
    }
    Ok(folder.join("bootstrap"))
}

fn readelf(arguments: &[&str], binary: &Path) -> anyhow::Result<String> {
    let printed = output(Command::new("readelf").args(arguments).arg(binary).env("LC_ALL", "C"))?;
    Ok(String::from_utf8_lossy(&printed.stdout).into_owned())
}

/// The newest version of glibc that a symbol asks for.
fn newest_glibc(symbols: &str) -> Option<(u32, u32)> {
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|version| {
        let end = version.find(|character: char| character != '.' && !character.is_ascii_digit());
        let mut numbers = version.get(..end.unwrap_or(version.len()))?.split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::newest_glibc;

    #[test]
    fn versions_of_glibc_are_compared_by_number() {
        let check = |symbols, expected| assert_eq!(newest_glibc(symbols), expected, "{symbols}");
        check("Name: GLIBC_2.9  Flags\n Name: GLIBC_2.34 Flags: none", Some((2, 34)));
        check("2 (GLIBC_2.2.5)   3 (GLIBC_2.17)", Some((2, 17)));
        check("Name: GCC_3.0", None);
    }
}
