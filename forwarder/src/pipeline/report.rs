//! The outcome of one event.

use crate::deliver::enqueue::{KeptIn, Undelivered};
use crate::deliver::{Delivered, Remainder};
use crate::ledger::{Account, Ledger};
use crate::rules::Effect;
use crate::source::{LogBatch, SourceError};
use wire::{SignalKind, UndecodableLine};

#[derive(Debug, Default)]
#[must_use = "returned telemetry must fail the invocation"]
pub struct Report {
    pub account: Account,
    /// Telemetry that was not accepted, with the reason and its place.
    pub undelivered: Vec<Undelivered>,
    /// Undecodable OTLP lines, with the ids of their log events.
    pub undecodable: Vec<(String, UndecodableLine)>,
    /// Dropped data points without a finite value. OpenObserve would store rows that break queries.
    pub dropped_points: usize,
    /// Attributes whose key was changed, because OpenObserve stores another key in the same column.
    pub renamed: usize,
    /// Items dropped because of their time (`LAMBDA_OTLP_OLD_RECORDS`).
    pub dropped_for_time: usize,
    /// Items that got the present time (`LAMBDA_OTLP_OLD_RECORDS`).
    pub restamped: usize,
    pub rules: Vec<Effect>,
    /// Items that rules could not read. They were sent unchanged.
    pub unreadable: usize,
    pub warnings: Vec<String>,
    /// Values of REPORT lines and embedded metrics that became no data point: implausible, or over a limit.
    pub dropped_figures: usize,
    pub panics: usize,
    /// The reason if the event was not read to its end. The other fields then describe its first part.
    pub unread: Option<SourceError>,
    /// Returned records or messages, for a partial batch response. `None` if the source has no partial responses.
    pub batch_item_failures: Option<Vec<String>>,
    /// HTTP requests, including retries.
    pub requests_sent: usize,
    pub bytes_sent: usize,
    /// Time of the oldest log event, in milliseconds since the Unix epoch.
    pub oldest_event_ms: Option<i64>,
}

impl Report {
    pub fn ledger(&self) -> &Ledger {
        &self.account.total
    }

    /// Returns `true` if the event was read to its end and no item was returned or lost.
    pub fn is_complete(&self) -> bool {
        self.account.total.returned == 0
            && self.account.balances()
            && self.unread.is_none()
            && self.batch_item_failures.as_ref().is_none_or(Vec::is_empty)
    }

    /// Accepted, queued and dead-lettered items of an event that is returned as a whole. Its next delivery stores them twice.
    pub fn taken_of_returned(&self) -> usize {
        let Ledger { accepted, parked, dead_lettered, .. } = *self.ledger();
        let is_returned = self.batch_item_failures.is_none() && !self.is_complete();
        if is_returned { accepted + parked + dead_lettered } else { 0 }
    }

    pub(super) fn note_oldest(&mut self, batch: &LogBatch) {
        let oldest = batch.events.iter().map(|event| event.timestamp_ms).min();
        self.oldest_event_ms = oldest.into_iter().chain(self.oldest_event_ms).min();
    }

    /// Adds the result of a delivery, and returns its undelivered parts.
    pub(crate) fn take_delivered(
        &mut self,
        delivered: Delivered,
        most_details: usize,
    ) -> Vec<Remainder> {
        self.account += delivered.account;
        self.warnings.extend(delivered.warnings);
        self.warnings.truncate(most_details);
        self.requests_sent += delivered.requests_sent;
        self.bytes_sent += delivered.bytes_sent;
        self.dropped_for_time += delivered.dropped_for_time;
        self.restamped += delivered.restamped;
        delivered.remainders
    }

    /// Notes telemetry that stays in its message of the retry queue.
    pub(crate) fn keep_in_message(
        &mut self,
        destination: &str,
        kind: SignalKind,
        items: usize,
        reason: String,
        alarm: bool,
    ) {
        self.account.add(destination, Ledger { returned: items, ..Ledger::default() });
        self.undelivered.push(Undelivered {
            destination: destination.to_owned(),
            kind: Some(kind),
            items,
            reason,
            kept_in: KeptIn::Message,
            partial: false,
            alarm,
        });
    }

    pub(crate) fn note(&mut self, undelivered: Vec<Undelivered>, most_details: usize) {
        self.undelivered.extend(undelivered);
        self.undelivered.truncate(most_details);
    }
}
