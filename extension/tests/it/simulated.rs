//! The extension as a process next to a function's, in a local Lambda that freezes, kills and shuts down. Each simulation runs with
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

/// Runs a simulation with the layer and without. The results have to be equal.
pub(crate) async fn simulate(state: &State) -> Log {
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

/// Checks that everything that was acknowledged is in the log.
fn complete(log: Log) -> Log {
    assert_eq!(log.wrong, [0; 0], "of {} that were acknowledged: {log:?}", log.acknowledged.len());
    log
}

async fn ended(simulation: Simulation) -> Log {
    complete(simulation.end(End::Shutdown).await)
}

/// A simulation and its log.
struct Row {
    state: State,
    /// The number of spans that its function sends.
    own: usize,
    /// The extension's spans of its invocations.
    made: &'static str,
    /// Checks the rest of the log.
    check: fn(&Log),
}

/// Runs simulations at the same time, each in a Lambda of its own.
async fn check<const N: usize>(rows: [Row; N]) {
    let mut simulations = tokio::task::JoinSet::new();
    for Row { state, own, made, check } in rows {
        simulations.spawn(async move {
            let log = complete(simulate(&state).await);
            // Invocations that follow each other within the 25 ms of a delivery are written together.
            let mut spans = log.spans();
            spans.sort();
            assert_eq!(log.own.len(), own, "{}: {log:?}", state.name);
            assert_eq!(log.acknowledged.len(), own, "{}: {log:?}", state.name);
            assert_eq!(spans.join(", "), made, "{}: {log:?}", state.name);
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
        Row { state: states::cold(), own: 3, made: "internal unset", check: nothing_else },
        Row { state: states::cold_and_quiet(), own: 0, made: "server unset", check: nothing_else },
        Row {
            state: states::warm_steady(2),
            own: 9,
            made: "internal unset, internal unset, internal unset, server unset, server unset",
            check: |log| {
                for name in ["aws.lambda.response_latency", "aws.lambda.extension_overhead"] {
                    assert_eq!(log.points.get(name), Some(&5), "{name}: {:?}", log.points);
                }
            },
        },
        Row {
            state: states::warm_rare(),
            own: 6,
            made: "internal unset, internal unset, server unset",
            check: nothing_else,
        },
        // Without a hold, telemetry is written after the freeze.
        Row {
            state: states::frozen(),
            own: 9,
            made: "internal unset, internal unset, internal unset, server unset",
            check: nothing_else,
        },
        Row {
            state: states::managed_instance(),
            own: 3 * with_root,
            made: of_managed_instance,
            check: has_metrics,
        },
        Row {
            state: states::managed_instance_of_the_emulator(),
            own: 3 * with_root,
            made: of_managed_instance,
            check: has_metrics,
        },
    ])
    .await;
    let log = complete(simulate(&states::never_thawed()).await);
    assert_eq!(log.own.len(), 3 + 4 + 3);
}

/// The bad invocation has no root: its own span is the extension's.
const BETWEEN_GOOD_ONES: &str = "internal unset, internal unset, internal unset, server error";

#[tokio::test]
async fn the_layer_does_not_change_how_an_invocation_ends() {
    const SPANS: usize = 3 + 3 + 5 + 3;
    let bad = [states::handler_error(), states::panic(), states::out_of_memory()];
    check(bad.map(|state| Row { state, own: SPANS, made: BETWEEN_GOOD_ONES, check: nothing_else }))
        .await;
    // Lambda restarts the extension in the same environment, without its subscription.
    let is_restarted = |log: &Log| {
        let subscribed = |how: &str| log.text.iter().filter(|text| text.contains(how)).count();
        assert_eq!([subscribed("State: Subscribed"), subscribed("State: Already")], [2, 0]);
    };
    let restarting = [states::crash(), states::timeout()];
    check(restarting.map(|state| Row {
        state,
        own: SPANS,
        made: BETWEEN_GOOD_ONES,
        check: is_restarted,
    }))
    .await;
}

#[tokio::test]
async fn an_invocation_whose_init_failed_has_a_span() {
    for telemetry in [TelemetryAtShutdown::Flushed, TelemetryAtShutdown::Buffered] {
        let state = states::failed_init(telemetry);
        let names_the_failure = |log: &Log| {
            let attributes = format!("{:?}", log.made[0].attributes);
            assert!(attributes.contains("Runtime.ExitError"), "{attributes}");
        };
        check([Row { state, own: 0, made: "server error", check: names_the_failure }]).await;
    }
}

#[tokio::test]
async fn in_wrong_surroundings_only_the_part_that_fails_is_missing() {
    let _ports = DEFAULT_PORTS.lock().await;
    let is_silent = |log: &Log| assert!(!log.has_text("cannot subscribe"), "{:?}", log.text);
    check([
        Row { state: states::subscription(202), own: 6, made: "", check: is_silent },
        Row { state: states::subscription(404), own: 6, made: "", check: is_silent },
        Row {
            state: states::subscription(500),
            own: 6,
            made: "",
            check: |log| assert!(log.has_text("cannot subscribe")),
        },
        Row {
            state: states::busy_port(),
            own: 0,
            made: "server unset, server unset",
            check: |log| {
                assert!(log.has_text("cannot receive OTLP"), "{:?}", log.text);
            },
        },
        Row { state: states::busy_default_ports(), own: 6, made: TWO, check: nothing_else },
        Row {
            state: states::wrong_settings(),
            own: 6,
            made: TWO,
            check: |log| {
                let own = log.text.iter().filter(|line| line.contains("lambda-otlp-extension: "));
                let [line] = *own.collect::<Vec<_>>() else { panic!("{:?}", log.text) };
                let variables = states::wrong_settings().variables;
                assert!(variables.iter().all(|(name, _)| line.contains(name)), "{line}");
            },
        },
    ])
    .await;
}

#[tokio::test]
async fn megabytes_of_telemetry_or_lines_lose_no_span() {
    let lines =
        |log: &Log| log.text.iter().filter(|line| line.contains("a line of the function")).count();
    check([
        Row {
            state: states::events_of_a_mebibyte(),
            own: 9,
            made: THREE,
            check: |log| {
                assert_eq!(log.points.get("aws.lambda.logs_dropped"), Some(&1), "{:?}", log.points);
            },
        },
        Row {
            state: states::mebibyte_of_otlp(),
            own: 506,
            made: "internal unset, internal unset, server unset",
            check: nothing_else,
        },
        Row {
            state: states::mebibyte_of_telemetry(),
            own: 6,
            made: "internal unset, internal unset, server unset",
            check: nothing_else,
        },
    ])
    .await;
    for state in [states::many_lines(), states::many_lines_subscribed()] {
        let log = complete(simulate(&state).await);
        assert_eq!((log.own.len(), log.spans().len(), lines(&log)), (9, 3, MANY_LINES));
    }
}

/// Simulates a function with the layer that gets this event, and then `more` ones without telemetry.
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
