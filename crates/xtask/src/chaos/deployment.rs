//! Functions with the layer, their log, the forwarder, its retry queue and a backend, and the faults that happen to
//! them.

use crate::checks;
use anyhow::{Context as _, bail};
use fastrand::Rng;
use local_lambda::binaries::{self, EXTENSION};
use local_lambda::queue::{Queue, QueueResponse, QueueServer};
use local_lambda::{FunctionSpec, Invocation, InvocationResult, Lambda, LogEvent, lock};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use test_support::openobserve::{FakeOpenObserve, Faults, ScriptedResponse};
use tokio::time::sleep;

const FORWARDER: &str = "forwarder";
/// In direct mode: only its spilled lines go to the forwarder.
pub(super) const DIRECT: &str = "direct";
/// Names of the functions. Each has one environment, because environments share this machine's loopback.
pub(super) const FUNCTIONS: [&str; 3] = ["standard", "compact", DIRECT];
const ACTIONS: [&str; 9] =
    ["ok", "ok", "ok", "ok", "error", "bad_gateway", "panic", "timeout", "exit"];
/// Each invocation gives its items numbers of its own, of which it has this many.
pub(super) const NUMBERS_OF_INVOCATION: i64 = 1000;
/// The limit of messages that a queue returns at once.
const MAX_MESSAGES: usize = 10;
/// Rounds in which everything that waits must arrive, once nothing fails.
const MAX_ROUNDS: usize = 50;

/// How log events and messages are delivered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DeliveryMode {
    /// Some parts are late, out of order or repeated.
    Faulty,
    /// Everything, once.
    Reliable,
}

pub(super) struct Deployment {
    pub(super) lambda: Lambda,
    pub(super) fake: FakeOpenObserve,
    queue: QueueServer,
    /// The list of items that the functions write.
    pub(super) ledger: PathBuf,
    /// Log events that were not delivered yet.
    waiting: Arc<Mutex<Vec<LogEvent>>>,
    /// The log events of each asynchronous invocation of the forwarder.
    deliveries: RefCell<HashMap<String, Vec<String>>>,
    /// Ids of log events that the forwarder got more than once, or whose items a queue delivered more than once.
    repeated: RefCell<HashSet<String>>,
    /// When the backend may answer again.
    down_until: Cell<Instant>,
    /// On-failure records that were delivered again.
    redriven: Cell<usize>,
    pub(super) faults: RefCell<BTreeMap<&'static str, u32>>,
    /// The requests that were answered while direct mode's extension was stopped. Its time for the answer may have ended meanwhile.
    pub(super) late: RefCell<HashSet<usize>>,
    /// The first numbers of the invocations whose process was killed, or left by itself.
    pub(super) killed: RefCell<HashSet<i64>>,
    _scratch: TempDir,
}

