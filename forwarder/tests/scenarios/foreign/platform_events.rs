//! Events of the Telemetry API as Lambda writes them into a log group with JSON system logs.

use super::{Json, attribute, check_all, delivery, forwarded, same};
use crate::support::incoming;

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[test]
fn system_log_lines_become_span_and_metrics_of_the_invocation() {
    let is_of_lines = |case: &Json| case["lines"].is_array();
    check_all("telemetry-events.jsonl", is_of_lines, 3, |case| {
        let variables: Vec<(&str, &str)> = case["env"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let forwarded = forwarded(incoming(&delivery(&case["lines"])), &variables);
        let spans = case["expect"]["spans"].as_array().unwrap();
        same("spans", &forwarded.spans.len(), &spans.len())?;
        for (span, expected) in forwarded.spans.iter().zip(spans) {
            let ids = [hex(&span.trace_id), hex(&span.span_id)];
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
        let metrics = case["expect"]["metrics"].as_object().unwrap();
        same("has metrics", &forwarded.metrics.is_empty(), &metrics.is_empty())?;
        for (name, expected) in metrics {
            let rounded = |value: f64| format!("{value:.6}");
            let value = forwarded.metrics.get(name).copied().map(rounded);
            same(name, &value, &expected.as_f64().map(rounded))?;
        }
        Ok(())
    });
}
