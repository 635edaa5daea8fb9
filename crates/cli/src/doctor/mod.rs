//! `lambda-otlp doctor`: checks settings, backend and a deployed stack.

mod answers;
mod deployment;
mod destinations;
mod function;
mod functions;
mod log_groups;
mod openobserve;
mod pipeline;
mod recent_errors;
mod stack;
mod wiring;

use crate::aws::{Aws, AwsArguments};
use crate::destination::DestinationArguments;
use crate::progress::{ProgressLine, Tally};
use crate::terminal;
use anstyle::{AnsiColor, Style};
use console::time_arguments;
use console::waterfall::draw::{BAD, GOOD};
use deployment::DeploymentArguments;
use forwarder::{Config, RULES};
use settings::{Check, Env, Remark, Source, Verdict};
use stack::StackCheck;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

pub(crate) use destinations::reach_of;
pub(crate) use function::{DeployedFunction, direct_mode_variable};
pub(crate) use wiring::permission as permission_to_invoke;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp doctor --canary --stack lambda-otlp --log-group /aws/lambda/shop
  lambda-otlp doctor --stack lambda-otlp --since 12h
  lambda-otlp doctor --endpoint https://o2.example.com/api/default --header 'authorization=Basic …'")]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    destination: DestinationArguments,
    /// Send a log record, a metric and a span, and read them back.
    #[arg(long)]
    canary: bool,
    /// Time limit of the canary.
    #[arg(long, value_name = "TIME", value_parser = time_arguments::parse_duration, default_value = "30s")]
    within: Duration,
    #[command(flatten)]
    deployment: DeploymentArguments,
    /// Print the checks as a JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    aws: AwsArguments,
}

pub(crate) fn run(arguments: &DoctorArguments) -> anyhow::Result<ExitCode> {
    arguments.destination.print_warnings();
    let variables = arguments.destination.variables(false)?;
    let progress = ProgressLine::start("checking");
    let Diagnosis { checks, has_begun } =
        terminal::block_on(async { Ok(diagnose(arguments, &variables, progress.counts()).await) })?;
    drop(progress);
    // anstream writes colours only to a terminal, and none if NO_COLOR is set.
    let mut out = anstream::stdout().lock();
    if arguments.json {
        let as_json = |check: &Check| {
            let Check { name, verdict, text } = check;
            serde_json::json!({ "name": name, "verdict": verdict.as_str(), "text": text })
        };
        let json = checks.iter().map(as_json).collect::<serde_json::Value>();
        writeln!(out, "{}", console::screen::json(&json))?;
    } else {
        for check in &checks {
            write(check, &mut out)?;
        }
    }
    Ok(if !has_begun {
        ExitCode::from(crate::USAGE)
    } else if checks.iter().any(Check::is_failed) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The result of a run.
struct Diagnosis {
    checks: Vec<Check>,
    /// `false` if there is no such stack or function, or it cannot be read, so that nothing was checked.
    has_begun: bool,
}

fn write(check: &Check, out: &mut dyn Write) -> io::Result<()> {
    let verdict = check.verdict.as_str();
    let style = match check.verdict {
        Verdict::Ok => GOOD,
        Verdict::Warning => AnsiColor::Yellow.on_default().bold(),
        Verdict::Failed => BAD,
        Verdict::Skipped => Style::new(),
    };
    let line = console::screen::on_one_line(&check.to_string());
    let text = line.strip_prefix(verdict).unwrap_or(&line);
    writeln!(out, "{style}{verdict}{style:#}{text}")
}

async fn diagnose(
    arguments: &DoctorArguments,
    variables: &dyn Source,
    progress: &Tally,
) -> Diagnosis {
    let deployment = &arguments.deployment;
    if !deployment.is_given() {
        let checks = destinations::check(arguments, variables, None).await;
        return Diagnosis { checks, has_begun: true };
    }
    let aws = match Aws::load(&arguments.aws).await {
        Ok(aws) => aws,
        Err(error) => {
            let checks = vec![Check::failed("function", error.to_string())];
            return Diagnosis { checks, has_begun: false };
        }
    };
    let found = stack::find(&aws, deployment).await;
    let mut checks = Vec::new();
    if arguments.destination.has_endpoint() {
        checks = destinations::check(arguments, variables, None).await;
    } else if let Ok(function) = &found
        && arguments.canary
    {
        // A function in a VPC may use a backend that this machine cannot reach, so only --canary checks it.
        let mut variables = function.settings();
        let mut packaged_rules = function.packaged_rules();
        if packaged_rules.is_some()
            && let Some(copy) = Env.get(RULES.name())
        {
            variables.insert(RULES.name().to_owned(), copy);
            packaged_rules = None;
        }
        checks = destinations::check(arguments, &variables, packaged_rules).await;
    }
    let is_backend_checked = !checks.is_empty();
    match found {
        Ok(function) => {
            let check = StackCheck {
                aws: &aws,
                aws_arguments: &arguments.aws,
                arguments: deployment,
                function: &function,
            };
            checks.extend(check.run(progress).await);
            if !is_backend_checked {
                checks.push(unchecked_backend(arguments));
            }
            Diagnosis { checks, has_begun: true }
        }
        Err(check) => {
            checks.push(check);
            Diagnosis { checks, has_begun: is_backend_checked }
        }
    }
}

/// Says that the backend was not checked, with the command that does it.
fn unchecked_backend(arguments: &DoctorArguments) -> Check {
    let deployment = arguments.deployment.flags();
    let aws_flags = arguments.aws.flags();
    let text = format!(
        "not checked: `lambda-otlp doctor --canary {deployment}{aws_flags}` stores a record of each signal in it"
    );
    Check { name: "backend", verdict: Verdict::Skipped, text }
}

pub(crate) struct CheckedSettings {
    pub(crate) checks: Vec<Check>,
    /// `None` after a failed check.
    pub(crate) config: Option<Config>,
}

pub(crate) fn settings(variables: &dyn Source) -> CheckedSettings {
    let (config, warnings) = Config::from_source(variables);
    let warning_check = |warning: &Remark| Check::warning("settings", warning.to_string());
    let mut checks: Vec<Check> = warnings.iter().map(warning_check).collect();
    match config {
        Ok(config) => {
            let valid = if checks.is_empty() { "all" } else { "the other" };
            checks.push(Check::ok("settings", format!("{valid} variables are valid")));
            CheckedSettings { checks, config: Some(config) }
        }
        Err(invalid) => {
            let mistakes = invalid.mistakes().iter();
            checks.extend(mistakes.map(|it| Check::failed("settings", it.to_string())));
            CheckedSettings { checks, config: None }
        }
    }
}

#[cfg(test)]
mod tests;
