//! The pipeline: one event in, its log events converted and delivered in chunks, one report out.
//!
//! Each event is a [`Run`]. What sends events decides how one begins (`subscription`, `kinesis`, `queue_messages`); log
//! events then take the same way (`log_events`): converted, routed, delivered, and what no destination took put into a
//! queue.

pub(crate) mod invocation;
mod kinesis;
mod log_events;
pub(crate) mod options;
mod pieces;
mod queue_messages;
pub(crate) mod redrive;
pub(crate) mod report;
mod routing;
mod run;
mod subscription;
mod waiting;

use crate::deliver::enqueue::Queues;
use crate::destination::{Destination, Export};
use crate::parking::Queue;
use crate::rules::RuleSet;
use crate::source::{Event, SourceError};
use invocation::InvocationContext;
use options::Options;
use report::Report;
use run::Run;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Forwards events to its destinations.
#[derive(Debug)]
pub struct Forwarder<E, Q> {
    destinations: Vec<Arc<Destination<E>>>,
    rules: Arc<RuleSet>,
    queues: Queues<Q>,
    options: Options,
    /// When the last delivery ended, by the clock of its event.
    last_end: Mutex<Option<(u64, Instant)>>,
    has_warned_of_own: AtomicBool,
}

/// Connections that were idle for so long may be gone: a load balancer closes them, and a frozen
/// environment does not see it.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

impl<E: Export, Q: Queue> Forwarder<E, Q> {
    /// A forwarder that sends to these destinations, the first of them the default, and keeps in these
    /// queues what they do not take.
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

    /// Puts rules in force; `destinations` are the default destination and those that the rules name.
    pub fn set_rules(&mut self, rules: Arc<RuleSet>, destinations: Vec<Arc<Destination<E>>>) {
        self.rules = rules;
        self.destinations = destinations;
    }

    /// Delivers all that one event holds.
    pub async fn forward(&self, event: Event, invocation: &InvocationContext) -> Report {
        self.drop_old_connections(invocation);
        let begin = Instant::now();
        let mut run = Run::new(self, invocation);
        match event {
            Event::CloudWatchLogs(subscription) => run.subscription(subscription).await,
            Event::Kinesis(records) => run.kinesis(records).await,
            Event::Queue(messages) => run.queue(messages).await,
            Event::Unknown(what) => run.report.unread = Some(SourceError::Unknown(what)),
        }
        let took = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let end = invocation.observed_unix_nano.saturating_add(took);
        *self.last_end.lock().unwrap_or_else(PoisonError::into_inner) = Some((end, Instant::now()));
        run.report
    }

    /// Drops connections from before a freeze. The monotonic clock may stand still in one, the wall
    /// clock does not.
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

#[cfg(test)]
mod tests;
