//! The loop of a replay: read, group by stream, forward, save the checkpoint.

use crate::aws::{deadline, explain};
use crate::forward::{invocation_at, print_problems};
use crate::log_events::{GatheredEvents, StreamEvents, delivery_event};
use crate::progress::Tally;
use crate::replay::plan::{Checkpoint, slices};
use ::aws::{CloudWatchLogs, LogSearch, Page};
use anyhow::Context as _;
use forwarder::{Export, Forwarder, Ledger};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use subscriber::FilteredLogEvent;
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
    pub(crate) progress: Tally,
}

#[derive(Debug)]
pub(crate) struct ReplayResult {
    pub(crate) ledger: Ledger,
    /// Bytes of the log events.
    pub(crate) bytes: usize,
    pub(crate) requests: usize,
    pub(crate) checkpoint: Checkpoint,
    /// Everything was forwarded, and nothing was returned.
    pub(crate) is_complete: bool,
}

impl Replay<'_> {
    /// Replays the events of the pages that `read_page` returns, from the checkpoint on. Stops when the pipeline returns telemetry,
    /// because the rest would be returned too.
    pub(crate) async fn run<E: Export>(
        &self,
        read_page: impl AsyncFn(Range<i64>, Option<String>) -> anyhow::Result<Page<FilteredLogEvent>>,
        forwarder: &Forwarder<E>,
        checkpoint: Checkpoint,
    ) -> anyhow::Result<ReplayResult> {
        let to_ms = checkpoint.to_ms;
        let from_ms = checkpoint.done_before_ms;
        self.progress.set_total(seconds(to_ms - from_ms));
        let mut run = ReplayRun {
            replay: self,
            read_page,
            forwarder,
            gathered: GatheredEvents::default(),
            next_at: Instant::now(),
            replayed: ReplayResult {
                ledger: Ledger::default(),
                bytes: 0,
                requests: 0,
                checkpoint,
                is_complete: true,
            },
        };
        // Fails before anything is sent if the file cannot be written.
        self.save(&run.replayed)?;
        for slice in slices(from_ms, to_ms) {
            if self.stop.load(Ordering::Relaxed) {
                run.replayed.is_complete = false;
                break;
            }
            let end = slice.end;
            run.forward_slice(slice).await?;
            if !run.replayed.is_complete {
                break;
            }
            let done_ms = if end == to_ms { to_ms } else { end - LINE_MS };
            let checkpoint = &mut run.replayed.checkpoint;
            checkpoint.done_before_ms = done_ms.max(checkpoint.done_before_ms);
            self.progress.set_done(seconds(checkpoint.done_before_ms - from_ms));
            self.save(&run.replayed)?;
        }
        Ok(run.replayed)
    }

    fn save(&self, replayed: &ReplayResult) -> anyhow::Result<()> {
        self.checkpoint_file.map_or(Ok(()), |path| replayed.checkpoint.save(path))
    }
}

/// The state of a replay that runs.
struct ReplayRun<'a, E: Export, P> {
    replay: &'a Replay<'a>,
    /// Reads a page of the events in a slice.
    read_page: P,
    forwarder: &'a Forwarder<E>,
    /// The events that were read and not yet forwarded.
    gathered: GatheredEvents,
    /// The time at which `--rate` permits the next events.
    next_at: Instant,
    replayed: ReplayResult,
}

