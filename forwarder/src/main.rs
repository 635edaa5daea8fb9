//! The forwarder's binary: settings, client, handler, run.

use lambda_otlp_forwarder::authorized::Authorized;
use lambda_otlp_forwarder::config::Config;
use lambda_otlp_forwarder::forward::Forwarder;
use lambda_otlp_forwarder::handler::{InvocationError, handle, wall_clock_now};
use lambda_otlp_forwarder::source::Event;
use lambda_otlp_forwarder::{default_outlet, log, options};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use secrets::Aws;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (config, warnings) = Config::from_source(&settings::Env);
    log::init(config.as_ref().map_or(tracing::Level::WARN, |config| config.log_level));
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let prepared = config.map_err(|error| error.to_string()).and_then(|config| {
        let aws = Arc::new(Aws::new(config.aws.clone(), wall_clock_now));
        let client = Authorized::new(&config.destination, &aws, config.secret_lifetime)
            .map_err(|error| error.to_string())?;
        let outlet = default_outlet(&config, client);
        Ok(Forwarder::new(vec![outlet], config.queues.clone(), options(&config)))
    });
    match prepared {
        Ok(forwarder) => {
            let forwarder = &forwarder;
            run(service_fn(|event: LambdaEvent<Event>| handle(forwarder, event))).await
        }
        Err(mistakes) => {
            // The events must not be lost while the settings are wrong: every invocation fails
            // with the mistakes, and Lambda keeps its event.
            tracing::error!(mistakes, "wrong settings");
            let fail = |_event: LambdaEvent<Event>| {
                std::future::ready(Err::<(), _>(InvocationError::Settings(mistakes.clone())))
            };
            run(service_fn(fail)).await
        }
    }
}
