//! `lambda-otlp tail`: shows the telemetry of files, standard input or CloudWatch Logs as it arrives.

mod cloudwatch;

use crate::aws::AwsArguments;
use crate::lines::{WritingFunction, lines, open_all};
use crate::progress::Tally;
use crate::shown::{Incoming, OutputArguments};
use anyhow::{Context as _, bail};
use console::time_arguments::TimeArgument;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp tail --log-group '/aws/lambda/shop-*' --failed
  lambda-otlp tail --stack shop --since 10m
  lambda-otlp tail shop.log
  cargo lambda watch 2>&1 | lambda-otlp tail -")]
pub(crate) struct TailArguments {
    /// Files of lines; `-` (the default) is standard input.
    #[arg(conflicts_with = "log_groups", default_value = "-", hide_default_value = true)]
    files: Vec<String>,
    /// Follow this log group, or all that match a pattern: `/aws/lambda/shop-*`. May be repeated.
    #[arg(long = "log-group", value_name = "PATTERN")]
    log_groups: Vec<String>,
    /// Follow the log groups of this CloudFormation stack's functions.
    #[arg(long, value_name = "NAME", conflicts_with = "files")]
    stack: Option<String>,
    /// Start: 2026-09-21T14:13:20Z, or an age such as 10m.
    #[arg(long, value_name = "TIME", value_parser = TimeArgument::parse)]
    since: Option<TimeArgument>,
    #[command(flatten)]
    writer: WritingFunction,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    aws: AwsArguments,
}

/// The maximum number of lines, or other inputs, that wait to be shown.
pub(crate) const MAX_WAITING: usize = 64;

pub(crate) fn run(arguments: &TailArguments) -> anyhow::Result<ExitCode> {
    let incoming = if arguments.log_groups.is_empty() && arguments.stack.is_none() {
        read(&arguments.files)?
    } else if arguments.writer != WritingFunction::default() {
        bail!("--function, --account and --log-stream are for files: a log group has them already");
    } else {
        cloudwatch::follow(arguments)?
    };
    let is_fine = arguments.output.show(&incoming, arguments.writer.clone())?;
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads the files one after the other, on a thread, because standard input may block.
fn read(files: &[String]) -> anyhow::Result<Receiver<Incoming>> {
    let inputs = open_all(files, &Tally::new())?;
    let (sender, incoming) = sync_channel(MAX_WAITING);
    std::thread::spawn(move || {
        for (file, input) in inputs {
            for line in lines(input) {
                let line = line.with_context(|| format!("cannot read {file}"));
                let has_failed = line.is_err();
                if sender.send(line.map_or_else(Incoming::Failed, Incoming::Line)).is_err() {
                    return;
                }
                // The other files are still shown.
                if has_failed {
                    break;
                }
            }
        }
    });
    Ok(incoming)
}
