//! Metrics as lines in CloudWatch's embedded metric format.
//!
//! Source: CloudWatch User Guide, "Specification: Embedded metric format". Only four values are CloudWatch metrics, because each
//! costs a monthly fee. The others are fields for CloudWatch Logs Insights.

use super::sums::{Lag, Sums};
use crate::ledger::Ledger;
use crate::report::Report;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

const NAMESPACE: &str = "lambda-otlp";

const METRICS: [(&str, &str); 4] = [
    ("Accepted", "Count"),
    ("Parked", "Count"),
    ("DeadLettered", "Count"),
    ("Lag", "Milliseconds"),
];

/// A line for each invocation of a busy environment would cost more than the compact OTLP lines that it forwards.
const MOST_LINES_A_MINUTE: u32 = 10;

/// The lines of one execution environment.
#[derive(Debug)]
pub(super) struct EmfVitals {
    /// The forwarder's name.
    function: String,
    state: Mutex<Unwritten>,
}

#[derive(Debug, Default)]
struct Unwritten {
    sums: Sums,
    minute: u64,
    lines_of_minute: u32,
}

impl EmfVitals {
    pub(super) fn new(function: String) -> Self {
        Self { function, state: Mutex::default() }
    }

    /// Adds one invocation. Returns the next line without newline, unless this minute has enough of them and all went well: the
    /// values then wait for the next line, and are missing if the environment ends before it.
    pub(super) fn line(&self, report: &Report, now_unix_nano: u64) -> Option<String> {
        let now_ms = now_unix_nano / 1_000_000;
        let minute = now_ms / 60_000;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sums.add(report, now_unix_nano);
        if state.minute != minute {
            (state.minute, state.lines_of_minute) = (minute, 0);
        }
        if state.lines_of_minute >= MOST_LINES_A_MINUTE && went_well(report) {
            return None;
        }
        state.lines_of_minute += 1;
        Some(line(&std::mem::take(&mut state.sums), &self.function, now_ms))
    }
}

fn went_well(report: &Report) -> bool {
    let Ledger { parked, dead_lettered, returned, ambiguous, .. } = *report.ledger();
    parked + dead_lettered + returned + ambiguous + report.panics == 0 && report.account.balances()
}

/// The line of these invocations.
fn line(sums: &Sums, function: &str, now_ms: u64) -> String {
    let Sums { report, lag, .. } = sums;
    // CloudWatch rejects a line with a metric that has no value.
    let is_there = |name: &str| name != "Lag" || lag.is_some();
    let metrics: Vec<_> = METRICS
        .iter()
        .filter(|(name, _)| is_there(name))
        .map(|(name, unit)| json!({"Name": name, "Unit": unit}))
        .collect();
    let directive = json!({
        "Timestamp": now_ms,
        "CloudWatchMetrics": [{
            "Namespace": NAMESPACE, "Dimensions": [["FunctionName"]], "Metrics": metrics,
        }],
    });
    let mut line = Map::new();
    line.insert("_aws".to_owned(), directive);
    line.insert("FunctionName".to_owned(), function.into());
    line.extend(figures(sums).into_iter().map(|(name, value)| (name.to_owned(), value.into())));
    if let Some(Lag { min_ms: least, max_ms: most, .. }) = lag {
        let value = if least == most { json!(least) } else { json!([least, most]) };
        line.insert("Lag".to_owned(), value);
    }
    let consumed = report.ledger().consumed.by_rule().into_iter();
    let consumed_by: BTreeMap<_, _> = consumed.filter(|(_, events)| *events > 0).collect();
    if !consumed_by.is_empty() {
        line.insert("consumedBy".to_owned(), json!(consumed_by));
    }
    let destinations = &report.account.destinations;
    if destinations.len() > 1 {
        let of_name = |(name, ledger): (&String, &Ledger)| {
            let fates = json!({
                "items": ledger.items.total(), "accepted": ledger.accepted, "parked": ledger.parked,
                "deadLettered": ledger.dead_lettered, "dropped": ledger.dropped,
                "returned": ledger.returned,
            });
            (name.clone(), fates)
        };
        let destinations: Map<String, Value> = destinations.iter().map(of_name).collect();
        line.insert("destinations".to_owned(), Value::Object(destinations));
    }
    let dropping = report.rules.iter().filter(|effect| effect.dropped > 0);
    let dropped_by_rule: BTreeMap<&str, usize> =
        dropping.map(|effect| (&*effect.rule, effect.dropped)).collect();
    if !dropped_by_rule.is_empty() {
        line.insert("droppedByRule".to_owned(), json!(dropped_by_rule));
    }
    Value::Object(line).to_string()
}

