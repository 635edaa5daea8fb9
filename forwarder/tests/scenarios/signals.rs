//! Destinations that take some signals only.

use crate::support::{
    Backend, Telemetry, config, default_options, incoming, invocation, line_of, payload, takes,
};
use backend::{DestinationConfig, Profile, Signals};
use lambda_otlp_forwarder::{
    Destination, Forwarder, IngestPolicy, Ledger, Queues, Report, RuleSet, SqsQueue,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::sync::{Arc, Mutex};
use wire::Request;

const REPORT: &str = "REPORT RequestId: 8c2f1a3e-1111-4222-8333-944455556666\tDuration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\tMax Memory Used: 40 MB\t";

/// A name with the words of what it takes, and the number of spans, data points and records that reached it.
type Arrived = (&'static str, [usize; 3]);

/// Forwards a span, a log record and Lambda's report to two destinations that take these signals.
async fn forward(first: &'static str, second: &'static str) -> (Report, [Arrived; 2]) {
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "a".to_owned(),
        start_time_unix_nano: 1_790_000_000_000_000_000,
        end_time_unix_nano: 1_790_000_000_000_000_001,
        ..Span::default()
    };
    let traces = line_of(Request::of_spans(Resource::default(), vec![span]).bytes(), "traces");
    let event = incoming(&payload("/aws/lambda/orders", &[&traces, "hello", REPORT]));
    let sent = [Mutex::default(), Mutex::default()];
    let destination = |name: &str, words: &str, position: usize| {
        let sent: &Mutex<Vec<Request>> = &sent[position];
        let signals = Signals::parse(words).unwrap();
        let config = DestinationConfig { profile: Profile::Otlp, signals, ..config().destination };
        let backend = Backend(move |request: &Request| {
            sent.lock().unwrap().push(request.clone());
            takes(request)
        });
        Arc::new(Destination::new(name, backend, &config, IngestPolicy::any_time()))
    };
    let rules = RuleSet::parse(
        "[destination.second]\nendpoint = \"http://127.0.0.1:9/\"\nprofile = \"otlp\"\nsignals = [\"metrics\"]\n[[route]]\nto = [\"default\", \"second\"]\n",
    );
    let destinations = vec![destination("default", first, 0), destination("second", second, 1)];
    let mut forwarder =
        Forwarder::new(Vec::new(), Queues::<SqsQueue>::default(), default_options());
    forwarder.set_rules(Arc::new(rules.unwrap()), destinations);
    let report = forwarder.forward(event, &invocation()).await;
    let arrived = |position: usize| {
        let requests = sent[position].lock().unwrap();
        let telemetry = Telemetry::of(&requests);
        let all = requests.iter().map(Request::items).sum::<usize>();
        let (spans, records) = (telemetry.spans().count(), telemetry.records().count());
        [spans, all - spans - records, records]
    };
    let arrived = [(first, arrived(0)), (second, arrived(1))];
    (report, arrived)
}

#[tokio::test(start_paused = true)]
async fn each_signal_goes_to_the_destinations_that_take_it_and_is_counted_if_none_does() {
    // Of a report's metrics, the memory limit is no delta.
    let all = "traces,metrics,logs";
    let (_, [(_, everything), _]) = forward(all, all).await;
    let [spans, points, records] = everything;
    assert!(spans == 1 && points > 5 && records == 2, "{everything:?}");
    for (first, second, expected, not_taken) in [
        (all, all, [everything, everything], 0),
        ("traces,logs", "metrics", [[1, 0, 2], [0, points, 0]], 0),
        ("traces,logs", "cumulative_metrics", [[1, 0, 2], [0, 1, 0]], points - 1),
        ("metrics", "cumulative_metrics", [[0, points, 0], [0, 1, 0]], 3),
        ("logs", "logs", [[0, 0, 2], [0, 0, 2]], 1 + points),
    ] {
        let (report, [(_, one), (_, two)]) = forward(first, second).await;
        assert_eq!([one, two], expected, "{first} {second}");
        assert_eq!(report.not_taken, not_taken, "{first} {second}");
        let Ledger { accepted, dropped, .. } = *report.ledger();
        let sent: usize = expected.iter().flatten().sum();
        assert_eq!((accepted, dropped), (sent, not_taken), "{first} {second}");
        assert!(report.is_complete() && report.ledgers.balances(), "{first} {second}");
    }
}
