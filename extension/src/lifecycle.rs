//! The life of the extension: register, listen, subscribe, then one loop that owns the state until SHUTDOWN.

use crate::client::Address;
use crate::clock::unix_millis;
use crate::config::Config;
use crate::extensions_api::{
    ApiError, ExtensionsApi, Invoke, NextEvent, Registration, Shutdown, Subscription, retrying,
};
use crate::http::listen;
use crate::output::Output;
use crate::receiver::http::Receiver;
use crate::records::Records;
use crate::roots::Root;
use crate::state::State;
use crate::supervise;
use crate::table::Table;
use crate::telemetry_api::{Delivery, Listener, Place, SCHEMA_VERSIONS, subscription};
use crate::vitals::{Count, Vitals};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use wire::{Request, Written};

/// What happens while the loop waits.
#[derive(Debug)]
pub(crate) enum Event {
    Otlp(OtlpReceived),
    Telemetry(Delivery),
}

/// OTLP was received and written.
#[derive(Debug)]
pub(crate) struct OtlpReceived {
    pub(crate) roots: Vec<Root>,
}

/// Deliveries and requests that the loop has not looked at.
const EVENTS: usize = 256;
/// Lines of our own that wait for room in the queue.
const MAX_UNWRITTEN: usize = 64;
/// A full pipe is waited for so long.
const PIPE_PATIENCE: Duration = Duration::from_millis(200);
/// At SHUTDOWN, outstanding reports are waited for so long in all.
const REPORTS_MS: u64 = 300;
/// Of the time at SHUTDOWN so much is left unused: the process must have ended when Lambda kills it.
const RESERVE_MS: u64 = 100;

/// Why the extension ended early.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Not in Lambda.
    #[error("AWS_LAMBDA_RUNTIME_API is not set: an extension is started by Lambda")]
    NotInLambda,
    /// The variable names no address.
    #[error("AWS_LAMBDA_RUNTIME_API is no host and port")]
    RuntimeApi(#[source] io::Error),
    /// The system gave no thread or no way to wait for events.
    #[error("cannot start")]
    Start(#[source] io::Error),
    /// Lambda refused a call, or could not be reached.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Runs the extension until the environment ends. `name` is that of the file in `/opt/extensions`, `writer` takes the lines.
pub async fn run(
    config: &Config,
    name: &str,
    writer: impl Write + Send + 'static,
    vitals: &Arc<Vitals>,
) -> Result<(), Fatal> {
    if config.runtime_api.is_empty() {
        return Err(Fatal::NotInLambda);
    }
    let address = Address::resolve(&config.runtime_api).map_err(Fatal::RuntimeApi)?;
    let output = Output::start(&config.lines, &config.service_name, writer, Arc::clone(vitals))
        .map_err(Fatal::Start)?;
    let (sender, events) = mpsc::channel(EVENTS);
    // Bound before register: the function's SDK may connect as soon as its init begins.
    receive_otlp(config, &output, &sender, vitals).await;
    let (api, registration) = register(config, &address, name).await?;
    if !config.complaint.is_empty() {
        tracing::warn!(problems = config.complaint, "some variables are wrong, the rest is used");
    }
    let records = wire::invocation_record::path(&config.runtime_api);
    let table = Table::new(config, &registration, Arc::clone(vitals), Records::file(records));
    let mut lifecycle = Lifecycle {
        api,
        output,
        events,
        vitals: Arc::clone(vitals),
        state: State::new(config, table),
        unwritten: Vec::new(),
        writing: Vec::new(),
    };
    let told_of_ends = config.telemetry.types.contains(&"platform");
    if lifecycle.listen(config, sender).await && told_of_ends {
        lifecycle.state.subscribed();
    }
    let api = lifecycle.api.clone();
    let ended = tokio::spawn(async move { lifecycle.run().await }).await;
    if let Ok(ended) = ended {
        return ended;
    }
    // The environment must not wait for an extension that has stopped asking.
    vitals.add(Count::Panics, 1);
    tracing::error!("the loop panicked, only OTLP is taken from here on");
    idle(&api).await
}

/// Takes part in the life of the environment, and in nothing else.
async fn idle(api: &ExtensionsApi) -> Result<(), Fatal> {
    loop {
        if let NextEvent::Shutdown(_) = retrying(|| api.next()).await? {
            return Ok(());
        }
    }
}

/// Opens the OTLP receiver; a busy port is logged and skipped.
async fn receive_otlp(
    config: &Config,
    output: &Output,
    events: &mpsc::Sender<Event>,
    vitals: &Arc<Vitals>,
) {
    let port = config.receiver_port;
    let socket = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(port, %error, "cannot receive OTLP, going on without");
            return;
        }
    };
    let budget = config.receive_budget_bytes();
    let (output, events) = (output.clone(), events.clone());
    let receiver = Receiver::new(output, events, Arc::clone(vitals), budget);
    listen("receiver", socket, Arc::new(receiver), vitals);
}

