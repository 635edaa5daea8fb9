//! The extension as a process beside a function, in a local Lambda that freezes, kills and shuts down. Each simulation is told with
//! the layer and without: the function's results are the same, and acknowledged items are in the log.

use crate::{DEFAULT_PORTS, program};
use lambda_otlp_tests::simulation::states::{self, End, MANY_LINES, State, Step};
use lambda_otlp_tests::simulation::{EXTENSION, Log, ROOT, Simulation, TRACE};
use local_lambda::LogFormat;
use local_lambda::fidelity::TelemetryAtShutdown;
use serde_json::{Value, json};
use std::time::Duration;

/// The longest pause of a simulation. Unit tests cover longer ones.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Tells a simulation with the layer and without. The results have to be equal.
pub(crate) async fn told(state: &State) -> Log {
    let mut results = Vec::new();
    let mut log = Log::default();
    for with_layer in [false, true] {
        let mut simulation = Simulation::of(&program(), state, with_layer).await;
        for step in &state.steps {
            if let Step::Pause(pause) = step
                && *pause < LONGEST_PAUSE
            {
                tokio::time::sleep(*pause).await;
            }
            simulation.step(step).await;
        }
        results.push(simulation.results());
        log = simulation.end(state.end).await;
        assert!(with_layer || (log.own.is_empty() && log.made.is_empty()));
    }
    assert_eq!(results[0], results[1], "{}: without the layer, and with it", state.name);
    log
}

/// What was acknowledged is in the log.
fn complete(log: Log) -> Log {
    assert_eq!(log.wrong, [0; 0], "of {} that were acknowledged: {log:?}", log.acknowledged);
    log
}

async fn ended(simulation: Simulation) -> Log {
    complete(simulation.end(End::Shutdown).await)
}

