//! The pipeline: one event in, its log events converted and delivered in chunks, one report out.

use crate::convert::{ConvertOptions, Converted, Window, convert};
use crate::deliver::{DeliverOptions, Export, Undelivered, deliver};
use crate::ledger::Ledger;
use crate::source::{Event, LogBatch, LogEvent, MessageType, SourceError, SourceLimits};
use backend::DropReason;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
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
    /// After this long without an accepted item the rest of the event is returned: the forwarder
    /// must not eat the account's concurrency while a backend is down.
    pub patience: Duration,
    /// Bounds each list of a [`Report`]; the ledger counts all.
    pub most_details: usize,
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
    /// Lines that claim to be OTLP and did not decode, with the id of their log event.
    pub undecodable: Vec<(String, UndecodableLine)>,
    /// What was dropped because the backend would store it wrong or not at all.
    pub dropped: Vec<(DropReason, usize)>,
    /// Warnings of the backend.
    pub warnings: Vec<String>,
    /// Figures of Lambda's that were no plausible numbers.
    pub implausible_figures: usize,
    /// Panics caught while converting; the log events of such a batch are returned.
    pub panics: usize,
    /// Why the event could not be read, or not to its end; the rest of the report is about what
    /// was read.
    pub unread: Option<SourceError>,
}

impl Report {
    /// True if the event was read to its end, and every item was accepted, dropped by a rule or
    /// dead-lettered.
    pub fn is_complete(&self) -> bool {
        self.ledger.returned == 0 && self.ledger.lost() == 0 && self.unread.is_none()
    }

    fn take_delivered(&mut self, delivered: crate::deliver::Delivered, most_details: usize) {
        self.ledger += delivered.ledger;
        self.undelivered.extend(delivered.undelivered);
        self.dropped.extend(delivered.dropped);
        self.warnings.extend(delivered.warnings);
        self.undelivered.truncate(most_details);
        self.dropped.truncate(most_details);
        self.warnings.truncate(most_details);
    }
}

/// How far an event is.
struct Progress {
    report: Report,
    window: Window,
    /// When the backend last took something, or the event began.
    accepted_at: Instant,
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

    /// Delivers all log events of one event.
    pub async fn forward(&self, event: Event, invocation: &Invocation) -> Report {
        let limits = self.options.source;
        // One batch waits while one is delivered: reading a large event needs memory for three.
        let (hand_on, mut batches) = mpsc::channel(1);
        let event = Arc::new(event);
        let reading = tokio::task::spawn_blocking(move || {
            event.read(&limits, &mut |batch| hand_on.blocking_send(batch).is_ok())
        });
        let mut progress = Progress {
            report: Report::default(),
            window: Window::default(),
            accepted_at: Instant::now(),
        };
        while let Some(batch) = batches.recv().await {
            if !progress.window.is_of(&batch.envelope) {
                // Another stream begins: nothing of it belongs to what is waited for.
                if let Some(rest) = progress.window.take_held() {
                    self.forward_batch(&rest, invocation, &mut progress).await;
                }
                progress.window = Window::default();
            }
            self.forward_batch(&batch, invocation, &mut progress).await;
        }
        if let Some(rest) = progress.window.take_held() {
            self.forward_batch(&rest, invocation, &mut progress).await;
        }
        let mut report = progress.report;
        report.unread = match reading.await {
            Ok(read) => read.err(),
            Err(_) => Some(SourceError::Panicked),
        };
        report
    }

    async fn forward_batch(
        &self,
        batch: &LogBatch,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        let report = &mut progress.report;
        if self.is_own(batch, invocation) {
            let events = batch.events.len();
            report.ledger +=
                Ledger { events, consumed: events, own_log_group: events, ..Ledger::default() };
            return;
        }
        let mut events = batch.events.as_slice();
        while !events.is_empty() {
            let taken = self.forward_events(batch, events, invocation, progress).await;
            events = events.get(taken.max(1)..).unwrap_or_default();
        }
    }

    /// Converts and delivers the first of `events`; answers how many these were.
    async fn forward_events(
        &self,
        batch: &LogBatch,
        events: &[LogEvent],
        invocation: &Invocation,
        progress: &mut Progress,
    ) -> usize {
        let Progress { report, window, accepted_at } = progress;
        let before = std::mem::take(window);
        let held = before.held();
        let converting = AssertUnwindSafe(|| {
            let options = &self.options.convert;
            convert(&batch.envelope, events, before, options, invocation.observed_unix_nano)
        });
        let Ok(converted) = catch_unwind(converting) else {
            // What they would have become nobody knows: each event counts as one item, returned.
            report.panics += 1;
            report.ledger.events += held + events.len();
            report.ledger.items.undecodable += held + events.len();
            report.ledger.returned += held + events.len();
            return events.len();
        };
        let Converted { taken, requests, service_name, ledger, undecodable, .. } = converted;
        *window = converted.window;
        report.ledger += ledger;
        report.implausible_figures += converted.implausible_figures;
        let room = self.options.most_details.saturating_sub(report.undecodable.len());
        report.undecodable.extend(undecodable.into_iter().take(room));
        let deadline = invocation.deadline.min(*accepted_at + self.options.patience);
        let options = &self.options.deliver;
        let delivered = deliver(&self.export, requests, &service_name, options, deadline).await;
        if delivered.ledger.accepted > 0 {
            *accepted_at = Instant::now();
        }
        report.take_delivered(delivered, self.options.most_details);
        taken
    }

    fn is_own(&self, batch: &LogBatch, invocation: &Invocation) -> bool {
        let same_account =
            invocation.account.as_ref().is_none_or(|account| *account == batch.envelope.owner);
        batch.envelope.message_type == MessageType::Data
            && self.options.own_log_group.as_deref() == Some(&batch.envelope.log_group)
            && same_account
    }
}
