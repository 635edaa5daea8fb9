//! The Telemetry API's side of an environment: generated events, subscriptions, and waiting events.

mod category;
mod controls;
mod delivery;
mod event;
mod queue;
mod request;

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(crate) use category::Category;
pub(crate) use controls::{Controls, Ledger};
pub use controls::{DeliveredTelemetry, TelemetryControl, UndeliveredTelemetry};
use delivery::Subscription;
pub(crate) use event::Generated;
pub(crate) use request::Settings;

use crate::clock;
use crate::function::LogFormat;
use crate::lock::lock;

/// The bounds of the backlog that init keeps for later subscribers, in events and bytes.
const MAX_BACKLOG_EVENTS: usize = 10_000;
const MAX_BACKLOG_BYTES: usize = 4 * 1024 * 1024;

/// How long the end of an environment waits for an answer that is on its way.
const MAX_SETTLING: Duration = Duration::from_secs(1);

/// The state of deliveries: Lambda's own processes stop with the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Frozen,
    /// Batches leave when they are full or old enough; the time frozen does not count.
    Flowing {
        since: Instant,
    },
    /// The environment ends: batches leave at once.
    Flushing,
}

#[derive(Debug)]
pub(crate) struct Telemetry {
    function: String,
    environment: String,
    log_format: LogFormat,
    flow: watch::Sender<Flow>,
    state: Mutex<State>,
    controls: Arc<Controls>,
    ledger: Arc<Ledger>,
}

#[derive(Debug, Default)]
struct State {
    /// Everything since the begin of init, while it lasts.
    backlog: Option<Backlog>,
    subscriptions: Vec<Subscribed>,
    /// How many of the events that tests inject were given out already.
    injected: usize,
}

#[derive(Debug, Default)]
struct Backlog {
    events: Vec<Generated>,
    bytes: usize,
}

#[derive(Debug)]
struct Subscribed {
    subscription: Arc<Subscription>,
    delivering: JoinHandle<()>,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.delivering.abort();
    }
}

impl Telemetry {
    pub(crate) fn new(
        function: &str,
        environment: &str,
        log_format: LogFormat,
        controls: &Arc<Controls>,
        ledger: &Arc<Ledger>,
    ) -> Arc<Self> {
        let telemetry = Arc::new(Self {
            function: function.to_owned(),
            environment: environment.to_owned(),
            log_format,
            flow: watch::Sender::new(Flow::Frozen),
            state: Mutex::default(),
            controls: Arc::clone(controls),
            ledger: Arc::clone(ledger),
        });
        controls.join(&telemetry);
        telemetry
    }

    /// Begins init: from now on, events are kept for later subscribers.
    pub(crate) fn begin_init(&self) {
        lock(&self.state).backlog = Some(Backlog::default());
    }

    /// Ends init: subscriptions are no longer possible.
    pub(crate) fn end_init(&self) {
        lock(&self.state).backlog = None;
        self.take_injected();
    }

    pub(crate) fn emit(&self, event: Generated) {
        self.controls.record(&event);
        let mut state = lock(&self.state);
        for Subscribed { subscription, .. } in &state.subscriptions {
            self.offer(subscription, &event);
        }
        if let Some(backlog) = &mut state.backlog {
            let bytes = event.bytes();
            if backlog.events.len() < MAX_BACKLOG_EVENTS
                && backlog.bytes + bytes <= MAX_BACKLOG_BYTES
            {
                backlog.bytes += bytes;
                backlog.events.push(event);
            }
        }
    }

    fn offer(&self, subscription: &Subscription, event: &Generated) {
        if !subscription.wants(event.category) {
            return;
        }
        let treatment = self.controls.treatment(&event.kind);
        let json = event.json(self.log_format);
        subscription.push(&event.kind, event.category, json, treatment);
    }

    /// Subscribes an extension, or changes its subscription; waiting events stay. A new subscriber gets the events of
    /// init so far.
    pub(crate) fn subscribe(self: &Arc<Self>, extension: &str, settings: Settings) {
        let mut state = lock(&self.state);
        let known = state
            .subscriptions
            .iter()
            .find(|subscribed| subscribed.subscription.extension() == extension);
        if let Some(known) = known {
            known.subscription.change(settings);
            return;
        }
        let subscription = Arc::new(Subscription::new(extension, settings));
        for event in state.backlog.iter().flat_map(|backlog| &backlog.events) {
            self.offer(&subscription, event);
        }
        for event in self.controls.injected_before(state.injected) {
            self.offer(&subscription, &event);
        }
        let telemetry = Arc::downgrade(self);
        let delivering = tokio::spawn(delivery::run(
            Arc::clone(&subscription),
            self.flow.subscribe(),
            Arc::clone(&self.ledger),
            move |dropped| emit_logs_dropped(&telemetry, &dropped),
        ));
        state.subscriptions.push(Subscribed { subscription, delivering });
    }

    /// Gives out the events that tests injected since the last call.
    pub(crate) fn take_injected(&self) {
        let mut state = lock(&self.state);
        let (events, total) = self.controls.injected_since(state.injected);
        state.injected = total;
        for event in &events {
            for Subscribed { subscription, .. } in &state.subscriptions {
                self.offer(subscription, event);
            }
        }
    }

    pub(crate) fn release(&self) {
        for Subscribed { subscription, .. } in &lock(&self.state).subscriptions {
            subscription.release();
        }
    }

    /// Lets deliveries go on; a batch's time begins anew.
    pub(crate) fn thaw(&self) {
        self.flow.send_replace(Flow::Flowing { since: Instant::now() });
    }

    /// Lets no further delivery begin.
    pub(crate) fn freeze(&self) {
        self.flow.send_replace(Flow::Frozen);
    }

    /// Sends the waiting events at once, because the environment ends.
    pub(crate) fn flush(&self) {
        self.flow.send_replace(Flow::Flushing);
    }

    /// Stops the deliveries of processes that have ended, after the answers that are on their way.
    pub(crate) async fn settle(&self) {
        self.freeze();
        let subscriptions: Vec<_> = lock(&self.state)
            .subscriptions
            .iter()
            .map(|subscribed| Arc::clone(&subscribed.subscription))
            .collect();
        let settled = async {
            for subscription in subscriptions {
                subscription.settled().await;
            }
        };
        // An answer that never comes leaves its batch undelivered.
        drop(tokio::time::timeout(MAX_SETTLING, settled).await);
    }

    /// Records the waiting events as lost, because the environment has ended.
    pub(crate) fn finish(&self) {
        let subscriptions = std::mem::take(&mut lock(&self.state).subscriptions);
        for Subscribed { subscription, .. } in &subscriptions {
            for (kind, event) in subscription.take_all() {
                self.ledger.record_undelivered(UndeliveredTelemetry {
                    function: self.function.clone(),
                    environment: self.environment.clone(),
                    extension: subscription.extension().to_owned(),
                    kind: kind.to_string(),
                    event,
                });
            }
        }
    }

    /// How many events wait for delivery now, those included that tests hold back.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.state)
            .subscriptions
            .iter()
            .map(|subscribed| subscribed.subscription.waiting())
            .sum()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Tells the subscribers that records of one of them were dropped, as Lambda does once there is room again.
fn emit_logs_dropped(telemetry: &Weak<Telemetry>, dropped: &queue::Dropped) {
    if let Some(telemetry) = telemetry.upgrade() {
        telemetry.emit(Generated::logs_dropped(dropped.records, dropped.bytes, clock::now()));
    }
}
