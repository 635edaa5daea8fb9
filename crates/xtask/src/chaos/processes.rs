//! Schedules of faults with real processes: functions with the layer, their log, the forwarder, its queue and a backend.
//! A seed chooses the faults; the machine decides what they meet.

use super::deployment::{DIRECT, DeliveryMode, Deployment, FUNCTIONS, NUMBERS_OF_INVOCATION};
use super::items::SentItem;
use crate::checks;
use anyhow::{Context as _, ensure};
use fastrand::Rng;
use local_lambda::LogEvent;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AttributeValue;
use serde_json::Value;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use test_support::Comparison;
use test_support::openobserve::Stored;
use tokio::time::sleep;

/// Account and region of the local Lambda.
const ACCOUNT: &str = "123456789012";
const REGION: &str = "us-east-1";

/// What became of a schedule, in items.
#[derive(Debug, Default)]
struct Fates {
    in_log: usize,
    stored: usize,
    duplicates: usize,
}

pub(crate) fn run(seeds: impl Iterator<Item = u64>) -> anyhow::Result<()> {
    let programs = crate::load::programs(&checks::root()?)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start tokio")?;
    let mut faults = BTreeMap::new();
    let mut total = Fates::default();
    let mut schedules = 0;
    for seed in seeds {
        let (of_seed, fates) = runtime
            .block_on(schedule(seed, &programs))
            .with_context(|| format!("--processes-seed {seed}"))?;
        println!(
            "seed {seed}: {} items in the log, {} stored, {} duplicates explained, 0 missing",
            fates.in_log, fates.stored, fates.duplicates
        );
        for (fault, times) in of_seed {
            *faults.entry(fault).or_insert(0) += times;
        }
        total.in_log += fates.in_log;
        total.stored += fates.stored;
        total.duplicates += fates.duplicates;
        schedules += 1;
    }
    for (fault, times) in faults {
        println!("{times:6} × {fault}");
    }
    println!(
        "{schedules} schedules: {} items in the log, {} stored, {} duplicates explained, 0 missing",
        total.in_log, total.stored, total.duplicates
    );
    Ok(())
}

