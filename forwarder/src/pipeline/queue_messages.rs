//! Forwards the messages of a queue: requests that were parked, lines and log events that were put
//! aside, events whose invocation failed.

use super::run::Run;
use crate::destination::Export;
use crate::parking::{Content, Parked, Queue};
use crate::source::{Event, HandOn, LogBatch, LogEvent, LogEventRange, QueueBody, QueueMessage};
use std::sync::Arc;

impl<E: Export, Q: Queue> Run<'_, E, Q> {
    /// Forwards each message, and names those that have to come again.
    pub(super) async fn queue(&mut self, messages: Vec<QueueMessage>) {
        let mut failures = Vec::new();
        for message in messages {
            let returned_before = self.returned();
            self.message(&message).await;
            if self.returned() > returned_before {
                failures.push(message.message_id);
            }
        }
        self.report.batch_item_failures = Some(failures);
    }

    async fn message(&mut self, message: &QueueMessage) {
        self.is_redriven = false;
        match message.body() {
            QueueBody::Event(event) => self.event_in_message(message, event).await,
            QueueBody::Other(body) => match Parked::from_body(body) {
                Ok(parked) => self.parked_message(message, parked).await,
                Err(error) => self.dead_letter_message(message, error.to_string()),
            },
        }
        self.flush().await;
    }

    /// Forwards an event of its own, or of a failed invocation. It is returned or kept as a whole, but
    /// for Kinesis records that nobody can read: they keep none of the others back.
    async fn event_in_message(&mut self, message: &QueueMessage, event: Event) {
        if let Event::Kinesis(records) = event {
            for record in records.into_iter().map(Arc::new) {
                if let Some(error) = self.convert_record(&record).await {
                    self.dead_letter_record(&record, &error);
                }
            }
            return;
        }
        let limits = self.forwarder.options.source;
        let read = move |hand_on: HandOn<'_>| event.read(&limits, hand_on);
        if let Some(error) = self.convert_all(read).await {
            self.dead_letter_message(message, error.to_string());
        }
    }

    async fn parked_message(&mut self, message: &QueueMessage, mut parked: Parked) {
        if parked.partial {
            // The backend has the others of its items: whoever wants them twice clears the mark.
            self.dead_letter(parked);
            return;
        }
        self.is_redriven = true;
        match std::mem::replace(&mut parked.content, Content::Raw(Vec::new())) {
            Content::Request(request) => self.redrive(message, parked, request).await,
            Content::Line { event_id, timestamp_ms, line } => {
                // After an upgrade it may decode; if not, it becomes a dead letter once more.
                let origin = parked.log_events.origin;
                let events = vec![LogEvent { id: event_id, timestamp_ms, message: line }];
                self.convert_batch(LogBatch { origin, events, ..LogBatch::default() }).await;
                self.end_stream().await;
            }
            Content::Events(batch) => {
                self.convert_batch(batch).await;
                self.end_stream().await;
            }
            raw @ Content::Raw(_) => self.dead_letter(Parked { content: raw, items: 1, ..parked }),
        }
    }

    /// Dead-letters a message that nobody can read.
    fn dead_letter_message(&mut self, message: &QueueMessage, reason: String) {
        self.dead_letter_raw(message.text().into(), reason, LogEventRange::default());
    }
}
