//! `lambda-otlp dashboards` and `alerts`: install and remove the dashboards and alerts for OpenObserve.
//!
//! A name of ours in the folder is ours: `install` replaces it, `remove` deletes it. Everything else belongs to the user.

mod api;
mod shipped;

use crate::aws::AwsArguments;
use crate::destination::DestinationArguments;
use crate::doctor;
use crate::terminal;
use anyhow::{Context as _, bail};
use api::{Api, Found};
use backend::Profile;
use console::time_arguments;
use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::resource::v1::Resource;
use platform::{delta_sum, string_attribute};
use shipped::{Kind, Shipped, metric_streams};
use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::process::ExitCode;
use wire::Request;

/// Arguments of all commands: the OpenObserve organization and folder.
#[derive(clap::Args)]
struct Place {
    #[command(flatten)]
    destination: DestinationArguments,
    /// The folder in OpenObserve; created if it is missing.
    #[arg(long, value_name = "NAME", default_value = "lambda-otlp")]
    folder: String,
    /// Print the changes without making them.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    aws: AwsArguments,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Task {
    /// Those with our names in the folder are replaced, with all edits; paused alerts stay paused.
    Install,
    /// Those with our names are removed from the folder.
    Remove,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp dashboards install --endpoint https://o2.example.com/api/default --header 'authorization=Basic …'
  lambda-otlp dashboards remove --endpoint https://o2.example.com/api/default")]
pub(crate) struct DashboardsArguments {
    task: Task,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp alerts install --notify on-call --endpoint https://o2.example.com/api/default
  lambda-otlp alerts remove --endpoint https://o2.example.com/api/default")]
pub(crate) struct AlertsArguments {
    task: Task,
    /// The alert destination in OpenObserve to notify; may be repeated.
    #[arg(long, value_name = "DESTINATION", required_if_eq("task", "install"))]
    notify: Vec<String>,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn dashboards(arguments: &DashboardsArguments) -> anyhow::Result<ExitCode> {
    run(&arguments.place, Kind::Dashboards, arguments.task, &[])
}

pub(crate) fn alerts(arguments: &AlertsArguments) -> anyhow::Result<ExitCode> {
    run(&arguments.place, Kind::Alerts, arguments.task, &arguments.notify)
}

fn run(place: &Place, kind: Kind, task: Task, notify: &[String]) -> anyhow::Result<ExitCode> {
    let variables = place.destination.variables(false)?;
    let is_fine = terminal::block_on(async {
        let reach = doctor::reach_of(&place.aws, &variables).await?;
        if reach.destination.profile != Profile::OpenObserve {
            bail!("dashboards and alerts need OpenObserve: change LAMBDA_OTLP_BACKEND");
        }
        let stream =
            backend::stored_stream(reach.destination.stream.as_deref().unwrap_or("default"));
        let shipped = shipped::all(kind, &stream, notify)?;
        let mut report = Report { dry_run: place.dry_run, rows: 0, has_failed: false };
        carry_out(&Api::new(reach)?, kind, &place.folder, &shipped, task, &mut report).await?;
        if report.rows == 0 {
            print("nothing is installed")?;
        }
        if report.dry_run {
            print("nothing was changed")?;
        }
        Ok(!report.has_failed)
    })?;
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn carry_out(
    api: &Api,
    kind: Kind,
    folder: &str,
    shipped: &[Shipped],
    task: Task,
    report: &mut Report,
) -> anyhow::Result<()> {
    let known = api.folder(kind, folder).await?;
    let there = match &known {
        Some(id) => api.list(kind, id).await?,
        None => Vec::new(),
    };
    match task {
        Task::Install => {
            let id = match known {
                Some(id) => id,
                None if report.dry_run => String::new(),
                None => {
                    let created = api.create_folder(kind, folder).await;
                    created.with_context(|| format!("cannot create the folder {folder}"))?
                }
            };
            let streams = create_rare_streams(api, shipped, report).await?;
            for shipped in shipped {
                install(api, kind, &id, shipped, &there, &streams, report).await?;
            }
        }
        Task::Remove => {
            let id = known.unwrap_or_default();
            let is_ours = |found: &&Found| shipped.iter().any(|it| it.name == found.name);
            for found in there.iter().filter(is_ours) {
                let delete = api.delete(kind, &id, &found.id);
                let deleted = if report.dry_run { Ok(()) } else { delete.await };
                report.add("remove", &found.name, deleted)?;
            }
        }
    }
    Ok(())
}

async fn install(
    api: &Api,
    kind: Kind,
    folder: &str,
    Shipped { name, content }: &Shipped,
    there: &[Found],
    streams: &BTreeSet<String>,
    report: &mut Report,
) -> io::Result<()> {
    // OpenObserve refuses an alert on a missing stream.
    let missing = metric_streams(content).into_iter().find(|stream| !streams.contains(*stream));
    if let (Kind::Alerts, Some(stream)) = (kind, missing) {
        let why = if stream.starts_with("lambda_otlp_forwarder") {
            "install again after the forwarder has run (its stack needs Vitals=both or otlp)"
        } else {
            "install again after a function has run"
        };
        return report.row("wait", name, &format!("there is no stream {stream} yet: {why}"));
    }
    let found = there.iter().find(|found| found.name == *name);
    let mut content = content.clone();
    // A paused alert stays paused.
    let enabled = found.and_then(|found| found.enabled.clone());
    if let (Some(enabled), Some(map)) = (enabled, content.as_object_mut()) {
        map.insert("enabled".to_owned(), enabled);
    }
    let install = api.install(kind, folder, found, &content);
    let installed = if report.dry_run { Ok(()) } else { install.await };
    report.add(if found.is_some() { "replace" } else { "install" }, name, installed)
}

/// Counters that are absent until their event happens, by stream. OpenObserve refuses queries and alerts on a missing
/// stream, and a function that never failed has no stream of errors.
const RARE: [(&str, &str); 7] = [
    ("faas_errors", "faas.errors"),
    ("faas_timeouts", "faas.timeouts"),
    ("faas_coldstarts", "faas.coldstarts"),
    ("aws_lambda_out_of_memory", "aws.lambda.out_of_memory"),
    ("lambda_otlp_forwarder_items_handled", "lambda_otlp.forwarder.items.handled"),
    ("lambda_otlp_forwarder_items_placed", "lambda_otlp.forwarder.items.placed"),
    ("lambda_otlp_forwarder_items_ambiguous", "lambda_otlp.forwarder.items.ambiguous"),
];

/// Creates the missing streams with one zero each. Returns all streams of metrics.
async fn create_rare_streams(
    api: &Api,
    shipped: &[Shipped],
    report: &mut Report,
) -> anyhow::Result<BTreeSet<String>> {
    let mut there = api.metric_streams().await?;
    let asked: BTreeSet<&str> =
        shipped.iter().flat_map(|shipped| metric_streams(&shipped.content)).collect();
    for (stream, metric) in RARE {
        if there.contains(stream) || !asked.contains(stream) {
            continue;
        }
        if !report.dry_run
            && let Err(error) = api.export(zero(metric)).await
        {
            report.add("install", stream, Err(error))?;
            continue;
        }
        report.row("install", stream, "created with one zero, because it was missing")?;
        there.insert(stream.to_owned());
    }
    Ok(there)
}

/// A zero of the function `none`.
fn zero(metric: &str) -> Request {
    let attributes =
        ["service.name", "faas.name"].map(|key| string_attribute(key, "none")).to_vec();
    // Queries fail on missing columns too.
    let is_of_pipeline = metric.starts_with("lambda_otlp.");
    let columns = ["lambda_otlp.destination", "lambda_otlp.fate", "lambda_otlp.signal"];
    let columns = columns.into_iter().filter(|_| is_of_pipeline);
    let point = NumberDataPoint {
        attributes: columns.map(|key| string_attribute(key, "none")).collect(),
        time_unix_nano: time_arguments::now_unix_nano(),
        value: Some(Number::AsInt(0)),
        ..NumberDataPoint::default()
    };
    let metrics = vec![delta_sum(metric, "", "", vec![point])];
    Request::of_metrics(Resource { attributes, ..Resource::default() }, metrics)
}

/// A row for each dashboard, alert or stream.
struct Report {
    dry_run: bool,
    rows: usize,
    has_failed: bool,
}

impl Report {
    fn add(&mut self, action: &str, name: &str, result: anyhow::Result<()>) -> io::Result<()> {
        let Err(error) = result else { return self.row(action, name, "") };
        self.has_failed = true;
        self.row("failed", name, &format!("{error:#}"))
    }

    fn row(&mut self, action: &str, name: &str, reason: &str) -> io::Result<()> {
        self.rows += 1;
        print(format!("{action:<8}{name:<37} {reason}").trim_end())
    }
}

fn print(line: &str) -> io::Result<()> {
    terminal::ignored(writeln!(io::stdout(), "{}", console::screen::on_one_line(line)))
}