async fn schedule(
    seed: u64,
    programs: &HashMap<String, PathBuf>,
) -> anyhow::Result<(BTreeMap<&'static str, u32>, Fates)> {
    let mut random = Rng::with_seed(seed);
    let deployment = Deployment::start(programs).await?;
    let of_faults = random.fork();
    let of_log = random.fork();
    let of_queue = random.fork();
    let is_over = Cell::new(false);
    let functions = (0..FUNCTIONS.len()).map(|index| deployment.invoke(index, random.fork()));
    let [first, second, third] =
        <[_; 3]>::try_from(functions.collect::<Vec<_>>()).ok().context("three functions")?;
    let invoking = async {
        let invoked = tokio::try_join!(first, second, third);
        is_over.set(true);
        invoked
    };
    let failing = async {
        let mut random = of_faults;
        while !is_over.get() {
            sleep(Duration::from_millis(random.u64(..200))).await;
            deployment.fault(&mut random).await?;
        }
        anyhow::Ok(())
    };
    let delivering = async {
        let mut random = of_log;
        while !is_over.get() {
            sleep(Duration::from_millis(random.u64(..200))).await;
            deployment.deliver(&mut random, DeliveryMode::Faulty)?;
        }
        anyhow::Ok(())
    };
    let redriving = async {
        let mut random = of_queue;
        while !is_over.get() {
            sleep(Duration::from_millis(random.u64(..200))).await;
            deployment.redrive(&mut random, DeliveryMode::Faulty).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(invoking, failing, delivering, redriving)?;
    deployment.settle(&mut random).await?;
    let fates = check(&deployment).with_context(|| deployment.log_of_forwarder())?;
    let faults = deployment.faults.take();
    deployment.lambda.shut_down().await;
    Ok((faults, fates))
}

/// The ids of the log events that an item is in.
type LogEventsByItem = HashMap<SentItem, Vec<String>>;
/// The requests that brought an item to the backend.
type RequestsByItem = HashMap<SentItem, Vec<usize>>;

/// Compares what the functions made, what their log has, and what the backend stored.
fn check(deployment: &Deployment) -> anyhow::Result<Fates> {
    let stored = stored(deployment);
    let mut missing = String::new();
    let logged = logged(deployment, &mut missing)?;
    for item in Comparison::of(logged.keys(), stored.keys()).missing {
        writeln!(missing, "item of the log event {:?}: {item:?}", logged.get(item))?;
    }
    add_missing_numbers(deployment, &stored, &mut missing)?;
    ensure!(missing.is_empty(), "missing:\n{}", first(&missing));
    let duplicates = explained_duplicates(deployment, &logged, &stored)?;
    Ok(Fates { in_log: logged.len(), stored: stored.len(), duplicates })
}

/// The items in the functions' log. Adds the lines of text that no record has to `missing`.
fn logged(deployment: &Deployment, missing: &mut String) -> anyhow::Result<LogEventsByItem> {
    let mut logged = LogEventsByItem::new();
    for name in FUNCTIONS {
        for event in deployment.lambda.log_events(name) {
            let Some(items) = SentItem::of_event(&event, ACCOUNT, REGION)? else {
                if name != DIRECT && !is_stored_line(deployment, &event) {
                    writeln!(missing, "log line {}: {}", event.id, event.message)?;
                }
                continue;
            };
            for item in items {
                logged.entry(item).or_default().push(event.id.clone());
            }
        }
    }
    Ok(logged)
}

/// Adds the numbers to `missing` of items that ended in the functions' own list and did not arrive.
fn add_missing_numbers(
    deployment: &Deployment,
    stored: &RequestsByItem,
    missing: &mut String,
) -> anyhow::Result<()> {
    let arrived: HashSet<i64> =
        stored.keys().filter(|item| !item.is_partial).filter_map(|item| item.number).collect();
    let made =
        std::fs::read_to_string(&deployment.ledger).context("the functions listed nothing")?;
    let killed = deployment.killed.borrow();
    for line in made.lines() {
        let line: Value = serde_json::from_str(line).context("the functions' list")?;
        let number = line.get("number").and_then(Value::as_i64).unwrap_or_default();
        let has_ended = line.get("event").and_then(Value::as_str) == Some("ended");
        let first_of_invocation = number / NUMBERS_OF_INVOCATION * NUMBERS_OF_INVOCATION;
        let is_killed = killed.contains(&first_of_invocation);
        if has_ended && !is_killed && !arrived.contains(&number) {
            writeln!(missing, "number {line}")?;
        }
    }
    Ok(())
}

/// The number of items stored more than once. Fails if nothing explains one of them.
fn explained_duplicates(
    deployment: &Deployment,
    logged: &LogEventsByItem,
    stored: &RequestsByItem,
) -> anyhow::Result<usize> {
    let repeated = deployment.possibly_repeated();
    let requests = deployment.fake.requests();
    let late = deployment.late.borrow();
    let mut unexplained = String::new();
    let mut duplicates = 0;
    let is_repeated = |event: &String| repeated.contains(event);
    for (item, of_requests) in stored {
        let copies = of_requests.len();
        duplicates += copies - 1;
        let is_ambiguous = |request: &usize| {
            late.contains(request)
                || requests.get(*request).is_some_and(|request| !request.answered_whole)
        };
        let events = logged.get(item).map(Vec::as_slice).unwrap_or_default();
        // The forwarder made it from a log event, but it does not say from which.
        let is_of_unknown_event =
            item.function != DIRECT && events.is_empty() && item.event.is_none();
        let is_explained = of_requests.iter().any(is_ambiguous)
            || events.iter().chain(&item.event).any(is_repeated)
            // An item in several log events was written several times.
            || copies <= events.len()
            || is_of_unknown_event && !repeated.is_empty();
        if copies > 1 && !is_explained {
            writeln!(unexplained, "{copies} times, of the log events {events:?}: {item:?}")?;
        }
    }
    ensure!(unexplained.is_empty(), "duplicates:\n{}", first(&unexplained));
    Ok(duplicates)
}

/// The first lines of a text, and how many it has.
fn first(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    format!(
        "{}\nin all {}",
        lines.get(..lines.len().min(20)).unwrap_or_default().join("\n"),
        lines.len()
    )
}

/// The items in the backend, and the requests that brought each.
fn stored(deployment: &Deployment) -> RequestsByItem {
    fn of<T>(
        stored: &Stored<T>,
        items: impl FnOnce(&T) -> Vec<SentItem>,
    ) -> impl Iterator<Item = (SentItem, usize)> {
        let name = stored.resource_attribute("faas.name").and_then(|name| name.value.clone());
        let function = match name {
            Some(AttributeValue::StringValue(function)) => function,
            _ => String::new(),
        };
        let items = items(&stored.item).into_iter();
        let request = stored.request;
        items.map(move |item| (item.made_by(&function), request))
    }
    let spans = deployment.fake.spans();
    let records = deployment.fake.log_records();
    let metrics = deployment.fake.metrics();
    let all = (spans.iter().flat_map(|span| of(span, |span| vec![SentItem::of_span(span)])))
        .chain(
            records
                .iter()
                .flat_map(|record| of(record, |item| vec![SentItem::of_log_record(item)])),
        )
        .chain(metrics.iter().flat_map(|metric| of(metric, SentItem::of_metric)));
    let mut items = RequestsByItem::new();
    for (item, request) in all {
        items.entry(item).or_default().push(request);
    }
    items
}

/// Returns `true` if a record has this line, on its own or with others, or if it is a line that Lambda writes for each invocation.
fn is_stored_line(deployment: &Deployment, event: &LogEvent) -> bool {
    let line = event.message.trim();
    let consumed = ["START RequestId", "END RequestId", "INIT_START"];
    line.is_empty()
        || consumed.iter().any(|start| line.starts_with(start))
        || deployment
            .fake
            .log_records()
            .iter()
            .any(|record| SentItem::text(&record.item).contains(line))
}