async fn register(
    config: &Config,
    address: &Address,
    name: &str,
) -> Result<(ExtensionsApi, Registration), ApiError> {
    let events: &[&str] =
        if config.function.is_managed_instance { &["SHUTDOWN"] } else { &["INVOKE", "SHUTDOWN"] };
    retrying(|| ExtensionsApi::register(address, name, events)).await
}

type Next = Pin<Box<dyn Future<Output = Result<NextEvent, ApiError>> + Send>>;

struct Lifecycle {
    api: ExtensionsApi,
    output: Output,
    events: mpsc::Receiver<Event>,
    vitals: Arc<Vitals>,
    state: State,
    /// Requests of our own that the queue had no room for.
    unwritten: Vec<Request>,
    writing: Vec<(usize, oneshot::Receiver<Written>)>,
}

impl Lifecycle {
    /// Subscribes to telemetry; whether events will come.
    async fn listen(&self, config: &Config, events: mpsc::Sender<Event>) -> bool {
        let hosts_file = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let place = Place::of(&hosts_file, &config.runtime_api);
        let salt = RandomState::new().hash_one(());
        let listener = match Listener::bind(place, salt).await {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%error, "cannot listen for telemetry, going on without");
                return false;
            }
        };
        let intake = listener.intake(&config.telemetry, events, Arc::clone(&self.vitals));
        let Listener { socket, uri, .. } = listener;
        let listening = listen("telemetry listener", socket, Arc::new(intake), &self.vitals);
        let accepted = self.subscribe(config, &uri).await;
        if !accepted {
            listening.abort();
        }
        accepted
    }

    async fn subscribe(&self, config: &Config, uri: &str) -> bool {
        let mut refusal = None;
        for schema_version in SCHEMA_VERSIONS {
            let body = subscription(&config.telemetry, schema_version, uri);
            match self.api.subscribe(&body).await {
                Ok(Subscription::Accepted) => return true,
                Ok(Subscription::Local) => {
                    tracing::info!("there is no Telemetry API here, going on without");
                    return false;
                }
                Err(error) => refusal = Some(error),
            }
        }
        if let Some(error) = refusal {
            tracing::warn!(%error, "cannot subscribe to telemetry, going on without");
        }
        false
    }

    async fn run(&mut self) -> Result<(), Fatal> {
        let mut next: Option<Next> = None;
        loop {
            self.write_due();
            if next.is_none() && self.may_call_next() {
                // The environment may sleep from here on.
                self.wait_written(PIPE_PATIENCE).await;
                let api = self.api.clone();
                next = Some(Box::pin(async move { retrying(|| api.next()).await }));
            }
            let now_ms = unix_millis();
            let wake = self.state.wake_at_ms(now_ms).map(|at| at.saturating_sub(now_ms));
            tokio::select! {
                Some(event) = self.events.recv() => self.take(event),
                answered = answer(&mut next) => {
                    next = None;
                    match answered? {
                        NextEvent::Invoke(invoke) => self.invoke(&invoke),
                        NextEvent::Shutdown(shutdown) => {
                            self.shutdown(&shutdown).await;
                            return Ok(());
                        }
                        NextEvent::Other => tracing::info!("an event that is not known here"),
                    }
                }
                () = pause(wake) => {}
            }
        }
    }

    /// A panic in the state costs what the state knew of one thing, not the loop.
    fn with_state<T>(&mut self, act: impl FnOnce(&mut State) -> T) -> Option<T> {
        let Self { state, vitals, .. } = self;
        supervise::catch("loop", vitals, || act(state))
    }

    fn may_call_next(&mut self) -> bool {
        let now_ms = unix_millis();
        self.with_state(|state| state.may_call_next(now_ms)).unwrap_or(true)
    }

    fn invoke(&mut self, invoke: &Invoke) {
        let now_ms = unix_millis();
        self.with_state(|state| state.invoke(invoke, now_ms));
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Otlp(received) => {
                self.with_state(|state| state.otlp(received.roots));
            }
            Event::Telemetry(delivery) => {
                let now_ms = unix_millis();
                for event in delivery.events {
                    self.with_state(|state| state.telemetry(event, now_ms));
                }
            }
        }
    }

    fn write_due(&mut self) {
        let now_ms = unix_millis();
        let due = self.with_state(|state| state.due(now_ms)).unwrap_or_default();
        self.write(due);
    }

    /// Puts requests into the output's queue; what has no room there waits here.
    fn write(&mut self, requests: Vec<Request>) {
        self.writing.retain_mut(|(items, written)| match written.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => true,
            answered => {
                self.vitals.add(Count::PlatformLost, lost(*items, answered.ok()));
                false
            }
        });
        self.unwritten.extend(requests);
        let mut waiting = std::mem::take(&mut self.unwritten).into_iter();
        for request in waiting.by_ref() {
            let items = request.items();
            match self.output.offer(request) {
                Ok(written) => self.writing.push((items, written)),
                Err(request) => {
                    self.unwritten.push(request);
                    break;
                }
            }
        }
        self.unwritten.extend(waiting);
        let excess = self.unwritten.len().saturating_sub(MAX_UNWRITTEN);
        for lost in self.unwritten.drain(..excess) {
            self.vitals.add(Count::PlatformLost, lost.items());
        }
    }

    /// Waits until our own lines are written, but not for a pipe that is full.
    async fn wait_written(&mut self, limit: Duration) {
        let Self { writing, vitals, .. } = self;
        let all = async {
            while let Some((items, written)) = writing.last_mut() {
                let answered = written.await.ok();
                vitals.add(Count::PlatformLost, lost(*items, answered));
                writing.pop();
            }
        };
        // Those that were not written in time stay in the queue, and are written when there is room.
        drop(tokio::time::timeout(limit, all).await);
    }

    async fn shutdown(&mut self, shutdown: &Shutdown) {
        let begun_ms = unix_millis();
        // An emulator may give no deadline, or one in the past.
        let end_ms = match shutdown.deadline_ms {
            deadline if deadline > begun_ms => deadline - RESERVE_MS.min(deadline - begun_ms),
            _ => begun_ms + REPORTS_MS,
        };
        let reports_end_ms = end_ms.min(begun_ms + REPORTS_MS);
        while self.with_state(|state| state.is_waiting_for_reports()).unwrap_or(false) {
            let Some(left) = reports_end_ms.checked_sub(unix_millis()).filter(|left| *left > 0)
            else {
                break;
            };
            tokio::select! {
                Some(event) = self.events.recv() => self.take(event),
                () = pause(Some(left)) => {}
            }
        }
        // What lies in the channel is there already.
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
        }
        let now_ms = unix_millis();
        let reason = &shutdown.shutdown_reason;
        let left = self.with_state(|state| state.close(reason, now_ms)).unwrap_or_default();
        self.write(left);
        while !(self.writing.is_empty() && self.unwritten.is_empty()) {
            let Some(left) = end_ms.checked_sub(unix_millis()).filter(|left| *left > 0) else {
                break;
            };
            self.wait_written(Duration::from_millis(left)).await;
            self.write(Vec::new());
        }
        let unwritten = self.unwritten.iter().map(Request::items).sum::<usize>()
            + self.writing.iter().map(|(items, _)| items).sum::<usize>();
        self.vitals.add(Count::PlatformLost, unwritten);
        if self.vitals.lost_anything() {
            tracing::error!(counts = %self.vitals, "something was lost in this environment");
        } else {
            tracing::debug!(counts = %self.vitals, "the environment ends");
        }
    }
}

/// How many of a request's items are in no line; all of them where the pipe is broken.
fn lost(items: usize, written: Option<Written>) -> usize {
    written.map_or(items, |written| written.dropped_items)
}

async fn answer(next: &mut Option<Next>) -> Result<NextEvent, ApiError> {
    match next {
        Some(next) => next.await,
        None => std::future::pending().await,
    }
}

async fn pause(millis: Option<u64>) {
    match millis {
        Some(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        None => std::future::pending().await,
    }
}
