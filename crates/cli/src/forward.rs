//! `lambda-otlp forward`: sends event files and log lines through the forwarder's pipeline.

use crate::destination::{DestinationArguments, read_config};
use crate::progress::{ProgressLine, Tally};
use crate::{log_events, log_file, terminal};
use ::aws::{AwsSecrets, RequestSigner};
use anyhow::Context as _;
use backend::{Client, Outcome};
use console::quantity::plural;
use console::time_arguments::now_unix_nano;
use forwarder::{
    Config, Event, Export, Forwarder, IngestPolicy, InvocationContext, KeptIn, Ledger, OldRecords,
    Queues, Report, ReportedLine, read_rules, wall_clock_now,
};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::Request;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp forward event.json --dry-run
  lambda-otlp forward shop.log --endpoint https://o2.example.com/api/default --user me@example.com:PASSWORD
  aws logs tail /aws/lambda/shop | lambda-otlp forward - --log-group /aws/lambda/shop --dry-run")]
pub(crate) struct ForwardArguments {
    /// Files with log lines, also those of `aws logs tail`, or with an event `{"awslogs":{"data":"…"}}`; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The log group of log lines; by default, /aws/lambda/NAME for a file NAME.log.
    #[arg(long, value_name = "NAME")]
    log_group: Option<String>,
    #[command(flatten)]
    destination: DestinationArguments,
    /// Send logs and traces that are too old for the backend with the current time.
    #[arg(long)]
    shift_time: bool,
    /// Send nothing, and count the items that would be sent. Records that are too old for the backend count as not delivered.
    #[arg(long)]
    dry_run: bool,
    /// Print the fates of the items as one JSON object.
    #[arg(long)]
    json: bool,
}

/// The variable that the reason of records too old for the backend names.
const INGEST_WINDOW: &str = "LAMBDA_OTLP_INGEST_WINDOW";
/// Time limit for one event file: the longest invocation in Lambda.
const TIME_FOR_EVENT: Duration = Duration::from_mins(15);

pub(crate) fn run(arguments: &ForwardArguments) -> anyhow::Result<ExitCode> {
    arguments.destination.print_warnings();
    let source = arguments.destination.variables(arguments.dry_run)?;
    let mut config = read_config(&source)?;
    config.old_records = if arguments.shift_time {
        IngestPolicy { old_records: OldRecords::Restamp, ..config.old_records }
    } else if arguments.dry_run {
        // Shows which records the backend may reject.
        IngestPolicy { old_records: OldRecords::DeadLetter, ..config.old_records }
    } else {
        // The user wants the file's own times; the backend reports those that it rejects.
        IngestPolicy::any_time()
    };
    let now = now_unix_nano();
    let progress = ProgressLine::start("events");
    let ForwardResult { ledger, is_complete } = terminal::block_on(async {
        let forwarder = one_destination(&config, arguments.dry_run).await?;
        forward_all(arguments, &forwarder, now, progress.counts()).await
    })?;
    drop(progress);
    let mut out = io::stdout().lock();
    let printed = if arguments.json {
        writeln!(out, "{}", console::screen::json(&ledger.to_json()))
    } else {
        write_ledger(&ledger, arguments.dry_run, &mut out)
    };
    // The exit code tells whether everything arrived, even if the ledger cannot be printed.
    if let Err(error) = terminal::ignore_broken_pipe(printed) {
        eprintln!("lambda-otlp: cannot print the ledger: {error}");
    }
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The destination of the command line: the backend, or nothing in a dry run.
pub(crate) enum CliExporter {
    Backend(Box<Client>),
    DryRun,
}

impl Export for CliExporter {
    async fn export(&self, stream: Option<&str>, request: Request, deadline: Instant) -> Outcome {
        match self {
            Self::Backend(client) => client.export(stream, request, deadline).await,
            Self::DryRun => {
                Outcome { accepted: request.items(), requests_sent: 1, ..Outcome::default() }
            }
        }
    }
}

/// Returns a forwarder with its rules and the one destination of the command line. It has no retry queue: undelivered
/// telemetry counts as not delivered.
pub(crate) async fn one_destination(
    config: &Config,
    dry_run: bool,
) -> anyhow::Result<Forwarder<CliExporter>> {
    let aws = Arc::new(AwsSecrets::new(config.secrets.clone(), wall_clock_now));
    let exporter = if dry_run {
        CliExporter::DryRun
    } else {
        let lifetime = ::aws::SECRET_LIFETIME;
        let signer = Arc::new(RequestSigner::new(&config.secrets, wall_clock_now));
        let client = Client::authorized(&config.destination, &aws, lifetime)?;
        CliExporter::Backend(Box::new(client.signed_by(&signer)))
    };
    let destinations = vec![forwarder::default_destination(config, exporter)];
    let rules = read_rules(config, &aws).await.map_err(anyhow::Error::msg)?;
    if !rules.destinations().is_empty() {
        eprintln!("lambda-otlp: the rules' routes are ignored: everything goes to one endpoint");
    }
    let mut forwarder =
        Forwarder::new(destinations.clone(), Queues::default(), log_events::options(config));
    // Routes would send telemetry to the destinations of the deployed forwarder.
    forwarder.set_rules(rules, destinations);
    Ok(forwarder)
}

/// The fates of the items of all files.
struct ForwardResult {
    ledger: Ledger,
    /// `true` if every file could be read, and every item arrived.
    is_complete: bool,
}

async fn forward_all(
    arguments: &ForwardArguments,
    forwarder: &Forwarder<CliExporter>,
    observed_unix_nano: u64,
    progress: &Tally,
) -> anyhow::Result<ForwardResult> {
    let mut event_count = 0;
    let mut ledger = Ledger::default();
    let mut is_complete = true;
    let mut is_any_too_old = false;
    for path in &arguments.files {
        let events = match read(path, arguments.log_group.as_deref()) {
            Ok(events) => events,
            Err(error) if arguments.files.len() == 1 => return Err(error),
            Err(error) => {
                // The other files are still forwarded.
                eprintln!("{error:#}");
                is_complete = false;
                continue;
            }
        };
        if events.is_empty() {
            eprintln!("{}: has no log events", path.display());
        }
        event_count += events.len();
        progress.set_total(event_count);
        for event in events {
            let report = forwarder.forward(event, &invocation_at(observed_unix_nano)).await;
            print_problems(&path.display(), &report);
            is_any_too_old |=
                report.undelivered.iter().any(|part| part.reason.contains(INGEST_WINDOW));
            is_complete &= report.is_complete();
            ledger += report.ledgers.total;
            progress.add(1);
        }
    }
    if is_any_too_old && !arguments.shift_time {
        eprintln!("--shift-time sends logs and traces that are too old with the current time");
    }
    Ok(ForwardResult { ledger, is_complete })
}

/// The context of an invocation that begins now, and observes its events at this time.
pub(crate) fn invocation_at(observed_unix_nano: u64) -> InvocationContext {
    let deadline = Instant::now() + TIME_FOR_EVENT;
    InvocationContext { observed_unix_nano, deadline, queue_deadline: deadline, account: None }
}

pub(crate) fn print_problems(path: &dyn Display, report: &Report) {
    for problem in problems(report) {
        eprintln!("{path}: {problem}");
    }
}

pub(crate) fn problems(report: &Report) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(error) = &report.read_error {
        problems.push(format!("cannot read all of it: {error}"));
    }
    for ReportedLine { event_id, line } in &report.undecodable {
        problems.push(format!(
            "not decoded: event {event_id}: {} ({} bytes, SHA-256 {})",
            line.reason, line.bytes, line.sha256
        ));
    }
    problems.extend(undelivered_items(report));
    if report.dropped_points > 0 {
        let points = plural(report.dropped_points, "data point");
        problems.push(format!(
            "dropped: {points} without a finite value: the backend cannot store them"
        ));
    }
    if report.not_taken > 0 {
        let items = plural(report.not_taken, "item");
        problems.push(format!(
            "dropped: {items}: no destination takes their signal (LAMBDA_OTLP_SIGNALS)"
        ));
    }
    for warning in &report.warnings {
        problems.push(format!("warning: {warning}"));
    }
    if report.dropped_figures > 0 {
        problems.push(format!(
            "{} in log lines did not become data points: implausible or too many",
            plural(report.dropped_figures, "figure")
        ));
    }
    if report.panics > 0 {
        problems.push("not delivered: the conversion panicked; please report this".to_owned());
    }
    problems
}

