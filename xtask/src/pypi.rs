//! Other people's programs from PyPI, each set in a virtual environment of its own in the user's cache.

use simulator::packages::{MIN_PYTHON, cache, find_python, python_environment};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A virtual environment.
pub(crate) struct Environment {
    /// Its interpreter.
    pub(crate) python: PathBuf,
}

/// Installs what the file pins into the cache's folder of this name; where that cannot be, says why.
pub(crate) fn install(root: &Path, name: &str, requirements: &str) -> Result<Environment, String> {
    let requirements = root.join(requirements);
    let Some(interpreter) = find_python() else {
        return Err(format!("there is no Python {MIN_PYTHON} on this machine"));
    };
    let installed = cache().map(|cache| cache.join(name)).and_then(|folder| {
        python_environment(&interpreter, &folder, std::slice::from_ref(&requirements))
    });
    match installed {
        Ok(python) => Ok(Environment { python }),
        Err(error) => Err(format!(
            "{} cannot be installed: {:#}",
            requirements.display(),
            anyhow::Error::from(error)
        )),
    }
}

impl Environment {
    /// Its interpreter with a script.
    pub(crate) fn script(&self, script: &Path) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(script).env("AWS_DEFAULT_REGION", "eu-west-1");
        command
    }
}
