//! Builds programs that name no folder of this machine: the extension as a static binary, the others for Lambda's glibc.

use super::{Architecture, Build};
use crate::checks::output;
use anyhow::{Context as _, bail, ensure};
use elf::ElfBytes;
use elf::endian::AnyEndian;
use local_lambda::binaries::EXTENSION;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The glibc of AWS's image for `provided.al2023`.
const MAX_GLIBC: (u32, u32) = (2, 34);
/// Of the extension: its size is part of the function's cold start.
const MAX_EXTENSION_BYTES: usize = 4_750_000;

pub(super) fn extension(build: &Build<'_>) -> anyhow::Result<PathBuf> {
    let architecture = build.architecture;
    let layer = build.root.join("target/layer").join(architecture.name);
    let arguments = ["--extension", "--profile", "release-small", "--target", architecture.musl];
    let program = ["--package", EXTENSION, "--bin", EXTENSION];
    // These flags replace those of `.cargo/config.toml`.
    let flags = ["-Crelocation-model=static"];
    let binary = layer.join("extensions").join(EXTENSION);
    let arguments = [&arguments[..], &program].concat();
    let bytes = built_binary(build, &arguments, &flags, &layer, &binary)?;
    inspect_extension(&bytes, architecture)
        .with_context(|| format!("{EXTENSION} for {}", architecture.musl))?;
    Ok(binary)
}

/// A binary of a package, and the profile with which it is built.
pub(super) struct Target<'a> {
    pub(super) package: &'a str,
    pub(super) binary: &'a str,
    pub(super) profile: &'a str,
}

pub(super) fn program(build: &Build<'_>, target: &Target<'_>) -> anyhow::Result<Vec<u8>> {
    let Target { package, binary, profile } = *target;
    let architecture = build.architecture;
    let folder = tempfile::tempdir()?;
    let option = format!("--{}", architecture.name.replace('_', "-"));
    let arguments =
        ["--profile", profile, &option, "--package", package, "--bin", binary, "--flatten", binary];
    let bootstrap = folder.path().join("bootstrap");
    let bytes = built_binary(build, &arguments, &[], folder.path(), &bootstrap)?;
    inspect_program(&bytes, architecture)?;
    Ok(bytes)
}

/// Builds with cargo-lambda into a folder, and reads the binary there.
fn built_binary(
    build: &Build<'_>,
    arguments: &[&str],
    flags: &[&str],
    folder: &Path,
    binary: &Path,
) -> anyhow::Result<Vec<u8>> {
    let Build { root, packages, tools, .. } = *build;
    let folders = folders(root, packages);
    let mut flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let remap = |(folder, name): &(PathBuf, &str)| {
        format!("--remap-path-prefix={}={name}", folder.display())
    };
    flags.extend(folders.iter().map(remap));
    // cargo-lambda is a program of the environment, which finds zig there.
    let mut cargo = tools.command("cargo-lambda")?;
    cargo.args(["lambda", "build", "--locked"]).args(arguments).arg("--lambda-dir").arg(folder);
    cargo.current_dir(root).env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    output(&mut cargo)?;
    let bytes = std::fs::read(binary)?;
    // A binary with a folder of this machine in it would be another one elsewhere.
    for (folder, _) in &folders {
        let folder = folder.to_string_lossy();
        if memchr::memmem::find(&bytes, folder.as_bytes()).is_some() {
            bail!("the binary names {folder}");
        }
    }
    Ok(bytes)
}

/// The source folders that panics name, and their replacements.
fn folders(root: &Path, packages: &[Value]) -> Vec<(PathBuf, &'static str)> {
    let registries: BTreeSet<PathBuf> = packages
        .iter()
        .filter(|package| !package["source"].is_null())
        .filter_map(|package| Path::new(package["manifest_path"].as_str()?).ancestors().nth(2))
        .map(Path::to_owned)
        .collect();
    let registries = registries.into_iter().map(|registry| (registry, "crates.io"));
    registries.chain([(root.to_owned(), "lambda-otlp")]).collect()
}

/// Checks that the extension is small, for the right machine, and needs no loader, and so no libc of the system.
pub(crate) fn inspect_extension(bytes: &[u8], architecture: &Architecture) -> anyhow::Result<()> {
    let binary = for_machine(bytes, architecture)?;
    let found = bytes.len();
    let max = MAX_EXTENSION_BYTES;
    ensure!(found <= max, "the extension has {found} bytes, over {max}");
    let mut segments = binary.segments().context("no segments")?.iter();
    let has_loader = segments.any(|segment| segment.p_type == elf::abi::PT_INTERP);
    ensure!(!has_loader, "the extension needs a loader: it is not static");
    Ok(())
}

/// Checks that a program is for the right machine and starts on Lambda's image.
pub(crate) fn inspect_program(bytes: &[u8], architecture: &Architecture) -> anyhow::Result<()> {
    for_machine(bytes, architecture)?;
    let newest = newest_glibc(&String::from_utf8_lossy(bytes));
    let (major, minor) = newest.context("the binary names no glibc")?;
    ensure!(
        (major, minor) <= MAX_GLIBC,
        "the binary needs glibc {major}.{minor}; provided.al2023 has 2.34"
    );
    Ok(())
}

fn for_machine<'b>(
    bytes: &'b [u8],
    architecture: &Architecture,
) -> anyhow::Result<ElfBytes<'b, AnyEndian>> {
    let binary = ElfBytes::<AnyEndian>::minimal_parse(bytes)?;
    let found = binary.ehdr.e_machine;
    let machine = architecture.machine;
    ensure!(found == machine, "the binary is for machine {found}, not {machine}");
    Ok(binary)
}

/// The newest version of glibc among the names of symbol versions, which the binary has as text.
fn newest_glibc(text: &str) -> Option<(u32, u32)> {
    let versions = text.split("GLIBC_").skip(1).filter_map(|version| {
        let end = version.find(|character: char| character != '.' && !character.is_ascii_digit());
        let mut numbers = version.get(..end.unwrap_or(version.len()))?.split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    });
    versions.max()
}
