//! Forwards one event: reads it, converts its log events chunk by chunk, delivers them, and reports their fate.
//!
//! The sender of the event decides how it begins (`sources`). Its log events then go
//! through three [`Stages`]: `convert`, `router`, `flusher`.

pub(crate) mod flusher;
mod router;
mod sources;
mod stages;

use crate::config::Config;
use crate::convert::{ConvertOptions, StreamState};
use crate::delivery::destination::{Destination, Export};
use crate::invocation::InvocationContext;
use crate::queues::Queue;
use crate::queues::put::Queues;
use crate::report::{MOST_DETAILS, Report};
use crate::rules::RuleSet;
use crate::source::{Event, SourceError, SourceLimits};
use flusher::Flusher;
use router::Router;
use stages::Stages;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub struct Forwarder<E, Q> {
    destinations: Vec<Arc<Destination<E>>>,
    rules: Arc<RuleSet>,
    queues: Queues<Q>,
    options: Options,
    /// End of the last delivery, by the wall clock of its event and the monotonic clock.
    last_end: Mutex<Option<(u64, Instant)>>,
    has_warned_of_own: AtomicBool,
}

/// After this idle time a connection may be dead: load balancers close it, and a frozen environment does not notice.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

impl<E: Export, Q: Queue> Forwarder<E, Q> {
    /// Creates a forwarder. The first destination is the default.
    pub fn new(
        destinations: Vec<Arc<Destination<E>>>,
        queues: Queues<Q>,
        options: Options,
    ) -> Self {
        Self {
            destinations,
            rules: Arc::default(),
            queues,
            options,
            last_end: Mutex::default(),
            has_warned_of_own: AtomicBool::new(false),
        }
    }

    /// Replaces the rules. `destinations` are the default destination and the ones that the rules name.
    pub fn set_rules(&mut self, rules: Arc<RuleSet>, destinations: Vec<Arc<Destination<E>>>) {
        self.rules = rules;
        self.destinations = destinations;
    }

    pub async fn forward(&self, event: Event, invocation: &InvocationContext) -> Report {
        self.drop_old_connections(invocation);
        let begin = Instant::now();
        let mut stages = self.stages(invocation);
        let (mut unread, mut failures) = (None, None);
        match event {
            Event::CloudWatchLogs(event) => {
                unread = sources::forward_subscription(&mut stages, event).await;
            }
            Event::Kinesis(records) => {
                failures = Some(sources::forward_records(&mut stages, records).await);
            }
            Event::Queue(messages) => {
                failures = Some(sources::forward_messages(&mut stages, messages).await);
                // Their age is the backend's outage, not the lag of log events.
                stages.flusher.report.oldest_event_ms = None;
            }
            Event::Unknown(what) => unread = Some(SourceError::Unknown(what)),
        }
        let report = Report { unread, batch_item_failures: failures, ..stages.flusher.report };
        let took = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let end = invocation.observed_unix_nano.saturating_add(took);
        *self.last_end.lock().unwrap_or_else(PoisonError::into_inner) = Some((end, Instant::now()));
        report
    }

    fn stages<'f>(&'f self, invocation: &'f InvocationContext) -> Stages<'f, E, Q> {
        let Self { destinations, queues, options, .. } = self;
        Stages {
            limits: options.source,
            options: &options.convert,
            observed_unix_nano: invocation.observed_unix_nano,
            stream: StreamState::default(),
            router: Router {
                rules: &self.rules,
                destinations,
                options,
                account: invocation.account.as_deref(),
                has_warned_of_own: &self.has_warned_of_own,
                observed_unix_nano: invocation.observed_unix_nano,
            },
            flusher: Flusher::new(destinations, queues, options, invocation),
        }
    }

    /// Drops connections from before a freeze. The monotonic clock may stand still during a freeze, so the wall clock counts too.
    fn drop_old_connections(&self, invocation: &InvocationContext) {
        let last = *self.last_end.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((wall, monotonic)) = last else { return };
        let silence = Duration::from_nanos(invocation.observed_unix_nano.saturating_sub(wall))
            .max(monotonic.elapsed());
        if silence >= LONGEST_SILENCE {
            self.destinations
                .iter()
                .for_each(|destination| destination.export().drop_connections());
        }
    }
}

#[derive(Clone, Debug)]
pub struct Options {
    pub source: SourceLimits,
    pub convert: ConvertOptions,
    /// The forwarder's region. Subscriptions deliver within their region, so it is the region of log groups without one.
    pub region: Option<String>,
    /// Log groups of the forwarder and of the other functions of the delivery path. Forwarding their log events would cause
    /// further log events without end.
    pub own_log_groups: Vec<String>,
    /// Size of waiting requests that starts a delivery.
    pub enough_to_deliver: usize,
    /// Limit on the undecodable lines that a report lists. The ledger counts all.
    pub most_details: usize,
}

impl Options {
    pub fn of(config: &Config) -> Self {
        Self {
            source: SourceLimits::default(),
            convert: ConvertOptions {
                platform: config.platform,
                platform_spans: config.platform_spans,
                ..ConvertOptions::default()
            },
            region: config.region.clone(),
            own_log_groups: config.own_log_groups.clone(),
            enough_to_deliver: 2 * 1024 * 1024,
            most_details: MOST_DETAILS,
        }
    }
}

#[cfg(test)]
mod tests;
