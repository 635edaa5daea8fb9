//! Checks the backend as the extension uses it: DNS, TLS, credentials, and a log record.

use super::uploader::{self, Uploader};
use crate::clock;
use crate::config::Config;
use crate::counts::Counts;
use backend::{
    Canary, ClientError, HttpTransport, JsonStreamEvent, JsonStreamRecord, Outcome,
    REQUEST_TIMEOUT, Reach, events_request,
};
use settings::Check;
use std::sync::Arc;
use tokio::time::Instant;

const SERVICE: &str = "lambda-otlp-health-check";
const BODY: &str = "lambda-otlp-extension --health-check was here";

/// Checks the chosen output. Skipped checks are listed too.
pub(crate) async fn health_check(config: &Config) -> Vec<Check> {
    let because = &config.output.because;
    let output = format!("{}, since {because}", config.output.word());
    let Some(mut direct) = config.output.direct.clone() else {
        let text = "telemetry goes to the function's log, from where a forwarder sends it";
        return vec![Check::ok("output", format!("{output}: {text}"))];
    };
    let mut checks = vec![Check::ok("output", output)];
    checks.extend(uploader::check_secret(&mut direct).await);
    let prepared = || -> Result<_, ClientError> {
        let transport = HttpTransport::with_protocol(&direct.destination, direct.protocol)?;
        let reach = Reach::new(direct.destination.clone(), transport, direct.advice.clone())?;
        Ok((reach, Uploader::new(&direct, SERVICE, &Arc::new(Counts::default()))?))
    };
    match prepared() {
        Ok(_) if checks.iter().any(Check::is_failed) => {}
        Ok((reach, uploader)) => {
            checks.push(reach.check_name().await);
            if !checks.iter().any(Check::is_failed) {
                checks.extend(reach.check_signals().await);
                checks.extend(reach.destination.signals.check());
            }
            if !checks.iter().any(Check::is_failed) {
                checks.push(record(&uploader).await);
            }
        }
        Err(error) => checks.push(Check::failed("connection", error.to_string())),
    }
    for name in ["endpoint", "connection", "credentials", "record"] {
        if checks.iter().all(|check| check.name != name) {
            checks.push(Check::skipped(name));
        }
    }
    checks
}

/// Sends a log record like a printed line.
async fn record(uploader: &Uploader) -> Check {
    let canary = Canary::at(clock::unix_nanos(), SERVICE);
    let id = canary.trace_id_text();
    let (client, request, key) = match &uploader.events {
        Some(events) => {
            let mut records = Vec::new();
            let time_unix_nano = canary.time_unix_nano;
            let record = JsonStreamRecord::Text(BODY);
            let kind = "extension";
            let request_id = Some(id.as_str());
            JsonStreamEvent { time_unix_nano, kind, record, request_id }.write(&mut records);
            (events, events_request(SERVICE, &records, 1), "requestId")
        }
        None => (&uploader.client, canary.log_record(BODY), "trace_id"),
    };
    let end = Instant::now() + REQUEST_TIMEOUT;
    let Outcome { parts, warning, .. } = client.export(None, request, end).await;
    match parts.first() {
        Some(part) => Check::failed("record", part.reason.to_string()),
        None if !warning.is_empty() => Check::warning("record", format!("accepted: {warning}")),
        None => Check::ok("record", format!("accepted: a log record whose {key} is {id}")),
    }
}
