//! Lambda, as far as delivery depends on it: environments that die, and retries.
//!
//! Source: Lambda Developer Guide, "Error handling and retries" of asynchronous invocations, of Kinesis and of SQS event sources.
//! The numbers come from `template.yaml`.

use super::backend::{Backend, Sender};
use super::cloud::{End, Shared, UnitId};
use super::current::Current;
use super::marks;
use super::queue::Store;
use super::schedule::Fault;
use super::setup::{DEFAULT, DestinationId};
use super::telemetry::{OWN_LOG_GROUP, on_failure_record};
use crate::memory_queue::MemoryQueue;
use crate::support::variables;
use ::backend::{Client, DestinationConfig};
use futures_util::FutureExt as _;
use lambda_otlp_forwarder::{
    Config, Destination, Event, Forwarder, InvocationContext, Options, Queues, answer,
    default_destination,
};
use local_lambda::queue::MAX_MESSAGE_BYTES;
use serde_json::Value;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// Pauses before the retries of an asynchronous invocation.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(2)];

/// `MaximumRetryAttempts` of the Kinesis event source.
const KINESIS_RETRIES: u32 = 5;

/// `VisibilityTimeout` of the retry queue.
pub(crate) const VISIBILITY_TIMEOUT: Duration = Duration::from_mins(12);

/// Time in which the queue drains after the last fault. More means that something is stuck. If a fifth of the records is refused and
/// an invocation has three seconds, few attempts last long enough to find the refused ones: one schedule in 100,000 needs more.
const LONGEST_DRAIN: Duration = Duration::from_hours(3);

/// No schedule ends earlier with messages in its queue. Later the first items would be too old for OpenObserve.
const EARLIEST_END: Duration = Duration::from_mins(295);

/// The longest pause between two polls of an empty queue.
const POLL_PAUSE: Duration = Duration::from_secs(10);

type OurForwarder = Forwarder<Sender, MemoryQueue>;

/// An environment of the function. It runs one invocation at a time, and is a new process after a kill.
pub(crate) struct Environment {
    current: Current,
    queues: Queues<MemoryQueue>,
    process: Mutex<Option<OurForwarder>>,
}

/// The units of an event, each with its identifier in a partial response.
pub(crate) struct Batch {
    parts: Vec<(String, UnitId)>,
    /// `true` for the records of a shard, which come again from the first failed one on.
    is_shard: bool,
}

impl Batch {
    fn units(&self) -> Vec<UnitId> {
        self.parts.iter().map(|(_, unit)| *unit).collect()
    }

