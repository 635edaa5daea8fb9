//! The forwarder's options, except destinations, queues and rules.

use crate::config::Config;
use crate::convert::ConvertOptions;
use crate::source::SourceLimits;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Options {
    pub source: SourceLimits,
    pub convert: ConvertOptions,
    /// The forwarder's region. Subscriptions deliver within their region, so it is the region of log groups without one.
    pub region: Option<String>,
    /// Log groups of the forwarder and of the other functions of the delivery path. Forwarding their log events would cause
    /// further log events without end.
    pub own_log_groups: Vec<String>,
    /// Without an accepted item of a signal for this long, sending it to its destination stops. An outage must not use up the
    /// account's concurrency.
    pub failure_budget: Duration,
    /// Size of waiting requests that starts a delivery.
    pub enough_to_deliver: usize,
    /// Limit on each list of a report. The ledger counts everything.
    pub most_details: usize,
}

impl Options {
    pub fn of(config: &Config) -> Self {
        Self {
            source: SourceLimits::default(),
            convert: ConvertOptions {
                platform: config.platform,
                platform_spans: config.platform_spans,
                join_stack_traces: true,
                ..ConvertOptions::default()
            },
            region: config.region.clone(),
            own_log_groups: config.own_log_groups.clone(),
            failure_budget: Duration::from_secs(10),
            enough_to_deliver: 2 * 1024 * 1024,
            most_details: 100,
        }
    }
}
