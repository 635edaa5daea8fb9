//! The forwarder's own log, as JSON lines with queryable fields.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts the log. Other crates log from WARN, because their messages may contain telemetry.
pub fn init(level: Level) {
    let ours = Targets::new()
        .with_default(LevelFilter::from_level(level).min(LevelFilter::WARN))
        .with_target("lambda_otlp", level);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
    // After a second call, the first subscriber stays.
    let _already_set = tracing_subscriber::registry().with(lines).with(ours).try_init().is_err();
}
