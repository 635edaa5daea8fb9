//! The faults and their times, derived from one seed.

use super::cloud::QueueName;
use super::setup::{DestinationId, Setup};
use backend::Compression;
use lambda_otlp_forwarder::SourceLimits;
use std::time::Duration;

/// A period with a fault; times count from the start of the schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    from: Duration,
    to: Duration,
    fault: Fault,
    percent: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// `None` stands for one of [`PASSING`], drawn for each request.
    Backend(DestinationId, Option<BackendFault>),
    /// `None` stands for one of [`QUEUE_FAULTS`], drawn for each request.
    Queue(QueueName, Option<QueueFault>),
    /// Environments die at a random time during an invocation.
    Kill,
    Panic(Panic),
    /// Lambda refuses to invoke the function, and tries again later.
    Throttle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BackendFault {
    /// Refuses the request with this status and text.
    Refuses(u16, &'static str),
    /// Refuses it with this status and `Retry-After`.
    Busy(u16, Option<u64>),
    /// Stores it or not, and answers with this status and text, which do not tell.
    Vague(u16, &'static str),
    /// OpenObserve's answers to a failed write: `0a 00` for logs, 400 for traces, 500 for metrics.
    NothingWritten,
    Rejections,
    TooLarge {
        max_bytes: usize,
    },
    ResetBeforeBody,
    ResetAfterBody,
    Slow {
        seconds: u64,
    },
    Hang,
}

/// OpenObserve's answer to a wrong password.
const UNAUTHORIZED: BackendFault = BackendFault::Refuses(401, "Unauthorized Access");
const BAD_REQUEST: BackendFault = BackendFault::Refuses(400, "Bad Request");

pub(crate) const PASSING: &[BackendFault] = &[
    BackendFault::Busy(429, None),
    BackendFault::Busy(429, Some(1)),
    BackendFault::Busy(429, Some(3)),
    BackendFault::Busy(429, Some(90)),
    BackendFault::Vague(500, "oops"),
    BackendFault::Vague(502, "bad gateway"),
    BackendFault::Busy(503, None),
    BackendFault::Busy(503, Some(2)),
    BackendFault::NothingWritten,
    BackendFault::Rejections,
    BAD_REQUEST,
    UNAUTHORIZED,
    BackendFault::ResetBeforeBody,
    BackendFault::ResetAfterBody,
    BackendFault::Slow { seconds: 1 },
    BackendFault::Slow { seconds: 8 },
    BackendFault::Hang,
    BackendFault::Vague(200, "<html>"),
    BackendFault::Vague(200, r#"{"code":503,"message":"Error# MemoryTableOverflowError"}"#),
];

const LASTING: &[BackendFault] = &[
    UNAUTHORIZED,
    BackendFault::Refuses(403, "Forbidden"),
    BackendFault::Refuses(404, "Organization not found"),
    BAD_REQUEST,
    BackendFault::TooLarge { max_bytes: 300 },
    BackendFault::TooLarge { max_bytes: 1000 },
    BackendFault::Slow { seconds: 8 },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueFault {
    Refuses,
    RefusesSome,
    /// Takes some messages and answers for those only.
    AnswersForSome,
    /// Drops the messages without an answer.
    Loses,
    /// Accepts the messages without an answer.
    Swallows,
    Hangs,
}

pub(crate) const QUEUE_FAULTS: &[QueueFault] = &[
    QueueFault::Refuses,
    QueueFault::RefusesSome,
    QueueFault::AnswersForSome,
    QueueFault::Loses,
    QueueFault::Swallows,
    QueueFault::Hangs,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Panic {
    Before,
    /// After the backend has stored the request.
    After,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a stack has each of these parts or not")]
pub(crate) struct Schedule {
    pub(crate) setup: Setup,
    pub(crate) has_retry_queue: bool,
    pub(crate) has_dead_letter_queue: bool,
    pub(crate) compression: Compression,
    pub(crate) request_timeout: Duration,
    pub(crate) max_request_bytes: usize,
    pub(crate) enough_to_deliver: usize,
    pub(crate) kept_bytes: usize,
    pub(crate) batch_bytes: usize,
    /// `true` if events have many small objects, which give more than two batches.
    pub(crate) has_many_batches: bool,
    pub(crate) timeout: Duration,
    pub(crate) queue_batch: usize,
    pub(crate) phases: Vec<Phase>,
    /// Percentage of handled events that Lambda and SQS deliver again.
    pub(crate) duplicates_percent: usize,
    /// Items in 1,000 that the backend rejects with 400, or [crashes](Self::poison_crashes) on.
    pub(crate) poison_permille: usize,
    /// Percentage of log events and items with old or future times.
    pub(crate) old_percent: usize,
    /// A seed for each source of telemetry.
    pub(crate) sources: Vec<u64>,
    /// The seed of all decisions during the run.
    pub(crate) luck: u64,
    /// End of all faults.
    pub(crate) healed: Duration,
    /// `true` if an operator then moves the on-failure store's records to the retry queue.
    pub(crate) redrives_on_failure: bool,
}

const HOUR: Duration = Duration::from_hours(1);

const SHORTEST_TIMEOUT: Duration = Duration::from_secs(3);

impl Schedule {
    /// Returns `true` if the backend closes the connection on a poisoned item: in half of the schedules.
    pub(crate) fn poison_crashes(&self) -> bool {
        self.luck % 2 == 1
    }

    pub(crate) fn new(random: &mut Random) -> Self {
        let timeouts = [SHORTEST_TIMEOUT.as_secs(), 6, 15, 30, 60, 120];
        let max_request_bytes = *random.pick(&[600, 2000, 20_000, 4 << 20]);
        let mut schedule = Self {
            setup: Setup::new(random),
            has_retry_queue: random.percent(93),
            has_dead_letter_queue: random.percent(90),
            compression: if random.percent(4) { Compression::Gzip } else { Compression::None },
            request_timeout: Duration::from_secs(*random.pick(&[2, 10, 30])),
            max_request_bytes,
            enough_to_deliver: *random.pick(&[1, 800, 3000, 2 << 20]),
            kept_bytes: *random.pick(&[0, 8 << 20]),
            batch_bytes: SourceLimits::default().batch_bytes,
            has_many_batches: random.percent(8),
            timeout: Duration::from_secs(*random.pick(&timeouts)),
            queue_batch: *random.pick(&[1, 1, 1, 3]),
            phases: Vec::new(),
            duplicates_percent: *random.pick(&[0, 0, 5, 20]),
            poison_permille: *random.pick(&[0, 0, 1, 20, 60, 200]),
            old_percent: *random.pick(&[0, 3, 3, 30]),
            sources: Vec::new(),
            luck: 0,
            healed: Duration::ZERO,
            redrives_on_failure: random.percent(60),
        };
        for destination in 0..schedule.setup.destinations() {
            schedule.add(random, 3, &[10, 60, 300, 900, 3600], |random| {
                let fault = match random.below(10) {
                    0..5 => None,
                    5..7 => Some(*random.pick(LASTING)),
                    _ => Some(*random.pick(PASSING)),
                };
                Fault::Backend(destination, fault)
            });
        }
        for queue in [QueueName::Retry, QueueName::DeadLetters] {
            if random.percent(30) {
                schedule.add(random, 2, SHORT, |random| {
                    let is_any = random.percent(50);
                    let fault = (!is_any).then(|| *random.pick(QUEUE_FAULTS));
                    Fault::Queue(queue, fault)
                });
            }
        }
        if random.percent(45) {
            schedule.add(random, 2, SHORT, |_| Fault::Kill);
        }
        if random.percent(15) {
            schedule.add(random, 2, SHORT, |random| {
                Fault::Panic(*random.pick(&[Panic::Before, Panic::After]))
            });
        }
        if random.percent(20) {
            schedule.add(random, 2, SHORT, |_| Fault::Throttle);
        }
        if schedule.has_many_batches {
            schedule.enough_to_deliver = *random.pick(&[1, 1, 300]);
            if random.percent(40) {
                schedule.batch_bytes = *random.pick(&[1, 200]);
            }
        }
        // The forwarder delivers 2 MiB at once. Within three seconds a function that delivers item by item would never reach the
        // end of the event, even without faults.
        if schedule.timeout <= SHORTEST_TIMEOUT {
            schedule.enough_to_deliver = schedule.enough_to_deliver.max(300);
        }
        schedule.sources = (0..random.between(1, 4)).map(|_| random.next()).collect();
        schedule.luck = random.next();
        let last = schedule.phases.iter().map(|phase| phase.to).max().unwrap_or_default();
        schedule.healed = last + Duration::from_secs(1);
        schedule
    }

    /// Adds up to `most` phases of these lengths within two hours; they may overlap.
    fn add(
        &mut self,
        random: &mut Random,
        most: usize,
        seconds: &[u64],
        mut fault: impl FnMut(&mut Random) -> Fault,
    ) {
        for _ in 0..random.between(0, most) {
            let from = if random.percent(50) { Duration::ZERO } else { random.time(HOUR / 4) };
            let to = from + Duration::from_secs(*random.pick(seconds));
            let percent = *random.pick(&[15, 40, 80, 100]);
            self.phases.push(Phase { from, to, fault: fault(random), percent });
        }
    }

    /// Draws a fault of this kind for a request at this time.
    pub(crate) fn draw<F>(
        &self,
        now: Duration,
        random: &mut Random,
        of: impl Fn(&Fault) -> Option<F>,
    ) -> Option<F> {
        let mut current = self.phases.iter().filter(|phase| phase.from <= now && now < phase.to);
        current.find_map(|phase| of(&phase.fault).filter(|_| random.percent(phase.percent)))
    }
}

/// In seconds. Longer phases only repeat the same.
const SHORT: &[u64] = &[10, 60, 300, 900];

#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Similar seeds give different sequences.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// A number from `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most - least + 1)
    }

    /// `true` in `percent` of 100 cases.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A time of up to `most`, in milliseconds.
    pub(crate) fn time(&mut self, most: Duration) -> Duration {
        Duration::from_millis(self.next() % (u64::try_from(most.as_millis()).unwrap() + 1))
    }
}
