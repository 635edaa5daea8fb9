//! Promise 2 under random schedules of faults: ledgers balance, no mark is missing, items arrive with the changes of the rules,
//! and each duplicate is explained by an ambiguous or returned request, or by a delivery that the schedule repeated or killed.
//!
//! One seed determines a schedule: the stack, the functions' lines and their fate on the way, the events, the faults of backends
//! and queues, and Lambda's kills and retries. It runs in one process on a paused clock. `cargo xtask chaos` runs more schedules
//! than the test (`NO_LOSS_SCHEDULES=100000`), or one seed (`NO_LOSS_SEED=17`). A failing schedule is repeated without those
//! faults and sources that it does not need to fail. A run of 10,000 schedules also checks that it met every fault and feature.
//!
//! Other tests prove what needs no faults: `rules` the effects of rules, `deliveries` what lines become.

mod backend;
mod census;
mod checks;
mod cloud;
mod current;
mod hostile;
mod items;
mod lambda;
mod log_stream;
mod marks;
mod queue;
mod schedule;
mod setup;
mod telemetry;

use census::Census;
use cloud::{Cloud, QueueName, Shared, Unit, UnitId};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join, join_all};
use lambda::{Environment, Record, VISIBILITY_TIMEOUT};
pub(crate) use queue::Network;
use queue::Store;
use schedule::{Random, Schedule};
use settings::Source as _;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use telemetry::Maker;
use tokio::time::{Instant, sleep, sleep_until};

/// Runs one schedule. Returns what it met, and its violations.
fn run(schedule: &Schedule) -> (Census, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut random = Random::new(schedule.luck);
        let content = Random::new(random.next());
        let cloud = Shared(Arc::new(Mutex::new(Cloud::new(schedule.clone(), random))));
        live(&cloud, schedule, Maker::new(content, schedule)).await;
        let mut cloud = cloud.lock();
        if !cloud.violations.is_empty() && number("NO_LOSS_SEED").is_some() {
            print_all("unit", &cloud.units);
            print_all("invocation", &cloud.invocations);
            print_all("request", &cloud.requests);
        }
        let Cloud { census, violations, .. } = &mut *cloud;
        (std::mem::take(census), std::mem::take(violations))
    })
}

fn print_all<T: fmt::Debug>(what: &str, all: &[T]) {
    all.iter().enumerate().for_each(|(number, one)| println!("{what} {number}: {one:?}"));
}

async fn live(cloud: &Shared, schedule: &Schedule, mut maker: Maker) {
    let begin = Instant::now();
    let retry = Store::new(QueueName::Retry, VISIBILITY_TIMEOUT);
    let dead_letters = Store::new(QueueName::DeadLetters, VISIBILITY_TIMEOUT);
    let environment = || {
        let retry = schedule.has_retry_queue.then_some(&retry);
        let dead_letters = schedule.has_dead_letter_queue.then_some(&dead_letters);
        Environment::new(cloud, retry, dead_letters)
    };
    let forwarders = [environment(), environment(), environment()];
    let redrivers = [environment(), environment()];
    let mut sources: Vec<BoxFuture<'_, ()>> = Vec::new();
    for (number, seed) in schedule.sources.iter().enumerate() {
        maker.random = Random::new(*seed);
        let first = number % forwarders.len();
        let late = maker.random.time(Duration::from_mins(20));
        let start = if maker.random.percent(50) { late / 20 } else { late };
        maker.start = start;
        sources.extend(source(cloud, &forwarders, first, start, schedule, &retry, &mut maker));
    }
    cloud.lock().census.add(&maker.census);
    let done = AtomicBool::new(false);
    let all = async {
        join_all(sources).await;
        sleep_until(begin + schedule.healed).await;
        if schedule.redrives_on_failure && schedule.has_retry_queue {
            lambda::redrive_on_failure(cloud, &retry);
        }
        done.store(true, Ordering::Relaxed);
    };
    let redriving = join_all(redrivers.iter().map(|it| lambda::consume(it, &retry, begin, &done)));
    // Unlike tokio's `join!`, this `join` always polls in the same order.
    join(all, redriving).await;
    let waiting: Vec<UnitId> = retry.units.lock().unwrap().values().copied().collect();
    let mut cloud = cloud.lock();
    cloud.check_end(&waiting);
}

