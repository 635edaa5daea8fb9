//! The extension in the local Lambda: the function's cost in each state, and the extension's time to register.
//!
//! `cargo bench -p lambda-otlp-bench --bench extension` prints all tables; `-- states [--pairs N] [STATE…]`, `--
//! register [--runs N]`, `-- held [--environments N]` and `-- flood` print one. The states are those of
//! `tests/src/stories`, with the layer and without, in turns. The other tables compare the layer's extension with the
//! peer's.

#![expect(clippy::print_stdout, reason = "the program prints its tables")]
#![expect(clippy::indexing_slicing, reason = "a failure of the local Lambda ends the program")]

mod binaries;
mod flood;
mod held;
mod register;
mod side;
mod table;

use anyhow::{Context as _, bail};
use lambda_otlp_tests::stories::{Program, run_in_lambda};

const FUNCTION: &[&str] = &["the-function"];

#[expect(clippy::struct_excessive_bools, reason = "each table is wanted or not")]
struct Asked {
    states: bool,
    register: bool,
    held: bool,
    flood: bool,
    pairs: usize,
    runs: usize,
    environments: usize,
    /// Parts of the names of the states to tell; all if there is none.
    names: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().map(String::as_str).eq(FUNCTION.iter().copied()) {
        run_in_lambda();
        bail!("this is no Lambda");
    }
    let asked = asked(&arguments)?;
    let ours = binaries::ours()?;
    let program = Program { extension: ours.clone(), function: FUNCTION };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if asked.states {
        runtime.block_on(table::print(&program, asked.pairs, &asked.names))?;
    }
    if !(asked.register || asked.held || asked.flood) {
        return Ok(());
    }
    let peer = binaries::peer()?;
    if asked.register {
        runtime.block_on(register::print(&ours, &peer, asked.runs))?;
    }
    let sides = side::both(ours, peer);
    if asked.held {
        runtime.block_on(held::print(&sides, asked.environments))?;
    }
    if asked.flood {
        runtime.block_on(flood::print(&sides))?;
    }
    Ok(())
}

fn asked(arguments: &[String]) -> anyhow::Result<Asked> {
    let (states, register, held, flood) = (false, false, false, false);
    let (pairs, runs, environments, names) = (9, 25, 3, Vec::new());
    let mut asked = Asked { states, register, held, flood, pairs, runs, environments, names };
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
            "held" => asked.held = true,
            "flood" => asked.flood = true,
            "--environments" => asked.environments = number()?,
            "--pairs" => asked.pairs = number()?,
            "--runs" => asked.runs = number()?,
            other if other.starts_with('-') => bail!("unknown argument {other}"),
            name => asked.names.push(name.to_owned()),
        }
    }
    if !(asked.states || asked.register || asked.held || asked.flood) {
        (asked.states, asked.register, asked.held, asked.flood) = (true, true, true, true);
    }
    Ok(asked)
}
