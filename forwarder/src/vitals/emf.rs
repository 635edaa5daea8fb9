//! Metrics of each invocation as one line in CloudWatch's embedded metric format.
//!
//! Source: CloudWatch User Guide, "Specification: Embedded metric format". Only four values are CloudWatch metrics, because each
//! costs a monthly fee. The others are fields for CloudWatch Logs Insights.

use crate::pipeline::report::Report;
use serde_json::{Map, Value, json};

const NAMESPACE: &str = "lambda-otlp";

const METRICS: [(&str, &str); 4] = [
    ("Accepted", "Count"),
    ("Parked", "Count"),
    ("DeadLettered", "Count"),
    ("Lag", "Milliseconds"),
];

/// The line of one invocation without newline. `function` is the forwarder's name.
pub(super) fn line(report: &Report, function: &str, now_unix_nano: u64) -> String {
    let now_ms = now_unix_nano / 1_000_000;
    let figures = figures(report, now_ms);
    // CloudWatch rejects a line with a metric that has no value.
    let is_there = |name: &str| figures.iter().any(|(figure, _)| *figure == name);
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
    for (name, value) in figures {
        line.insert(name.to_owned(), value.into());
    }
    let destinations: Map<String, Value> = report
        .account
        .destinations
        .iter()
        .map(|(name, ledger)| {
            let fates = json!({
                "items": ledger.items.total(), "accepted": ledger.accepted, "parked": ledger.parked,
                "deadLettered": ledger.dead_lettered, "dropped": ledger.dropped,
                "returned": ledger.returned,
            });
            (name.clone(), fates)
        })
        .collect();
    let consumed: Map<String, Value> = report
        .ledger()
        .consumed
        .by_rule()
        .into_iter()
        .filter(|(_, events)| *events > 0)
        .map(|(rule, events)| (rule.to_owned(), events.into()))
        .collect();
    if !consumed.is_empty() {
        line.insert("consumedBy".to_owned(), Value::Object(consumed));
    }
    if destinations.len() > 1 {
        line.insert("destinations".to_owned(), Value::Object(destinations));
    }
    let rules: Map<String, Value> = report
        .rules
        .iter()
        .filter(|effect| effect.dropped > 0)
        .map(|effect| (effect.rule.to_string(), effect.dropped.into()))
        .collect();
    if !rules.is_empty() {
        line.insert("droppedByRule".to_owned(), Value::Object(rules));
    }
    Value::Object(line).to_string()
}

/// All values. `Lag` is the age of the oldest log event in milliseconds.
fn figures(report: &Report, now_ms: u64) -> Vec<(&'static str, i64)> {
    let ledger = report.ledger();
    let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let lag = report
        .oldest_event_ms
        .map(|oldest| i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_sub(oldest).max(0));
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
        ("takenOfReturned", signed(report.taken_of_returned())),
        ("ambiguous", signed(ledger.ambiguous)),
        ("lost", ledger.lost()),
        ("panics", signed(report.panics)),
        ("requests", signed(report.requests_sent)),
        ("bytes", signed(report.bytes_sent)),
    ];
    // Rare: the handler has to end within the last 0.1 s before its timeout.
    figures.extend((ledger.superseded > 0).then(|| ("superseded", signed(ledger.superseded))));
    figures.extend((report.renamed > 0).then(|| ("renamedKeys", signed(report.renamed))));
    // A redrive has no log events, and must not lower the average.
    figures.extend(lag.map(|lag| ("Lag", lag)));
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Items, Ledger};
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
        let line = line(&report, "forwarder", 2_500_000_000);
        expect![[r#"{"Accepted":5,"DeadLettered":0,"FunctionName":"forwarder","Lag":1500,"Parked":1,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["FunctionName"]],"Metrics":[{"Name":"Accepted","Unit":"Count"},{"Name":"Parked","Unit":"Count"},{"Name":"DeadLettered","Unit":"Count"},{"Name":"Lag","Unit":"Milliseconds"}],"Namespace":"lambda-otlp"}],"Timestamp":2500},"ambiguous":0,"bytes":0,"consumed":0,"dataPoints":0,"dropped":0,"logRecords":2,"lost":0,"panics":0,"received":7,"requests":3,"returned":0,"spans":4,"takenOfReturned":0,"undecodable":0}"#]].assert_eq(&line);
    }

    #[test]
    fn without_log_events_the_lag_metric_is_omitted() {
        let line = line(&Report::default(), "redrive", 2_500_000_000);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert!(line.get("Lag").is_none());
        // CloudWatch rejects a line without all its metrics.
        let metrics = &line["_aws"]["CloudWatchMetrics"][0]["Metrics"];
        assert!(
            metrics
                .as_array()
                .unwrap()
                .iter()
                .all(|metric| line.get(metric["Name"].as_str().unwrap()).is_some())
        );
    }
}
