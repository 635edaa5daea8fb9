//! Checks of the repository: `layers` which crate uses which, and that no files of one crate use each other in a circle;
//! `docs` writes the tables of variables, and checks the documents' links; `library` the Rust library's API, features and packages; `interop` runs other people's programs against
//! ours, `receiver` and `moto` the whole path; `stack` checks the deployed stack's template and build, `modules` what other tools
//! deploy it by; `ci` runs the gate; `dist` makes what is handed out.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

mod checks;
mod ci;
mod dist;
mod docs;
mod interop;
mod layers;
mod library;
mod modules;
mod moto;
mod pypi;
mod receiver;
mod rotel;
mod stack;

use checks::Length;
use dist::What;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["layers"] => layers::check(),
        ["ci"] => ci::run(Length::Short),
        ["ci", "--long"] => ci::run(Length::Long),
        ["interop"] => interop::run(),
        ["receiver"] => receiver::run(),
        ["moto"] => moto::run(),
        ["modules"] => modules::run(),
        ["library"] => library::run(Length::Short),
        ["library", "--long"] => library::run(Length::Long),
        ["library", "--write"] => library::write(),
        ["stack"] => stack::run(Length::Short),
        ["stack", "--long"] => stack::run(Length::Long),
        ["stack", "--write"] => stack::write(),
        ["dist"] => dist::run(What::All),
        ["dist", "--functions"] => dist::run(What::Functions),
        ["dist", "--layer"] => dist::run(What::Layer),
        ["dist", "--cli"] => dist::run(What::CommandLine),
        ["dist", "--python-layer"] => dist::run(What::PythonLayers),
        ["dist", "--node-layer"] => dist::run(What::NodeLayer),
        ["docs"] => docs::write(),
        ["docs", "--check"] => docs::check(),
        _ => {
            eprintln!(
                "usage: cargo xtask layers | docs [--check] | library [--long|--write] | interop | receiver | moto | modules | stack [--long|--write] | ci [--long] | dist [--functions|--layer|--cli|--python-layer|--node-layer]"
            );
            return ExitCode::from(64);
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
