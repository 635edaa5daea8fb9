//! The outcome of one event.

use crate::ledger::{Ledger, Ledgers};
use crate::queues::QueueError;
use crate::rules::Effect;
use crate::source::{LogBatch, SourceError};
use backend::Fate;
use wire::{SignalKind, UndecodableLine};

/// Limit on each list of a report, if not set otherwise. The ledger counts everything.
pub(crate) const MAX_DETAILS: usize = 100;

/// The place of undelivered telemetry after the invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptIn {
    RetryQueue,
    DeadLetterQueue,
    /// In its message of the retry queue, which comes again.
    Message,
    /// Only in its log group: an undecodable line without a dead-letter queue.
    LogGroup,
    /// Returned to Lambda, which delivers it again; with the queue's error, if there is a queue.
    Returned(Option<QueueError>),
}

impl KeptIn {
    pub(crate) fn is_returned(&self) -> bool {
        matches!(self, Self::Returned(_))
    }

    /// Returns `true` if the queue may have taken the message although it reported an error: it may arrive twice.
    pub(crate) fn may_be_queued(&self) -> bool {
        matches!(self, Self::Returned(Some(error)) if error.is_ambiguous())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    pub destination: String,
    /// Its signal; `None` for lines and log events.
    pub signal: Option<SignalKind>,
    pub items: usize,
    pub reason: String,
    /// What had to follow. `kept_in` says what became of it.
    pub fate: Fate,
    pub kept_in: KeptIn,
}

impl Undelivered {
    /// Returns `true` if its items come again: with the event, or with their message of the retry queue.
    pub(crate) fn comes_again(&self) -> bool {
        matches!(self.kept_in, KeptIn::Message | KeptIn::Returned(_))
    }

    /// Returns `true` if the two differ at most in their number of items.
    fn is_like(&self, other: &Self) -> bool {
        let Self { destination, signal, items: _, reason, fate, kept_in } = self;
        *destination == other.destination
            && *signal == other.signal
            && *reason == other.reason
            && *fate == other.fate
            && *kept_in == other.kept_in
    }
}

/// An undecodable OTLP line.
#[derive(Debug)]
pub struct ReportedLine {
    /// The id of its log event.
    pub event_id: String,
    pub line: UndecodableLine,
}

#[derive(Debug, Default)]
#[must_use = "returned telemetry must fail the invocation"]
pub struct Report {
    pub ledgers: Ledgers,
    /// Telemetry that was not accepted, with the reason and its place.
    pub undelivered: Vec<Undelivered>,
    pub undecodable: Vec<ReportedLine>,
    /// Dropped data points without a finite value. OpenObserve would store rows that break queries.
    pub dropped_points: usize,
    /// Items that no destination of their log group takes (`LAMBDA_OTLP_SIGNALS`).
    pub not_taken: usize,
    /// Attributes whose key was changed, because OpenObserve stores another key in the same column.
    pub renamed: usize,
    /// Items dropped because of their time (`LAMBDA_OTLP_OLD_RECORDS`).
    pub dropped_for_time: usize,
    /// Items that got the present time (`LAMBDA_OTLP_OLD_RECORDS`).
    pub restamped: usize,
    pub rules: Vec<Effect>,
    pub warnings: Vec<String>,
    /// Values of embedded metrics without a data point: implausible, or over a limit.
    pub dropped_figures: usize,
    pub panics: usize,
    /// The reason if the event was not read to its end. The other fields then describe its first part.
    pub read_error: Option<SourceError>,
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
        &self.ledgers.total
    }

    /// Returns `true` if the event was read to its end and no item was returned or lost.
    pub fn is_complete(&self) -> bool {
        self.ledgers.total.returned == 0
            && self.ledgers.balances()
            && self.read_error.is_none()
            && self.batch_item_failures.as_ref().is_none_or(Vec::is_empty)
    }

    /// Accepted, queued and dead-lettered items of an event that is returned as a whole. Its next delivery stores them twice.
    pub fn taken_of_returned(&self) -> usize {
        let is_returned_whole = self.batch_item_failures.is_none() && !self.is_complete();
        if !is_returned_whole {
            return 0;
        }
        let Ledger { accepted, parked, dead_lettered, .. } = *self.ledger();
        accepted + parked + dead_lettered
    }

    /// Items that rules dropped, before they are multiplied by destinations.
    pub fn dropped_by_rules(&self) -> usize {
        self.rules.iter().map(|effect| effect.dropped).sum()
    }

    /// Adds the effects of rules on requests.
    pub(crate) fn note_effects(&mut self, effects: Vec<Effect>) {
        Effect::add_all(&mut self.rules, effects);
    }

    pub(super) fn note_oldest(&mut self, batch: &LogBatch) {
        let oldest = batch.events.iter().map(|event| event.timestamp_ms).min();
        self.oldest_event_ms = oldest.into_iter().chain(self.oldest_event_ms).min();
    }

    /// Notes undelivered telemetry, and the fate of its items.
    pub(crate) fn note(&mut self, undelivered: Undelivered) {
        let items = undelivered.items;
        let mut fates = Ledger::default();
        match &undelivered.kept_in {
            KeptIn::RetryQueue => fates.parked = items,
            KeptIn::DeadLetterQueue => fates.dead_lettered = items,
            KeptIn::LogGroup => fates.dropped = items,
            KeptIn::Message | KeptIn::Returned(_) => fates.returned = items,
        }
        if undelivered.kept_in.may_be_queued() {
            fates.ambiguous = items;
        }
        self.ledgers.add(&undelivered.destination, fates);
        self.add_detail(undelivered);
    }

    /// Lists undelivered telemetry, together with telemetry that differs only in its number of items.
    fn add_detail(&mut self, undelivered: Undelivered) {
        if let Some(same) = self.undelivered.iter_mut().find(|other| other.is_like(&undelivered)) {
            same.items += undelivered.items;
        } else if self.undelivered.len() < MAX_DETAILS {
            self.undelivered.push(undelivered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_undelivered_parts_are_listed_and_all_are_counted() {
        let mut report = Report::default();
        for number in 0..150 {
            report.note(Undelivered {
                destination: "default".to_owned(),
                signal: None,
                items: 1,
                reason: number.to_string(),
                fate: Fate::Park,
                kept_in: KeptIn::Returned(None),
            });
        }
        assert_eq!((report.undelivered.len(), report.ledgers.total.returned), (100, 150));
    }
}
