//! The extension as a process beside a function, in a local Lambda that freezes, kills and shuts down. Each story is told with
//! the layer and without: the function's results are the same, and acknowledged items are in the log.

use crate::{DEFAULT_PORTS, program};
use lambda_otlp_tests::stories::states::{self, End, MANY_LINES, State, Step};
use lambda_otlp_tests::stories::{EXTENSION, Log, ROOT, Story, TRACE};
use local_lambda::{LogFormat, LogLevel};
use serde_json::json;
use std::time::Duration;

/// The longest pause of a story. Unit tests cover longer ones.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Tells a story with the layer and without. The results have to be equal.
pub(crate) async fn told(state: &State) -> Log {
    let mut results = Vec::new();
    let mut log = Log::default();
    for with_layer in [false, true] {
        let mut story = Story::of(&program(), state, with_layer).await;
        for step in &state.steps {
            if let Step::Pause(pause) = step
                && *pause < LONGEST_PAUSE
            {
                tokio::time::sleep(*pause).await;
            }
            story.step(step).await;
        }
        results.push(story.results());
        log = story.end(state.end).await;
        assert!(with_layer || (log.own.is_empty() && log.made.is_empty()));
    }
    assert_eq!(results[0], results[1], "{}: without the layer, and with it", state.name);
    log
}

/// Tells a story in stdout mode. What was acknowledged is in the log.
async fn run_story(state: &State) -> Log {
    complete(told(state).await)
}

fn complete(log: Log) -> Log {
    assert_eq!(log.wrong, [0; 0], "of {} that were acknowledged: {log:?}", log.acknowledged);
    log
}

/// Ends the environment.
async fn ended(story: Story) -> Log {
    complete(story.end(End::Shutdown).await)
}

/// Tells the story of a function with the layer that gets these events.
async fn invoked(payloads: &[serde_json::Value]) -> Log {
    let mut story = Story::with(&program(), |spec| spec).await;
    for payload in payloads {
        story.invoke(payload.clone()).await;
    }
    ended(story).await
}

/// The extension's spans, sorted: invocations that follow each other within the 25 ms of a delivery are written together.
fn sorted(log: &Log) -> Vec<String> {
    let mut spans = log.spans();
    spans.sort();
    spans
}

#[tokio::test]
async fn cold_and_warm_invocations_are_written_once_each() {
    let log = run_story(&states::cold()).await;
    assert_eq!((log.own.len(), log.spans()), (3, vec!["internal ok".to_owned()]));
    let log = run_story(&states::cold_and_quiet()).await;
    assert_eq!((log.own.len(), log.spans()), (0, vec!["server ok".to_owned()]));
    let log = run_story(&states::warm_steady(2)).await;
    assert_eq!(log.own.len(), 9);
    let expected = ["internal ok", "internal ok", "internal ok", "server ok", "server ok"];
    assert_eq!(sorted(&log), expected);
    for name in ["aws.lambda.response_latency", "aws.lambda.extension_overhead"] {
        assert_eq!(log.points.get(name), Some(&5), "{name}: {:?}", log.points);
    }
    assert_eq!(run_story(&states::warm_rare()).await.own.len(), 6);
}

/// The bad invocation has no root: its own span is the extension's.
fn is_between_good_ones(log: &Log) {
    assert_eq!(log.own.len(), 3 + 3 + 5 + 3);
    assert_eq!(sorted(log), ["internal ok", "internal ok", "internal ok", "server error"]);
}

#[tokio::test]
async fn the_layer_does_not_change_an_error_or_panic() {
    is_between_good_ones(&run_story(&states::handler_error()).await);
    is_between_good_ones(&run_story(&states::panic()).await);
}

#[tokio::test]
async fn the_layer_does_not_change_a_crash_timeout_or_exhausted_memory() {
    is_between_good_ones(&run_story(&states::crash()).await);
    is_between_good_ones(&run_story(&states::timeout()).await);
    is_between_good_ones(&run_story(&states::out_of_memory()).await);
}

