//! Forwards the event of a subscription.

use super::stages::Stages;
use crate::destination::Export;
use crate::parking::Queue;
use crate::source::{LogEventRange, SourceError, Subscription};
use std::sync::Arc;

/// Forwards the log events of a subscription, and returns the reason if the event has to be returned unread. An event
/// that is readable only in part goes to the dead-letter queue: each of Lambda's attempts would deliver its first part again.
pub(super) async fn forward<E: Export, Q: Queue>(
    stages: &mut Stages<'_, E, Q>,
    subscription: Subscription,
) -> Option<SourceError> {
    let subscription = Arc::new(subscription);
    let mut unread = if let Some(data) = subscription.inflate_small(stages.limits.chunk_bytes) {
        stages.read_at_once(|limits, hand_on| data.read(limits, hand_on)).await
    } else {
        let source = Arc::clone(&subscription);
        stages.read_all(move |limits, hand_on| source.read(limits, hand_on)).await
    };
    let flusher = &mut stages.flusher;
    let has_queue = flusher.queues().dead_letters.is_some();
    if let Some(error) = unread.take_if(|error| has_queue && error.may_come_late()) {
        flusher.report.account.total.events += 1;
        let bytes = subscription.bytes();
        flusher.dead_letter_raw(bytes, error.to_string(), &LogEventRange::default());
    }
    flusher.flush().await;
    unread
}
