//! The loop of a replay: read, group by stream, forward, save the checkpoint.

use crate::forward::{TIME_FOR_EVENT, explain};
use crate::log_events::gathered::{Gathered, StreamEvents, as_delivered};
use crate::progress::Progress;
use crate::replay::history::History;
use crate::replay::plan::{Checkpoint, Volume, slices};
use forwarder::{Export, Forwarder, InvocationContext, Ledger, NoQueue};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The size at which events are forwarded before reading more.
const ENOUGH_BYTES: usize = 8 * 1024 * 1024;
/// The longest pause within a line's pieces or a stack trace.
const LINE_MS: i64 = 1000;

pub(crate) struct Replay<'a> {
    pub(crate) account: String,
    pub(crate) checkpoint_file: Option<&'a Path>,
    pub(crate) rate: Option<u32>,
    pub(crate) observed_unix_nano: u64,
    pub(crate) stop: Arc<AtomicBool>,
}

#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) ledger: Ledger,
    pub(crate) volume: Volume,
    pub(crate) checkpoint: Checkpoint,
    /// Everything was forwarded, and nothing was returned.
    pub(crate) is_complete: bool,
}

impl Replay<'_> {
    /// Replays from the checkpoint. Stops when the pipeline returns telemetry, because the rest would be returned too.
    pub(crate) async fn run<H: History, E: Export>(
        &self,
        history: &mut H,
        forwarder: &Forwarder<E, NoQueue>,
        checkpoint: Checkpoint,
        progress: &Progress,
    ) -> anyhow::Result<Replayed> {
        let (from_ms, to_ms) = (checkpoint.from_ms, checkpoint.to_ms);
        let (ledger, volume) = (Ledger::default(), Volume::default());
        let mut replayed = Replayed { ledger, volume, checkpoint, is_complete: true };
        let mut gathered = Gathered::default();
        let mut next_at = Instant::now();
        // Fails before anything is sent if the file cannot be written.
        self.save(&replayed)?;
        for (start, end) in slices(replayed.checkpoint.done_before_ms, to_ms) {
            if self.stop.load(Ordering::Relaxed) {
                replayed.is_complete = false;
                break;
            }
            let mut next = None;
            loop {
                let page = match history.page(start, end, next).await {
                    // The report tells where to continue.
                    Err(error) if replayed.volume.events > 0 => {
                        progress.end();
                        eprintln!("lambda-otlp: {error:#}");
                        replayed.is_complete = false;
                        break;
                    }
                    page => page?,
                };
                for (stream, event) in page.events {
                    gathered.add(stream, event);
                }
                next = page.next;
                let is_last = next.is_none();
                // A line that began before the end of the slice may continue in the next one.
                let cut = match (is_last, end == to_ms) {
                    (true, true) => i64::MAX,
                    (true, false) => end - LINE_MS,
                    (false, _) => gathered.newest_ms() - LINE_MS,
                };
                if is_last || gathered.bytes() >= ENOUGH_BYTES {
                    for events in gathered.take_before(cut) {
                        self.pace(&mut next_at, events.1.len()).await;
                        self.forward(forwarder, events, &mut replayed).await?;
                    }
                    let percent = (cut.min(end) - from_ms).saturating_mul(100) / (to_ms - from_ms);
                    let events = replayed.volume.events;
                    progress.show(format_args!("{:>3}%  {events} log events", percent.max(0)));
                }
                if is_last || !replayed.is_complete {
                    break;
                }
            }
            if !replayed.is_complete {
                break;
            }
            let done = if end == to_ms { to_ms } else { end - LINE_MS };
            replayed.checkpoint.done_before_ms = done.max(replayed.checkpoint.done_before_ms);
            self.save(&replayed)?;
        }
        progress.end();
        Ok(replayed)
    }

    fn save(&self, replayed: &Replayed) -> anyhow::Result<()> {
        self.checkpoint_file.map_or(Ok(()), |path| replayed.checkpoint.save(path))
    }

    async fn pace(&self, next_at: &mut Instant, events: usize) {
        let Some(rate) = self.rate.filter(|rate| *rate > 0) else { return };
        tokio::time::sleep_until(*next_at).await;
        let count = u32::try_from(events).unwrap_or(u32::MAX);
        *next_at = Instant::now() + Duration::from_secs(1).saturating_mul(count) / rate;
    }

    async fn forward<E: Export>(
        &self,
        forwarder: &Forwarder<E, NoQueue>,
        (stream, events): StreamEvents,
        replayed: &mut Replayed,
    ) -> anyhow::Result<()> {
        let Replayed { ledger, volume, checkpoint, is_complete } = replayed;
        volume.events += events.len();
        volume.bytes += events.iter().map(|event| event.message.len()).sum::<usize>();
        let event = as_delivered(&self.account, &checkpoint.log_group, &stream, &events)?;
        let deadline = Instant::now() + TIME_FOR_EVENT;
        let invocation = InvocationContext {
            observed_unix_nano: self.observed_unix_nano,
            deadline,
            queue_deadline: deadline,
            account: None,
        };
        let report = forwarder.forward(event, &invocation).await;
        explain(&format_args!("{} {stream}", checkpoint.log_group), &report);
        volume.requests += report.requests_sent;
        volume.bytes_sent += report.bytes_sent;
        *is_complete &= report.is_complete();
        *ledger += report.account.total;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
