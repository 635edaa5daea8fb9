//! `lambda-otlp forward`: Lambda event files through the forwarder's own pipeline.

use anyhow::{Context as _, bail};
use forwarder::config::Config;
use forwarder::forward::{Forwarder, Invocation, Options};
use forwarder::ledger::Ledger;
use forwarder::outlet::{DryRun, Export, Outlet};
use forwarder::placing::{Kept, NoQueue, Queues};
use forwarder::report::Report;
use forwarder::shift::TimeShift;
use forwarder::source::{Event, SourceLimits};
use settings::{Env, Source};
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Arguments of `lambda-otlp forward`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Lambda event files: `{"awslogs":{"data":"…"}}`.
    #[arg(required = true, value_name = "EVENT.json")]
    events: Vec<PathBuf>,
    /// Base of the OTLP endpoint, with `/api/{org}` for OpenObserve; else the forwarder's variables.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Header of every request; may be repeated.
    #[arg(long = "header", value_name = "K=V")]
    headers: Vec<String>,
    /// OpenObserve stream of logs and traces.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Move all times so that the newest log event happens now.
    #[arg(long)]
    shift_time: bool,
    /// Send nothing; count what would be accepted.
    #[arg(long)]
    dry_run: bool,
    /// Print the ledger as one JSON object.
    #[arg(long)]
    json: bool,
}

