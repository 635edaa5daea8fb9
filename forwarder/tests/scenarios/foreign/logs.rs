//! Log lines of other loggers, and test deliveries of other forwarders.

use super::{Json, attribute, check_all, delivery, forwarded, same};
use crate::support::incoming;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::json;

const REQUEST_IDS: [&str; 3] = ["requestId", "function_request_id", "request_id"];

/// Checks that the record contains everything from the line.
fn check_line(line: &str, record: &LogRecord) -> Result<(), String> {
    let body = super::as_json(record.body.as_ref().unwrap());
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
                    &json!(level.as_str().unwrap().to_uppercase()),
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
    check_all(
        "json-logs.jsonl",
        |_| true,
        61,
        |case| {
            let line = case["line"].as_str().unwrap();
            let forwarded =
                forwarded(incoming(&delivery(&json!([[1_790_000_000_000_u64, line]]))), &[]);
            same("records", &forwarded.records.len(), &1)?;
            check_line(line, &forwarded.records[0].1)
        },
    );
}

#[test]
fn sample_deliveries_of_other_forwarders_keep_all_fields() {
    check_all(
        "log-events.jsonl",
        |_| true,
        8,
        |case| {
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
            same("records", &forwarded.records.len(), &lines.len())?;
            // Lambda's own records have a separate scope at the end.
            let is_platform = |line: &&str| line.starts_with("REPORT ");
            let (platform, own): (Vec<&str>, Vec<&str>) =
                lines.iter().partition(|line| is_platform(line));
            for (line, (resource, record)) in own.iter().chain(&platform).zip(&forwarded.records) {
                check_line(line, record)?;
                for (key, expected) in case["resource"].as_object().into_iter().flatten() {
                    same(key, &attribute(&resource.attributes, key), &Some(expected.clone()))?;
                }
            }
            Ok(())
        },
    );
}
