//! `lambda-otlp replay`: sends a log group's history through the forwarder's pipeline.

mod plan;
mod run;

use crate::aws::{self, Aws, AwsArguments};
use crate::destination::{DestinationArguments, Overlay, read_config};
use crate::doctor::DeployedFunction;
use crate::forward::{one_destination, write_ledger};
use crate::progress::{ProgressLine, Tally};
use crate::terminal;
use anyhow::{bail, ensure};
use console::time_arguments::{self, TimeArgument};
use forwarder::{Config, IngestPolicy, OldRecords, RULES};
use plan::{Checkpoint, time_text};
use run::{Replay, ReplayResult, read_page};
use settings::{Env, Source as _};
use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp replay /aws/lambda/shop --from 2h --stack lambda-otlp --dry-run
  lambda-otlp replay /aws/lambda/shop --from 2026-11-20T08:00:00Z --to 2026-11-20T10:00:00Z --checkpoint shop.json --endpoint https://o2.example.com/api/default")]
pub(crate) struct ReplayArguments {
    /// The log group: `/aws/lambda/shop`.
    #[arg(value_name = "LOG_GROUP")]
    log_group: String,
    /// Start: `2026-09-21T14:13:20Z`, or an age such as `2h`.
    #[arg(long, value_name = "TIME", value_parser = TimeArgument::parse)]
    from: TimeArgument,
    /// End, in the same form.
    #[arg(long, value_name = "TIME", value_parser = TimeArgument::parse, default_value = "now")]
    to: TimeArgument,
    /// Use the backend, rules and other variables of this stack's forwarder, unless arguments or the shell set them.
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    #[command(flatten)]
    destination: DestinationArguments,
    /// File with the progress; the same command continues from there.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Forward at most this many log events per second.
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// Read everything and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Also send records older than the backend's ingest window.
    #[arg(long)]
    yes: bool,
    /// Print the fates of the items as one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    aws: AwsArguments,
}

pub(crate) fn run(arguments: &ReplayArguments) -> anyhow::Result<ExitCode> {
    terminal::block_on(replay(arguments))
}

async fn replay(arguments: &ReplayArguments) -> anyhow::Result<ExitCode> {
    let now = time_arguments::now_unix_nano();
    let from_ms = arguments.from.millis(now);
    let to_ms = arguments.to.millis(now);
    let new = Checkpoint::new(&arguments.log_group, from_ms, to_ms)?;
    let checkpoint = match &arguments.checkpoint {
        Some(path) => new.resume(path, [arguments.from, arguments.to])?,
        None => new,
    };
    let aws = Aws::load(&arguments.aws).await?;
    let mut config = read_config(&variables(arguments, &aws).await?)?;
    match (&config.rules, &arguments.stack) {
        (Some(rules), _) => eprintln!("rules: {rules}"),
        (None, Some(stack)) => eprintln!("rules: none, as in stack {stack}"),
        (None, None) => eprintln!(
            "rules: none; use --stack NAME for those of a stack, or set LAMBDA_OTLP_RULES to a file"
        ),
    }
    let policy = config.old_records.for_profile(config.destination.profile);
    check_age(arguments, &checkpoint, policy, now)?;
    if policy.old_records == OldRecords::DeadLetter {
        // The user has agreed to send old records, so they keep their own times.
        config.old_records = IngestPolicy::any_time();
    }
    let progress = ProgressLine::start("seconds of log");
    let replayed =
        forward_log(arguments, &aws, &config, checkpoint, now, progress.counts()).await?;
    drop(progress);
    report(arguments, &replayed)
}

/// Returns the variables of the arguments, the shell, and the stack's forwarder.
async fn variables(arguments: &ReplayArguments, aws: &Aws) -> anyhow::Result<Overlay> {
    arguments.destination.print_warnings();
    let mut variables = arguments.destination.variables(arguments.dry_run)?;
    if let Some(stack) = &arguments.stack {
        variables = variables.over(forwarder_variables(aws, stack).await?);
        // The credentials read the stack's secret and rules. A token of the shell may belong to others.
        variables = variables.with("AWS_SESSION_TOKEN", "");
        for (name, value) in aws.machine().credential_variables().await? {
            variables = variables.with(&name, value);
        }
    }
    // The telemetry's `cloud.region`.
    Ok(variables.with("AWS_REGION", aws.region()))
}

