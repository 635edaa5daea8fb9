//! Puts undelivered telemetry into the retry queue or the dead-letter queue. What the queue does not accept is returned to Lambda.

use crate::queues::{MAX_MESSAGE_BYTES, Message, Queue, QueuedTelemetry};
use crate::report::{KeptIn, Undelivered};
use backend::Fate;
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
    let (dead_letters, others): (Vec<_>, Vec<_>) =
        undelivered.into_iter().partition(QueuedTelemetry::is_dead_letter);
    let Queues { retry: retry_queue, dead_letters: dead_letter_queue } = queues;
    let (retried, dead_lettered) = tokio::join!(
        put(retry_queue.as_ref(), others, KeptIn::RetryQueue, delay, deadline),
        put(
            dead_letter_queue.as_ref(),
            dead_letters,
            KeptIn::DeadLetterQueue,
            Duration::ZERO,
            deadline
        ),
    );
    retried.into_iter().chain(dead_lettered)
}

/// Puts telemetry into one queue, and returns it with its place.
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
    let mut parts: Vec<DividedPart> = undelivered.into_iter().map(DividedPart::new).collect();
    let messages: Vec<&mut Message> =
        parts.iter_mut().flat_map(|part| &mut part.messages).collect();
    if !messages.is_empty() {
        queue.send(messages, delay, deadline).await;
    }
    parts.into_iter().flat_map(|part| part.into_undelivered(&if_accepted)).collect()
}

/// A part of the telemetry with the messages that carry it.
struct DividedPart {
    whole: Undelivered,
    messages: Vec<Message>,
}

impl DividedPart {
    fn new(queued: QueuedTelemetry) -> Self {
        Self { whole: queued.described(), messages: queued.into_messages(MAX_MESSAGE_BYTES) }
    }

    /// Returns the items of each message with their place. A message without an answer counts as refused.
    fn into_undelivered(self, if_accepted: &KeptIn) -> Vec<Undelivered> {
        let Self { whole, messages } = self;
        let of_message = |Message { items, answer, .. }: Message| {
            let kept_in = match answer {
                Some(Ok(())) => if_accepted.clone(),
                Some(Err(error)) => KeptIn::Returned(Some(error)),
                None => KeptIn::Returned(None),
            };
            Undelivered { items, kept_in, ..whole.clone() }
        };
        let undelivered: Vec<Undelivered> = messages.into_iter().map(of_message).collect();
        if whole.fate != Fate::DeadLetterPartial {
            return undelivered;
        }
        // The destination stored a part of it, and nobody knows which message has the rest: all come again if one is refused.
        let places = || undelivered.iter().map(|part| &part.kept_in);
        let queued_perhaps = places().find(|place| place.may_be_queued());
        let refused = places().find(|place| place.is_returned());
        let kept_in = queued_perhaps.or(refused).or(places().next()).cloned();
        vec![Undelivered { kept_in: kept_in.unwrap_or(KeptIn::Returned(None)), ..whole }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::{Content, QueueError};
    use crate::source::LogEventRange;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use wire::Request;

    /// A queue that refuses the message with this number.
    struct Refuses(usize);

    impl Queue for Refuses {
        async fn send(&self, messages: Vec<&mut Message>, _: Duration, _: Instant) {
            for (number, message) in messages.into_iter().enumerate() {
                let is_refused = number == self.0;
                message.answer =
                    Some(if is_refused { Err(QueueError::refused("refused")) } else { Ok(()) });
            }
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
