//! Checks that the Rust library is fit for crates.io: its public API is the recorded one. The long form also checks that each
//! feature compiles alone, that the packages build from their content, and that the promised oldest Rust compiles them.

use crate::checks::{self, Length, Tally, output};
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const LIBRARY: &str = "lambda-otlp-exporter";
const LISTING: &str = "exporter/public-api.txt";

pub(crate) fn run(length: Length) -> anyhow::Result<()> {
    let root = checks::root()?;
    let metadata = checks::metadata()?;
    let mut tally = Tally::default();
    let listing = public_api(&root, &metadata);
    tally.note("public API", listing.and_then(|listing| same_as_written(&root, &listing)));
    if length == Length::Long {
        tally.note("features", features(&metadata));
        tally.note("packages", packages(&metadata));
        tally.note("oldest Rust", oldest_rust(&metadata));
    }
    tally.finish()
}

pub(crate) fn write() -> anyhow::Result<()> {
    let root = checks::root()?;
    let listing = public_api(&root, &checks::metadata()?)?;
    std::fs::write(root.join(LISTING), listing).context(LISTING)
}

/// The library's public items, from rustdoc's JSON, which a stable toolchain writes with this variable. The format is
/// that of the toolchain in `rust-toolchain.toml`; the version of `public-api` goes with it. Only rustdoc gets the
/// variable, because build scripts and their dependents would compile again.
fn public_api(root: &Path, metadata: &Value) -> anyhow::Result<String> {
    let target = PathBuf::from(metadata_text(metadata, "target_directory")?);
    let for_json = target.join("rustdoc-for-json");
    std::fs::create_dir_all(&target)?;
    std::fs::write(&for_json, "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n")?;
    std::fs::set_permissions(&for_json, Permissions::from_mode(0o755))?;
    let mut rustdoc = Command::new("cargo");
    rustdoc.args([
        "rustdoc",
        "--quiet",
        "--locked",
        "--package",
        LIBRARY,
        "--lib",
        "--all-features",
    ]);
    rustdoc.args([
        "--",
        "-Z",
        "unstable-options",
        "--output-format",
        "json",
        "--cap-lints",
        "allow",
        // As docs.rs does, which is the only place where code for its badges is compiled.
        "--cfg",
        "docsrs",
    ]);
    output(rustdoc.env("RUSTDOC", &for_json).current_dir(root))?;
    let json = target.join("doc").join(format!("{}.json", LIBRARY.replace('-', "_")));
    let api = public_api::Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build();
    let api = api.with_context(|| format!("{}", json.display()))?;
    let items: Vec<String> = api.items().map(ToString::to_string).collect();
    Ok(items.join("\n") + "\n")
}

fn same_as_written(root: &Path, listing: &str) -> anyhow::Result<String> {
    let written = std::fs::read_to_string(root.join(LISTING)).context(LISTING)?;
    let differences = differences(&written, listing);
    if !differences.is_empty() {
        bail!(
            "the public API differs from {LISTING}. Removals break users, and additions must be supported. If the change is intended, run \
             `cargo xtask library --write`\n{}",
            differences.join("\n")
        );
    }
    Ok(format!("{} items are as {LISTING} has them", listing.lines().count()))
}

/// Lines of the one text that the other has not.
fn differences(before: &str, after: &str) -> Vec<String> {
    let has = |text: &str, line: &str| text.lines().any(|other| other == line);
    let gone = before.lines().filter(|line| !has(after, line)).map(|line| format!("- {line}"));
    let new = after.lines().filter(|line| !has(before, line)).map(|line| format!("+ {line}"));
    gone.chain(new).collect()
}

/// Compiles each feature alone, and none: another feature may hide a missing dependency.
fn features(metadata: &Value) -> anyhow::Result<String> {
    let names = feature_names(metadata);
    for feature in std::iter::once("").chain(names.iter().map(String::as_str)) {
        let mut check = Command::new("cargo");
        check.args(["check", "--quiet", "--locked", "--package", LIBRARY, "--no-default-features"]);
        output(check.args(["--features", feature]))
            .with_context(|| format!("feature {feature:?}"))?;
    }
    Ok(format!("{} compile alone: {}", names.len(), names.join(", ")))
}

fn feature_names(metadata: &Value) -> Vec<String> {
    let library = packages_of(metadata).find(|package| text(package, "name") == LIBRARY);
    let features = library.and_then(|package| package.get("features")?.as_object());
    features.into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

/// The crates that are published, packaged as crates.io gets them, and built from that.
fn packages(metadata: &Value) -> anyhow::Result<String> {
    let names = published(metadata);
    // Cargo takes a package of the same version for the same sources: neither those nor their build may be left.
    forget_sources(&names)?;
    let target = Path::new(&metadata_text(metadata, "target_directory")?).join("packages");
    if target.exists() {
        std::fs::remove_dir_all(&target)?;
    }
    let mut package = Command::new("cargo");
    package.args(["package", "--quiet", "--locked", "--allow-dirty", "--target-dir"]).arg(target);
    for name in &names {
        package.args(["--package", name]);
    }
    output(&mut package)?;
    Ok(format!("{} packages build from their own files: {}", names.len(), names.join(", ")))
}

/// Deletes the sources that cargo extracted when it last built these packages.
#[expect(clippy::disallowed_methods, reason = "cargo's variable, not a setting of ours")]
fn forget_sources(names: &[&str]) -> anyhow::Result<()> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let Some(Ok(registries)) = home.map(|home| home.join("registry/src").read_dir()) else {
        return Ok(());
    };
    for registry in registries {
        let registry = registry?;
        // The name of a registry on disk, as `cargo package` makes one, begins with its empty host.
        if !registry.file_name().as_encoded_bytes().starts_with(b"-") {
            continue;
        }
        for source in registry.path().read_dir()? {
            let source = source?;
            let directory = source.file_name();
            let is_ours = |name: &&str| directory.as_encoded_bytes().starts_with(name.as_bytes());
            if names.iter().any(is_ours) {
                std::fs::remove_dir_all(source.path())?;
            }
        }
    }
    Ok(())
}

/// Packages that say nothing against it.
fn published(metadata: &Value) -> Vec<&str> {
    let published =
        packages_of(metadata).filter(|package| package.get("publish").is_none_or(Value::is_null));
    published.map(|package| text(package, "name")).collect()
}

/// Compiles the published crates with the oldest Rust they promise, if rustup can install it.
fn oldest_rust(metadata: &Value) -> anyhow::Result<String> {
    let package = packages_of(metadata).find(|package| text(package, "name") == LIBRARY);
    let version = package.map(|package| text(package, "rust_version")).unwrap_or_default();
    let toolchain = format!("{version}.0");
    let mut install = Command::new("rustup");
    install.args(["toolchain", "install", &toolchain, "--profile", "minimal"]);
    if output(&mut install).is_err() {
        return Ok(format!("left out: rustup cannot install {toolchain} here"));
    }
    let mut check = Command::new("rustup");
    check.args(["run", &toolchain, "cargo", "check", "--quiet", "--locked", "--all-features"]);
    for name in published(metadata) {
        check.args(["--package", name]);
    }
    let target = metadata_text(metadata, "target_directory")?;
    output(check.args(["--target-dir".into(), Path::new(&target).join("oldest-rust")]))?;
    Ok(format!("{toolchain} compiles the published packages"))
}

fn packages_of(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata.get("packages").and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn metadata_text(metadata: &Value, key: &str) -> anyhow::Result<String> {
    let found = metadata.get(key).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("cargo metadata has no {key}"))
}
