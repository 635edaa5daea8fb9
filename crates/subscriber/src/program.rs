//! The function's program.

use crate::config::Config;
use crate::lambda::{AnswerUrls, Subscriber};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use std::time::SystemTime;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[expect(clippy::disallowed_methods, reason = "where the subscriber reads the clock")]
fn wall_clock_now() -> SystemTime {
    SystemTime::now()
}

/// Runs the subscriber until Lambda ends it. Answers go to these URLs only.
pub async fn run(answer_urls: AnswerUrls) -> Result<(), Error> {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked, please report this");
    }));
    let (config, warnings) = Config::from_source(&settings::Env);
    init_log(config.as_ref().map_or(tracing::Level::INFO, |config| config.log_level));
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if let Err(mistakes) = &config {
        // CloudFormation needs an answer even with invalid settings; the service sends it.
        tracing::error!(%mistakes, "invalid settings");
    }
    let subscriber = Subscriber::new(config, answer_urls, wall_clock_now);
    let handle = async |event: LambdaEvent<Value>| {
        subscriber.handle(&event.payload, event.context.deadline()).await
    };
    lambda_runtime::run(service_fn(handle)).await
}

/// Starts the log, in JSON lines, so that their fields can be queried. Other crates log from WARN on.
fn init_log(level: tracing::Level) {
    let ours = Targets::new()
        .with_default(LevelFilter::from_level(level).min(LevelFilter::WARN))
        .with_target("lambda_otlp", level);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
    // A repeated start finds the first subscriber, which serves as well.
    let _already_set = tracing_subscriber::registry().with(lines).with(ours).try_init().is_err();
}
