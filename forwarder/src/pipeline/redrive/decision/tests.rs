//! All combinations of answers and ages of a message, with the decision for each item.

use super::*;
use crate::destination::ingest_window::IngestWindow;
use backend::Reason;
use wire::protobuf::Writer;

const NOW: u64 = 1_790_000_000_000_000_000;
const HOUR: u64 = 3_600_000_000_000;
const MINUTE: u64 = HOUR / 60;

fn policy(old_records: OldRecords) -> IngestPolicy {
    IngestPolicy { window: Some(IngestWindow { past: Duration::from_hours(5) }), old_records }
}

/// Log records of these ages.
fn logs(ages: &[u64]) -> Request {
    request(SignalKind::Logs, ages)
}

fn request(kind: SignalKind, ages: &[u64]) -> Request {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| {
            for age in ages {
                let time = NOW - age;
                match kind {
                    SignalKind::Logs => scope.message(2, |record| record.fixed64(1, time)),
                    SignalKind::Traces => scope.message(2, |span| span.fixed64(7, time)),
                    SignalKind::Metrics => scope.message(2, |metric| {
                        metric.message(5, |gauge| {
                            gauge.message(1, |point| point.fixed64(3, time));
                        });
                    }),
                }
            }
        });
    });
    Request::trusted(kind, bytes)
}

fn part(request: Request, fate: Fate) -> UndeliveredPart {
    let items = request.items();
    let reason = Reason::Rejected { text: "full".to_owned() };
    UndeliveredPart { request, items, reason, fate }
}

fn outcome(accepted: usize, parts: Vec<UndeliveredPart>) -> Outcome {
    Outcome { accepted, parts, requests_sent: 1, ..Outcome::default() }
}

fn receipt(receive_count: u32, age: u64) -> Receipt<'static> {
    Receipt {
        message_id: "m",
        receive_count,
        first_seen_unix_nano: NOW - age,
        neighbours_taken: false,
    }
}

/// `accepted 1, dead 2 (why), again 3`, without times.
fn words(decision: &Decision) -> String {
    let mut words = Vec::new();
    if decision.accepted > 0 {
        words.push(format!("accepted {}", decision.accepted));
    }
    for letter in &decision.dead_letters {
        let partial = if letter.partial { "partial" } else { "dead" };
        let why = letter.reason.split(';').next().unwrap();
        words.push(format!("{partial} {} ({why})", letter.items));
    }
    words.push(match &decision.next {
        Next::Done => "done".to_owned(),
        Next::ComeAgain { items, .. } => format!("again {items}"),
        Next::SendRest { rest, .. } => {
            let items: Vec<String> =
                rest.iter().map(|rest| rest.request.items().to_string()).collect();
            format!("rest {}", items.join("+"))
        }
    });
    words.join(", ")
}

#[test]
fn each_combination_of_fates_leads_to_one_decision() {
    use Fate::{DeadLetter, DeadLetterPartial, Park, ParkWithAlarm};
    #[track_caller]
    fn check(accepted: usize, fates: &[Fate], expected: &str) {
        let parts = fates.iter().map(|fate| part(logs(&[MINUTE, 0]), *fate)).collect();
        let outcome = outcome(accepted, parts);
        let items = outcome.items();
        let decision = decide(outcome, receipt(1, HOUR), policy(OldRecords::Keep), NOW);
        assert_eq!(words(&decision), expected, "{accepted} {fates:?}");
        assert_eq!(decision.items(), items);
    }
    check(0, &[], "done");
    check(3, &[], "accepted 3, done");
    check(0, &[Park], "again 2");
    check(0, &[ParkWithAlarm], "again 2");
    check(0, &[Park, ParkWithAlarm], "again 4");
    check(3, &[Park], "accepted 3, rest 2");
    check(3, &[Park, ParkWithAlarm], "accepted 3, rest 2+2");
    check(0, &[DeadLetter], "dead 2 (rejected: full), done");
    check(0, &[DeadLetterPartial], "partial 2 (rejected: full), done");
    check(3, &[DeadLetterPartial], "accepted 3, partial 2 (rejected: full), done");
    check(0, &[DeadLetter, Park], "dead 2 (rejected: full), rest 2");
    check(
        1,
        &[Park, DeadLetter, DeadLetterPartial, ParkWithAlarm],
        "accepted 1, dead 2 (rejected: full), partial 2 (rejected: full), rest 2+2",
    );
}

