//! Shows the function's log as telemetry, and sends it to a backend if there is one.

use super::live_page::LivePage;
use crate::destination::{DestinationArguments, read_config};
use crate::forward::{CliExporter, one_destination, problems};
use crate::log_events::{
    Converter, GatheredEvents, RunningInvocations, delivery_event, invocation_now,
};
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
/// The longest wait for such a pause.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Maximum size of unconverted log events.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// The output of a session: its telemetry and messages, for the terminal, the live page and a backend.
pub(super) struct SessionOutput {
    log_group: String,
    unconverted: Mutex<UnconvertedEvents>,
    converter: Converter,
    backend: Option<SessionBackend>,
    sender: SyncSender<Incoming>,
    page: Option<Arc<LivePage>>,
    /// Its lock also serializes the batches.
    running_invocations: tokio::sync::Mutex<RunningInvocations>,
    is_undelivered: AtomicBool,
}

struct SessionBackend {
    /// The name of the argument or variable with the endpoint.
    endpoint_name: String,
    url: String,
    forwarder: Forwarder<CliExporter>,
    accepted: AtomicUsize,
}

/// Log events that were not converted yet.
#[derive(Default)]
struct UnconvertedEvents {
    gathered: GatheredEvents,
    /// The number of log events beyond the bound.
    dropped: usize,
    arrivals: Option<Arrivals>,
}

/// The times of the first and the last of several log events.
#[derive(Clone, Copy)]
struct Arrivals {
    first: Instant,
    last: Instant,
}

impl Arrivals {
    fn are_due(self) -> bool {
        self.last.elapsed() >= QUIET || self.first.elapsed() >= LONGEST_WAIT
    }
}

impl SessionOutput {
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
            unconverted: Mutex::default(),
            converter: Converter::new(Some(region))?,
            backend,
            sender,
            page,
            running_invocations: tokio::sync::Mutex::default(),
            is_undelivered: AtomicBool::new(false),
        })
    }

    /// Adds a log event.
    pub(super) fn add(&self, event: &local_lambda::LogEvent) {
        let mut unconverted = self.unconverted.lock().unwrap_or_else(PoisonError::into_inner);
        if unconverted.gathered.bytes() + event.message.len() > MAX_BYTES {
            unconverted.dropped += 1;
            return;
        }
        let now = Instant::now();
        let first = unconverted.arrivals.map_or(now, |arrivals| arrivals.first);
        unconverted.arrivals = Some(Arrivals { first, last: now });
        unconverted.gathered.add(FilteredLogEvent {
            id: event.id.clone(),
            log_stream: event.log_stream.to_string(),
            timestamp_ms: i64::try_from(event.timestamp_ms).unwrap_or(i64::MAX),
            message: event.message.clone(),
            ..FilteredLogEvent::default()
        });
    }

    /// Shows log events as they arrive, until it is dropped.
    pub(super) async fn show_arrivals(&self) {
        loop {
            tokio::time::sleep(QUIET / 2).await;
            let arrivals = self.unconverted.lock().unwrap_or_else(PoisonError::into_inner).arrivals;
            if arrivals.is_some_and(Arrivals::are_due) {
                self.flush().await;
            }
        }
    }

    /// Shows all log events so far, and sends them to the backend.
    pub(super) async fn flush(&self) {
        let mut running = self.running_invocations.lock().await;
        let taken = {
            let mut unconverted = self.unconverted.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *unconverted)
        };
        let UnconvertedEvents { mut gathered, dropped, .. } = taken;
        if dropped > 0 {
            self.is_undelivered.store(true, Ordering::Relaxed);
            self.say(format!("{dropped} log events were not shown, because they arrived too fast"));
        }
        for events in gathered.take_before(i64::MAX) {
            let shown = running.with_starts(events.clone());
            match delivery_event(ACCOUNT, &self.log_group, &shown) {
                Ok(event) => {
                    let converted = self.converter.convert(&self.log_group, event).await;
                    for incoming in converted {
                        self.send(incoming);
                    }
                }
                Err(error) => self.send(Incoming::Failed(error.into())),
            }
            let Some(backend) = &self.backend else { continue };
            let Ok(event) = delivery_event(ACCOUNT, &self.log_group, &events) else { continue };
            let mut report = backend.forwarder.forward(event, &invocation_now()).await;
            backend.accepted.fetch_add(report.ledgers.total.accepted, Ordering::Relaxed);
            if !report.is_complete() {
                self.is_undelivered.store(true, Ordering::Relaxed);
            }
            // The converter has shown these lines.
            report.undecodable.clear();
            for problem in problems(&report) {
                self.say(format!("{}: {problem}", backend.endpoint_name));
            }
        }
        drop(running);
    }

    /// Prints how much was sent to the backend.
    pub(super) fn print_sent(&self) {
        if let Some(SessionBackend { url, accepted, .. }) = &self.backend {
            let items = plural(accepted.load(Ordering::Relaxed), "item");
            self.say(format!("sent to {url}: {items}"));
        }
    }

    pub(super) fn say(&self, text: String) {
        self.send(Incoming::Message(text));
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

async fn backend(destination: &DestinationArguments) -> anyhow::Result<SessionBackend> {
    destination.print_warnings();
    let variables = destination.variables(false)?;
    let config = read_config(&variables)?;
    let endpoint_name = variables.name_as_given(ENDPOINT);
    let reach = reach::of_settings(config.destination.clone(), &variables)
        .with_context(|| endpoint_name.clone())?;
    if let Some(Check { text, .. }) = reach::check(&reach).await.into_iter().find(Check::is_failed)
    {
        bail!("{endpoint_name}: {text}");
    }
    let mut url = config.destination.endpoints.of(SignalKind::Traces).to_string();
    url.truncate(url.trim_end_matches(SignalKind::Traces.path()).len());
    let forwarder = one_destination(&config, false).await?;
    Ok(SessionBackend { endpoint_name, url, forwarder, accepted: AtomicUsize::new(0) })
}
