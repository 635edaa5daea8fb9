//! Builds the extensions: ours as the layer has it, the peer's from crates.io.

use anyhow::{Context as _, bail};
use std::path::PathBuf;
use std::process::Command;

const PEER: &str = "opentelemetry-lambda-extension";
const PEER_VERSION: &str = "0.2.0";

/// The extension as `cargo xtask dist --layer` builds it for this machine: static, by cargo-lambda with zig.
pub(crate) fn ours() -> anyhow::Result<PathBuf> {
    let name = "lambda-otlp-extension";
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = root.join("target/layer/bench");
    let status = Command::new(env!("CARGO"))
        .args(["lambda", "build", "--locked", "--extension", "--profile", "release-small"])
        .args(["--target", &target, "--package", name, "--bin", name, "--lambda-dir"])
        .arg(&built)
        .current_dir(&root)
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo could not build {name}: it needs `pip install cargo-lambda ziglang`");
    }
    Ok(built.join("extensions").join(name))
}

/// The peer's extension, with the versions of its own lock file, in a folder of its own: in one dependency graph the features
/// of common crates would add up. Its profile is the one of its authors' workspace, which the package does not carry.
pub(crate) fn peer() -> anyhow::Result<PathBuf> {
    let root = cache()?.join(format!("{PEER}-{PEER_VERSION}"));
    let path = root.join("bin").join(PEER);
    if !path.exists() {
        let status = Command::new(env!("CARGO"))
            .args(["install", PEER, "--version", &format!("={PEER_VERSION}"), "--locked"])
            .arg("--root")
            .arg(&root)
            .arg("--target-dir")
            .arg(root.join("target"))
            .envs([
                ("CARGO_PROFILE_RELEASE_LTO", "true"),
                ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
                ("CARGO_PROFILE_RELEASE_STRIP", "true"),
                ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
            ])
            .status()
            .context("cannot run cargo")?;
        if !status.success() {
            bail!("cargo could not install {PEER}");
        }
        std::fs::remove_dir_all(root.join("target")).context("cannot clear the cache")?;
    }
    Ok(path)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the caches' place on this machine, no setting of ours"
)]
fn cache() -> anyhow::Result<PathBuf> {
    let base =
        std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Ok(base
        .or_else(home)
        .context("neither XDG_CACHE_HOME nor HOME is set")?
        .join("lambda-otlp/bench"))
}