/// A state, the number of spans that its function sends, the extension's spans for its invocations, and what else is in the log.
type Row = (State, usize, &'static str, fn(&Log));

/// Tells simulations at the same time, each in a Lambda of its own.
async fn check<const N: usize>(rows: [Row; N]) {
    let mut simulations = tokio::task::JoinSet::new();
    for (state, own, expected, check) in rows {
        simulations.spawn(async move {
            let log = complete(told(&state).await);
            // Invocations that follow each other within the 25 ms of a delivery are written together.
            let mut made = log.spans();
            made.sort();
            let found = (log.own.len(), log.acknowledged, made.join(", "));
            assert_eq!(found, (own, own, expected.to_owned()), "{}: {log:?}", state.name);
            check(&log);
        });
    }
    simulations.join_all().await;
}

fn nothing_else(_: &Log) {}

const TWO: &str = "internal unset, internal unset";
const THREE: &str = "internal unset, internal unset, internal unset";

#[tokio::test]
async fn each_invocation_is_written_once_in_each_kind_of_environment() {
    let has_metrics = |log: &Log| {
        let latencies = 3 + u64::try_from(states::CONCURRENT).unwrap();
        let points = log.points.get("aws.lambda.response_latency");
        assert_eq!(points, Some(&latencies), "{:?}", log.points);
    };
    let with_root = 2 + states::CONCURRENT;
    let all_statuses = format!("{}server unset", "internal unset, ".repeat(with_root));
    let of_managed_instance: &str = all_statuses.leak();
    check([
        (states::cold(), 3, "internal unset", nothing_else),
        (states::cold_and_quiet(), 0, "server unset", nothing_else),
        (
            states::warm_steady(2),
            9,
            "internal unset, internal unset, internal unset, server unset, server unset",
            |log| {
                for name in ["aws.lambda.response_latency", "aws.lambda.extension_overhead"] {
                    assert_eq!(log.points.get(name), Some(&5), "{name}: {:?}", log.points);
                }
            },
        ),
        (states::warm_rare(), 6, "internal unset, internal unset, server unset", nothing_else),
        // Without a hold, telemetry is written after the freeze.
        (
            states::frozen(),
            9,
            "internal unset, internal unset, internal unset, server unset",
            nothing_else,
        ),
        (states::managed_instance(), 3 * with_root, of_managed_instance, has_metrics),
        (
            states::managed_instance_of_the_emulator(),
            3 * with_root,
            of_managed_instance,
            has_metrics,
        ),
    ])
    .await;
    let log = complete(told(&states::never_thawed()).await);
    assert_eq!(log.own.len(), 3 + 4 + 3);
}

/// The bad invocation has no root: its own span is the extension's.
const BETWEEN_GOOD_ONES: &str = "internal unset, internal unset, internal unset, server error";

#[tokio::test]
async fn the_layer_does_not_change_how_an_invocation_ends() {
    const SPANS: usize = 3 + 3 + 5 + 3;
    let bad = [states::handler_error(), states::panic(), states::out_of_memory()];
    check(bad.map(|state| -> Row { (state, SPANS, BETWEEN_GOOD_ONES, nothing_else) })).await;
    // Lambda restarts the extension in the same environment, without its subscription.
    let is_restarted = |log: &Log| {
        let subscribed = |how: &str| log.text.iter().filter(|text| text.contains(how)).count();
        assert_eq!([subscribed("State: Subscribed"), subscribed("State: Already")], [2, 0]);
    };
    let restarting = [states::crash(), states::timeout()];
    check(restarting.map(|state| -> Row { (state, SPANS, BETWEEN_GOOD_ONES, is_restarted) })).await;
}

#[tokio::test]
async fn an_invocation_whose_init_failed_has_a_span() {
    for telemetry in [TelemetryAtShutdown::Flushed, TelemetryAtShutdown::Buffered] {
        let state = states::failed_init(telemetry);
        let names_the_failure = |log: &Log| {
            let attributes = format!("{:?}", log.made[0].attributes);
            assert!(attributes.contains("Runtime.ExitError"), "{attributes}");
        };
        check([(state, 0, "server error", names_the_failure)]).await;
    }
}

#[tokio::test]
async fn in_wrong_surroundings_only_the_part_that_fails_is_missing() {
    let _ports = DEFAULT_PORTS.lock().await;
    let is_silent = |log: &Log| assert!(!log.has_text("cannot subscribe"), "{:?}", log.text);
    check([
        (states::subscription(202), 6, "", is_silent),
        (states::subscription(404), 6, "", is_silent),
        (states::subscription(500), 6, "", |log| assert!(log.has_text("cannot subscribe"))),
        (states::busy_port(), 0, "server unset, server unset", |log| {
            assert!(log.has_text("cannot receive OTLP"), "{:?}", log.text);
        }),
        (states::busy_default_ports(), 6, TWO, nothing_else),
        (states::wrong_settings(), 6, TWO, |log| {
            let own = log.text.iter().filter(|line| line.contains("lambda-otlp-extension: "));
            let [line] = *own.collect::<Vec<_>>() else { panic!("{:?}", log.text) };
            let variables = states::wrong_settings().variables;
            assert!(variables.iter().all(|(name, _)| line.contains(name)), "{line}");
        }),
    ])
    .await;
}

#[tokio::test]
async fn megabytes_of_telemetry_or_lines_lose_no_span() {
    let lines =
        |log: &Log| log.text.iter().filter(|line| line.contains("a line of the function")).count();
    check([
        (states::events_of_a_mebibyte(), 9, THREE, |log| {
            assert_eq!(log.points.get("aws.lambda.logs_dropped"), Some(&1), "{:?}", log.points);
        }),
        (
            states::mebibyte_of_otlp(),
            506,
            "internal unset, internal unset, server unset",
            nothing_else,
        ),
        (
            states::mebibyte_of_telemetry(),
            6,
            "internal unset, internal unset, server unset",
            nothing_else,
        ),
    ])
    .await;
    for state in [states::many_lines(), states::many_lines_subscribed()] {
        let log = complete(told(&state).await);
        assert_eq!((log.own.len(), log.spans().len(), lines(&log)), (9, 3, MANY_LINES));
    }
}

/// Tells the simulation of a function with the layer that gets this event, and `more` ones without telemetry.
async fn invoked(payload: Value, more: usize) -> Log {
    let mut simulation = Simulation::with(&program(), |spec| {
        spec.timeout(states::SHORT).log_format(LogFormat::Json)
    })
    .await;
    simulation.invoke(payload).await;
    for _ in 0..more {
        simulation.invoke(json!({})).await;
    }
    ended(simulation).await
}

#[tokio::test]
async fn the_exporters_record_identifies_the_root_and_replaces_a_lost_one() {
    let log = invoked(json!({"record": true}), 1).await;
    assert_eq!(log.spans(), ["internal unset", "server unset"]);
    let made = &log.made[0];
    assert_eq!((&made.trace_id[..], &made.parent_span_id[..]), (&TRACE[..], &ROOT[..]));
    for end in ["exit", "hang"] {
        let log = invoked(json!({"record": true, "end": end}), 0).await;
        assert_eq!(log.spans(), ["server error"], "{end}");
        let made = &log.made[0];
        assert_eq!((&made.trace_id[..], &made.span_id[..]), (&TRACE[..], &ROOT[..]), "{end}");
        assert!(made.parent_span_id.is_empty(), "{end}");
    }
}

#[tokio::test]
async fn an_environment_initialized_but_never_invoked_writes_nothing() {
    let simulation = Simulation::with(&program(), |spec| spec).await;
    assert!(simulation.lambda.initialise("f").await.unwrap());
    let log = ended(simulation).await;
    assert!(log.own.is_empty() && log.made.is_empty() && log.points.is_empty(), "{log:?}");
}

#[tokio::test]
async fn acknowledged_spans_survive_a_killed_extension() {
    let mut simulation = Simulation::with(&program(), |spec| spec).await;
    simulation.invoke(json!({"spans": [5]})).await;
    assert_eq!(simulation.lambda.kill_extension("f", EXTENSION), 1);
    simulation.invoke(json!({"spans": [1]})).await;
    let log = ended(simulation).await;
    assert!(log.own.len() >= 5, "{log:?}");
}
