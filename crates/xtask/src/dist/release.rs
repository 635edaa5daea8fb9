//! The files of a release, and the tools to make them.

use super::{ARCHITECTURES, python};
use crate::checks::has_target;
use anyhow::ensure;
use local_lambda::packages::{MIN_PYTHON, find_python};
use std::path::Path;
use std::process::Command;

/// The zips of a release; a list of components lies beside each.
const ZIPS: [&str; 14] = [
    "lambda-otlp-cli-linux-arm64.zip",
    "lambda-otlp-cli-linux-x86_64.zip",
    "lambda-otlp-forwarder-arm64.zip",
    "lambda-otlp-forwarder-x86_64.zip",
    "lambda-otlp-layer-arm64.zip",
    "lambda-otlp-layer-x86_64.zip",
    "lambda-otlp-node-layer.zip",
    "lambda-otlp-python3.10-layer.zip",
    "lambda-otlp-python3.11-layer.zip",
    "lambda-otlp-python3.12-layer.zip",
    "lambda-otlp-python3.13-layer.zip",
    "lambda-otlp-python3.14-layer.zip",
    "lambda-otlp-subscriber-arm64.zip",
    "lambda-otlp-subscriber-x86_64.zip",
];

/// Fails before anything is built if this machine cannot make every file.
pub(super) fn can_be_made(root: &Path) -> anyhow::Result<()> {
    let mut missing: Vec<String> = Vec::new();
    missing.extend((!runs("npm")).then(|| "npm (install Node 20.6 or later)".to_owned()));
    missing.extend(find_python().is_none().then(|| format!("Python {MIN_PYTHON}")));
    missing.extend(python::missing().map(|minor| format!("python3.{minor} with pip")));
    let targets =
        ARCHITECTURES.iter().flat_map(|architecture| [architecture.gnu, architecture.musl]);
    let targets = targets.filter(|target| !has_target(root, target));
    missing.extend(targets.map(|target| format!("Rust's library for {target} (install rustup)")));
    ensure!(
        missing.is_empty(),
        "cannot make the release files: this machine has no {}",
        missing.join(", no ")
    );
    Ok(())
}

fn runs(program: &str) -> bool {
    let run = Command::new(program).arg("--version").output();
    run.is_ok_and(|run| run.status.success())
}

/// Fails if a file of the release is missing.
pub(super) fn is_complete(folder: &Path) -> anyhow::Result<()> {
    let zips = ZIPS.iter().map(Path::new);
    let files = zips.flat_map(|zip| [zip.to_owned(), zip.with_extension("cdx.json")]);
    let missing = files.filter(|file| !folder.join(file).is_file());
    let missing: Vec<String> = missing.map(|file| file.display().to_string()).collect();
    ensure!(missing.is_empty(), "the release is incomplete, it lacks {}", missing.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::checks::root;

    #[test]
    fn files_outside_of_packages_state_the_version() {
        let version = env!("CARGO_PKG_VERSION");
        for (file, stated) in [
            ("CHANGELOG.md", format!("\n## {version} ")),
            ("extension/layer/node/lines.cjs", format!("VERSION = \"{version}\"")),
        ] {
            let text = std::fs::read_to_string(root().unwrap().join(file)).unwrap();
            assert!(text.contains(&stated), "{file}: {stated}");
        }
    }
}
