//! Maintenance commands: checks, generated files, and releases.
//!
//! Each command has a file or folder; `cargo xtask --help` lists them.
//!
//! - `ci` is the long form of the gate, `.ci/run`. `checks` has what several commands share.
//! - `docs` writes the tables of the documents (`calls`: that of AWS calls, `backends`: that of backends), and checks them.
//!   `links` is a part of `docs --check`.
//! - `dist` makes the release files: functions, layers (`python`, `node`), command line, crates, and their components and
//!   notices. `stack` and `moto` check `template.yaml`.
//! - `chaos` runs seeded schedules of faults over the whole path, `load` measures programs under load, with a file for each, and
//!   `hostile` counts instructions and memory of hostile content.
//! - `openobserve` runs the panels' queries and alerts on a real server, and compares what it stores with the model in
//!   test-support.
//! - `pytest` runs the tests that need other people's programs, which `pypi` installs. `serve` is HTTP for the checks.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

mod backends;
mod calls;
mod chaos;
mod checks;
mod ci;
mod dist;
mod docs;
/// The library's table of variables, which is no part of its interface.
#[path = "../../../exporter/src/variables.rs"]
mod exporter_variables;
mod hostile;
mod links;
mod load;
mod openobserve;
mod pypi;
mod pytest;
mod serve;
mod stack;

use checks::Length;
use dist::What;
use dist::crates::{self, Upload};
use std::process::ExitCode;

const HELP: &str = "\
Chores of the repository: cargo xtask COMMAND

ci [--long]          runs the gate; with --long all checks
docs                 writes the tables of variables into the documents
docs --check         checks these tables, links and file names

stack [--long]       checks template.yaml with cfn-lint and SAM; with --long also builds it
interop              runs other people's programs against ours
moto                 runs tests/moto: the stack, the deployed path and the command line on moto
openobserve --url URL --grpc HOST:PORT --user EMAIL --password PASSWORD
                     compares an OpenObserve's stored telemetry with the sent one
chaos [--seeds N | --seed N | --processes N | --processes-seed N]
                     runs the no-loss property with many fault schedules, or one, and shrinks failing ones
hostile [PART OF A NAME]...
                     counts the instructions of hostile content with valgrind, and its memory; with --release as in Lambda
load [--seconds N] | load --invocations N
                     measures forwarder and layer under sustained load, and checks that each item arrives once

dist                 builds all release files in target/dist
dist --release       the same, and fails if this machine cannot build all of them
dist --functions | --layer | --cli | --python-layer | --node-layer
                     only the zips of the stack's functions, the layer, the command line, or the layers of OpenTelemetry's
                     packages for Python or Node
dist --crates        packages the Rust library and its crates in target/package, and compiles them from there
dist --crates --publish
                     publishes them at crates.io, in the order of their dependencies
compare [REVISION]   compares the crates' public items with those of a revision or the last release (cargo-semver-checks)
";

const USAGE: u8 = 64;

fn main() -> ExitCode {
    let owned: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = owned.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["--help" | "-h" | "help"] => {
            print!("{HELP}");
            Ok(())
        }
        ["ci"] => ci::run(Length::Short),
        ["ci", "--long"] => ci::run(Length::Long),
        ["docs"] => docs::write(),
        ["docs", "--check"] => docs::check(),
        ["stack"] => stack::run(Length::Short),
        ["stack", "--long"] => stack::run(Length::Long),
        ["interop"] => pytest::interop(),
        ["moto"] => pytest::moto(),
        ["openobserve", rest @ ..] => openobserve::run(rest),
        ["chaos", rest @ ..] => chaos::run(rest),
        ["hostile", rest @ ..] => hostile::run(rest),
        ["load", rest @ ..] => load::run(rest),
        ["dist"] => dist::run(What::All),
        ["dist", "--release"] => dist::run(What::Release),
        ["dist", "--functions"] => dist::run(What::Functions),
        ["dist", "--layer"] => dist::run(What::Layer),
        ["dist", "--cli"] => dist::run(What::CommandLine),
        ["dist", "--python-layer"] => dist::run(What::PythonLayers),
        ["dist", "--crates"] => crates::publish(Upload::No),
        ["dist", "--crates", "--publish"] => crates::publish(Upload::Yes),
        ["compare"] => crates::compare(None),
        ["compare", baseline] => crates::compare(Some(baseline)),
        ["dist", "--node-layer"] => dist::run(What::NodeLayer),
        _ => {
            eprintln!(
                "xtask: unknown command {:?}; cargo xtask --help lists all",
                arguments.join(" ")
            );
            return ExitCode::from(USAGE);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
