use super::scripted::{Reply, Scripted, numbered, numbers, scripted};
use super::*;
use crate::client::Client;
use crate::destination::DestinationConfig;
use crate::http::gzip_level;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;
use wire::{Request, SignalKind};

/// Delivers on a paused clock and returns the outcome with the elapsed time.
fn deliver_within(
    backend: &Scripted,
    request: Request,
    max_bytes: usize,
    seconds: u64,
) -> (Outcome, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    // The query is a secret.
    let base = Url::parse("http://test/?token=s3cret-token").unwrap();
    let destination =
        DestinationConfig { max_request_bytes: max_bytes, ..DestinationConfig::new(&base) };
    let client = Client::with_transport(&destination, backend).unwrap().with_seeded_waits(1);
    runtime.block_on(async {
        let start = Instant::now();
        let outcome = client.export(None, request, start + Duration::from_secs(seconds)).await;
        (outcome, start.elapsed())
    })
}

fn deliver(backend: &Scripted, records: usize) -> Outcome {
    deliver_within(backend, numbered(records), 4 << 20, 10).0
}

/// The outcome in one line: `10 accepted, 1 DeadLetter [7]: answered 400 …`.
fn summary(outcome: &Outcome) -> String {
    let accepted = format!("{} accepted", outcome.accepted);
    let ambiguous =
        (outcome.ambiguous_items > 0).then(|| format!(", {} ambiguous", outcome.ambiguous_items));
    let parts = outcome
        .parts
        .iter()
        .map(|part| format!("; {} {:?}: {}", part.items, part.fate, part.reason));
    std::iter::once(accepted).chain(ambiguous).chain(parts).collect()
}

fn fates(outcome: &Outcome) -> Vec<(usize, Fate)> {
    outcome.parts.iter().map(|part| (part.items, part.fate)).collect()
}

#[test]
fn a_retry_after_the_deadline_is_not_attempted() {
    for (after, requests, seconds, accepted) in [(60, 1, 0, 0), (3, 2, 3, 1)] {
        let backend = scripted([Reply::RetryAfter(after)]);
        let (outcome, elapsed) = deliver_within(&backend, numbered(1), 4 << 20, 10);
        assert_eq!((outcome.requests_sent, outcome.accepted), (requests, accepted), "{after}");
        assert_eq!(elapsed, Duration::from_secs(seconds), "{after}");
    }
}

#[test]
fn nothing_is_sent_after_the_deadline() {
    let backend = scripted([]);
    let (outcome, _) = deliver_within(&backend, numbered(5), 4 << 20, 0);
    assert_eq!(summary(&outcome), "0 accepted; 5 Park: not sent: the deadline has passed");
    assert_eq!(backend.sizes(), [0; 0]);
}

/// Numbers of bad records among 1,000, at random places.
fn bad_records(count: usize) -> BTreeSet<usize> {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let bad = proptest::collection::btree_set(0usize..1000, count);
    bad.new_tree(&mut runner).unwrap().current()
}

#[test]
fn good_records_are_accepted_beside_scattered_bad_ones() {
    for (bad, most_requests) in [(0, 1), (1, 21), (2, 41), (5, 91), (10, 161), (18, 260)] {
        let backend = scripted([]).refusing(bad_records(bad));
        let outcome = deliver(&backend, 1000);
        assert_eq!(outcome.accepted, 1000 - bad, "{bad}: {}", summary(&outcome));
        assert_eq!(fates(&outcome), vec![(1, Fate::DeadLetter); bad]);
        assert!(outcome.requests_sent <= most_requests, "{bad}: {}", outcome.requests_sent);
    }
}

#[test]
fn halving_parks_the_rest_after_one_request_for_four_items() {
    let backend = scripted([]).refusing((0..1000).step_by(9));
    let outcome = deliver(&backend, 1000);
    assert_eq!((outcome.requests_sent, outcome.items()), (1 + 48 + 250, 1000));
    let parked = outcome.parts.iter().filter(|part| part.fate == Fate::Park).count();
    assert!(parked > 0 && outcome.accepted > 200, "{}", summary(&outcome));
}

#[test]
fn a_fully_refused_request_is_parked_after_a_search_in_several_places() {
    for (records, sizes) in [
        (4, vec![4, 2, 1, 2, 1, 1, 1]),
        (64, vec![64, 32, 16, 8, 4, 2, 1, 32, 16, 8, 4, 2, 1, 16, 8, 4, 2, 1, 8, 4, 2, 1, 4, 2, 1]),
    ] {
        let backend = scripted([]).refusing(0..records);
        let outcome = deliver(&backend, records);
        let parked = format!("0 accepted; {records} Park: answered 400 Bad Request: bad record");
        assert_eq!(summary(&outcome), parked);
        let mut kept = numbers(&outcome.parts[0].request);
        kept.sort_unstable();
        assert_eq!(kept, (0..records).collect::<Vec<_>>());
        assert_eq!(backend.sizes(), sizes);
    }
}

#[test]
fn a_request_is_split_down_to_the_size_that_the_backend_accepts() {
    let backend = scripted([]).taking_at_most(2500);
    let outcome = deliver(&backend, 16_000);
    assert_eq!(summary(&outcome), "16000 accepted");
    assert_eq!(backend.sizes()[..4], [16_000, 8000, 4000, 2000]);
    assert!(backend.sizes()[3..].iter().all(|items| (1000..2500).contains(items)));
    let backend = scripted([]).taking_at_most(0);
    let outcome = deliver(&backend, 64);
    assert_eq!((outcome.requests_sent, fates(&outcome)), (25, vec![(64, Fate::Park)]));
}

