//! Parked telemetry leaves the queue unchanged.

use crate::memory_queue::AtOnce;
use crate::memory_queue::MemoryQueue;
use crate::support::{bodies, logs};
use backend::{Fate, Outcome, Reason};
use lambda_otlp_forwarder::{
    Content, DeadLetter, IngestPolicy, IngestWindow, LogEventRange, MAX_MESSAGE_BYTES, Next,
    OldRecords, Parked, Queue as _, QueueError, Receipt, Remaining, decide,
};
use proptest::prelude::*;
use simulator::queue::{Queue, QueueResponse, ReceivedMessage};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;
use wire::Request;

fn parked(content: Content) -> Parked {
    Parked {
        destination: "default".to_owned(),
        stream: None,
        content,
        items: 1,
        oldest_unix_nano: 0,
        newest_unix_nano: 0,
        first_seen_unix_nano: 1_790_000_000_000_000_000,
        reason: "answered 503 Service Unavailable".to_owned(),
        partial: false,
        log_events: LogEventRange::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_parked_message_round_trips_through_the_queue() {
    let queue = MemoryQueue { queue: Queue::new("retry"), asks: AtOnce };
    let original = parked(Content::Raw(b"content".to_vec()));
    let (messages, _) = original.clone().into_messages(MAX_MESSAGE_BYTES);
    let deadline = Instant::now() + Duration::from_secs(10);
    let delay = Duration::from_secs(30);
    assert_eq!(queue.send(messages.clone(), delay, deadline).await, [Ok(())]);
    tokio::time::advance(delay).await;
    let received = queue.queue.receive(1);
    assert_eq!(Parked::from_body(&received[0].body).unwrap(), original);
    let deadline = Instant::now() + Duration::from_secs(10);
    let handle = &received[0].receipt_handle;
    assert_eq!(queue.postpone(handle, Duration::from_mins(1), deadline).await, Ok(()));
    assert_eq!(queue.queue.next_visible_in(), Some(Duration::from_mins(1)));
    queue.queue.script([QueueResponse::Hang, QueueResponse::refuse(403, "AccessDenied")]);
    assert!(queue.postpone(handle, delay, deadline).await.unwrap_err().is_ambiguous());
    let refused = queue.send(messages.clone(), delay, deadline + delay).await;
    assert!(matches!(&refused[0], Err(QueueError::Refused { code, .. }) if code == "AccessDenied"));
    assert!(matches!(
        queue.send(messages, delay, deadline).await[..],
        [Err(QueueError::Deadline { .. })]
    ));
}

const NOW: u64 = 1_790_000_000_000_000_000;

/// Log records, each with its own mark.
fn marked(marks: std::ops::Range<usize>) -> Request {
    logs(marks.map(|mark| mark.to_string()))
}

fn marks(request: &Request) -> Vec<usize> {
    bodies(request).iter().map(|body| body.parse().unwrap()).collect()
}

#[derive(Clone, Copy, Debug)]
enum Behaviour {
    AcceptAll,
    AcceptHalf,
    AcceptNothing,
    RefuseHalfForGood,
    RefuseAllForGood,
}

fn behaviours() -> impl Strategy<Value = Behaviour> {
    use Behaviour::{AcceptAll, AcceptHalf, AcceptNothing, RefuseAllForGood, RefuseHalfForGood};
    prop::sample::select(vec![
        AcceptAll,
        AcceptHalf,
        AcceptNothing,
        AcceptNothing,
        RefuseHalfForGood,
        RefuseAllForGood,
    ])
}

/// A backend, a queue, and the fate of each mark.
struct World {
    began: Instant,
    queue: MemoryQueue<AtOnce>,
    policy: IngestPolicy,
    accepted: BTreeMap<usize, usize>,
    dead_lettered: BTreeMap<usize, usize>,
    /// Marks whose message had to stay after a part was accepted.
    ambiguous: BTreeSet<usize>,
}

impl World {
    fn new(queue_answers: Vec<QueueResponse>) -> Self {
        let queue = Queue::new("retry");
        queue.script(queue_answers);
        let window = Some(IngestWindow { past: Duration::from_hours(5) });
        Self {
            began: Instant::now(),
            queue: MemoryQueue { queue, asks: AtOnce },
            policy: IngestPolicy { window, old_records: OldRecords::Keep },
            accepted: BTreeMap::new(),
            dead_lettered: BTreeMap::new(),
            ambiguous: BTreeSet::new(),
        }
    }

    fn now_unix_nano(&self) -> u64 {
        NOW + u64::try_from(self.began.elapsed().as_nanos()).unwrap()
    }

    async fn park(
        &self,
        request: Request,
        reason: &str,
        delay: Duration,
    ) -> Result<(), QueueError> {
        let items = request.items();
        let content = Content::Request(request);
        let parked = Parked {
            items,
            first_seen_unix_nano: NOW,
            reason: reason.to_owned(),
            ..parked(content)
        };
        let (messages, too_large) = parked.with_times().into_messages(MAX_MESSAGE_BYTES);
        assert!(too_large.is_empty());
        let deadline = Instant::now() + Duration::from_secs(10);
        self.queue.send(messages, delay, deadline).await.into_iter().collect()
    }

    fn export(&mut self, request: Request, behaviour: Behaviour) -> Outcome {
        let items = request.items();
        let (taken, fate) = match behaviour {
            Behaviour::AcceptAll => (items, Fate::Park),
            Behaviour::AcceptHalf => (items / 2, Fate::Park),
            Behaviour::AcceptNothing => (0, Fate::ParkWithAlarm),
            Behaviour::RefuseHalfForGood => (items / 2, Fate::DeadLetter),
            Behaviour::RefuseAllForGood => (0, Fate::DeadLetter),
        };
        let (first, second) = request.split_at(taken);
        for mark in marks(&first) {
            *self.accepted.entry(mark).or_default() += 1;
        }
        Outcome {
            accepted: taken,
            requests_sent: 1,
            ..Outcome::unsent(second, Reason::Deadline, fate)
        }
    }

    fn put_aside(&mut self, letter: &DeadLetter) {
        for mark in marks(&letter.request) {
            *self.dead_lettered.entry(mark).or_default() += 1;
        }
    }

    async fn redrive(&mut self, message: &ReceivedMessage, behaviour: Behaviour) {
        let parked = Parked::from_body(&message.body).unwrap();
        let Content::Request(request) = parked.content else { panic!("other content") };
        let whole = marks(&request);
        let sorted = self.policy.sort(request, None, self.now_unix_nano());
        if let Some(request) = sorted.keep {
            let items = request.items();
            self.put_aside(&DeadLetter { request, items, reason: String::new(), partial: false });
        }
        let handle = message.receipt_handle.as_str();
        let Some(request) = sorted.send else { return self.queue.queue.delete(handle).unwrap() };
        let outcome = self.export(request, behaviour);
        let receipt = Receipt {
            message_id: &message.message_id,
            receive_count: message.receive_count,
            first_seen_unix_nano: parked.first_seen_unix_nano,
            neighbours_taken: false,
        };
        let decision = decide(outcome, receipt, self.policy, self.now_unix_nano());
        decision.dead_letters.iter().for_each(|letter| self.put_aside(letter));
        match decision.next {
            Next::Done => self.queue.queue.delete(handle).unwrap(),
            Next::ComeAgain { after, .. } => {
                let deadline = Instant::now() + Duration::from_secs(10);
                // If the queue rejects this, the message comes after its visibility timeout.
                drop(self.queue.postpone(handle, after, deadline).await);
            }
            Next::SendRest { rest, delay } => self.send_rest(handle, &whole, rest, delay).await,
        }
    }

    async fn send_rest(
        &mut self,
        handle: &str,
        whole: &[usize],
        rest: Vec<Remaining>,
        delay: Duration,
    ) {
        for Remaining { request, reason, .. } in rest {
            if self.park(request, &reason, delay).await.is_err() {
                self.ambiguous.extend(whole);
                return;
            }
        }
        self.queue.queue.delete(handle).unwrap();
    }

    /// Runs until the queue is empty.
    async fn run(&mut self, script: &[Behaviour]) {
        let mut behaviours = script.iter().copied();
        for _ in 0..10_000 {
            let Some(next) = self.queue.queue.next_visible_in() else { return };
            tokio::time::advance(next).await;
            for message in self.queue.queue.receive(1) {
                // After the script the backend accepts everything.
                let behaviour = behaviours.next().unwrap_or(Behaviour::AcceptNothing);
                self.redrive(&message, behaviour).await;
            }
        }
        panic!("messages for ever");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_unambiguous_record_is_accepted_or_dead_lettered_once(
        sizes in prop::collection::vec(1usize..20, 1..5),
        script in prop::collection::vec(behaviours(), 0..40),
        refusals in prop::collection::vec(prop::option::weighted(0.2, Just(())), 0..40),
    ) {
        let answers = refusals.iter().map(|refused| match refused {
            Some(()) => QueueResponse::refuse(503, "ServiceUnavailable"),
            None => QueueResponse::Take,
        });
        // The first messages are always accepted, because others would be returned to Lambda.
        let answers = std::iter::repeat_n(QueueResponse::Take, sizes.len()).chain(answers).collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (world, count) = runtime.block_on(async {
            let mut world = World::new(answers);
            let mut count = 0;
            for size in &sizes {
                world.park(marked(count..count + size), "down", Duration::ZERO).await.unwrap();
                count += size;
            }
            world.run(&script).await;
            (world, count)
        });
        for mark in 0..count {
            let fates = world.accepted.get(&mark).copied().unwrap_or_default()
                + world.dead_lettered.get(&mark).copied().unwrap_or_default();
            prop_assert!(fates >= 1, "{mark} is lost");
            prop_assert!(fates == 1 || world.ambiguous.contains(&mark), "{mark} has {fates} fates");
        }
    }
}
