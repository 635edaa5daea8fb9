//! Columns of logs and traces that panels and alerts ask, though only some telemetry has them. OpenObserve refuses a query for a
//! missing column.

use super::InstallReport;
use super::api::{Api, NoSuchPath, StreamSchema};
use super::shipped::{Shipped, streams};
use std::collections::BTreeSet;
use wire::SignalKind;

/// A column of a stream, to be declared.
#[derive(Clone, Copy)]
pub(super) struct NewColumn {
    pub(super) name: &'static str,
    /// OpenObserve's name of the type.
    pub(super) data_type: &'static str,
}

/// A stream without this column cannot be searched.
pub(super) const TIMESTAMP: &str = "_timestamp";

const fn text(name: &'static str) -> NewColumn {
    NewColumn { name, data_type: "Utf8" }
}

const fn number(name: &'static str) -> NewColumn {
    NewColumn { name, data_type: "Float64" }
}

const OF_LOGS: [NewColumn; 23] = [
    number("aws_lambda_billed_duration_ms_number"),
    number("aws_lambda_duration_ms_number"),
    text("aws_lambda_event_type"),
    number("aws_lambda_init_duration_ms_number"),
    number("aws_lambda_max_memory_used_mb_number"),
    number("aws_lambda_memory_size_mb_number"),
    text("aws_lambda_status"),
    text("body"),
    text("cloud_account_id"),
    text("cloud_region"),
    text("deployment_environment_name"),
    text("exception_message"),
    text("exception_type"),
    text("faas_invocation_id"),
    text("faas_name"),
    text("faas_version"),
    text("lambda_otlp_adjusted_count"),
    text("lambda_otlp_exception_fingerprint"),
    text("lambda_otlp_severity_text"),
    text("service_name"),
    text("severity"),
    text("span_id"),
    text("trace_id"),
];

/// Every span has the other columns.
const OF_TRACES: [NewColumn; 7] = [
    text("aws_lambda_durable_execution_status"),
    text("aws_step_functions_execution_status"),
    text("faas_coldstart"),
    text("faas_invocation_id"),
    text("lambda_otlp_adjusted_count"),
    text("reference_parent_span_id"),
    text("status_message"),
];

/// The columns by which panels of metrics filter.
const OF_METRICS: [NewColumn; 5] = [
    text("cloud_account_id"),
    text("cloud_region"),
    text("deployment_environment_name"),
    text("faas_version"),
    text("service_name"),
];

/// Declares the missing columns of these streams of metrics. A function without an environment makes none of it, and a metric that
/// is rare has the columns of few functions.
pub(super) async fn create_of_metrics(
    api: &Api,
    streams: impl Iterator<Item = &str>,
    report: &mut InstallReport,
) -> anyhow::Result<()> {
    let mut count: usize = 0;
    for stream in streams {
        let Some(found) = api.stream_schema(SignalKind::Metrics, stream).await? else { continue };
        let missing = found.lacks(&OF_METRICS);
        match declare(api, SignalKind::Metrics, stream, &missing, report.dry_run).await {
            Ok(Ok(())) => count += usize::from(!missing.is_empty()),
            // The columns of logs and traces said so.
            Ok(Err(_)) => return Ok(()),
            Err(error) => report.add("install", stream, Err(error))?,
        }
    }
    if count > 0 {
        report.row(
            "install",
            "metrics",
            &format!("filters' columns created in {count} streams"),
        )?;
    }
    Ok(())
}

/// Declares the missing columns of the streams of logs and traces that are asked. This stores no record and no span.
pub(super) async fn create(
    api: &Api,
    stream: &str,
    shipped: &[Shipped],
    report: &mut InstallReport,
) -> anyhow::Result<()> {
    for (kind, columns) in [(SignalKind::Logs, &OF_LOGS[..]), (SignalKind::Traces, &OF_TRACES)] {
        let signal = kind.as_str();
        if shipped.iter().all(|shipped| streams(&shipped.content, signal).is_empty()) {
            continue;
        }
        let found = api.stream_schema(kind, stream).await?;
        let is_new = found.is_none();
        let before = found.unwrap_or_default();
        let mut missing = before.lacks(columns);
        if is_new {
            missing.push(NewColumn { name: TIMESTAMP, data_type: "Int64" });
        }
        match declare(api, kind, stream, &missing, report.dry_run).await {
            Ok(Ok(())) if missing.is_empty() => {}
            Ok(Ok(())) => report.row("install", stream, &format!("columns of {signal} created"))?,
            Ok(Err(_)) => {
                let why = format!(
                    "this OpenObserve is too old to create columns of {signal}: panels fail until telemetry has them"
                );
                report.row("wait", stream, &why)?;
                continue;
            }
            Err(error) => {
                report.add("install", stream, Err(error))?;
                continue;
            }
        }
        let defined = define(api, kind, stream, columns, &before, report).await;
        if let Err(error) = defined {
            report.add("install", stream, Err(error))?;
        }
    }
    Ok(())
}

impl StreamSchema {
    /// The columns that the stream has not.
    fn lacks(&self, columns: &[NewColumn]) -> Vec<NewColumn> {
        columns.iter().filter(|column| !self.columns.contains(column.name)).copied().collect()
    }
}

/// Declares the missing columns of a stream, if there are some, and unless this is a dry run.
async fn declare(
    api: &Api,
    kind: SignalKind,
    stream: &str,
    missing: &[NewColumn],
    dry_run: bool,
) -> anyhow::Result<Result<(), NoSuchPath>> {
    if missing.is_empty() || dry_run {
        return Ok(Ok(()));
    }
    api.declare(kind, stream, missing).await
}

/// Adds these columns to the stream's user-defined schema, if it has one. Declaring them may have begun it: OpenObserve then takes
/// columns by their names, so those that the stream had before are added too.
async fn define(
    api: &Api,
    kind: SignalKind,
    stream: &str,
    columns: &[NewColumn],
    before: &StreamSchema,
    report: &mut InstallReport,
) -> anyhow::Result<()> {
    let Some(after) = api.stream_schema(kind, stream).await? else { return Ok(()) };
    if after.defined.is_empty() {
        return Ok(());
    }
    let mut outside: BTreeSet<&str> = columns.iter().map(|column| column.name).collect();
    if before.defined.is_empty() {
        // OpenObserve's own columns belong to each schema.
        outside.extend(before.columns.iter().map(String::as_str).filter(|it| !it.starts_with('_')));
    }
    outside.retain(|column| !after.defined.contains(*column));
    if outside.is_empty() {
        return Ok(());
    }
    if !report.dry_run {
        api.define(kind, stream, &outside).await?;
    }
    let text =
        format!("{} columns of {} added to its user-defined schema", outside.len(), kind.as_str());
    report.row("install", stream, &text)?;
    Ok(())
}
