//! The forwarder's binary.

use lambda_otlp_forwarder::{
    Config, Event, Handler, InvocationError, init_log, keep_freed_memory, wall_clock_now,
};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    keep_freed_memory();
    // The message of a panic may quote telemetry, so only the location is logged.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked, please report this");
    }));
    let (config, warnings) = Config::from_source(&settings::Env);
    init_log(config.as_ref().map_or(tracing::Level::WARN, |config| config.log_level));
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let prepared = config
        .map_err(|error| error.to_string())
        .and_then(|config| Handler::new(config, wall_clock_now).map_err(|error| error.to_string()));
    match prepared {
        Ok(handler) => {
            let handler = &handler;
            run(service_fn(|event: LambdaEvent<Event>| handler.handle(event))).await
        }
        Err(mistakes) => {
            // Every invocation fails until the settings are valid, so Lambda keeps the events.
            tracing::error!(mistakes, "invalid settings");
            let fail = |_event: LambdaEvent<Event>| {
                std::future::ready(Err::<(), _>(InvocationError::Settings(mistakes.clone())))
            };
            run(service_fn(fail)).await
        }
    }
}
