//! The hold time of an extension by the backend's behaviour, and in a flood of spans.

use crate::side::{Account, Side};
use lambda_otlp_bench::harness::{float, max, millis, min, order};
use lambda_otlp_tests::simulation::Simulation;
use serde_json::{Value, json};
use std::ops::Range;
use std::time::Duration;
use test_support::openobserve::{FakeOpenObserve, Faults, ScriptedResponse};

/// Environments of each extension that meet each behaviour of the backend.
const ENVIRONMENTS: u64 = 3;
/// From its 21st invocation on, rotel's extension flushes at the begin of an invocation.
const STEADY: Traffic = Traffic { invocations: 24, pause: Duration::ZERO };
const INFREQUENT: Traffic = Traffic { invocations: 3, pause: Duration::from_secs(31) };
/// The invocations of each column, counted from zero.
const COLUMNS: [Range<usize>; 3] = [0..3, 3..20, 20..usize::MAX];
/// An outage that ends: the invocation before which the backend recovers.
const RECOVERY: usize = 6;
/// A flood: the spans of one invocation.
const FLOOD: usize = 20_000;
const IN_A_REQUEST: usize = 100;

#[derive(Clone, Copy)]
struct Traffic {
    invocations: usize,
    /// The pause before each invocation but the first.
    pause: Duration,
}

enum Backend {
    Healthy,
    /// It always answers like this.
    Answers(ScriptedResponse),
    /// It answers like this until [`RECOVERY`].
    Recovers(ScriptedResponse),
}

struct Scenario {
    name: &'static str,
    backend: Option<Backend>,
    traffic: Traffic,
    payload: Value,
}

/// Runs each scenario with one of these texts in its name, or all if there is none, in several environments of each side, and prints
/// a row for each side.
pub(crate) async fn print(sides: &[Side; 3], names: &[String]) -> anyhow::Result<()> {
    let otlp = || json!({"spans": [3], "root": true});
    let scenario = |name, backend, traffic, payload| Scenario { name, backend, traffic, payload };
    // Without a backend only ours does its work.
    let [ours, ..] = sides;
    let alone = std::array::from_ref(ours);
    let is_asked = |scenario: &Scenario| {
        names.is_empty() || names.iter().any(|name| scenario.name.contains(name.as_str()))
    };
    header(ENVIRONMENTS);
    let alone_scenarios = [
        scenario("none", None, STEADY, otlp()),
        scenario("none, infrequent", None, INFREQUENT, otlp()),
        scenario("none, infrequent, no OTLP", None, INFREQUENT, json!({})),
    ];
    for scenario in alone_scenarios.into_iter().filter(is_asked) {
        rows(alone, &scenario, ENVIRONMENTS).await?;
    }
    let busy = || ScriptedResponse::Status(503);
    let answers = Backend::Answers;
    let compared = [
        scenario("healthy", Some(Backend::Healthy), STEADY, otlp()),
        scenario("healthy, infrequent", Some(Backend::Healthy), INFREQUENT, otlp()),
        scenario("answers 503", Some(answers(busy())), STEADY, otlp()),
        scenario("answers 503, then recovers", Some(Backend::Recovers(busy())), STEADY, otlp()),
        scenario("never answers", Some(answers(ScriptedResponse::held())), STEADY, otlp()),
    ];
    for scenario in compared.into_iter().filter(is_asked) {
        rows(sides, &scenario, ENVIRONMENTS).await?;
    }
    Ok(())
}

/// Has each side meet a flood once, with 128 MB in direct mode.
pub(crate) async fn print_flood(sides: &[Side; 3]) -> anyhow::Result<()> {
    let payload = json!({"spans": vec![IN_A_REQUEST; FLOOD / IN_A_REQUEST]});
    let traffic = Traffic { invocations: 1, pause: Duration::ZERO };
    let flood = Scenario { name: "flood", backend: Some(Backend::Healthy), traffic, payload };
    header(1);
    rows(sides, &flood, 1).await
}

fn header(environments: u64) {
    println!(
        "| backend, {environments} environments | extension | hold time: 1st to 3rd, ms | 4th to 20th | later ones | \
         peak RSS, MiB | spans acknowledged | only in the log | lost |"
    );
    println!("|{}", "---|".repeat(9));
}

async fn rows<const N: usize>(
    sides: &[Side; N],
    scenario: &Scenario,
    environments: u64,
) -> anyhow::Result<()> {
    for (side, accounts) in sides.iter().zip(run(sides, scenario, environments).await?) {
        // The hold times of these invocations.
        let held = |numbers: Range<usize>| {
            let held: Vec<f64> = accounts
                .iter()
                .flat_map(|own| own.held.iter().enumerate())
                .filter(|(number, _)| numbers.contains(number))
                .map(|(_, held)| millis(*held))
                .collect();
            range(&held)
        };
        let sum = |part: fn(&Account) -> usize| accounts.iter().map(part).sum::<usize>();
        println!(
            "| {} | {} | {} | {:.1} | {} | {} | {} |",
            scenario.name,
            side.name,
            COLUMNS.map(held).join(" | "),
            max(accounts.iter().map(|own| float(own.peak_kib))) / 1024.0,
            sum(|own| own.acknowledged),
            sum(|own| own.logged),
            sum(|own| own.lost),
        );
    }
    Ok(())
}

/// `minimum to maximum`, one of them where they are the same; nothing where there is none.
fn range(millis: &[f64]) -> String {
    let [least, most] = [min(millis.iter().copied()), max(millis.iter().copied())];
    match [least, most].map(|millis| format!("{millis:.1}")) {
        _ if millis.is_empty() => String::new(),
        [least, most] if least == most => least,
        [least, most] => format!("{least} to {most}"),
    }
}

/// Runs an environment of each side together, so that each pause is waited for once, and invokes one after the other. Two of djv3's
/// extension can't be on one machine, because they listen on the same port.
async fn run<const N: usize>(
    sides: &[Side; N],
    scenario: &Scenario,
    environments: u64,
) -> anyhow::Result<[Vec<Account>; N]> {
    let mut accounts = [const { Vec::new() }; N];
    for round in 0..environments {
        let mut all: Vec<(usize, Simulation, Option<FakeOpenObserve>)> = Vec::new();
        for place in order::<N>(round) {
            let fake = begin(scenario.backend.as_ref()).await?;
            let simulation = sides[place].begin(fake.as_ref()).await;
            all.push((place, simulation, fake));
        }
        for number in 0..scenario.traffic.invocations {
            if number > 0 {
                tokio::time::sleep(scenario.traffic.pause).await;
            }
            for (_, simulation, fake) in &mut all {
                if let (RECOVERY, Some(Backend::Recovers(_)), Some(fake)) =
                    (number, &scenario.backend, fake)
                {
                    fake.heal();
                }
                simulation.invoke(scenario.payload.clone()).await;
            }
        }
        for (place, simulation, fake) in all {
            accounts[place].push(sides[place].end(simulation, fake.as_ref()).await?);
        }
    }
    Ok(accounts)
}

async fn begin(backend: Option<&Backend>) -> anyhow::Result<Option<FakeOpenObserve>> {
    let Some(backend) = backend else { return Ok(None) };
    let fake = FakeOpenObserve::builder().no_window().start().await?;
    if let Backend::Answers(answer) | Backend::Recovers(answer) = backend {
        fake.inject(Faults::seeded(1, 1.0).among([answer.clone()]));
    }
    Ok(Some(fake))
}
