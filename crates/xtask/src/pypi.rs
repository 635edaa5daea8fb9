//! Other people's programs from PyPI, each set in a virtual environment of its own in the user's cache.

use anyhow::{Context as _, ensure};
use local_lambda::packages::{MIN_PYTHON, cache, find_python, python_environment};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Environment {
    python: PathBuf,
}

/// Installs the packages of `crates/xtask/src/{name}/requirements.txt` into the cache's folder of this name.
pub(crate) fn install(root: &Path, name: &str) -> anyhow::Result<Environment> {
    install_all(root, name, &[&format!("crates/xtask/src/{name}/requirements.txt")])
}

/// Installs the packages of these files into this folder of the cache.
pub(crate) fn install_all(
    root: &Path,
    folder: &str,
    files: &[&str],
) -> anyhow::Result<Environment> {
    let interpreter = find_python()
        .with_context(|| format!("Python {MIN_PYTHON} or later with venv is missing"))?;
    let requirements: Vec<PathBuf> = files.iter().map(|file| root.join(file)).collect();
    let python = python_environment(&interpreter, &cache()?.join(folder), &requirements);
    Ok(Environment { python: python.with_context(|| files.join(", "))? })
}

impl Environment {
    /// Runs the tests of a folder.
    pub(crate) fn pytest(&self, tests: &Path) -> anyhow::Result<()> {
        self.pytest_with(tests, [])
    }

    /// Like [`Self::pytest`], with these variables.
    pub(crate) fn pytest_with<const N: usize>(
        &self,
        tests: &Path,
        variables: [(&str, &Path); N],
    ) -> anyhow::Result<()> {
        let mut pytest = self.command("pytest")?;
        pytest.envs(variables);
        pytest.args(["--quiet", "-p", "no:cacheprovider", "--show-capture=no"]).arg(tests);
        let status = pytest.status().context("cannot run pytest")?;
        ensure!(status.success(), "{}: {status}", tests.display());
        Ok(())
    }

    /// One of its programs, which finds the others on its path.
    #[expect(
        clippy::disallowed_methods,
        reason = "the search path for a child, no setting of ours"
    )]
    pub(crate) fn command(&self, program: &str) -> anyhow::Result<Command> {
        let programs = self.python.parent().context("an interpreter without a folder")?;
        let mut path = OsString::from(programs);
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        let mut command = Command::new(programs.join(program));
        // No home calls, no prompts for a region.
        command
            .env("PATH", path)
            .env("SAM_CLI_TELEMETRY", "0")
            .env("AWS_DEFAULT_REGION", "eu-west-1");
        Ok(command)
    }
}
