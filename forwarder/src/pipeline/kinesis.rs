//! Forwards the records of a Kinesis event, and names the first record that has to be delivered again.
//!
//! Lambda repeats a shard's records from the first failed one (Lambda Developer Guide, "Configuring partial batch
//! response with Kinesis"). Records after it are therefore not sent.

use super::stages::Stages;
use crate::destination::Export;
use crate::parking::Queue;
use crate::source::{KinesisRecord, LogEventRange, SourceError};
use std::sync::Arc;

/// Forwards the records of one shard in order. Returns the sequence number of the first failed record.
pub(super) async fn forward<E: Export, Q: Queue>(
    stages: &mut Stages<'_, E, Q>,
    records: Vec<KinesisRecord>,
) -> Vec<String> {
    // The first record of the next delivery: if the delivery fails, it fails for all its records.
    let mut first: Option<String> = None;
    let count = records.len();
    for (number, record) in records.into_iter().enumerate() {
        let record = Arc::new(record);
        let own = || record.sequence_number().to_owned();
        let returned_before = stages.flusher.returned();
        first.get_or_insert_with(own);
        let unread = read(stages, &record).await;
        let flusher = &mut stages.flusher;
        if let Some(error) = &unread {
            // The records before the unreadable one have their own fate.
            flusher.flush().await;
            // If those are returned, this record comes again with them.
            if flusher.returned() == returned_before {
                first = Some(own());
                dead_letter(stages, &record, error);
            }
        }
        let flusher = &mut stages.flusher;
        let is_last = number + 1 == count;
        // If the beginning of a record was returned, its end has to be accounted for too.
        let is_returned = flusher.returned() > returned_before;
        if unread.is_some() || is_last || flusher.is_full() || is_returned {
            flusher.flush().await;
        }
        if flusher.returned() > returned_before {
            return first.into_iter().collect();
        }
        if flusher.is_empty() {
            first = None;
        }
    }
    Vec::new()
}

/// Forwards the log events of a record. Returns the error if the record is not readable to its end.
pub(super) async fn read<E: Export, Q: Queue>(
    stages: &mut Stages<'_, E, Q>,
    record: &Arc<KinesisRecord>,
) -> Option<SourceError> {
    let record = Arc::clone(record);
    stages.read_all(move |limits, hand_on| record.read(limits, hand_on)).await
}

/// Dead-letters an unreadable record. Returned to Lambda, it would block its shard until it expires.
pub(super) fn dead_letter<E: Export, Q: Queue>(
    stages: &mut Stages<'_, E, Q>,
    record: &KinesisRecord,
    error: &SourceError,
) {
    let number = record.sequence_number();
    let log_events = LogEventRange {
        origin: record.origin(),
        first_event_id: number.to_owned(),
        last_event_id: number.to_owned(),
    };
    let bytes = record.data().unwrap_or_else(|_| record.text().into());
    stages.flusher.report.account.total.events += 1;
    stages.flusher.dead_letter_raw(bytes, error.to_string(), &log_events);
}
