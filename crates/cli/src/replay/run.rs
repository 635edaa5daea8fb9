//! The loop of a replay: read, group by stream, forward, save the checkpoint.

use crate::aws::explain;
use crate::forward::{invocation_at, print_problems};
use crate::log_events::{Gathered, StreamEvents, delivered, log_event};
use crate::progress::Tally;
use crate::replay::plan::{Checkpoint, slices};
use ::aws::Page;
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
pub(crate) struct Replayed {
    pub(crate) ledger: Ledger,
    /// Bytes of the log events.
    pub(crate) bytes: usize,
    pub(crate) requests: usize,
    pub(crate) checkpoint: Checkpoint,
    /// Everything was forwarded, and nothing was returned.
    pub(crate) is_complete: bool,
}

impl Replay<'_> {
    /// Replays from the checkpoint the events of these pages. Stops when the pipeline returns telemetry, because the rest would be
    /// returned too.
    pub(crate) async fn run<E: Export>(
        &self,
        page: impl AsyncFn(Range<i64>, Option<String>) -> anyhow::Result<Page<FilteredLogEvent>>,
        forwarder: &Forwarder<E>,
        checkpoint: Checkpoint,
    ) -> anyhow::Result<Replayed> {
        let to_ms = checkpoint.to_ms;
        let from_ms = checkpoint.done_before_ms;
        self.progress.set_total(seconds(to_ms - from_ms));
        let ledger = Ledger::default();
        let mut replayed =
            Replayed { ledger, bytes: 0, requests: 0, checkpoint, is_complete: true };
        let mut gathered = Gathered::default();
        let mut next_at = Instant::now();
        // Fails before anything is sent if the file cannot be written.
        self.save(&replayed)?;
        for slice in slices(replayed.checkpoint.done_before_ms, to_ms) {
            let end = slice.end;
            if self.stop.load(Ordering::Relaxed) {
                replayed.is_complete = false;
                break;
            }
            let mut next = None;
            loop {
                let page = match page(slice.clone(), next).await {
                    // The report tells where to continue.
                    Err(error) => {
                        eprintln!("lambda-otlp: {error:#}");
                        replayed.is_complete = false;
                        break;
                    }
                    Ok(page) => page,
                };
                page.items.into_iter().for_each(|event| gathered.add(event));
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
                        self.pace(&mut next_at, events.events.len()).await;
                        self.forward(forwarder, events, &mut replayed).await?;
                    }
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
            self.progress.set_done(seconds(replayed.checkpoint.done_before_ms - from_ms));
        }
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
        forwarder: &Forwarder<E>,
        events: StreamEvents,
        replayed: &mut Replayed,
    ) -> anyhow::Result<()> {
        let Replayed { ledger, bytes, requests, checkpoint, is_complete } = replayed;
        *bytes += events.events.iter().map(|event| event.message.len()).sum::<usize>();
        let event = delivered(&self.account, &checkpoint.log_group, &events)?;
        let invocation = invocation_at(self.observed_unix_nano);
        let report = forwarder.forward(event, &invocation).await;
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
pub(crate) async fn page(
    client: &aws_sdk_cloudwatchlogs::Client,
    log_group: &str,
    slice: Range<i64>,
    next: Option<String>,
) -> anyhow::Result<Page<FilteredLogEvent>> {
    let request = client
        .filter_log_events()
        .log_group_name(log_group)
        .start_time(slice.start)
        // AWS includes the end of the range.
        .end_time(slice.end - 1)
        .set_next_token(next);
    let output = request
        .send()
        .await
        .map_err(|error| explain(&error))
        .with_context(|| format!("cannot read log group {log_group}"))?;
    let items = output.events.unwrap_or_default().into_iter().map(log_event).collect();
    Ok(Page { items, next: output.next_token })
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
    ) -> anyhow::Result<Replayed> {
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
