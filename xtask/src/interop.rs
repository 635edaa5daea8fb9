//! Runs other people's programs against ours: the peers' packages write lines that ours read, dev7a's forwarder reads our
//! lines, and OpenTelemetry's SDKs for Python and Node send to the extension.
//!
//! The scripts and their pinned versions are in `interop/`; what they install goes to the user's cache.

mod functions;
mod items;
mod lines;
mod packages;

use anyhow::{Context as _, bail};
use packages::Packages;
use simulator::binaries;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// What all checks need.
struct Workshop {
    root: PathBuf,
    packages: Packages,
    /// `lambda-otlp`.
    cli: PathBuf,
    extension: PathBuf,
    demo_function: PathBuf,
    scratch: TempDir,
}

/// How the checks went.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

impl Tally {
    /// Prints what came of one check; a success says what was compared.
    fn note(&mut self, name: &str, result: anyhow::Result<String>) {
        match result {
            Ok(compared) => {
                self.passed += 1;
                println!("pass  {name}: {compared}");
            }
            Err(error) => {
                self.failed += 1;
                println!("FAIL  {name}: {error:#}");
            }
        }
    }
}

pub(crate) fn run() -> anyhow::Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let packages = packages::install(&root)?;
    let ours = ["lambda-otlp-cli", "lambda-otlp-extension", "lambda-otlp-demo"];
    let built = binaries::build(&root, &ours)?;
    let workshop = Workshop {
        cli: binaries::find(&built, "lambda-otlp")?,
        extension: binaries::find(&built, "lambda-otlp-extension")?,
        demo_function: binaries::find(&built, "demo-function")?,
        scratch: tempfile::tempdir().context("cannot make a temporary directory")?,
        root,
        packages,
    };
    let mut tally = Tally::default();
    lines::check(&workshop, &mut tally);
    functions::check(&workshop, &mut tally)?;
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed > 0 {
        bail!("{} of the checks failed", tally.failed);
    }
    Ok(())
}

impl Workshop {
    /// A fresh file for what a program notes as made.
    fn made_file(&self, name: &str) -> PathBuf {
        let name: String = name
            .chars()
            .map(|character| if character.is_ascii_alphanumeric() { character } else { '-' })
            .collect();
        self.scratch.path().join(name)
    }

    /// What `lambda-otlp decode` prints for these lines; that one did not decode is an error.
    fn decode(&self, lines: &[u8]) -> anyhow::Result<Vec<u8>> {
        let file = self.scratch.path().join("lines.jsonl");
        std::fs::write(&file, lines).context("cannot write the lines")?;
        output(Command::new(&self.cli).arg("decode").arg(file)).map(|output| output.stdout)
    }
}

/// Runs a program to its end; one that fails is an error with the end of what it said.
fn output(command: &mut Command) -> anyhow::Result<Output> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let start = said.len().saturating_sub(2000);
        let end = said.get(said.ceil_char_boundary(start)..).unwrap_or_default();
        bail!("{} ended with {}: {end}", program(command), output.status);
    }
    Ok(output)
}

fn program(command: &Command) -> String {
    Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned()
}
