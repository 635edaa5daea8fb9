//! Shows the function's log as telemetry, and sends it to a backend if there is one.

use super::page::LivePage;
use crate::destination::{DestinationArguments, read_config};
use crate::forward::{Output, one_destination, problems};
use crate::log_events::{Converter, Gathered, RunningInvocations, delivered, now};
use crate::shown::Incoming;
use anyhow::{Context as _, bail};
use console::quantity::plural;
use console::reach::{self, ENDPOINT};
use forwarder::Forwarder;
use settings::{Check, Source as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use subscriber::FilteredLogEvent;
use tokio::time::Instant;
use wire::SignalKind;

const ACCOUNT: &str = "123456789012";
/// Log events with shorter pauses are converted together.
const QUIET: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const MOST_BYTES: usize = 256 * 1024 * 1024;

pub(super) struct Logs {
    log_group: String,
    waiting: Mutex<Waiting>,
    converter: Converter,
    backend: Option<Backend>,
    sender: SyncSender<Incoming>,
    page: Option<Arc<LivePage>>,
    /// Serializes the batches.
    passing: tokio::sync::Mutex<RunningInvocations>,
    is_undelivered: AtomicBool,
}

struct Backend {
    /// The endpoint as its argument or variable is called, and its URL.
    called: String,
    url: String,
    forwarder: Forwarder<Output>,
    accepted: AtomicUsize,
}

#[derive(Default)]
struct Waiting {
    gathered: Gathered,
    dropped: usize,
    since: Option<(Instant, Instant)>,
}

impl Logs {
    pub(super) async fn new(
        function: &str,
        region: &str,
        destination: &DestinationArguments,
        sender: SyncSender<Incoming>,
        page: Option<Arc<LivePage>>,
    ) -> anyhow::Result<Self> {
        let backend = if destination.has_endpoint() {
            Some(backend(destination).await?)
        } else if destination.needs_endpoint() {
            bail!("--user, --header and --stream need --endpoint, or LAMBDA_OTLP_ENDPOINT");
        } else {
            None
        };
        Ok(Self {
            log_group: format!("/aws/lambda/{function}"),
            waiting: Mutex::default(),
            converter: Converter::new(Some(region))?,
            backend,
            sender,
            page,
            passing: tokio::sync::Mutex::default(),
            is_undelivered: AtomicBool::new(false),
        })
    }

    pub(super) fn take(&self, event: &local_lambda::LogEvent) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.gathered.bytes() + event.message.len() > MOST_BYTES {
            waiting.dropped += 1;
            return;
        }
        let now = Instant::now();
        waiting.since = Some((waiting.since.map_or(now, |(first, _)| first), now));
        waiting.gathered.add(FilteredLogEvent {
            id: event.id.clone(),
            log_stream: event.log_stream.to_string(),
            timestamp_ms: i64::try_from(event.timestamp_ms).unwrap_or(i64::MAX),
            message: event.message.clone(),
            ..FilteredLogEvent::default()
        });
    }

    pub(super) async fn show_as_it_comes(&self) {
        loop {
            tokio::time::sleep(QUIET / 2).await;
            let since = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).since;
            let is_due = |(first, last): (Instant, Instant)| {
                last.elapsed() >= QUIET || first.elapsed() >= LONGEST_WAIT
            };
            if since.is_some_and(is_due) {
                self.pass_on().await;
            }
        }
    }

    pub(super) async fn pass_on(&self) {
        let mut running = self.passing.lock().await;
        let taken = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *waiting)
        };
        let Waiting { mut gathered, dropped, .. } = taken;
        if dropped > 0 {
            self.is_undelivered.store(true, Ordering::Relaxed);
            self.say(format!("{dropped} log events were not shown, because they arrived too fast"));
        }
        for events in gathered.take_before(i64::MAX) {
            let shown = running.with_starts(events.clone());
            match delivered(ACCOUNT, &self.log_group, &shown) {
                Ok(event) => {
                    let converted = self.converter.convert(&self.log_group, event).await;
                    for incoming in converted {
                        self.send(incoming);
                    }
                }
                Err(error) => self.send(Incoming::Failed(error.into())),
            }
            let Some(backend) = &self.backend else { continue };
            let Ok(event) = delivered(ACCOUNT, &self.log_group, &events) else { continue };
            let mut report = backend.forwarder.forward(event, &now()).await;
            backend.accepted.fetch_add(report.account.total.accepted, Ordering::Relaxed);
            if !report.is_complete() {
                self.is_undelivered.store(true, Ordering::Relaxed);
            }
            // The converter has shown them.
            report.undecodable.clear();
            for problem in problems(&report) {
                self.say(format!("{}: {problem}", backend.called));
            }
        }
        drop(running);
    }

    pub(super) fn say_what_was_sent(&self) {
        if let Some(Backend { url, accepted, .. }) = &self.backend {
            let items = plural(accepted.load(Ordering::Relaxed), "item");
            self.say(format!("sent to {url}: {items}"));
        }
    }

    pub(super) fn say(&self, text: String) {
        self.send(Incoming::Said(text));
    }

    pub(super) fn page(&self) -> Option<&Arc<LivePage>> {
        self.page.as_ref()
    }

    /// The receiver may be gone.
    pub(super) fn send(&self, incoming: Incoming) {
        if let (Some(page), Incoming::Requests(requests)) = (&self.page, &incoming)
            && let Err(error) = page.add_telemetry(requests)
        {
            self.sender.send(Incoming::Failed(error)).ok();
        }
        self.sender.send(incoming).ok();
    }

    /// Returns `true` if everything was shown, and accepted by the backend.
    pub(super) fn is_delivered(&self) -> bool {
        !self.is_undelivered.load(Ordering::Relaxed)
    }
}

async fn backend(destination: &DestinationArguments) -> anyhow::Result<Backend> {
    let variables = destination.variables(false)?;
    let config = read_config(&variables)?;
    let called = variables.called(ENDPOINT);
    let reach =
        reach::reach(config.destination.clone(), &variables).with_context(|| called.clone())?;
    if let Some(Check { text, .. }) = reach::check(&reach).await.into_iter().find(Check::is_failed)
    {
        bail!("{called}: {text}");
    }
    let mut url = config.destination.endpoints.of(SignalKind::Traces).to_string();
    url.truncate(url.trim_end_matches(SignalKind::Traces.path()).len());
    let forwarder = one_destination(&config, false).await?;
    Ok(Backend { called, url, forwarder, accepted: AtomicUsize::new(0) })
}
