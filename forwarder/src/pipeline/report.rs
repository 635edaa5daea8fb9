//! Says what became of one event.

use crate::deliver::enqueue::{KeptIn, Undelivered};
use crate::deliver::{Delivered, Remainder};
use crate::ledger::{Account, Ledger};
use crate::rules::Effect;
use crate::source::SourceError;
use wire::{SignalKind, UndecodableLine};

/// What became of one event.
#[derive(Debug, Default)]
#[must_use = "what was returned has to fail the invocation"]
pub struct Report {
    /// The accounting.
    pub account: Account,
    /// What was not accepted, why, and where it is kept.
    pub undelivered: Vec<Undelivered>,
    /// Lines that claim to be OTLP and did not decode, with the id of their log event.
    pub undecodable: Vec<(String, UndecodableLine)>,
    /// Data points without a finite value, which were dropped: OpenObserve would store rows that break queries.
    pub dropped_points: usize,
    /// Items that were dropped for their time, as `LAMBDA_OTLP_OLD_RECORDS` says.
    pub dropped_for_time: usize,
    /// Items that got the present time, as `LAMBDA_OTLP_OLD_RECORDS` says.
    pub restamped: usize,
    /// What each rule did.
    pub rules: Vec<Effect>,
    /// Items that rules could not look into; they went on as they are.
    pub unreadable: usize,
    /// Warnings of the backend.
    pub warnings: Vec<String>,
    /// Figures of reports and of embedded metrics that became no data point: no plausible numbers, or beyond a bound.
    pub dropped_figures: usize,
    /// Panics caught while converting.
    pub panics: usize,
    /// Why the event could not be read, or not to its end; the rest of the report is about what
    /// was read.
    pub unread: Option<SourceError>,
    /// Records or messages of the event that are returned, for a partial batch response; `None` where
    /// the source takes none, and an event is returned as a whole.
    pub batch_item_failures: Option<Vec<String>>,
    /// HTTP requests sent, repetitions included.
    pub requests_sent: usize,
    /// Bytes of their bodies.
    pub bytes_sent: usize,
    /// Time of the oldest log event, in milliseconds since the Unix epoch.
    pub oldest_event_ms: Option<i64>,
}

impl Report {
    /// The sum of all destinations.
    pub fn ledger(&self) -> &Ledger {
        &self.account.total
    }

    /// True if the event was read to its end, and every item was accepted, parked, dropped by a rule
    /// or dead-lettered.
    pub fn is_complete(&self) -> bool {
        self.account.total.returned == 0
            && self.account.balances()
            && self.unread.is_none()
            && self.batch_item_failures.as_ref().is_none_or(Vec::is_empty)
    }

    /// Items that a destination or a queue took of an event that is returned as a whole: its next delivery
    /// stores them twice. They are in no ledger's `ambiguous`, which counts what nobody knows.
    pub fn taken_of_returned(&self) -> usize {
        let Ledger { accepted, parked, dead_lettered, .. } = *self.ledger();
        let is_returned = self.batch_item_failures.is_none() && !self.is_complete();
        if is_returned { accepted + parked + dead_lettered } else { 0 }
    }

    /// Takes the account of a delivery, and leaves what was not taken.
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

    /// Notes what stays in its message of the retry queue.
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
