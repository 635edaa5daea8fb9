//! `lambda-otlp dashboards`, `alerts` and `slos`: install and remove the dashboards, alerts and objectives for OpenObserve.
//!
//! A name of ours in the folder is ours: `install` replaces it, `remove` deletes it. Everything else belongs to the user.

mod api;
mod burn_rates;
mod columns;
mod shipped;

use crate::aws::AwsArguments;
use crate::destination::DestinationArguments;
use crate::doctor;
use crate::progress::{self, ProgressLine};
use crate::terminal;
use anyhow::{Context as _, bail};
use api::{Api, Installed};
use backend::Profile;
use console::time_arguments;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use platform::{delta_sum, string_attribute};
use serde_json::{Value, json};
use shipped::{Places, Shipped, ShippedKind, streams};
use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::process::ExitCode;
use wire::{Request, SignalKind};

/// Arguments of all commands: the OpenObserve organization and folder.
#[derive(clap::Args)]
struct InstallOptions {
    #[command(flatten)]
    destination: DestinationArguments,
    /// The folder in OpenObserve; created if it is missing.
    #[arg(long, value_name = "NAME", default_value = shipped::FOLDER)]
    folder: String,
    /// Print the changes without making them.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    aws: AwsArguments,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum InstallTask {
    /// Creates them, or replaces those with our names in the folder, including your edits. Paused alerts stay paused.
    Install,
    /// Removes those with our names from the folder.
    Remove,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp dashboards install --endpoint https://o2.example.com/api/default --header 'authorization=Basic …'
  lambda-otlp dashboards remove --endpoint https://o2.example.com/api/default")]
pub(crate) struct DashboardsArguments {
    task: InstallTask,
    #[command(flatten)]
    options: InstallOptions,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp alerts install --notify on-call --endpoint https://o2.example.com/api/default
  lambda-otlp alerts remove --endpoint https://o2.example.com/api/default")]
pub(crate) struct AlertsArguments {
    task: InstallTask,
    /// The alert destination in OpenObserve to notify; may be repeated.
    #[arg(long, value_name = "DESTINATION", required_if_eq("task", "install"))]
    notify: Vec<String>,
    #[command(flatten)]
    options: InstallOptions,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp slos install --notify on-call --endpoint https://o2.example.com/api/default
  lambda-otlp slos install --notify on-call --success 99.9 --fast 0.5 --latency 99
  lambda-otlp slos remove --endpoint https://o2.example.com/api/default")]
pub(crate) struct SlosArguments {
    task: InstallTask,
    /// The alert destination in OpenObserve to notify of high burn rates; may be repeated.
    #[arg(long, value_name = "DESTINATION", required_if_eq("task", "install"))]
    notify: Vec<String>,
    #[command(flatten)]
    objectives: Objectives,
    #[command(flatten)]
    options: InstallOptions,
}

/// The objectives that a user may set.
#[derive(clap::Args)]
struct Objectives {
    /// The share of invocations that succeed.
    #[arg(long, value_name = "PERCENT", default_value_t = 99.5, value_parser = parse_percent)]
    success: f64,
    /// The share of invocations that are fast.
    #[arg(long, value_name = "PERCENT", default_value_t = 95.0, value_parser = parse_percent)]
    latency: f64,
    /// The longest duration of a fast invocation.
    #[arg(long, value_name = "SECONDS", default_value = DEFAULT_FAST, value_parser = FAST)]
    fast: String,
}

/// Bounds of the buckets of `faas.invoke_duration`. The metric does not distinguish durations between two bounds.
const FAST: [&str; 10] = ["0.1", "0.25", "0.5", "1", "2", "3", "5", "10", "30", "60"];
/// The duration in the file of the objective.
const DEFAULT_FAST: &str = "1";

#[derive(Debug, thiserror::Error)]
#[error("expected a number above 0 and below 100, such as 99.5")]
struct InvalidPercent;

fn parse_percent(text: &str) -> Result<f64, InvalidPercent> {
    let number = text.parse().ok().filter(|percent| *percent > 0.0 && *percent < 100.0);
    number.ok_or(InvalidPercent)
}

impl Objectives {
    fn set(&self, slo: &mut Shipped) {
        let target = if slo.name == "lambda_latency" { self.latency } else { self.success };
        if let Some(content) = slo.content.as_object_mut() {
            content.insert("target".to_owned(), json!(target));
        }
        let bucket = |seconds: &str| format!("le=\"{seconds}\"");
        let words = |seconds: &str| format!("at most {seconds} s.");
        for pointer in ["/description", "/config/source/query/good"] {
            if let Some(Value::String(text)) = slo.content.pointer_mut(pointer) {
                *text = text.replace(&bucket(DEFAULT_FAST), &bucket(&self.fast));
                *text = text.replace(&words(DEFAULT_FAST), &words(&self.fast));
            }
        }
    }
}

pub(crate) fn dashboards(arguments: &DashboardsArguments) -> anyhow::Result<ExitCode> {
    run(&arguments.options, &Work::Dashboards, arguments.task)
}

pub(crate) fn alerts(arguments: &AlertsArguments) -> anyhow::Result<ExitCode> {
    run(&arguments.options, &Work::Alerts { notify: &arguments.notify }, arguments.task)
}

pub(crate) fn slos(arguments: &SlosArguments) -> anyhow::Result<ExitCode> {
    let SlosArguments { task, notify, objectives, options } = arguments;
    run(options, &Work::Slos { notify, objectives }, *task)
}

/// The command that runs, with its own arguments.
enum Work<'a> {
    Dashboards,
    Alerts { notify: &'a [String] },
    Slos { notify: &'a [String], objectives: &'a Objectives },
}

impl Work<'_> {
    fn kind(&self) -> ShippedKind {
        match self {
            Self::Dashboards => ShippedKind::Dashboards,
            Self::Alerts { .. } => ShippedKind::Alerts,
            Self::Slos { .. } => ShippedKind::Slos,
        }
    }

