//! Builds binaries that tests run as functions.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// The programs that end-to-end tests run.
pub const OF_TESTS: [&str; 7] = [
    "lambda-otlp",
    "lambda-otlp-demo",
    EXTENSION,
    "lambda-otlp-forwarder",
    "demo-function",
    "demo-checkout",
    "demo-parcels",
];

/// The reason why there is no binary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Cargo did not start.
    #[error("cannot run cargo: is Rust installed, and on PATH?")]
    Cargo(#[source] std::io::Error),
    /// The build failed, and cargo has printed the reason.
    #[error("`cargo build {0}` failed")]
    Failed(String),
    /// The build has no binary with this name.
    #[error("cargo built no binary `{0}`")]
    Missing(String),
}

/// Builds these binaries of lambda-otlp's workspace in the development profile, and returns their paths by name. Cargo
/// prints its progress to stderr.
///
/// Cargo compiles a dependency again for every other set of features. This build names no package, so it has the
/// features of all packages, like `cargo test`.
pub fn build(workspace: &Path, programs: &[&str]) -> Result<HashMap<String, PathBuf>, BuildError> {
    let arguments: Vec<&str> = programs.iter().flat_map(|program| ["--bin", program]).collect();
    build_with(workspace, &arguments)
}

/// Runs `cargo build` with these arguments in this folder.
pub fn build_with(
    folder: &Path,
    arguments: &[&str],
) -> Result<HashMap<String, PathBuf>, BuildError> {
    #[derive(Deserialize)]
    struct CargoMessage {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
    }

    let mut command = Command::new("cargo");
    command.current_dir(folder).args(["build", "--message-format=json-render-diagnostics"]);
    command.args(arguments);
    for name in variables_of_the_outer_cargo() {
        command.env_remove(name);
    }
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(BuildError::Cargo)?;
    if !output.status.success() {
        return Err(BuildError::Failed(arguments.join(" ")));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<CargoMessage>(line).ok());
    let binaries = messages.filter_map(|message| {
        let target = message
            .target
            .filter(|target| target.kind.iter().any(|kind| kind == "bin" || kind == "example"))?;
        Some((target.name, message.executable?))
    });
    Ok(binaries.collect())
}

/// The variables by which `cargo run` and `cargo test` describe a package. Build scripts that read them would run
/// again, and cargo would recompile their dependents.
#[expect(clippy::disallowed_methods, reason = "names for cargo's child, not settings of ours")]
fn variables_of_the_outer_cargo() -> impl Iterator<Item = OsString> {
    let of_a_package =
        ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    std::env::vars_os().map(|(name, _)| name).filter(move |name| {
        let name = name.to_string_lossy();
        of_a_package.iter().any(|prefix| name.starts_with(prefix))
    })
}

/// The file name of the layer's extension.
pub const EXTENSION: &str = "lambda-otlp-extension";

/// Makes a layer below this folder as Lambda mounts it at `/opt`, with this extension alone, and returns it.
pub fn layer(folder: &Path, extension: &Path) -> std::io::Result<PathBuf> {
    let layer = folder.join("layer");
    let extensions = layer.join("extensions");
    std::fs::create_dir_all(&extensions)?;
    let name = extension.file_name().unwrap_or(EXTENSION.as_ref());
    std::os::unix::fs::symlink(extension, extensions.join(name))?;
    Ok(layer)
}

/// Returns the binary with this name from the result of [`build`].
#[expect(clippy::implicit_hasher, reason = "the map is the one that `build` returns")]
pub fn find(binaries: &HashMap<String, PathBuf>, name: &str) -> Result<PathBuf, BuildError> {
    binaries.get(name).cloned().ok_or_else(|| BuildError::Missing(name.to_owned()))
}
