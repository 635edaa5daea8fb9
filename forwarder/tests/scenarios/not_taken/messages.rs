//! Queued messages that a backend does not accept: number of requests, size of pieces, and the rest.

use super::*;
use wire::compact::{Context, Encoder};

/// The client's own search, and those of pieces: the last one begins after at most 23 requests.
const REQUESTS_IN_VAIN: usize = 25 + 23 + 25;

#[tokio::test(start_paused = true)]
async fn scattered_bad_records_do_not_block_the_good_ones() {
    for (records, every, status) in [
        (1_000, 200, 400),
        (1_000, 10, 422),
        (3_000, 2, 400),
        (5, 2, 422),
        (201, 201, CLOSES),
        (1_000, 200, CLOSES),
        (3_000, 2, CLOSES),
        (5, 2, CLOSES),
    ] {
        let server = Server::new(rejects_bad(status));
        let stack = Stack::new(client(server.clone()));
        let name =
            |n: usize| if n % every == every / 2 { format!("bad {n}") } else { n.to_string() };
        let request = logs((0..records).map(name));
        stack.park(parked("default", Content::Request(request), records));
        let mut receives = 0;
        while !stack.retry.is_empty() {
            if receives % 10 == 9 {
                // Other telemetry is accepted meanwhile, so the backend does not reject everything.
                let other = logs(std::iter::once("other".to_owned()));
                stack.park(parked("default", Content::Request(other), 1));
            }
            let report = stack.redrive().await;
            assert!(report.ledger().ambiguous == 0 || status == CLOSES);
            // The client's search, or eight pieces, each with a search of its own and a request for four items.
            let max_requests = 25 + 8 * 49 + records / 4;
            assert!(report.requests_sent <= max_requests, "{}", report.requests_sent);
            receives += 1;
            assert!(receives < 10_000, "{records} records, every {every}th bad: for ever");
        }
        let stored = server.stored.lock().unwrap();
        let good: Vec<String> = (0..records).map(name).filter(|n| !n.starts_with("bad")).collect();
        assert!(good.iter().all(|good| stored.get(good) == Some(&1)), "{stored:?}");
        let letters = stack.dead_letters();
        let bad: usize = letters.iter().map(|letter| letter.items).sum();
        assert_eq!(bad + good.len(), records);
        println!("{records} records, every {every}th bad: {receives} receives");
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_crash_the_backend_hold_up_no_other_message() {
    let server = Server::new(rejects_bad(CLOSES));
    let stack = Stack::new(client(server.clone()));
    for text in ["bad 1", "bad 2", "clean 1", "bad 3", "bad 4", "clean 2", "clean 3"] {
        let request = logs(std::iter::once(text.to_owned()));
        stack.park(parked("default", Content::Request(request), 1));
    }
    for _ in 0..11 {
        let _report = stack.redrive().await;
    }
    assert_eq!((stack.retry.len(), stack.dead_letters.len()), (0, 4));
    let stored: Vec<String> = server.stored.lock().unwrap().keys().cloned().collect();
    assert_eq!(stored, ["clean 1", "clean 2", "clean 3"]);
    // New telemetry is sent at once.
    let lines = incoming(&payload("/aws/lambda/a", &["a line"]));
    assert_eq!(stack.forward(lines).await.ledger().accepted, 1);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_takes_nothing_gets_few_requests_and_no_record_is_blamed() {
    for (status, body, max_requests) in [
        (400, &b"Invalid record"[..], REQUESTS_IN_VAIN),
        // OpenObserve with a full disk. Two requests and 24 halves of the client; then pieces, the last one after at most 23 requests.
        (200, b"\x0a\x00", 26 + 23 + 26),
    ] {
        for records in [1, 2, 3, 1_000] {
            let server = Server::new(move |_: &[String]| (status, HeaderMap::new(), body));
            let stack = Stack::new(client(server));
            let lines = incoming(&payload("/aws/lambda/a", &vec!["a line"; records]));
            assert_eq!(stack.forward(lines).await.ledger().parked, records);
            for _ in 0..12 {
                let report = stack.redrive().await;
                assert_eq!(report.ledger().returned, records);
                assert!(report.requests_sent <= max_requests, "{}", report.requests_sent);
                assert!(report.undelivered.iter().all(|part| part.fate != Fate::ParkWithAlarm));
            }
            assert_eq!((stack.retry.len(), stack.dead_letters.len()), (1, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_stays_queued_if_its_dead_letter_is_rejected() {
    // Accepts the first record, blames the second one, and is too busy for the third one.
    let stack = Stack::new(Backend(|request: &Request| {
        let (first, others) = request.clone().split_at(1);
        let (second, third) = others.split_at(1);
        let mut outcome = takes(&first);
        outcome += refuses(&second, 400, Fate::DeadLetter);
        outcome += refuses(&third, 503, Fate::Park);
        outcome
    }));
    stack.park_records(3);
    stack.dead_letters.script([QueueResponse::refuse(403, "AccessDenied")]);
    let report = stack.redrive().await;
    let ledger = report.ledger();
    assert_eq!((ledger.accepted, ledger.returned, ledger.ambiguous), (1, 2, 1));
    assert_eq!((stack.retry.len(), stack.dead_letters.len()), (1, 0), "the rest is in it");
}

#[tokio::test(start_paused = true)]
async fn a_message_is_not_divided_while_the_backend_is_down() {
    let stack = Stack::new(Backend(|request: &Request| refuses(request, 503, Fate::Park)));
    stack.park_records(1_000);
    for _ in 0..3 {
        assert_eq!(stack.redrive().await.requests_sent, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_stays_hidden_for_the_requested_retry_delay() {
    let stack = Stack::new(client(Server::new(busy)));
    stack.park_records(1);
    let report = stack.redrive().await;
    assert_eq!(report.ledger().returned, 1);
    assert_eq!(stack.retry.next_visible_in(), Some(Duration::from_mins(10)));
}

fn content_of(message: String) -> Content {
    let event = LogEvent { id: "1".to_owned(), timestamp_ms: 1_790_000_000_000, message };
    Content::Events(LogBatch { events: vec![event], ..LogBatch::default() })
}

#[tokio::test(start_paused = true)]
async fn without_a_dead_letter_queue_an_undecodable_line_stays_queued() {
    let mut stack = Stack::new(Backend(takes));
    stack.forwarder = Forwarder::new(
        vec![Arc::new(destination("default", Backend(takes)))],
        Queues {
            retry: Some(MemoryQueue { queue: stack.retry.clone(), network: None }),
            dead_letters: None,
        },
        default_options(),
    );
    let line = r#"{"__otel_otlp_stdout":"0.1.0","endpoint":"/v1/traces","payload":"!"}"#;
    stack.park(parked("default", content_of(line.to_owned()), 1));
    let report = stack.redrive().await;
    assert_eq!(report.ledger().returned, 1, "{:?}", report.undelivered);
    assert_eq!((stack.retry.len(), report.oldest_event_ms), (1, None), "a redrive has no lag");
    // The log group still contains a new line, and a span with an invalid id.
    let span = deliveries::line_of_spans(&[(&[1; 8], &[2; 8])]);
    let report = stack.forward(incoming(&payload("/aws/lambda/orders", &[line, &span]))).await;
    let ledger = report.ledger();
    assert_eq!((ledger.returned, ledger.dead_lettered, ledger.dropped), (0, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_line_with_a_later_dictionary_is_dead_lettered_until_a_redrive_reads_it() {
    let stack = Stack::new(Backend(takes));
    let line_of = |dictionary| {
        let request = logs(std::iter::once("an order".to_owned()));
        let text = Encoder::new(dictionary).text(&Context::default(), &[&request]);
        format!(r#"{{"_otelc":"{text}"}}"#)
    };
    let new = line_of(100);
    let report = stack.forward(incoming(&payload("/aws/lambda/orders", &[&new]))).await;
    assert_eq!((report.ledger().accepted, report.ledger().dead_lettered), (1, 1));
    let letter = stack.dead_letters().remove(0);
    assert!(letter.reason.contains("needs dictionary 100"), "{}", letter.reason);
    let Content::Events(batch) = &letter.content else { panic!() };
    assert_eq!(batch.events[0].message, new);
    stack.park(letter.clone());
    assert_eq!(stack.redrive().await.ledger().dead_lettered, 1, "it is too early");
    // A later forwarder knows dictionary 100, like this one dictionary 0.
    stack.park(QueuedTelemetry { content: content_of(line_of(0)), ..letter });
    let ledger = *stack.redrive().await.ledger();
    assert_eq!((ledger.accepted, ledger.dead_lettered, stack.retry.len()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_remainder_of_a_message_keeps_its_alarm() {
    let stack = Stack::new(Backend(|request: &Request| {
        let (first, second) = request.clone().split_at(1);
        let mut outcome = takes(&first);
        outcome += refuses(&second, 403, Fate::ParkWithAlarm);
        outcome.retry_after = Some(Duration::from_hours(2));
        outcome
    }));
    stack.park_records(2);
    let report = stack.redrive().await;
    assert_eq!(stack.retry.next_visible_in(), Some(Duration::from_mins(15)), "SQS allows no more");
    let [rest] = &report.undelivered[..] else { panic!("{:?}", report.undelivered) };
    assert_eq!(rest.signal, Some(SignalKind::Logs));
    assert_eq!(
        (&rest.kept_in, rest.items, rest.fate),
        (&KeptIn::RetryQueue, 1, Fate::ParkWithAlarm)
    );
    assert_eq!((report.ledger().accepted, report.ledger().ambiguous), (1, 0));
    let message = QueuedTelemetry::from_body(&stack.retry.bodies()[0]).unwrap();
    assert!(message.reason.contains("403"), "{}", message.reason);
}

#[tokio::test(start_paused = true)]
async fn a_lone_bad_record_is_dead_lettered_after_another_is_accepted() {
    let stack = Stack::new(client(Server::new(rejects_bad(400))));
    let park = |body: &str| {
        let content = Content::Request(logs(std::iter::once(body.to_owned())));
        stack.park(parked("default", content, 1));
    };
    park("good");
    assert_eq!(stack.redrive().await.ledger().accepted, 1);
    park("bad");
    for _ in 0..3 {
        assert_eq!(stack.redrive().await.ledger().returned, 1, "nothing was taken since");
    }
    park("good");
    assert_eq!(stack.redrive().await.ledger().accepted, 1);
    assert_eq!(stack.redrive().await.ledger().dead_lettered, 1);
    assert_eq!((stack.retry.len(), stack.dead_letters.len()), (0, 1));
}