/// One event file may take as long as an invocation of Lambda takes at most.
const TIME_FOR_EVENT: Duration = Duration::from_mins(15);

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let source = Overlay::of(arguments)?;
    let (config, warnings) = Config::from_source(&source);
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    let config = config?;
    let mut options = forwarder::options(&config);
    // The events come from files, none of them from this process's own log group.
    options.own_log_groups.clear();
    options.most_details = usize::MAX;
    let now = now_unix_nano();
    if arguments.shift_time {
        let newest = arguments.events.iter().filter_map(|path| newest_event(path).ok().flatten());
        let newest = newest.max().unwrap_or(now);
        options.convert.time_shift = TimeShift::between(newest, now);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ledger, complete) = runtime.block_on(async {
        if arguments.dry_run {
            let outlet = forwarder::default_outlet(&config, DryRun);
            forward_all(arguments, outlet, options, now).await
        } else {
            let client = backend::Client::new(&config.destination)?;
            let outlet = forwarder::default_outlet(&config, client);
            forward_all(arguments, outlet, options, now).await
        }
    })?;
    let mut out = io::stdout().lock();
    let printed = if arguments.json {
        writeln!(out, "{}", ledger.to_json())
    } else {
        write_ledger(&ledger, arguments.dry_run, &mut out)
    };
    // Whether everything arrived does not depend on who reads the ledger.
    if let Err(error) = printed {
        eprintln!("lambda-otlp: cannot print the ledger: {error}");
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn forward_all<E: Export>(
    arguments: &Arguments,
    outlet: Outlet<E>,
    options: Options,
    observed_unix_nano: u64,
) -> anyhow::Result<(Ledger, bool)> {
    // There is nobody to deliver again later: what is not taken is said to be returned.
    let forwarder = Forwarder::new(vec![outlet], Queues::<NoQueue>::default(), options);
    let mut ledger = Ledger::default();
    let mut complete = true;
    for path in &arguments.events {
        let incoming = match read(path) {
            Ok(incoming) => incoming,
            Err(error) => {
                // The files beside it are not its fault.
                eprintln!("{error:#}");
                complete = false;
                continue;
            }
        };
        let deadline = Instant::now() + TIME_FOR_EVENT;
        let invocation =
            Invocation { observed_unix_nano, deadline, queue_deadline: deadline, account: None };
        let report = forwarder.forward(incoming, &invocation).await;
        explain(path, &report);
        complete &= report.is_complete();
        ledger += report.account.total;
    }
    Ok((ledger, complete))
}

/// Says on stderr what did not arrive, and why.
fn explain(path: &Path, report: &Report) {
    let path = path.display();
    if let Some(error) = &report.unread {
        eprintln!("{path}: not read, or not to its end: {error}");
    }
    for (event_id, line) in &report.undecodable {
        eprintln!(
            "{path}: dead-lettered: event {event_id}: {} ({} bytes, SHA-256 {})",
            line.reason, line.bytes, line.sha256
        );
    }
    for part in report.undelivered.iter().filter(|part| part.kept != Kept::LogGroup) {
        let what = part.kind.map_or_else(
            || plural(part.items, "log event"),
            |kind| format!("{} of {kind}", plural(part.items, kind.item())),
        );
        eprintln!("{path}: returned: {what}: {}", part.reason);
    }
    for (reason, items) in &report.dropped {
        eprintln!("{path}: dropped: {}: {reason}", plural(*items, "item"));
    }
    for warning in &report.warnings {
        eprintln!("{path}: warning of the backend: {warning}");
    }
    if report.implausible_figures > 0 {
        eprintln!(
            "{path}: {} in report lines are implausible",
            plural(report.implausible_figures, "figure")
        );
    }
    if report.panics > 0 {
        eprintln!("{path}: returned: converting panicked; please report this");
    }
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn write_ledger(ledger: &Ledger, dry_run: bool, out: &mut dyn Write) -> io::Result<()> {
    let accepted = if dry_run { "would be accepted" } else { "accepted" };
    let rows = [
        ("log events", ledger.events),
        ("  consumed", ledger.consumed),
        ("items", ledger.items.total()),
        ("  spans", ledger.items.spans),
        ("  data points", ledger.items.data_points),
        ("  log records", ledger.items.log_records),
        ("  undecodable lines", ledger.items.undecodable),
        (accepted, ledger.accepted),
        ("parked", ledger.parked),
        ("dead-lettered", ledger.dead_lettered),
        ("dropped", ledger.dropped),
        ("returned", ledger.returned),
    ];
    for (name, count) in rows {
        writeln!(out, "{name:<22}{count:>10}")?;
    }
    writeln!(out, "{:<22}{:>10}", "lost", ledger.lost())
}

fn read(path: &Path) -> anyhow::Result<Event> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot open {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is no Lambda event", path.display()))
}

/// Time of the newest log event, in nanoseconds.
fn newest_event(path: &Path) -> anyhow::Result<Option<u64>> {
    let mut newest = None;
    // What is wrong with a file is said when it is forwarded.
    let _later = read(path)?.read(&SourceLimits::default(), &mut |batch| {
        newest = newest.max(batch.events.iter().map(|event| event.timestamp_ms).max());
        true
    });
    Ok(newest.and_then(|millis| u64::try_from(millis).ok()?.checked_mul(1_000_000)))
}

/// What the endpoint of the variables is sent, and no other.
const CREDENTIALS: &[&str] = &["LAMBDA_OTLP_HEADERS", "LAMBDA_OTLP_SECRET"];

/// The arguments as variables, over those of the process: the same names, rules and mistakes as in
/// the deployed forwarder.
struct Overlay {
    arguments: HashMap<String, String>,
    endpoint_given: bool,
}

impl Overlay {
    fn of(arguments: &Arguments) -> anyhow::Result<Self> {
        let mut overlay = HashMap::new();
        if let Some(endpoint) = &arguments.endpoint {
            for name in CREDENTIALS.iter().filter(|name| Env.get(name).is_some()) {
                if arguments.headers.is_empty() {
                    eprintln!("warning: {name} is not sent to --endpoint; use --header");
                }
            }
            overlay.insert("LAMBDA_OTLP_ENDPOINT".to_owned(), endpoint.clone());
        } else if arguments.dry_run {
            overlay.insert("LAMBDA_OTLP_ENDPOINT".to_owned(), "http://127.0.0.1/".to_owned());
        }
        if let Some(stream) = &arguments.stream {
            overlay.insert("LAMBDA_OTLP_STREAM".to_owned(), stream.clone());
        }
        let mut headers = Vec::new();
        for header in &arguments.headers {
            let Some((name, value)) = header.split_once('=') else {
                bail!("--header: expected K=V, for example authorization=Basic …");
            };
            // A comma would begin the next header in the variable.
            let value = value.replace('%', "%25").replace(',', "%2C");
            headers.push(format!("{name}={value}"));
        }
        if !headers.is_empty() {
            overlay.insert("LAMBDA_OTLP_HEADERS".to_owned(), headers.join(","));
        }
        Ok(Self { arguments: overlay, endpoint_given: arguments.endpoint.is_some() })
    }
}

impl Source for Overlay {
    fn get(&self, name: &str) -> Option<String> {
        // An endpoint on the command line gets no credentials that were meant for another.
        let hidden = self.endpoint_given && CREDENTIALS.contains(&name);
        self.arguments.get(name).cloned().or_else(|| if hidden { None } else { Env.get(name) })
    }

    fn names(&self) -> Vec<String> {
        self.arguments.keys().cloned().chain(Env.names()).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "the command line reads the clock here, once")]
fn now_unix_nano() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
