//! `lambda-otlp`: runs functions locally, shows telemetry, checks deployments, and sends telemetry again.
//!
//! Each command has a module. They share `aws` (region and endpoints; `credentials` by AWS's SDK, whose connections `connector`
//! makes; `errors`; calls of services in `lambda`, `sqs`, `xml`, and in the crate `aws`), `destination`, `log_file` (reads a file
//! of log lines), `lines`, `log_events` (the forwarder's pipeline, which keeps the requests), `progress` and `terminal`.
//!
//! - `doctor` checks settings in its own file, and has a file for each other subject. `destinations` checks the backend and those
//!   of a rules file, `stack` the forwarder, where it begins the other checks: `pipeline` the stack's queues, their event source mappings and the functions that read them,
//!   `wiring` telemetry that is sent twice, `openobserve` the backend's side, `recent_errors` the forwarder's log. `deployment`
//!   has the stack's parameters and outputs, `answers` makes results of AWS's errors.
//! - `doctor/log_groups` reads filters of log groups and asks Lambda for their functions. `function` keeps what
//!   `GetFunctionConfiguration` states, `functions` judges it. Another question to AWS about a user's function begins in
//!   `log_groups`.
//! - `shown` prints for `tail` and `dev`. Its own file has the flags (`OutputArguments`), and holds telemetry briefly, so that
//!   related items appear together. `filter` selects traces and records, `views` writes text or JSON, `drawn` and `early`
//!   remember shown items that later telemetry completes. `tail/cloudwatch` follows log groups.
//! - `dev`: `command` prepares the function, `session` runs it, `watch` notices changes of its code, `function` invokes it,
//!   `output` turns its log into telemetry. `event_kinds` has AWS's events, `http` serves the function. With `--open`, `page`
//!   serves the page, which console's `page/script.js` draws from the messages of `live_page`.
//! - `instrument`: pure decisions (`plan`, `undo`), their record in tags (`record`), and Lambda's API (`account`).
//!   `configuration` reads what they depend on, `snippets` has the texts for templates and Dockerfiles, `run` applies them to
//!   several functions, `layers` finds the layers, `trust` checks those that tags name, `report` prints plan and result, `fleet`
//!   lists functions.
//! - `cost` estimates, and names the limits that apply. `account` reads an account's figures from CloudWatch, `month` makes the
//!   rows of a bill, `prices` has AWS's prices in us-east-1.
//! - `forward` sends event files through the forwarder's pipeline, `rules` shows the effect of a rules file, `decode` prints OTLP
//!   lines.
//! - `openobserve` creates, replaces and removes the files of `deploy/openobserve` through `api`. `shipped` lists them,
//!   `burn_rates` makes the alerts of objectives, `columns` declares the columns that panels ask for.
//! - `redrive`: its own file has the results of letters: dead letters, and the records of failed invocations. `store` reads
//!   letters. `dead_letter` has the options that choose them (`LetterFilters`), and makes messages of them.
//! - `replay`: `plan` has time slices and checkpoint, `run` the loop.
//! - `subscribe` uses the subscriber's crate. `destination` checks the forwarder first, `direct_mode` warns of functions in
//!   direct mode.

// First, because all other files use its macros.
#[macro_use]
mod terminal;

mod aws;
mod cost;
mod decode;
mod destination;
// The local Lambda needs processes of Linux.
#[cfg(target_os = "linux")]
mod dev;
mod doctor;
mod forward;
mod instrument;
mod lines;
mod log_events;
mod log_file;
mod openobserve;
mod progress;
mod redrive;
mod replay;
mod rules;
mod shown;
mod subscribe;
mod tail;

