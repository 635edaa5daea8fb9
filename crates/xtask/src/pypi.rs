//! Other people's programs from PyPI, each set in a virtual environment of its own in the user's cache.

use anyhow::{Context as _, ensure};
use simulator::packages::{MIN_PYTHON, cache, find_python, python_environment};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Environment {
    pub(crate) python: PathBuf,
}

/// Installs the packages of `crates/xtask/src/{name}/requirements.txt` into the cache's folder of this name.
pub(crate) fn install(root: &Path, name: &str) -> anyhow::Result<Environment> {
    let requirements = root.join("crates/xtask/src").join(name).join("requirements.txt");
    let folder = cache()?.join(name);
    let python = python_environment(&interpreter()?, &folder, std::slice::from_ref(&requirements));
    let python = python.with_context(|| requirements.display().to_string())?;
    Ok(Environment { python })
}

/// A Python that is new enough.
pub(crate) fn interpreter() -> anyhow::Result<PathBuf> {
    find_python().with_context(|| format!("Python {MIN_PYTHON} or later with venv is missing"))
}

impl Environment {
    /// Runs the tests of a folder.
    pub(crate) fn pytest(&self, tests: &Path) -> anyhow::Result<()> {
        let mut pytest = self.command("pytest")?;
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
