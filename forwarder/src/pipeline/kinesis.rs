//! Forwards the records of a Kinesis event, and says from which record on they are to come again.
//!
//! Lambda repeats a shard's records from the first that failed (Lambda Developer Guide, "Configuring
//! partial batch response with Kinesis"): what lies behind it comes again in any case, so nothing of
//! it is sent before.

use crate::destination::Export;
use crate::parking::{Origin, Queue};
use crate::pipeline::run::Progress;
use crate::pipeline::{Forwarder, Invocation};
use crate::source::{HandOn, KinesisRecord, SourceError};
use std::sync::Arc;

impl<E: Export, Q: Queue> Forwarder<E, Q> {
    pub(crate) async fn forward_records(
        &self,
        records: Vec<KinesisRecord>,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        let mut failures = Vec::new();
        // Records that share a delivery share its fate: the first of them.
        let mut first: Option<String> = None;
        let count = records.len();
        for (number, record) in records.into_iter().enumerate() {
            let record = Arc::new(record);
            let own = || record.sequence_number().to_owned();
            let returned_before = progress.returned();
            first.get_or_insert_with(own);
            let unread = self.convert_record(&record, invocation, progress).await;
            if let Some(error) = &unread {
                // The others' fate is not that of the record that nobody can read.
                self.flush(invocation, progress).await;
                // Where others are returned it comes again with them.
                if progress.returned() == returned_before {
                    first = Some(own());
                    bury_record(&record, error, invocation, progress);
                }
            }
            let is_last = number + 1 == count;
            let is_enough = progress.outgoing_bytes() >= self.options.enough_to_deliver;
            // The end of a record whose beginning is returned has to be accounted for as well.
            let is_returned = progress.returned() > returned_before;
            if unread.is_some() || is_last || is_enough || is_returned {
                self.flush(invocation, progress).await;
            }
            if progress.returned() > returned_before {
                failures.extend(first);
                break;
            }
            if progress.is_idle() {
                first = None;
            }
        }
        progress.report.batch_item_failures = Some(failures);
    }

    pub(crate) async fn convert_record(
        &self,
        record: &Arc<KinesisRecord>,
        invocation: &Invocation,
        progress: &mut Progress,
    ) -> Option<SourceError> {
        let limits = self.options.source;
        let record = Arc::clone(record);
        let read = move |hand_on: HandOn<'_>| record.read(&limits, hand_on);
        self.convert_all(read, invocation, progress).await
    }
}

/// A record that nobody can read would stop its shard until it expires: it is dead-lettered.
pub(crate) fn bury_record(
    record: &KinesisRecord,
    error: &SourceError,
    invocation: &Invocation,
    progress: &mut Progress,
) {
    let number = record.sequence_number();
    let origin = Origin {
        first_event_id: number.to_owned(),
        last_event_id: number.to_owned(),
        ..Origin::of(&record.envelope(), None, None, None)
    };
    let bytes = record.data().unwrap_or_else(|_| record.text().into());
    progress.report.account.total.events += 1;
    progress.bury_raw(bytes, error.to_string(), &origin, invocation);
}
