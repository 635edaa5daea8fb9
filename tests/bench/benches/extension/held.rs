//! The hold time of an extension, by the backend's behaviour.

use crate::side::{Account, AfterReport, Side};
use lambda_otlp_bench::series::{Series, load};
use serde_json::json;
use simulator::sink::{Faults, ScriptedResponse, Sink};
use std::time::Duration;

/// Steady traffic: the number of invocations without a pause.
const STEADY: usize = 12;
/// Rare traffic: the number of invocations, and the pause before each.
const RARE: (usize, Duration) = (3, Duration::from_secs(31));

struct Scenario {
    name: &'static str,
    /// The backend's constant answer; `None` without a backend.
    backend: Option<ScriptedResponse>,
    invocations: usize,
    pause: Duration,
    /// `true` if the function sends OTLP.
    sends: bool,
}

fn scenarios() -> Vec<Scenario> {
    let steady = |name, backend| {
        let (invocations, pause) = (STEADY, Duration::ZERO);
        Scenario { name, backend, invocations, pause, sends: true }
    };
    let rare = |name, backend, sends| {
        let (invocations, pause) = RARE;
        Scenario { name, backend, invocations, pause, sends }
    };
    vec![
        steady("no backend, steady", None),
        rare("no backend, rare", None, true),
        rare("no backend, rare, no OTLP", None, false),
        steady("healthy, steady", Some(ScriptedResponse::Ok)),
        rare("healthy, rare", Some(ScriptedResponse::Ok), true),
        steady("503 for ever", Some(ScriptedResponse::Status(503))),
        steady("hangs for ever", Some(ScriptedResponse::held())),
    ]
}

#[derive(Default)]
struct Outcome {
    /// By the number of the invocation; all from the fourth on are one.
    kept: [Series; 4],
    /// The same from Lambda's report of the handler's end on, and for how much of it the backend was at work.
    after_report: [Series; 4],
    backend: [Series; 4],
    rest: Series,
    cpu_ms: Series,
    peak_kib: Series,
    acknowledged: usize,
    delivered: usize,
    written: usize,
    lost: usize,
}

impl Outcome {
    fn add(&mut self, account: &Account) {
        for (number, kept) in account.kept.iter().enumerate() {
            self.kept[number.min(3)].push_millis(*kept);
        }
        for (number, after) in account.after_report.iter().enumerate() {
            let Some(AfterReport { kept, backend }) = after else { continue };
            self.after_report[number.min(3)].push_millis(*kept);
            self.backend[number.min(3)].push_millis(*backend);
            self.rest.push_millis(kept.saturating_sub(*backend));
        }
        self.cpu_ms.push(account.cpu_ms);
        self.peak_kib.push(account.peak_kib);
        self.acknowledged += account.acknowledged;
        self.delivered += account.delivered;
        self.written += account.written;
        self.lost += account.lost;
    }

    fn row_after_report(&self, backend: &str, extension: &str) -> String {
        let cell = |(kept, backend): (&Series, &Series)| match kept.count() {
            0 => String::new(),
            _ => format!("{} ({})", range(kept), range(backend)),
        };
        let cells: Vec<String> = self.after_report.iter().zip(&self.backend).map(cell).collect();
        let rest = match self.rest.count() {
            0 => String::new(),
            _ => format!("{:.1}", self.rest.max()),
        };
        format!("| {backend} | {extension} | {} | {rest} |", cells.join(" | "))
    }
}

/// Runs each scenario in several environments of each side, in turns, and prints a row for each side.
pub(crate) async fn print(sides: &[Side; 2], environments: usize) -> anyhow::Result<()> {
    println!("{environments} environments of each, in turns; load {} at the beginning.\n", load());
    println!(
        "| backend | extension | 1st, ms | 2nd | 3rd | later ones | CPU ms | peak RSS, MiB | spans acknowledged | at the backend | \
         in the log | lost |"
    );
    println!("|{}", "---|".repeat(12));
    let mut after_report = Vec::new();
    for scenario in scenarios() {
        let mut outcomes = [Outcome::default(), Outcome::default()];
        for environment in 0..environments {
            for place in if environment % 2 == 0 { [0, 1] } else { [1, 0] } {
                outcomes[place].add(&tell(&sides[place], &scenario).await?);
            }
        }
        for (side, outcome) in sides.iter().zip(&outcomes) {
            let kept: Vec<String> = outcome.kept.iter().map(range).collect();
            println!(
                "| {} | {} | {} | {:.1} | {:.1} | {} | {} | {} | {} |",
                scenario.name,
                side.name,
                kept.join(" | "),
                outcome.cpu_ms.min(),
                outcome.peak_kib.max() / 1024.0,
                outcome.acknowledged,
                outcome.delivered,
                outcome.written,
                outcome.lost,
            );
            after_report.push(outcome.row_after_report(scenario.name, side.name));
        }
    }
    println!(
        "\nFrom when Lambda began to send its report of the handler's end to the call of `next`, in brackets for how much of it the \
         backend was at work; empty where `next` was called before.\n"
    );
    println!(
        "| backend | extension | 1st, ms | 2nd | 3rd | later ones | without the backend, at most |"
    );
    println!("|{}", "---|".repeat(7));
    for row in after_report {
        println!("{row}");
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

async fn tell(side: &Side, scenario: &Scenario) -> anyhow::Result<Account> {
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
    let mut story = side.begin(sink.as_ref(), &[]).await;
    let payload = if scenario.sends { json!({"spans": [3], "root": true}) } else { json!({}) };
    for number in 0..scenario.invocations {
        if number > 0 {
            tokio::time::sleep(scenario.pause).await;
        }
        story.invoke(payload.clone()).await;
    }
    side.end(story, sink.as_ref()).await
}
