//! Promise 2 under random schedules of faults: ledgers balance, no mark is missing, items arrive with the changes of the rules,
//! and each duplicate is explained by an ambiguous or returned request, or by a delivery that the schedule repeated or killed.
//!
//! One seed determines a schedule: the stack, the events, the faults of backends, queues and secret service, and Lambda's kills
//! and retries. It runs in one process on a paused clock. A failure prints its seed. `NO_LOSS_SEED=17 cargo test -p
//! lambda-otlp-forwarder --test scenarios no_loss_property` runs one seed,
//! and `NO_LOSS_SCHEDULES=1000000` that many schedules. Each run checks that it met every fault and feature.

mod backend;
mod census;
mod checks;
mod clock;
mod counts;
mod current;
mod export;
mod items;
mod lambda;
mod marks;
mod queue;
mod random;
mod schedule;
mod setup;
mod telemetry;
mod world;

use census::Census;
use clock::Clock;
use counts::Counts;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join, join_all};
use lambda::{Environment, Record, VISIBILITY_TIMEOUT};
use queue::Store;
use random::Random;
use schedule::Schedule;
use settings::Source as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use telemetry::Maker;
use tokio::time::{Instant, sleep, sleep_until};
use world::{QueueName, Shared, Unit, UnitId, World};

/// Runs one schedule. Returns its counts and its violations.
fn run(seed: u64) -> (Counts, Census, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut random = Random::new(seed);
        let schedule = Schedule::new(&mut random);
        let content = Random::new(random.next());
        let world = Shared::new(schedule.clone(), random);
        live(&world, &schedule, Maker::new(content, &schedule)).await;
        let mut world = world.lock();
        world.counts.schedules = 1;
        if number("NO_LOSS_SEED").is_some() {
            println!("{}", world.story());
        }
        let World { counts, census, violations, .. } = &mut *world;
        (*counts, std::mem::take(census), std::mem::take(violations))
    })
}

async fn live(world: &Shared, schedule: &Schedule, mut maker: Maker) {
    let begin = Instant::now();
    let clock = Clock::default();
    tokio::spawn(clock.clone().run());
    let retry = Store::new(QueueName::Retry, VISIBILITY_TIMEOUT);
    let dead_letters = Store::new(QueueName::DeadLetters, VISIBILITY_TIMEOUT);
    let environment = |slot| {
        let retry = schedule.has_retry_queue.then_some(&retry);
        let dead_letters = schedule.has_dead_letter_queue.then_some(&dead_letters);
        Environment::new(world, &clock, slot, retry, dead_letters)
    };
    let forwarders = [environment(0), environment(1)];
    let redrivers = [environment(2), environment(3)];
    let mut sources: Vec<BoxFuture<'_, ()>> = Vec::new();
    for number in 0..maker.random.between(1, 4) {
        let environment = &forwarders[number % forwarders.len()];
        let start = maker.random.time(Duration::from_mins(20));
        let start = if maker.random.percent(50) { start / 20 } else { start };
        maker.start = start;
        sources.push(source(world, environment, start, schedule, &retry, &mut maker));
    }
    world.lock().census.add(&maker.census);
    let done = AtomicBool::new(false);
    let all = async {
        join_all(sources).await;
        sleep_until(begin + schedule.healed).await;
        if schedule.redrives_on_failure && schedule.has_retry_queue {
            lambda::redrive_on_failure(world, &retry);
        }
        done.store(true, Ordering::Relaxed);
        retry.changed.notify_waiters();
    };
    let redriving = join_all(redrivers.iter().map(|it| lambda::consume(it, &retry, begin, &done)));
    // Unlike tokio's `join!`, this `join` always polls in the same order.
    join(all, redriving).await;
    let waiting: Vec<UnitId> = retry.units.lock().unwrap().values().copied().collect();
    let mut world = world.lock();
    world.check_end(&waiting);
    world.census.met_often("event: delivered in parts", usize::from(clock.has_stepped()));
}

fn source<'a>(
    world: &Shared,
    environment: &'a Environment,
    start: Duration,
    schedule: &Schedule,
    retry: &Store,
    maker: &mut Maker,
) -> BoxFuture<'a, ()> {
    match maker.random.below(if schedule.has_retry_queue { 10 } else { 8 }) {
        0..5 => {
            let (event, unit) = maker.subscription();
            let unit = add(&mut world.lock(), maker, unit);
            if maker.random.percent(schedule.duplicates_percent / 4) {
                // A concurrent second delivery.
                world.lock().delivered_again(unit);
                let first = lambda::deliver_event(environment, start, event.clone(), unit);
                let second = lambda::deliver_event(environment, start, event, unit);
                return Box::pin(join(first, second).map(drop));
            }
            Box::pin(lambda::deliver_event(environment, start, event, unit))
        }
        5..8 => {
            let records = (0..maker.random.between(1, 4)).map(|_| {
                let (sequence_number, json, unit) = maker.kinesis_record();
                let unit = add(&mut world.lock(), maker, unit);
                Record { sequence_number, json, unit }
            });
            let records = records.collect();
            Box::pin(lambda::deliver_records(environment, start, records))
        }
        _ => {
            let (body, unit) = maker.message();
            let unit = add(&mut world.lock(), maker, unit);
            let retry = retry.clone();
            Box::pin(async move {
                sleep(start).await;
                retry.put(body, unit);
            })
        }
    }
}

fn add(world: &mut World, maker: &mut Maker, unit: Unit) -> UnitId {
    let permille = world.schedule.poison_permille;
    let items = unit.marks.iter().filter(|mark| marks::is_item(mark));
    let poisoned = items.filter(|_| maker.random.below(1000) < permille);
    world.poison.extend(poisoned.cloned());
    world.add_unit(unit)
}

const SCHEDULES: u64 = 5_000;

const MOST_FAILURES: usize = 3;

const SHARDS: u64 = 4;

fn number(variable: &str) -> Option<u64> {
    settings::Env.get(variable).map(|text| text.parse().expect("a number"))
}

fn run_shard(shard: u64) {
    let seeds = match number("NO_LOSS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("NO_LOSS_SCHEDULES").unwrap_or(SCHEDULES),
    };
    let mut sum = Counts::default();
    let mut census = Census::default();
    let mut failures = Vec::new();
    for seed in seeds.filter(|seed| seed % SHARDS == shard) {
        let (counts, met, violations) = run(seed);
        sum.add(counts);
        census.add(&met);
        if !violations.is_empty() {
            failures.push(format!("NO_LOSS_SEED={seed}:\n  {}", violations.join("\n  ")));
            if failures.len() == MOST_FAILURES {
                break;
            }
        }
    }
    println!("{sum:?}\n{census}");
    if let Some(seed) = number("NO_LOSS_SEED") {
        println!("{:#?}", Schedule::new(&mut Random::new(seed)));
    }
    assert!(failures.is_empty(), "{} schedules ran\n{}", sum.schedules, failures.join("\n"));
    if sum.schedules >= 1000 {
        sum.check_variety();
        census.check();
    }
}

#[test]
fn shard_0() {
    run_shard(0);
}

#[test]
fn shard_1() {
    run_shard(1);
}

#[test]
fn shard_2() {
    run_shard(2);
}

#[test]
fn shard_3() {
    run_shard(3);
}

#[test]
fn equal_seeds_run_equally() {
    for seed in 0..60 {
        assert_eq!(format!("{:?}", run(seed)), format!("{:?}", run(seed)), "seed {seed}");
    }
}
