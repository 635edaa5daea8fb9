//! Creates the stack on moto, an independent stand-in for AWS, and runs `tests/moto`: the deployed path from PutLogEvents to rotel,
//! the services that the functions use, and the command line.

mod stack;

use crate::checks::{self, Tally};
use crate::pypi::{self, Environment};
use anyhow::{Context as _, ensure};
use simulator::binaries;
use std::path::PathBuf;

struct Workshop {
    root: PathBuf,
    environment: Environment,
}

pub(crate) fn run() -> anyhow::Result<()> {
    let root = checks::root()?;
    let environment = pypi::install(&root, "moto")?;
    let programs = ["lambda-otlp", "lambda-otlp-forwarder", "lambda-otlp-subscriber"];
    let built = binaries::build(&root, &programs)?;
    let programs = binaries::find(&built, "lambda-otlp")?;
    let workshop = Workshop { root, environment };
    let mut tally = Tally::default();
    stack::check(&workshop, &mut tally);
    tally.finish()?;
    let mut pytest = workshop.environment.command("pytest")?;
    pytest.args(["--quiet", "-p", "no:cacheprovider", "--show-capture=no"]);
    pytest.arg(workshop.root.join("tests/moto"));
    pytest.env("PROGRAMS", programs.parent().context("a program without a folder")?);
    let status = pytest.status().context("cannot run pytest")?;
    ensure!(status.success(), "tests/moto: {status}");
    Ok(())
}
