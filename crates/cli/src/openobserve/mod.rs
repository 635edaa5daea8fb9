//! `lambda-otlp dashboards` and `alerts`: install and remove the dashboards and alerts for OpenObserve.
//!
//! A name of ours in the folder is ours: `install` replaces it, `remove` deletes it. Everything else belongs to the user.

mod api;
mod shipped;

use crate::aws::AwsArguments;
use crate::destination::DestinationArguments;
use crate::doctor;
use crate::progress::{self, Progress};
use crate::terminal;
use anyhow::{Context as _, bail};
use api::{Api, Found};
use backend::Profile;
use console::time_arguments;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
};
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
    let _progress = Progress::start("waiting for OpenObserve");
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
        let why =
            format!("there is no stream {stream} yet: install again after a function has run");
        return report.row("wait", name, &why);
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

/// A metric that is absent until its event happens: a function that never failed has no stream of errors. OpenObserve refuses
/// queries and alerts on a missing stream.
struct Rare {
    metric: &'static str,
    is_histogram: bool,
}

const fn counter(metric: &'static str) -> Rare {
    Rare { metric, is_histogram: false }
}

const RARE: [Rare; 15] = [
    counter("faas.errors"),
    counter("faas.timeouts"),
    counter("faas.coldstarts"),
    counter("aws.lambda.out_of_memory"),
    // Only the layer has a hold time, and only the forwarder the metrics of the pipeline, with `Vitals=otlp` or `both`.
    counter("lambda_otlp.extension.held"),
    counter("lambda_otlp.forwarder.events.consumed"),
    counter("lambda_otlp.forwarder.events.received"),
    counter("lambda_otlp.forwarder.invocations"),
    counter("lambda_otlp.forwarder.items.ambiguous"),
    counter("lambda_otlp.forwarder.items.handled"),
    counter("lambda_otlp.forwarder.items.placed"),
    Rare { metric: "lambda_otlp.forwarder.lag", is_histogram: true },
    counter("lambda_otlp.forwarder.request.bytes"),
    counter("lambda_otlp.forwarder.requests"),
    counter("lambda_otlp.forwarder.vitals.failures"),
];

impl Rare {
    fn streams(&self) -> impl Iterator<Item = String> {
        let suffixes: &[&str] =
            if self.is_histogram { &["_bucket", "_count", "_max", "_min", "_sum"] } else { &[""] };
        let name = backend::stored_stream(self.metric);
        suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
    }

    /// A zero of the function `none`.
    fn zero(&self) -> Request {
        let attributes =
            ["service.name", "faas.name"].map(|key| string_attribute(key, "none")).to_vec();
        let resource = Resource { attributes, ..Resource::default() };
        Request::of_metrics(resource, vec![self.zero_metric(time_arguments::now_unix_nano())])
    }

    fn zero_metric(&self, time_unix_nano: u64) -> Metric {
        if self.is_histogram {
            let point = HistogramDataPoint {
                time_unix_nano,
                sum: Some(0.0),
                min: Some(0.0),
                max: Some(0.0),
                bucket_counts: vec![0, 0],
                explicit_bounds: vec![0.0],
                ..HistogramDataPoint::default()
            };
            let data = Data::Histogram(Histogram {
                aggregation_temporality: AggregationTemporality::Delta as i32,
                data_points: vec![point],
            });
            return Metric { name: self.metric.to_owned(), data: Some(data), ..Metric::default() };
        }
        // Queries fail on missing columns too.
        let keys: &[&str] = if self.metric.starts_with("lambda_otlp.forwarder.") {
            &["consumed_by", "destination", "fate", "signal"]
        } else {
            &[]
        };
        let attribute = |key: &&str| string_attribute(&format!("lambda_otlp.{key}"), "none");
        let point = NumberDataPoint {
            attributes: keys.iter().map(attribute).collect(),
            time_unix_nano,
            value: Some(Number::AsInt(0)),
            ..NumberDataPoint::default()
        };
        delta_sum(self.metric, "", "", vec![point])
    }
}

/// Creates the missing streams with one zero each. Returns all streams of metrics.
async fn create_rare_streams(
    api: &Api,
    shipped: &[Shipped],
    report: &mut Report,
) -> anyhow::Result<BTreeSet<String>> {
    let mut there = api.metric_streams().await?;
    let asked: BTreeSet<&str> =
        shipped.iter().flat_map(|shipped| metric_streams(&shipped.content)).collect();
    for rare in RARE {
        let is_missing = |stream: String| asked.contains(&*stream) && !there.contains(&stream);
        if !rare.streams().any(is_missing) {
            continue;
        }
        let stream = backend::stored_stream(rare.metric);
        if !report.dry_run
            && let Err(error) = api.export(rare.zero()).await
        {
            report.add("install", &stream, Err(error))?;
            continue;
        }
        report.row("install", &stream, "created with one zero, because it was missing")?;
        there.extend(rare.streams());
    }
    Ok(there)
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
    let line = console::screen::on_one_line(line);
    progress::suspend(|| terminal::ignored(writeln!(io::stdout(), "{line}")))
}
