//! Sends invocations through a forwarder whose rules sample, and compares the counts of panels with those of what was sent.

use super::edge;
use super::panels;
use super::senders::{Senders, now};
use super::server::{Columns, Server};
use crate::checks::delivery;
use anyhow::Context as _;
use serde_json::{Value, json};
use std::path::Path;

const FUNCTION: &str = "figures_sampled";
const RULES: &str = "[[rule]]\nname = \"half\"\nsample = 0.5\n";
const INVOCATIONS: u32 = 2_000;
const OF_EVENT: u32 = 250;
/// The standard deviation of these sampled counts is 0.022. Without the adjusted count, a count is 0.5 off.
const MOST_OFF: f64 = 0.07;

/// Each invocation prints an error, and has a failed span with another one below.
fn lines(number: u32, unix_nano: u64) -> anyhow::Result<Vec<String>> {
    let id = format!("00000000-0000-4000-8000-{number:012}");
    let trace_id = format!("{:032x}", u128::from(number + 1) << 64 | 0x005a_3d1e);
    let span = |place: u32, status: u8| {
        json!({
            "traceId": trace_id,
            "spanId": format!("{:016x}", number * 2 + place),
            "parentSpanId": if place == 1 { String::new() } else { format!("{:016x}", number * 2 + 1) },
            "name": "order",
            "kind": if place == 1 { 2 } else { 1 },
            "startTimeUnixNano": unix_nano.to_string(),
            "endTimeUnixNano": (unix_nano + 10_000_000).to_string(),
            "attributes": [edge::attribute("faas.invocation_id", &json!({ "stringValue": id }))],
            "status": { "code": status },
        })
    };
    let service = edge::attribute("service.name", &json!({ "stringValue": FUNCTION }));
    let traces = json!({ "resourceSpans": [{
        "resource": { "attributes": [service] },
        "scopeSpans": [{ "spans": [span(1, 2), span(2, 0)] }],
    }]});
    Ok(vec![
        format!("START RequestId: {id} Version: $LATEST"),
        format!(
            "[ERROR] ValueError: no stock of {number}\rTraceback (most recent call last):\r  File \"/var/task/app.py\", line 3, in place\r    raise ValueError(text)"
        ),
        edge::line("/v1/traces", edge::traces(traces)?),
        format!("END RequestId: {id}"),
        format!(
            "REPORT RequestId: {id}\tDuration: 10.00 ms\tBilled Duration: 10 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB"
        ),
    ])
}

pub(super) async fn send(senders: &Senders<'_>, organization: &str) -> anyhow::Result<()> {
    let time = now();
    let mut events = Vec::new();
    for first in (0..INVOCATIONS).step_by(OF_EVENT as usize) {
        let mut all = Vec::new();
        for number in first..first + OF_EVENT {
            all.extend(lines(number, time)?);
        }
        let group = format!("/aws/lambda/{FUNCTION}");
        events.push(delivery(&group, "2026/11/22/[$LATEST]0", time, &all));
    }
    senders.deliver_by_rules(organization, RULES, &events).await
}

/// Returns the differences between the panels' counts and those of what was sent.
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
    let groups = ask("errors", "groups").await?;
    let services = ask("traces", "services").await?;
    let figures = [
        ("errors", &groups, "x_axis_4", INVOCATIONS),
        ("spans", &services, "x_axis_2", 2 * INVOCATIONS),
        ("failed spans", &services, "x_axis_3", INVOCATIONS),
    ];
    let mut differences = Vec::new();
    for (what, row, column, sent) in figures {
        let shown = row.get(column).and_then(Value::as_f64).unwrap_or(f64::NAN);
        println!("sampled: {what}: sent {sent}, shown {shown}");
        // Not a number is never near.
        let is_near = (shown / f64::from(sent) - 1.0).abs() <= MOST_OFF;
        if !is_near {
            differences.push(format!("{FUNCTION}: {what}: sent {sent}, shown {shown}"));
        }
    }
    Ok(differences)
}
