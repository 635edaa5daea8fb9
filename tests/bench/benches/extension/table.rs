//! The table of states: the function's result, its billed time and its telemetry, with the layer and without.

use anyhow::bail;
use lambda_otlp_bench::series::{Series, load};
use lambda_otlp_tests::stories::states::{self, State, Step};
use lambda_otlp_tests::stories::{Log, Program, Story};
use simulator::Invocation;
use std::collections::BTreeMap;

/// Steady traffic: the number of invocations of each kind in each environment.
const STEADY: usize = 50;

/// The invocations of one label, with the layer or without, in milliseconds.
#[derive(Default)]
struct Side {
    billed: Series,
    exact: Series,
    held: Series,
}

impl Side {
    fn add(&mut self, invocation: &Invocation) {
        self.billed.push_millis(invocation.billed_duration);
        let init = invocation.init_duration.unwrap_or_default();
        self.exact.push_millis(invocation.duration + init);
        self.held.push_millis(invocation.post_runtime);
    }
}

#[derive(Default)]
struct Outcome {
    labels: Vec<&'static str>,
    without: BTreeMap<&'static str, Side>,
    with: BTreeMap<&'static str, Side>,
    differing: usize,
    invocations: usize,
    /// With the layer only.
    acknowledged: usize,
    wrong: usize,
    spans: usize,
    admitted_losses: usize,
    undelivered: BTreeMap<String, usize>,
    cpu_ms: Series,
}

/// Tells every state, and prints a row for each kind of its invocations.
pub(crate) async fn print(program: &Program, pairs: usize, names: &[String]) -> anyhow::Result<()> {
    println!("{pairs} pairs of environments, interleaved; load {} at the beginning.\n", load());
    println!(
        "| state | invocation | result | billed ms, without | with | exact ms, without | with | difference | `next` held ms | \
         OTLP acknowledged / lost | platform records undelivered | extension's CPU ms |"
    );
    println!("|{}", "---|".repeat(12));
    let mut lost = 0;
    let mut differing = 0;
    for state in states::all(STEADY) {
        if names.is_empty() || names.iter().any(|name| state.name.contains(name.as_str())) {
            let outcome = tell(program, &state, pairs).await;
            rows(&state, &outcome);
            lost += outcome.wrong;
            differing += outcome.differing;
        }
    }
    println!("\nLoad {} at the end.\n", load());
    if lost + differing > 0 {
        bail!("{lost} acknowledged spans are not in the log once, {differing} results differ");
    }
    Ok(())
}

/// Runs a state in pairs of environments. All pairs take each step together, so each pause is waited for once.
async fn tell(program: &Program, state: &State, pairs: usize) -> Outcome {
    let mut stories = Vec::new();
    for pair in 0..pairs {
        for with_layer in order(pair) {
            stories.push((with_layer, Story::of(program, state, with_layer).await));
        }
    }
    for step in &state.steps {
        if let Step::Pause(pause) = step {
            tokio::time::sleep(*pause).await;
        }
        for (_, story) in &mut stories {
            story.step(step).await;
        }
    }
    let mut outcome = Outcome::default();
    for step in &state.steps {
        if let Step::Invoke { label, .. } | Step::ExhaustMemory { label, .. } = step
            && !outcome.labels.contains(label)
            && !label.is_empty()
        {
            outcome.labels.push(label);
        }
    }
    let mut results = [Vec::new(), Vec::new()];
    for (with_layer, story) in stories {
        let sides = if with_layer { &mut outcome.with } else { &mut outcome.without };
        for (label, invocation) in story.invocations() {
            sides.entry(label).or_default().add(invocation);
        }
        if with_layer {
            outcome.invocations += story.invocations().len();
        }
        results[usize::from(with_layer)].push(story.results());
        if with_layer {
            outcome.cpu_ms.push(cpu_ms(&story));
        }
        let log = story.end(state.end).await;
        if with_layer {
            outcome.add(log);
        }
    }
    let [without, with] = results;
    outcome.differing = without.iter().zip(&with).filter(|(without, with)| without != with).count();
    outcome
}

/// CPU time of the extension that is there now, in milliseconds.
pub(crate) fn cpu_ms(story: &Story) -> f64 {
    let environments = story.lambda.environments("f");
    let extensions = environments.iter().flat_map(|environment| &environment.extensions);
    let tasks =
        extensions.filter_map(|known| std::fs::read_dir(format!("/proc/{}/task", known.pid)).ok());
    let nanos = tasks.flatten().filter_map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanos.sum::<f64>() / 1e6
}

/// With the layer first, or without it first: the machine is in another state for the second of two runs.
fn order(pair: usize) -> [bool; 2] {
    if pair.is_multiple_of(2) { [false, true] } else { [true, false] }
}

impl Outcome {
    fn add(&mut self, log: Log) {
        self.acknowledged += log.acknowledged;
        self.wrong += log.wrong.len();
        self.spans += log.made.len();
        self.admitted_losses += usize::from(log.has_text("something was lost"));
        for (kind, count) in log.undelivered {
            *self.undelivered.entry(kind).or_default() += count;
        }
    }
}

fn rows(state: &State, outcome: &Outcome) {
    let result = if outcome.differing == 0 { "equal" } else { "DIFFERS" };
    let lost = match (outcome.wrong, outcome.admitted_losses) {
        (0, 0) => "0".to_owned(),
        (wrong, admitted) => format!("**{wrong}** ({admitted} said so)"),
    };
    let undelivered: Vec<String> =
        outcome.undelivered.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let undelivered = if undelivered.is_empty() { "0".to_owned() } else { undelivered.join(", ") };
    for label in &outcome.labels {
        let (without, with) = (&outcome.without[label], &outcome.with[label]);
        let difference = with.exact.median() - without.exact.median();
        println!(
            "| {} | {label} | {result} ({}) | {} | {} | {} | {} | {difference:+.1} | {:.1} | {} / {lost} | {undelivered} | {:.1} |",
            state.name,
            with.billed.count(),
            without.billed.cell(0),
            with.billed.cell(0),
            without.exact.cell(1),
            with.exact.cell(1),
            with.held.median(),
            outcome.acknowledged,
            outcome.cpu_ms.median(),
        );
    }
}
