//! Test cases of other projects. They are read in place, and skipped if they are missing.

use crate::support::{
    Delivered, body, config_with, deliver, deliver_event, event_of, incoming, payload, peer_sample,
    sum,
};
use expect_test::expect;
use lambda_otlp_forwarder::{Event, Options};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::json;
use std::collections::BTreeMap;
use wire::ids::to_hex;
use wire::{Limits, Logs, Metrics, Request, Signal, SignalKind, Traces, read_line};

type Json = serde_json::Value;

/// Runs `check` on the cases of a file, expects this number of cases, and expects no failure.
fn check_all(name: &str, expected: usize, check: impl Fn(&Json) -> Result<(), String>) {
    let Some(file) = peer_sample(&format!("foreign/{name}")) else { return };
    let text = std::fs::read_to_string(file).unwrap();
    // The other events of that file come from the Telemetry API.
    let is_wanted = |case: &Json| name != "telemetry-events.jsonl" || case["lines"].is_array();
    let cases = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let cases: Vec<Json> = cases.filter(is_wanted).collect();
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

fn forwarded(event: Event, variables: &[(&str, &str)]) -> Delivered {
    deliver_event(event, Options::of(&config_with(variables)))
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
fn forwarded_lines(lines: &Json, variables: &[(&str, &str)]) -> Delivered {
    let mut delivery = payload("/aws/lambda/orders", &[]);
    let event = |line: &Json| json!({"id": "1", "timestamp": line[0], "message": line[1]});
    delivery["logEvents"] = lines.as_array().unwrap().iter().map(event).collect();
    forwarded(incoming(&delivery), variables)
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<Json> {
    attributes.iter().find(|pair| pair.key == key)?.value.as_ref().map(as_json)
}

fn as_json(value: &AnyValue) -> Json {
    match value.value.as_ref() {
        None => Json::Null,
        Some(Value::StringValue(text)) => json!(text),
        Some(Value::BoolValue(value)) => json!(value),
        Some(Value::IntValue(value)) => json!(value),
        Some(Value::DoubleValue(value)) => json!(value),
        Some(Value::ArrayValue(array)) => array.values.iter().map(as_json).collect(),
        Some(Value::KvlistValue(list)) => list
            .values
            .iter()
            .map(|pair| (pair.key.clone(), pair.value.as_ref().map_or(Json::Null, as_json)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Some(other) => json!(format!("{other:?}")),
    }
}

const REQUEST_IDS: [&str; 3] = ["requestId", "function_request_id", "request_id"];

/// Checks that the record contains everything from the line.
fn check_line(line: &str, record: &LogRecord) -> Result<(), String> {
    let body = as_json(record.body.as_ref().unwrap());
    let whole = json!(line.trim_end_matches(['\r', '\n']));
    let Ok(Json::Object(fields)) = serde_json::from_str::<Json>(line) else {
        return same("body", &body, &whole);
    };
    // `event` is the message of structlog and of Powertools' formatters that imitate it.
    let is_text = |key: &&str| fields.get(*key).is_some_and(Json::is_string);
    let names = if fields.contains_key("level") { &["message", "event"][..] } else { &["message"] };
    let message = names.iter().copied().find(is_text);
    for (key, value) in &fields {
        let at = |name: &str| attribute(&record.attributes, name);
        match (key.as_str(), value) {
            (_, Json::Null) => {}
            ("level", level) => {
                same(
                    "level",
                    &json!(record.severity_text),
                    &json!(if level == "anything" {
                        "INFO".to_owned()
                    } else {
                        level.as_str().unwrap().to_uppercase()
                    }),
                )?;
            }
            (key, _) if Some(key) == message => same("message", &body, value)?,
            ("xray_trace_id", Json::String(root)) if root.starts_with("1-") => {
                same(key, &at("aws.xray.trace_id"), &Some(value.clone()))?;
            }
            (key, Json::String(id)) if REQUEST_IDS.contains(&key) && id.len() == 36 => {
                same(key, &at("faas.invocation_id"), &Some(value.clone()))?;
            }
            // Null fields are left out.
            (key, Json::Object(inner)) => {
                let inner: serde_json::Map<_, _> =
                    inner.clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
                same(key, &at(key), &Some(inner.into()))?;
            }
            (key, _) => same(key, &at(key), &Some(value.clone()))?,
        }
    }
    if message.is_some() { Ok(()) } else { same("body", &body, &whole) }
}

#[test]
fn json_lines_of_other_loggers_keep_all_their_fields() {
    check_all("json-logs.jsonl", 61, |case| {
        let line = case["line"].as_str().unwrap();
        let forwarded = forwarded_lines(&json!([[1_790_000_000_000_u64, line]]), &[]);
        same("records", &forwarded.records().count(), &1)?;
        check_line(line, forwarded.records().next().unwrap())
    });
}

#[test]
fn sample_deliveries_of_other_forwarders_keep_all_fields() {
    check_all("log-events.jsonl", 8, |case| {
        let event = &case["event"];
        let forwarded = forwarded(incoming(event), &[]);
        let is_consumed =
            |line: &str| ["START ", "END "].iter().any(|begin| line.starts_with(begin));
        let lines: Vec<&str> = event["logEvents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["message"].as_str().unwrap())
            .filter(|line| !is_consumed(line))
            .collect();
        let mut records = Vec::new();
        for of in &forwarded.logs {
            let own = of.scope_logs.iter().flat_map(|scope| &scope.log_records);
            records.extend(own.map(|record| (of.resource.as_ref().unwrap(), record)));
        }
        same("records", &records.len(), &lines.len())?;
        // Lambda's own records have a separate scope at the end.
        let is_platform = |line: &&str| line.starts_with("REPORT ");
        let (platform, own): (Vec<&str>, Vec<&str>) =
            lines.iter().partition(|line| is_platform(line));
        for (line, (resource, record)) in own.iter().chain(&platform).zip(records) {
            check_line(line, record)?;
            for (key, expected) in case["resource"].as_object().into_iter().flatten() {
                same(key, &attribute(&resource.attributes, key), &Some(expected.clone()))?;
            }
        }
        Ok(())
    });
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

#[test]
fn system_log_lines_become_span_and_metrics_of_the_invocation() {
    check_all("telemetry-events.jsonl", 3, |case| {
        let variables: Vec<(&str, &str)> = case["env"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let forwarded = forwarded_lines(&case["lines"], &variables);
        let spans = case["expect"]["spans"].as_array().unwrap();
        same("spans", &forwarded.spans().count(), &spans.len())?;
        for (span, expected) in forwarded.spans().zip(spans) {
            let ids = [to_hex(&span.trace_id), to_hex(&span.span_id)];
            same(
                "ids",
                &ids.map(Json::from),
                &[expected["traceId"].clone(), expected["spanId"].clone()],
            )?;
            let times = [span.start_time_unix_nano, span.end_time_unix_nano];
            let times = times.map(|time| Json::from(time.to_string()));
            let expected_times =
                ["startTimeUnixNano", "endTimeUnixNano"].map(|key| expected[key].clone());
            same("times", &times, &expected_times)?;
            same("kind", &i64::from(span.kind), &expected["kind"].as_i64().unwrap())?;
            let status = span.status.as_ref().map_or(0, |status| i64::from(status.code));
            same("status", &status, &expected["status"].as_i64().unwrap())?;
            for (key, name) in [("coldstart", "faas.coldstart"), ("request", "faas.invocation_id")]
            {
                let value = attribute(&span.attributes, name).unwrap_or_default();
                same(name, &value, &expected[key])?;
            }
        }
        let (found, metrics) =
            (metrics(&forwarded), case["expect"]["metrics"].as_object().unwrap());
        same("has metrics", &found.is_empty(), &metrics.is_empty())?;
        for (name, expected) in metrics {
            let rounded = |value: f64| format!("{value:.6}");
            let value = found.get(name.as_str()).copied().map(rounded);
            same(name, &value, &expected.as_f64().map(rounded))?;
        }
        Ok(())
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
        let forwarded = forwarded_lines(&case["messages"], &[]);
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
                        let has = |attributes| attribute(attributes, pair[0].as_str().unwrap());
                        let found = forwarded.records().find_map(|record| has(&record.attributes));
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
    });
}

/// Test cases of OpenTelemetry Collector's subscription decoder, if present.
#[test]
fn test_cases_of_the_collector_yield_the_same_log_records() {
    let Some(folder) = peer_sample("subscription-filter") else { return };
    let delivered = |file: &str| {
        let event = event_of(&std::fs::read_to_string(folder.join(file)).unwrap());
        let delivered = forwarded(event, &[]);
        let mut records = Vec::new();
        for of in &delivered.logs {
            let attributes = &of.resource.as_ref().unwrap().attributes;
            let keys = ["cloud.account.id", "cloud.region", "aws.log.group.names"];
            let text = |key| attribute(attributes, key).map_or("-".to_owned(), |it| it.to_string());
            let place = keys.map(text).join(" ");
            let own = of.scope_logs.iter().flat_map(|scope| &scope.log_records);
            records.extend(own.map(|it| format!("{place} {} {}", it.time_unix_nano, body(it))));
        }
        records.extend(delivered.report.unread.map(|error| error.to_string()));
        records.join("\n")
    };
    expect![[r#"
        "123456789012" - ["CloudTrail"] 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        "123456789012" - ["CloudTrail"] 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        "123456789012" - ["CloudTrail"] 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}"#]]
    .assert_eq(&delivered("valid_cloudwatch_log.json"));
    assert_eq!(delivered("valid_cloudwatch_log_control.json"), "");
    expect![[r#"
        "123456789012" - ["/my/first/log/group"] 1771015786034000000 some text
        "123456789012" - ["/my/second/log/group"] 1771015671000000000 some other text"#]]
    .assert_eq(&delivered("multiple_json_objects.json"));
    expect![[r#""999888777666" "us-west-2" ["test-log-group"] 1725544035523000000 Hello world, here is our first log message!"#]]
    .assert_eq(&delivered("extracted_fields_both.json"));
    expect![[r#"
        "111111111111" "us-east-1" ["test-log-group"] 1725544035523000000 First log from account 111
        "222222222222" "us-west-2" ["test-log-group"] 1725544035524000000 Second log from account 222"#]]
    .assert_eq(&delivered("two_records_different_extracted_fields.json"));
    // Without a log group, the collector and the forwarder reject it; earlier log events are delivered.
    expect![[r#"
        "123456789012" - - 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        "123456789012" - - 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        "123456789012" - - 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        `awslogs.data` is not a delivery of CloudWatch Logs: missing field `logGroup`"#]]
    .assert_eq(&delivered("invalid_cloudwatch_log.json"));
}
