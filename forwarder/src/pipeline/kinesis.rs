//! Forwards the records of a Kinesis event, and says from which record on they are to come again.
//!
//! Lambda repeats a shard's records from the first that failed (Lambda Developer Guide, "Configuring
//! partial batch response with Kinesis"): what lies behind it comes again in any case, so nothing of
//! it is sent before.

use super::run::Run;
use crate::destination::Export;
use crate::parking::Queue;
use crate::source::{HandOn, KinesisRecord, LogEventRange, SourceError};
use std::sync::Arc;

impl<E: Export, Q: Queue> Run<'_, E, Q> {
    /// Forwards the records of one shard, in their order.
    pub(super) async fn kinesis(&mut self, records: Vec<KinesisRecord>) {
        let mut failures = Vec::new();
        // Records that share a delivery share its fate: the first of them.
        let mut first: Option<String> = None;
        let count = records.len();
        for (number, record) in records.into_iter().enumerate() {
            let record = Arc::new(record);
            let own = || record.sequence_number().to_owned();
            let returned_before = self.returned();
            first.get_or_insert_with(own);
            let unread = self.convert_record(&record).await;
            if let Some(error) = &unread {
                // The others' fate is not that of the record that nobody can read.
                self.flush().await;
                // Where others are returned it comes again with them.
                if self.returned() == returned_before {
                    first = Some(own());
                    self.dead_letter_record(&record, error);
                }
            }
            let is_last = number + 1 == count;
            let is_enough = self.has_enough_to_deliver();
            // The end of a record whose beginning is returned has to be accounted for as well.
            let is_returned = self.returned() > returned_before;
            if unread.is_some() || is_last || is_enough || is_returned {
                self.flush().await;
            }
            if self.returned() > returned_before {
                failures.extend(first);
                break;
            }
            if self.waiting.is_empty() {
                first = None;
            }
        }
        self.report.batch_item_failures = Some(failures);
    }

    /// Converts what a record holds; answers why it could not be read, or not to its end.
    pub(super) async fn convert_record(
        &mut self,
        record: &Arc<KinesisRecord>,
    ) -> Option<SourceError> {
        let limits = self.forwarder.options.source;
        let record = Arc::clone(record);
        self.convert_all(move |hand_on: HandOn<'_>| record.read(&limits, hand_on)).await
    }

    /// A record that nobody can read would stop its shard until it expires: it is dead-lettered.
    pub(super) fn dead_letter_record(&mut self, record: &KinesisRecord, error: &SourceError) {
        let number = record.sequence_number();
        let log_events = LogEventRange {
            origin: record.origin(),
            first_event_id: number.to_owned(),
            last_event_id: number.to_owned(),
        };
        let bytes = record.data().unwrap_or_else(|_| record.text().into());
        self.report.account.total.events += 1;
        self.dead_letter_raw(bytes, error.to_string(), log_events);
    }
}