fn source<'a>(
    cloud: &Shared,
    forwarders: &'a [Environment],
    first: usize,
    start: Duration,
    schedule: &Schedule,
    retry: &Store,
    maker: &mut Maker,
) -> Vec<BoxFuture<'a, ()>> {
    let environment = &forwarders[first];
    vec![match maker.random.below(if schedule.has_retry_queue { 14 } else { 12 }) {
        kind @ 0..9 => {
            let is_stream = kind >= 5;
            let events = if is_stream { maker.log_stream() } else { vec![maker.subscription()] };
            let deliver = |(event, unit)| -> BoxFuture<'a, ()> {
                let unit = add(&mut cloud.lock(), maker, unit);
                // The deliveries of a stream go to any environment, in any order.
                let environment = maker.random.pick(forwarders);
                let delay = if is_stream { Duration::from_mins(5) } else { Duration::ZERO };
                let start = start + maker.random.time(delay);
                let event: String = event;
                let first = lambda::deliver_event(environment, start, event.clone(), unit);
                if maker.random.percent(schedule.duplicates_percent / 4) {
                    // A concurrent second delivery.
                    cloud.lock().units[unit].deliveries += 1;
                    let second = lambda::deliver_event(environment, start, event, unit);
                    return Box::pin(join(first, second).map(drop));
                }
                Box::pin(first)
            };
            return events.into_iter().map(deliver).collect();
        }
        9..12 => {
            let records = (0..maker.random.between(1, 4)).map(|_| {
                let (sequence_number, json, unit) = maker.kinesis_record();
                let unit = add(&mut cloud.lock(), maker, unit);
                Record { sequence_number, json, unit }
            });
            let records = records.collect();
            Box::pin(lambda::deliver_records(environment, start, records))
        }
        _ => {
            let (body, unit) = maker.message();
            let unit = add(&mut cloud.lock(), maker, unit);
            let retry = retry.clone();
            Box::pin(async move {
                sleep(start).await;
                retry.put(body, unit);
            })
        }
    }]
}

fn add(cloud: &mut Cloud, maker: &mut Maker, unit: Unit) -> UnitId {
    let permille = cloud.schedule.poison_permille;
    let items = unit.marks.iter().filter(|mark| marks::is_item(mark));
    let poisoned = items.filter(|_| maker.random.below(1000) < permille);
    cloud.poison.extend(poisoned.cloned());
    cloud.add_unit(unit)
}

/// Runs in seconds; `cargo xtask ci --long` and `cargo xtask chaos` run more.
const SCHEDULES: u64 = 200;

/// This many schedules meet every fault and feature.
const VARIED: usize = 10_000;

const MAX_FAILURES: usize = 3;

const THREADS: usize = 4;

fn number(variable: &str) -> Option<u64> {
    settings::Env.get(variable).map(|text| text.parse().expect("a number"))
}

fn schedule(seed: u64) -> Schedule {
    Schedule::new(&mut Random::new(seed))
}

/// Removes each fault and source without which the schedule still fails.
fn shrink(mut schedule: Schedule, mut violations: Vec<String>) -> (Schedule, Vec<String>) {
    let sources = schedule.sources.len();
    let phases = schedule.phases.len();
    let mut attempt = |simplify: &dyn Fn(&mut Schedule)| {
        let mut simpler = schedule.clone();
        simplify(&mut simpler);
        let (_, found) = run(&simpler);
        if !found.is_empty() {
            (schedule, violations) = (simpler, found);
        }
    };
    (0..sources).rev().for_each(|at| attempt(&|simpler| _ = simpler.sources.remove(at)));
    (0..phases).rev().for_each(|at| attempt(&|simpler| _ = simpler.phases.remove(at)));
    attempt(&|simpler| simpler.duplicates_percent = 0);
    attempt(&|simpler| simpler.poison_permille = 0);
    attempt(&|simpler| simpler.old_percent = 0);
    (schedule, violations)
}

#[test]
fn no_item_is_lost() {
    let seeds = match number("NO_LOSS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("NO_LOSS_SCHEDULES").unwrap_or(SCHEDULES),
    };
    let seeds = Mutex::new(seeds);
    let sum = Mutex::new((0, Census::default(), Vec::new()));
    let next = || seeds.lock().unwrap().next();
    let work = || {
        while let Some(seed) = next() {
            let (met, violations) = run(&schedule(seed));
            let failure = (!violations.is_empty()).then(|| {
                let (schedule, violations) = shrink(schedule(seed), violations);
                format!("seed {seed}:\n  {}\n{schedule:#?}", violations.join("\n  "))
            });
            let mut sum = sum.lock().unwrap();
            let (schedules, census, failures) = &mut *sum;
            *schedules += 1;
            census.add(&met);
            failures.extend(failure);
            if failures.len() >= MAX_FAILURES {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        (0..THREADS).for_each(|_| _ = scope.spawn(work));
    });
    let (schedules, census, failures) = sum.into_inner().unwrap();
    println!("{schedules} schedules\n{census}");
    assert!(failures.is_empty(), "{schedules} schedules ran\n{}", failures.join("\n"));
    if schedules >= VARIED {
        census.check(schedules);
    }
}

#[test]
fn equal_seeds_produce_equal_runs() {
    for seed in 0..5 {
        let schedule = schedule(seed);
        assert_eq!(format!("{:?}", run(&schedule)), format!("{:?}", run(&schedule)), "seed {seed}");
    }
}