    fn notify(&self) -> &[String] {
        match self {
            Self::Dashboards => &[],
            Self::Alerts { notify } | Self::Slos { notify, .. } => notify,
        }
    }
}

fn run(options: &InstallOptions, work: &Work<'_>, task: InstallTask) -> anyhow::Result<ExitCode> {
    options.destination.print_warnings();
    let variables = options.destination.variables(false)?;
    let _progress = ProgressLine::start("waiting for OpenObserve");
    let is_fine = terminal::block_on(async {
        let reach = doctor::reach_of(&options.aws, &variables).await?;
        if reach.destination.profile != Profile::OpenObserve {
            bail!("{} need OpenObserve: change LAMBDA_OTLP_BACKEND", work.kind().name());
        }
        let stream =
            backend::stored_stream(reach.destination.stream.as_deref().unwrap_or("default"));
        let places = Places { stream: &stream, folder: &options.folder, notify: work.notify() };
        let mut shipped = shipped::all(work.kind(), &places)?;
        let api = Api::new(reach)?;
        if let Work::Slos { objectives, .. } = work {
            if !api.has_slos().await? {
                bail!(
                    "this OpenObserve has no SLOs, as its API has no path /slos: update it to a version of late 2026"
                );
            }
            for slo in &mut shipped {
                objectives.set(slo);
            }
        }
        let report = InstallReport { dry_run: options.dry_run, rows: 0, has_failed: false };
        let mut installer = Installer { api: &api, places: &places, report };
        installer.carry_out(work.kind(), &shipped, task).await?;
        if installer.report.rows == 0 {
            print("nothing is installed")?;
        }
        if options.dry_run {
            print("nothing was changed")?;
        }
        Ok(!installer.report.has_failed)
    })?;
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Installs and removes dashboards, alerts and objectives.
struct Installer<'a> {
    api: &'a Api,
    places: &'a Places<'a>,
    report: InstallReport,
}

/// A folder of OpenObserve for one kind.
#[derive(Clone, Copy)]
struct Folder<'a> {
    kind: ShippedKind,
    /// Empty if a dry run would create it.
    id: &'a str,
}

impl Installer<'_> {
    async fn carry_out(
        &mut self,
        kind: ShippedKind,
        shipped: &[Shipped],
        task: InstallTask,
    ) -> anyhow::Result<()> {
        let known_id = self.api.folder(kind, self.places.folder).await?;
        let installed = match &known_id {
            Some(id) => self.api.list(kind, id).await?,
            None => Vec::new(),
        };
        match (task, known_id) {
            (InstallTask::Install, known_id) => {
                let id = match known_id {
                    Some(id) => id,
                    None => self.create_folder(kind).await?,
                };
                self.install_all(Folder { kind, id: &id }, shipped, &installed).await
            }
            (InstallTask::Remove, Some(id)) => {
                self.remove_all(Folder { kind, id: &id }, shipped, &installed).await
            }
            // Without the folder, nothing is installed.
            (InstallTask::Remove, None) => Ok(()),
        }
    }

