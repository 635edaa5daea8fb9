//! The sources of letters: the dead-letter queue, and the bucket of Lambda's on-failure records.

use super::dead_letter::DeadLetter;
use crate::aws::{Bucket, ListedObject, Queue, ReceivedMessage, explain};
use anyhow::{Context as _, anyhow, ensure};
use futures_util::future::join_all;
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

/// A message or object of a store.
pub(crate) struct StoredDeadLetter {
    /// The message id, or the object's key.
    pub(crate) name: String,
    /// The letter, or the reason why it cannot be read.
    pub(crate) letter: anyhow::Result<DeadLetter>,
}

/// A source of letters, from which sent letters are removed.
pub(crate) trait DeadLetterStore {
    /// Returns the next letters; none at the end.
    async fn next(&mut self) -> anyhow::Result<Vec<StoredDeadLetter>>;

    async fn remove(&self, name: &str) -> anyhow::Result<()>;

    /// Makes the remaining letters visible to other readers.
    async fn release(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// The time for which read messages are hidden from other readers, also if the command is killed.
const HIDDEN_FOR: Duration = Duration::from_mins(10);
/// Long polling queries all servers of the queue (Amazon SQS Developer Guide, "Short and long polling").
const WAIT: Duration = Duration::from_secs(1);
/// SQS returns no messages while 120,000 are in flight (Amazon SQS Developer Guide, "Message quotas").
const MAX_HIDDEN: usize = 119_000;
/// A queue with messages may return an empty answer once.
const EMPTY_ANSWERS: u32 = 2;

pub(crate) struct DeadLetterQueue {
    queue: Queue,
    /// The newest receipts of the hidden messages by message id; `None` for removed ones.
    receipts: RefCell<HashMap<String, Option<String>>>,
}

impl DeadLetterQueue {
    pub(crate) fn new(queue: Queue) -> Self {
        Self { queue, receipts: RefCell::default() }
    }

    /// The number of messages that may be received, if these credentials may ask for it.
    pub(crate) async fn count(&self) -> Option<usize> {
        const COUNT: &str = "ApproximateNumberOfMessages";
        self.queue.attributes(&[COUNT]).await.ok()?.get(COUNT)?.parse().ok()
    }
}

impl DeadLetterStore for DeadLetterQueue {
    async fn next(&mut self) -> anyhow::Result<Vec<StoredDeadLetter>> {
        let mut empty_answers = 0;
        while empty_answers < EMPTY_ANSWERS {
            let received = self.queue.receive(WAIT, HIDDEN_FOR).await;
            let messages = received
                .map_err(|error| explain(&error))
                .with_context(|| format!("cannot read {}", self.queue.url()))?;
            let mut found = Vec::new();
            for ReceivedMessage { message_id: id, receipt_handle: receipt, body } in messages {
                // The message was hidden for too long and is received again. Its fate is known; only the newest receipt
                // is valid.
                if self.receipts.get_mut().insert(id.clone(), Some(receipt)).is_some() {
                    continue;
                }
                let letter = DeadLetter::from_message(&body);
                found.push(StoredDeadLetter { name: id, letter });
            }
            if !found.is_empty() {
                return Ok(found);
            }
            empty_answers += 1;
        }
        let hidden = self.receipts.get_mut().values().flatten().count();
        ensure!(
            hidden < MAX_HIDDEN,
            "{}: {hidden} messages are hidden, and SQS hides no more at a time: run the command again in 10 minutes",
            self.queue.url()
        );
        Ok(Vec::new())
    }

    async fn remove(&self, name: &str) -> anyhow::Result<()> {
        // A message that cannot be deleted stays hidden, because another reader would send it twice.
        let receipt = self.receipts.borrow_mut().insert(name.to_owned(), None).flatten();
        let removed = self.queue.delete(&receipt.unwrap_or_default()).await;
        removed.map_err(|error| explain(&error))
    }

    async fn release(&mut self) -> anyhow::Result<()> {
        let hidden: Vec<String> =
            self.receipts.get_mut().drain().filter_map(|(_, receipt)| receipt).collect();
        for receipts in hidden.chunks(10) {
            let releases = receipts.iter().map(|receipt| self.queue.release(receipt));
            for released in join_all(releases).await {
                released
                    .map_err(|error| explain(&error))
                    .context("skipped messages stay hidden for at most 10 minutes")?;
            }
        }
        Ok(())
    }
}

/// Objects that are in memory at the same time.
const MAX_OBJECTS: u32 = 4;
/// An event has at most 6 MB (Lambda quotas), and more as escaped text or base64.
const MAX_OBJECT_BYTES: u64 = 32 * 1024 * 1024;

/// Lambda's on-failure records in an S3 bucket.
pub(crate) struct OnFailureBucket {
    bucket: Bucket,
    /// The key of the last object that was read; keys are listed in order.
    last: Option<String>,
}

impl OnFailureBucket {
    pub(crate) fn new(bucket: Bucket) -> Self {
        Self { bucket, last: None }
    }

    /// Reads an object. The outer error ends the run; the inner one is the reason why this object is no letter.
    async fn read(&self, key: &str, size: u64) -> anyhow::Result<anyhow::Result<DeadLetter>> {
        if size > MAX_OBJECT_BYTES {
            return Ok(Err(anyhow!("an object of {size} bytes is no event")));
        }
        let body = self
            .bucket
            .read(key)
            .await
            .map_err(|error| explain(&error))
            .with_context(|| format!("cannot read s3://{}/{key}", self.bucket.name()))?;
        Ok(DeadLetter::from_record(&body))
    }
}

impl DeadLetterStore for OnFailureBucket {
    async fn next(&mut self) -> anyhow::Result<Vec<StoredDeadLetter>> {
        let listed = self.bucket.list(self.last.as_deref(), MAX_OBJECTS).await;
        let listed = listed
            .map_err(|error| explain(&error))
            .with_context(|| format!("cannot list bucket {}", self.bucket.name()))?;
        let mut found = Vec::new();
        for ListedObject { key: name, bytes } in listed.objects {
            let letter = self.read(&name, bytes).await?;
            self.last = Some(name.clone());
            found.push(StoredDeadLetter { name, letter });
        }
        Ok(found)
    }

    async fn remove(&self, name: &str) -> anyhow::Result<()> {
        self.bucket.delete(name).await.map_err(|error| explain(&error))
    }
}
