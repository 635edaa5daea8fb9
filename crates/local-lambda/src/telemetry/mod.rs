//! The Telemetry API's side of an environment: generated events, subscriptions, and waiting events.

mod delivery;
mod events;
mod settings;
mod waiting_events;

use crate::bounded_history::BoundedHistory;
use crate::fidelity::ManagedDelivery;
use crate::function::FunctionSpec;
use crate::lock;
use delivery::Subscription;
use events::line_json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use waiting_events::{DroppedEvents, Flow};

pub(crate) use events::{Category, TelemetryEvent};
pub(crate) use settings::{InvalidSubscription, SubscriptionSettings};

/// The bounds of the backlog for later subscribers, in events and bytes.
const MAX_BACKLOG_EVENTS: usize = 10_000;
const MAX_BACKLOG_BYTES: usize = 4 * 1024 * 1024;

/// The longest time that the end of an environment waits for deliveries.
const MAX_FLUSH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Telemetry {
    spec: Arc<FunctionSpec>,
    flow: watch::Sender<Flow>,
    state: Mutex<State>,
    platform_events: Arc<Mutex<BoundedHistory<String>>>,
}

#[derive(Debug, Default)]
struct State {
    /// All events since the begin of init; `None` once subscriptions are closed.
    backlog: Option<Backlog>,
    subscriptions: Vec<ActiveSubscription>,
}

#[derive(Debug, Default)]
struct Backlog {
    events: Vec<TelemetryEvent>,
    bytes: usize,
}

/// A subscription with the task that delivers its events.
#[derive(Debug)]
struct ActiveSubscription {
    subscription: Arc<Subscription>,
    delivery: JoinHandle<()>,
}

impl Drop for ActiveSubscription {
    fn drop(&mut self) {
        self.delivery.abort();
    }
}

impl Telemetry {
    pub(crate) fn new(
        spec: &Arc<FunctionSpec>,
        platform_events: &Arc<Mutex<BoundedHistory<String>>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            spec: Arc::clone(spec),
            flow: watch::Sender::new(Flow::Frozen),
            state: Mutex::default(),
            platform_events: Arc::clone(platform_events),
        })
    }

    /// Begins init: from now on, events are kept for later subscribers.
    pub(crate) fn begin_init(&self) {
        lock(&self.state).backlog = Some(Backlog::default());
    }

    /// Keeps no more events for later subscribers. After an init that failed, subscriptions stay open until the environment
    /// ends (runtime interface emulator, `disableAddSubscriber`).
    pub(crate) fn close_subscriptions(&self) {
        lock(&self.state).backlog = None;
    }

    /// Sends the subscribers a line of the function or of an extension.
    pub(crate) fn emit_line(&self, category: Category, text: &str) {
        let json = line_json(category, text, self.spec.log_format);
        self.emit(TelemetryEvent { category, json });
    }

    pub(crate) fn emit(&self, event: TelemetryEvent) {
        if event.category == Category::Platform {
            lock(&self.platform_events).push(event.json.clone(), event.json.len());
        }
        let mut state = lock(&self.state);
        for ActiveSubscription { subscription, .. } in &state.subscriptions {
            subscription.offer(&event);
        }
        if let Some(backlog) = &mut state.backlog {
            let bytes = event.json.len();
            if backlog.events.len() < MAX_BACKLOG_EVENTS
                && backlog.bytes + bytes <= MAX_BACKLOG_BYTES
            {
                backlog.bytes += bytes;
                backlog.events.push(event);
            }
        }
    }

    /// Subscribes an extension, which gets the events since the begin of init. Returns `false` if the extension is subscribed already.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        extension: &str,
        settings: SubscriptionSettings,
    ) -> bool {
        let mut state = lock(&self.state);
        if state.subscriptions.iter().any(|active| active.subscription.is_of(extension)) {
            return false;
        }
        let subscription = Arc::new(Subscription::new(extension, settings));
        for event in state.backlog.iter().flat_map(|backlog| &backlog.events) {
            subscription.offer(event);
        }
        for json in &self.spec.telemetry_events {
            subscription.push(Category::Platform, json.clone());
        }
        let telemetry = Arc::downgrade(self);
        let report_dropped = move |dropped: DroppedEvents, reason: &str| {
            if let Some(telemetry) = telemetry.upgrade() {
                telemetry.emit(TelemetryEvent::logs_dropped(
                    dropped.records,
                    dropped.bytes,
                    reason,
                ));
            }
        };
        let delivered = Arc::clone(&subscription);
        let flow = self.flow.subscribe();
        let is_sent_once = self.spec.is_managed()
            && self.spec.unpublished.managed_delivery == ManagedDelivery::Emulator;
        let delivery = if is_sent_once {
            tokio::spawn(delivery::deliver_once(delivered, flow, report_dropped))
        } else {
            tokio::spawn(delivery::deliver_until_accepted(delivered, flow, report_dropped))
        };
        state.subscriptions.push(ActiveSubscription { subscription, delivery });
        true
    }

    /// Lets deliveries go on; a batch's time begins anew.
    pub(crate) fn thaw(&self) {
        self.flow.send_replace(Flow::Flowing { since: Instant::now() });
    }

    /// Lets no further delivery begin.
    pub(crate) fn freeze(&self) {
        self.flow.send_replace(Flow::Frozen);
    }

    /// Sends the waiting events, because the environment ends, and waits until they are delivered or a delivery fails.
    pub(crate) async fn flush(&self) {
        self.flow.send_replace(Flow::Flushing);
        let flushed = async {
            for subscription in self.subscriptions() {
                subscription.flushed().await;
            }
        };
        // If an answer never comes, its batch stays undelivered.
        drop(tokio::time::timeout(MAX_FLUSH, flushed).await);
    }

    /// Ends the subscriptions of processes that have ended, after the answers that are on their way (runtime interface emulator,
    /// `reinitialize`).
    pub(crate) async fn end_subscriptions(&self) {
        self.freeze();
        let deliveries = async {
            for subscription in self.subscriptions() {
                subscription.finish_delivery().await;
            }
        };
        drop(tokio::time::timeout(MAX_FLUSH, deliveries).await);
        lock(&self.state).subscriptions.clear();
    }

    fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        let state = lock(&self.state);
        state.subscriptions.iter().map(|active| Arc::clone(&active.subscription)).collect()
    }
}