impl<E, P> ReplayRun<'_, E, P>
where
    E: Export,
    P: AsyncFn(Range<i64>, Option<String>) -> anyhow::Result<Page<FilteredLogEvent>>,
{
    /// Forwards the events of a slice. Those of its last second wait for the next slice, unless this is the last one: a line that
    /// began before the end of the slice may continue there.
    async fn forward_slice(&mut self, slice: Range<i64>) -> anyhow::Result<()> {
        let is_last_slice = slice.end == self.replayed.checkpoint.to_ms;
        let mut next = None;
        loop {
            let page = match (self.read_page)(slice.clone(), next).await {
                Ok(page) => page,
                // The report tells where to continue.
                Err(error) => {
                    eprintln!("lambda-otlp: {error:#}");
                    self.replayed.is_complete = false;
                    return Ok(());
                }
            };
            page.items.into_iter().for_each(|event| self.gathered.add(event));
            next = page.next;
            let is_last_page = next.is_none();
            let before_ms = match (is_last_page, is_last_slice) {
                (true, true) => i64::MAX,
                (true, false) => slice.end - LINE_MS,
                (false, _) => self.gathered.newest_ms() - LINE_MS,
            };
            if is_last_page || self.gathered.bytes() >= ENOUGH_BYTES {
                for events in self.gathered.take_before(before_ms) {
                    self.pace(events.events.len()).await;
                    self.forward(events).await?;
                }
            }
            if is_last_page || !self.replayed.is_complete {
                return Ok(());
            }
        }
    }

    /// Waits until `--rate` permits this number of events.
    async fn pace(&mut self, events: usize) {
        let Some(rate) = self.replay.rate.filter(|rate| *rate > 0) else { return };
        tokio::time::sleep_until(self.next_at).await;
        let count = u32::try_from(events).unwrap_or(u32::MAX);
        self.next_at = Instant::now() + Duration::from_secs(1).saturating_mul(count) / rate;
    }

    async fn forward(&mut self, events: StreamEvents) -> anyhow::Result<()> {
        let ReplayResult { ledger, bytes, requests, checkpoint, is_complete } = &mut self.replayed;
        *bytes += events.events.iter().map(|event| event.message.len()).sum::<usize>();
        let event = delivery_event(&self.replay.account, &checkpoint.log_group, &events)?;
        let invocation = invocation_at(self.replay.observed_unix_nano);
        let report = self.forwarder.forward(event, &invocation).await;
        print_problems(&format_args!("{} {}", checkpoint.log_group, events.stream), &report);
        *requests += report.requests_sent;
        *is_complete &= report.is_complete();
        *ledger += report.ledgers.total;
        Ok(())
    }
}

fn seconds(millis: i64) -> usize {
    usize::try_from(millis / 1000).unwrap_or_default()
}

