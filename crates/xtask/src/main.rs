//! Maintenance commands: checks, generated files, and releases. `cargo xtask --help` lists them.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

mod chaos;
mod checks;
mod ci;
mod clock;
mod dictionary;
mod dist;
mod docs;
mod interop;
mod layers;
mod library;
mod load;
mod modules;
mod moto;
mod openobserve;
mod pypi;
mod receiver;
mod rotel;
mod serve;
mod stack;

use checks::Length;
use dist::What;
use std::process::ExitCode;

/// A command, named by the words after `cargo xtask`.
struct Command {
    words: &'static str,
    does: &'static str,
    run: fn() -> anyhow::Result<()>,
}

const COMMANDS: [Command; 23] = [
    command(
        "layers",
        "checks which crate uses which, and that no files of one use each other in a circle",
        layers::check,
    ),
    command("docs", "writes the tables of variables and signals into the documents", docs::write),
    command(
        "docs --check",
        "checks these tables, links, names of files and quoted messages",
        docs::check,
    ),
    command(
        "dictionary",
        "trains the compact line's dictionary, and writes it to a new file beside the current one",
        dictionary::write,
    ),
    command("library", "checks the Rust library's API, its features and its packages", || {
        library::run(Length::Short)
    }),
    command("library --long", "the same, and that the oldest Rust it promises compiles it", || {
        library::run(Length::Long)
    }),
    command(
        "library --write",
        "writes the library's API to exporter/public-api.txt",
        library::write,
    ),
    command("stack", "checks the deployed stack's template, its build and what it grants", || {
        stack::run(Length::Short)
    }),
    command("stack --long", "the same of the release profile and both architectures", || {
        stack::run(Length::Long)
    }),
    command(
        "stack --write",
        "makes the other templates, Terraform's files and CDK's of deploy/stack/template.yaml",
        stack::write,
    ),
    command("modules", "checks what Terraform and CDK deploy the stack by", modules::run),
    command("interop", "runs other people's programs against ours", interop::run),
    command("receiver", "sends event files into rotel and compares the counts", receiver::run),
    command("moto", "runs the deployed path on moto", moto::run),
    command("dist", "makes all that is handed out, in target/dist", || dist::run(What::All)),
    command("dist --release", "the same, and fails if the machine cannot make all of it", || {
        dist::run(What::Release)
    }),
    command("dist --functions", "only the zips of the stack's functions", || {
        dist::run(What::Functions)
    }),
    command("dist --layer", "only the layer", || dist::run(What::Layer)),
    command("dist --cli", "only the command line", || dist::run(What::CommandLine)),
    command(
        "dist --python-layer",
        "only the layers of OpenTelemetry's packages for Python",
        || dist::run(What::PythonLayers),
    ),
    command("dist --node-layer", "only the layer of OpenTelemetry's packages for Node", || {
        dist::run(What::NodeLayer)
    }),
    command("ci", "runs the gate", || ci::run(Length::Short)),
    command("ci --long", "the same, with more cases and what is released", || {
        ci::run(Length::Long)
    }),
];

const fn command(
    words: &'static str,
    does: &'static str,
    run: fn() -> anyhow::Result<()>,
) -> Command {
    Command { words, does, run }
}

/// A command with arguments of its own.
struct WithArguments {
    word: &'static str,
    usage: &'static str,
    does: &'static str,
    run: fn(&[&str]) -> anyhow::Result<()>,
}

const WITH_ARGUMENTS: [WithArguments; 4] = [
    WithArguments {
        word: "chaos",
        usage: chaos::USAGE,
        does: "runs the no-loss property with many schedules of faults, or one, and shrinks what fails",
        run: chaos::run,
    },
    WithArguments {
        word: "load",
        usage: load::USAGE,
        does: "sustained load on forwarder and layer: throughput, memory, and whether each item arrives once",
        run: load::run,
    },
    WithArguments {
        word: "openobserve",
        usage: openobserve::USAGE,
        does: "compares all that a server stores with what was sent; without --url, the simulator's server",
        run: openobserve::run,
    },
    WithArguments {
        word: "release",
        usage: dist::USAGE,
        does: "makes the release files of this commit in two folders, compares them, and publishes nothing",
        run: dist::dry_run,
    },
];

const USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let asked = arguments.join(" ");
    match asked.as_str() {
        "--help" | "-h" | "help" => {
            print!("{}", help());
            return ExitCode::SUCCESS;
        }
        "" => {
            eprint!("{}", help());
            return ExitCode::from(USAGE);
        }
        _ => {}
    }
    if let Some((word, rest)) = arguments.split_first()
        && let Some(command) = WITH_ARGUMENTS.iter().find(|command| command.word == *word)
    {
        return exit((command.run)(rest));
    }
    let Some(command) = COMMANDS.iter().find(|command| command.words == asked) else {
        eprintln!("xtask: there is no {asked:?}; cargo xtask --help lists what there is");
        return ExitCode::from(USAGE);
    };
    exit((command.run)())
}

fn exit(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let commands = COMMANDS.iter().map(|command| (command.words, command.does));
    let others = WITH_ARGUMENTS.iter().map(|command| (command.usage, command.does));
    let width = COMMANDS.iter().map(|command| command.words.len()).max().unwrap_or_default();
    let lines = commands.chain(others);
    let lines = lines.map(|(usage, does)| format!("cargo xtask {usage:width$}  {does}\n"));
    ["Chores of the repository.\n\n".to_owned()].into_iter().chain(lines).collect()
}
