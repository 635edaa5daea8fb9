//! The crates for crates.io: the Rust library, those of the workspace that it needs, and the one that adds its older name.

use crate::checks::{locked_packages, output, root};
use crate::ci::{cargo, installed, succeed};
use anyhow::Context as _;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Cargo finds the order in which they are published.
const CRATES: [&str; 6] = [
    LIBRARY,
    "lambda-otlp-deflate",
    "lambda-otlp-extensions-api",
    "lambda-otlp-settings",
    "lambda-otlp-stdout-span-exporter",
    "lambda-otlp-wire",
];

const LIBRARY: &str = "lambda-otlp-exporter";

/// It reads the format of rustdoc's output, which changes with Rust.
const SEMVER_CHECKS: &str = "0.51.0";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upload {
    /// Packages and compiles the crates as crates.io would, and leaves them in `target/package`.
    No,
    Yes,
}

/// Publishes all crates, each after those that it needs.
pub(crate) fn publish(upload: Upload) -> anyhow::Result<()> {
    let mut publish = cargo(&root()?, &["publish", "--locked"]);
    publish.args(selected());
    if upload == Upload::No {
        publish.arg("--dry-run");
    }
    succeed(&mut publish)
}

fn selected() -> impl Iterator<Item = &'static str> {
    CRATES.iter().flat_map(|name| ["--package", *name])
}

/// Compares the public items of the crates with those of a commit, by default of the last release, and fails if the version
/// promises more than what has changed.
pub(crate) fn compare(baseline: Option<&str>) -> anyhow::Result<()> {
    let root = root()?;
    let given = baseline.map(str::to_owned);
    let Some(baseline) = given.map_or_else(|| last_release(&root), |given| Ok(Some(given)))? else {
        println!("skip  the crates' public items: there is no earlier release");
        return Ok(());
    };
    let program = installed(&root, "cargo-semver-checks", SEMVER_CHECKS)?;
    let mut compare = Command::new(program);
    compare.args(["semver-checks", "--baseline-rev", &baseline]).args(selected());
    succeed(compare.current_dir(root))
}

/// The tag of the last release before this commit.
fn last_release(root: &Path) -> anyhow::Result<Option<String>> {
    let mut git = Command::new("git");
    git.args([
        "tag",
        "--list",
        "v*",
        "--sort=-creatordate",
        "--merged",
        "HEAD",
        "--no-contains",
        "HEAD",
    ]);
    let printed = output(git.current_dir(root))?;
    let tags = String::from_utf8(printed.stdout).context("git tag")?;
    Ok(tags.lines().next().map(str::to_owned))
}

/// Compiles the crates with the oldest Rust that they promise to support.
pub(crate) fn check_with_oldest_rust(root: &Path) -> anyhow::Result<()> {
    let version = text(&library(root)?, "rust_version")?;
    let mut install = Command::new("rustup");
    install.args(["toolchain", "install", &version, "--profile", "minimal", "--no-self-update"]);
    if !install.current_dir(root).status().is_ok_and(|status| status.success()) {
        println!("skip  Rust {version}: rustup cannot install it");
        return Ok(());
    }
    let toolchain = format!("+{version}");
    let mut check = cargo(root, &[&toolchain, "check", "--locked", "--lib", "--all-features"]);
    succeed(check.args(selected()))
}

/// Documents the library with each of its features alone: an item may link to one that only another feature has.
pub(crate) fn document_each_feature(root: &Path) -> anyhow::Result<()> {
    let library = library(root)?;
    let features = library.get("features").and_then(Value::as_object).context("features")?;
    features.keys().try_for_each(|feature| {
        let mut doc = cargo(root, &["doc", "--locked", "--no-deps", "--package", LIBRARY]);
        doc.args(["--no-default-features", "--features", feature]);
        succeed(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })
}

/// Cargo's description of the library.
fn library(root: &Path) -> anyhow::Result<Value> {
    let mut packages = locked_packages(root)?.into_iter();
    let library = packages.find(|package| text(package, "name").is_ok_and(|name| name == LIBRARY));
    library.with_context(|| format!("cargo metadata has no package {LIBRARY}"))
}

fn text(package: &Value, key: &str) -> anyhow::Result<String> {
    let text = package.get(key).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("cargo metadata has no {key}"))
}
