//! The metrics as OTLP in requests of their own. Mixed with other telemetry, they would appear in its accounting and in parked
//! messages.

use super::Vitals;
use super::sums::Sums;
use crate::delivery::circuit_breaker::{Admission, DestinationHealth};
use crate::delivery::destination::{Destination, Export};
use crate::invocation::InvocationContext;
use crate::report::Report;
use backend::{Telemetry, sanitize};
use opentelemetry_proto::tonic::resource::v1::Resource;
use platform::Identity;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;
use wire::{Metrics, Request, Signal as _, SignalKind};

const AT_MOST_EVERY_NANOS: u64 = 60 * 1_000_000_000;
/// A short limit, because the waiting function costs money.
const LONGEST_REQUEST: Duration = Duration::from_secs(2);

/// What the next request of an execution environment reports.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    sums: Sums,
    /// Wall-clock time, because the monotonic clock may stand still during a freeze.
    last_request_unix_nano: Option<u64>,
}

impl Vitals {
    /// Adds one invocation, and sends all metrics if the last request is a minute ago. Metrics that are not accepted are kept for
    /// the next request, and never parked.
    pub(super) async fn send<E: Export>(
        &self,
        report: &Report,
        invocation: &InvocationContext,
        destination: &Destination<E>,
    ) {
        // The metrics are deltas.
        if !destination.config.signals.take(Telemetry::DeltaMetrics) {
            return;
        }
        let now = invocation.observed_unix_nano;
        let is_due = self.with_unsent(|unsent| {
            unsent.sums.add(report, now);
            unsent.is_due(report, now)
        });
        if !is_due {
            return;
        }
        // If the destination accepts no metrics and no delivery probed it recently, this request is the probe.
        let admission = destination.with_breaker(SignalKind::Metrics, |breaker| breaker.admit(now));
        if admission == Admission::Park {
            return;
        }
        let resource = self.resource(invocation);
        let metrics = self.with_unsent(|unsent| {
            unsent.last_request_unix_nano = Some(now);
            Metrics::request(vec![unsent.sums.metrics(resource, now)])
        });
        let encoded = Request::encode::<Metrics>(&metrics);
        let adapted = sanitize(destination.config.profile, encoded, &self.settings.function);
        let Some(request) = adapted.request else { return };
        let deadline = invocation.queue_deadline.min(Instant::now() + LONGEST_REQUEST);
        let outcome = destination.export.export(None, request, deadline).await;
        // A failure of this request does not count against deliveries.
        let health = DestinationHealth::shown_by(&outcome);
        if health == DestinationHealth::Accepting {
            destination.with_breaker(SignalKind::Metrics, |breaker| {
                breaker.note(health, now, Duration::ZERO);
            });
        }
        if let Some(part) = outcome.parts.first() {
            tracing::warn!(
                reason = %part.reason,
                data_points = outcome.undelivered(),
                "the backend did not accept the forwarder's own metrics"
            );
        }
        // After a partial success, sending again would count values twice.
        let is_kept = !outcome.parts.is_empty() && outcome.accepted == 0;
        self.with_unsent(|unsent| {
            if is_kept {
                unsent.sums.failures += 1;
            } else {
                unsent.sums = Sums::default();
            }
        });
    }

    fn with_unsent<T>(&self, change: impl FnOnce(&mut Unsent) -> T) -> T {
        change(&mut self.unsent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The resource of the forwarder, as in the metrics of its REPORT lines: without attributes that differ between environments.
    fn resource(&self, invocation: &InvocationContext) -> Resource {
        let identity = Identity {
            service_name: self.settings.function.clone(),
            function_name: Some(self.settings.function.clone()),
            function_version: None,
            state_machine: None,
            is_lambda: true,
            account: invocation.account.clone(),
            region: self.settings.region.clone(),
            log_group: String::new(),
            log_stream: String::new(),
        };
        identity.metric_resource()
    }
}

impl Unsent {
    /// Returns `true` if it is time to send after an invocation with this report: a minute after the last request, and first after
    /// an invocation with items, because the first one of a subscription has a test message only.
    fn is_due(&self, report: &Report, now_unix_nano: u64) -> bool {
        let begin = self.last_request_unix_nano.or(self.sums.since_unix_nano);
        // Sending continues after the clock was set back.
        let is_within_interval = begin.is_some_and(|begin| {
            now_unix_nano.checked_sub(begin).is_some_and(|age| age < AT_MOST_EVERY_NANOS)
        });
        let has_items = !report.ledgers.destinations.is_empty();
        let is_first_with_items = has_items && self.last_request_unix_nano.is_none();
        !is_within_interval || is_first_with_items
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::destination::DryRun;
    use crate::delivery::ingest_window::IngestPolicy;
    use crate::ledger::Ledger;
    use crate::vitals::VitalsSettings;
    use backend::DestinationConfig;
    use url::Url;

    #[tokio::test]
    async fn vitals_are_not_sent_while_the_circuit_breaker_is_open() {
        let config = DestinationConfig::new(&Url::parse("http://127.0.0.1:9/").unwrap());
        let destination = Destination::new("default", DryRun, &config, IngestPolicy::any_time());
        let note = |health| {
            destination.with_breaker(SignalKind::Metrics, |breaker| {
                breaker.note(health, 0, Duration::ZERO);
            });
        };
        (0..3).for_each(|_| note(DestinationHealth::Failing));
        let function = "forwarder".to_owned();
        let settings = VitalsSettings { function, region: None, emf: false, otlp: true };
        let vitals = Vitals::new(settings);
        let deadline = Instant::now() + LONGEST_REQUEST;
        let invocation = |observed_unix_nano| InvocationContext {
            observed_unix_nano,
            deadline,
            queue_deadline: deadline,
            account: None,
        };
        let mut report = Report::default();
        report.ledgers.add("default", Ledger::default());
        let unsent = || {
            let unsent = vitals.unsent.lock().unwrap();
            (unsent.last_request_unix_nano, unsent.sums.invocations)
        };
        vitals.record(&report, &invocation(0), &destination).await;
        assert_eq!(unsent(), (None, 1));
        // The first accepted delivery resumes them.
        note(DestinationHealth::Accepting);
        vitals.record(&report, &invocation(0), &destination).await;
        assert_eq!(unsent(), (Some(0), 0));
        // Without deliveries of metrics, the metrics themselves are the probe.
        (0..3).for_each(|_| note(DestinationHealth::Failing));
        vitals.record(&report, &invocation(AT_MOST_EVERY_NANOS), &destination).await;
        assert_eq!(unsent(), (Some(AT_MOST_EVERY_NANOS), 0));
        let admission = destination.with_breaker(SignalKind::Metrics, |breaker| breaker.admit(0));
        assert_eq!(admission, Admission::Send);
    }
}