    /// Creates the folder, unless this is a dry run. Returns its id.
    async fn create_folder(&self, kind: ShippedKind) -> anyhow::Result<String> {
        if self.report.dry_run {
            return Ok(String::new());
        }
        let name = self.places.folder;
        let created = self.api.create_folder(kind, name).await;
        created.with_context(|| format!("cannot create the folder {name}"))
    }

    async fn install_all(
        &mut self,
        folder: Folder<'_>,
        shipped: &[Shipped],
        installed: &[Installed],
    ) -> anyhow::Result<()> {
        if folder.kind == ShippedKind::Slos {
            return self.install_slos(folder.id, shipped, installed).await;
        }
        columns::create(self.api, self.places.stream, shipped, &mut self.report).await?;
        let metric_streams = create_rare_streams(self.api, shipped, &mut self.report).await?;
        let asked: BTreeSet<&str> = streams_of_metrics(shipped).collect();
        let existing = asked.into_iter().filter(|stream| metric_streams.contains(*stream));
        columns::create_of_metrics(self.api, existing, &mut self.report).await?;
        let max_hours = match folder.kind {
            ShippedKind::Alerts => {
                let schema = self.api.stream_schema(SignalKind::Logs, self.places.stream).await?;
                schema.and_then(|schema| schema.max_query_hours)
            }
            _ => None,
        };
        for Shipped { name, content } in shipped {
            let mut needed = streams(content, "metrics").into_iter();
            let missing = needed.find(|stream| !metric_streams.contains(*stream));
            // OpenObserve refuses an alert on a missing stream.
            if let (ShippedKind::Alerts, Some(stream)) = (folder.kind, missing) {
                let why = format!(
                    "there is no stream {stream} yet: install again after a function has run"
                );
                self.report.row("wait", name, &why)?;
                continue;
            }
            let mut content = content.clone();
            if let Some(hours) = max_hours.filter(|hours| shorten(&mut content, *hours)) {
                let why = format!("reads {hours} hours, because the stream allows no longer query");
                self.report.row("note", name, &why)?;
            }
            self.put(folder, name, content, installed).await?;
        }
        Ok(())
    }

    /// Installs objectives, and for each the alerts of its burn rates.
    async fn install_slos(
        &mut self,
        folder_id: &str,
        slos: &[Shipped],
        installed: &[Installed],
    ) -> anyhow::Result<()> {
        let alert_folder = Folder { kind: ShippedKind::Alerts, id: folder_id };
        let is_new_folder = folder_id.is_empty();
        let alerts = if is_new_folder {
            Vec::new()
        } else {
            self.api.list(ShippedKind::Alerts, folder_id).await?
        };
        for slo in slos {
            let mut content = slo.content.clone();
            if let Some(map) = content.as_object_mut() {
                map.insert("folder_id".to_owned(), json!(folder_id));
            }
            let folder = Folder { kind: ShippedKind::Slos, id: folder_id };
            let Some(id) = self.put(folder, &slo.name, content, installed).await? else {
                continue;
            };
            for alert in burn_rates::of(slo, &id, self.places.notify) {
                self.put(alert_folder, &alert.name, alert.content, &alerts).await?;
            }
        }
        Ok(())
    }

    /// Replaces the installed item of this name or creates it, and reports that. Returns its id, which is empty in a dry run.
    async fn put(
        &mut self,
        folder: Folder<'_>,
        name: &str,
        mut content: Value,
        installed: &[Installed],
    ) -> io::Result<Option<String>> {
        let former = installed.iter().find(|found| found.name == name);
        // A paused alert stays paused.
        let enabled = former.and_then(|former| former.enabled.clone());
        if let (Some(enabled), Some(map)) = (enabled, content.as_object_mut()) {
            map.insert("enabled".to_owned(), enabled);
        }
        let result = if self.report.dry_run {
            Ok(String::new())
        } else {
            self.api.install(folder.kind, folder.id, former, &content).await
        };
        let action = if former.is_some() { "replace" } else { "install" };
        match result {
            Ok(id) => self.report.add(action, name, Ok(())).map(|()| Some(id)),
            Err(error) => self.report.add(action, name, Err(error)).map(|()| None),
        }
    }

