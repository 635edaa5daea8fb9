//! The Lambda behind the CloudWatch Logs subscription: log events in, OTLP out.
//!
//! ```text
//! event -> source   CloudWatch Logs              -> LogBatch, in chunks
//!       -> convert  OTLP lines decoded, all else
//!                   converted by `platform`      -> requests of three signals
//!       -> deliver  sanitize, merge, split, send -> accepted | returned
//!       -> ledger   every item has one fate
//! ```

pub mod authorized;
pub mod config;
pub mod convert;
pub mod deliver;
pub mod forward;
pub mod handler;
pub mod ledger;
pub mod log;
pub mod parking;
pub mod shift;
pub mod source;

use std::time::Duration;

/// How the forwarder works under this configuration.
pub fn options(config: &config::Config) -> forward::Options {
    forward::Options {
        source: source::SourceLimits::default(),
        convert: convert::ConvertOptions {
            platform: config.platform,
            region: config.region.clone(),
            ..convert::ConvertOptions::default()
        },
        deliver: deliver::DeliverOptions {
            profile: config.destination.profile,
            max_request_bytes: config.destination.max_request_bytes,
        },
        own_log_group: config.own_log_group.clone(),
        patience: Duration::from_secs(10),
        most_details: 100,
    }
}
