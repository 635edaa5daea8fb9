//! REPORT lines, failure lines and messages of runtimes, with the values that other forwarders read from them.

use super::{attribute, check_all, delivery, forwarded, same};
use crate::support::incoming;

const METRICS: [(&str, &str); 13] = [
    ("invocations", "aws.lambda.invocations"),
    ("successes", "faas.invocations"),
    ("timeouts", "faas.timeouts"),
    ("errors", "faas.errors"),
    ("oom", "aws.lambda.out_of_memory"),
    ("coldstarts", "faas.coldstarts"),
    ("duration_s", "faas.invoke_duration"),
    ("billed_s", "aws.lambda.billed_duration"),
    ("mem", "faas.mem_usage"),
    ("limit", "aws.lambda.memory_limit"),
    ("init_s", "faas.init_duration"),
    ("restore_s", "aws.lambda.restore_duration"),
    ("billed_restore_s", "aws.lambda.billed_restore_duration"),
];

/// The other forwarder's price of a GiB second, and of an invocation.
const PRICES: (f64, f64) = (0.000_016_666_7, 0.000_000_2);

fn rounded(value: Option<f64>) -> Option<String> {
    value.map(|value| format!("{value:.5e}"))
}

#[test]
fn report_lines_yield_the_same_values_as_other_forwarders() {
    check_all(
        "report-lines.jsonl",
        |_| true,
        36,
        |case| {
            let forwarded = forwarded(incoming(&delivery(&case["messages"])), &[]);
            let metrics = &forwarded.metrics;
            let name = case["case"].as_str().unwrap();
            for (key, expected) in case["expect"].as_object().unwrap() {
                match key.as_str() {
                    "cost" => {
                        let seconds = metrics.get("aws.lambda.billed_gb_seconds");
                        let cost = seconds.map(|seconds| seconds * PRICES.0 + PRICES.1);
                        same(key, &rounded(cost), &rounded(expected.as_f64()))?;
                    }
                    "logs" => same(key, &Some(forwarded.records.len() as u64), &expected.as_u64())?,
                    // A failure has its own line. Here the REPORT line of the same failure counts as an error too.
                    "error_log" => {
                        let mut records = forwarded.records.iter();
                        let first = records.next().map(|(_, record)| record.severity_text.as_str());
                        same(key, &first, &Some("ERROR"))?;
                    }
                    "log_has" => {
                        for pair in expected.as_array().unwrap() {
                            let has = |attributes| attribute(attributes, pair[0].as_str().unwrap());
                            let mut records = forwarded.records.iter();
                            let found = records.find_map(|(_, record)| has(&record.attributes));
                            same(key, &found, &Some(pair[1].clone()))?;
                        }
                    }
                    "undecodable" => {
                        let undecodable = forwarded.report.ledger().items.undecodable;
                        same(key, &Some(undecodable as u64), &expected.as_u64())?;
                    }
                    _ => {
                        let metric = METRICS.iter().find(|(known, _)| known == key).unwrap().1;
                        // The other forwarder also counts these as out of memory; the case is older than the metric.
                        let is_counted = key == "oom" && name.contains("out of memory (a log;");
                        let expected = if is_counted { Some(1.0) } else { expected.as_f64() };
                        same(key, &rounded(metrics.get(metric).copied()), &rounded(expected))?;
                    }
                }
            }
            Ok(())
        },
    );
}
