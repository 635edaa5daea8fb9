//! Runs `sam build`, and looks at the binary that goes into the zip.

use super::settings::SETTINGS;
use crate::checks::{Length, Tally, has_target, output};
use crate::dist::{self, ARCHITECTURES, Architecture};
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
    /// The architectures whose layers are built: all that rustup has libraries for.
    layers: Vec<&'static Architecture>,
}

pub(super) fn check(root: &Path, tools: &Environment, length: Length, tally: &mut Tally) {
    // The release profile takes minutes of link-time optimisation for the same libraries and symbols.
    let profile = if length == Length::Long { "release" } else { "dev" };
    let is_built = |architecture: &&Architecture| has_target(root, architecture.target);
    let layers = ARCHITECTURES.iter().filter(is_built).collect();
    let build = if has_target(root, ARM64) {
        Build { architecture: "arm64", machine: "AArch64", profile, layers }
    } else {
        println!("building for x86_64: rustup cannot add {ARM64} on this machine");
        Build { architecture: "x86_64", machine: "X86-64", profile, layers }
    };
    let name = format!("sam build, {}, profile {}", build.architecture, build.profile);
    tally.note(
        &name,
        sam_build(root, tools, &build).and_then(|folder| inspect(folder.path(), &build)),
    );
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
    for Architecture { layer, target, .. } in &ARCHITECTURES {
        if !build.layers.iter().any(|built| built.layer == *layer) {
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
    for architecture in &build.layers {
        let layer = architecture.layer;
        let extension = folder.join(layer).join("extensions/lambda-otlp-extension");
        let bytes = std::fs::read(&extension).with_context(|| format!("{layer} is not built"))?;
        dist::inspect(&bytes, architecture).with_context(|| format!("the extension of {layer}"))?;
        for loaded in dist::LOADED {
            if !folder.join(layer).join("lambda-otlp").join(loaded).is_file() {
                bail!("{layer} has no lambda-otlp/{loaded}, which the wrapper has a runtime load");
            }
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
