//! Runs other people's programs against ours: the peers' packages write lines that ours read, dev7a's forwarder reads our
//! lines, and OpenTelemetry's SDKs for Python and Node send to the extension.
//!
//! The scripts and their pinned versions are in `tests/interop/`; the packages go to the user's cache.

mod functions;
mod items;
mod lines;
pub(crate) mod packages;
mod xray;

use crate::checks::{self, Tally, output};
use crate::pypi::Environment;
use anyhow::Context as _;
use packages::Packages;
use simulator::binaries;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

struct Workshop {
    root: PathBuf,
    packages: Packages,
    /// `lambda-otlp`.
    cli: PathBuf,
    extension: PathBuf,
    demo_function: PathBuf,
    forwarder: PathBuf,
    scratch: TempDir,
}

pub(crate) fn run() -> anyhow::Result<()> {
    let root = checks::root()?;
    let packages = packages::install(&root)?;
    let ours = ["lambda-otlp", "lambda-otlp-extension", "demo-function", "lambda-otlp-forwarder"];
    let built = binaries::build(&root, &ours)?;
    let workshop = Workshop {
        cli: binaries::find(&built, "lambda-otlp")?,
        extension: binaries::find(&built, "lambda-otlp-extension")?,
        demo_function: binaries::find(&built, "demo-function")?,
        forwarder: binaries::find(&built, "lambda-otlp-forwarder")?,
        scratch: tempfile::tempdir().context("cannot make a temporary directory")?,
        root,
        packages,
    };
    let mut tally = Tally::default();
    lines::check(&workshop, &mut tally);
    functions::check(&workshop, &mut tally)?;
    tally.note("functions without OpenTelemetry code", unchanged(&workshop));
    xray::check(&workshop, &mut tally)?;
    tally.finish()
}

fn unchanged(workshop: &Workshop) -> anyhow::Result<String> {
    let environment = Environment { python: workshop.packages.python.clone() };
    environment.pytest(&workshop.root.join("tests/interop"))?;
    Ok("all tests of tests/interop".to_owned())
}

impl Workshop {
    fn made_file(&self, name: &str) -> PathBuf {
        let name: String = name
            .chars()
            .map(|character| if character.is_ascii_alphanumeric() { character } else { '-' })
            .collect();
        self.scratch.path().join(name)
    }

    /// The output of `lambda-otlp decode` for these lines. An undecodable line is an error.
    fn decode(&self, lines: &[u8]) -> anyhow::Result<Vec<u8>> {
        let file = self.scratch.path().join("lines.jsonl");
        std::fs::write(&file, lines).context("cannot write the lines")?;
        output(Command::new(&self.cli).arg("decode").arg(file)).map(|output| output.stdout)
    }
}