impl Deployment {
    pub(super) async fn start(programs: &HashMap<String, PathBuf>) -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        let layer = checks::layer(scratch.path(), programs)?;
        let ledger = scratch.path().join("ledger");
        let fake = FakeOpenObserve::start().await?;
        let queue = QueueServer::start(Queue::new("retry")).await?;
        let lambda = Lambda::start().await?;
        let forwarder =
            FunctionSpec::new(FORWARDER, binaries::find(programs, "lambda-otlp-forwarder")?)
                .timeout(Duration::from_secs(30))
                .max_environments(4)
                .env("LAMBDA_OTLP_ENDPOINT", fake.base())
                .env("LAMBDA_OTLP_RETRY_QUEUE_URL", queue.queue_url())
                .env("LAMBDA_OTLP_VITALS", "emf")
                .env("AWS_ENDPOINT_URL_SQS", queue.endpoint());
        lambda.create_function(forwarder)?;
        for name in FUNCTIONS {
            let mut function = FunctionSpec::new(name, binaries::find(programs, "demo-function")?)
                .timeout(Duration::from_secs(2))
                .max_environments(1)
                .layer(&layer)
                .env("DEMO_LEDGER", ledger.to_string_lossy())
                .env("OTEL_LAMBDA_RECEIVER_PORT", local_lambda::free_port().to_string());
            match name {
                DIRECT => {
                    function = function
                        .env("LAMBDA_OTLP_ENDPOINT", fake.base())
                        .env("LAMBDA_OTLP_OUTPUT", "otlp");
                }
                "compact" => function = function.env("LAMBDA_OTLP_LINE", "compact"),
                _ => {}
            }
            lambda.create_function(function)?;
        }
        let waiting: Arc<Mutex<Vec<LogEvent>>> = Arc::default();
        let new_events = Arc::clone(&waiting);
        lambda.observe_logs(move |event| {
            let is_subscribed = match event.function() {
                FORWARDER => false,
                DIRECT => event.message.contains("\"spill\":true"),
                _ => true,
            };
            if is_subscribed {
                lock(&new_events).push(event.clone());
            }
        });
        Ok(Self {
            lambda,
            fake,
            queue,
            ledger,
            waiting,
            deliveries: RefCell::default(),
            repeated: RefCell::default(),
            down_until: Cell::new(Instant::now()),
            redriven: Cell::new(0),
            faults: RefCell::default(),
            late: RefCell::default(),
            killed: RefCell::default(),
            _scratch: scratch,
        })
    }

    /// Invokes a function several times, and notes which invocations may have lost what they had not written.
    pub(super) async fn invoke(&self, index: usize, mut random: Rng) -> anyhow::Result<()> {
        let Some(name) = FUNCTIONS.get(index) else { return Ok(()) };
        for invocation in 0..random.usize(10..=25) {
            let first = i64::try_from(100 * (index + 1) + invocation)? * NUMBERS_OF_INVOCATION;
            let action = random.choice(ACTIONS).unwrap_or("ok");
            let order = json!({
                "action": action, "first_number": first, "children": random.usize(..40), "logs": random.usize(..6),
            });
            let Invocation { result, .. } = self.lambda.invoke(name, order.to_string()).await?;
            let is_killed = match &result {
                InvocationResult::Crash { .. } => true,
                InvocationResult::FunctionError { error_type, .. } => {
                    error_type.starts_with("Extension.")
                }
                _ => false,
            };
            if is_killed {
                self.killed.borrow_mut().insert(first);
            }
            self.count(match result {
                InvocationResult::Timeout => "timeout of a function",
                InvocationResult::Crash { .. } => "end of a function's process",
                InvocationResult::FunctionError { .. } if is_killed => "failed extension",
                InvocationResult::FunctionError { .. } => "error of a function",
                InvocationResult::Response(_) => "response of a function",
            });
            sleep(Duration::from_millis(random.u64(..150))).await;
        }
        Ok(())
    }

    /// Lets one fault happen.
    pub(super) async fn fault(&self, random: &mut Rng) -> anyhow::Result<()> {
        let name = random.choice(FUNCTIONS).unwrap_or(DIRECT);
        let lambda = &self.lambda;
        let (fault, is_done) = match random.usize(..13) {
            0 => ("function out of memory", lambda.exhaust_memory(name) > 0),
            1 | 2 => ("forwarder killed", lambda.exhaust_memory(FORWARDER) > 0),
            // In direct mode, telemetry in the extension's memory ends with it, as documented.
            3 if name != DIRECT => ("extension killed", lambda.kill_extension(name, EXTENSION) > 0),
            4 => {
                let stopped = lambda.stop_extension(name, EXTENSION);
                let running = self.running_requests();
                let begun = self.fake.requests().len();
                sleep(Duration::from_millis(random.u64(..400))).await;
                lambda.continue_extension(name, EXTENSION);
                if name == DIRECT && stopped > 0 {
                    let mut late = self.late.borrow_mut();
                    late.extend(running);
                    late.extend(begun..self.fake.requests().len());
                }
                ("extension stopped for a while", stopped > 0)
            }
            5 => ("environment shut down", lambda.recycle(name).await? > 0),
            6 if name != DIRECT => {
                ("environment never thawed again", lambda.kill_idle(name).await? > 0)
            }
            7 => ("forwarder's environments ended", lambda.kill_idle(FORWARDER).await? > 0),
            8 => {
                let failing = [
                    QueueResponse::refuse(403, "AccessDeniedException"),
                    QueueResponse::refuse(500, "InternalFailure"),
                    QueueResponse::refuse(400, "RequestThrottled"),
                    QueueResponse::DropRequest,
                ];
                self.queue.queue().script(random.choice(failing));
                ("queue refuses or is silent", true)
            }
            9 | 10 if Instant::now() > self.down_until.get() => {
                let delay = Duration::from_millis(random.u64(..800));
                let slow = ScriptedResponse::Delayed(delay, Box::new(ScriptedResponse::Ok));
                let kinds = Faults::transient().into_iter().chain([slow.clone(), slow]);
                let probability = random.choice([0.1, 0.5]).unwrap_or(1.0);
                self.fake.inject(Faults::seeded(random.u64(..), probability).among(kinds));
                ("backend fails or is slow", true)
            }
            11 if Instant::now() > self.down_until.get() => {
                let down = [ScriptedResponse::Status(503), ScriptedResponse::CloseBeforeBody];
                self.fake.inject(Faults::seeded(random.u64(..), 1.0).among(down));
                self.down_until.set(Instant::now() + Duration::from_millis(random.u64(1000..6000)));
                ("backend down for seconds", true)
            }
            _ => {
                if Instant::now() > self.down_until.get() {
                    self.fake.heal();
                }
                ("", false)
            }
        };
        if is_done {
            self.count(fault);
        }
        Ok(())
    }

    /// The requests that the backend has not answered yet.
    fn running_requests(&self) -> Vec<usize> {
        let requests = self.fake.requests().into_iter().enumerate();
        requests.filter(|(_, request)| request.status.is_none()).map(|(index, _)| index).collect()
    }

    /// Delivers the new log events of each stream in parts.
    pub(super) fn deliver(&self, random: &mut Rng, mode: DeliveryMode) -> anyhow::Result<()> {
        let mut streams: BTreeMap<Arc<str>, Vec<LogEvent>> = BTreeMap::new();
        for event in std::mem::take(&mut *lock(&self.waiting)) {
            streams.entry(Arc::clone(&event.log_stream)).or_default().push(event);
        }
        for mut events in streams.into_values() {
            while !events.is_empty() {
                let part: Vec<_> = events.drain(..random.usize(1..=events.len())).collect();
                let times = match random.usize(..10) {
                    0 | 1 if mode == DeliveryMode::Faulty => 0,
                    2 => 2,
                    _ => 1,
                };
                for _ in 0..times {
                    let ids: Vec<String> = part.iter().map(|event| event.id.clone()).collect();
                    for request_id in self.lambda.deliver(FORWARDER, &part)? {
                        self.deliveries.borrow_mut().insert(request_id, ids.clone());
                    }
                    if times > 1 {
                        self.repeated.borrow_mut().extend(ids);
                    }
                }
                if times == 0 {
                    self.count("log events delivered late");
                    lock(&self.waiting).extend(part);
                } else if times > 1 {
                    self.count("log events delivered twice");
                }
            }
        }
        Ok(())
    }

    /// Delivers messages of the retry queue like Lambda's event source mapping, and returns their number. In the faulty mode, some of them
    /// stay in the queue after their success.
    pub(super) async fn redrive(
        &self,
        random: &mut Rng,
        mode: DeliveryMode,
    ) -> anyhow::Result<usize> {
        let queue = self.queue.queue();
        let messages = queue.receive(random.usize(1..=MAX_MESSAGES));
        if messages.is_empty() {
            return Ok(0);
        }
        let event = queue.lambda_event(&messages).to_string();
        let invocation = self.lambda.invoke(FORWARDER, event).await?;
        let answer: Option<Value> =
            invocation.response().and_then(|answer| serde_json::from_slice(answer).ok());
        let failures =
            answer.as_ref().and_then(|answer| answer.pointer("/batchItemFailures")?.as_array());
        for message in &messages {
            self.count("message of the retry queue");
            let is_among = |failures: &Vec<Value>| {
                let mut ids =
                    failures.iter().filter_map(|failure| failure.get("itemIdentifier")?.as_str());
                ids.any(|id| id == message.message_id)
            };
            // `None` if the invocation failed.
            let is_failed = failures.map(is_among);
            // A message that became visible again meanwhile has another receipt.
            let is_deleted = is_failed == Some(false)
                && (mode == DeliveryMode::Reliable || random.usize(..20) > 0)
                && queue.delete(&message.receipt_handle).is_ok();
            if !is_deleted {
                self.count(match is_failed {
                    // The backend may have accepted a part of it.
                    Some(true) => "message returned",
                    Some(false) => "message delivered twice",
                    None => "redrive failed",
                });
                self.repeat_events_of(&message.body)?;
            }
        }
        Ok(messages.len())
    }

    /// Notes that the log events of a message are delivered again.
    fn repeat_events_of(&self, message: &str) -> anyhow::Result<()> {
        let json: Value = serde_json::from_str(message).context("a message is not JSON")?;
        let text =
            |pointer: &str| json.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let stream = text("/origin/stream");
        let first = text("/origin/first_event_id");
        let last = text("/origin/last_event_id");
        for name in FUNCTIONS {
            let events = self.lambda.log_events(name).into_iter();
            let of_message = events.filter(|event| {
                &*event.log_stream == stream && (first..=last).contains(&event.id.as_str())
            });
            self.repeated.borrow_mut().extend(of_message.map(|event| event.id));
        }
        Ok(())
    }

    /// Ends all faults, and delivers what waits until nothing waits any more.
    pub(super) async fn settle(&self, random: &mut Rng) -> anyhow::Result<()> {
        self.fake.heal();
        self.lambda.wait_for_async_invocations().await;
        self.lambda.wait_for_invocations().await;
        for name in FUNCTIONS {
            self.lambda.recycle(name).await?;
        }
        // New environments try the backend at once.
        self.lambda.recycle(FORWARDER).await?;
        for _ in 0..MAX_ROUNDS {
            self.deliver(random, DeliveryMode::Reliable)?;
            self.lambda.wait_for_async_invocations().await;
            let failed = self.lambda.on_failure_records();
            for record in failed.iter().skip(self.redriven.replace(failed.len())) {
                let events = self.deliveries.borrow().get(&record.request_id).cloned();
                let request_id =
                    self.lambda.invoke_async(FORWARDER, record.request_payload.to_string())?;
                self.deliveries.borrow_mut().insert(request_id, events.unwrap_or_default());
                self.count("event in the on-failure bucket");
            }
            self.lambda.wait_for_async_invocations().await;
            self.queue.queue().reveal();
            while self.redrive(random, DeliveryMode::Reliable).await? > 0 {}
            let is_empty = lock(&self.waiting).is_empty();
            let is_redriven = self.lambda.on_failure_records().len() == self.redriven.get();
            if is_empty && is_redriven && self.queue.queue().is_empty() {
                return Ok(());
            }
        }
        let waiting = self.queue.queue().len();
        bail!("after {MAX_ROUNDS} rounds without faults, {waiting} messages wait")
    }

    /// The ids of the log events whose items may arrive several times: those of `repeated`, and those of failed invocations.
    pub(super) fn possibly_repeated(&self) -> HashSet<String> {
        let mut repeated = self.repeated.borrow().clone();
        let deliveries = self.deliveries.borrow();
        // Lambda repeats a failed asynchronous invocation.
        let failed =
            self.lambda.invocations(FORWARDER).into_iter().filter(|ended| !ended.is_success());
        let events = failed.filter_map(|failed| deliveries.get(&failed.request_id));
        repeated.extend(events.flatten().cloned());
        repeated
    }

    /// The forwarder's log, for a failed run.
    pub(super) fn log_of_forwarder(&self) -> String {
        self.lambda.log_events(FORWARDER).into_iter().map(|event| event.message).collect()
    }

    fn count(&self, fault: &'static str) {
        *self.faults.borrow_mut().entry(fault).or_default() += 1;
    }
}
