//! Hanging and slow destinations do not delay others.

use super::*;
use lambda_otlp_forwarder::{IngestWindow, OldRecords};
use std::sync::atomic::{AtomicBool, Ordering};

fn functions(number: usize) -> Event {
    let names: Vec<String> = (0..number).map(|n| format!("f{n}")).collect();
    kinesis(&names.iter().map(String::as_str).collect::<Vec<_>>(), &["a line"])
}

#[tokio::test(start_paused = true)]
async fn a_hanging_destination_does_not_block_another() {
    let rules = RuleSet::parse(
        r#"
        [destination.other]
        endpoint = "http://127.0.0.1:9/other"
        [[route]]
        log_group = "*"
        to = ["default", "other"]
        "#,
    )
    .unwrap();
    let time = Duration::from_millis(100);
    let accepts_until = Instant::now() + 12 * time;
    let slow = |name| {
        let accepts = move || (time, Instant::now() <= accepts_until);
        Slow(move |_: &Request| if name == "default" { HANGS } else { accepts() })
    };
    let destinations = ["default", "other"].map(|name| Arc::new(by_function(name, slow(name))));
    let mut stack = Stack::with(Vec::new(), default_options());
    stack.forwarder.set_rules(Arc::new(rules), destinations.into());
    let report = stack.forward(functions(12)).await;
    let of = |name: &str| report.ledgers.destinations[name];
    assert_eq!((of("default").parked, of("other").accepted), (12, 12));
}

#[tokio::test(start_paused = true)]
async fn a_slow_destination_receives_all_requests_six_at_once() {
    let slow = Slow(|_: &Request| (Duration::from_secs(1), true));
    let stack = Stack::with(vec![by_function("default", slow)], default_options());
    let began = Instant::now();
    assert_eq!(stack.forward(functions(90)).await.ledger().accepted, 90);
    assert_eq!(began.elapsed(), Duration::from_secs(15), "six at once");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_destination_is_probed_every_two_minutes() {
    let slow = Slow(|_: &Request| HANGS);
    let stack = Stack::with(vec![by_function("default", slow)], default_options());
    let took = async |pause| {
        tokio::time::advance(Duration::from_secs(pause)).await;
        let began = Instant::now();
        assert_eq!(stack.forward(functions(1)).await.ledger().parked, 1);
        began.elapsed().as_secs()
    };
    let failures = [took(0).await, took(0).await, took(0).await];
    assert_eq!(failures, [10, 10, 10]);
    // Counted from the beginning of the last delivery, which took 10 s.
    assert_eq!([took(100).await, took(10).await], [0, 10]);
    assert_eq!([took(100).await, took(10).await], [0, 10]);
}

#[tokio::test(start_paused = true)]
async fn accepted_logs_do_not_reset_the_failures_of_traces() {
    let slow = Slow(|request: &Request| match request.kind() {
        SignalKind::Traces => HANGS,
        _ => (Duration::ZERO, true),
    });
    let options = Options { enough_to_deliver: 1, ..default_options() };
    let stack = Stack::with(vec![destination("default", slow)], options);
    let span = deliveries::span_line();
    let forwarded = async || {
        let begin = Instant::now();
        let report = stack.forward(kinesis(&["orders", "stock"], &["a line", &span])).await;
        assert_eq!((report.ledger().accepted, report.ledger().parked), (2, 2));
        (report.requests_sent, begin.elapsed().as_secs())
    };
    assert_eq!(forwarded().await, (3, 10), "the failure budget of the event, once");
    for _ in 0..2 {
        assert_eq!(forwarded().await.0, 3);
    }
    assert_eq!(forwarded().await, (2, 0), "spans are left alone");
}

#[tokio::test(start_paused = true)]
async fn an_accepted_request_resets_the_failure_budget() {
    let is_first = AtomicBool::new(true);
    let export = Slow(|_: &Request| {
        if is_first.swap(false, Ordering::Relaxed) {
            (Duration::ZERO, false)
        } else {
            (Duration::from_secs(6), true)
        }
    });
    let options = Options { enough_to_deliver: 1, ..default_options() };
    let stack = Stack::with(vec![destination("default", export)], options);
    let report = stack.forward(kinesis(&["a", "b", "c", "d"], &["a line"])).await;
    assert_eq!((report.ledger().accepted, report.ledger().parked), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn records_that_leave_the_window_during_an_invocation_are_not_sent() {
    let slow = Slow(|_: &Request| (Duration::from_secs(9), true));
    let window = Some(IngestWindow { past: Duration::from_hours(5) });
    let policy = IngestPolicy { window, old_records: OldRecords::DeadLetter };
    let destination = Destination::new("default", slow, &config().destination, policy);
    let options = Options { enough_to_deliver: 1, ..default_options() };
    let stack = Stack::with(vec![destination], options);
    // The window ends 15 seconds early. The third record is sent 18 seconds after the first.
    tokio::time::advance(Duration::from_hours(5).saturating_sub(Duration::from_secs(25))).await;
    let report = stack.forward(kinesis(&["orders", "stock", "billing"], &["a line"])).await;
    assert_eq!((report.ledger().accepted, report.ledger().dead_lettered), (2, 1));
}
