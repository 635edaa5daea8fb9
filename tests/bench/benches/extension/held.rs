//! The hold time of an extension by the backend's behaviour, and in a flood of spans.

use crate::side::{Account, Side};
use lambda_otlp_bench::harness::{float, in_turns, max, millis, min};
use serde_json::{Value, json};
use std::time::Duration;
use test_support::openobserve::{FakeOpenObserve, Faults, ScriptedResponse};

/// Environments of each extension that meet each behaviour of the backend.
const ENVIRONMENTS: u64 = 3;
const STEADY: Traffic = Traffic { invocations: 12, pause: Duration::ZERO };
const INFREQUENT: Traffic = Traffic { invocations: 3, pause: Duration::from_secs(31) };
/// A flood: the spans of one invocation.
const FLOOD: usize = 20_000;
const IN_A_REQUEST: usize = 100;

#[derive(Clone, Copy)]
struct Traffic {
    invocations: usize,
    /// The pause before each invocation but the first.
    pause: Duration,
}

struct Scenario {
    name: &'static str,
    /// The backend's constant answer; `None` without a backend.
    answer: Option<ScriptedResponse>,
    traffic: Traffic,
    payload: Value,
}

/// Runs each scenario in several environments of each side, in turns, and prints a row for each side.
pub(crate) async fn print(sides: &[Side; 2]) -> anyhow::Result<()> {
    let otlp = || json!({"spans": [3], "root": true});
    let ok = ScriptedResponse::Ok;
    let busy = ScriptedResponse::Status(503);
    let scenarios = [
        Scenario { name: "no backend", answer: None, traffic: STEADY, payload: otlp() },
        Scenario {
            name: "no backend, infrequent",
            answer: None,
            traffic: INFREQUENT,
            payload: otlp(),
        },
        Scenario {
            name: "no backend, infrequent, no OTLP",
            answer: None,
            traffic: INFREQUENT,
            payload: json!({}),
        },
        Scenario { name: "healthy", answer: Some(ok.clone()), traffic: STEADY, payload: otlp() },
        Scenario {
            name: "healthy, infrequent",
            answer: Some(ok),
            traffic: INFREQUENT,
            payload: otlp(),
        },
        Scenario { name: "answers 503", answer: Some(busy), traffic: STEADY, payload: otlp() },
        Scenario {
            name: "never answers",
            answer: Some(ScriptedResponse::held()),
            traffic: STEADY,
            payload: otlp(),
        },
    ];
    rows(sides, &scenarios, ENVIRONMENTS).await
}

/// Has each side meet a flood once, with 128 MB in direct mode.
pub(crate) async fn print_flood(sides: &[Side; 2]) -> anyhow::Result<()> {
    let payload = json!({"spans": vec![IN_A_REQUEST; FLOOD / IN_A_REQUEST]});
    let traffic = Traffic { invocations: 1, pause: Duration::ZERO };
    let flood = Scenario { name: "flood", answer: Some(ScriptedResponse::Ok), traffic, payload };
    rows(sides, &[flood], 1).await
}

async fn rows(sides: &[Side; 2], scenarios: &[Scenario], environments: u64) -> anyhow::Result<()> {
    println!(
        "| backend, {environments} environments | extension | hold time: 1st, ms | 2nd | 3rd | later ones | peak RSS, MiB | \
         spans acknowledged | lost |"
    );
    println!("|{}", "---|".repeat(9));
    for scenario in scenarios {
        let run = async |side: &Side| run(side, scenario).await;
        let accounts = in_turns(environments, sides, run).await?;
        for (side, accounts) in sides.iter().zip(&accounts) {
            // All invocations from the fourth on are one column.
            let held = |numbers: std::ops::Range<usize>| {
                let held: Vec<f64> = accounts
                    .iter()
                    .flat_map(|own| own.held.iter().enumerate())
                    .filter(|(number, _)| numbers.contains(number))
                    .map(|(_, held)| millis(*held))
                    .collect();
                range(&held)
            };
            println!(
                "| {} | {} | {} | {:.1} | {} | {} |",
                scenario.name,
                side.name,
                [0..1, 1..2, 2..3, 3..usize::MAX].map(held).join(" | "),
                max(accounts.iter().map(|own| float(own.peak_kib))) / 1024.0,
                accounts.iter().map(|own| own.acknowledged).sum::<usize>(),
                accounts.iter().map(|own| own.lost).sum::<usize>(),
            );
        }
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

async fn run(side: &Side, scenario: &Scenario) -> anyhow::Result<Account> {
    let fake = match &scenario.answer {
        None => None,
        Some(answer) => {
            let fake = FakeOpenObserve::builder().no_window().start().await?;
            if *answer != ScriptedResponse::Ok {
                fake.inject(Faults::seeded(1, 1.0).among([answer.clone()]));
            }
            Some(fake)
        }
    };
    let mut simulation = side.begin(fake.as_ref()).await;
    for number in 0..scenario.traffic.invocations {
        if number > 0 {
            tokio::time::sleep(scenario.traffic.pause).await;
        }
        simulation.invoke(scenario.payload.clone()).await;
    }
    side.end(simulation, fake.as_ref()).await
}
