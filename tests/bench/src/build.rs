//! Builds the programs that are compared.

use anyhow::{Context as _, bail};
use serde::Deserialize;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Builds one driver alone, so that the features of common dependencies do not add up.
pub fn build_one(feature: &str, name: &str) -> anyhow::Result<PathBuf> {
    build(&["--release", "--no-default-features", "--features", feature, "--bin", name], name)
}

/// The program of this name that cargo builds with these arguments.
pub fn build(arguments: &[&str], name: &str) -> anyhow::Result<PathBuf> {
    #[derive(Deserialize)]
    struct Artifact {
        executable: Option<PathBuf>,
    }
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("build")
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo could not build {name}");
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok()?.executable)
        .find(|path| path.file_name().is_some_and(|file| file == name))
        .with_context(|| format!("cargo built no binary {name}"))
}
