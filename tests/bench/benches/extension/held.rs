//! The hold time of an extension by the backend's behaviour, and in a flood of spans.

use crate::side::{Account, Side};
use lambda_otlp_bench::harness::{Series, load, order};
use serde_json::{Value, json};
use std::time::Duration;
use test_support::openobserve::{Faults, ScriptedResponse, Sink};

/// Steady traffic: the number of invocations without a pause.
const STEADY: usize = 12;
/// Infrequent traffic: the number of invocations, and the pause before each.
const INFREQUENT: (usize, Duration) = (3, Duration::from_secs(31));
/// A flood: the spans of one invocation.
const FLOOD: usize = 20_000;
const IN_A_REQUEST: usize = 100;

struct Scenario {
    name: &'static str,
    /// The backend's constant answer; `None` without a backend.
    backend: Option<ScriptedResponse>,
    invocations: usize,
    pause: Duration,
    payload: Value,
}

fn scenarios() -> Vec<Scenario> {
    let otlp = || json!({"spans": [3], "root": true});
    let steady = |name, backend| {
        let (invocations, pause) = (STEADY, Duration::ZERO);
        Scenario { name, backend, invocations, pause, payload: otlp() }
    };
    let infrequent = |name, backend, payload| {
        let (invocations, pause) = INFREQUENT;
        Scenario { name, backend, invocations, pause, payload }
    };
    vec![
        steady("no backend", None),
        infrequent("no backend, infrequent", None, otlp()),
        infrequent("no backend, infrequent, no OTLP", None, json!({})),
        steady("healthy", Some(ScriptedResponse::Ok)),
        infrequent("healthy, infrequent", Some(ScriptedResponse::Ok), otlp()),
        steady("answers 503", Some(ScriptedResponse::Status(503))),
        steady("never answers", Some(ScriptedResponse::held())),
    ]
}

fn flood() -> Scenario {
    Scenario {
        name: "flood",
        backend: Some(ScriptedResponse::Ok),
        invocations: 1,
        pause: Duration::ZERO,
        payload: json!({"spans": vec![IN_A_REQUEST; FLOOD / IN_A_REQUEST]}),
    }
}

#[derive(Default)]
struct Outcome {
    /// By the number of the invocation; all from the fourth on are one.
    held: [Series; 4],
    peak_kib: Series,
    acknowledged: usize,
    lost: usize,
}

impl Outcome {
    fn add(&mut self, account: &Account) {
        for (number, held) in account.held.iter().enumerate() {
            self.held[number.min(3)].push_millis(*held);
        }
        self.peak_kib.push(account.peak_kib);
        self.acknowledged += account.acknowledged;
        self.lost += account.lost;
    }
}

/// Runs each scenario in several environments of each side, in turns, and prints a row for each side.
pub(crate) async fn print(sides: &[Side; 2], environments: u64) -> anyhow::Result<()> {
    println!("{environments} environments of each, in turns; load {} at the beginning.\n", load());
    rows(sides, scenarios(), environments).await
}

/// Has each side meet a flood once.
pub(crate) async fn print_flood(sides: &[Side; 2]) -> anyhow::Result<()> {
    println!("\n{FLOOD} spans in one invocation, 128 MB, direct mode.\n");
    rows(sides, vec![flood()], 1).await
}

async fn rows(
    sides: &[Side; 2],
    scenarios: Vec<Scenario>,
    environments: u64,
) -> anyhow::Result<()> {
    println!(
        "| backend | extension | hold time: 1st, ms | 2nd | 3rd | later ones | peak RSS, MiB | spans acknowledged | lost |"
    );
    println!("|{}", "---|".repeat(9));
    for scenario in scenarios {
        let mut outcomes = [Outcome::default(), Outcome::default()];
        for environment in 0..environments {
            for place in order(environment) {
                outcomes[place].add(&run(&sides[place], &scenario).await?);
            }
        }
        for (side, outcome) in sides.iter().zip(&outcomes) {
            println!(
                "| {} | {} | {} | {:.1} | {} | {} |",
                scenario.name,
                side.name,
                outcome.held.each_ref().map(range).join(" | "),
                outcome.peak_kib.max() / 1024.0,
                outcome.acknowledged,
                outcome.lost,
            );
        }
    }
    println!("\nLoad {} at the end.", load());
    Ok(())
}

/// `minimum to maximum`, one of them where they are the same; nothing where there is none.
fn range(series: &Series) -> String {
    if series.count() == 0 {
        return String::new();
    }
    let [least, most] = [series.min(), series.max()].map(|millis| format!("{millis:.1}"));
    if least == most { least } else { format!("{least} to {most}") }
}

async fn run(side: &Side, scenario: &Scenario) -> anyhow::Result<Account> {
    let sink = match &scenario.backend {
        None => None,
        Some(answer) => {
            let sink = Sink::builder().no_window().start().await?;
            if *answer != ScriptedResponse::Ok {
                sink.inject(Faults::seeded(1, 1.0).among([answer.clone()]));
            }
            Some(sink)
        }
    };
    let mut story = side.begin(sink.as_ref()).await;
    for number in 0..scenario.invocations {
        if number > 0 {
            tokio::time::sleep(scenario.pause).await;
        }
        story.invoke(scenario.payload.clone()).await;
    }
    side.end(story, sink.as_ref()).await
}
