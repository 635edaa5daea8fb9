//! Metrics as lines in CloudWatch's embedded metric format.
//!
//! Source: CloudWatch User Guide, "Specification: Embedded metric format". Only four values are CloudWatch metrics, because each
//! costs a monthly fee. The others are fields for CloudWatch Logs Insights.

use super::sums::{Lag, Sums};
use crate::ledger::Ledger;
use crate::report::Report;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const METRICS: [(&str, &str); 4] = [
    ("Accepted", "Count"),
    ("Parked", "Count"),
    ("DeadLettered", "Count"),
    ("Lag", "Milliseconds"),
];

/// A line for each invocation of a busy environment would cost more than the compact OTLP lines that it forwards.
const MAX_LINES_A_MINUTE: u32 = 10;

/// What the next line of an execution environment reports.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    sums: Sums,
    minute: u64,
    lines_of_minute: u32,
}

impl Unwritten {
    /// Adds one invocation. Returns the next line without newline, unless this minute has enough of them and all went well: the
    /// values then wait for the next line, and are missing if the environment ends before it.
    pub(super) fn line(
        &mut self,
        report: &Report,
        function: &str,
        now_unix_nano: u64,
    ) -> Option<String> {
        let now_ms = now_unix_nano / 1_000_000;
        let minute = now_ms / 60_000;
        self.sums.add(report, now_unix_nano);
        if self.minute != minute {
            self.minute = minute;
            self.lines_of_minute = 0;
        }
        if self.lines_of_minute >= MAX_LINES_A_MINUTE && went_well(report) {
            return None;
        }
        self.lines_of_minute += 1;
        Some(line(&std::mem::take(&mut self.sums), function, now_ms))
    }
}

fn went_well(report: &Report) -> bool {
    let Ledger { parked, dead_lettered, returned, ambiguous, .. } = *report.ledger();
    let problems = parked + dead_lettered + returned + ambiguous + report.panics;
    problems == 0 && report.ledgers.balances()
}

/// The line of these invocations.
fn line(sums: &Sums, function: &str, now_ms: u64) -> String {
    let Sums { reports, taken_of_returned, lag, .. } = sums;
    // CloudWatch rejects a line with a metric that has no value.
    let has_value = |name: &str| name != "Lag" || lag.is_some();
    let metrics: Vec<_> = METRICS
        .iter()
        .filter(|(name, _)| has_value(name))
        .map(|(name, unit)| json!({"Name": name, "Unit": unit}))
        .collect();
    let ledger = &reports.ledgers.total;
    let mut line = json!({
        "_aws": {
            "Timestamp": now_ms,
            "CloudWatchMetrics": [{
                "Namespace": "lambda-otlp", "Dimensions": [["FunctionName"]], "Metrics": metrics,
            }],
        },
        "FunctionName": function,
        "Accepted": ledger.accepted,
        "Parked": ledger.parked,
        "DeadLettered": ledger.dead_lettered,
        "received": ledger.events,
        "consumed": ledger.consumed.total(),
        "spans": ledger.items.spans,
        "dataPoints": ledger.items.data_points,
        "logRecords": ledger.items.log_records,
        "undecodable": ledger.items.undecodable,
        "dropped": ledger.dropped,
        "returned": ledger.returned,
        "takenOfReturned": taken_of_returned,
        "ambiguous": ledger.ambiguous,
        "lost": ledger.lost(),
        "panics": reports.panics,
        "requests": reports.requests_sent,
        "bytes": reports.bytes_sent,
    });
    let above_zero = |count: usize| (count > 0).then(|| json!(count));
    let consumed = ledger.consumed.by_cause().into_iter();
    let dropped_by_rule = reports.rules.iter().map(|effect| (&*effect.rule, effect.dropped));
    let destinations = &reports.ledgers.destinations;
    let fates_of = |(name, ledger): (&String, &Ledger)| {
        let fates = json!({
            "items": ledger.items.total(), "accepted": ledger.accepted, "parked": ledger.parked,
            "deadLettered": ledger.dead_lettered, "dropped": ledger.dropped,
            "returned": ledger.returned,
        });
        (name.clone(), fates)
    };
    let by_destination =
        (destinations.len() > 1).then(|| destinations.iter().map(fates_of).collect::<Value>());
    let optional = [
        ("Lag", lag.as_ref().map(lag_value)),
        ("renamedKeys", above_zero(reports.renamed)),
        ("executions", above_zero(ledger.items.executions)),
        ("undivided", above_zero(ledger.undivided)),
        ("cut", above_zero(ledger.cut)),
        ("consumedBy", nonzero(consumed)),
        ("destinations", by_destination),
        ("droppedByRule", nonzero(dropped_by_rule)),
    ];
    for (name, value) in optional {
        if let (Some(value), Some(fields)) = (value, line.as_object_mut()) {
            fields.insert(name.to_owned(), value);
        }
    }
    line.to_string()
}

