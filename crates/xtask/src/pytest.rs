//! Runs the tests in Python that need other people's programs.

use crate::{checks, dist, pypi};
use local_lambda::binaries;

/// Runs `tests/moto` on moto, an independent stand-in for AWS: the stack, the deployed path from PutLogEvents to rotel, the services
/// that the functions use, and the command line.
pub(crate) fn moto() -> anyhow::Result<()> {
    let root = checks::root()?;
    binaries::build(&root, &["lambda-otlp", "lambda-otlp-forwarder"])?;
    binaries::build_with(&root, &["--example", "subscriber-for-tests"])?;
    let templates = tempfile::tempdir()?;
    dist::template::write_complete(&root, templates.path())?;
    let variables = [("RELEASE_TEMPLATES", templates.path())];
    pypi::install(&root, "moto")?.pytest_with(&root.join("tests/moto"), variables)
}

/// Runs `tests/interop`: other projects' packages against our programs, and functions without OpenTelemetry code.
pub(crate) fn interop() -> anyhow::Result<()> {
    let root = checks::root()?;
    let of_others = ["lambda-otlp-forwarder", "demo-function", "endings-function"];
    binaries::build(&root, &[&["lambda-otlp", binaries::EXTENSION][..], &of_others].concat())?;
    // The pins of the demo, which the tests use too, and of the peers.
    let pins = ["demo/python/requirements.txt", "tests/interop/python/requirements.txt"];
    pypi::install_all(&root, "interop/python", &pins)?.pytest(&root.join("tests/interop"))
}
