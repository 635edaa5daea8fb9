//! Test cases of other projects. They are read in place, and skipped if they are missing.

use crate::support::{
    Delivered, default_options, deliver, deliver_event, incoming, pairs, payload, peer_sample, sum,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::json;
use std::collections::BTreeMap;
use wire::{Limits, Logs, Metrics, Request, Signal, SignalKind, Traces, read_line};

type Json = serde_json::Value;

/// Runs `check` on the cases of a file, expects this number of cases, and expects no failure.
fn check_all(name: &str, expected: usize, check: impl Fn(&Json) -> Result<(), String>) {
    let Some(file) = peer_sample(&format!("foreign/{name}")) else { return };
    let text = std::fs::read_to_string(file).unwrap();
    let cases: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case["case"], check(case).err()?)))
        .collect();
    println!("{name}: {} of {}", cases.len() - failed.len(), cases.len());
    assert_eq!((cases.len(), failed), (expected, Vec::new()));
}

/// Compares two values; the error shows the difference.
fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    actual: &T,
    expected: &T,
) -> Result<(), String> {
    if actual == expected {
        return Ok(());
    }
    Err(format!("{what}: {actual:?} where {expected:?} is expected"))
}

/// The sum of each metric's values, or the last value of a gauge.
fn metrics(delivered: &Delivered) -> BTreeMap<&str, f64> {
    let mut metrics = BTreeMap::new();
    for metric in delivered.metrics() {
        *metrics.entry(metric.name.as_str()).or_default() += sum(metric);
    }
    metrics
}

/// Forwards lines with their times.
fn forwarded_lines(lines: &Json) -> Delivered {
    let mut delivery = payload("/aws/lambda/orders", &[]);
    let event = |line: &Json| json!({"id": "1", "timestamp": line[0], "message": line[1]});
    delivery["logEvents"] = lines.as_array().unwrap().iter().map(event).collect();
    deliver_event(incoming(&delivery), default_options())
}

/// Compares a decoded request with what opentelemetry-proto's serde makes of OTLP/JSON.
fn same_request<S: Signal>(request: &Request, json: &Json) -> Result<(), String>
where
    S::Request: std::fmt::Debug + PartialEq,
{
    let expected = serde_json::from_value(json.clone()).map_err(|error| error.to_string())?;
    same("decoded", &request.decode::<S>().unwrap().unwrap(), &expected)
}

#[test]
fn otlp_json_of_other_writers_is_decoded_completely() {
    check_all("foreign-otlp-json.jsonl", 31, |case| {
        let line = case["line"].as_str().unwrap();
        let want = match case.get("want") {
            Some(want) => want.clone(),
            None => serde_json::from_str(line).unwrap(),
        };
        let reading = read_line(line, &Limits::default()).ok_or("is no OTLP line")?;
        let [request] = reading.decoded.as_slice() else { panic!("{reading:?}") };
        match request.kind() {
            SignalKind::Traces => same_request::<Traces>(request, &want)?,
            SignalKind::Metrics => same_request::<Metrics>(request, &want)?,
            SignalKind::Logs => same_request::<Logs>(request, &want)?,
        }
        let delivered = deliver(&[line]);
        same("undecodable", &delivered.report.ledger().items.undecodable, &0)
    });
}

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
    check_all("report-lines.jsonl", 36, |case| {
        let forwarded = forwarded_lines(&case["messages"]);
        let metrics = metrics(&forwarded);
        let name = case["case"].as_str().unwrap();
        for (key, expected) in case["expect"].as_object().unwrap() {
            match key.as_str() {
                "cost" => {
                    let seconds = metrics.get("aws.lambda.billed_gb_seconds");
                    let cost = seconds.map(|seconds| seconds * PRICES.0 + PRICES.1);
                    same(key, &rounded(cost), &rounded(expected.as_f64()))?;
                }
                "logs" => same(key, &Some(forwarded.records().count() as u64), &expected.as_u64())?,
                // A failure has its own line. Here the REPORT line of the same failure counts as an error too.
                "error_log" => {
                    let first = forwarded.records().next();
                    let first = first.map(|record| record.severity_text.as_str());
                    same(key, &first, &Some("ERROR"))?;
                }
                "log_has" => {
                    for pair in expected.as_array().unwrap() {
                        let wanted = pair[1].as_str().map_or(pair[1].to_string(), str::to_owned);
                        let wanted = format!(" {}={wanted}", pair[0].as_str().unwrap());
                        let has = |it: &LogRecord| pairs(&it.attributes).contains(&wanted);
                        same(key, &forwarded.records().any(has), &true)?;
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
    });
}
