//! One message of a queue, topic or stream of any source.

use opentelemetry::KeyValue;
use std::borrow::Cow;

pub(super) trait Message<'a>: Copy {
    fn id(self) -> Option<&'a str>;

    /// The name or the ARN of the queue, topic or stream.
    fn destination(self) -> Option<&'a str>;

    /// Attributes that identify a message without an id.
    fn position(self) -> Vec<KeyValue> {
        Vec::new()
    }

    /// The text of a header. Amazon SQS adds `AWSTraceHeader` if X-Ray traces the sender.
    fn header(self, name: &str) -> Option<Cow<'a, str>>;

    /// The time at which Amazon SQS received the message, in milliseconds since the Unix epoch. Not a header, which its sender
    /// may set.
    fn sent_ms(self) -> Option<u64> {
        None
    }

    /// The content, in which the sender, a topic or a bus may have put headers.
    fn body(self) -> Option<Cow<'a, [u8]>>;
}
