//! Puts undelivered telemetry into the retry queue or the dead-letter queue. What the queue does not accept is returned to Lambda.

use crate::queues::{MAX_MESSAGE_BYTES, Queue, QueuedTelemetry};
use crate::report::{KeptIn, Undelivered};
use std::time::Duration;
use tokio::time::Instant;

/// The queues of a stack. Without a queue, its telemetry is returned to Lambda.
#[derive(Clone, Debug)]
pub struct Queues<Q> {
    /// Receives telemetry to send again.
    pub retry: Option<Q>,
    /// Receives telemetry that is not retried, with its reason.
    pub dead_letters: Option<Q>,
}

impl<Q> Default for Queues<Q> {
    fn default() -> Self {
        Self { retry: None, dead_letters: None }
    }
}

/// Puts telemetry into its queues, and returns it with its place. Messages of the retry queue are delayed by `delay`.
pub(crate) async fn enqueue<Q: Queue>(
    queues: &Queues<Q>,
    undelivered: Vec<QueuedTelemetry>,
    delay: Duration,
    deadline: Instant,
) -> impl Iterator<Item = Undelivered> {
    let (letters, others): (Vec<_>, Vec<_>) =
        undelivered.into_iter().partition(QueuedTelemetry::is_dead_letter);
    let dead_letters = queues.dead_letters.as_ref();
    let (retried, dead_lettered) = tokio::join!(
        put(queues.retry.as_ref(), others, KeptIn::RetryQueue, delay, deadline),
        put(dead_letters, letters, KeptIn::DeadLetterQueue, Duration::ZERO, deadline),
    );
    retried.into_iter().chain(dead_lettered)
}

/// Puts telemetry into one queue, and returns it with its place. A message without an answer counts as refused.
async fn put<Q: Queue>(
    queue: Option<&Q>,
    undelivered: Vec<QueuedTelemetry>,
    if_accepted: KeptIn,
    delay: Duration,
    deadline: Instant,
) -> Vec<Undelivered> {
    let Some(queue) = queue else {
        return undelivered.iter().map(QueuedTelemetry::described).collect();
    };
    let mut messages = Vec::new();
    let mut divided = Vec::new();
    for queued in undelivered {
        let whole = queued.described();
        let own = queued.into_messages(MAX_MESSAGE_BYTES);
        let items = own.iter().map(|message| message.items).collect();
        divided.push(DividedTelemetry { whole, items });
        messages.extend(own);
    }
    if messages.is_empty() {
        return Vec::new();
    }
    let mut sent = queue.send(messages, delay, deadline).await.into_iter();
    let mut next_place = || match sent.next() {
        Some(Ok(())) => if_accepted.clone(),
        Some(Err(error)) => KeptIn::Returned(Some(error)),
        None => KeptIn::Returned(None),
    };
    let place = |DividedTelemetry { whole, items }: DividedTelemetry| {
        let places: Vec<KeptIn> = items.iter().map(|_| next_place()).collect();
        if whole.rest_was_stored {
            vec![placed_together(whole, &places)]
        } else {
            let one = |(items, kept_in)| Undelivered { items, kept_in, ..whole.clone() };
            items.into_iter().zip(places).map(one).collect()
        }
    };
    divided.into_iter().flat_map(place).collect()
}

/// Telemetry that was divided into messages.
struct DividedTelemetry {
    whole: Undelivered,
    /// The number of items of each message.
    items: Vec<usize>,
}

/// The place of telemetry of which the destination stored a part. Nobody knows which message has the rest, so that all come again
/// if one is refused.
fn placed_together(whole: Undelivered, places: &[KeptIn]) -> Undelivered {
    let is_refused = |place: &&KeptIn| matches!(place, KeptIn::Returned(_));
    let may_be_in_queue =
        |place: &&KeptIn| matches!(place, KeptIn::Returned(Some(error)) if error.is_ambiguous());
    let ambiguous = places.iter().find(may_be_in_queue);
    let refused = places.iter().find(is_refused);
    let kept_in = ambiguous.or(refused).or(places.first()).cloned();
    Undelivered { kept_in: kept_in.unwrap_or_else(|| whole.kept_in.clone()), ..whole }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::{Content, Message, QueueError};
    use crate::source::LogEventRange;
    use backend::Fate;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use wire::Request;

    /// A queue that refuses the message with this number.
    struct Refuses(usize);

    impl Queue for Refuses {
        async fn send(
            &self,
            messages: Vec<Message>,
            _: Duration,
            _: Instant,
        ) -> Vec<Result<(), QueueError>> {
            let refused = || Err(QueueError::refused("refused"));
            let answer = |(number, _)| if number == self.0 { refused() } else { Ok(()) };
            messages.into_iter().enumerate().map(answer).collect()
        }

        async fn postpone(&self, _: &str, _: Duration, _: Instant) -> Result<(), QueueError> {
            Ok(())
        }
    }

    /// The rejected item may be in a message that is counted without items.
    #[tokio::test]
    async fn a_partial_request_comes_again_whichever_message_is_refused() {
        // Random bytes, which gzip does not shorten.
        let mut state = 1_u64;
        let mut random_byte = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        let record = |_| {
            let bytes = (0..400_000).map(&mut random_byte).collect();
            let body = Some(AnyValue { value: Some(Value::BytesValue(bytes)) });
            LogRecord { body, ..LogRecord::default() }
        };
        let records = (0..3).map(record).collect();
        let request = Request::of_log_records(Resource::default(), records);
        let range = LogEventRange::default();
        let reason = "rejected".to_owned();
        let content = Content::Request(request);
        let whole = QueuedTelemetry::new("default", content, 1, reason, &range, 0);
        let partial = QueuedTelemetry { fate: Fate::DeadLetterPartial, ..whole };
        let message_count = partial.clone().into_messages(MAX_MESSAGE_BYTES).len();
        assert!(message_count > 1, "{message_count} messages");
        for refused in 0..=message_count {
            let queues = Queues { retry: None, dead_letters: Some(Refuses(refused)) };
            let undelivered = vec![partial.clone()];
            let placed = enqueue(&queues, undelivered, Duration::ZERO, Instant::now()).await;
            let placed: Vec<_> = placed.map(|part| (part.items, part.comes_again())).collect();
            assert_eq!(placed, [(1, refused < message_count)], "message {refused} is refused");
        }
    }
}
