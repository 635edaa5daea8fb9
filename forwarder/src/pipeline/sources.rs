//! Forwards events that are answered in parts: the records of a Kinesis stream, and the messages of a queue: queued requests, lines
//! and log events, and events of failed invocations.
//!
//! Lambda repeats a shard's records from the first failed one (Lambda Developer Guide, "Configuring partial batch response with
//! Kinesis"). Records after it are therefore not sent.

use super::{Arrival, Forwarding};
use crate::delivery::destination::Export;
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
            let returned_before = self.returned();
            match self.forward_batches(|limits| record.batches(limits)).await {
                None => {
                    let is_last = position + 1 == count;
                    // If the beginning of a record was returned, its end has to be accounted for too.
                    if is_last || self.has_full_outbox() || self.returned() > returned_before {
                        self.flush().await;
                    }
                }
                Some(error) => {
                    // The records before the unreadable one have their own fate. If those are returned, it comes again with them.
                    self.flush().await;
                    if self.returned() == returned_before {
                        first_of_delivery = Some(number.to_owned());
                        self.dead_letter_record(&record, &error);
                        self.flush().await;
                    }
                }
            }
            if self.returned() > returned_before {
                return first_of_delivery.into_iter().collect();
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
        self.report.ledgers.total.events += 1;
        self.dead_letter_raw(bytes, error.to_string(), &log_events);
    }

    /// Forwards each message. Returns the ids of the messages that have to come again.
    pub(super) async fn forward_messages(&mut self, messages: Vec<QueueMessage>) -> Vec<String> {
        let mut failures = Vec::new();
        for message in messages {
            let returned_before = self.returned();
            match message.event() {
                Some(event) => self.forward_event(&message, event).await,
                None => match QueuedTelemetry::from_body(message.text()) {
                    Ok(queued) => self.forward_queued(&message, queued).await,
                    Err(error) => self.dead_letter_message(&message, error.to_string()),
                },
            }
            self.flush().await;
            if self.returned() > returned_before {
                failures.push(message.message_id);
            }
        }
        failures
    }

    /// Forwards an event that arrived bare, or in the record of a failed invocation. It is returned or kept as a whole,
    /// except for unreadable Kinesis records, which are dead-lettered one by one.
    async fn forward_event(&mut self, message: &QueueMessage, event: Event) {
        self.read_traces(|limits| event.batches(limits));
        if let Event::Kinesis(records) = event {
            for record in records {
                if let Some(error) = self.forward_batches(|limits| record.batches(limits)).await {
                    self.dead_letter_record(&record, &error);
                }
            }
            return;
        }
        if let Some(error) = self.forward_batches(|limits| event.batches(limits)).await {
            self.dead_letter_message(message, error.to_string());
        }
    }

    async fn forward_queued(&mut self, message: &QueueMessage, mut queued: QueuedTelemetry) {
        if queued.fate == Fate::DeadLetterPartial {
            // The backend has the other items. An operator who accepts duplicates clears the mark.
            self.dead_letter(queued);
            return;
        }
        match queued.content.take() {
            Content::Request(request) => self.redrive(message, &queued, request).await,
            // A newer forwarder may decode an undecodable line. If not, it is dead-lettered again.
            Content::Events(batch) => {
                self.read_traces(|_| Box::new(std::iter::once(Ok(batch.clone()))));
                self.forward_batch(batch, Arrival::Redriven).await;
                self.end_stream(Arrival::Redriven).await;
            }
            raw @ Content::Raw(_) => {
                let fate = Fate::DeadLetter;
                self.dead_letter(QueuedTelemetry { content: raw, items: 1, fate, ..queued });
            }
        }
    }

    fn dead_letter_message(&mut self, message: &QueueMessage, reason: String) {
        self.dead_letter_raw(message.text().into(), reason, &LogEventRange::default());
    }
}
