//! Events that a backend does not accept: circuit breaker, retries, and returned items.

use super::*;
use opentelemetry_proto::tonic::trace::v1::Span;

#[tokio::test(start_paused = true)]
async fn the_smallest_request_probes_a_failed_backend() {
    let is_up = Mutex::new(false);
    let sent = Mutex::new(Vec::new());
    let backend = Backend(|request: &Request| {
        sent.lock().unwrap().push(request.bytes().len());
        let is_up = *is_up.lock().unwrap();
        if is_up { takes(request) } else { refuses(request, 503, Fate::Park) }
    });
    let stack = Stack::with(vec![by_function("default", backend)], default_options());
    let event = || kinesis(&["orders", "stock", "billing"], &["a line"]);
    let forwarded = async || {
        let report = stack.forward(event()).await;
        let sent = std::mem::take(&mut *sent.lock().unwrap());
        assert_eq!((report.requests_sent, report.bytes_sent), (sent.len(), sent.iter().sum()));
        (*report.ledger(), sent)
    };
    let mut smallest = usize::MAX;
    for _ in 0..3 {
        let (ledger, sent) = forwarded().await;
        assert_eq!((ledger.parked, sent.len()), (3, 3));
        smallest = sent.into_iter().min().unwrap();
    }
    let (ledger, sent) = forwarded().await;
    assert_eq!((ledger.parked, sent.len()), (3, 0), "it is left alone");
    tokio::time::advance(Duration::from_secs(29)).await;
    assert_eq!(forwarded().await.1, [0; 0]);
    tokio::time::advance(Duration::from_secs(2)).await;
    let (ledger, sent) = forwarded().await;
    assert_eq!(ledger.parked, 3);
    assert_eq!(sent, [smallest], "the smallest request is the probe, the others are parked");
    *is_up.lock().unwrap() = true;
    tokio::time::advance(Duration::from_secs(31)).await;
    let (ledger, sent) = forwarded().await;
    assert_eq!((ledger.accepted, sent.len()), (3, 3), "they wait for the probe only");
    assert_eq!(forwarded().await.0.accepted, 3, "one success ends it");
}

/// A destination with requests of at most this size, if they have more than one item.
fn limited<E>(export: E, max_request_bytes: usize) -> Destination<E> {
    let config = DestinationConfig { max_request_bytes, ..config().destination };
    Destination::new("default", export, &config, IngestPolicy::any_time())
}