/// Returns the variables of the stack's forwarder.
async fn forwarder_variables(aws: &Aws, stack: &str) -> anyhow::Result<HashMap<String, String>> {
    let function = DeployedFunction::of(aws::forwarder_of(aws, stack).await?);
    if Env.get(RULES.name()).is_none()
        && let Some(file) = function.packaged_rules()
    {
        bail!(
            "the rules of stack {stack} are the file {file} of its package, which this machine does not have: name your copy, for example with {}={file}",
            RULES.name()
        );
    }
    Ok(function.settings())
}

/// Fails if the backend may reject records, unless the user has agreed to that.
fn check_age(
    arguments: &ReplayArguments,
    checkpoint: &Checkpoint,
    policy: IngestPolicy,
    now_unix_nano: u64,
) -> anyhow::Result<()> {
    let from_ms = u64::try_from(checkpoint.done_before_ms).unwrap_or_default();
    let oldest = Duration::from_millis((now_unix_nano / 1_000_000).saturating_sub(from_ms));
    let Some(exceeded) = policy.window.filter(|window| oldest > window.past) else {
        return Ok(());
    };
    let age = time_arguments::duration_text(oldest);
    let window = time_arguments::duration_text(exceeded.past);
    let consequence = match policy.old_records {
        OldRecords::DeadLetter => {
            "discards them unless ZO_INGEST_ALLOWED_UPTO allows them. They are sent with their own time; LAMBDA_OTLP_OLD_RECORDS=restamp sends them with the current time"
        }
        OldRecords::Restamp => "would discard them, so they are sent with the current time",
        OldRecords::Drop => "would discard them, so they are dropped here",
    };
    ensure!(
        arguments.yes || arguments.dry_run,
        "records are up to {age} old, and the backend's ingest window is {window} (LAMBDA_OTLP_INGEST_WINDOW): OpenObserve {consequence}; use --yes to continue"
    );
    Ok(())
}

/// Forwards the log from the checkpoint on, until its end or Ctrl-C.
async fn forward_log(
    arguments: &ReplayArguments,
    aws: &Aws,
    config: &Config,
    checkpoint: Checkpoint,
    observed_unix_nano: u64,
    progress: &Tally,
) -> anyhow::Result<ReplayResult> {
    let client = aws.logs()?;
    let name = &arguments.log_group;
    let groups = aws::log_groups(aws, &client, name).await?;
    let account = groups.into_iter().next().map(|group| group.account).unwrap_or_default();
    let replay = Replay {
        account,
        checkpoint_file: arguments.checkpoint.as_deref().filter(|_| !arguments.dry_run),
        rate: arguments.rate,
        observed_unix_nano,
        stop: Arc::default(),
        progress: progress.clone(),
    };
    let stop = Arc::clone(&replay.stop);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            eprintln!("\nstopping after this slice of time; press Ctrl-C again to stop at once");
            stop.store(true, Ordering::Relaxed);
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
    let forwarder = one_destination(config, arguments.dry_run).await?;
    let read_page = async |slice, next| read_page(&client, name, slice, next).await;
    replay.run(read_page, &forwarder, checkpoint).await
}

fn report(arguments: &ReplayArguments, replayed: &ReplayResult) -> anyhow::Result<ExitCode> {
    let ReplayResult { ledger, bytes, requests, checkpoint, is_complete } = replayed;
    let mut out = io::stdout().lock();
    terminal::ignore_broken_pipe(if arguments.json {
        let mut json: serde_json::Value = serde_json::from_str(&ledger.to_json())?;
        if let Some(object) = json.as_object_mut() {
            object.insert("dry_run".to_owned(), arguments.dry_run.into());
            object.insert("bytes_read".to_owned(), (*bytes).into());
            object.insert("requests".to_owned(), (*requests).into());
        }
        writeln!(out, "{}", console::screen::json(&json))
    } else {
        let written = write_ledger(ledger, arguments.dry_run, &mut out);
        written.and_then(|()| writeln!(out, "\n{bytes} bytes read, {requests} requests"))
    })?;
    let Checkpoint { log_group, from_ms, to_ms, done_before_ms, .. } = checkpoint;
    let [from, until] = [from_ms, done_before_ms].map(|millis| time_text(*millis));
    eprintln!("{log_group}: {} log events from {from} to {until}", ledger.events);
    if done_before_ms < to_ms {
        eprintln!("not finished; continue with --from {until}, or with the same --checkpoint");
    }
    Ok(if *is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
