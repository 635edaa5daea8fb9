//! `lambda-otlp tail`: shows the telemetry of OTLP lines as they come, from files, from standard input or from CloudWatch Logs: traces
//! as waterfalls with their log records, metrics, and between them the lines that are none.

mod cloudwatch;

use crate::aws::AwsArguments;
use crate::lines::{Line, next_line, open};
use crate::output::OutputArguments;
use crate::shown::Incoming;
use crate::time_arguments::TimeArgument;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};

/// Arguments of `lambda-otlp tail`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp tail --log-group '/aws/lambda/shop-*' --failed
  lambda-otlp tail --stack shop --since 10m --full-screen
  lambda-otlp tail shop.log
  cargo lambda watch 2>&1 | lambda-otlp tail -")]
pub(crate) struct Arguments {
    /// Files of lines; `-` is standard input, which is also read when no file is named.
    #[arg(conflicts_with = "log_groups")]
    files: Vec<String>,
    /// Follow this log group of CloudWatch Logs; `/aws/lambda/shop-*` for all that are called so. May be repeated.
    #[arg(long = "log-group", value_name = "PATTERN")]
    log_groups: Vec<String>,
    /// Follow the log groups of this CloudFormation stack's functions.
    #[arg(long, value_name = "NAME", conflicts_with = "files")]
    stack: Option<String>,
    /// From then on: 2026-09-21T14:13:20Z, or how long ago: 10m. CloudWatch Logs is then polled.
    #[arg(long, value_name = "TIME", value_parser = TimeArgument::parse)]
    since: Option<TimeArgument>,
    /// Ask CloudWatch Logs every two seconds (FilterLogEvents) instead of opening a Live Tail session, which AWS charges by the minute.
    #[arg(long)]
    poll: bool,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    aws: AwsArguments,
}

/// So many lines may wait to be shown.
pub(crate) const MOST_WAITING: usize = 64;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let incoming = if arguments.log_groups.is_empty() && arguments.stack.is_none() {
        read(&arguments.files)?
    } else {
        cloudwatch::follow(&cloudwatch::Asked {
            patterns: arguments.log_groups.clone(),
            stack: arguments.stack.clone(),
            since: arguments.since,
            poll: arguments.poll,
            aws: arguments.aws.clone(),
        })?
    };
    let is_fine = arguments.output.show(&incoming)?;
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads the files one after the other, on a thread, since standard input may have nothing for long.
fn read(files: &[String]) -> anyhow::Result<Receiver<Incoming>> {
    let standard_input = ["-".to_owned()];
    let files = if files.is_empty() { &standard_input } else { files };
    let inputs = files
        .iter()
        .map(|file| Ok((file.clone(), open(file)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (sender, lines) = sync_channel(MOST_WAITING);
    std::thread::spawn(move || {
        for (file, mut input) in inputs {
            loop {
                let line = match next_line(&mut input) {
                    Ok(Line::End) => break,
                    Ok(line) => Incoming::Line(line),
                    Err(error) => {
                        let error = anyhow::Error::from(error);
                        Incoming::Failed(error.context(format!("cannot read {file}")))
                    }
                };
                let has_failed = matches!(line, Incoming::Failed(_));
                if sender.send(line).is_err() {
                    return;
                }
                // A file that cannot be read keeps none of the others from being shown.
                if has_failed {
                    break;
                }
            }
        }
    });
    Ok(lines)
}
