//! Runs `tests/moto` on moto, an independent stand-in for AWS: the stack, the deployed path from PutLogEvents to rotel, the services
//! that the functions use, and the command line.

use crate::{checks, pypi};
use anyhow::{Context as _, ensure};
use simulator::binaries;

pub(crate) fn run() -> anyhow::Result<()> {
    let root = checks::root()?;
    let programs = ["lambda-otlp", "lambda-otlp-forwarder", "lambda-otlp-subscriber"];
    let built = binaries::build(&root, &programs)?;
    let programs = binaries::find(&built, "lambda-otlp")?;
    let mut pytest = pypi::install(&root, "moto")?.command("pytest")?;
    pytest.args(["--quiet", "-p", "no:cacheprovider", "--show-capture=no"]);
    pytest.arg(root.join("tests/moto"));
    pytest.env("PROGRAMS", programs.parent().context("a program without a folder")?);
    let status = pytest.status().context("cannot run pytest")?;
    ensure!(status.success(), "tests/moto: {status}");
    Ok(())
}
