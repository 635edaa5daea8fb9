//! SQS of moto, with the queue that the forwarder parks in.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::aws::Moto;
use crate::checks::Tally;
use anyhow::{Context as _, bail, ensure};
use aws::{AWS, SQS, SqsQueue, SqsSettings};
use forwarder::{
    Content, LogEventRange, MAX_MESSAGE_BYTES, Message, Origin, Parked, QUEUES, Queue as _,
    RETRY_QUEUE_URL, wall_clock_now,
};
use serde_json::{Value, json};
use settings::{Reader, Table};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

const TABLE: Table = Table::new(&[QUEUES, SQS, AWS, settings::PROXY]);
/// The largest message of SQS (Amazon SQS Developer Guide, "Message quotas").
const MOST_BYTES: usize = 1024 * 1024;
const AT_ONCE: Duration = Duration::ZERO;
const AN_HOUR: Duration = Duration::from_hours(1);

pub(super) async fn check(moto: &Moto, tally: &mut Tally) {
    tally.note("SQS, parked messages come back", sent(moto).await);
    tally.note("SQS, a message is postponed", postponed(moto).await);
    tally.note("SQS, a message is delayed", delayed(moto).await);
    tally.note("SQS, largest message", largest(moto).await);
}

/// Bytes that gzip cannot shorten much, of a multiplicative generator.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state: u64 = 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

fn parked(content: Vec<u8>) -> Parked {
    Parked {
        destination: "default".to_owned(),
        stream: Some("lambda".to_owned()),
        content: Content::Raw(content),
        items: 1,
        oldest_unix_nano: 1,
        newest_unix_nano: 2,
        first_seen_unix_nano: 3,
        reason: "503".to_owned(),
        partial: false,
        log_events: LogEventRange {
            origin: Origin::new("", "", "/aws/lambda/orders", ""),
            ..LogEventRange::default()
        },
    }
}

async fn sent(moto: &Moto) -> anyhow::Result<String> {
    let (queue, url) = queue(moto, "sent").await?;
    let contents = [noise(600 * 1024), noise(500 * 1024), b"{}".to_vec()].map(parked);
    let mut messages = Vec::new();
    for content in &contents {
        let (made, too_large) = content.clone().into_messages(MAX_MESSAGE_BYTES);
        ensure!(too_large.is_empty(), "too large: {too_large:?}");
        messages.extend(made);
    }
    let count = messages.len();
    send(&queue, messages, AT_ONCE).await?;
    let mut back = Vec::new();
    while back.len() < count {
        let received = receive(moto, &url).await?;
        ensure!(!received.is_empty(), "{} of {count} messages came back", back.len());
        for message in received {
            back.push(Parked::from_body(message["Body"].as_str().context("no body")?)?);
        }
    }
    for content in &contents {
        ensure!(back.contains(content), "{content:?} did not come back as it was");
    }
    Ok(format!("{count} messages, each as it was sent"))
}

async fn postponed(moto: &Moto) -> anyhow::Result<String> {
    let (queue, url) = queue(moto, "postponed").await?;
    send(&queue, vec![small()], AT_ONCE).await?;
    // Received with no time to handle it, it could come again at once.
    let receipt = receipt(&receive_for(moto, &url, 0).await?)?;
    queue.postpone(&receipt, AN_HOUR, deadline()).await?;
    ensure!(receive(moto, &url).await?.is_empty(), "it came before its time");
    queue.postpone(&receipt, AT_ONCE, deadline()).await?;
    ensure!(receive(moto, &url).await?.len() == 1, "it did not come again");
    Ok("not before its time, and then again".to_owned())
}

async fn delayed(moto: &Moto) -> anyhow::Result<String> {
    let (queue, url) = queue(moto, "delayed").await?;
    send(&queue, vec![small()], Duration::from_mins(5)).await?;
    ensure!(receive(moto, &url).await?.is_empty(), "it came before its time");
    let asked = json!({ "QueueUrl": url, "AttributeNames": ["All"] });
    let attributes = moto.sqs("GetQueueAttributes", &asked).await?;
    let waiting = &attributes["Attributes"]["ApproximateNumberOfMessagesDelayed"];
    ensure!(*waiting == "1", "{waiting} messages wait");
    Ok("it waits in the queue".to_owned())
}

async fn largest(moto: &Moto) -> anyhow::Result<String> {
    let (queue, _) = queue(moto, "largest").await?;
    let of = |bytes: usize| Message { body: "x".repeat(bytes), items: 1 };
    send(&queue, vec![of(MOST_BYTES)], AT_ONCE).await?;
    match send(&queue, vec![of(MOST_BYTES + 1)], AT_ONCE).await {
        Ok(()) => bail!("a message of one byte more was taken"),
        Err(error) => Ok(format!("{MOST_BYTES} bytes; one more: {error:#}")),
    }
}

fn small() -> Message {
    Message { body: "{}".to_owned(), items: 1 }
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

async fn queue(moto: &Moto, name: &str) -> anyhow::Result<(SqsQueue, String)> {
    let url = moto.create_queue(name).await?;
    Ok((read(moto, &url)?, url))
}

fn read(moto: &Moto, url: &str) -> anyhow::Result<SqsQueue> {
    let mut variables: HashMap<String, String> = moto.variables();
    variables.insert(RETRY_QUEUE_URL.to_owned(), url.to_owned());
    let mut reader = Reader::new(&variables, TABLE);
    let settings = SqsSettings::read(&mut reader, RETRY_QUEUE_URL);
    let mistakes = reader.finish();
    let settings = settings.with_context(|| format!("the variables: {mistakes:?}"))?;
    Ok(SqsQueue::new(settings, wall_clock_now))
}

async fn send(queue: &SqsQueue, messages: Vec<Message>, delay: Duration) -> anyhow::Result<()> {
    for result in queue.send(messages, delay, deadline()).await {
        result?;
    }
    Ok(())
}

pub(super) async fn receive(moto: &Moto, url: &str) -> anyhow::Result<Vec<Value>> {
    receive_for(moto, url, 30).await
}

/// Receives the messages, and hides them for some seconds.
async fn receive_for(moto: &Moto, url: &str, seconds: u32) -> anyhow::Result<Vec<Value>> {
    let asked = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": seconds, "WaitTimeSeconds": 0 });
    let received = moto.sqs("ReceiveMessage", &asked).await?;
    Ok(received["Messages"].as_array().cloned().unwrap_or_default())
}

fn receipt(received: &[Value]) -> anyhow::Result<String> {
    let receipt = received.first().and_then(|message| message["ReceiptHandle"].as_str());
    Ok(receipt.context("no message")?.to_owned())
}
