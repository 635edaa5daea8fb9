//! `lambda-otlp fleet`: lists functions with their layers, log format, subscription and newest telemetry.

use super::account::Account;
use super::configuration::Configuration;
use super::layers::{LayerKind, Layers, short};
use super::record::Record;
use super::{FunctionArguments, read_layers, stack_layers};
use crate::aws::{self, Aws, deadline, unread_logs};
use crate::progress::ProgressLine;
use crate::terminal;
use ::aws::{AccountPolicy, CloudWatchLogs};
use anyhow::bail;
use console::screen::on_one_line;
use console::time_arguments::{duration_text, now_unix_nano};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;
use subscriber::Selection;

/// Number of functions that are read at a time. Throttled requests are repeated.
const AT_A_TIME: usize = 4;
/// Log events at the end of a log stream that are searched for telemetry.
const NEWEST_EVENTS: u32 = 200;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp fleet
  lambda-otlp fleet --function 'shop-*' --stack lambda-otlp --json")]
pub(crate) struct FleetArguments {
    #[command(flatten)]
    which: FunctionArguments,
    /// The stack that publishes the layers, to mark functions with other layer versions.
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// Print the functions as a JSON array.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &FleetArguments) -> anyhow::Result<ExitCode> {
    let FleetArguments { which, stack, json } = arguments;
    let selection = which.selection_or_all()?;
    let rows = terminal::block_on(async {
        let aws = Aws::load(&which.aws).await?;
        which.check_place(&aws).await?;
        let account = Account::new(&aws)?;
        let layers = match stack {
            Some(stack) => read_layers(&account, stack_layers(&aws, stack).await?).await?,
            None => Layers::default(),
        };
        let logs = FunctionLogs::new(aws.patient().logs()?).await;
        let mut names = account.function_names().await?;
        names.retain(|name| selection.check_name(name).is_ok());
        let fleet = Fleet { account, logs, layers };
        let progress = ProgressLine::start("functions");
        let counts = progress.counts();
        counts.set_total(names.len());
        let read = futures_util::stream::iter(names).map(async |name| {
            let row = fleet.row(name, &selection).await;
            counts.add(1);
            row
        });
        let rows: Vec<FleetRow> =
            read.buffered(AT_A_TIME).filter_map(async |row| row).collect().await;
        if rows.is_empty() {
            let place = aws::place(&aws).await;
            bail!(
                "no function matches in {place}: check --function, --tag, --region and --profile"
            );
        }
        Ok(rows)
    })?;
    let mut out = io::stdout().lock();
    terminal::ignore_broken_pipe(if *json {
        let rows: Value = rows.iter().map(FleetRow::to_json).collect();
        writeln!(out, "{}", console::screen::json(&rows))
    } else {
        write(&rows, now_ms(), &mut out)
    })?;
    let is_complete = rows.iter().all(|row| row.problem.is_none());
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn now_ms() -> i64 {
    i64::try_from(now_unix_nano() / 1_000_000).unwrap_or_default()
}

struct Fleet {
    account: Account,
    logs: FunctionLogs,
    layers: Layers,
}

/// A function of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FleetRow {
    name: String,
    runtime: String,
    architecture: String,
    extension: Option<OwnLayer>,
    packages: Option<OwnLayer>,
    log_format: String,
    /// Names of the functions and streams that its log events go to.
    subscriptions: Vec<String>,
    telemetry: NewestTelemetry,
    /// The reason why the function or its log could not be read.
    problem: Option<String>,
}

/// A function's layer of lambda-otlp.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnLayer {
    arn: String,
    /// The stack offers another version.
    is_outdated: bool,
}

/// The newest telemetry in a function's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum NewestTelemetry {
    #[default]
    Unknown,
    NoLog,
    /// None among the newest log events.
    NoneFound,
    At {
        time_ms: i64,
    },
}

impl Fleet {
    /// Returns `None` if the function's tags do not select it.
    async fn row(&self, name: String, selection: &Selection) -> Option<FleetRow> {
        let problem = |name: String, problem: String| {
            Some(FleetRow { name, problem: Some(problem), ..FleetRow::default() })
        };
        let configuration = match self.account.read(&name).await {
            Ok(Some(configuration)) => configuration,
            Ok(None) => return None,
            Err(error) => return problem(name, format!("{error:#}")),
        };
        if selection.check_tags(&configuration.tags).is_err() {
            return None;
        }
        let mut row = self.configuration_row(&configuration);
        match self.logs.subscriptions(&configuration.log_group).await {
            Ok(subscriptions) => row.subscriptions = subscriptions,
            Err(error) => row.problem = Some(format!("{error:#}")),
        }
        match self.logs.newest_telemetry(&configuration.log_group).await {
            Ok(telemetry) => row.telemetry = telemetry,
            Err(error) => row.problem = Some(format!("{error:#}")),
        }
        Some(row)
    }

