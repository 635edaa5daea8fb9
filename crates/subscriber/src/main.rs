//! The subscriber's binary.

use lambda_otlp_subscriber::{Config, Service, init_log};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use std::time::SystemTime;

#[expect(clippy::disallowed_methods, reason = "where the subscriber reads the clock")]
fn wall_clock_now() -> SystemTime {
    SystemTime::now()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
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
    let service = Service::new(config.map_err(|error| error.to_string()), wall_clock_now);
    let service = &service;
    let handle = async |event: LambdaEvent<Value>| {
        service.handle(&event.payload, event.context.deadline()).await
    };
    run(service_fn(handle)).await
}
