//! Installs the peers' packages by name and pinned version into the user's cache, and finds Python and Node.

use super::output;
use crate::pypi::interpreter;
use anyhow::{Context as _, bail, ensure};
use simulator::packages::{cache, install_once, is_at_least, python_environment};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

pub(super) struct Packages {
    /// The interpreter of the virtual environment.
    pub(super) python: PathBuf,
    /// The folder `node_modules`.
    pub(super) node: PathBuf,
    /// The program with the peers' crates.
    pub(super) rust: PathBuf,
}

const MIN_NODE: &str = "20.6";

/// The pins of Python's packages: the demo's, which the checks use too, and the peers'.
const PYTHON_PINS: [&str; 2] =
    ["demo/python/requirements.txt", "tests/interop/python/requirements.txt"];

pub(super) fn install(root: &Path) -> anyhow::Result<Packages> {
    let cache = cache()?.join("interop");
    // The registries are waited for while the crates compile.
    thread::scope(|scope| {
        let python = scope.spawn(|| python(root, &cache));
        let node = scope.spawn(|| node(root, &cache));
        let rust = rust(root, &cache);
        let joined = |_| anyhow::anyhow!("an installation panicked");
        Ok(Packages {
            python: python.join().map_err(joined)??,
            node: node.join().map_err(joined)??,
            rust: rust?,
        })
    })
}

fn rust(root: &Path, cache: &Path) -> anyhow::Result<PathBuf> {
    let target = cache.join("target");
    let mut build = Command::new("cargo");
    build.args(["build", "--quiet", "--locked"]).current_dir(root.join("tests/interop/rust"));
    output(build.arg("--target-dir").arg(&target)).context("the peers' crates")?;
    Ok(target.join("debug/lambda-otlp-interop"))
}

fn python(root: &Path, cache: &Path) -> anyhow::Result<PathBuf> {
    let requirements = PYTHON_PINS.map(|file| root.join(file));
    python_environment(&interpreter()?, &cache.join("python"), &requirements).context("PyPI")
}

fn node(root: &Path, cache: &Path) -> anyhow::Result<PathBuf> {
    ensure!(has_node(), "Node {MIN_NODE} or later is missing");
    node_modules(&root.join("tests/interop/node"), &cache.join("node"))
}

/// Returns `true` if there is a Node that is new enough.
fn has_node() -> bool {
    let asked = Command::new("node").arg("--version").output();
    let found = asked.ok().filter(|asked| asked.status.success());
    let version = found.map(|asked| String::from_utf8_lossy(&asked.stdout).into_owned());
    let new_enough =
        |version: &String| is_at_least(version.trim().trim_start_matches('v'), MIN_NODE);
    version.as_ref().is_some_and(new_enough)
}

/// Installs the packages of a folder's `package.json`.
fn node_modules(source: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let package = source.join("package.json");
    install_once(folder, std::slice::from_ref(&package), || {
        std::fs::create_dir_all(folder)?;
        std::fs::copy(&package, folder.join("package.json"))?;
        let npm = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"];
        output(Command::new("npm").args(npm).current_dir(folder)).context("npm").map(drop)
    })?;
    Ok(folder.join("node_modules"))
}

/// The interpreter of the unchanged function, in an environment without OpenTelemetry.
pub(super) fn unchanged_python(root: &Path, folder: &str) -> anyhow::Result<PathBuf> {
    let requirements = root.join("tests/interop/unchanged").join(folder).join("requirements.txt");
    let folder = cache()?.join(format!("interop/unchanged-{folder}"));
    python_environment(&interpreter()?, &folder, &[requirements]).context("PyPI")
}

/// The folder `node_modules` of the unchanged functions.
pub(super) fn unchanged_node(root: &Path) -> anyhow::Result<PathBuf> {
    let cache = cache()?.join("interop/unchanged-node");
    node_modules(&root.join("tests/interop/unchanged/node"), &cache)
}

pub(super) fn pinned(root: &Path, file: &str, package: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(root.join(file))?;
    let line = text.lines().find(|line| {
        let name = line.trim().trim_start_matches('"');
        name.strip_prefix(package).is_some_and(|rest| rest.starts_with(['=', '"', ' ']))
    });
    let Some(line) = line else { bail!("{file} does not name {package}") };
    let rest = line.trim().trim_start_matches('"').strip_prefix(package).unwrap_or_default();
    Ok(rest
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || *character == '.')
        .collect())
}
