//! The extension in the local Lambda: what each state costs the function, and how soon the extension registers.
//!
//! `cargo bench -p lambda-otlp-bench --bench extension` prints both tables; `-- states [--pairs N] [STATE…]` and
//! `-- register [--runs N]` print one. The states are those of `extension/tests/simulated`; each is told with the layer and
//! without, in turns, with the minimal extension as it is deployed.

#![expect(clippy::print_stdout, reason = "the tables are what this program is for")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what goes wrong in the local Lambda ends the program"
)]

mod binaries;
#[path = "../../src/build.rs"]
#[expect(dead_code, reason = "no driver is built here")]
mod build;
mod figures;
#[path = "../../../extension/tests/simulated/function.rs"]
mod function;
mod register;
#[path = "../../../extension/tests/simulated/states.rs"]
mod states;
#[expect(dead_code, reason = "the tests look at more of a story than its figures")]
#[path = "../../../extension/tests/simulated/story.rs"]
mod story;
mod table;

use anyhow::{Context as _, bail};

/// What the stories need to know of the program that tells them.
mod setup {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    /// The argument that makes this program the function.
    pub(crate) const FUNCTION: &[&str] = &["the-function"];

    pub(crate) static EXTENSION: OnceLock<PathBuf> = OnceLock::new();

    /// The extension.
    pub(crate) fn extension() -> PathBuf {
        EXTENSION.get().cloned().unwrap_or_default()
    }
}

/// What is asked for at the command line.
struct Asked {
    states: bool,
    register: bool,
    pairs: usize,
    runs: usize,
    /// Parts of the names of the states to tell; all if there is none.
    names: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().map(String::as_str).eq(setup::FUNCTION.iter().copied()) {
        function::run_in_lambda();
        bail!("this is no Lambda");
    }
    let asked = asked(&arguments)?;
    let ours = binaries::ours()?;
    setup::EXTENSION.set(ours.clone()).ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if asked.states {
        runtime.block_on(table::print(asked.pairs, &asked.names))?;
    }
    if asked.register {
        let peer = binaries::peer()?;
        runtime.block_on(register::print(&ours, &peer, asked.runs))?;
    }
    Ok(())
}

fn asked(arguments: &[String]) -> anyhow::Result<Asked> {
    let mut asked = Asked { states: false, register: false, pairs: 9, runs: 25, names: Vec::new() };
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(argument) = arguments.next() {
        let mut number = || -> anyhow::Result<usize> {
            Ok(arguments.next().context("a number is missing")?.parse()?)
        };
        match argument {
            // Cargo adds it.
            "--bench" => {}
            "states" => asked.states = true,
            "register" => asked.register = true,
            "--pairs" => asked.pairs = number()?,
            "--runs" => asked.runs = number()?,
            other if other.starts_with('-') => bail!("unknown argument {other}"),
            name => asked.names.push(name.to_owned()),
        }
    }
    if !(asked.states || asked.register) {
        (asked.states, asked.register) = (true, true);
    }
    Ok(asked)
}
