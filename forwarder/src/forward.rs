//! The pipeline: one event in, its log events converted and delivered in chunks, one report out.

use crate::convert::{ConvertOptions, Converted, convert};
use crate::deliver::{DeliverOptions, Export, Undelivered, deliver};
use crate::ledger::Ledger;
use crate::source::{Incoming, LogBatch, MessageType, SourceError, SourceLimits};
use backend::DropReason;
use platform::Window;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wire::UndecodableLine;

/// What the forwarder is told once.
#[derive(Clone, Debug)]
pub struct Options {
    /// How events are read.
    pub source: SourceLimits,
    /// How log events are converted.
    pub convert: ConvertOptions,
    /// How requests are delivered.
    pub deliver: DeliverOptions,
    /// The forwarder's own log group. Its events are dropped, or each delivery would cause the next.
    pub own_log_group: Option<String>,
}

/// What is known of one invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Time of the delivery, in nanoseconds since the Unix epoch.
    pub observed_unix_nano: u64,
    /// When the last request must have ended.
    pub deadline: Instant,
    /// The forwarder's own account, where known: a log group of the same name in another account
    /// is not its own.
    pub account: Option<String>,
}

/// What became of one event.
#[derive(Debug, Default)]
#[must_use = "what was returned has to fail the invocation"]
pub struct Report {
    /// The accounting.
    pub ledger: Ledger,
    /// Why items were returned.
    pub undelivered: Vec<Undelivered>,
    /// Lines that claim to be OTLP and did not decode, with the id of their log event; at most
    /// [`MOST_DETAILS`], the ledger counts all.
    pub undecodable: Vec<(String, UndecodableLine)>,
    /// What was dropped because the backend would store it wrong or not at all.
    pub dropped: Vec<(DropReason, usize)>,
    /// Warnings of the backend, at most [`MOST_DETAILS`].
    pub warnings: Vec<String>,
    /// Figures of Lambda's that were no plausible numbers.
    pub implausible_figures: usize,
    /// Panics caught while converting; the log events of such a batch are returned.
    pub panics: usize,
}

/// Bounds the lists of a [`Report`].
pub const MOST_DETAILS: usize = 100;

impl Report {
    /// True if every item was accepted, dropped by a rule or dead-lettered.
    pub fn is_complete(&self) -> bool {
        self.ledger.returned == 0 && self.ledger.lost() == 0
    }

    fn take_delivered(&mut self, delivered: crate::deliver::Delivered) {
        self.ledger += delivered.ledger;
        self.undelivered.extend(delivered.undelivered);
        self.dropped.extend(delivered.dropped);
        self.warnings.extend(delivered.warnings);
        self.undelivered.truncate(MOST_DETAILS);
        self.dropped.truncate(MOST_DETAILS);
        self.warnings.truncate(MOST_DETAILS);
    }
}

/// Forwards events to one destination.
#[derive(Debug)]
pub struct Forwarder<E> {
    export: E,
    options: Options,
}

impl<E: Export> Forwarder<E> {
    /// A forwarder that sends by `export`.
    pub fn new(export: E, options: Options) -> Self {
        Self { export, options }
    }

    /// Delivers all log events of one event. The error says that the event as a whole could not be
    /// read; what could be read before was delivered.
    pub async fn forward(
        &self,
        incoming: Incoming,
        invocation: &Invocation,
    ) -> Result<Report, SourceError> {
        let limits = self.options.source;
        // One batch waits while one is delivered: reading a large event needs memory for three.
        let (hand_on, mut batches) = mpsc::channel(1);
        let incoming = Arc::new(incoming);
        let reading = tokio::task::spawn_blocking(move || {
            incoming.read(&limits, &mut |batch| hand_on.blocking_send(batch).is_ok())
        });
        let mut report = Report::default();
        let mut window = Window::default();
        while let Some(batch) = batches.recv().await {
            window = self.forward_batch(batch, window, invocation, &mut report).await;
        }
        match reading.await {
            Ok(read) => read.map(|()| report),
            Err(_) => Err(SourceError::Json("reading it panicked".to_owned())),
        }
    }

    async fn forward_batch(
        &self,
        batch: LogBatch,
        window: Window,
        invocation: &Invocation,
        report: &mut Report,
    ) -> Window {
        if self.is_own(&batch, invocation) {
            let events = batch.events.len();
            report.ledger +=
                Ledger { events, consumed: events, own_log_group: events, ..Ledger::default() };
            return window;
        }
        let converting = AssertUnwindSafe(|| {
            convert(&batch, window, &self.options.convert, invocation.observed_unix_nano)
        });
        let Ok(converted) = catch_unwind(converting) else {
            // What they would have become nobody knows: each event counts as one item, returned.
            let events = batch.events.len();
            report.panics += 1;
            report.ledger.events += events;
            report.ledger.items.undecodable += events;
            report.ledger.returned += events;
            return Window::default();
        };
        let Converted { requests, service_name, ledger, undecodable, implausible_figures, window } =
            converted;
        report.ledger += ledger;
        report.implausible_figures += implausible_figures;
        let room = MOST_DETAILS.saturating_sub(report.undecodable.len());
        report.undecodable.extend(undecodable.into_iter().take(room));
        let options = &self.options.deliver;
        let delivered =
            deliver(&self.export, requests, &service_name, options, invocation.deadline).await;
        report.take_delivered(delivered);
        window
    }

    fn is_own(&self, batch: &LogBatch, invocation: &Invocation) -> bool {
        let same_account =
            invocation.account.as_ref().is_none_or(|account| *account == batch.envelope.owner);
        batch.envelope.message_type == MessageType::Data
            && self.options.own_log_group.as_deref() == Some(&batch.envelope.log_group)
            && same_account
    }
}
