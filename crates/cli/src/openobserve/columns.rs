//! Columns of logs and traces that panels and alerts ask, though only some telemetry has them. OpenObserve refuses a query for a
//! missing column.

use super::InstallReport;
use super::api::Api;
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

const OF_LOGS: [NewColumn; 18] = [
    number("aws_lambda_billed_duration_ms_number"),
    number("aws_lambda_duration_ms_number"),
    text("aws_lambda_event_type"),
    number("aws_lambda_init_duration_ms_number"),
    number("aws_lambda_max_memory_used_mb_number"),
    number("aws_lambda_memory_size_mb_number"),
    text("aws_lambda_status"),
    text("body"),
    text("exception_message"),
    text("exception_type"),
    text("faas_invocation_id"),
    text("faas_name"),
    text("lambda_otlp_adjusted_count"),
    text("lambda_otlp_exception_fingerprint"),
    text("service_name"),
    text("severity"),
    text("span_id"),
    text("trace_id"),
];

/// Every span has the other columns.
const OF_TRACES: [NewColumn; 5] = [
    text("faas_coldstart"),
    text("faas_invocation_id"),
    text("lambda_otlp_adjusted_count"),
    text("reference_parent_span_id"),
    text("status_message"),
];

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
        let present = api.columns(kind, stream).await?;
        let is_new = present.is_none();
        let present_names: BTreeSet<String> = present.unwrap_or_default();
        let mut missing: Vec<NewColumn> =
            columns.iter().filter(|column| !present_names.contains(column.name)).copied().collect();
        if missing.is_empty() {
            continue;
        }
        if is_new {
            missing.push(NewColumn { name: TIMESTAMP, data_type: "Int64" });
        }
        let declared =
            if report.dry_run { Ok(Ok(())) } else { api.declare(kind, stream, &missing).await };
        match declared {
            Ok(Ok(())) => report.row("install", stream, &format!("columns of {signal} created"))?,
            Ok(Err(_)) => {
                let why = format!(
                    "this OpenObserve is too old to create columns of {signal}: panels fail until telemetry has them"
                );
                report.row("wait", stream, &why)?;
            }
            Err(error) => report.add("install", stream, Err(error))?,
        }
    }
    Ok(())
}
