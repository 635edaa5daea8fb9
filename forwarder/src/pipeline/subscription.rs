//! Forwards the event of a subscription.

use super::run::Run;
use crate::destination::Export;
use crate::parking::Queue;
use crate::source::{HandOn, LogEventRange, Subscription};
use std::sync::Arc;

impl<E: Export, Q: Queue> Run<'_, E, Q> {
    /// Forwards the log events of a subscription. An event that cannot be read to its end is dead-lettered as it is, where there
    /// is a queue for it: returned, it would be delivered up to the mistake with each of Lambda's attempts.
    pub(super) async fn subscription(&mut self, subscription: Subscription) {
        let limits = self.forwarder.options.source;
        let subscription = Arc::new(subscription);
        let unread = if let Some(data) = subscription.inflate_small(limits.chunk_bytes) {
            self.convert_at_once(|hand_on: HandOn<'_>| data.read(&limits, hand_on)).await
        } else {
            let source = Arc::clone(&subscription);
            self.convert_all(move |hand_on: HandOn<'_>| source.read(&limits, hand_on)).await
        };
        match unread {
            Some(error)
                if self.forwarder.queues.dead_letters.is_some() && error.may_come_late() =>
            {
                self.report.account.total.events += 1;
                let bytes = subscription.bytes();
                self.dead_letter_raw(bytes, error.to_string(), LogEventRange::default());
            }
            unread => self.report.unread = unread,
        }
        self.flush().await;
    }
}