    async fn remove_all(
        &mut self,
        folder: Folder<'_>,
        shipped: &[Shipped],
        installed: &[Installed],
    ) -> anyhow::Result<()> {
        if folder.kind == ShippedKind::Slos {
            self.remove_burn_rates(folder.id, shipped).await?;
        }
        let is_ours = |found: &&Installed| shipped.iter().any(|it| it.name == found.name);
        for found in installed.iter().filter(is_ours) {
            self.remove(folder, found).await?;
        }
        Ok(())
    }

    /// Removes the alerts of objectives, which would ask for objectives that are gone.
    async fn remove_burn_rates(&mut self, folder_id: &str, slos: &[Shipped]) -> anyhow::Result<()> {
        let alerts = slos.iter().flat_map(|slo| burn_rates::of(slo, "", &[]));
        let names: BTreeSet<String> = alerts.map(|alert| alert.name).collect();
        let folder = Folder { kind: ShippedKind::Alerts, id: folder_id };
        for found in self.api.list(ShippedKind::Alerts, folder_id).await? {
            if names.contains(&found.name) {
                self.remove(folder, &found).await?;
            }
        }
        Ok(())
    }

    async fn remove(&mut self, folder: Folder<'_>, found: &Installed) -> io::Result<()> {
        let result = if self.report.dry_run {
            Ok(())
        } else {
            self.api.delete(folder.kind, folder.id, &found.id).await
        };
        self.report.add("remove", &found.name, result)
    }
}

/// Shortens an SQL alert to the longest query that OpenObserve runs on its stream. Returns `false` if it is short enough.
fn shorten(alert: &mut Value, max_hours: u64) -> bool {
    let is_sql = alert.pointer("/query_condition/type").is_some_and(|kind| kind == "sql");
    let period = alert.pointer_mut("/trigger_condition/period").filter(|_| is_sql);
    let Some(minutes) = period else { return false };
    let is_long = minutes.as_u64() > Some(max_hours * 60);
    if is_long {
        *minutes = json!(max_hours * 60);
    }
    is_long
}

/// A metric that is absent until its event happens: a function that never failed has no stream of errors. OpenObserve refuses
/// queries and alerts on a missing stream.
struct RareMetric {
    metric: &'static str,
    is_histogram: bool,
}

const fn counter(metric: &'static str) -> RareMetric {
    RareMetric { metric, is_histogram: false }
}

const RARE_METRICS: [RareMetric; 15] = [
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
    RareMetric { metric: "lambda_otlp.forwarder.lag", is_histogram: true },
    counter("lambda_otlp.forwarder.request.bytes"),
    counter("lambda_otlp.forwarder.requests"),
    counter("lambda_otlp.forwarder.vitals.failures"),
];

impl RareMetric {
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

fn streams_of_metrics(shipped: &[Shipped]) -> impl Iterator<Item = &str> {
    shipped.iter().flat_map(|shipped| streams(&shipped.content, "metrics"))
}

/// Creates the missing streams with one zero each. Returns all streams of metrics.
async fn create_rare_streams(
    api: &Api,
    shipped: &[Shipped],
    report: &mut InstallReport,
) -> anyhow::Result<BTreeSet<String>> {
    let mut existing = api.metric_streams().await?;
    let needed: BTreeSet<&str> = streams_of_metrics(shipped).collect();
    for rare in RARE_METRICS {
        let is_missing = |stream: String| needed.contains(&*stream) && !existing.contains(&stream);
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
        existing.extend(rare.streams());
    }
    Ok(existing)
}

/// A row for each dashboard, alert or stream.
struct InstallReport {
    dry_run: bool,
    rows: usize,
    has_failed: bool,
}

impl InstallReport {
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
    progress::suspend(|| terminal::ignore_broken_pipe(writeln!(io::stdout(), "{line}")))
}
