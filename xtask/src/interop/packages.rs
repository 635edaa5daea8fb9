//! Installs the peers' packages by name and pinned version into the user's cache, and finds Python and Node.

use super::output;
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// What is installed.
pub(super) struct Packages {
    /// The interpreter of the virtual environment; none where no Python is new enough.
    pub(super) python: Option<PathBuf>,
    /// The folder `node_modules`; none where there is no Node.
    pub(super) node: Option<PathBuf>,
    /// The program over the peers' crates.
    pub(super) rust: PathBuf,
}

/// The peers' packages ask for it.
const MIN_PYTHON: &str = "3.12";
const MIN_NODE: &str = "20.6";

pub(super) fn install(root: &Path) -> anyhow::Result<Packages> {
    let cache = cache()?;
    std::fs::create_dir_all(&cache).context("cannot make the cache")?;
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

#[expect(
    clippy::disallowed_methods,
    reason = "the caches' place on this machine, no setting of ours"
)]
fn cache() -> anyhow::Result<PathBuf> {
    let base =
        std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = base.or_else(home).context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(base.join("lambda-otlp/interop"))
}

fn rust(root: &Path, cache: &Path) -> anyhow::Result<PathBuf> {
    let target = cache.join("target");
    let mut build = Command::new("cargo");
    build.args(["build", "--quiet", "--locked"]).current_dir(root.join("interop/rust"));
    output(build.arg("--target-dir").arg(&target)).context("the peers' crates")?;
    Ok(target.join("debug/lambda-otlp-interop"))
}

fn python(root: &Path, cache: &Path) -> anyhow::Result<Option<PathBuf>> {
    let Some(interpreter) = find_python() else { return Ok(None) };
    let requirements = root.join("interop/python/requirements.txt");
    let folder = cache.join("python");
    let python = folder.join("bin/python");
    install_once(&folder, &requirements, || {
        output(Command::new(&interpreter).args(["-m", "venv"]).arg(&folder))?;
        let pip =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        output(Command::new(&python).args(pip).arg(&requirements)).context("PyPI").map(drop)
    })?;
    Ok(Some(python))
}

fn node(root: &Path, cache: &Path) -> anyhow::Result<Option<PathBuf>> {
    let asked = Command::new("node").arg("--version").output();
    let found = asked.ok().filter(|asked| asked.status.success());
    let version = found.map(|asked| String::from_utf8_lossy(&asked.stdout).into_owned());
    let new_enough =
        |version: &String| is_at_least(version.trim().trim_start_matches('v'), MIN_NODE);
    if !version.as_ref().is_some_and(new_enough) {
        return Ok(None);
    }
    let package = root.join("interop/node/package.json");
    let folder = cache.join("node");
    install_once(&folder, &package, || {
        std::fs::create_dir_all(&folder)?;
        std::fs::copy(&package, folder.join("package.json"))?;
        let npm = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"];
        output(Command::new("npm").args(npm).current_dir(&folder)).context("npm").map(drop)
    })?;
    Ok(Some(folder.join("node_modules")))
}

/// Installs into the folder, unless it holds what this file of pinned versions names already.
fn install_once(
    folder: &Path,
    pins: &Path,
    install: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let installed = folder.join("installed");
    let pins = std::fs::read(pins).with_context(|| format!("cannot read {}", pins.display()))?;
    if std::fs::read(&installed).is_ok_and(|installed| installed == pins) {
        return Ok(());
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder).context("cannot empty the cache")?;
    }
    install()?;
    std::fs::write(&installed, pins).context("cannot write into the cache")
}

/// The first interpreter that is new enough: of the usual names, then of pyenv's versions.
fn find_python() -> Option<PathBuf> {
    let names = ["python3", "python3.13", "python3.12", "python3.14"].map(PathBuf::from);
    let of_pyenv = ["3.13", "3.12", "3.14"].into_iter().filter_map(|version| {
        let prefix = Command::new("pyenv").args(["prefix", version]).output().ok()?;
        let prefix = String::from_utf8(prefix.stdout).ok().filter(|prefix| !prefix.is_empty())?;
        Some(Path::new(prefix.trim()).join("bin/python3"))
    });
    names.into_iter().chain(of_pyenv).find(|python| {
        let ask = "import ensurepip, platform; print(platform.python_version())";
        let answer = Command::new(python).args(["-c", ask]).output();
        answer.is_ok_and(|answer| {
            let version = String::from_utf8_lossy(&answer.stdout);
            answer.status.success() && is_at_least(version.trim(), MIN_PYTHON)
        })
    })
}

/// Compares the first two numbers of versions.
fn is_at_least(version: &str, least: &str) -> bool {
    let numbers = |version: &str| {
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    numbers(version).is_some_and(|version| Some(version) >= numbers(least))
}

impl Packages {
    /// The virtual environment's interpreter, for a script beside which there are modules of ours.
    pub(super) fn python(&self) -> Result<&Path, String> {
        let needed = || format!("skipped: there is no Python {MIN_PYTHON} on this machine");
        self.python.as_deref().ok_or_else(needed)
    }

    /// The folder `node_modules`.
    pub(super) fn node(&self) -> Result<&Path, String> {
        let needed = || format!("skipped: there is no Node {MIN_NODE} on this machine");
        self.node.as_deref().ok_or_else(needed)
    }
}

/// The pinned version of a package, from the file that pins it.
pub(super) fn pinned(root: &Path, file: &str, package: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(root.join("interop").join(file))?;
    let line = text.lines().find(|line| {
        let name = line.trim().trim_start_matches('"');
        name.strip_prefix(package).is_some_and(|rest| rest.starts_with(['=', '"', ' ']))
    });
    let Some(line) = line else { bail!("{file} does not name {package}") };
    let rest = line.trim().trim_start_matches('"').strip_prefix(package).unwrap_or_default();
    Ok(rest.chars().filter(|character| character.is_ascii_digit() || *character == '.').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let check = |version, least, expected| {
            assert_eq!(is_at_least(version, least), expected, "{version}");
        };
        check("3.13.0", "3.12", true);
        check("3.12", "3.12", true);
        check("3.9.18", "3.12", false);
        check("20.20.2", "20.6", true);
        check("18.19.0", "20.6", false);
        check("", "3.12", false);
        check("pyenv: not found", "3.12", false);
    }
}