/// Describes the undelivered items by fate and cause. If the backend is unreachable for all signals, the cause appears once.
fn undelivered_items(report: &Report) -> Vec<String> {
    let mut items_by_cause: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for part in &report.undelivered {
        let fate = if part.kept_in == KeptIn::LogGroup { "dropped" } else { "not delivered" };
        let item = part.signal.map_or("log event", |signal| signal.item());
        let cause = part.reason.strip_prefix("not sent: ").unwrap_or(&part.reason);
        items_by_cause.entry((fate, cause)).or_default().push(plural(part.items, item));
    }
    let describe = |((fate, cause), items): ((&str, &str), Vec<String>)| {
        format!("{fate}: {}: {cause}", items.join(", "))
    };
    items_by_cause.into_iter().map(describe).collect()
}

pub(crate) fn write_ledger(ledger: &Ledger, dry_run: bool, out: &mut dyn Write) -> io::Result<()> {
    let accepted = if dry_run { "would be accepted" } else { "accepted" };
    // The command line has no queues.
    let not_delivered = ledger.returned + ledger.parked + ledger.dead_lettered;
    let mut row = |name: &str, count: usize| writeln!(out, "{name:<22}{count:>10}");
    row("log events", ledger.events)?;
    row("  consumed", ledger.consumed.total())?;
    for (rule, events) in ledger.consumed.by_cause() {
        if events > 0 {
            row(&format!("    {}", rule.replace('_', " ")), events)?;
        }
    }
    row("items", ledger.items.total())?;
    row("  spans", ledger.items.spans)?;
    row("  data points", ledger.items.data_points)?;
    row("  log records", ledger.items.log_records)?;
    row("  undecodable lines", ledger.items.undecodable)?;
    row(accepted, ledger.accepted)?;
    row("dropped", ledger.dropped)?;
    row("not delivered", not_delivered)?;
    writeln!(out, "{:<22}{:>10}", "lost", ledger.lost())
}

const STANDARD_INPUT: &str = "-";

/// Reads an event, or log lines of this group, from a file or standard input.
pub(crate) fn read(path: &Path, log_group: Option<&str>) -> anyhow::Result<Vec<Event>> {
    let read = if path == STANDARD_INPUT {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = read.with_context(|| format!("cannot open {}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    if let Some(log_group) = log_group {
        return log_file::events(&text, log_group, now_unix_nano());
    }
    if log_file::has_log_lines(&text) {
        let log_group = log_file::log_group_of(path);
        eprintln!("{}: log lines of {log_group}; --log-group names another", path.display());
        return log_file::events(&text, &log_group, now_unix_nano());
    }
    let event: Event = serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "{} is neither an event of Lambda nor log lines; for log lines that begin with a brace, use --log-group",
            path.display()
        )
    })?;
    Ok(vec![event])
}
