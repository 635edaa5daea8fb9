//! Keeps `docs/signals.md` true: writes its tables of metrics from the code, compares its tables of attributes with
//! the code, and finds undocumented names.

mod attributes;
mod lambda;
mod library;
mod names;

use super::replace;
use crate::checks;
use anyhow::{Context as _, bail};
use attributes::Attributes;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

const DOCUMENT: &str = "docs/signals.md";

pub(super) fn write() -> anyhow::Result<()> {
    let path = checks::root()?.join(DOCUMENT);
    let before = std::fs::read_to_string(&path).context(DOCUMENT)?;
    let after = with_metrics(&before)?;
    if before != after {
        std::fs::write(&path, after).context(DOCUMENT)?;
    }
    Ok(())
}

/// Fails if a table is outdated, attributes differ from the code, or a name of the code is undocumented.
pub(super) fn check(root: &Path, files: &[String]) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(root.join(DOCUMENT)).context(DOCUMENT)?;
    if with_metrics(&text)? != text {
        bail!("{DOCUMENT}: the tables of metrics are not up to date, run `cargo xtask docs`");
    }
    let mut mistakes = Vec::new();
    for (name, made) in attributes_made()? {
        let mark = format!("attributes: {name}");
        let told = attributes::of_table(super::marked(&text, DOCUMENT, &mark)?);
        mistakes.extend(
            attributes::differences(&told, &made).map(|what| format!("table {name}: {what}")),
        );
    }
    mistakes.extend(names::mistakes(root, files, &text)?);
    if !mistakes.is_empty() {
        bail!("{DOCUMENT}: {}", mistakes.join("; "));
    }
    println!("docs: signals have the names and types that the code gives them");
    Ok(())
}

/// The attributes that the code makes, by the marks of the document's tables.
fn attributes_made() -> anyhow::Result<[(&'static str, Attributes); 5]> {
    let span = lambda::span_attributes(platform::Names::Current)?;
    let mut older = lambda::span_attributes(platform::Names::Legacy)?;
    older.retain(|key, _| !span.contains_key(key));
    let (lines, events) = lambda::record_attributes()?;
    Ok([
        ("rust span", library::span_attributes()?),
        ("platform span", span),
        ("legacy span", older),
        ("line record", lines),
        ("platform record", events),
    ])
}

fn with_metrics(text: &str) -> anyhow::Result<String> {
    let current = lambda::metrics(platform::Names::Current)?;
    let mut older = lambda::metrics(platform::Names::Legacy)?;
    older.retain(|metric| !current.iter().any(|other| is_same(other, metric)));
    let mut text = text.to_owned();
    for (name, metrics) in
        [("forwarder", current), ("layer", lambda::metrics_of_layer()?), ("legacy", older)]
    {
        text = replace(&text, DOCUMENT, &format!("metrics: {name}"), &table(&metrics))?;
    }
    Ok(text)
}

fn is_same(one: &Metric, other: &Metric) -> bool {
    one.name == other.name && kind(one) == kind(other)
}

fn kind(metric: &Metric) -> &'static str {
    match &metric.data {
        Some(Data::Sum(_)) => "sum",
        Some(Data::Histogram(_)) => "histogram",
        Some(Data::Gauge(_)) => "gauge",
        Some(Data::ExponentialHistogram(_) | Data::Summary(_)) | None => "none",
    }
}

fn table(metrics: &[Metric]) -> String {
    let mut metrics: Vec<&Metric> = metrics.iter().collect();
    metrics.sort_by(|one, other| one.name.cmp(&other.name));
    let mut table =
        "| metric | unit | kind | attributes | meaning |\n|---|---|---|---|---|\n".to_owned();
    for metric in metrics {
        let Metric { name, unit, description, .. } = metric;
        let keys = keys_of_points(metric);
        let kind = kind(metric);
        // Writing to a `String` does not fail.
        writeln!(table, "| `{name}` | `{unit}` | {kind} | {keys} | {description} |")
            .unwrap_or_default();
    }
    table
}

/// The attributes of its points, as they stand in a table.
fn keys_of_points(metric: &Metric) -> String {
    let points: Vec<&[KeyValue]> = match &metric.data {
        Some(Data::Sum(sum)) => sum.data_points.iter().map(|it| &*it.attributes).collect(),
        Some(Data::Gauge(gauge)) => gauge.data_points.iter().map(|it| &*it.attributes).collect(),
        Some(Data::Histogram(data)) => data.data_points.iter().map(|it| &*it.attributes).collect(),
        Some(Data::ExponentialHistogram(_) | Data::Summary(_)) | None => Vec::new(),
    };
    let keys: BTreeSet<&str> = points.into_iter().flatten().map(|it| it.key.as_str()).collect();
    let keys: Vec<&str> = keys.into_iter().collect();
    if keys.is_empty() { "–".to_owned() } else { format!("`{}`", keys.join("`, `")) }
}
