//! A backlog in the retry queue, and its delivery once the backend answers again.

use super::backend::Backend;
use super::curve::{RateUnit, Sampling};
use super::forwarder::{FORWARDER, begin, function, processes, response};
use super::{report, telemetry};
use anyhow::ensure;
use local_lambda::Lambda;
use local_lambda::queue::{Queue, QueueServer};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Events while the backend is down, with a million items.
const EVENTS: u32 = 140;
const LINES: u32 = 6000;
/// What the backend takes once it is up.
const BYTES_A_SECOND: u64 = 10_000_000;
/// Lambda's pollers, which deliver batches of messages at the same time.
const POLLERS: usize = 4;
const MESSAGES_OF_BATCH: usize = 10;

pub(super) async fn deliver_backlog(programs: &HashMap<String, PathBuf>) -> anyhow::Result<()> {
    let backend = Backend::start().await?;
    let queue =
        QueueServer::start(Queue::new("retry").visibility_timeout(Duration::from_mins(6))).await?;
    let lambda = Arc::new(Lambda::start().await?);
    let forwarder = function(programs, &backend)?
        .env("LAMBDA_OTLP_RETRY_QUEUE_URL", queue.queue_url())
        .env("LAMBDA_OTLP_VITALS", "emf")
        .env("AWS_ENDPOINT_URL_SQS", queue.endpoint());
    lambda.create_function(forwarder)?;
    backend.set_down(true);
    let mut items = 0;
    for index in 0..EVENTS {
        let event = telemetry::event(index, LINES);
        response(begin(&lambda, &event.json)?).await?;
        items += event.numbers.len();
    }
    println!("backlog: {items} items in {} messages", queue.queue().len());
    backend.set_down(false);
    backend.limit(BYTES_A_SECOND);
    let sampling = Sampling::begin(backend.bytes(), processes(&lambda));
    let mut pollers = JoinSet::new();
    for _ in 0..POLLERS {
        let lambda = Arc::clone(&lambda);
        let queue = queue.queue().clone();
        pollers.spawn(async move {
            while !queue.is_empty() {
                deliver(&lambda, &queue).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = pollers.join_next().await {
        ended??;
    }
    let curve = sampling.end("backlog", RateUnit::MEGABYTES)?;
    let last = u32::try_from(items)?;
    report(&curve, items, &backend.differences(0..last, 1))?;
    lambda.recycle(FORWARDER).await?;
    Ok(())
}

/// Delivers a batch of messages like Lambda's event source mapping with `ReportBatchItemFailures`.
async fn deliver(lambda: &Lambda, queue: &Queue) -> anyhow::Result<()> {
    let messages = queue.receive(MESSAGES_OF_BATCH);
    if messages.is_empty() {
        sleep(Duration::from_millis(100)).await;
        return Ok(());
    }
    let answer = response(begin(lambda, &queue.lambda_event(&messages).to_string())?).await?;
    let deleted = queue.delete_handled(&messages, &answer);
    ensure!(deleted.is_ok(), "the messages are not handled: {deleted:?}");
    Ok(())
}
