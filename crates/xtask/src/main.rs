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
        "checks the dependencies between crates, and that no files of a crate use each other in a circle",
        layers::check,
    ),
    command("docs", "writes the tables of variables and signals into the documents", docs::write),
    command(
        "docs --check",
        "checks these tables, links, file names and quoted messages",
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
    command("library --long", "the same, and compiles it with the oldest supported Rust", || {
        library::run(Length::Long)
    }),
    command(
        "library --write",
        "writes the library's API to exporter/public-api.txt",
        library::write,
    ),
    command("stack", "checks the stack's template, its build and its permissions", || {
        stack::run(Length::Short)
    }),
    command("stack --long", "the same for the release profile and both architectures", || {
        stack::run(Length::Long)
    }),
    command(
        "stack --write",
        "generates the other templates, and the Terraform and CDK files, from deploy/stack/template.yaml",
        stack::write,
    ),
    command("modules", "checks the Terraform module and the CDK construct", modules::run),
    command("interop", "runs other people's programs against ours", interop::run),
    command("receiver", "sends event files into rotel and compares the counts", receiver::run),
    command("moto", "runs the deployed path on moto", moto::run),
    command("dist", "builds all release files in target/dist", || dist::run(What::All)),
    command(
        "dist --release",
        "the same, and fails if this machine cannot build all of them",
        || dist::run(What::Release),
    ),
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
    command("ci --long", "the same, with more cases and the release profile", || {
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
        does: "runs the no-loss property with many fault schedules, or one, and shrinks failing ones",
        run: chaos::run,
    },
    WithArguments {
        word: "load",
        usage: load::USAGE,
        does: "measures forwarder and layer under sustained load, and checks that each item arrives once",
        run: load::run,
    },
    WithArguments {
        word: "openobserve",
        usage: openobserve::USAGE,
        does: "compares a server's stored telemetry with the sent one; without --url, the simulator's server",
        run: openobserve::run,
    },
    WithArguments {
        word: "release",
        usage: dist::USAGE,
        does: "builds the release files of this commit in two folders and compares them; publishes nothing",
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
        eprintln!("xtask: unknown command {asked:?}; cargo xtask --help lists the commands");
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
