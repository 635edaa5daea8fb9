//! Sends invocations through a forwarder whose rules keep whole traces, and compares the figures of panels with those of all
//! invocations.

use super::edge;
use super::panels;
use super::senders::{Senders, two_minutes_ago};
use super::server::{Columns, Server};
use crate::checks::delivery;
use anyhow::Context as _;
use serde_json::{Value, json};
use std::path::Path;

const FUNCTION: &str = "figures_sampled";
/// The part of the example in docs/rules.md that is sampled: 5 %.
const INVOCATIONS: u32 = 100_000;
const OF_EVENT: u32 = 500;
/// The standard deviation of a count of sampled items is 0.014. The ids never change, so each run keeps the same traces.
const MAX_OFF: f64 = 0.02;

struct Invocation {
    number: u32,
}

impl Invocation {
    fn all() -> impl Iterator<Item = Self> {
        (0..INVOCATIONS).map(|number| Self { number })
    }

    fn fails(&self) -> bool {
        self.number % 100 == 7
    }

    /// One in 50 takes longer than the second of the rule.
    fn duration_ms(&self) -> u32 {
        let is_slow = self.number % 50 == 3;
        if is_slow { 1_200 } else { 20 + self.number * 37 % 400 }
    }

    /// The failing ones print an error. Each has a span with another one below.
    fn lines(&self, unix_nano: u64) -> anyhow::Result<Vec<String>> {
        let Self { number } = self;
        let duration_ms = self.duration_ms();
        let id = format!("00000000-0000-4000-8000-{number:012}");
        let trace_id = format!("{:032x}", u128::from(number + 1) << 64 | 0x005a_3d1e);
        let root_id = format!("{:016x}", number * 2 + 1);
        let end_unix_nano = unix_nano + u64::from(duration_ms) * 1_000_000;
        let invocation_id = edge::attribute("faas.invocation_id", &json!({ "stringValue": id }));
        let root = json!({
            "traceId": trace_id,
            "spanId": root_id,
            "name": "order",
            "kind": 2,
            "startTimeUnixNano": unix_nano.to_string(),
            "endTimeUnixNano": end_unix_nano.to_string(),
            "attributes": [invocation_id],
            "status": { "code": if self.fails() { 2 } else { 0 } },
        });
        let child = json!({
            "traceId": trace_id,
            "spanId": format!("{:016x}", number * 2 + 2),
            "parentSpanId": root_id,
            "name": "INSERT orders",
            "kind": 3,
            "startTimeUnixNano": unix_nano.to_string(),
            "endTimeUnixNano": (unix_nano + 1_000_000).to_string(),
        });
        let service = edge::attribute("service.name", &json!({ "stringValue": FUNCTION }));
        let traces = json!({ "resourceSpans": [{
            "resource": { "attributes": [service] },
            "scopeSpans": [{ "spans": [root, child] }],
        }]});
        let mut lines = vec![format!("START RequestId: {id} Version: $LATEST")];
        if self.fails() {
            lines.push(format!(
                "[ERROR] ValueError: no stock of {number}\rTraceback (most recent call last):\r  File \"/var/task/app.py\", line 3, in place\r    raise ValueError(text)"
            ));
        }
        lines.push(edge::line("/v1/traces", edge::traces(traces)?));
        lines.push(format!("END RequestId: {id}"));
        lines.push(format!(
            "REPORT RequestId: {id}\tDuration: {duration_ms}.00 ms\tBilled Duration: {duration_ms} ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB"
        ));
        Ok(lines)
    }
}

/// The example of docs/rules.md that keeps failed and slow traces, and 5 % of the others.
fn rules(root: &Path) -> anyhow::Result<String> {
    let page = std::fs::read_to_string(root.join("docs/rules.md"))?;
    let examples = page.split("```toml\n").filter_map(|after| after.split("```").next());
    let example = examples.into_iter().find(|example| example.contains("failed traces"));
    example.map(str::to_owned).context("docs/rules.md: no example with failed traces")
}

pub(super) async fn send(
    senders: &Senders<'_>,
    organization: &str,
    root: &Path,
) -> anyhow::Result<()> {
    let time = two_minutes_ago();
    let mut events = Vec::new();
    let mut lines = Vec::new();
    for invocation in Invocation::all() {
        lines.extend(invocation.lines(time)?);
        if (invocation.number + 1).is_multiple_of(OF_EVENT) {
            let group = format!("/aws/lambda/{FUNCTION}");
            events.push(delivery(&group, "2026/11/22/[$LATEST]0", time, &lines));
            lines.clear();
        }
    }
    senders.deliver_by_rules(organization, &rules(root)?, &events).await
}

/// A figure of a panel, and the same of all invocations.
struct Figure<'a> {
    what: &'static str,
    row: &'a Columns,
    column: &'static str,
    sent: f64,
    max_off: f64,
}

/// Returns the differences between the panels' figures and those of what was sent.
pub(super) async fn check(
    server: &Server,
    organization: &str,
    root: &Path,
) -> anyhow::Result<Vec<String>> {
    let ask = async |file: &str, panel: &str| -> anyhow::Result<Columns> {
        let query = panels::query(root, file, panel).context("no such panel")?;
        let rows = server.search(organization, &query.signal, &query.asked).await?;
        let is_its = |row: &&Columns| row.get("x_axis_1").is_some_and(|it| it == FUNCTION);
        Ok(rows.iter().find(is_its).cloned().unwrap_or_default())
    };
    let functions = ask("overview", "functions").await?;
    let groups = ask("errors", "groups").await?;
    let services = ask("traces", "services").await?;
    let number = f64::from(INVOCATIONS);
    let failed = f64::from(u32::try_from(Invocation::all().filter(Invocation::fails).count())?);
    let figure = |what, row, column, sent, max_off| Figure { what, row, column, sent, max_off };
    let figures = [
        // Metrics and failed traces are never sampled.
        figure("invocations", &functions, "x_axis_2", number, 0.0),
        figure("errors", &groups, "x_axis_4", failed, 0.0),
        figure("failed spans", &services, "x_axis_3", failed, 0.0),
        figure("spans", &services, "x_axis_2", 2.0 * number, MAX_OFF),
        figure("p95", &services, "x_axis_4", percentile(95), 2.0 * MAX_OFF),
    ];
    let mut differences = Vec::new();
    for Figure { what, row, column, sent, max_off } in figures {
        let shown = row.get(column).and_then(Value::as_f64).unwrap_or(f64::NAN);
        println!("sampled: {what}: sent {sent}, shown {shown}");
        // Not a number is never near.
        let is_near = (shown / sent - 1.0).abs() <= max_off;
        if !is_near {
            differences.push(format!("{FUNCTION}: {what}: sent {sent}, shown {shown}"));
        }
    }
    Ok(differences)
}

/// The percentile of the durations of all invocations, in milliseconds.
fn percentile(percent: usize) -> f64 {
    let mut all: Vec<u32> = Invocation::all().map(|it| it.duration_ms()).collect();
    all.sort_unstable();
    all.get(all.len() * percent / 100).map_or(f64::NAN, |duration| f64::from(*duration))
}
