//! Installs packages by name and pinned version into the user's cache, for tests and the demo that run them as functions.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// The oldest Python that [`find_python`] takes: packages that are run with it ask for this one.
pub const MIN_PYTHON: &str = "3.12";

/// The files of `extension/layer/node` from which npm makes the packages layer for Node.
pub const NODE_LAYER_PINS: [&str; 8] = [
    "package.json",
    "package-lock.json",
    "build.mjs",
    "bundle.mjs",
    "bundle_databases.mjs",
    "clock.mjs",
    "details.mjs",
    "exporter.mjs",
];

/// Bytes of a failed program's output that an error keeps.
const MAX_OUTPUT_BYTES: usize = 2000;

/// The reason for which packages are not installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The user has no cache.
    #[error("neither XDG_CACHE_HOME nor HOME is set: set one, packages are kept below it")]
    NoCache,
    /// The file that pins the versions, or the cache, cannot be read or written.
    #[error("cannot use {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// The installer did not start.
    #[error("cannot run {program}")]
    Start { program: String, source: std::io::Error },
    #[error("{program} ended with {status}: {output}")]
    Failed { program: String, status: ExitStatus, output: String },
}

/// The folder `lambda-otlp` in the user's cache.
#[expect(
    clippy::disallowed_methods,
    reason = "the folder of caches on this machine, no setting of ours"
)]
pub fn cache() -> Result<PathBuf, InstallError> {
    let chosen =
        std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let of_home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let caches = chosen.or_else(of_home).ok_or(InstallError::NoCache)?;
    Ok(caches.join("lambda-otlp"))
}

/// Installs into the folder, unless it already holds the versions that these files pin. Concurrent processes wait for
/// each other.
pub fn install_once<E: From<InstallError>>(
    folder: &Path,
    pins: &[PathBuf],
    install: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(in_file(parent))?;
    }
    let lock = folder.with_extension("lock");
    let held = File::create(&lock).map_err(in_file(&lock))?;
    held.lock().map_err(in_file(&lock))?;

    let mut wanted = Vec::new();
    for path in pins {
        wanted.extend(fs::read(path).map_err(in_file(path))?);
    }
    let installed = folder.join("installed");
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(in_file(folder))?;
    }
    install()?;
    Ok(fs::write(&installed, wanted).map_err(in_file(&installed))?)
}

/// The first Python that is new enough and can make virtual environments: of the usual names, then of pyenv's versions.
pub fn find_python() -> Option<PathBuf> {
    let names = ["python3", "python3.13", "python3.12", "python3.14"].map(PathBuf::from);
    let of_pyenv = ["3.13", "3.12", "3.14"].into_iter().filter_map(|version| {
        let answer = Command::new("pyenv").args(["prefix", version]).output().ok()?;
        let prefix = String::from_utf8(answer.stdout).ok().filter(|prefix| !prefix.is_empty())?;
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

/// The interpreter of a virtual environment in the folder, with the packages from PyPI that these files name.
pub fn python_environment(
    python: &Path,
    folder: &Path,
    requirements: &[PathBuf],
) -> Result<PathBuf, InstallError> {
    let interpreter = folder.join("bin/python");
    install_once(folder, requirements, || {
        run(Command::new(python).args(["-m", "venv"]).arg(folder))?;
        let mut pip = Command::new(&interpreter);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        // Most modules are never imported, and Python compiles the others then.
        pip.args(["--no-compile", "--retries", "1", "--timeout", "10"]);
        for file in requirements {
            pip.arg("--requirement").arg(file);
        }
        run(&mut pip)
    })?;
    Ok(interpreter)
}

pub fn is_at_least(version: &str, least: &str) -> bool {
    let numbers = |version: &str| {
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    numbers(version).is_some_and(|version| Some(version) >= numbers(least))
}

fn in_file(path: &Path) -> impl FnOnce(std::io::Error) -> InstallError {
    move |source| InstallError::File { path: path.to_owned(), source }
}

/// Runs an installer. The error has the end of its output.
pub fn run(command: &mut Command) -> Result<(), InstallError> {
    let path = Path::new(command.get_program());
    let program = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned();
    let output = match command.output() {
        Ok(output) => output,
        Err(source) => return Err(InstallError::Start { program, source }),
    };
    if output.status.success() {
        return Ok(());
    }
    let printed = String::from_utf8_lossy(&output.stderr);
    let start = printed.ceil_char_boundary(printed.len().saturating_sub(MAX_OUTPUT_BYTES));
    let end_of_output = printed.get(start..).unwrap_or_default().trim().to_owned();
    Err(InstallError::Failed { program, status: output.status, output: end_of_output })
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

    #[test]
    fn packages_are_installed_once_for_each_pin_set() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("packages");
        let pins = directory.path().join("pins");
        let check = |pinned: &str, fails: bool, installs: bool| {
            fs::write(&pins, pinned).unwrap();
            let mut installed = false;
            let result = install_once(&folder, std::slice::from_ref(&pins), || {
                installed = true;
                fs::create_dir(&folder).unwrap();
                if fails { Err(InstallError::NoCache) } else { Ok(()) }
            });
            assert_eq!((result.is_err(), installed), (fails, installs), "{pinned}");
        };
        check("a==1", true, true);
        check("a==1", false, true);
        check("a==1", false, false);
        check("a==2", false, true);
        check("a==2", false, false);
    }
}