#[test]
fn items_are_dead_lettered_once_window_or_retention_ends() {
    use OldRecords::{Drop, Keep, Restamp};
    use SignalKind::{Logs, Metrics, Traces};
    const DAY: u64 = 24 * HOUR;
    #[track_caller]
    fn check(
        kind: SignalKind,
        ages: &[u64],
        first_seen: u64,
        policy: IngestPolicy,
        expected: &str,
    ) {
        for fate in [Fate::Park, Fate::ParkWithAlarm] {
            let outcome = outcome(0, vec![part(request(kind, ages), fate)]);
            let decision = decide(outcome, receipt(9, first_seen), policy, NOW);
            assert_eq!(words(&decision), expected, "{kind} {ages:?} {policy:?}");
        }
    }
    let window = "dead 1 (older than the ingest window), done";
    let retention = "dead 1 (the queue would soon forget it), done";
    for kind in [Logs, Traces] {
        check(kind, &[5 * HOUR - MINUTE], HOUR, policy(Keep), "again 1");
        check(kind, &[5 * HOUR], HOUR, policy(Keep), window);
        // One is still inside. The others are sorted out before it is sent.
        check(kind, &[6 * HOUR, 0], HOUR, policy(Keep), "again 2");
        // Other policies restamp or drop the records before they are sent.
        check(kind, &[6 * HOUR], HOUR, policy(Restamp), "again 1");
        check(kind, &[6 * HOUR], HOUR, policy(Drop), "again 1");
        check(kind, &[6 * HOUR], 14 * DAY - HOUR, policy(Restamp), "again 1");
        check(kind, &[6 * HOUR], 14 * DAY - HOUR + 1, policy(Restamp), retention);
    }
    check(Metrics, &[13 * DAY], 13 * DAY, policy(Keep), "again 1");
    check(Metrics, &[13 * DAY], 14 * DAY - HOUR, policy(Keep), "again 1");
    check(Metrics, &[13 * DAY], 14 * DAY - HOUR + 1, policy(Keep), retention);
    let no_window = IngestPolicy { window: None, old_records: Keep };
    check(Logs, &[13 * DAY], 13 * DAY, no_window, "again 1");
    check(Traces, &[13 * DAY], 14 * DAY, no_window, retention);
    // A clock behind the clock of the first invocation.
    let outcome = outcome(0, vec![part(logs(&[0]), Fate::Park)]);
    let ahead = Receipt { first_seen_unix_nano: u64::MAX, ..receipt(1, 0) };
    assert_eq!(words(&decide(outcome, ahead, policy(Keep), NOW)), "again 1");
}

#[test]
fn a_dead_letter_contains_the_reason_and_the_last_answer() {
    let outcome = outcome(0, vec![part(logs(&[6 * HOUR]), Fate::Park)]);
    let decision = decide(outcome, receipt(1, 0), policy(OldRecords::Keep), NOW);
    let reason = &decision.dead_letters[0].reason;
    assert_eq!(reason, "older than the ingest window; last answer: rejected: full");
}

fn after(receipt: Receipt<'_>, retry_after: Option<u64>, record_age: u64) -> Duration {
    let outcome = outcome(0, vec![part(logs(&[record_age]), Fate::Park)]);
    let outcome = Outcome { retry_after: retry_after.map(Duration::from_secs), ..outcome };
    match decide(outcome, receipt, policy(OldRecords::Keep), NOW).next {
        Next::ComeAgain { after, .. } => after,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_retry_delay_grows_with_the_attempts() {
    let check = |receive_count, full: u64| {
        let after = after(receipt(receive_count, 0), None, 0);
        let full = Duration::from_secs(full);
        assert!(after >= full / 2 && after < full, "{receive_count}: {after:?}");
    };
    check(0, 30);
    check(1, 30);
    check(2, 60);
    check(3, 120);
    check(5, 480);
    check(6, 900);
    check(19, 900);
    check(20, 3600);
    check(u32::MAX, 3600);
    let spread = |message_id| after(Receipt { message_id, ..receipt(19, 0) }, None, 0);
    assert_eq!(spread("a"), spread("a"));
    assert_ne!(spread("a"), spread("b"));
}

#[test]
fn retry_after_is_honoured_within_queue_and_window_limits() {
    let check = |retry_after, record_age, expected: u64| {
        let after = after(receipt(1, 0), Some(retry_after), record_age);
        assert_eq!(after.as_secs(), expected, "{retry_after}");
    };
    check(120, 0, 120);
    check(7200, 0, 7200);
    // One attempt before the window closes, at half of the time.
    check(86_400, 0, (5 * 3600 - 15) / 2);
    check(86_400, 4 * HOUR, (3600 - 15) / 2);
    check(86_400, 5 * HOUR - 20_000_000_000, 30);
    let metrics = outcome(0, vec![part(request(SignalKind::Metrics, &[0]), Fate::Park)]);
    let metrics = Outcome { retry_after: Some(Duration::from_hours(24)), ..metrics };
    let decision = decide(metrics, receipt(1, 0), policy(OldRecords::Keep), NOW);
    let after = Duration::from_mins(12 * 60 - 15);
    assert_eq!(decision.next, Next::ComeAgain { items: 1, after });
}

#[test]
fn the_delay_of_a_new_message_is_at_most_15_minutes() {
    let some = outcome(1, vec![part(logs(&[0]), Fate::Park)]);
    let some = Outcome { retry_after: Some(Duration::from_hours(2)), ..some };
    let decision = decide(some, receipt(1, 0), policy(OldRecords::Keep), NOW);
    let Next::SendRest { delay, .. } = decision.next else { panic!("{decision:?}") };
    assert_eq!(delay, Duration::from_mins(15));
}
