//! The local Lambda's queue, reached from one environment.

use super::census::fault_name;
use super::cloud::{QueueName, UnitId};
use super::current::Current;
use super::schedule::{Fault, QUEUE_FAULTS, QueueFault};
use crate::memory_queue::MemoryQueue;
use lambda_otlp_forwarder::QueuedTelemetry;
use local_lambda::queue::{BatchResult, PostponeResult, QueueResponse, Refusal};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A queue, and the unit of each of its messages.
#[derive(Clone)]
pub(crate) struct Store {
    name: QueueName,
    pub(crate) queue: local_lambda::queue::Queue,
    pub(crate) units: Arc<Mutex<BTreeMap<String, UnitId>>>,
}

impl Store {
    pub(crate) fn new(name: QueueName, visibility_timeout: Duration) -> Self {
        let queue = local_lambda::queue::Queue::new(&format!("{name:?}"))
            .visibility_timeout(visibility_timeout);
        Self { name, queue, units: Arc::default() }
    }

    pub(crate) fn put(&self, body: String, unit: UnitId) {
        let BatchResult::Answered(results) = self.queue.send_batch(&[body], Duration::ZERO) else {
            panic!("no fault was asked for");
        };
        let id = results.into_iter().next().unwrap().unwrap();
        self.units.lock().unwrap().insert(id, unit);
    }

    /// The queue as seen by this environment.
    pub(crate) fn reached_by(&self, current: Current) -> MemoryQueue {
        let network = Some(Network { store: self.clone(), current });
        MemoryQueue { queue: self.queue.clone(), network }
    }
}

/// The network between an environment and a queue.
#[derive(Clone)]
pub(crate) struct Network {
    store: Store,
    current: Current,
}

impl Network {
    /// Waits, and draws the fault of the next request.
    async fn fault(&self) -> Option<QueueFault> {
        self.current.wait(Duration::from_millis(20)).await;
        let name = self.store.name;
        let fault = self.current.draw(|fault| match fault {
            Fault::Queue(of, fault) if *of == name => Some(*fault),
            _ => None,
        });
        let fault = fault?.unwrap_or_else(|| *self.current.random().pick(QUEUE_FAULTS));
        let mut cloud = self.current.cloud();
        cloud.census.met(&fault_name(&fault));
        cloud.invocations[self.current.get()].queue_faults += 1;
        Some(fault)
    }

    /// Scripts the answer to the next request with this number of messages.
    fn script(&self, fault: Option<QueueFault>, messages: usize) -> QueueResponse {
        let refusal = || Refusal::new(503, "ServiceUnavailable", "scheduled");
        let answer = match fault {
            None | Some(QueueFault::AnswersForSome) => QueueResponse::Take,
            Some(QueueFault::Refuses) => QueueResponse::Refuse(refusal()),
            Some(QueueFault::RefusesSome) => {
                let mut random = self.current.random();
                let refused = (0..messages).filter(|_| random.percent(50)).collect();
                QueueResponse::RefuseEntries(refused, refusal())
            }
            Some(QueueFault::Loses) => QueueResponse::DropRequest,
            Some(QueueFault::Swallows) => QueueResponse::DropAnswer,
            Some(QueueFault::Hangs) => QueueResponse::Hang,
        };
        self.store.queue.script([answer.clone()]);
        answer
    }

    pub(crate) async fn send(&self, mut batch: &[String], delay: Duration) -> BatchResult {
        let fault = self.fault().await;
        if fault == Some(QueueFault::AnswersForSome) {
            // It takes the first messages, and says nothing about the others.
            batch = &batch[..self.current.random().below(batch.len())];
            if batch.is_empty() {
                return BatchResult::Answered(Vec::new());
            }
        }
        self.script(fault, batch.len());
        let queue = &self.store.queue;
        let taken_before = queue.taken();
        let sent = queue.send_batch(batch, delay);
        let ids: Vec<Option<String>> = match &sent {
            BatchResult::Answered(results) => {
                results.iter().map(|result| result.clone().ok()).collect()
            }
            // The local Lambda numbers its messages.
            _ => (taken_before..queue.taken()).map(|id| Some(format!("message-{id}"))).collect(),
        };
        for (body, id) in batch.iter().zip(ids) {
            let Some(id) = id else { continue };
            let parked = QueuedTelemetry::from_body(body).expect("a message of ours");
            let is_answered = sent != BatchResult::NoAnswer;
            let by = self.current.get();
            let unit = self.current.cloud().sent(by, self.store.name, &parked, is_answered);
            self.store.units.lock().unwrap().insert(id, unit);
        }
        sent
    }

    pub(crate) async fn postpone(&self, receipt_handle: &str, delay: Duration) -> PostponeResult {
        let answer = self.script(self.fault().await, 1);
        let result = self.store.queue.postpone(receipt_handle, delay);
        match answer {
            QueueResponse::RefuseEntries(_, refusal) => PostponeResult::Refused(refusal),
            _ => result,
        }
    }
}
