//! Selects the destinations and streams of a batch, before its log events are converted.

use super::{Arrival, Forwarder};
use crate::delivery::destination::Destination;
use crate::invocation::InvocationContext;
use crate::ledger::{Consumed, Ledger};
use crate::report::Report;
use crate::source::{LogBatch, LogEventRange, Origin};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The destinations of one batch, and the properties that all its requests share.
pub(crate) struct Routing {
    pub(super) log_events: Arc<LogEventRange>,
    /// Service name from a rule. It replaces the name derived from log group and log stream.
    pub(super) service_name: Option<String>,
    pub(super) arrival: Arrival,
    pub(super) routes: Vec<DestinationRoute>,
}

/// A destination of a batch.
pub(super) struct DestinationRoute {
    /// Position in the list of destinations.
    pub(super) destination: usize,
    /// OpenObserve's stream; `None` for the default stream.
    pub(super) stream: Option<Arc<str>>,
}

impl<E, Q> Forwarder<E, Q> {
    /// Consumes control messages and the log events of the delivery path itself. Returns `false` for other batches, which the
    /// pipeline forwards.
    pub(super) fn try_consume(
        &self,
        batch: &LogBatch,
        invocation: &InvocationContext,
        report: &mut Report,
    ) -> bool {
        let events = batch.events.len();
        let consumed = if batch.is_control {
            report.note_oldest(batch);
            Consumed { control_messages: events, ..Consumed::default() }
        } else if self.is_own(&batch.origin, invocation) {
            // Once in each environment.
            let is_first = !self.has_warned_of_own.swap(true, Ordering::Relaxed);
            if is_first {
                report.warnings.push(format!(
                    "the log group {} is a forwarder's own: its events are dropped, remove its subscription",
                    batch.origin.log_group
                ));
            }
            Consumed { own_log_group: events, ..Consumed::default() }
        } else {
            return false;
        };
        report.ledgers.total += Ledger { events, consumed, ..Ledger::default() };
        true
    }

    /// Returns `true` if the log group belongs to this stack, or to another stack of our template.
    pub(super) fn is_own(&self, origin: &Origin, invocation: &InvocationContext) -> bool {
        let is_in_own_account = || {
            invocation.account.as_ref().is_none_or(|own| *own == origin.account)
                && self.options.region.as_ref().is_none_or(|own| *own == origin.region)
        };
        self.options.own_log_groups.iter().any(|own| match own.strip_suffix('*') {
            // The log groups of all stacks of the template, in any account.
            Some(prefix) => origin.log_group.starts_with(prefix),
            None => *own == origin.log_group && is_in_own_account(),
        })
    }

    /// Selects the destinations of a batch by its origin. The default is the first destination.
    pub(super) fn select_routes(&self, batch: &LogBatch, arrival: Arrival) -> Routing {
        let LogBatch { origin, events, .. } = batch;
        let to = |destination: usize, stream: Option<String>| {
            let own_stream = || self.destinations.get(destination)?.stream(origin);
            DestinationRoute { destination, stream: stream.or_else(own_stream).map(Arc::from) }
        };
        let of_rules = self.rules.routes(origin).into_iter().filter_map(|route| {
            let is_named = |it: &Arc<Destination<E>>| it.name == route.destination;
            let destination = self.destinations.iter().position(is_named)?;
            Some(to(destination, route.stream))
        });
        let mut routes: Vec<DestinationRoute> = of_rules.collect();
        if routes.is_empty() {
            routes.push(to(0, None));
        }
        Routing {
            log_events: Arc::new(LogEventRange::of(origin, events)),
            service_name: self.rules.service_name(origin),
            arrival,
            routes,
        }
    }
}
