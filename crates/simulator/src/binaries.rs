//! Builds binaries of a workspace, for tests and the demo that run them as functions.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// Why there are no binaries.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Cargo did not start.
    #[error("cannot run cargo: is Rust installed, and on PATH?")]
    Cargo(#[source] std::io::Error),
    /// The build failed; cargo has said why.
    #[error("cargo could not build {0}")]
    Failed(String),
    /// The build gave no binary of this name.
    #[error("cargo built no binary `{0}`")]
    Missing(String),
}

/// The packages of lambda-otlp's workspace with the binaries for tests and the demo.
const PACKAGES: [&str; 6] = [
    "lambda-otlp-cli",
    "lambda-otlp-demo",
    "lambda-otlp-demo-parcels",
    "lambda-otlp-extension",
    "lambda-otlp-forwarder",
    "lambda-otlp-subscriber",
];

/// Builds these binaries of lambda-otlp's workspace in the development profile, and returns where each is, by name. Cargo's own progress
/// goes to stderr.
///
/// Cargo unifies features among the named packages. Every build names all of them, because each other selection would
/// compile the dependencies again.
pub fn build(workspace: &Path, programs: &[&str]) -> Result<HashMap<String, PathBuf>, BuildError> {
    let arguments: Vec<&str> = programs.iter().flat_map(|program| ["--bin", program]).collect();
    build_with(workspace, &PACKAGES, &arguments)
}

/// Builds the targets that these arguments of `cargo build` select in these packages.
pub fn build_with(
    workspace: &Path,
    packages: &[&str],
    arguments: &[&str],
) -> Result<HashMap<String, PathBuf>, BuildError> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
    }

    let mut command = Command::new("cargo");
    command.current_dir(workspace).args(["build", "--message-format=json-render-diagnostics"]);
    command.args(arguments);
    for package in packages {
        command.args(["--package", package]);
    }
    for name in variables_of_the_outer_cargo() {
        command.env_remove(name);
    }
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(BuildError::Cargo)?;
    if !output.status.success() {
        return Err(BuildError::Failed(packages.join(", ")));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let binaries = messages.filter_map(|message| {
        let target = message
            .target
            .filter(|target| target.kind.iter().any(|kind| kind == "bin" || kind == "example"))?;
        Some((target.name, message.executable?))
    });
    Ok(binaries.collect())
}

/// The variables that `cargo run` and `cargo test` set for a package. Build scripts that read them would run again,
/// and their dependents would be compiled again.
#[expect(clippy::disallowed_methods, reason = "names for cargo's child, not settings of ours")]
fn variables_of_the_outer_cargo() -> impl Iterator<Item = OsString> {
    let of_a_package =
        ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    std::env::vars_os().map(|(name, _)| name).filter(move |name| {
        let name = name.to_string_lossy();
        of_a_package.iter().any(|prefix| name.starts_with(prefix))
    })
}

/// Returns the path of a binary that [`build`] made.
#[expect(clippy::implicit_hasher, reason = "the map is the one that `build` returns")]
pub fn find(binaries: &HashMap<String, PathBuf>, name: &str) -> Result<PathBuf, BuildError> {
    binaries.get(name).cloned().ok_or_else(|| BuildError::Missing(name.to_owned()))
}