/// Returns a page of a log group's events in this slice, each stream's in order.
pub(crate) async fn read_page(
    client: &CloudWatchLogs,
    log_group: &str,
    slice: Range<i64>,
    next: Option<String>,
) -> anyhow::Result<Page<FilteredLogEvent>> {
    let search = LogSearch { from_ms: slice.start, before_ms: Some(slice.end), pattern: None };
    let page = client.log_events(log_group, search, next, deadline()).await;
    page.map_err(|error| explain(error.cause()))
        .with_context(|| format!("cannot read log group {log_group}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use backend::{Fate, Outcome, Reason};
    use console::time_arguments::TimeArgument;
    use forwarder::{Config, IngestPolicy, Queues, SqsQueue};
    use std::collections::HashMap;
    use std::sync::Mutex;
    use wire::{Logs, Request};

    const MINUTE: i64 = 60_000;

    /// Log events of two streams, one for each second of the range, in pages of 50.
    fn seconds_of(range: Range<i64>, next: Option<String>) -> Page<FilteredLogEvent> {
        let start = next.map_or(range.start, |next| next.parse().unwrap());
        let event = |timestamp_ms: i64| FilteredLogEvent {
            id: timestamp_ms.to_string(),
            log_stream: format!("stream{}", timestamp_ms / 1000 % 2),
            timestamp_ms,
            message: format!("line {timestamp_ms}"),
            ..FilteredLogEvent::default()
        };
        let seconds = (start..range.end).filter(|ms| ms % 1000 == 0);
        let events: Vec<_> = seconds.take(50).map(event).collect();
        let last = events.last().map_or(range.end, |event| event.timestamp_ms + 1);
        let next = (events.len() == 50).then(|| last.to_string());
        Page { items: events, next }
    }

    /// Accepts a limited number of requests.
    #[derive(Default)]
    struct Backend {
        times: Mutex<Vec<u64>>,
        takes: usize,
    }

    impl Export for &Backend {
        async fn export(&self, _: Option<&str>, request: Request, _: Instant) -> Outcome {
            let mut times = self.times.lock().unwrap();
            if times.len() >= self.takes {
                return Outcome::unsent(request, Reason::Deadline, Fate::Park);
            }
            let decoded = request.decode::<Logs>().unwrap().unwrap();
            let scopes = decoded.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
            times.extend(scopes.flat_map(|scope| scope.log_records).map(|r| r.time_unix_nano));
            Outcome { accepted: request.items(), ..Outcome::default() }
        }
    }

    /// Replays until the credentials expire at this time.
    async fn replay_until(
        end_ms: i64,
        backend: &Backend,
        checkpoint: Checkpoint,
        checkpoint_file: Option<&Path>,
    ) -> anyhow::Result<ReplayResult> {
        let endpoint = ("LAMBDA_OTLP_ENDPOINT".to_owned(), "http://127.0.0.1/".to_owned());
        let mut config = Config::from_source(&HashMap::from([endpoint])).0.unwrap();
        config.old_records = IngestPolicy::any_time();
        let destination = forwarder::default_destination(&config, backend);
        let options = forwarder::Options::of(&config);
        let forwarder = Forwarder::new(vec![destination], Queues::<SqsQueue>::default(), options);
        let replay = Replay {
            account: String::new(),
            checkpoint_file,
            rate: None,
            observed_unix_nano: 1,
            stop: Arc::default(),
            progress: Tally::new(),
        };
        let page = async |range: Range<i64>, next| {
            anyhow::ensure!(range.start < end_ms, "the credentials have expired");
            Ok(seconds_of(range, next))
        };
        replay.run(page, &forwarder, checkpoint).await
    }

    fn whole_seconds(from: i64, to: i64) -> Vec<u64> {
        (from..to)
            .filter(|ms| ms % 1000 == 0)
            .map(|ms| u64::try_from(ms).unwrap() * 1_000_000)
            .collect()
    }

    #[tokio::test]
    async fn every_log_event_of_the_range_is_forwarded_once() {
        let backend = Backend { takes: usize::MAX, ..Backend::default() };
        let checkpoint = Checkpoint::new("/g", MINUTE, 6 * MINUTE + 500).unwrap();
        let replayed = replay_until(i64::MAX, &backend, checkpoint, None).await.unwrap();
        let mut times = backend.times.into_inner().unwrap();
        times.sort_unstable();
        assert_eq!(times, whole_seconds(MINUTE, 6 * MINUTE + 500));
        assert!(replayed.is_complete);
        assert_eq!(replayed.ledger.accepted, times.len());
        assert_eq!(replayed.checkpoint.done_before_ms, 6 * MINUTE + 500);
    }

    #[tokio::test]
    async fn a_resumed_replay_forwards_the_remaining_log_events() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("checkpoint");
        let checkpoint = || Checkpoint::new("/g", 0, 6 * MINUTE).unwrap();
        let broken = Backend { takes: 100, ..Backend::default() };
        let replayed = replay_until(i64::MAX, &broken, checkpoint(), Some(&file)).await.unwrap();
        assert!(!replayed.is_complete);
        assert!(replayed.ledger.returned > 0);

        let backend = Backend { takes: usize::MAX, ..Backend::default() };
        let resumed = checkpoint().resume(&file, [TimeArgument::NOW; 2]).unwrap();
        assert_eq!(resumed, replayed.checkpoint);
        assert!(resumed.done_before_ms > 0, "the first slices were delivered");
        let replayed =
            replay_until(i64::MAX, &backend, resumed.clone(), Some(&file)).await.unwrap();
        assert!(replayed.is_complete);
        let (first, second) =
            (broken.times.into_inner().unwrap(), backend.times.into_inner().unwrap());
        let mut all: Vec<u64> = first.iter().chain(&second).copied().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all, whole_seconds(0, 6 * MINUTE));
        let done = u64::try_from(resumed.done_before_ms).unwrap() * 1_000_000;
        assert!(second.iter().all(|time| *time >= done), "what was done is not sent again");
    }

    #[tokio::test]
    async fn a_replay_that_can_read_no_more_reports_its_progress() {
        let backend = Backend { takes: usize::MAX, ..Backend::default() };
        let checkpoint = || Checkpoint::new("/g", 0, 6 * MINUTE).unwrap();
        let replayed = replay_until(3 * MINUTE, &backend, checkpoint(), None).await.unwrap();
        assert!(!replayed.is_complete);
        assert_eq!(replayed.checkpoint.done_before_ms, 3 * MINUTE - LINE_MS);
        let sent = backend.times.lock().unwrap().len();
        assert_eq!(replayed.ledger.accepted, sent);
        // Nothing is sent without a checkpoint.
        let file = Some(Path::new("/dev/null/checkpoint"));
        assert!(replay_until(i64::MAX, &backend, checkpoint(), file).await.is_err());
        assert_eq!(backend.times.lock().unwrap().len(), sent);
    }
}
