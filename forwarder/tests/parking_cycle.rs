//! What is parked waits in the queue and comes out of it as it was.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod parking_support;

use lambda_otlp_forwarder::parking::{
    Content, MAX_MESSAGE_BYTES, Origin, Parked, Queue as _, QueueError,
};
use parking_support::MemoryQueue;
use simulator::queue::{Answer, Queue};
use std::time::Duration;
use tokio::time::Instant;

fn parked(content: Content) -> Parked {
    Parked {
        destination: "default".to_owned(),
        stream: None,
        content,
        items: 1,
        oldest_unix_nano: 0,
        newest_unix_nano: 0,
        first_seen_unix_nano: 1_790_000_000_000_000_000,
        reason: "answered 503 Service Unavailable".to_owned(),
        partial: false,
        origin: Origin::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_parked_message_is_received_as_it_was_sent() {
    let queue = MemoryQueue(Queue::new("retry"));
    let original = parked(Content::Raw(b"content".to_vec()));
    let (messages, _) = original.clone().into_messages(MAX_MESSAGE_BYTES);
    let deadline = Instant::now() + Duration::from_secs(10);
    let delay = Duration::from_secs(30);
    assert_eq!(queue.send(messages.clone(), delay, deadline).await, [Ok(())]);
    tokio::time::advance(delay).await;
    let received = queue.0.receive(1);
    assert_eq!(Parked::from_body(&received[0].body).unwrap(), original);
    let deadline = Instant::now() + Duration::from_secs(10);
    let handle = &received[0].receipt_handle;
    assert_eq!(queue.postpone(handle, Duration::from_mins(1), deadline).await, Ok(()));
    assert_eq!(queue.0.next_visible_in(), Some(Duration::from_mins(1)));
    queue.0.answer([Answer::Hang, Answer::refuse(403, "AccessDenied")]);
    assert!(queue.postpone(handle, delay, deadline).await.unwrap_err().is_ambiguous());
    let refused = queue.send(messages.clone(), delay, deadline + delay).await;
    assert!(matches!(&refused[0], Err(QueueError::Refused { code, .. }) if code == "AccessDenied"));
    assert!(matches!(
        queue.send(messages, delay, deadline).await[..],
        [Err(QueueError::Deadline { .. })]
    ));
}