    fn configuration_row(&self, configuration: &Configuration) -> FleetRow {
        // Without a readable record, the names of the layers count.
        let record = Record::of_tags(&configuration.tags).unwrap_or_default();
        let runtime = configuration.runtime.clone().unwrap_or_else(|| "image".to_owned());
        let layer = |kind: LayerKind| {
            let arn = self.layers.attached(kind, configuration, &record)?.arn;
            let offered = self.layers.find(kind, &runtime, &configuration.architecture);
            let is_outdated = offered.is_some_and(|offered| offered.arn != arn);
            Some(OwnLayer { arn: arn.to_owned(), is_outdated })
        };
        FleetRow {
            name: configuration.name.clone(),
            extension: layer(LayerKind::Extension),
            packages: layer(LayerKind::Packages),
            architecture: configuration.architecture.clone(),
            log_format: configuration.log_format.clone(),
            runtime,
            ..FleetRow::default()
        }
    }
}

/// Log groups of functions.
struct FunctionLogs {
    client: CloudWatchLogs,
    policies: Vec<AccountPolicy>,
}

impl FunctionLogs {
    async fn new(client: CloudWatchLogs) -> Self {
        // Without this permission, the list lacks the account's policy.
        let policies = client.subscription_policies(deadline()).await.unwrap_or_default();
        Self { client, policies }
    }

    async fn subscriptions(&self, group: &str) -> anyhow::Result<Vec<String>> {
        let filters = match self.client.subscription_filters(group, deadline()).await {
            Ok(filters) => filters,
            Err(error) if error.is_gone() => Vec::new(),
            Err(error) => return Err(unread_logs(&error)),
        };
        let own = filters.into_iter().map(|filter| filter.destination);
        let of_account = self.policies.iter().filter_map(|policy| destination(policy, group));
        let mut names: Vec<String> = own.chain(of_account).map(|arn| last_part(&arn)).collect();
        names.dedup();
        Ok(names)
    }

    /// Searches the newest log events of the newest log stream.
    async fn newest_telemetry(&self, group: &str) -> anyhow::Result<NewestTelemetry> {
        let events = match self.client.newest_log_events(group, NEWEST_EVENTS, deadline()).await {
            Ok(Some(events)) => events,
            Ok(None) => return Ok(NewestTelemetry::NoLog),
            Err(error) if error.is_gone() => return Ok(NewestTelemetry::NoLog),
            Err(error) => return Err(unread_logs(&error)),
        };
        let telemetry = events.iter().filter(|event| is_telemetry(&event.message));
        let newest = telemetry.map(|event| event.timestamp_ms).max();
        Ok(newest.map_or(NewestTelemetry::NoneFound, |time_ms| NewestTelemetry::At { time_ms }))
    }
}

/// Returns `true` for OTLP lines, and for OTLP/JSON of other exporters.
fn is_telemetry(line: &str) -> bool {
    const OTLP_JSON: [&str; 3] = ["\"resourceSpans\"", "\"resourceMetrics\"", "\"resourceLogs\""];
    let is_line = [wire::MARKER, wire::COMPACT_MARKER].iter().any(|marker| line.contains(marker));
    is_line || OTLP_JSON.iter().any(|field| line.contains(field))
}

/// Returns the destination of the account's policy, unless the policy leaves out this log group.
fn destination(policy: &AccountPolicy, group: &str) -> Option<String> {
    if aws::policy_excludes(&policy.selection_criteria, group) {
        return None;
    }
    let document: Value = serde_json::from_str(&policy.document).ok()?;
    document.get("DestinationArn").and_then(Value::as_str).map(str::to_owned)
}

/// Returns the name in an ARN of a function or stream.
fn last_part(arn: &str) -> String {
    arn.rsplit([':', '/']).next().unwrap_or(arn).to_owned()
}

impl FleetRow {
    fn cells(&self, now_ms: i64) -> [String; 8] {
        let layer = |layer: &Option<OwnLayer>| match layer {
            Some(OwnLayer { arn, is_outdated: false }) => short(arn).to_owned(),
            Some(OwnLayer { arn, is_outdated: true }) => format!("{} (old)", short(arn)),
            None => "-".to_owned(),
        };
        let subscriptions = if self.subscriptions.is_empty() {
            "-".to_owned()
        } else {
            self.subscriptions.join(", ")
        };
        let telemetry = match (&self.problem, self.telemetry) {
            (Some(problem), _) => problem.clone(),
            (None, NewestTelemetry::Unknown) => "unknown".to_owned(),
            (None, NewestTelemetry::NoLog) => "no log yet".to_owned(),
            (None, NewestTelemetry::NoneFound) => {
                format!("none in its last {NEWEST_EVENTS} log events")
            }
            (None, NewestTelemetry::At { time_ms }) => {
                let age_ms = u64::try_from(now_ms - time_ms).unwrap_or_default();
                // Milliseconds of an age say nothing.
                format!("{} ago", duration_text(Duration::from_secs(age_ms / 1000)))
            }
        };
        [
            self.name.clone(),
            self.runtime.clone(),
            self.architecture.clone(),
            layer(&self.extension),
            layer(&self.packages),
            self.log_format.clone(),
            subscriptions,
            telemetry,
        ]
    }