use clap::{CommandFactory as _, Parser, Subcommand};
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Shows, sends and checks OTLP telemetry of AWS Lambda functions that arrives through CloudWatch Logs.
#[derive(Parser)]
#[command(name = "lambda-otlp", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run your function in a local Lambda with the layer's extension, and show its telemetry.
    #[cfg(target_os = "linux")]
    Dev(Box<dev::DevArguments>),
    /// Print OTLP lines as OTLP/JSON, one request per line.
    Decode(decode::DecodeArguments),
    /// Show the telemetry of files, standard input or CloudWatch Logs as it arrives: traces as waterfalls, log records,
    /// metrics.
    Tail(Box<tail::TailArguments>),
    /// Send log files, or events of CloudWatch Logs, through the forwarder's pipeline.
    Forward(forward::ForwardArguments),
    /// Check a rules file, or show its effect on events.
    Rules(rules::RulesArguments),
    /// Send dead letters and events of the on-failure bucket to the retry queue.
    Redrive(Box<redrive::RedriveArguments>),
    /// Check the settings, the backend and a deployed stack.
    Doctor(Box<doctor::DoctorArguments>),
    /// Install and remove OpenObserve dashboards.
    Dashboards(Box<openobserve::DashboardsArguments>),
    /// Install and remove OpenObserve alerts.
    Alerts(Box<openobserve::AlertsArguments>),
    /// Install and remove OpenObserve service level objectives, and alerts on their burn rates.
    Slos(Box<openobserve::SlosArguments>),
    /// Subscribe a forwarder to log groups, like the stack's subscriber.
    Subscribe(subscribe::SubscribeArguments),
    /// Remove subscriptions that `subscribe` or the stack's subscriber made.
    Unsubscribe(subscribe::UnsubscribeArguments),
    /// Add the layers and the wrapper to functions.
    Instrument(Box<instrument::InstrumentArguments>),
    /// Undo `instrument`: restore the layers and variables of functions.
    Uninstrument(Box<instrument::UninstrumentArguments>),
    /// List functions with their layers, log format, subscription and newest telemetry.
    Fleet(Box<instrument::FleetArguments>),
    /// Send a log group's history through the forwarder's pipeline.
    Replay(Box<replay::ReplayArguments>),
    /// Estimate the monthly cost of telemetry, and name the limits that apply.
    Cost(cost::CostArguments),
    /// Print shell completions.
    Completions(CompletionsArguments),
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp completions bash > ~/.local/share/bash-completion/completions/lambda-otlp
  lambda-otlp completions zsh > ~/.zfunc/_lambda-otlp
  lambda-otlp completions fish > ~/.config/fish/completions/lambda-otlp.fish")]
struct CompletionsArguments {
    /// The shell
    shell: clap_complete::Shell,
}

/// The exit code of a command that could not run: `EX_USAGE` of `sysexits.h`.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // The reader of the help may be gone.
            let _printed = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let result = match arguments.command {
        #[cfg(target_os = "linux")]
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Decode(arguments) => decode::run(&arguments),
        Command::Tail(arguments) => tail::run(&arguments),
        Command::Forward(arguments) => forward::run(&arguments),
        Command::Rules(arguments) => rules::run(&arguments),
        Command::Redrive(arguments) => redrive::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Dashboards(arguments) => openobserve::dashboards(&arguments),
        Command::Alerts(arguments) => openobserve::alerts(&arguments),
        Command::Slos(arguments) => openobserve::slos(&arguments),
        Command::Subscribe(arguments) => subscribe::subscribe(&arguments),
        Command::Unsubscribe(arguments) => subscribe::unsubscribe(&arguments),
        Command::Instrument(arguments) => instrument::instrument(&arguments),
        Command::Uninstrument(arguments) => instrument::uninstrument(&arguments),
        Command::Fleet(arguments) => instrument::fleet(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Cost(arguments) => cost::run(&arguments),
        Command::Completions(arguments) => io::stdout()
            .write_all(&completions(arguments.shell))
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
    };
    match result {
        Ok(code) => code,
        Err(error) if terminal::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lambda-otlp: {error:#}");
            ExitCode::from(USAGE)
        }
    }
}

/// Returns the completions as bytes, because clap's generator panics if its output is closed.
fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "lambda-otlp", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    /// Splits a line as the shell does.
    fn words(line: &str) -> Vec<String> {
        let print = format!("printf '%s\\n' {line}");
        let printed = std::process::Command::new("sh").args(["-c", &print]).output().unwrap();
        String::from_utf8(printed.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_command_accepts_the_examples_in_its_help() {
        let mut command = super::Arguments::command();
        command.build();
        for subcommand in command.get_subcommands().filter(|it| it.get_name() != "help") {
            let name = subcommand.get_name();
            let help = subcommand.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = help
                .lines()
                .filter_map(|line| line.find("lambda-otlp ").and_then(|at| line.get(at..)))
                .filter_map(|line| line.split(['<', '>', '|', '&']).next())
                .collect();
            assert!(!examples.is_empty(), "{name} has no examples");
            for example in examples {
                let matches = super::Arguments::command()
                    .try_get_matches_from(words(example))
                    .unwrap_or_else(|error| panic!("{example}: {error}"));
                assert_eq!(matches.subcommand_name(), Some(name), "{example}");
            }
        }
    }

    #[test]
    fn completion_scripts_contain_commands_and_arguments() {
        use clap::ValueEnum as _;
        for shell in clap_complete::Shell::value_variants() {
            let script = String::from_utf8(super::completions(*shell)).unwrap();
            for word in ["unsubscribe", "telemetry-only"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
