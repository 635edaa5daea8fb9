//! Makes the zips of the stack's functions: one for each program and architecture, with a binary that names no folder of this
//! machine and needs no newer glibc than Lambda's image has, and the licences.

use super::binary::{folders, names_no_folder};
use super::zip_file::{File, packed};
use super::{Made, licences, notices};
use crate::checks::{has_target, output};
use crate::pypi::{self, Environment};
use anyhow::{Context as _, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A program of `deploy/Makefile`, and its size limits, which keep cold starts short.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) max_bytes: usize,
    max_zip_bytes: usize,
}

pub(crate) const FORWARDER: Program =
    Program { name: "lambda-otlp-forwarder", max_bytes: 7_300_000, max_zip_bytes: 3_500_000 };
pub(crate) const SUBSCRIBER: Program =
    Program { name: "lambda-otlp-subscriber", max_bytes: 4_000_000, max_zip_bytes: 2_000_000 };

/// The glibc of AWS's image for `provided.al2023`.
const MAX_GLIBC: (u32, u32) = (2, 34);

pub(crate) struct Target {
    /// As Lambda calls it, and the template's parameter `Architecture`.
    pub(crate) architecture: &'static str,
    pub(crate) triple: &'static str,
    /// As `readelf` calls it.
    header: &'static str,
    option: &'static str,
}

pub(crate) const TARGETS: [Target; 2] = [
    Target {
        architecture: "arm64",
        triple: "aarch64-unknown-linux-gnu",
        header: "AArch64",
        option: "--arm64",
    },
    Target {
        architecture: "x86_64",
        triple: "x86_64-unknown-linux-gnu",
        header: "X86-64",
        option: "--x86-64",
    },
];

pub(super) fn make(
    root: &Path,
    packages: &[Value],
    write: &mut dyn FnMut(Made) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let tools = pypi::install(root, "stack")?;
    for target in &TARGETS {
        if !has_target(root, target.triple) {
            println!("skip  {}: rustup cannot add {}", target.architecture, target.triple);
            continue;
        }
        for Program { name: program, max_bytes, max_zip_bytes } in [FORWARDER, SUBSCRIBER] {
            println!("build {program} for {}: some minutes", target.architecture);
            let bytes = build(root, packages, &tools, (program, program, "release"), target)
                .with_context(|| format!("{program} for {}", target.architecture))?;
            ensure!(bytes.len() <= max_bytes, "{program}: {} bytes, over {max_bytes}", bytes.len());
            println!("      {program} for {}: {} bytes", target.architecture, bytes.len());
            let mut files = vec![File { path: "bootstrap".to_owned(), bytes, is_program: true }];
            files.extend(licences(root, packages, program, target.triple)?);
            write(Made {
                name: format!("{program}-{}.zip", target.architecture),
                bytes: packed(&files)?,
                components: notices::components(root, packages, program, target.triple)?,
                max_bytes: max_zip_bytes,
            })?;
        }
    }
    Ok(())
}

/// Builds a binary of a package with a profile, which are told in this order: package, binary, profile.
pub(super) fn build(
    root: &Path,
    packages: &[Value],
    tools: &Environment,
    (package, binary, profile): (&str, &str, &str),
    target: &Target,
) -> anyhow::Result<Vec<u8>> {
    let folders = folders(root, packages);
    let flags: Vec<String> = folders
        .iter()
        .map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display()))
        .collect();
    let folder = tempfile::tempdir()?;
    // cargo-lambda is a program of the environment, which finds zig there.
    let mut cargo = tools.command("cargo-lambda")?;
    cargo.args(["lambda", "build", "--locked", "--profile", profile, target.option]);
    cargo.args(["--package", package, "--bin", binary, "--flatten", binary, "--lambda-dir"]);
    cargo.arg(folder.path()).current_dir(root);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    output(&mut cargo)?;
    let binary = folder.path().join("bootstrap");
    let bytes = std::fs::read(&binary)?;
    inspect(&binary, &bytes, target)?;
    names_no_folder(&bytes, &folders)?;
    Ok(bytes)
}

/// A binary for the right machine that starts on Lambda's image; the newest version of glibc that it asks for.
pub(crate) fn inspect(binary: &Path, bytes: &[u8], target: &Target) -> anyhow::Result<(u32, u32)> {
    ensure!(!bytes.is_empty(), "an empty binary");
    let header = readelf(&["--file-header"], binary)?;
    ensure!(header.contains(target.header), "the binary is not for {}", target.header);
    let symbols = readelf(&["--version-info", "--wide"], binary)?;
    let newest = newest_glibc(&symbols).context("the binary names no glibc")?;
    let (major, minor) = newest;
    ensure!(
        newest <= MAX_GLIBC,
        "the binary needs glibc {major}.{minor}; provided.al2023 has 2.34"
    );
    Ok(newest)
}

fn readelf(arguments: &[&str], binary: &Path) -> anyhow::Result<String> {
    let printed = output(Command::new("readelf").args(arguments).arg(binary).env("LC_ALL", "C"))?;
    Ok(String::from_utf8_lossy(&printed.stdout).into_owned())
}

fn newest_glibc(symbols: &str) -> Option<(u32, u32)> {
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|version| {
        let end = version.find(|character: char| character != '.' && !character.is_ascii_digit());
        let mut numbers = version.get(..end.unwrap_or(version.len()))?.split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    });
    versions.max()
}