    fn to_json(&self) -> Value {
        let arn = |layer: &Option<OwnLayer>| layer.as_ref().map(|layer| layer.arn.clone());
        let is_outdated =
            [&self.extension, &self.packages].into_iter().flatten().any(|layer| layer.is_outdated);
        let telemetry = match self.telemetry {
            NewestTelemetry::At { time_ms } => {
                let nanos = u64::try_from(time_ms).unwrap_or_default() * 1_000_000;
                Some(wire::timestamp::rfc3339_millis(nanos))
            }
            NewestTelemetry::Unknown | NewestTelemetry::NoLog | NewestTelemetry::NoneFound => None,
        };
        json!({
            "function": self.name,
            "runtime": self.runtime,
            "architecture": self.architecture,
            "extension": arn(&self.extension),
            "packages": arn(&self.packages),
            "is_outdated": is_outdated,
            "log_format": self.log_format,
            "subscriptions": self.subscriptions,
            "newest_telemetry": telemetry,
            "problem": self.problem,
        })
    }
}

/// Writes a table with a line of headings, and the sums.
fn write(rows: &[FleetRow], now_ms: i64, out: &mut dyn Write) -> io::Result<()> {
    let headings = [
        "function",
        "runtime",
        "arch",
        "extension",
        "packages",
        "log",
        "subscription",
        "newest telemetry",
    ];
    let cells = rows.iter().map(|row| row.cells(now_ms));
    let lines: Vec<[String; 8]> = [headings.map(str::to_owned)].into_iter().chain(cells).collect();
    let mut widths = [0; 8];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for line in &lines {
        let padded: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", on_one_line(&padded.join("  ")).trim_end())?;
    }
    let count = |is: &dyn Fn(&FleetRow) -> bool| rows.iter().filter(|row| is(row)).count();
    writeln!(
        out,
        "{} functions: {} with the extension, {} subscribed, {} with telemetry, {} not read",
        rows.len(),
        count(&|row| row.extension.is_some()),
        count(&|row| !row.subscriptions.is_empty()),
        count(&|row| matches!(row.telemetry, NewestTelemetry::At { .. })),
        count(&|row| row.problem.is_some()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_table_has_a_row_for_each_function() {
        let arn = |layer: &str| format!("arn:aws:lambda:eu-west-1:123456789012:layer:{layer}");
        let layer = |name: &str, is_outdated| Some(OwnLayer { arn: arn(name), is_outdated });
        let rows = [
            FleetRow {
                name: "cart".to_owned(),
                runtime: "python3.13".to_owned(),
                architecture: "arm64".to_owned(),
                extension: layer("lambda-otlp-arm64:7", false),
                packages: layer("lambda-otlp-python313:3", true),
                log_format: "JSON".to_owned(),
                subscriptions: vec!["forwarder".to_owned()],
                telemetry: NewestTelemetry::At { time_ms: 1_000_000 },
                problem: None,
            },
            FleetRow {
                name: "checkout".to_owned(),
                runtime: "image".to_owned(),
                architecture: "x86_64".to_owned(),
                log_format: "Text".to_owned(),
                telemetry: NewestTelemetry::NoneFound,
                ..FleetRow::default()
            },
            FleetRow {
                name: "denied".to_owned(),
                problem: Some("these credentials lack lambda:GetFunction".to_owned()),
                ..FleetRow::default()
            },
        ];
        let mut out = Vec::new();
        write(&rows, 1_060_500, &mut out).unwrap();
        expect![[r"
            function  runtime     arch    extension            packages                       log   subscription  newest telemetry
            cart      python3.13  arm64   lambda-otlp-arm64:7  lambda-otlp-python313:3 (old)  JSON  forwarder     1m ago
            checkout  image       x86_64  -                    -                              Text  -             none in its last 200 log events
            denied                        -                    -                                    -             these credentials lack lambda:GetFunction
            3 functions: 1 with the extension, 1 subscribed, 1 with telemetry, 1 not read
        "]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn telemetry_is_recognized_in_lines_of_each_format() {
        for (line, expected) in [
            (r#"{"__otel_otlp_stdout":"0.1","payload":"x"}"#, true),
            (r#"{"_otelc":1}"#, true),
            (r#"{"resourceSpans":[]}"#, true),
            ("REPORT RequestId: 7", false),
        ] {
            assert_eq!(is_telemetry(line), expected, "{line}");
        }
    }
}
