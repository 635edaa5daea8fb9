//! The Lambda behind the CloudWatch Logs subscription: log events in, OTLP out.
//!
//! ```text
//! event -> source   CloudWatch Logs | Kinesis    -> LogBatch, in chunks
//!       -> convert  OTLP lines decoded, all else
//!                   converted by `platform`      -> requests of three signals
//!       -> deliver  merge, send                  -> accepted, or a remainder with its reason
//!       -> placing  retry queue, dead letters    -> parked | dead-lettered | returned
//!       -> ledger   every item has one fate
//! ```
//!
//! A message of the retry queue is a request that waits to be delivered ([`parking`]), or an event.

pub mod authorized;
pub mod breaker;
pub mod config;
pub mod convert;
mod cutting;
pub mod deliver;
pub mod forward;
pub mod handler;
pub mod ledger;
pub mod log;
pub mod memory;
mod messages;
pub mod old_records;
pub mod outlet;
pub mod parking;
pub mod placing;
mod progress;
mod records;
pub mod redrive;
pub mod report;
pub mod rules;
pub mod service;
pub mod shift;
pub mod source;
mod stack_traces;
mod variables;
pub mod vitals;
mod ways;

use std::sync::Arc;
use std::time::Duration;

/// How the forwarder works under this configuration.
pub fn options(config: &config::Config) -> forward::Options {
    forward::Options {
        source: source::SourceLimits::default(),
        convert: convert::ConvertOptions {
            platform: config.platform,
            region: config.region.clone(),
            platform_spans: config.platform_spans,
            join_stack_traces: config.join_stack_traces,
            ..convert::ConvertOptions::default()
        },
        own_log_groups: config.own_log_groups.clone(),
        keep_undecodable: config.keep_undecodable,
        patience: Duration::from_secs(10),
        enough_to_deliver: 2 * 1024 * 1024,
        most_details: 100,
    }
}

/// The destination of the variables, reached by `export`.
pub fn default_outlet<E>(config: &config::Config, export: E) -> Arc<outlet::Outlet<E>> {
    let name = outlet::DEFAULT_DESTINATION;
    let policy = config.old_records.of(config.destination.profile);
    let outlet = outlet::Outlet::new(name, export, &config.destination, policy);
    Arc::new(outlet.with_stream(config.stream.clone()))
}
