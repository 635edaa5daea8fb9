//! Sends invocations of two functions, and compares the figures of panels with those of what was sent.

use super::panels;
use super::senders::{Senders, two_minutes_ago};
use super::server::{Columns, Server};
use crate::checks::delivery;
use anyhow::Context as _;
use serde_json::Value;
use std::path::Path;

const HOUR_NANOS: u64 = 60 * 60 * 1_000_000_000;
/// OpenObserve accepts log records of the last five hours.
const HOURS: u64 = 4;
const AN_HOUR: u32 = 50;
/// The prices at the top of the dashboard.
const PER_GB_SECOND: f64 = 0.000_016_666_7;
const PER_REQUEST: f64 = 0.2 / 1e6;

/// A function whose invocations are sent, and the kinds of its errors: one invocation in this many has it.
struct Sent {
    name: &'static str,
    memory_mb: u32,
    /// Milliseconds of its fastest invocation.
    fastest: u32,
    errors: [(&'static str, u32); 2],
}

const SENT: [Sent; 2] = [
    Sent { name: "figures_a", memory_mb: 512, fastest: 20, errors: [("place", 10), ("pay", 25)] },
    Sent { name: "figures_b", memory_mb: 1024, fastest: 300, errors: [("pay", 20), ("send", 50)] },
];

struct SentInvocation {
    number: u32,
    duration_ms: f64,
    used_mb: u32,
    is_cold: bool,
    /// The function in the code that failed.
    failed_in: Option<&'static str>,
}

impl Sent {
    fn invocations(&self) -> impl Iterator<Item = SentInvocation> {
        (0..AN_HOUR * u32::try_from(HOURS).unwrap_or(1)).map(|number| SentInvocation {
            number,
            // A permutation, so that each hour has all durations.
            duration_ms: f64::from(self.fastest) * (1.0 + f64::from(number * 37 % AN_HOUR) / 10.0),
            used_mb: self.memory_mb / 2 + number % 50,
            is_cold: number.is_multiple_of(40),
            failed_in: self.errors.iter().find(|(_, of)| number % of == 1).map(|(place, _)| *place),
        })
    }

    fn lines(&self, hour: u64) -> Vec<String> {
        let first = AN_HOUR * u32::try_from(hour).unwrap_or_default();
        let of_hour = self.invocations().filter(|it| (first..first + AN_HOUR).contains(&it.number));
        of_hour.flat_map(|invocation| self.lines_of(&invocation)).collect()
    }

    fn lines_of(&self, invocation: &SentInvocation) -> Vec<String> {
        let SentInvocation { number, duration_ms, used_mb, is_cold, failed_in } = *invocation;
        let id = format!("00000000-0000-4000-8000-{:08x}{number:04}", self.memory_mb);
        let mut lines = Vec::new();
        if let Some(place) = failed_in {
            // Line numbers and ids differ, and the place in the code does not.
            lines.push(format!(
                "[ERROR] ValueError: no stock of {number}\rTraceback (most recent call last):\r  File \"/var/task/app.py\", line {}, in {place}\r    raise ValueError(text)",
                number + 3
            ));
        }
        let init = if is_cold { "\tInit Duration: 200.00 ms" } else { "" };
        let status = if failed_in.is_some() { "\tStatus: error" } else { "" };
        let billed = billed_ms(invocation);
        lines.push(format!(
            "REPORT RequestId: {id}\tDuration: {duration_ms:.2} ms\tBilled Duration: {billed:.0} ms\tMemory Size: {} MB\tMax Memory Used: {used_mb} MB{init}{status}",
            self.memory_mb
        ));
        lines
    }

    /// The columns of the table of functions that must be exact, in order: invocations, errors in percent, cold starts, memory
    /// headroom in percent, and cost.
    fn exact(&self) -> [(&'static str, f64); 5] {
        let count = |is: fn(&SentInvocation) -> bool| {
            f64::from(u32::try_from(self.invocations().filter(is).count()).unwrap_or_default())
        };
        let number = count(|_| true);
        let memory = f64::from(self.memory_mb);
        let used = self.invocations().map(|it| it.used_mb).max().unwrap_or_default();
        let seconds: f64 = self.invocations().map(|it| billed_ms(&it) / 1000.0).sum();
        [
            ("x_axis_2", number),
            ("x_axis_3", 100.0 * count(|it| it.failed_in.is_some()) / number),
            ("x_axis_7", count(|it| it.is_cold)),
            ("x_axis_8", 100.0 * (1.0 - f64::from(used) / memory)),
            ("x_axis_9", seconds * memory / 1024.0 * PER_GB_SECOND + number * PER_REQUEST),
        ]
    }

    /// The percentiles of the table of functions, which are interpolated in buckets.
    fn percentiles(&self) -> [(&'static str, f64); 3] {
        let mut all: Vec<f64> = self.invocations().map(|it| it.duration_ms).collect();
        all.sort_by(f64::total_cmp);
        let at = |percent: usize| all.get(all.len() * percent / 100).copied().unwrap_or_default();
        [("x_axis_4", at(50)), ("x_axis_5", at(95)), ("x_axis_6", at(99))]
    }

    /// The number of errors of each kind, the most frequent first.
    fn errors(&self) -> Vec<usize> {
        let of = |place: &str| {
            self.invocations().filter(|it| it.failed_in.is_some_and(|at| at == place)).count()
        };
        let mut counts: Vec<usize> = self.errors.iter().map(|(place, _)| of(place)).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts
    }
}

fn billed_ms(invocation: &SentInvocation) -> f64 {
    invocation.duration_ms.ceil() + if invocation.is_cold { 200.0 } else { 0.0 }
}

pub(super) async fn send(senders: &Senders<'_>, organization: &str) -> anyhow::Result<()> {
    let mut events = Vec::new();
    for function in &SENT {
        for hour in 0..HOURS {
            let group = format!("/aws/lambda/{}", function.name);
            let time = two_minutes_ago() - hour * HOUR_NANOS;
            events.push(delivery(&group, "2026/11/22/[$LATEST]0", time, &function.lines(hour)));
        }
    }
    senders.deliver(organization, &events).await
}

/// Returns the differences between the panels' figures and those of what was sent.
pub(super) async fn check(
    server: &Server,
    organization: &str,
    root: &Path,
) -> anyhow::Result<Vec<String>> {
    /// The widest bucket of durations is 2.5 times as wide as its lower bound.
    const MAX_OFF: f64 = 0.25;
    let ask = async |file: &str, panel: &str| -> anyhow::Result<Vec<Columns>> {
        let query = panels::query(root, file, panel).context("no such panel")?;
        server.search(organization, &query.signal, &query.asked).await
    };
    let functions = ask("overview", "functions").await?;
    let groups = ask("errors", "groups").await?;
    let mut differences = Vec::new();
    for function in &SENT {
        let is_its = |row: &&Columns| row.get("x_axis_1").is_some_and(|it| it == function.name);
        let row = functions.iter().find(is_its).cloned().unwrap_or_default();
        let figure = |column: &str| row.get(column).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let exact = function.exact().map(|(column, sent)| (column, sent, 1e-9));
        let rough = function.percentiles().map(|(column, sent)| (column, sent, MAX_OFF));
        for (column, sent, max_off) in exact.into_iter().chain(rough) {
            let shown = figure(column);
            // Not a number is never near.
            let is_near = (shown - sent).abs() <= max_off * sent.abs();
            if !is_near {
                differences
                    .push(format!("{}: {column}: sent {sent}, shown {shown}", function.name));
            }
        }
        let of_function = groups.iter().filter(is_its);
        let count = |row: &Columns| row.get("x_axis_4").and_then(Value::as_u64);
        let shown: Vec<usize> =
            of_function.filter_map(|row| usize::try_from(count(row)?).ok()).collect();
        let sent = function.errors();
        if shown != sent {
            differences.push(format!("{}: errors: sent {sent:?}, shown {shown:?}", function.name));
        }
    }
    Ok(differences)
}
