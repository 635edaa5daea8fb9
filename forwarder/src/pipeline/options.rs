//! How the forwarder works, beside its destinations, queues and rules.

use crate::config::Config;
use crate::convert::ConvertOptions;
use crate::source::SourceLimits;
use std::time::Duration;
use wire::Limits;

/// What the forwarder is told once.
#[derive(Clone, Debug)]
pub struct Options {
    /// How events are read.
    pub source: SourceLimits,
    /// How log events are converted.
    pub convert: ConvertOptions,
    /// The forwarder's region, which is that of log groups whose delivery names none: a subscription delivers within its region.
    pub region: Option<String>,
    /// Log groups of the delivery path itself: the forwarder's own and those of the functions that
    /// work for it. Their events are dropped, or each delivery would cause the next.
    pub own_log_groups: Vec<String>,
    /// Whether lines that claim to be OTLP and do not decode are dead-lettered. Otherwise they are dropped and counted, and
    /// only the log records that they become in any case tell of them.
    pub keep_undecodable: bool,
    /// After this long without an accepted item of a signal nothing of it is sent to its destination any
    /// more: the forwarder must not eat the account's concurrency while a backend is down.
    pub failure_budget: Duration,
    /// Requests of together so many bytes are delivered before more log events are converted.
    pub enough_to_deliver: usize,
    /// Bounds each list of a report; the ledger counts all.
    pub most_details: usize,
}

impl Options {
    /// How the forwarder works under this configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            source: SourceLimits::default(),
            convert: ConvertOptions {
                platform: config.platform,
                platform_spans: config.platform_spans,
                join_stack_traces: true,
                limits: Limits { embedded_lines: config.embedded_lines, ..Limits::default() },
                ..ConvertOptions::default()
            },
            region: config.region.clone(),
            own_log_groups: config.own_log_groups.clone(),
            keep_undecodable: config.keep_undecodable,
            failure_budget: Duration::from_secs(10),
            enough_to_deliver: 2 * 1024 * 1024,
            most_details: 100,
        }
    }
}
