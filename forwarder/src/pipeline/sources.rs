//! Forwards events that are answered in parts: the records of a Kinesis stream, and the messages of a queue: queued requests, lines
//! and log events, and events of failed invocations.
//!
//! Lambda repeats a shard's records from the first failed one (Lambda Developer Guide, "Configuring partial batch response with
//! Kinesis"). Records after it are therefore not sent.

use super::reading::EventPart;
use super::{Arrival, Forwarding};
use crate::delivery::destination::Export;
use crate::queues::redrive::redrive;
use crate::queues::{Content, Queue, QueuedTelemetry};
use crate::source::{Event, KinesisRecord, LogEventRange, QueueMessage, SourceError};
use backend::Fate;

impl<E: Export, Q: Queue> Forwarding<'_, E, Q> {
    /// Forwards the records of one shard in order. Returns the sequence number of the first failed record.
    pub(super) async fn forward_records(&mut self, records: Vec<KinesisRecord>) -> Vec<String> {
        // The first record with items in the next delivery: if that fails, it fails for all its records.
        let mut first_of_delivery: Option<String> = None;
        let count = records.len();
        for (position, record) in records.into_iter().enumerate() {
            let number = record.sequence_number();
            first_of_delivery.get_or_insert_with(|| number.to_owned());
            let read_error = self.forward_part(&EventPart::Record(&record), Arrival::First).await;
            let is_last = position + 1 == count;
            // If the beginning of a record was returned, its end has to be accounted for too.
            let has_failed = read_error.is_some() || self.outbox.has_returned_items();
            let must_flush = has_failed || is_last || self.outbox.is_full();
            if must_flush && self.outbox.flush().await > 0 {
                // An unreadable record after the first failed one comes again with it.
                return first_of_delivery.into_iter().collect();
            }
            if let Some(error) = read_error {
                self.dead_letter_record(&record, &error);
                if self.outbox.flush().await > 0 {
                    return vec![number.to_owned()];
                }
            }
            if self.outbox.is_empty() {
                first_of_delivery = None;
            }
        }
        Vec::new()
    }

    /// Dead-letters an unreadable record. Returned to Lambda, it would block its shard until it expires.
    fn dead_letter_record(&mut self, record: &KinesisRecord, error: &SourceError) {
        let number = record.sequence_number();
        let log_events = LogEventRange {
            origin: record.origin(),
            first_event_id: number.to_owned(),
            last_event_id: number.to_owned(),
        };
        let bytes = record.bytes().to_vec();
        self.outbox.report.ledgers.total.events += 1;
        self.outbox.dead_letter_raw(bytes, error.to_string(), &log_events);
    }

    /// Forwards each message. Returns the ids of the messages that have to come again.
    pub(super) async fn forward_messages(&mut self, messages: Vec<QueueMessage>) -> Vec<String> {
        let mut failures = Vec::new();
        for message in messages {
            let returned = self.forward_message(&message).await;
            if returned > 0 {
                failures.push(message.message_id);
            }
        }
        failures
    }

    /// Forwards a message. Returns the number of its items that have to come again.
    async fn forward_message(&mut self, message: &QueueMessage) -> usize {
        if let Some(executions) = self.status_events(message) {
            return self.forward_status_event(&executions, message).await;
        }
        if let Some(event) = message.event() {
            self.forward_event(message, &event).await;
        } else {
            match QueuedTelemetry::from_body(message.text()) {
                Ok(queued) => return self.forward_queued(message, queued).await,
                Err(error) => self.dead_letter_message(message, error.to_string()),
            }
        }
        self.outbox.flush().await
    }

    /// Forwards an event that arrived bare, or in the record of a failed invocation. It is returned or kept as a whole,
    /// except for unreadable Kinesis records, which are dead-lettered one by one.
    async fn forward_event(&mut self, message: &QueueMessage, event: &Event) {
        let parts = EventPart::all_of(event);
        self.read_traces(&parts);
        for part in &parts {
            let Some(error) = self.forward_part(part, Arrival::First).await else { continue };
            match part {
                EventPart::Record(record) => self.dead_letter_record(record, &error),
                _ => self.dead_letter_message(message, error.to_string()),
            }
        }
    }

    /// Forwards what a message of our queues carries. Returns the number of its items that have to come again.
    async fn forward_queued(
        &mut self,
        message: &QueueMessage,
        mut queued: QueuedTelemetry,
    ) -> usize {
        if queued.fate == Fate::DeadLetterPartial {
            // The backend has the other items. An operator who accepts duplicates clears the mark.
            self.outbox.dead_letter(queued);
            return self.outbox.flush().await;
        }
        match queued.content.take() {
            Content::Request(request) => {
                return redrive(&mut self.outbox, message, &queued, request).await;
            }
            // A newer forwarder may decode an undecodable line. If not, it is dead-lettered again.
            Content::Events(batch) => {
                let part = EventPart::Queued(&batch);
                self.read_traces(std::slice::from_ref(&part));
                self.forward_part(&part, Arrival::Redriven).await;
            }
            Content::Execution(execution) => {
                return self.forward_queued_execution(message, queued, *execution).await;
            }
            raw @ Content::Raw(_) => {
                let fate = Fate::DeadLetter;
                let dead_letter = QueuedTelemetry { content: raw, items: 1, fate, ..queued };
                self.outbox.dead_letter(dead_letter);
            }
        }
        self.outbox.flush().await
    }

    fn dead_letter_message(&mut self, message: &QueueMessage, reason: String) {
        let bytes = message.text().into();
        self.outbox.dead_letter_raw(bytes, reason, &LogEventRange::default());
    }
}
