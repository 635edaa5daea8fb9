//! The files of a release, and the tools to make them.

use super::functions::TARGETS;
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
    missing.extend((!runs("readelf")).then(|| "readelf (install binutils)".to_owned()));
    missing.extend((!runs("npm")).then(|| "npm (install Node 20.6 or later)".to_owned()));
    missing.extend(find_python().is_none().then(|| format!("Python {MIN_PYTHON}")));
    missing.extend(python::missing().map(|minor| format!("python3.{minor} with pip")));
    let layers = ARCHITECTURES.iter().map(|architecture| architecture.target);
    let targets = TARGETS.iter().map(|target| target.triple).chain(layers);
    let targets = targets.filter(|target| !has_target(root, target));
    missing.extend(targets.map(|target| format!("Rust's library for {target} (install rustup)")));
    ensure!(
        missing.is_empty(),
        "cannot make the release files: this machine has no {}",
        missing.join(", no ")
    );
    Ok(())
}

/// Fails if `readelf` is missing. It inspects the binaries after minutes of compilation.
pub(super) fn has_readelf() -> anyhow::Result<()> {
    ensure!(runs("readelf"), "cannot run readelf, which inspects the binaries: install binutils");
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
    use super::super::{INSTALL, template};
    use super::*;
    use crate::checks::root;
    use std::collections::BTreeSet;

    fn read(file: &str) -> String {
        std::fs::read_to_string(root().unwrap().join(file)).unwrap()
    }

    #[test]
    fn the_release_page_names_exactly_the_released_zips() {
        let page = read("docs/release-files.md");
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let words = page.split(|c: char| !is_of_name(c));
        let named: BTreeSet<&str> = words
            .filter(|word| word.starts_with("lambda-otlp-"))
            .filter(|word| Path::new(word).extension().is_some_and(|extension| extension == "zip"))
            .collect();
        assert_eq!(named, BTreeSet::from(ZIPS));
        let templates = ARCHITECTURES.iter().map(template::name);
        for name in templates.chain([INSTALL.1.to_owned()]) {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn an_incomplete_release_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let is_complete = || is_complete(folder.path()).map_err(|error| error.to_string());
        for zip in ZIPS {
            assert!(is_complete().is_err());
            std::fs::write(folder.path().join(zip), "").unwrap();
            std::fs::write(folder.path().join(zip).with_extension("cdx.json"), "").unwrap();
        }
        assert_eq!(is_complete(), Ok(()));
        std::fs::remove_file(folder.path().join("lambda-otlp-python3.10-layer.cdx.json")).unwrap();
        let lacks = "the release is incomplete, it lacks lambda-otlp-python3.10-layer.cdx.json";
        assert_eq!(is_complete(), Err(lacks.to_owned()));
    }

    #[test]
    fn files_outside_of_packages_state_the_version() {
        let version = env!("CARGO_PKG_VERSION");
        for (file, stated) in [
            ("CHANGELOG.md", format!("\n## {version} ")),
            ("extension/layer/node/lines.cjs", format!("VERSION = \"{version}\"")),
        ] {
            assert!(read(file).contains(&stated), "{file}: {stated}");
        }
    }

    #[test]
    fn the_release_workflow_installs_every_python_version() {
        let workflow = read(".github/workflows/release.yml");
        assert!(workflow.contains("run: cargo xtask dist --release\n"), "{workflow}");
        let of_python = ZIPS.iter().filter_map(|zip| zip.strip_prefix("lambda-otlp-python"));
        for version in of_python.filter_map(|zip| zip.strip_suffix("-layer.zip")) {
            assert!(workflow.contains(&format!(" {version}\n")), "{version}: {workflow}");
        }
    }
}
