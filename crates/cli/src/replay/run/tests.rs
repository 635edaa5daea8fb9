use super::super::history::Page;
use super::*;
use backend::{Fate, Outcome, Reason};
use console::time_arguments::TimeArgument;
use forwarder::{IngestPolicy, LogEvent, Queues};
use std::sync::Mutex;
use wire::{Logs, Request};

const MINUTE: i64 = 60_000;

/// Log events of two streams, one for each second of the range, in pages of 50.
struct Seconds;

impl History for Seconds {
    async fn page(&mut self, from: i64, to: i64, next: Option<String>) -> anyhow::Result<Page> {
        let start = next.map_or(from, |next| next.parse().unwrap());
        let seconds = (start..to).filter(|ms| ms % 1000 == 0);
        let event = |timestamp_ms: i64| {
            let message = format!("line {timestamp_ms}");
            let event = LogEvent { id: timestamp_ms.to_string(), timestamp_ms, message };
            (format!("stream{}", timestamp_ms / 1000 % 2), event)
        };
        let events: Vec<_> = seconds.take(50).map(event).collect();
        let last = events.last().map_or(to, |(_, event)| event.timestamp_ms + 1);
        Ok(Page { next: (events.len() == 50).then(|| last.to_string()), events })
    }
}

/// Like [`Seconds`], until a time.
struct Until(i64);

impl History for Until {
    async fn page(&mut self, from: i64, to: i64, next: Option<String>) -> anyhow::Result<Page> {
        anyhow::ensure!(from < self.0, "the credentials have expired");
        Seconds.page(from, to, next).await
    }
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

async fn replay(backend: &Backend, checkpoint: Checkpoint, file: Option<&Path>) -> Replayed {
    replay_of(&mut Seconds, backend, checkpoint, file).await.unwrap()
}

async fn replay_of<H: History>(
    history: &mut H,
    backend: &Backend,
    checkpoint: Checkpoint,
    file: Option<&Path>,
) -> anyhow::Result<Replayed> {
    let variables = std::collections::HashMap::from([(
        "LAMBDA_OTLP_ENDPOINT".to_owned(),
        "http://127.0.0.1/".to_owned(),
    )]);
    let mut config = forwarder::Config::from_source(&variables).0.unwrap();
    config.old_records = IngestPolicy::any_time();
    let destination = forwarder::default_destination(&config, backend);
    let options = forwarder::Options::of(&config);
    let forwarder = Forwarder::new(vec![destination], Queues::<NoQueue>::default(), options);
    let replay = Replay {
        account: "123456789012".to_owned(),
        checkpoint_file: file,
        rate: None,
        observed_unix_nano: 1,
        stop: Arc::default(),
    };
    replay.run(history, &forwarder, checkpoint, &Progress::default()).await
}

fn seconds(from: i64, to: i64) -> Vec<u64> {
    (from..to)
        .filter(|ms| ms % 1000 == 0)
        .map(|ms| u64::try_from(ms).unwrap() * 1_000_000)
        .collect()
}

#[tokio::test]
async fn every_log_event_of_the_range_is_forwarded_once() {
    let backend = Backend { takes: usize::MAX, ..Backend::default() };
    let checkpoint = Checkpoint::new("/g", None, MINUTE, 6 * MINUTE + 500).unwrap();
    let replayed = replay(&backend, checkpoint, None).await;
    let mut times = backend.times.into_inner().unwrap();
    times.sort_unstable();
    assert_eq!(times, seconds(MINUTE, 6 * MINUTE + 500));
    assert!(replayed.is_complete);
    assert_eq!(replayed.ledger.accepted, times.len());
    assert_eq!(replayed.volume.events, times.len());
    assert_eq!(replayed.checkpoint.done_before_ms, 6 * MINUTE + 500);
}

#[tokio::test]
async fn a_resumed_replay_forwards_the_remaining_log_events() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("checkpoint");
    let checkpoint = || Checkpoint::new("/g", None, 0, 6 * MINUTE).unwrap();
    let broken = Backend { takes: 100, ..Backend::default() };
    let replayed = replay(&broken, checkpoint(), Some(&file)).await;
    assert!(!replayed.is_complete);
    assert!(replayed.ledger.returned > 0);

    let backend = Backend { takes: usize::MAX, ..Backend::default() };
    let resumed = checkpoint().resume(&file, [TimeArgument::NOW; 2]).unwrap();
    assert_eq!(resumed, replayed.checkpoint);
    assert!(resumed.done_before_ms > 0, "the first slices were delivered");
    let replayed = replay(&backend, resumed.clone(), Some(&file)).await;
    assert!(replayed.is_complete);
    let (first, second) = (broken.times.into_inner().unwrap(), backend.times.into_inner().unwrap());
    let mut all: Vec<u64> = first.iter().chain(&second).copied().collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, seconds(0, 6 * MINUTE));
    let done = u64::try_from(resumed.done_before_ms).unwrap() * 1_000_000;
    assert!(second.iter().all(|time| *time >= done), "what was done is not sent again");
}

#[tokio::test]
async fn a_replay_that_can_read_no_more_reports_its_progress() {
    let backend = Backend { takes: usize::MAX, ..Backend::default() };
    let checkpoint = || Checkpoint::new("/g", None, 0, 6 * MINUTE).unwrap();
    let replayed = replay_of(&mut Until(3 * MINUTE), &backend, checkpoint(), None).await.unwrap();
    assert!(!replayed.is_complete);
    assert_eq!(replayed.checkpoint.done_before_ms, 3 * MINUTE - LINE_MS);
    assert_eq!(replayed.ledger.accepted, backend.times.lock().unwrap().len());
    // Nothing was done.
    assert!(replay_of(&mut Until(0), &backend, checkpoint(), None).await.is_err());
    let file = Some(Path::new("/dev/null/checkpoint"));
    let sent = backend.times.lock().unwrap().len();
    assert!(replay_of(&mut Seconds, &backend, checkpoint(), file).await.is_err());
    assert_eq!(backend.times.lock().unwrap().len(), sent);
}