/// Lambda restarts the extension in the same environment, where its subscription lives on.
#[tokio::test]
async fn a_restarted_extension_gets_the_events_of_the_failed_invocation() {
    for state in [states::crash(), states::timeout()] {
        let log = run_story(&state).await;
        assert!(log.undelivered.is_empty(), "{}: {:?}", state.name, log.undelivered);
        let subscribed = |how: &str| log.text.iter().filter(|text| text.contains(how)).count();
        assert_eq!([subscribed("State: Subscribed"), subscribed("State: Already")], [1, 1]);
    }
}

#[tokio::test]
async fn the_exporter_record_identifies_the_root() {
    let log = invoked(&[json!({"record": true}), json!({})]).await;
    assert_eq!(log.spans(), ["internal ok", "server ok"]);
    assert_eq!(
        (log.made[0].trace_id.as_slice(), log.made[0].parent_span_id.as_slice()),
        (&TRACE[..], &ROOT[..])
    );
}

#[tokio::test]
async fn the_extension_writes_roots_lost_in_crashes_or_timeouts() {
    for end in ["exit", "hang"] {
        let mut story = Story::with(&program(), |spec| spec.timeout(states::SHORT)).await;
        story.invoke(json!({"record": true, "end": end})).await;
        let log = ended(story).await;
        assert_eq!(log.spans(), ["server error"], "{end}");
        let made = &log.made[0];
        assert_eq!((&made.trace_id[..], &made.span_id[..]), (&TRACE[..], &ROOT[..]), "{end}");
        assert!(made.parent_span_id.is_empty(), "{end}");
    }
}

#[tokio::test]
async fn an_environment_initialized_but_never_invoked_writes_nothing() {
    let story = Story::with(&program(), |spec| spec).await;
    assert!(story.lambda.initialise("f").await.unwrap());
    let log = ended(story).await;
    assert!(log.own.is_empty() && log.made.is_empty() && log.points.is_empty(), "{log:?}");
}

#[tokio::test]
async fn acknowledged_spans_survive_a_killed_extension() {
    let mut story = Story::with(&program(), |spec| spec).await;
    story.invoke(json!({"spans": [5]})).await;
    assert_eq!(story.lambda.kill_extension("f", EXTENSION), 1);
    story.invoke(json!({"spans": [1]})).await;
    let log = ended(story).await;
    assert!(log.own.len() >= 5, "{log:?}");
}

#[tokio::test]
async fn lines_pass_the_application_log_level_filter() {
    let mut story = Story::with(&program(), |spec| {
        spec.log_format(LogFormat::Json).application_log_level(LogLevel::Error)
    })
    .await;
    story.invoke(json!({"spans": [3]})).await;
    assert_eq!(ended(story).await.own.len(), 3);
}

#[tokio::test]
async fn without_a_hold_telemetry_is_written_after_the_freeze() {
    let log = run_story(&states::frozen()).await;
    assert_eq!(log.own.len(), 9);
    assert_eq!(sorted(&log), ["internal ok", "internal ok", "internal ok", "server ok"]);
    assert_eq!(log.undelivered.values().sum::<usize>(), 0, "{:?}", log.undelivered);
}

#[tokio::test]
async fn acknowledged_spans_are_logged_if_the_environment_never_thaws() {
    let log = run_story(&states::never_thawed()).await;
    assert_eq!(log.own.len(), 3 + 4 + 3);
    // Lambda reports an invocation when its extensions are done, so that the last report is never delivered.
    assert!(log.undelivered["platform.report"] >= 1, "{:?}", log.undelivered);
}

#[tokio::test]
async fn a_busy_port_disables_only_the_otlp_receiver() {
    let log = run_story(&states::busy_port()).await;
    assert_eq!(log.spans(), ["server ok"; 2]);
    assert!(log.has_text("cannot receive OTLP"), "{:?}", log.text);
}

