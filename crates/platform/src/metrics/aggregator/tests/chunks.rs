//! Lines of one invocation in two chunks.

#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use std::collections::BTreeMap;

use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::metrics::open_invocations::OpenInvocations;

fn counters_of_chunks(chunks: &[&[&str]]) -> BTreeMap<String, u64> {
    let mut open = OpenInvocations::default();
    let mut counts = BTreeMap::<String, u64>::new();
    for lines in chunks {
        let mut aggregator = Aggregator::default();
        aggregator.resume(open);
        for line in *lines {
            let line = line.replace(" A", &format!(" {A}")).replace(" B", &format!(" {B}"));
            aggregator.add(&text::parse(&line).unwrap(), T0);
        }
        let (metrics, next) = aggregator.finish_chunk();
        open = next;
        for metric in metrics {
            let Some(Data::Sum(sum)) = &metric.data else { continue };
            let name = match metric.name.as_str() {
                "faas.invocations" => "ok",
                "aws.lambda.invocations" => "all",
                name => name.trim_start_matches("faas.").trim_start_matches("aws.lambda."),
            };
            for point in &sum.data_points {
                let value = render::number(point.value.as_ref()).parse::<u64>().unwrap();
                *counts.entry(name.to_owned()).or_default() += value;
            }
        }
    }
    counts
}

#[track_caller]
fn check_chunks(chunks: &[&[&str]], expected: &str) {
    let counts = counters_of_chunks(chunks);
    let counts: Vec<String> =
        counts.iter().map(|(name, count)| format!("{name}={count}")).collect();
    assert_eq!(counts.join(" "), expected, "{chunks:#?}");
}

#[test]
fn lines_of_one_invocation_in_two_chunks_count_once() {
    let timeout = "all=1 timeouts=1";
    check_chunks(&[&[START, TIMED_OUT], &[REPORT_TIMEOUT]], timeout);
    check_chunks(&[&[START, TIMED_OUT], &[REPORT]], timeout);
    check_chunks(&[&[START, REPORT_TIMEOUT], &[TIMED_OUT]], timeout);
    check_chunks(&[&[START], &[TIMED_OUT], &[REPORT_TIMEOUT]], timeout);
    check_chunks(&[&[START, TIMED_OUT], &[TIMED_OUT], &[REPORT_TIMEOUT]], timeout);
    let killed = "all=1 errors=1 out_of_memory=1";
    check_chunks(&[&[KILLED], &[REPORT_OOM]], killed);
    check_chunks(&[&[REPORT_OOM], &[KILLED]], killed);
    // A later attempt with the same request id counts.
    let twice = "all=2 timeouts=2";
    check_chunks(&[&[START, TIMED_OUT], &[REPORT_TIMEOUT, START, TIMED_OUT], &[REPORT]], twice);
    let half = "all=1 timeouts=2";
    check_chunks(&[&[START, TIMED_OUT], &[START, REPORT_TIMEOUT]], half);
    // The failure line of the older notation comes one chunk after its report, which was counted as a success.
    check_chunks(&[&[REPORT], &[TIMED_OUT]], "all=1 ok=1");
}

#[test]
fn the_newest_open_invocations_survive_between_batches() {
    let mut aggregator = Aggregator::default();
    let mut event = PlatformEvent::new(EventKind::Timeout);
    let ids: Vec<String> =
        (0..1000).map(|n| format!("8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e{n:04}")).collect();
    for (at, id) in (0..).zip(&ids) {
        event.request_id = Some(id.clone());
        aggregator.add(&event, T0 + at);
    }
    expect![[r#"
        faas.timeouts [{timeout}] 744
    "#]]
    .assert_eq(&render::points(&aggregator.take()));
    let (metrics, open) = aggregator.finish_chunk();
    assert_eq!(open.0.len(), Aggregator::MAX_OPEN);
    assert!(ids[1000 - Aggregator::MAX_OPEN..].iter().all(|id| open.0.contains_key(id)));
    expect![[r#"
        faas.timeouts [{timeout}] 256
    "#]]
    .assert_eq(&render::points(&metrics));
}

proptest! {
    /// The numbers of invocations, ends and exhausted memories do not depend on the cut into chunks. The kind of end may: a
    /// counted end stays counted.
    #[test]
    fn totals_do_not_depend_on_the_cut_into_chunks(
        lines in proptest::collection::vec(0..9usize, 0..30),
        size in 1..10usize,
    ) {
        const KINDS: [&str; 9] = [
            START,
            REPORT,
            REPORT_TIMEOUT,
            REPORT_OOM,
            TIMED_OUT,
            EXITED,
            KILLED,
            "START RequestId: B Version: 1",
            "REPORT RequestId: B\tDuration: 5 ms\tInit Duration: 1 ms",
        ];
        let lines: Vec<&str> = lines.into_iter().map(|at| KINDS[at]).collect();
        let chunks: Vec<&[&str]> = lines.chunks(size).collect();
        let totals = |chunks: &[&[&str]]| {
            let counts = counters_of_chunks(chunks);
            let count = |name: &str| counts.get(name).copied().unwrap_or_default();
            let ends = count("ok") + count("errors") + count("timeouts");
            (count("all"), ends, count("coldstarts"), count("out_of_memory"))
        };
        prop_assert_eq!(totals(&chunks), totals(&[&lines]));
    }
}
