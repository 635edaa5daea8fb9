//! The simulator's queue as one environment reaches it.

use crate::lambda::Current;
use crate::marks;
use crate::schedule::QueueFault;
use crate::world::{QueueName, Shared, UnitId};
use lambda_otlp_forwarder::parking::{Message, Parked, Queue, QueueError};
use simulator::queue::{Answer, Batch, MAX_BATCH, Refusal};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// A queue, and which unit each of its messages is.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) name: QueueName,
    pub(crate) queue: simulator::queue::Queue,
    pub(crate) units: Arc<Mutex<BTreeMap<String, UnitId>>>,
    /// Told when there may be something to receive.
    pub(crate) changed: Arc<Notify>,
}

impl Store {
    pub(crate) fn new(name: QueueName, visibility_timeout: Duration) -> Self {
        let queue = simulator::queue::Queue::new(match name {
            QueueName::Retry => "retry",
            QueueName::DeadLetters => "dead-letters",
        });
        let queue = queue.visibility_timeout(visibility_timeout);
        Self { name, queue, units: Arc::default(), changed: Arc::default() }
    }

    /// A message of the schedule's.
    pub(crate) fn put(&self, body: String, unit: UnitId) {
        let Batch::Answered(results) = self.queue.send_batch(&[body], Duration::ZERO) else {
            panic!("no fault was asked for");
        };
        let id = results.into_iter().next().unwrap().unwrap();
        self.units.lock().unwrap().insert(id, unit);
        self.changed.notify_waiters();
    }
}

/// A queue as one environment reaches it.
#[derive(Clone)]
pub(crate) struct EnvironmentQueue {
    pub(crate) store: Store,
    pub(crate) world: Shared,
    pub(crate) current: Current,
}

impl EnvironmentQueue {
    fn name(&self) -> String {
        self.store.queue.name().to_owned()
    }

    fn refused(&self, refusal: Refusal) -> QueueError {
        QueueError::Refused {
            queue: self.name(),
            code: refusal.code,
            text: refusal.message,
            hint: String::new(),
        }
    }

    fn no_answer(&self) -> QueueError {
        QueueError::NoAnswer { queue: self.name(), text: "scheduled".to_owned(), ambiguous: true }
    }

    fn draw_fault(&self) -> Option<QueueFault> {
        let fault = match self.store.name {
            QueueName::Retry => self.current.draw(&self.world, |schedule| &schedule.retry_queue),
            QueueName::DeadLetters => {
                self.current.draw(&self.world, |schedule| &schedule.dead_letter_queue)
            }
        };
        match fault {
            Some(QueueFault::Any) => Some(QueueFault::any(&mut self.current.random())),
            other => other,
        }
    }

    /// One request of at most ten messages.
    async fn send_batch(
        &self,
        batch: &[String],
        delay: Duration,
        deadline: Instant,
    ) -> Vec<Result<(), QueueError>> {
        self.current.wait(Duration::from_millis(20)).await;
        let refusal = || Refusal::new(503, "ServiceUnavailable", "scheduled");
        let answer = match self.draw_fault() {
            None | Some(QueueFault::Any) => Answer::Take,
            Some(QueueFault::Refuses) => Answer::Refuse(refusal()),
            Some(QueueFault::RefusesSome) => {
                let mut random = self.current.random();
                let refused = (0..batch.len()).filter(|_| random.percent(50)).collect();
                Answer::RefuseEntries(refused, refusal())
            }
            Some(QueueFault::Loses) => Answer::Lose,
            Some(QueueFault::Swallows) => Answer::Swallow,
            Some(QueueFault::Hangs) => Answer::Hang,
        };
        let taken_before = self.store.queue.taken();
        self.store.queue.answer([answer]);
        let sent = self.store.queue.send_batch(batch, delay);
        match sent {
            Batch::Answered(results) => {
                for (body, result) in batch.iter().zip(&results) {
                    if let Ok(id) = result {
                        self.note(body, id, true);
                    }
                }
                self.store.changed.notify_waiters();
                let result = |result: Result<String, Refusal>| result.map(drop);
                results.into_iter().map(|r| result(r).map_err(|no| self.refused(no))).collect()
            }
            Batch::Refused(refusal) => {
                batch.iter().map(|_| Err(self.refused(refusal.clone()))).collect()
            }
            Batch::NoAnswer => {
                let taken = self.store.queue.taken() - taken_before;
                for (number, body) in batch.iter().take(taken).enumerate() {
                    // The simulator numbers its messages.
                    self.note(body, &format!("message-{}", taken_before + number), false);
                }
                self.store.changed.notify_waiters();
                batch.iter().map(|_| Err(self.no_answer())).collect()
            }
            Batch::Hangs => {
                sleep_until(deadline).await;
                batch.iter().map(|_| Err(self.no_answer())).collect()
            }
        }
    }

    fn note(&self, body: &str, id: &str, answered: bool) {
        let parked = Parked::from_body(body).expect("a message of ours");
        let content = (marks::of_parked(&parked), parked.items, parked.partial);
        let by = self.current.get();
        let unit = self.world.lock().sent(by, self.store.name, content, answered);
        self.store.units.lock().unwrap().insert(id.to_owned(), unit);
    }
}

impl Queue for EnvironmentQueue {
    async fn send(
        &self,
        messages: Vec<Message>,
        delay: Duration,
        deadline: Instant,
    ) -> Vec<Result<(), QueueError>> {
        let bodies: Vec<String> = messages.into_iter().map(|message| message.body).collect();
        let mut results = Vec::new();
        for batch in bodies.chunks(MAX_BATCH) {
            if Instant::now() >= deadline {
                let late = || QueueError::Deadline { queue: self.name() };
                results.extend(batch.iter().map(|_| Err(late())));
            } else {
                results.extend(self.send_batch(batch, delay, deadline).await);
            }
        }
        results
    }

    async fn postpone(
        &self,
        receipt_handle: &str,
        delay: Duration,
        deadline: Instant,
    ) -> Result<(), QueueError> {
        self.current.wait(Duration::from_millis(20)).await;
        if Instant::now() >= deadline {
            return Err(QueueError::Deadline { queue: self.name() });
        }
        match self.draw_fault() {
            None | Some(QueueFault::Any) => {}
            Some(QueueFault::Swallows) => {
                drop(self.store.queue.postpone(receipt_handle, delay));
                return Err(self.no_answer());
            }
            Some(QueueFault::Hangs) => {
                sleep_until(deadline).await;
                return Err(self.no_answer());
            }
            Some(QueueFault::Loses) => return Err(self.no_answer()),
            Some(QueueFault::Refuses | QueueFault::RefusesSome) => {
                let refusal = Refusal::new(503, "ServiceUnavailable", "scheduled");
                return Err(self.refused(refusal));
            }
        }
        let result = self.store.queue.postpone(receipt_handle, delay);
        self.store.changed.notify_waiters();
        result.map_err(|refusal| self.refused(refusal))
    }
}