/// One lag, or the smallest and the largest of several.
fn lag_value(Lag { min_ms, max_ms, .. }: &Lag) -> Value {
    if min_ms == max_ms { json!(min_ms) } else { json!([min_ms, max_ms]) }
}

/// The counts above 0 as an object; `None` if there are none.
fn nonzero<'a>(counts: impl Iterator<Item = (&'a str, usize)>) -> Option<Value> {
    let counts: BTreeMap<&str, usize> = counts.filter(|(_, count)| *count > 0).collect();
    (!counts.is_empty()).then(|| json!(counts))
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
        report.ledgers.total.events = 7;
        report.ledgers.total.cut = 1;
        report.ledgers.total.undivided = 2;
        let items = Items { spans: 4, log_records: 2, ..Items::default() };
        report
            .ledgers
            .add("default", Ledger { items, accepted: 5, parked: 1, ..Ledger::default() });
        let mut vitals = Unwritten::default();
        let line = vitals.line(&report, "forwarder", 2_500_000_000).unwrap();
        expect![[r#"{"Accepted":5,"DeadLettered":0,"FunctionName":"forwarder","Lag":1500,"Parked":1,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["FunctionName"]],"Metrics":[{"Name":"Accepted","Unit":"Count"},{"Name":"Parked","Unit":"Count"},{"Name":"DeadLettered","Unit":"Count"},{"Name":"Lag","Unit":"Milliseconds"}],"Namespace":"lambda-otlp"}],"Timestamp":2500},"ambiguous":0,"bytes":0,"consumed":0,"cut":1,"dataPoints":0,"dropped":0,"logRecords":2,"lost":0,"panics":0,"received":7,"requests":3,"returned":0,"spans":4,"takenOfReturned":0,"undecodable":0,"undivided":2}"#]].assert_eq(&line);
        // CloudWatch rejects a line without one of its metrics.
        assert!(!vitals.line(&Report::default(), "", 2_500_000_000).unwrap().contains("Lag"));
    }

    #[test]
    fn a_busy_environment_writes_ten_lines_a_minute() {
        const SECOND: u64 = 1_000_000_000;
        let mut vitals = Unwritten::default();
        let report = |lag_ms: i64, ledger: Ledger| {
            let mut report = Report { oldest_event_ms: Some(30_000 - lag_ms), ..Report::default() };
            report.ledgers.add("default", ledger);
            report
        };
        let items = Items { spans: 2, ..Items::default() };
        let well = Ledger { items, accepted: 2, ..Ledger::default() };
        let lines = |vitals: &mut Unwritten, number: usize| {
            let line = |_| vitals.line(&report(500, well), "forwarder", 30 * SECOND);
            (0..number).filter_map(line).count()
        };
        assert_eq!(lines(&mut vitals, 13), 10);
        let parked = Ledger { items, parked: 2, ..Ledger::default() };
        let text = vitals.line(&report(900, parked), "forwarder", 30 * SECOND).unwrap();
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["Accepted"], &line["Parked"]), (&json!(6), &json!(2)), "three waited");
        assert_eq!(line["Lag"], json!([500, 900]));
        assert_eq!(lines(&mut vitals, 4), 0);
        let line = vitals.line(&Report::default(), "forwarder", 60 * SECOND).unwrap();
        assert!(line.contains(r#""Accepted":8"#), "{line}");
    }
}
