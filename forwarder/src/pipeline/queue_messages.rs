//! Forwards the messages of a queue: parked requests, lines and log events, and events of failed invocations.

use super::kinesis;
use super::redrive::redrive;
use super::stages::Stages;
use crate::destination::Export;
use crate::parking::{Content, Parked, Queue};
use crate::source::{Event, LogBatch, LogEvent, LogEventRange, QueueBody, QueueMessage};
use std::sync::Arc;

/// Forwards each message. Returns the ids of the messages that have to come again.
pub(super) async fn forward<E: Export, Q: Queue>(
    stages: &mut Stages<'_, E, Q>,
    messages: Vec<QueueMessage>,
) -> Vec<String> {
    let mut failures = Vec::new();
    for message in messages {
        let returned_before = stages.flusher.returned();
        match message.body() {
            QueueBody::Event(event) => forward_event(stages, &message, event).await,
            QueueBody::Other(body) => match Parked::from_body(body) {
                Ok(parked) => forward_parked(stages, &message, parked).await,
                Err(error) => dead_letter(stages, &message, error.to_string()),
            },
        }
        stages.flusher.flush().await;
        if stages.flusher.returned() > returned_before {
            failures.push(message.message_id);
        }
    }
    failures
}

/// Forwards an event that arrived bare, or in the record of a failed invocation. It is returned or kept as a whole,
/// except for unreadable Kinesis records, which are dead-lettered one by one.
async fn forward_event<E: Export, Q: Queue>(
    stages: &mut Stages<'_, E, Q>,
    message: &QueueMessage,
    event: Event,
) {
    if let Event::Kinesis(records) = event {
        for record in records.into_iter().map(Arc::new) {
            if let Some(error) = kinesis::read(stages, &record).await {
                kinesis::dead_letter(stages, &record, &error);
            }
        }
        return;
    }
    let read = stages.read_all(move |limits, hand_on| event.read(limits, hand_on));
    if let Some(error) = read.await {
        dead_letter(stages, message, error.to_string());
    }
}

async fn forward_parked<E: Export, Q: Queue>(
    stages: &mut Stages<'_, E, Q>,
    message: &QueueMessage,
    mut parked: Parked,
) {
    if parked.partial {
        // The backend has the other items. An operator who accepts duplicates clears the mark.
        stages.flusher.dead_letter(parked, false);
        return;
    }
    match std::mem::replace(&mut parked.content, Content::Raw(Vec::new())) {
        Content::Request(request) => redrive(&mut stages.flusher, message, parked, request).await,
        Content::Line { event_id, timestamp_ms, line } => {
            // A newer forwarder may decode it. If not, it is dead-lettered again.
            let origin = parked.log_events.origin;
            let events = vec![LogEvent { id: event_id, timestamp_ms, message: line }];
            stages.forward_redriven(LogBatch { origin, events, ..LogBatch::default() }).await;
        }
        Content::Events(batch) => stages.forward_redriven(batch).await,
        raw @ Content::Raw(_) => {
            stages.flusher.dead_letter(Parked { content: raw, items: 1, ..parked }, false);
        }
    }
}

fn dead_letter<E: Export, Q: Queue>(
    stages: &mut Stages<'_, E, Q>,
    message: &QueueMessage,
    reason: String,
) {
    stages.flusher.dead_letter_raw(message.text().into(), reason, &LogEventRange::default());
}