#[tokio::test]
async fn the_config_file_is_read_in_lambda() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, "[correlation]\nmax_correlation_delay = 500\n").unwrap();
    let file = file.to_str().unwrap();
    let mut story = Story::with(&program(), |spec| spec.env("LAMBDA_OTLP_CONFIG_FILE", file)).await;
    story.invoke(json!({})).await;
    let log = ended(story).await;
    let said =
        "LAMBDA_OTLP_CONFIG_FILE: these keys are not used: correlation.max_correlation_delay";
    assert!(log.has_text(said), "{:?}", log.text);
}

#[tokio::test]
async fn invalid_settings_are_logged_once_and_lose_no_span() {
    let state = states::wrong_settings();
    let log = run_story(&state).await;
    assert_eq!(log.own.len(), 6);
    let complaints: Vec<_> =
        log.text.iter().filter(|line| line.contains("lambda-otlp-extension: ")).collect();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    for (name, _) in state.variables {
        assert!(complaints[0].contains(name), "{complaints:?}");
    }
}

#[tokio::test]
async fn without_a_subscription_only_platform_telemetry_is_missing() {
    for status in [202, 404, 500] {
        let log = run_story(&states::subscription(status)).await;
        assert_eq!((log.own.len(), log.spans()), (6, Vec::<String>::new()), "{status}");
        assert_eq!(log.has_text("cannot subscribe"), status == 500, "{status}: {:?}", log.text);
    }
}

#[tokio::test]
async fn events_of_one_mebibyte_block_no_other_telemetry() {
    let log = run_story(&states::events_of_a_mebibyte()).await;
    assert_eq!((log.own.len(), log.spans()), (9, vec!["internal ok".to_owned(); 3]));
    assert_eq!(log.points.get("aws.lambda.logs_dropped"), Some(&1), "{:?}", log.points);
    assert_eq!(log.undelivered.values().sum::<usize>(), 0, "{:?}", log.undelivered);
}

#[tokio::test]
async fn one_mebibyte_of_otlp_or_log_lines_loses_no_span() {
    let log = run_story(&states::mebibyte_of_otlp()).await;
    assert_eq!((log.own.len(), log.spans().len()), (506, 3));
    let log = run_story(&states::mebibyte_of_telemetry()).await;
    assert_eq!((log.own.len(), log.spans().len(), lines_in(&log)), (6, 3, 4000));
}

#[tokio::test]
async fn no_span_or_line_of_a_hundred_thousand_is_lost() {
    for state in [states::many_lines(), states::many_lines_subscribed()] {
        let log = run_story(&state).await;
        assert_eq!((log.own.len(), log.spans().len(), lines_in(&log)), (9, 3, MANY_LINES));
    }
}

#[tokio::test]
async fn otlp_is_received_on_another_port_if_defaults_are_busy() {
    let _ports = DEFAULT_PORTS.lock().await;
    let log = run_story(&states::busy_default_ports()).await;
    assert_eq!((log.own.len(), log.acknowledged), (6, 6), "{log:?}");
    assert_eq!(log.spans(), vec!["internal ok".to_owned(); 2]);
}

#[tokio::test]
async fn a_restored_environment_and_a_managed_instance_write_all_spans_and_metrics() {
    for state in [states::snap_start(), states::managed_instance()] {
        let log = run_story(&state).await;
        assert_eq!((log.own.len(), log.acknowledged), (6, 6), "{}: {log:?}", state.name);
        assert_eq!(sorted(&log), ["internal ok", "internal ok", "server ok"], "{}", state.name);
        assert_eq!(log.points.get("aws.lambda.response_latency"), Some(&3), "{}", state.name);
    }
}

fn lines_in(log: &Log) -> usize {
    log.text.iter().filter(|line| line.contains("a line of the function")).count()
}