#[test]
fn scripted_replies_decide_fates_and_sizes_of_requests() {
    use Reply::{NothingWritten, Ok, Status, Warning};
    let whole = 4 << 20;
    let third = numbered(64).bytes().len() / 3;
    for (script, records, max_bytes, expected, sizes) in [
        // This may be the fault of a proxy, and says nothing about larger requests.
        (&[Status(413); 2][..], 64, whole, &[][..], &[64, 32, 16, 16, 32][..]),
        // A failed write is retried once before halving.
        (&[NothingWritten; 8], 4, whole, &[(4, Fate::Park)], &[4, 4, 2, 1, 2, 1, 1, 1]),
        // A warning causes no retry.
        (&[Warning; 8], 100, whole, &[], &[100]),
        // An oversized request is split before sending, and unsent pieces are parked with the failed one.
        (&[], 64, third, &[], &[16, 16, 16, 16]),
        (
            &[Ok, Status(503), Status(503), Status(503)],
            64,
            third,
            &[(16, Fate::Park); 3],
            &[16, 16, 16, 16],
        ),
    ] {
        let backend = scripted(script.iter().copied());
        let (outcome, _) = deliver_within(&backend, numbered(records), max_bytes, 10);
        assert_eq!(fates(&outcome), expected, "{}", summary(&outcome));
        assert_eq!((outcome.items(), backend.sizes()), (records, sizes.to_vec()));
        assert_eq!(outcome.warning, if script.contains(&Warning) { "old" } else { "" });
    }
}

#[test]
fn parked_parts_with_different_reasons_stay_separate() {
    use Reply::{NothingWritten, Status};
    let steps =
        [NothingWritten, NothingWritten, NothingWritten, Status(503), Status(503), Status(503)];
    let outcome = deliver(&scripted(steps), 2);
    let reasons: Vec<_> = outcome.parts.iter().map(|part| part.reason.to_string()).collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons[0].starts_with("answered 200 but wrote nothing"), "{reasons:?}");
    assert_eq!(reasons[1], "answered 503 Service Unavailable");
}

#[test]
fn transport_errors_are_masked() {
    let backend = scripted([Reply::Unreachable; 3]);
    let masked = "0 accepted; 1 Park: no answer from test: ****";
    assert_eq!(summary(&deliver(&backend, 1)), masked);
}

#[test]
fn a_retry_sends_the_same_bytes() {
    let backend = scripted([Reply::Status(503)]);
    let outcome = deliver(&backend, 10);
    let one = wire::gzip::compress(gzip_level(SignalKind::Logs), numbered(10).bytes()).len();
    assert_eq!((outcome.requests_sent, outcome.bytes_sent), (2, 2 * one));
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        4 => Just(Reply::Ok),
        2 => Just(Reply::Status(503)),
        1 => Just(Reply::Status(429)),
        1 => Just(Reply::StoredBut(500)),
        1 => Just(Reply::StoredBut(504)),
        1 => Just(Reply::Status(502)),
        2 => Just(Reply::Status(400)),
        1 => Just(Reply::Status(413)),
        1 => Just(Reply::Status(401)),
        1 => Just(Reply::Status(404)),
        1 => (0u64..20).prop_map(Reply::RetryAfter),
        2 => Just(Reply::NothingWritten),
        1 => Just(Reply::StoredButNothingWritten),
        1 => Just(Reply::Warning),
        2 => (1usize..5).prop_map(Reply::Partial),
        1 => Just(Reply::Unreachable),
        2 => any::<bool>().prop_map(|stored| Reply::Closed { stored }),
        1 => Just(Reply::Hangs),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Every item is accounted for once, and stored twice only if counted as ambiguous, whatever the backend does.
    #[test]
    fn every_item_is_accounted_for(
        steps in proptest::collection::vec(reply(), 0..40),
        refused in proptest::collection::btree_set(0usize..80, 0..4),
        most_items in proptest::option::of(1usize..80),
        records in 0usize..80,
        max_bytes in 40usize..2000,
    ) {
        let backend = scripted(steps).taking_at_most(most_items).refusing(refused);
        let (outcome, elapsed) = deliver_within(&backend, numbered(records), max_bytes, 10);

        prop_assert_eq!(outcome.items(), records);
        prop_assert!(elapsed <= Duration::from_secs(10));

        let received = backend.received.lock().unwrap();
        prop_assert_eq!(outcome.requests_sent, received.len());
        let ambiguous: BTreeSet<usize> = received
            .iter()
            .filter(|(_, step)| matches!(step, Reply::Closed { .. } | Reply::Hangs | Reply::StoredBut(_) | Reply::Status(502) | Reply::NothingWritten | Reply::StoredButNothingWritten))
            .flat_map(|(numbers, _)| numbers.iter().copied())
            .collect();
        prop_assert_eq!(outcome.ambiguous_items, ambiguous.len());

        let mut kept = BTreeSet::new();
        let mut rejected = 0;
        for part in &outcome.parts {
            let numbers = numbers(&part.request);
            if part.fate == Fate::DeadLetterPartial {
                rejected += part.items;
                continue;
            }
            prop_assert_eq!(part.items, numbers.len());
            for number in numbers {
                prop_assert!(kept.insert(number), "{} is in two parts", number);
            }
        }
        let stored = backend.stored.lock().unwrap();
        for (number, times) in &*stored {
            let is_counted = ambiguous.contains(number);
            prop_assert!(*times == 1 || is_counted, "{} is stored {} times", number, times);
            prop_assert!(!kept.contains(number) || is_counted, "{} is stored and kept", number);
        }
        let missing = (0..records).filter(|number| !stored.contains_key(number) && !kept.contains(number));
        prop_assert!(missing.count() <= rejected);
    }
}
