//! The subscriber's own log: JSON lines, so that their fields can be queried.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts the log. Other crates log from WARN on.
pub fn init(level: Level) {
    let ours = Targets::new()
        .with_default(LevelFilter::from_level(level).min(LevelFilter::WARN))
        .with_target("lambda_otlp", level);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
    // A repeated start finds the first subscriber, which serves as well.
    let _already_set = tracing_subscriber::registry().with(lines).with(ours).try_init().is_err();
}
