//! Runs `tests/moto` on moto, an independent stand-in for AWS: the stack, the deployed path from PutLogEvents to rotel, the services
//! that the functions use, and the command line.

use crate::{checks, pypi};
use simulator::binaries;

pub(crate) fn run() -> anyhow::Result<()> {
    let root = checks::root()?;
    binaries::build(&root, &["lambda-otlp", "lambda-otlp-forwarder", "lambda-otlp-subscriber"])?;
    pypi::install(&root, "moto")?.pytest(&root.join("tests/moto"))
}
