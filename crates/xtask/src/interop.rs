//! Runs `tests/interop`: other projects' packages against our programs, and functions without OpenTelemetry code.

use crate::{checks, pypi};
use simulator::binaries;

/// The pins of Python's packages: the demo's, which the tests use too, and the peers'.
const PINS: [&str; 2] = ["demo/python/requirements.txt", "tests/interop/python/requirements.txt"];

pub(crate) fn run() -> anyhow::Result<()> {
    let root = checks::root()?;
    binaries::build(&root, &["lambda-otlp", "lambda-otlp-extension"])?;
    pypi::install_all(&root, "interop/python", &PINS)?.pytest(&root.join("tests/interop"))
}
