//! Installs and removes dashboards and alerts, and reports each of them.
//!
//! A name of ours in the folder is ours: `install` replaces it, `remove` deletes it. Everything else belongs to the user.

use super::api::{Api, Found};
use super::shipped::{Kind, Shipped, metric_streams};
use console::time_arguments;
use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::resource::v1::Resource;
use platform::{delta_sum, string_attribute};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{self, Write as _};
use wire::Request;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Install,
    Remove,
}

pub(super) async fn carry_out(
    api: &Api,
    kind: Kind,
    folder: &str,
    shipped: &[Shipped],
    task: Task,
    dry_run: bool,
) -> anyhow::Result<Report> {
    let known = api.folder(kind, folder).await?;
    let there = match &known {
        Some((id, _)) => api.list(kind, id).await?,
        None => Vec::new(),
    };
    let mut report = Report { rows: Vec::new(), dry_run };
    match (task, known) {
        (Task::Install, known) => {
            let streams = create_rare_streams(api, shipped, &mut report).await?;
            let id = match known {
                Some((id, _)) => id,
                None if dry_run => String::new(),
                None => match api.create_folder(kind, folder).await {
                    Ok(id) => id,
                    // Actions before the error are still reported.
                    Err(error) => {
                        report.add(Action::Failed, folder, format!("the folder: {error:#}"));
                        return Ok(report);
                    }
                },
            };
            for shipped in shipped {
                install(api, kind, &id, shipped, &there, &streams, &mut report).await;
            }
        }
        (Task::Remove, None) => {}
        (Task::Remove, Some((id, is_our_folder))) => {
            let is_ours = |found: &&Found| shipped.iter().any(|it| it.name == found.name);
            let ours: Vec<&Found> = there.iter().filter(is_ours).collect();
            let is_empty_then = ours.len() == there.len();
            for found in ours {
                let deleted = if dry_run { Ok(()) } else { api.delete(kind, &id, &found.id).await };
                report.add_result(Action::Remove, &found.name, deleted);
            }
            if is_empty_then
                && is_our_folder
                && !dry_run
                && report.is_fine()
                && let Err(error) = api.delete_folder(kind, &id).await
            {
                report.add(Action::Failed, folder, format!("the folder: {error:#}"));
            }
        }
    }
    Ok(report)
}

async fn install(
    api: &Api,
    kind: Kind,
    folder: &str,
    Shipped { name, content }: &Shipped,
    there: &[Found],
    streams: &BTreeSet<String>,
    report: &mut Report,
) {
    // OpenObserve refuses an alert on a missing stream.
    let missing = metric_streams(content).into_iter().find(|stream| !streams.contains(*stream));
    if let (Kind::Alerts, Some(stream)) = (kind, missing) {
        report.add(Action::Wait, name, why_missing(stream));
        return;
    }
    let found = there.iter().find(|found| found.name == *name);
    let action = if found.is_some() { Action::Replace } else { Action::Install };
    let done = match found {
        _ if report.dry_run => Ok(()),
        None => api.create(kind, folder, content).await,
        Some(found) => {
            let mut content = content.clone();
            // A paused alert stays paused.
            if let (Some(enabled), Some(map)) = (&found.enabled, content.as_object_mut()) {
                map.insert("enabled".to_owned(), enabled.clone());
            }
            api.update(kind, folder, found, &content).await
        }
    };
    report.add_result(action, name, done);
}

fn why_missing(stream: &str) -> String {
    let why = if stream.starts_with("lambda_otlp_forwarder") {
        "install again after the forwarder has run (its stack needs Vitals=both or otlp)"
    } else {
        "install again after a function has run"
    };
    format!("there is no stream {stream} yet: {why}")
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
            report.add(Action::Failed, stream, format!("{error:#}"));
            continue;
        }
        report.add(Action::Install, stream, "created with one zero, because it was missing");
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
#[derive(Debug)]
pub(super) struct Report {
    rows: Vec<Row>,
    dry_run: bool,
}

#[derive(Debug)]
struct Row {
    action: Action,
    name: String,
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Install,
    Replace,
    Remove,
    /// It cannot be installed yet.
    Wait,
    Failed,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Replace => "replace",
            Self::Remove => "remove",
            Self::Wait => "wait",
            Self::Failed => "failed",
        }
    }
}

impl Report {
    fn add(&mut self, action: Action, name: &str, reason: impl Into<String>) {
        self.rows.push(Row { action, name: name.to_owned(), reason: reason.into() });
    }

    fn add_result(&mut self, action: Action, name: &str, result: anyhow::Result<()>) {
        match result {
            Ok(()) => self.add(action, name, ""),
            Err(error) => self.add(Action::Failed, name, format!("{error:#}")),
        }
    }

    /// Returns `true` if everything was done that can be done now.
    pub(super) fn is_fine(&self) -> bool {
        !self.rows.iter().any(|row| row.action == Action::Failed)
    }

    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if json {
            let row = |Row { action, name, reason }: &Row| json!({"action": action.word(), "name": name, "reason": reason});
            return writeln!(out, "{}", self.rows.iter().map(row).collect::<Value>());
        }
        for Row { action, name, reason } in &self.rows {
            let line = format!("{:<8}{name:<37} {reason}", action.word());
            writeln!(out, "{}", line.trim_end())?;
        }
        if self.rows.is_empty() {
            writeln!(out, "nothing is installed")?;
        }
        if self.rows.iter().any(|row| row.action == Action::Replace) {
            writeln!(
                out,
                "Edits made in OpenObserve are overwritten: edit a copy with another name instead"
            )?;
        }
        if self.dry_run {
            writeln!(out, "nothing was changed")?;
        }
        Ok(())
    }
}
