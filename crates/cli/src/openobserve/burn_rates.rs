//! The alerts of an objective: its error budget is used up too fast.
//!
//! Source: The Site Reliability Workbook, "Alerting on SLOs", whose two windows must both burn. OpenObserve's slices of five minutes
//! need short windows of at least ten.

use super::shipped::Shipped;
use serde_json::json;

/// A rate of 1 uses up the error budget exactly by the end of the objective's window.
struct BurnRate {
    name: &'static str,
    rate: f64,
    long_seconds: u32,
    short_seconds: u32,
}

const BURN_RATES: [BurnRate; 2] = [
    BurnRate { name: "fast", rate: 14.4, long_seconds: 3600, short_seconds: 600 },
    BurnRate { name: "slow", rate: 6.0, long_seconds: 6 * 3600, short_seconds: 1800 },
];

/// Returns the alerts on the burn rates of the objective with this id.
pub(super) fn of(slo: &Shipped, id: &str, notify: &[String]) -> Vec<Shipped> {
    let target = slo.content.get("target").and_then(serde_json::Value::as_f64).unwrap_or_default();
    // If every invocation fails. OpenObserve refuses higher rates.
    let most = 100.0 / (100.0 - target);
    let alert = |burn_rate: &BurnRate| {
        let BurnRate { rate, long_seconds, short_seconds, .. } = *burn_rate;
        let name = format!("{}_burn_{}", slo.name, burn_rate.name);
        let hours = long_seconds / 3600;
        let content = json!({
            "name": name,
            "description": format!("The error budget of {} burns {rate} times too fast, over {hours} h and until now.", slo.name),
            "stream_type": "metrics",
            "stream_name": "",
            "is_real_time": false,
            "query_condition": {
                "type": "slo",
                "slo_condition": {
                    "slo_id": id,
                    "kind": "burn_rate",
                    "operator": ">=",
                    "critical": rate.min(most),
                    "long_window_secs": long_seconds,
                    "short_window_secs": short_seconds,
                },
            },
            // OpenObserve refuses a threshold of rows.
            "trigger_condition": {"period": 5, "frequency": 5, "frequency_type": "minutes", "silence": 60},
            "destinations": notify,
            "enabled": true,
        });
        Shipped { name, content }
    };
    BURN_RATES.iter().map(alert).collect()
}
