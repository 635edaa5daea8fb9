//! Delivers events to a subscriber in batches, and none to a frozen environment. A classic function's batch is sent again
//! until the subscriber answers with success, a managed instance's once.

use super::events::{Category, TelemetryEvent};
use super::settings::SubscriptionSettings;
use super::waiting_events::{DroppedEvents, Flow, WaitingEvents};
use crate::identifiers;
use crate::lock;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Subscription {
    extension: String,
    settings: SubscriptionSettings,
    events: Mutex<WaitingEvents>,
    changed: Notify,
    progress: watch::Sender<DeliveryProgress>,
}

#[derive(Debug, Clone, Copy, Default)]
struct DeliveryProgress {
    is_in_flight: bool,
    /// The number of deliveries that failed.
    failures: u64,
}

impl Subscription {
    pub(super) fn new(extension: &str, settings: SubscriptionSettings) -> Self {
        Self {
            extension: extension.to_owned(),
            settings,
            events: Mutex::new(WaitingEvents::new(Instant::now())),
            changed: Notify::new(),
            progress: watch::Sender::new(DeliveryProgress::default()),
        }
    }

    /// Adds an event of a type that it subscribed to.
    pub(super) fn offer(&self, event: &TelemetryEvent) {
        if self.settings.types.contains(&event.category) {
            self.push(event.category, event.json.clone());
        }
    }

    pub(super) fn is_of(&self, extension: &str) -> bool {
        self.extension == extension
    }

    pub(super) fn push(&self, category: Category, json: String) {
        lock(&self.events).push(category, json, Instant::now());
        self.changed.notify_one();
    }

    /// Waits until no delivery is in progress.
    pub(super) async fn finish_delivery(&self) {
        // The sender lives in the subscription, so this cannot fail.
        drop(self.progress.subscribe().wait_for(|progress| !progress.is_in_flight).await);
    }

    fn begin_delivery(&self) {
        self.progress.send_modify(|progress| progress.is_in_flight = true);
    }

    fn end_delivery(&self, is_delivered: bool) {
        self.progress.send_modify(|progress| {
            progress.is_in_flight = false;
            progress.failures += u64::from(!is_delivered);
        });
    }

    /// Waits until no event waits, or a delivery fails.
    pub(super) async fn flushed(&self) {
        let failures = self.progress.borrow().failures;
        let mut progress = self.progress.subscribe();
        let is_flushed = |progress: &DeliveryProgress| {
            progress.failures != failures
                || (!progress.is_in_flight && lock(&self.events).is_empty())
        };
        drop(progress.wait_for(is_flushed).await);
    }

    /// Waits until a batch is due; returns `None` after the environment has ended.
    async fn next_batch(&self, flow: &mut watch::Receiver<Flow>) -> Option<Vec<String>> {
        let buffering = &self.settings.buffering;
        loop {
            let current = *flow.borrow_and_update();
            let due = {
                let events = lock(&self.events);
                let due = events.due(buffering, current);
                if due.is_some_and(|due| due <= Instant::now()) {
                    return Some(events.batch(buffering));
                }
                due
            };
            let until_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = flow.changed() => changed.ok()?,
                () = self.changed.notified() => {}
                () = until_due => {}
            }
        }
    }
}

/// Lambda's reason for dropped events.
const SLOW_CONSUMER: &str = "Some logs were dropped because the downstream consumer is slower than the logs production rate";

/// Delivers to one subscriber until the environment ends. A batch is sent until the subscriber accepts it.
pub(super) async fn deliver_until_accepted(
    subscription: Arc<Subscription>,
    mut flow: watch::Receiver<Flow>,
    report_dropped: impl Fn(DroppedEvents, &str),
) {
    let destination = &subscription.settings.destination;
    while let Some(batch) = subscription.next_batch(&mut flow).await {
        subscription.begin_delivery();
        let request =
            Request::post(destination.path.as_str()).header("Host", destination.host.as_str());
        let sent = send(destination.port, request, &batch).await;
        let dropped = if sent.is_ok() {
            lock(&subscription.events).acknowledge(batch.len())
        } else {
            lock(&subscription.events).wait_after_failure();
            None
        };
        subscription.end_delivery(sent.is_ok());
        if let Some(dropped) = dropped {
            report_dropped(dropped, SLOW_CONSUMER);
        }
    }
}

/// Delivers to one subscriber of a managed instance as the runtime interface emulator does (`subscriber.go`): to the path `/`, each
/// batch once. A batch that is due while the one before is on its way is dropped; when the environment ends, it waits.
pub(super) async fn deliver_once(
    subscription: Arc<Subscription>,
    mut flow: watch::Receiver<Flow>,
    report_dropped: impl Fn(DroppedEvents, &str) + Send + Sync + 'static,
) {
    let report_dropped = Arc::new(report_dropped);
    let mut sending = JoinSet::new();
    while let Some(batch) = subscription.next_batch(&mut flow).await {
        // Events beyond the bounds of the queue are not counted here: this queue is emptied whenever a batch is due.
        lock(&subscription.events).acknowledge(batch.len());
        let of_batch = DroppedEvents {
            records: u64::try_from(batch.len()).unwrap_or(u64::MAX),
            bytes: batch.iter().map(String::len).sum(),
        };
        while sending.try_join_next().is_some() {}
        // The report of a drop is an event, which would be due at once, and dropped, again and again.
        if *flow.borrow() == Flow::Flushing {
            while sending.join_next().await.is_some() {}
        }
        if !sending.is_empty() {
            report_dropped(of_batch, SLOW_CONSUMER);
            continue;
        }
        subscription.begin_delivery();
        let subscription = Arc::clone(&subscription);
        let report_dropped = Arc::clone(&report_dropped);
        sending.spawn(async move {
            let port = subscription.settings.destination.port;
            let request = Request::post("/")
                .header("Host", format!("127.0.0.1:{port}"))
                .header("Sequence-Id", identifiers::uuid());
            let sent = send(port, request, &batch).await;
            subscription.end_delivery(sent.is_ok());
            if let Err(error) = sent {
                report_dropped(of_batch, &format!("could not send events: {error}"));
            }
        });
    }
}

/// Sends a batch; an answer other than success is an error.
///
/// There is no time limit: a frozen listener goes on after the thaw, and an ended one resets the connection.
async fn send(port: u16, request: http::request::Builder, batch: &[String]) -> io::Result<()> {
    let body = format!("[{}]", batch.join(","));
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let request = request
        .header("Content-Type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(io::Error::other)?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = answer.status();
        answer.into_body().collect().await.map_err(io::Error::other)?;
        if status.is_success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
    };
    tokio::pin!(connection, answered);
    // The connection does the reading and writing; it may end before the answer was taken from it.
    tokio::select! {
        biased;
        answered = &mut answered => answered,
        _ = &mut connection => answered.await,
    }
}