/// All numbers that add up.
fn figures(Sums { report, taken_of_returned, .. }: &Sums) -> Vec<(&'static str, i64)> {
    let ledger = report.ledger();
    let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let mut figures = vec![
        ("Accepted", signed(ledger.accepted)),
        ("Parked", signed(ledger.parked)),
        ("DeadLettered", signed(ledger.dead_lettered)),
        ("received", signed(ledger.events)),
        ("consumed", signed(ledger.consumed.total())),
        ("spans", signed(ledger.items.spans)),
        ("dataPoints", signed(ledger.items.data_points)),
        ("logRecords", signed(ledger.items.log_records)),
        ("undecodable", signed(ledger.items.undecodable)),
        ("dropped", signed(ledger.dropped)),
        ("returned", signed(ledger.returned)),
        ("takenOfReturned", signed(*taken_of_returned)),
        ("ambiguous", signed(ledger.ambiguous)),
        ("lost", ledger.lost()),
        ("panics", signed(report.panics)),
        ("requests", signed(report.requests_sent)),
        ("bytes", signed(report.bytes_sent)),
    ];
    figures.extend((report.renamed > 0).then(|| ("renamedKeys", signed(report.renamed))));
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Items;
    use expect_test::expect;

    #[test]
    fn an_emf_line_contains_all_figures_of_a_report() {
        let mut report =
            Report { oldest_event_ms: Some(1_000), requests_sent: 3, ..Report::default() };
        report.account.total.events = 7;
        let items = Items { spans: 4, log_records: 2, ..Items::default() };
        report
            .account
            .add("default", Ledger { items, accepted: 5, parked: 1, ..Ledger::default() });
        let vitals = EmfVitals::new("forwarder".to_owned());
        let line = vitals.line(&report, 2_500_000_000).unwrap();
        expect![[r#"{"Accepted":5,"DeadLettered":0,"FunctionName":"forwarder","Lag":1500,"Parked":1,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["FunctionName"]],"Metrics":[{"Name":"Accepted","Unit":"Count"},{"Name":"Parked","Unit":"Count"},{"Name":"DeadLettered","Unit":"Count"},{"Name":"Lag","Unit":"Milliseconds"}],"Namespace":"lambda-otlp"}],"Timestamp":2500},"ambiguous":0,"bytes":0,"consumed":0,"dataPoints":0,"dropped":0,"logRecords":2,"lost":0,"panics":0,"received":7,"requests":3,"returned":0,"spans":4,"takenOfReturned":0,"undecodable":0}"#]].assert_eq(&line);
        // CloudWatch rejects a line without one of its metrics.
        assert!(!vitals.line(&Report::default(), 2_500_000_000).unwrap().contains("Lag"));
    }

    #[test]
    fn a_busy_environment_writes_ten_lines_a_minute() {
        const SECOND: u64 = 1_000_000_000;
        let vitals = EmfVitals::new("forwarder".to_owned());
        let report = |lag_ms: i64, ledger: Ledger| {
            let mut report = Report { oldest_event_ms: Some(30_000 - lag_ms), ..Report::default() };
            report.account.add("default", ledger);
            report
        };
        let items = Items { spans: 2, ..Items::default() };
        let well = Ledger { items, accepted: 2, ..Ledger::default() };
        let lines = |number: usize| {
            let written = (0..number).filter_map(|_| vitals.line(&report(500, well), 30 * SECOND));
            written.count()
        };
        assert_eq!(lines(13), 10);
        let parked = Ledger { items, parked: 2, ..Ledger::default() };
        let line = vitals.line(&report(900, parked), 30 * SECOND).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["Accepted"], &line["Parked"]), (&json!(6), &json!(2)), "three waited");
        assert_eq!(line["Lag"], json!([500, 900]));
        assert_eq!(lines(4), 0);
        let line = vitals.line(&Report::default(), 60 * SECOND).unwrap();
        assert!(line.contains(r#""Accepted":8"#), "{line}");
    }
}
