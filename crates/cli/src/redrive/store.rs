//! The sources of letters: the dead-letter queue, and the bucket of Lambda's on-failure records.

use super::letter::Letter;
use crate::aws::explain;
use anyhow::{Context as _, anyhow, ensure};
use aws_sdk_sqs::types::QueueAttributeName;
use futures_util::future::join_all;
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

/// A message or object of a store.
pub(crate) struct StoredLetter {
    /// The message id, or the object's key.
    pub(crate) name: String,
    /// The letter, or the reason why it cannot be read.
    pub(crate) letter: anyhow::Result<Letter>,
}

/// A source of letters, from which sent letters are removed.
pub(crate) trait LetterStore {
    /// Returns the next letters; none at the end.
    async fn next(&mut self) -> anyhow::Result<Vec<StoredLetter>>;

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
    client: aws_sdk_sqs::Client,
    url: String,
    /// The newest receipts of the hidden messages by message id; `None` for removed ones.
    receipts: RefCell<HashMap<String, Option<String>>>,
}

impl DeadLetterQueue {
    pub(crate) fn new(client: aws_sdk_sqs::Client, url: String) -> Self {
        Self { client, url, receipts: RefCell::default() }
    }

    /// The number of messages that may be received, if these credentials may ask for it.
    pub(crate) async fn count(&self) -> Option<usize> {
        const COUNT: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessages;
        let request = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = request.attribute_names(COUNT).send().await.ok()?;
        answer.attributes?.get(&COUNT)?.parse().ok()
    }
}

impl LetterStore for DeadLetterQueue {
    async fn next(&mut self) -> anyhow::Result<Vec<StoredLetter>> {
        let mut empty_answers = 0;
        while empty_answers < EMPTY_ANSWERS {
            let request = self
                .client
                .receive_message()
                .queue_url(&self.url)
                .max_number_of_messages(10)
                .visibility_timeout(i32::try_from(HIDDEN_FOR.as_secs()).unwrap_or(i32::MAX))
                .wait_time_seconds(i32::try_from(WAIT.as_secs()).unwrap_or_default());
            let output = request
                .send()
                .await
                .map_err(|error| explain(&error))
                .with_context(|| format!("cannot read {}", self.url))?;
            let mut found = Vec::new();
            for message in output.messages.unwrap_or_default() {
                let (Some(id), Some(receipt)) = (message.message_id, message.receipt_handle) else {
                    continue;
                };
                // The message was hidden for too long and is received again. Its fate is known; only the newest receipt
                // is valid.
                if self.receipts.get_mut().insert(id.clone(), Some(receipt)).is_some() {
                    continue;
                }
                let letter = Letter::from_message(message.body.as_deref().unwrap_or_default());
                found.push(StoredLetter { name: id, letter });
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
            self.url
        );
        Ok(Vec::new())
    }

    async fn remove(&self, name: &str) -> anyhow::Result<()> {
        // A message that cannot be deleted stays hidden, because another reader would send it twice.
        let receipt = self.receipts.borrow_mut().insert(name.to_owned(), None).flatten();
        let request = self.client.delete_message().queue_url(&self.url);
        let removed = request.set_receipt_handle(receipt).send().await;
        removed.map(drop).map_err(|error| explain(&error))
    }

    async fn release(&mut self) -> anyhow::Result<()> {
        let hidden: Vec<String> =
            self.receipts.get_mut().drain().filter_map(|(_, receipt)| receipt).collect();
        for receipts in hidden.chunks(10) {
            let make_visible = |receipt: &String| {
                let request = self
                    .client
                    .change_message_visibility()
                    .queue_url(&self.url)
                    .receipt_handle(receipt)
                    .visibility_timeout(0);
                async { request.send().await.map(drop).map_err(|error| explain(&error)) }
            };
            for made_visible in join_all(receipts.iter().map(make_visible)).await {
                made_visible.context("skipped messages stay hidden for at most 10 minutes")?;
            }
        }
        Ok(())
    }
}

/// Objects that are in memory at the same time.
const MAX_OBJECTS: i32 = 4;
/// An event has at most 6 MB (Lambda quotas), and more as escaped text or base64.
const MAX_OBJECT_BYTES: i64 = 32 * 1024 * 1024;

/// Lambda's on-failure records in an S3 bucket.
pub(crate) struct OnFailureBucket {
    client: aws_sdk_s3::Client,
    name: String,
    /// The key of the last object that was read; keys are listed in order.
    last: Option<String>,
}

impl OnFailureBucket {
    pub(crate) fn new(client: aws_sdk_s3::Client, name: String) -> Self {
        Self { client, name, last: None }
    }

    /// Reads an object. The outer error ends the run; the inner one is the reason why this object is no letter.
    async fn read(&self, key: &str, size: i64) -> anyhow::Result<anyhow::Result<Letter>> {
        if size > MAX_OBJECT_BYTES {
            return Ok(Err(anyhow!("an object of {size} bytes is no event")));
        }
        let request = self.client.get_object().bucket(&self.name).key(key);
        let output = request
            .send()
            .await
            .map_err(|error| explain(&error))
            .with_context(|| format!("cannot read s3://{}/{key}", self.name))?;
        let body = output.body.collect().await?.into_bytes();
        Ok(Letter::from_record(&body))
    }
}

impl LetterStore for OnFailureBucket {
    async fn next(&mut self) -> anyhow::Result<Vec<StoredLetter>> {
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.name)
            .max_keys(MAX_OBJECTS)
            .set_start_after(self.last.clone());
        let output = request
            .send()
            .await
            .map_err(|error| explain(&error))
            .with_context(|| format!("cannot list bucket {}", self.name))?;
        let mut found = Vec::new();
        for object in output.contents.unwrap_or_default() {
            let name = object.key.unwrap_or_default();
            let letter = self.read(&name, object.size.unwrap_or_default()).await?;
            self.last = Some(name.clone());
            found.push(StoredLetter { name, letter });
        }
        Ok(found)
    }

    async fn remove(&self, name: &str) -> anyhow::Result<()> {
        let removed = self.client.delete_object().bucket(&self.name).key(name).send().await;
        removed.map(drop).map_err(|error| explain(&error))
    }
}
