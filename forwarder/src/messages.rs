//! Forwards the messages of a queue: requests that were parked, lines and log events that were put
//! aside, events whose invocation failed.

use crate::deliver::{Outgoing, deliver};
use crate::forward::{Forwarder, Invocation, Progress, letter};
use crate::ledger::Ledger;
use crate::outlet::{DEFAULT_DESTINATION, Export, Outlet};
use crate::parking::{Content, Origin, Parked, Queue};
use crate::placing::{Keep, Kept, Undelivered};
use crate::records::bury_record;
use crate::source::{Envelope, Event, HandOn, LogBatch, LogEvent, QueueBody, QueueMessage};
use crate::times;
use backend::{Fate, Outcome, Reason};
use std::sync::Arc;
use std::time::Duration;
use wire::Request;

impl<E: Export, Q: Queue> Forwarder<E, Q> {
    pub(crate) async fn forward_messages(
        &self,
        messages: Vec<QueueMessage>,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        let mut failures = Vec::new();
        for message in messages {
            let returned_before = progress.returned();
            self.forward_message(&message, invocation, progress).await;
            if progress.returned() > returned_before {
                failures.push(message.message_id);
            }
        }
        progress.report.batch_item_failures = Some(failures);
    }

    async fn forward_message(
        &self,
        message: &QueueMessage,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        match message.body() {
            QueueBody::Event(event) => {
                self.forward_event(message, event, invocation, progress).await;
            }
            QueueBody::Other(body) => match Parked::from_body(body) {
                Ok(parked) => self.forward_parked(parked, invocation, progress).await,
                Err(error) => bury_message(message, error.to_string(), invocation, progress),
            },
        }
        self.flush(invocation, progress).await;
    }

    /// Forwards an event of its own, or of a failed invocation. It is returned or kept as a whole, but
    /// for Kinesis records that nobody can read: they keep none of the others back.
    async fn forward_event(
        &self,
        message: &QueueMessage,
        event: Event,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        if let Event::Kinesis(records) = event {
            for record in records.into_iter().map(Arc::new) {
                if let Some(error) = self.convert_record(&record, invocation, progress).await {
                    bury_record(&record, &error, invocation, progress);
                }
            }
            return;
        }
        let limits = self.options.source;
        let read = move |hand_on: HandOn<'_>| event.read(&limits, hand_on);
        if let Some(error) = self.convert_all(read, invocation, progress).await {
            bury_message(message, error.to_string(), invocation, progress);
        }
    }

    async fn forward_parked(
        &self,
        mut parked: Parked,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        match std::mem::replace(&mut parked.content, Content::Raw(Vec::new())) {
            Content::Request(request) => {
                self.redrive(parked, request, invocation, progress).await;
            }
            Content::Line { event_id, timestamp_ms, line } => {
                // After an upgrade it may decode; if not, it becomes a dead letter once more.
                let Origin { account, region, log_group, log_stream, .. } = parked.origin;
                let envelope = Envelope {
                    owner: account,
                    region: (!region.is_empty()).then_some(region),
                    log_group,
                    log_stream,
                    ..Envelope::default()
                };
                let events = vec![LogEvent { id: event_id, timestamp_ms, message: line }];
                self.convert_batch(&LogBatch { envelope, events }, invocation, progress).await;
                self.end_stream(invocation, progress).await;
            }
            Content::Events(batch) => {
                self.convert_batch(&batch, invocation, progress).await;
                self.end_stream(invocation, progress).await;
            }
            Content::Raw(bytes) => {
                let report = &mut progress.report;
                report.account.add(DEFAULT_DESTINATION, Ledger::of_undecodable(1));
                progress.bury(Parked { content: Content::Raw(bytes), items: 1, ..parked });
            }
        }
    }

    /// Sends a request that was parked once more. What stays as a whole stays in its message, which
    /// comes again; of what was taken in part the rest becomes a new message.
    async fn redrive(
        &self,
        parked: Parked,
        request: Request,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        let items = Ledger::of_items(request.kind(), request.items());
        progress.report.account.add(&parked.destination, items);
        let whole = request.items();
        let remainders = self.send_parked(&parked, request, invocation, progress).await;
        let waiting: usize = remainders.iter().filter(|part| waits(part)).map(|p| p.items).sum();
        if waiting == whole {
            let returned = remainders.iter().map(|part| Undelivered {
                destination: parked.destination.clone(),
                kind: Some(part.request.kind()),
                items: part.items,
                reason: part.reason.to_string(),
                kept: Kept::Returned(None),
                partial: false,
                alarm: part.fate == Fate::ParkWithAlarm,
            });
            progress.report.note(returned.collect(), self.options.most_details);
            let ledger = Ledger { returned: whole, ..Ledger::default() };
            progress.report.account.add(&parked.destination, ledger);
            return;
        }
        let keep = remainders.into_iter().map(|part| {
            let (oldest_unix_nano, newest_unix_nano) = times::range(&part.request);
            let rest = Parked {
                items: part.items,
                reason: part.reason.to_string(),
                partial: part.fate == Fate::DeadLetterPartial,
                oldest_unix_nano,
                newest_unix_nano,
                content: Content::Request(part.request),
                ..parked.clone()
            };
            Keep { parked: rest, fate: part.fate }
        });
        self.keep_all(keep.collect(), RETRY_DELAY, invocation, &mut progress.report).await;
    }

    /// What was not taken of a parked request. All of it waits where its destination is not known.
    async fn send_parked(
        &self,
        parked: &Parked,
        request: Request,
        invocation: &Invocation,
        progress: &mut Progress,
    ) -> Vec<backend::Undelivered> {
        let named = |outlet: &Outlet<E>| outlet.name == parked.destination;
        let Some(outlet) = self.outlets.iter().position(named) else {
            let text = format!(
                "destination {} is in no setting any more; add it, or the message waits until it expires",
                parked.destination
            );
            let reason = Reason::UnknownDestination { text };
            return Outcome::unsent(request, reason, Fate::ParkWithAlarm).parts;
        };
        let outgoing = Outgoing {
            outlet,
            stream: parked.stream.as_deref().map(Arc::from),
            request,
            origin: Arc::new(parked.origin.clone()),
        };
        let delivered = deliver(&self.outlets, vec![outgoing], invocation.deadline).await;
        let remainders = progress.report.take_delivered(delivered, self.options.most_details);
        remainders.into_iter().map(|remainder| remainder.part).collect()
    }
}

/// Whether a part may be taken later.
fn waits(part: &backend::Undelivered) -> bool {
    matches!(part.fate, Fate::Park | Fate::ParkWithAlarm)
}

/// How long the rest of a request waits that was taken in part.
const RETRY_DELAY: Duration = Duration::from_secs(30);

/// Puts a message that nobody can read into the dead-letter queue.
fn bury_message(
    message: &QueueMessage,
    reason: String,
    invocation: &Invocation,
    progress: &mut Progress,
) {
    let content = Content::Raw(message.text().into());
    let report = &mut progress.report;
    report.account.add(DEFAULT_DESTINATION, Ledger::of_undecodable(1));
    progress.bury(letter(content, 1, reason, &Arc::default(), invocation));
}
