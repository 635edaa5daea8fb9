//! Shows a run in the terminal: traces as waterfalls with their logs, and the accounting. The HTML page shows more.

use crate::accounting::{Account, Accounts};
use crate::made::COMPACT;
use crate::run::{Labelled, Run};
use crate::stored::service;
use anstyle::Style;
use console::waterfall::draw::{self, BAD, Detail, GOOD, HEADING, short, terminal_width};
use console::waterfall::{Scoped, Waterfall};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Map, Value};
use std::io::{self, Write};
use test_support::Comparison;
use test_support::openobserve::Stored;

pub(crate) fn write(run: &Run, accounts: &Accounts, out: &mut dyn Write) -> io::Result<()> {
    // The verdict comes first and last.
    verdict(run, accounts, out)?;
    traces(run, out)?;
    accounting(run, accounts, out)?;
    verdict(run, accounts, out)
}

fn verdict(run: &Run, accounts: &Accounts, out: &mut dyn Write) -> io::Result<()> {
    let (style, text) = styled_verdict(run, accounts);
    writeln!(out, "{style}demo: {}{style:#}", console::screen::on_one_line(&text))
}

/// The verdict and its colour.
pub(crate) fn styled_verdict(run: &Run, accounts: &Accounts) -> (Style, String) {
    let made: usize = accounts.by_kind.values().map(|account| account.made).sum();
    let found: usize = accounts.by_kind.values().map(|account| account.found).sum();
    match (&run.elsewhere, run.refused_elsewhere.is_empty(), accounts.balance()) {
        (_, _, false) => (
            BAD,
            format!(
                "NOT BALANCED: {made} items were made, {found} of them found; see the accounting"
            ),
        ),
        (Some(endpoint), false, true) => (
            BAD,
            format!("balanced here, but {endpoint} DID NOT ACCEPT EVERYTHING; see the accounting"),
        ),
        (_, _, true) => (
            GOOD,
            format!("balanced: each of the {made} items was found exactly once in the backend"),
        ),
    }
}

fn traces(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    for trace in waterfalls(run) {
        draw::waterfall(&trace, &label(run, &trace), Detail::default(), terminal_width(), out)?;
    }
    Ok(())
}

pub(crate) const OF_ACCOUNTING: [&str; 6] = [
    "Each item has a number (#1000). The functions also write it to a file, for spans with all attributes.",
    "The function \"stock\" is unchanged and writes no such file: the demo counts its invocations, requests and X-Ray subsegments.",
    "\"made\" is the number of items in these files, in the log groups, and in the notes of the local Lambda and the warehouse.",
    "\"found\" is the number of them in the OTLP that the backend stored, spans with the same attributes.",
    "The demo uses no counter of the forwarder or the extension. Any missing, repeated or unexpected item is a fault.",
    "The function wrote partial spans shortly before the timeout, while they were open.",
];

pub(crate) const COLUMNS: [&str; 5] = ["made", "found", "missing", "repeated", "unexpected"];

/// The numbers of an account, in the order of [`COLUMNS`].
pub(crate) fn numbers(account: &Account) -> [usize; 5] {
    let Comparison { made, found, missing, repeated, unexpected } = account;
    [*made, *found, missing.len(), repeated.len(), unexpected.len()]
}

fn accounting(run: &Run, accounts: &Accounts, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{HEADING}Accounting{HEADING:#}")?;
    for line in OF_ACCOUNTING {
        writeln!(out, "  {line}")?;
    }
    let [made, found, missing, repeated, unexpected] = COLUMNS;
    writeln!(
        out,
        "  {:<24} {made:>6} {found:>11} {missing:>8} {repeated:>9} {unexpected:>11}",
        ""
    )?;
    for (what, account) in &accounts.by_kind {
        let [made, found, missing, repeated, unexpected] = numbers(account);
        let name = what.plural();
        writeln!(
            out,
            "  {name:<24} {made:>6} {found:>11} {missing:>8} {repeated:>9} {unexpected:>11}"
        )?;
    }
    for detail in details(run, accounts) {
        writeln!(out, "  {}", console::screen::on_one_line(&detail))?;
    }
    let compact_lines = run.lines.values().filter(|line| line.starts_with(COMPACT)).count();
    let compact = match compact_lines {
        0 => String::new(),
        count => format!(", {count} compact lines"),
    };
    let events = run.lines.len();
    let forwarder = run.forwarder_invocations;
    writeln!(out, "  {events} log events{compact} -> {forwarder} invocations of the forwarder")
}

/// Returns the missing, repeated and unexpected items, and other notes, one per line.
pub(crate) fn details(run: &Run, accounts: &Accounts) -> Vec<String> {
    let mut details = Vec::new();
    for (what, account) in &accounts.by_kind {
        for (name, numbers) in [
            ("missing", &account.missing),
            ("repeated", &account.repeated),
            ("unexpected", &account.unexpected),
        ] {
            if numbers.is_empty() {
                continue;
            }
            let shown = numbers.iter().map(|number| match run.lines.get(number) {
                Some(line) => format!("\"{}\"", short(line, 60)),
                None => number.clone(),
            });
            let shown: Vec<String> = shown.collect();
            details.push(format!("{} {name}: {}", what.plural(), shown.join(", ")));
        }
    }
    if run.requested_losses > 0 {
        let ordered = run.requested_losses;
        let lost = run.made_losses;
        details.push(format!("the backend was told to lose {ordered}, and lost {lost}"));
    }
    if let Some(endpoint) = &run.elsewhere {
        if run.refused_elsewhere.is_empty() {
            details.push(format!("{endpoint}: accepted everything"));
        }
        details.extend(run.refused_elsewhere.iter().map(|why| format!("{endpoint}: {why}")));
    }
    details
}

/// Names a trace after its invocation.
fn label(run: &Run, trace: &Waterfall) -> String {
    // `invocations` lists a caller before the function that it calls.
    let is_of_trace = |known: &&Labelled| trace.invocations.contains(&known.invocation.request_id);
    match run.invocations.iter().find(is_of_trace) {
        Some(Labelled { function, label, .. }) => format!("{function}, {label}"),
        None => "of no known invocation".to_owned(),
    }
}

/// The names of traces by the ids of their invocations.
pub(crate) fn names(run: &Run) -> Map<String, Value> {
    let named = run.invocations.iter().map(|Labelled { function, label, invocation }| {
        (invocation.request_id.clone(), Value::from(format!("{function}, {label}")))
    });
    named.collect()
}

fn waterfalls(run: &Run) -> Vec<Waterfall> {
    let (spans, records) = items(run);
    console::waterfall::waterfalls(&spans, &records)
}

/// The spans and log records that arrived.
pub(crate) fn items(run: &Run) -> (Vec<Scoped<Span>>, Vec<Scoped<LogRecord>>) {
    let spans = run.arrived.spans.iter().map(item);
    let records = run.arrived.log_records.iter().map(item);
    (spans.collect(), records.collect())
}

fn item<T: Clone>(stored: &Stored<T>) -> Scoped<T> {
    let scope = stored.scope.name.clone();
    Scoped { service: service(stored), scope, item: stored.item.clone() }
}