    /// The units that come again after this response. An unknown identifier makes all fail.
    fn failed(&self, identifiers: &[&str]) -> Vec<UnitId> {
        let position = |id: &&str| self.parts.iter().position(|(own, _)| own == id);
        let Some(failed) = identifiers.iter().map(position).collect::<Option<Vec<_>>>() else {
            return self.units();
        };
        match failed.iter().min() {
            Some(first) if self.is_shard => self.units()[*first..].to_vec(),
            _ => failed.into_iter().map(|position| self.parts[position].1).collect(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) sequence_number: String,
    pub(crate) json: String,
    pub(crate) unit: UnitId,
}

/// The configuration from the variables, which is the same for all schedules.
static CONFIG: LazyLock<Config> =
    LazyLock::new(|| Config::from_source(&variables("http://127.0.0.1:9/api/o", &[])).0.unwrap());

impl Environment {
    pub(crate) fn new(cloud: &Shared, retry: Option<&Store>, dead_letters: Option<&Store>) -> Self {
        let current = Current::new(cloud);
        let queue = |store: &Store| store.reached_by(current.with_own_chance());
        let queues = Queues { retry: retry.map(queue), dead_letters: dead_letters.map(queue) };
        Self { current, queues, process: Mutex::default() }
    }

    fn start(&self) -> OurForwarder {
        let mut config = CONFIG.clone();
        let schedule = self.current.cloud().schedule.clone();
        config.own_log_groups.push(OWN_LOG_GROUP.to_owned());
        config.old_records.old_records = schedule.setup.old_records;
        let common = &mut config.destination;
        common.compression = schedule.compression;
        common.request_timeout = schedule.request_timeout;
        common.max_request_bytes = schedule.max_request_bytes;
        let export = self.export(DEFAULT, &config.destination);
        let mut destinations = vec![default_destination(&config, export)];
        // Created from the rules, as in `handler`.
        let rules = schedule.setup.rules();
        for rule in rules.destinations() {
            let rule_config = DestinationConfig {
                profile: rule.profile,
                stream: None,
                ..config.destination.clone()
            };
            let export = self.export(marks::destination(&rule.name), &rule_config);
            let policy = config.old_records.for_profile(rule.profile);
            let destination = Destination::new(&rule.name, export, &rule_config, policy);
            destinations.push(Arc::new(destination.with_stream(rule.stream.clone())));
        }
        let mut options = Options::of(&config);
        options.enough_to_deliver = schedule.enough_to_deliver;
        options.kept_bytes = schedule.kept_bytes;
        options.source.batch_bytes = schedule.batch_bytes;
        let mut forwarder = Forwarder::new(Vec::new(), self.queues.clone(), options);
        forwarder.set_rules(rules, destinations);
        forwarder
    }

    fn export(&self, id: DestinationId, destination: &DestinationConfig) -> Sender {
        let seed = self.current.random().next();
        let current = self.current.clone();
        let backend = Backend { destination: id, current: current.clone() };
        let client = Client::with_transport(destination, backend).unwrap().with_seeded_waits(seed);
        Sender { client, current }
    }

    fn draws(&self, is: fn(&Fault) -> bool) -> bool {
        self.current.draw(|fault| is(fault).then_some(())).is_some()
    }

    /// Waits until Lambda does not throttle the function. A throttled asynchronous invocation is no failed attempt.
    async fn admit(&self) {
        while self.draws(|fault| matches!(fault, Fault::Throttle)) {
            self.current.cloud().census.met("throttled");
            sleep(Duration::from_secs(30)).await;
        }
    }

    /// Invokes the function and returns the units that come again.
    async fn invoke(&self, event: &str, batch: &Batch) -> Vec<UnitId> {
        let mut process = self.process.lock().await;
        let forwarder = process.get_or_insert_with(|| self.start());
        self.current.wait(Duration::ZERO).await;
        let units = batch.units();
        let is_killed = self.draws(|fault| matches!(fault, Fault::Kill));
        let (id, limit, observed_unix_nano) = {
            let mut cloud = self.current.cloud();
            (cloud.begin_invocation(&units), cloud.schedule.timeout, cloud.unix_nano())
        };
        let killed_after = is_killed.then(|| {
            let mut random = self.current.random();
            let most = *random.pick(&[Duration::from_millis(80), limit / 10, limit]);
            random.time(most)
        });
        self.current.set(id);
        // As in `invocation`.
        let begin = Instant::now();
        let time = limit.saturating_sub(Duration::from_millis(500));
        let invocation = InvocationContext {
            observed_unix_nano,
            deadline: begin + time.saturating_sub(Duration::from_secs(3).min(time / 4)),
            queue_deadline: begin + time,
            account: Some("123456789012".to_owned()),
        };
        let event: Event = serde_json::from_str(event).unwrap();
        let forwarding =
            timeout(killed_after.unwrap_or(limit), forwarder.forward(event, &invocation));
        // As in the runtime: the environment survives, and the invocation fails.
        let ended = AssertUnwindSafe(forwarding).catch_unwind().await;
        let report = match ended {
            Ok(Ok(report)) => report,
            Ok(Err(_)) => {
                *process = None;
                let mut cloud = self.current.cloud();
                cloud.killed(id);
                if killed_after.is_none() {
                    let late = "did not end before the function's timeout";
                    cloud.violated(format!("invocation {id} {late}"));
                }
                return units;
            }
            Err(_) => {
                self.current.cloud().invocations[id].end = End::Killed;
                return units;
            }
        };
        let failed = match answer(&report) {
            Err(_) => units,
            Ok(response) => {
                let response = serde_json::to_value(response).unwrap();
                batch.failed(&identifiers(&response))
            }
        };
        self.current.cloud().returned(id, &report, failed.clone());
        failed
    }
}

fn identifiers(response: &Value) -> Vec<&str> {
    let failures = response["batchItemFailures"].as_array().into_iter().flatten();
    failures.map(|failure| failure["itemIdentifier"].as_str().unwrap()).collect()
}

/// Delivers a subscription's event by asynchronous invocation.
pub(crate) async fn deliver_event(
    environment: &Environment,
    start: Duration,
    event: String,
    unit: UnitId,
) {
    sleep(start).await;
    environment.admit().await;
    let batch = Batch { parts: vec![(String::new(), unit)], is_shard: false };
    loop {
        let mut pauses = RETRY_PAUSES.into_iter();
        while !environment.invoke(&event, &batch).await.is_empty() {
            let Some(pause) = pauses.next() else {
                environment.current.cloud().on_failure.push((event, vec![unit]));
                return;
            };
            sleep(pause).await;
            environment.admit().await;
        }
        if !deliver_again(environment, &[unit]) {
            return;
        }
        sleep(Duration::from_secs(2)).await;
    }
}

/// Returns `true` if delivered units are delivered once more (at-least-once delivery).
fn deliver_again(environment: &Environment, units: &[UnitId]) -> bool {
    let mut cloud = environment.current.cloud();
    let has_bad_luck = environment.current.random().percent(cloud.schedule.duplicates_percent);
    let again = has_bad_luck && cloud.now() < cloud.schedule.healed;
    if again {
        for unit in units {
            cloud.units[*unit].deliveries += 1;
        }
    }
    again
}

/// Delivers a shard's records, with partial responses and bisecting.
pub(crate) async fn deliver_records(
    environment: &Environment,
    start: Duration,
    records: Vec<Record>,
) {
    sleep(start).await;
    loop {
        let mut batches = vec![(records.clone(), 0)];
        while let Some((mut batch, retries)) = batches.pop() {
            let event = kinesis_event(&batch);
            let part = |record: &Record| (record.sequence_number.clone(), record.unit);
            let parts = batch.iter().map(part).collect();
            let failed = environment.invoke(&event, &Batch { parts, is_shard: true }).await;
            if failed.is_empty() {
                continue;
            }
            sleep(Duration::from_secs(1 << retries.min(6))).await;
            if failed.len() == batch.len() && batch.len() > 1 {
                // Bisecting does not count as a retry.
                let second = batch.split_off(batch.len() / 2);
                batches.extend([(second, retries), (batch, retries)]);
                continue;
            }
            let rest = batch.split_off(batch.len() - failed.len());
            if retries < KINESIS_RETRIES {
                batches.push((rest, retries + 1));
            } else {
                environment.current.cloud().on_failure.push((kinesis_event(&rest), failed));
            }
        }
        let units: Vec<_> = records.iter().map(|record| record.unit).collect();
        if !deliver_again(environment, &units) {
            return;
        }
    }
}

fn kinesis_event(records: &[Record]) -> String {
    let records: Vec<_> = records.iter().map(|record| record.json.as_str()).collect();
    format!(r#"{{"Records":[{}]}}"#, records.join(","))
}

/// Polls the retry queue until it is empty after `done`.
pub(crate) async fn consume(
    environment: &Environment,
    store: &Store,
    begin: Instant,
    done: &AtomicBool,
) {
    let (most, healed) = {
        let cloud = environment.current.cloud();
        (cloud.schedule.queue_batch, cloud.schedule.healed)
    };
    let end = (healed + LONGEST_DRAIN).max(EARLIEST_END);
    loop {
        environment.current.wait(Duration::ZERO).await;
        let is_done = done.load(Ordering::Relaxed);
        // Without a dead-letter queue a message may come again for ever, and park further ones each time.
        if is_done && begin.elapsed() > end {
            return;
        }
        let received = store.queue.receive(most);
        if received.is_empty() {
            let next = store.queue.next_visible_in();
            if is_done && next.is_none() {
                return;
            }
            sleep(next.map_or(POLL_PAUSE, |next| next.min(POLL_PAUSE))).await;
            continue;
        }
        let event = store.queue.lambda_event(&received).to_string();
        let parts = received.iter().map(|message| {
            let unit = store.units.lock().unwrap()[&message.message_id];
            (message.message_id.clone(), unit)
        });
        let batch = Batch { parts: parts.collect(), is_shard: false };
        let failed = environment.invoke(&event, &batch).await;
        for (message, (id, unit)) in received.iter().zip(&batch.parts) {
            // Lambda may fail to delete a message, which then comes again.
            if !failed.contains(unit) && !deliver_again(environment, &[*unit]) {
                store.queue.delete(&message.receipt_handle).expect("its receipt is the newest");
                store.units.lock().unwrap().remove(id);
            }
        }
    }
}

/// Moves events from the on-failure store to the retry queue.
pub(crate) fn redrive_on_failure(cloud: &Shared, store: &Store) {
    let records = std::mem::take(&mut cloud.lock().on_failure);
    for (event, units) in records {
        let record = on_failure_record(&event);
        let mut cloud = cloud.lock();
        // The command line would divide it, or leave it there.
        if record.len() > MAX_MESSAGE_BYTES {
            cloud.on_failure.push((event, units));
            continue;
        }
        let all = cloud.union(&units);
        let unit = cloud.add_unit(all);
        store.put(record, unit);
    }
}
