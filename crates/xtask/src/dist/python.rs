//! Makes the layer of OpenTelemetry's packages for Python functions: one zip for each version of Python, since the bytecode of
//! another version would be of no use, and a function that starts would compile each module anew.
//!
//! The content of a zip depends on the pinned packages and the version of Python alone.

use super::components::Component;
use super::zip_file::{File, files_below, packed};
use super::{Made, What, loaded, skip};
use crate::checks::output;
use anyhow::{Context as _, bail};
use local_lambda::packages::{cache, install_once};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The versions that Lambda has runtimes for and OpenTelemetry supports: 3.10 to 3.14.
pub(super) const MINOR_VERSIONS: std::ops::RangeInclusive<u32> = 10..=14;
const REQUIREMENTS: &str = "extension/layer/python/requirements.txt";
/// Where the packages lie below `/opt`. The folder is not on the function's path (`lambda_otlp_packages.py`).
const FOLDER: &str = "lambda-otlp/python-packages";
/// Where the instrumentation lies below `/opt`.
const OWN_FOLDER: &str = "lambda-otlp/python";

const MAX_BYTES: usize = 4_500_000;

pub(super) fn layers(
    root: &Path,
    what: What,
    write: &mut dyn FnMut(Made) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let pythons: Vec<_> = MINOR_VERSIONS.filter_map(|minor| Some((minor, find(minor)?))).collect();
    let Some((_, any)) = pythons.first() else {
        bail!("there is no Python 3.10 to 3.14 with pip on this machine: install one, or pyenv");
    };
    let packages = packages(root, any)?;
    for minor in MINOR_VERSIONS {
        let Some((_, python)) = pythons.iter().find(|(found, _)| *found == minor) else {
            let layer = format!("the layer for python3.{minor}");
            skip(what, &layer, "it is not on this machine, or without pip")?;
            continue;
        };
        write(Made {
            name: format!("lambda-otlp-python3.{minor}-layer.zip"),
            bytes: zip(root, &packages, python)?,
            components: components(root)?,
            max_bytes: MAX_BYTES,
        })?;
    }
    Ok(())
}

fn components(root: &Path) -> anyhow::Result<Vec<Component>> {
    let requirements = std::fs::read_to_string(root.join(REQUIREMENTS))?;
    let pinned = requirements.lines().filter_map(|line| {
        let (name, pinned) = line.split_once("==")?;
        let version = pinned.split_whitespace().next()?.to_owned();
        Some(Component { kind: "pypi", name: name.to_owned(), version, licence: None })
    });
    Ok(pinned.collect())
}

/// The layer for the version of this interpreter.
pub(crate) fn zip(root: &Path, packages: &Path, python: &Path) -> anyhow::Result<Vec<u8>> {
    // Lambda mounts layers read-only and changes file times, so the bytecode is valid without a comparison with its
    // source.
    let packages = files_below(packages, is_used)?;
    let mut files = compiled(python, "unchecked-hash", FOLDER, packages)?;
    // The sources of the instrumentation are in the layer of the extension, which may be of another version.
    let loaded = loaded(root)?;
    let sources = loaded
        .iter()
        .filter_map(|file| Some((file, file.strip_prefix("python/")?)))
        .map(|(file, name)| File::read(name, &root.join("extension/layer").join(file)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let own = compiled(python, "checked-hash", OWN_FOLDER, sources)?;
    files.extend(own.into_iter().filter(|file| file.path.contains("/__pycache__/")));
    packed(&files)
}

/// The files with the bytecode of this interpreter, in this folder below `/opt`.
fn compiled(
    python: &Path,
    mode: &str,
    folder: &str,
    files: Vec<File>,
) -> anyhow::Result<Vec<File>> {
    let scratch = tempfile::tempdir()?;
    for File { path, bytes, .. } in files {
        let copy = scratch.path().join(path);
        std::fs::create_dir_all(copy.parent().context("a file without a folder")?)?;
        std::fs::write(copy, bytes)?;
    }
    let mut compile = Command::new(python);
    // Sets in the bytecode have the order of their hashes.
    compile.env("PYTHONHASHSEED", "0").args(["-m", "compileall", "-q"]);
    compile.args(["--invalidation-mode", mode, "-p", &format!("/opt/{folder}"), "-s"]);
    output(compile.arg(scratch.path()).arg(scratch.path()))?;
    let files = files_below(scratch.path(), is_used)?;
    Ok(files.into_iter().map(|file| file.below(folder)).collect())
}

pub(crate) fn packages(root: &Path, python: &Path) -> anyhow::Result<PathBuf> {
    let requirements = root.join(REQUIREMENTS);
    let folder = cache()?.join("layer/python");
    install_once(&folder, std::slice::from_ref(&requirements), || {
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--retries", "1", "--timeout", "10", "--no-deps", "--require-hashes"]);
        // Machine code would be for one architecture and one version.
        pip.args(["--only-binary=:all:", "--implementation", "py", "--abi", "none"]);
        pip.args(["--platform", "any", "--python-version", "3.10", "--no-compile", "--target"]);
        output(pip.arg(folder.join("packages")).arg("--requirement").arg(&requirements)).map(drop)
    })
    .with_context(|| format!("cannot install {REQUIREMENTS}"))?;
    Ok(folder.join("packages"))
}

/// Keeps licences. Leaves out files that only pip, editors and type checkers read.
fn is_used(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let of_tools = ["RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "py.typed"];
    let is_top = name == path;
    !of_tools.contains(&name)
        && Path::new(name).extension().is_none_or(|extension| extension != "pyi")
        && !(is_top && (name == "bin" || name.ends_with("-stubs")))
}

/// An interpreter of this version that has pip: by its usual name, else pyenv's.
fn find(minor: u32) -> Option<PathBuf> {
    let of_pyenv = || {
        let version = format!("3.{minor}");
        let output = Command::new("pyenv").args(["prefix", &version]).output().ok()?;
        let prefix = String::from_utf8(output.stdout).ok().filter(|prefix| !prefix.is_empty())?;
        Some(Path::new(prefix.trim()).join("bin/python3"))
    };
    let has_pip = |python: &PathBuf| {
        let asked = Command::new(python).args(["-m", "pip", "--version"]).output();
        asked.is_ok_and(|asked| asked.status.success())
    };
    let usual = PathBuf::from(format!("python3.{minor}"));
    [Some(usual), of_pyenv()].into_iter().flatten().find(has_pip)
}