#[tokio::test(start_paused = true)]
async fn only_a_failed_probe_stops_the_other_requests() {
    // The answers to the first event, the last one first.
    for (is_by_function, answers) in
        [(false, [true, true, false]), (false, [false, true, true]), (true, [false, true, true])]
    {
        let answers = Mutex::new(answers.to_vec());
        let sent = Mutex::new(0);
        let backend = Backend(|request: &Request| {
            *sent.lock().unwrap() += 1;
            let is_up = answers.lock().unwrap().pop().unwrap_or(false);
            if is_up { takes(request) } else { refuses(request, 503, Fate::Park) }
        });
        // Three parcels, or one with three requests.
        let destination =
            if is_by_function { by_function("default", backend) } else { limited(backend, 1) };
        let stack = Stack::with(vec![destination], default_options());
        let event = || kinesis(&["orders", "stock", "billing"], &["one", "two"]);
        let report = stack.forward(event()).await;
        assert_eq!((report.ledger().accepted, report.ledger().parked), (4, 2));
        let parked = QueuedTelemetry::from_body(&stack.retry.bodies()[0]).unwrap();
        let LogEventRange { origin, first_event_id, last_event_id } = parked.log_events;
        let first = if is_by_function { 2 } else { 0 };
        assert_eq!(
            (first_event_id, last_event_id),
            (format!("{first}{:055}", 0), format!("2{:055}", 1))
        );
        assert_ne!(origin, Origin::default());
        for _ in 0..3 {
            assert_eq!(stack.forward(event()).await.ledger().parked, 6);
        }
        assert_eq!(*sent.lock().unwrap(), 12, "three failed events, of three requests each");
        tokio::time::advance(Duration::from_secs(31)).await;
        *sent.lock().unwrap() = 0;
        assert_eq!(stack.forward(event()).await.ledger().parked, 6);
        assert_eq!(*sent.lock().unwrap(), 1, "the probe's other requests are parked unsent");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_not_readable_to_its_end_is_delivered_partly_and_dead_lettered() {
    let source = SourceLimits { inflated_bytes: 10_000, batch_bytes: 1, ..SourceLimits::default() };
    let large = "x".repeat(20_000);
    for (lines, end, accepted) in [(["one", "two"], "garbage", 2), (["one", &large], "", 0)] {
        let options = Options { source, ..default_options() };
        let stack = Stack::with(vec![destination("default", Backend(takes))], options);
        let text = payload("/aws/lambda/orders", &lines).to_string() + end;
        let report = stack.forward(event_of(&text)).await;
        assert_eq!((report.ledger().accepted, report.ledger().dead_lettered), (accepted, 1));
        assert!(lambda_otlp_forwarder::answer(&report).is_ok(), "it does not come again");
        let [letter] = &stack.dead_letters()[..] else { panic!() };
        let Content::Raw(bytes) = &letter.content else { panic!("{letter:?}") };
        assert_eq!(wire::gzip::inflate(bytes, 1 << 20).unwrap(), text.as_bytes());
    }
}

pub(super) fn span_line() -> String {
    line_of_spans(&[(&[1; 16], &[2; 8])])
}

/// A line with spans of these trace ids and span ids.
pub(super) fn line_of_spans(ids: &[(&[u8], &[u8])]) -> String {
    let span = |(trace_id, span_id): &(&[u8], &[u8])| Span {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        name: "GET /".to_owned(),
        start_time_unix_nano: NOW,
        end_time_unix_nano: NOW + 1,
        ..Span::default()
    };
    line_of(Request::of_spans(None, ids.iter().map(span).collect()).bytes(), "traces")
}

#[tokio::test(start_paused = true)]
async fn only_spans_with_invalid_ids_are_dead_lettered() {
    let stack = Stack::new(Backend(takes));
    let good: (&[u8], &[u8]) = (&[1; 16], &[2; 8]);
    let zeros: (&[u8], &[u8]) = (&[0; 16], &[2; 8]);
    let line = line_of_spans(&[(&[1; 8], &[2; 8]), good, zeros, (&[1; 16], &[0; 8]), good]);
    let report = stack.forward(incoming(&payload("/aws/lambda/orders", &[&line]))).await;
    assert_eq!((report.ledger().accepted, report.ledger().dead_lettered), (2, 3));
    let letters = stack.dead_letters();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    let Content::Request(request) = &letter.content else { panic!("{letter:?}") };
    assert_eq!((request.items(), letter.destination.as_str()), (3, "default"));
    assert_eq!(letter.reason, Reason::InvalidIds.to_string());
    assert_eq!(letter.oldest_unix_nano, Some(NOW));
}

#[tokio::test(start_paused = true)]
async fn a_request_larger_than_the_limit_is_divided_and_loses_nothing() {
    const MAX_BYTES: usize = 1_000;
    let sent = Mutex::new(Vec::new());
    let backend = Backend(|request: &Request| {
        let mut sent = sent.lock().unwrap();
        sent.push(request.clone());
        Outcome { warning: format!("warning {}", sent.len()), ..takes(request) }
    });
    let stack = Stack::with(vec![limited(backend, MAX_BYTES)], default_options());
    // One line, so one request.
    let request = logs((0..100).map(|n| format!("record {n}")));
    let line = line_of(request.bytes(), "logs");
    let report = stack.forward(incoming(&payload("/aws/lambda/orders", &[&line]))).await;
    assert_eq!(report.ledger().accepted, 100);
    let warnings = report.warnings.concat();
    assert!(warnings.starts_with("warning 1; warning 2; "), "{warnings}");
    let sent = sent.lock().unwrap();
    assert!(sent.iter().all(|request| request.bytes().len() <= MAX_BYTES));
    let found: Vec<String> = sent.iter().flat_map(texts).collect();
    assert_eq!(found, texts(&request));
}
